"""API keys: in the OS key store, or for this session only. Never in a file, a log or an error message.

A key is stored under its endpoint's id *and* origin, so that a changed address never gets the old address's key.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Literal, NoReturn, TypeVar

from msgspec import Struct

from playground.client.endpoint import ELECTRON_BASE_URL, Endpoint, is_loopback, origin
from playground.prompt.field_errors import InputError
from playground.prompt.secret_names import looks_random

SERVICE = "electron-playground"
VARIABLE = "SMALLEST_API_KEY"
"""The environment variable of the vendor's documentation (electron-api.md, Endpoint)."""
LIMIT_S = 10.0
"""Longest wait for the key store: a Secret Service call has no timeout."""
AGAIN_S = 1.0
"""Longest wait for a call that did not return within LIMIT_S, when its result is needed again."""

Source = Literal["session", "key store", "SMALLEST_API_KEY"]

T = TypeVar("T")


class CredentialStoreError(Exception):
    """The OS key store failed; the text is a sentence for the user."""


class Availability(Struct, frozen=True):
    """Whether keys can be stored beyond this session; `sentence` says where, or why not."""

    usable: bool
    sentence: str


def in_thread(call: Callable[[], T]) -> Future[T]:
    """Start a blocking call in a daemon thread, so that a call that hangs does not keep the program from ending.

    The future raises only CredentialStoreError.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = call()
        except Exception as raised:  # backends raise more than KeyringError
            future.set_exception(_as_store_error(raised))
        else:
            future.set_result(result)

    threading.Thread(target=work, name="key store", daemon=True).start()
    return future


async def within(limit_s: float, future: Future[T]) -> T:
    """Return the call's result. Raises CredentialStoreError, also after `limit_s`; the call itself continues."""
    try:
        # The running call is not cancelled with its asyncio future: a later wait can still get its result.
        return await asyncio.wait_for(asyncio.wrap_future(future), limit_s)
    except TimeoutError:
        raise CredentialStoreError(
            f"The key store did not answer within {limit_s:g} s. "
            "Unlock it and try again, or use the key for this session only."
        ) from None


def _as_store_error(raised: Exception) -> CredentialStoreError:
    if isinstance(raised, CredentialStoreError):
        return raised
    # Only the type: a backend's message might contain the key.
    return CredentialStoreError(f"The key store refused ({type(raised).__name__}). Use the key for this session only.")


def availability() -> Availability:
    """Return whether keyring has found a usable key store. Blocks."""
    # Imported on first use: keyring looks at every backend when it is imported.
    import keyring
    from keyring.backends import fail, null

    backend = keyring.get_keyring()
    # The null backend has no priority either: it comes first.
    if isinstance(backend, null.Keyring):
        return Availability(False, "Key stores are switched off on this machine; use the key for this session only.")
    if isinstance(backend, fail.Keyring) or backend.priority <= 0:
        return Availability(False, "This machine has no key store. The key can be used for this session only.")
    return Availability(True, f"The key will be kept in this system's key store ({backend.name}).")


def read(name: str) -> str | None:
    """Return the stored key; None if there is no such key or no key store. Blocks."""
    import keyring

    return keyring.get_password(SERVICE, name) if availability().usable else None


def write(name: str, key: str) -> None:
    """Store a key and read it back. Blocks. Raises CredentialStoreError and the backend's exceptions."""
    import keyring

    found = availability()
    if not found.usable:
        raise CredentialStoreError(found.sentence)
    # The same one for both: a call that is late must not ask another key store.
    backend = keyring.get_keyring()
    backend.set_password(SERVICE, name, key)
    if backend.get_password(SERVICE, name) != key:
        raise CredentialStoreError(
            "The key store accepted the key but does not return it. Use it for this session only."
        )


def delete(name: str) -> None:
    """Delete a key if it is stored. Blocks."""
    import keyring

    backend = keyring.get_keyring()
    if availability().usable and backend.get_password(SERVICE, name) is not None:
        backend.delete_password(SERVICE, name)


_known: set[str] = set()


def note_secret(text: str) -> None:
    """Let `known_secrets` return a secret for the rest of the process."""
    _known.add(text)


def known_secrets() -> tuple[str, ...]:
    """Return all secrets that this process has read or has in VARIABLE, for the masking of its output."""
    return (*_known, os.environ.get(VARIABLE, "").strip())


class Secret:
    """A key that does not print itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        note_secret(text)

    def reveal(self) -> str:
        """Return the key, for the Authorization header only."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled")


