"""The one door to `keyring`: blocking calls, each for a thread of its own, and their trouble in words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

SERVICE = "electron-playground"
VARIABLE = "SMALLEST_API_KEY"
"""The customary variable (electron-api.md, Endpoint)."""

T = TypeVar("T")


class KeyStoreTrouble(Exception):  # noqa: N818 - expected, and shown as a sentence
    """The OS key store did not do what was asked; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether keys can be kept for longer than this session, and why not, in a sentence."""

    usable: bool
    sentence: str


def in_thread(call: Callable[[], T]) -> Future[T]:
    """Begin a blocking call in a daemon thread: one that hangs must not keep the program from ending.

    The future fails with KeyStoreTrouble alone.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = call()
        except Exception as raised:  # every backend has errors of its own, not only KeyringError
            future.set_exception(_as_trouble(raised))
        else:
            future.set_result(result)

    threading.Thread(target=work, name="key store", daemon=True).start()
    return future


async def within(limit_s: float, future: Future[T]) -> T:
    """The call's result. Raises KeyStoreTrouble, also after `limit_s`; the call itself goes on then."""
    try:
        # A running future is not cancelled with its asyncio side, so a later wait can still have its result.
        return await asyncio.wait_for(asyncio.wrap_future(future), limit_s)
    except TimeoutError:
        raise KeyStoreTrouble(
            f"The key store did not answer within {limit_s:g} s. "
            "Unlock it and try again, or use the key for this session only."
        ) from None


def _as_trouble(raised: Exception) -> KeyStoreTrouble:
    if isinstance(raised, KeyStoreTrouble):
        return raised
    # Only the kind is told: a backend's own words might repeat what it was given.
    return KeyStoreTrouble(f"The key store refused ({type(raised).__name__}). Use the key for this session only.")


def availability() -> Availability:
    """Which key store keyring found. Blocks."""
    # Imported on first use: keyring looks at every backend when it is imported.
    import keyring
    from keyring.backends import fail, null

    backend = keyring.get_keyring()
    # The null backend has no priority either: it comes first.
    if isinstance(backend, null.Keyring):
        return Availability(
            False, f"Key stores are switched off on this machine; use this session only, or {VARIABLE}."
        )
    if isinstance(backend, fail.Keyring) or backend.priority <= 0:
        return Availability(
            False,
            "This machine has no key store. The key can be used for this session only, "
            f"or set as {VARIABLE} before the program starts.",
        )
    return Availability(True, f"The key will be kept in this system's key store ({backend.name}).")


def read(name: str) -> str | None:
    """What is kept under a name; None where nothing is, or no key store is there. Blocks."""
    import keyring

    return keyring.get_password(SERVICE, name) if availability().usable else None


def write(name: str, key: str) -> None:
    """Keep a key, and read it back. Blocks. Raises KeyStoreTrouble and what the backend raises."""
    import keyring

    found = availability()
    if not found.usable:
        raise KeyStoreTrouble(found.sentence)
    keyring.set_password(SERVICE, name, key)
    if keyring.get_password(SERVICE, name) != key:
        raise KeyStoreTrouble("The key store took the key but does not give it back. Use it for this session only.")


def delete(name: str) -> None:
    """Forget a key; fine where there is none. Blocks."""
    import keyring

    if availability().usable and keyring.get_password(SERVICE, name) is not None:
        keyring.delete_password(SERVICE, name)
