"""The API key: in the OS key store, or for this session only. Never in a file of ours, a log, or an error.

A key is kept under its endpoint's id *and* origin, so that a changed address never gets the old address's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Literal, NoReturn

from playground import keyring_door
from playground.client.endpoint import ELECTRON_BASE_URL, Endpoint
from playground.client.urls import is_loopback, origin
from playground.keyring_door import VARIABLE, Availability, KeyStoreTrouble, in_thread, within
from playground.prompt.problems import BadInput, Problem

__all__ = ["VARIABLE", "Availability", "KeyStore", "KeyStoreTrouble", "Secret", "Source", "checked_key"]

LIMIT_S = 10.0
"""How long the key store may take: a Secret Service call can block without a limit of its own."""

AGAIN_S = 1.0
"""How long a question that was not answered within LIMIT_S is waited for when it is asked again."""

Source = Literal["session", "key store", "SMALLEST_API_KEY"]


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

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written anywhere")


class KeyStore:
    """Keys by endpoint. Asks the OS once an endpoint, in a thread of its own, waiting `limit_s` at most."""

    def __init__(self, environment: Mapping[str, str], *, limit_s: float = LIMIT_S) -> None:
        self._from_environment = environment.get(VARIABLE, "").strip()
        self._limit_s = limit_s
        self._session: dict[str, Secret] = {}
        self._stored: dict[str, Secret | None] = {}
        self._asking: dict[str, Future[str | None]] = {}
        self._late: set[str] = set()
        self.trouble = ""
        """Why the key store did not answer when it was last asked, in a sentence; empty where it did."""

    async def available(self) -> Availability:
        """Look at which key store this machine has."""
        try:
            return await within(self._limit_s, in_thread(keyring_door.availability))
        except KeyStoreTrouble as trouble:
            return Availability(False, str(trouble))

    async def get(self, endpoint: Endpoint, *, explicit: bool = False) -> Secret | None:
        """The endpoint's key: this session's, the key store's, or the variable's; None where there is none.

        The variable's key goes to Electron's own origin only; with `explicit` (a URL named on the command line)
        to this machine's own servers as well. Raises BadInput where what the variable holds cannot be a key.
        """
        name = _name(endpoint)
        if name in self._session:
            return self._session[name]
        stored = await self._ask(endpoint)
        if stored is not None:
            return stored
        if not self._variable_applies(endpoint, explicit):
            return None
        return Secret(checked_key(self._from_environment, VARIABLE))

    async def source(self, endpoint: Endpoint, *, explicit: bool = False) -> Source | None:
        """Where `get` would find the key."""
        if _name(endpoint) in self._session:
            return "session"
        if await self._ask(endpoint) is not None:
            return "key store"
        return "SMALLEST_API_KEY" if self._variable_applies(endpoint, explicit) else None

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
            await self._look_up(name)
        return self._stored.get(name)

    async def _look_up(self, name: str) -> None:
        """Fill in `_stored[name]`, or `trouble`: then it is asked again next time, after an unlock perhaps."""
        asked = self._asking.get(name)
        if asked is None:
            asked = self._asking[name] = in_thread(lambda: keyring_door.read(name))
        # Still at the unlock prompt since last time: take up its answer, but do not wait as long again.
        limit_s = min(self._limit_s, AGAIN_S) if name in self._late else self._limit_s
        try:
            text = await within(limit_s, asked)
            self.trouble = ""
        except KeyStoreTrouble as trouble:
            self.trouble = str(trouble)
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
        """Keep a key in the OS key store, and read it back. Raises BadInput, KeyStoreTrouble.

        After trouble this session uses no new key. A store that did not answer in time may take the key later.
        """
        key, name = checked_key(text), _name(endpoint)
        await within(self._limit_s, in_thread(lambda: keyring_door.write(name, key)))
        self._session.pop(name, None)
        self._asking.pop(name, None)
        self._stored[name] = Secret(key)

    def set_session(self, endpoint: Endpoint, text: str) -> None:
        """Keep a key until the program ends. Raises BadInput."""
        self._session[_name(endpoint)] = Secret(checked_key(text))

    async def delete(self, endpoint: Endpoint) -> None:
        """Forget the endpoint's key, here and in the key store. Raises KeyStoreTrouble: it may still be in there."""
        name = _name(endpoint)
        self._session.pop(name, None)
        self._asking.pop(name, None)
        self._stored[name] = None
        try:
            await within(self._limit_s, in_thread(lambda: keyring_door.delete(name)))
        except KeyStoreTrouble:
            # Not known to be gone: it is looked for again.
            self._stored.pop(name, None)
            raise


def checked_key(text: str, field: str = "key") -> str:
    """A pasted key without the space around it. Raises BadInput, whose words never hold the key."""
    key = text.strip()
    if not key:
        raise BadInput(Problem((field,), "the key is empty.", "Paste the one that the vendor's console shows."))
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(
            Problem(
                (field,),
                "the key has a space or a character that no key has.",
                "Give the key alone, on one line, without the word Bearer.",
            )
        )
    return key


def _secret(text: str | None) -> Secret | None:
    """What the key store holds as a key; None where another program put something there that cannot be sent."""
    try:
        return Secret(checked_key(text)) if text else None
    except BadInput:
        return None


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.id} {origin(endpoint.base_url) if endpoint.base_url else ''}"
