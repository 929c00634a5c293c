"""The API key: in the OS key store, or for this session only. Never in a file of ours, a log, or an error.

A key is kept under its endpoint's id *and* origin, so that a changed address never gets the old address's key.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from playground.client.endpoint import ELECTRON_BASE_URL, Endpoint
from playground.client.urls import is_loopback, origin
from playground.prompt.problems import BadInput, Problem

SERVICE = "electron-playground"
VARIABLE = "SMALLEST_API_KEY"
"""The customary variable (electron-api.md, Endpoint)."""
LIMIT_S = 10.0
"""How long the key store may take: a Secret Service call can block without a limit of its own."""

Source = Literal["session", "key store", "SMALLEST_API_KEY"]
T = TypeVar("T")


class Secret:
    """A key that does not print itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself, for the Authorization header alone."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


class KeyStoreTrouble(Exception):  # noqa: N818 - expected, and shown as a sentence
    """The OS key store did not do what was asked; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether keys can be kept for longer than this session, and why not, in a sentence."""

    usable: bool
    sentence: str


class KeyStore:
    """Keys by endpoint. Asks the OS once an endpoint, in a thread of its own, with a limit of time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._from_environment = environment.get(VARIABLE, "").strip()
        self._session: dict[str, Secret] = {}
        self._stored: dict[str, Secret | None] = {}

    async def available(self) -> Availability:
        """Look at which key store this machine has."""
        try:
            return await _in_thread(_availability)
        except KeyStoreTrouble as trouble:
            return Availability(False, str(trouble))

    async def get(self, endpoint: Endpoint, *, explicit: bool = False) -> Secret | None:
        """The endpoint's key: this session's, the key store's, or the variable's; None where there is none.

        The variable's key goes to Electron's own origin only; with `explicit` (a URL named on the command line)
        to this machine's own servers as well.
        """
        name = _name(endpoint)
        if name in self._session:
            return self._session[name]
        stored = await self._ask(endpoint)
        if stored is not None:
            return stored
        return Secret(self._from_environment) if self._variable_applies(endpoint, explicit) else None

    async def source(self, endpoint: Endpoint) -> Source | None:
        """Where `get` would find the key."""
        if _name(endpoint) in self._session:
            return "session"
        if await self._ask(endpoint) is not None:
            return "key store"
        return "SMALLEST_API_KEY" if self._variable_applies(endpoint, False) else None

    def _variable_applies(self, endpoint: Endpoint, explicit: bool) -> bool:
        if not self._from_environment or not endpoint.base_url:
            return False
        own = origin(endpoint.base_url) == origin(ELECTRON_BASE_URL)
        return own or (explicit and is_loopback(endpoint.base_url))

    async def _ask(self, endpoint: Endpoint) -> Secret | None:
        if not endpoint.needs_key:
            return None
        name = _name(endpoint)
        if name not in self._stored:
            try:
                text = await _in_thread(lambda: _keyring_get(name))
            except KeyStoreTrouble:
                # No usable key store holds no key; the dialog says why, a request only that the key is missing.
                text = None
            self._stored[name] = Secret(text) if text else None
        return self._stored[name]

    async def save(self, endpoint: Endpoint, text: str) -> None:
        """Keep a key in the OS key store, and read it back. Raises BadInput, KeyStoreTrouble; then nothing is kept."""
        key, name = checked_key(text), _name(endpoint)
        await _in_thread(lambda: _keyring_set(name, key))
        self._session.pop(name, None)
        self._stored[name] = Secret(key)

    def set_session(self, endpoint: Endpoint, text: str) -> None:
        """Keep a key until the program ends. Raises BadInput."""
        self._session[_name(endpoint)] = Secret(checked_key(text))

    async def delete(self, endpoint: Endpoint) -> None:
        """Forget the endpoint's key, here and in the key store. Raises KeyStoreTrouble."""
        name = _name(endpoint)
        self._session.pop(name, None)
        if await self._ask(endpoint) is not None:
            await _in_thread(lambda: _keyring_delete(name))
        self._stored[name] = None


def checked_key(text: str) -> str:
    """A pasted key without the space around it. Raises BadInput, whose words never hold the key."""
    key = text.strip()
    if not key:
        raise BadInput(Problem(("key",), "the key is empty.", "Paste the one that the vendor's console shows."))
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(
            Problem(("key",), "the key has a character that no key has.", "Paste the key alone, on one line.")
        )
    return key


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.id} {origin(endpoint.base_url) if endpoint.base_url else ''}"


async def _in_thread(call: Callable[[], T]) -> T:
    """Run a blocking key store call in a daemon thread: one that hangs must not keep the program from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # T may itself be an Optional

    def work() -> None:
        try:
            result, error = call(), None
        except Exception as raised:  # every backend has errors of its own, not only KeyringError
            result, error = None, _as_trouble(raised)
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the program has ended meanwhile

    threading.Thread(target=work, name="key store", daemon=True).start()
    try:
        return await asyncio.wait_for(answer, LIMIT_S)
    except TimeoutError:
        raise KeyStoreTrouble(
            f"The key store did not answer within {LIMIT_S:.0f} seconds. "
            "Unlock it, or use the key for this session only."
        ) from None


def _as_trouble(raised: Exception) -> KeyStoreTrouble:
    if isinstance(raised, KeyStoreTrouble):
        return raised
    # Only the kind is told: a backend's own words might repeat what it was given.
    return KeyStoreTrouble(f"The key store refused ({type(raised).__name__}). Use the key for this session only.")


def _availability() -> Availability:
    # Imported on first use: keyring looks at every backend when it is imported.
    import keyring
    from keyring.backends import fail, null

    backend = keyring.get_keyring()
    if isinstance(backend, fail.Keyring) or backend.priority <= 0:
        return Availability(
            False,
            "This machine has no key store. The key can be used for this session only, "
            f"or set as {VARIABLE} before the program starts.",
        )
    if isinstance(backend, null.Keyring):
        return Availability(
            False, f"Key stores are switched off on this machine; use this session only, or {VARIABLE}."
        )
    return Availability(True, f"The key will be kept in this system's key store ({backend.name}).")


def _usable() -> None:
    found = _availability()
    if not found.usable:
        raise KeyStoreTrouble(found.sentence)


def _keyring_get(name: str) -> str | None:
    import keyring

    _usable()
    return keyring.get_password(SERVICE, name)


def _keyring_set(name: str, key: str) -> None:
    import keyring

    _usable()
    keyring.set_password(SERVICE, name, key)
    if keyring.get_password(SERVICE, name) != key:
        raise KeyStoreTrouble("The key store took the key but does not give it back. Use it for this session only.")


def _keyring_delete(name: str) -> None:
    import keyring

    keyring.delete_password(SERVICE, name)