class CredentialStore:
    """Keys by endpoint. Asks the key store once per endpoint, in a separate thread, for at most `limit_s`."""

    def __init__(self, environment: Mapping[str, str], *, limit_s: float = LIMIT_S) -> None:
        self._from_environment = environment.get(VARIABLE, "").strip()
        self._limit_s = limit_s
        self._session: dict[str, Secret] = {}
        self._stored: dict[str, Secret | None] = {}
        self._asking: dict[str, Future[str | None]] = {}
        self._late: set[str] = set()
        self.error = ""
        """Why the key store did not answer the last call, as a sentence; empty if it did."""

    async def available(self) -> Availability:
        """Return which key store this machine has."""
        try:
            return await within(self._limit_s, in_thread(availability))
        except CredentialStoreError as error:
            return Availability(False, str(error))

    async def get(self, endpoint: Endpoint, *, explicit: bool = False) -> Secret | None:
        """Return the endpoint's key: this session's, the key store's, or the variable's; None if there is none.

        The variable's key goes to Electron's own origin only; with `explicit` (a URL named on the command line)
        to this machine's own servers as well. Raises InputError if the variable's text cannot be a key.
        """
        name = _name(endpoint)
        if name in self._session:
            return self._session[name]
        stored = await self._ask(endpoint)
        if stored is not None:
            return stored
        if not self._variable_applies(endpoint, explicit=explicit):
            return None
        return Secret(checked_key(self._from_environment, VARIABLE))

    def others(self, secret: Secret | None) -> list[str]:
        """Return the keys in memory that are not this one: the variable's, and those that look random."""
        held = {key.reveal() for key in (*self._session.values(), *self._stored.values()) if key is not None}
        keys = {key for key in held if looks_random(key)} | {self._from_environment}
        return sorted(keys - {"", secret.reveal() if secret is not None else ""})

    async def source(self, endpoint: Endpoint, *, explicit: bool = False) -> Source | None:
        """Return where `get` finds the key."""
        if _name(endpoint) in self._session:
            return "session"
        if await self._ask(endpoint) is not None:
            return "key store"
        return "SMALLEST_API_KEY" if self._variable_applies(endpoint, explicit=explicit) else None

    def _variable_applies(self, endpoint: Endpoint, *, explicit: bool) -> bool:
        return bool(self._from_environment) and takes_variable(endpoint, explicit=explicit)

    async def _ask(self, endpoint: Endpoint) -> Secret | None:
        if not endpoint.needs_key:
            return None
        name = _name(endpoint)
        if name not in self._stored:
            await self._look_up(name)
        return self._stored.get(name)

    async def _look_up(self, name: str) -> None:
        """Set `_stored[name]`, or `error`: the next call asks the key store again, perhaps after an unlock."""
        asked = self._asking.get(name)
        if asked is None:
            asked = self._asking[name] = in_thread(lambda: read(name))
        # The unlock prompt may still be open: use its answer, but do not wait as long again.
        limit_s = min(self._limit_s, AGAIN_S) if name in self._late else self._limit_s
        try:
            text = await within(limit_s, asked)
            self.error = ""
        except CredentialStoreError as error:
            self.error = str(error)
            return
        finally:
            self._answered(name, asked)
        if name not in self._stored:
            self._stored[name] = _secret(text)

    def _answered(self, name: str, asked: Future[str | None]) -> None:
        if self._asking.get(name) is not asked:
            return
        if asked.done():
            del self._asking[name]
            self._late.discard(name)
        else:
            self._late.add(name)

    async def save(self, endpoint: Endpoint, text: str) -> None:
        """Store a key in the OS key store and read it back. Raises InputError, CredentialStoreError.

        After an error this session does not use the new key. A store that did not answer in time may still store it.
        """
        key, name = checked_key(text), _name(endpoint)
        await within(self._limit_s, in_thread(lambda: write(name, key)))
        self._session.pop(name, None)
        self._asking.pop(name, None)
        self._stored[name] = Secret(key)

    def set_session(self, endpoint: Endpoint, text: str) -> None:
        """Use a key until the program ends. Raises InputError."""
        self._session[_name(endpoint)] = Secret(checked_key(text))

    async def delete(self, endpoint: Endpoint) -> None:
        """Delete the endpoint's key, here and in the key store. Raises CredentialStoreError: it may still be stored."""
        name = _name(endpoint)
        self._session.pop(name, None)
        self._asking.pop(name, None)
        self._stored[name] = None
        try:
            await within(self._limit_s, in_thread(lambda: delete(name)))
        except CredentialStoreError:
            # It may still be stored: look again.
            self._stored.pop(name, None)
            raise


def takes_variable(endpoint: Endpoint, *, explicit: bool) -> bool:
    """Return whether the variable's key may go to this endpoint; see `CredentialStore.get`."""
    if not endpoint.base_url:
        return False
    own = origin(endpoint.base_url) == origin(ELECTRON_BASE_URL)
    return own or (explicit and is_loopback(endpoint.base_url))


def missing_key(endpoint: Endpoint, *, explicit: bool) -> tuple[str, str]:
    """Return the error text for an endpoint without a key, and its hint: only what works for this endpoint."""
    variable = f", or set {VARIABLE}" if takes_variable(endpoint, explicit=explicit) else ""
    return f"there is no API key for {endpoint.name}.", f"Add one to this endpoint{variable}. Nothing was sent."


def checked_key(text: str, field: str = "key") -> str:
    """Return a pasted key without surrounding spaces and quotation marks. Raises InputError without the key in it."""
    key = _unquoted(text.strip())
    if not key:
        raise InputError.of((field,), "the key is empty.", "Paste the key from the vendor's console.")
    if not key.isascii() or not key.isprintable() or " " in key or key[0] in "\"'`" or key[-1] in "\"'`":
        raise InputError.of(
            (field,),
            "the key has a space or a character that is not allowed in a key.",
            "Enter only the key, on one line, without the word Bearer or quotation marks.",
        )
    return key


_QUOTES = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("‘", "’"))


def _unquoted(key: str) -> str:
    """Remove one pair of quotation marks, as in a copied line of a .env file."""
    for opening, closing in _QUOTES:
        if len(key) > 1 and key.startswith(opening) and key.endswith(closing):
            return key[1:-1].strip()
    return key


def _secret(text: str | None) -> Secret | None:
    """Return a stored text as a key; None if it cannot be sent (another program may have stored it)."""
    try:
        return Secret(checked_key(text)) if text else None
    except InputError:
        return None


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.id} {origin(endpoint.base_url) if endpoint.base_url else ''}"
