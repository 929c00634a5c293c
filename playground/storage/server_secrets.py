"""Secrets of tool servers: in the OS key store, or for this session only. Files have a placeholder instead."""

from __future__ import annotations

import secrets as random
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from hashlib import blake2b

import msgspec

from playground.prompt.field_errors import InputError
from playground.storage.credentials import (
    LIMIT_S,
    CredentialStoreError,
    availability,
    in_thread,
    note_secret,
    read,
    within,
    write,
)
from playground.tools.mcp_servers import PLACEHOLDER, conceal, secret_id


class ServerSecrets:
    """Replaces the secrets in the text of a server, and returns them for the stored text.

    A secret belongs to the whole stored text: with a changed program or address it is not used.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, ...], str] = {}
        self._known: dict[str, tuple[str, ...]] = {}
        self._kept: set[str] = set()
        self._writes: dict[str, Future[None]] = {}
        self._wanted: set[str] = set()

    def hide(self, text: str) -> str:
        """Return the text to store: each secret is a placeholder. This session remembers the secrets."""
        with self._lock:
            stored, found = conceal(text, self._id)
            if found and len({id for id, _ in PLACEHOLDER.findall(stored)}) == 1:
                self._known[stored] = found
            for secret in found:
                note_secret(secret)
            return stored

    def _id(self, found: Sequence[str]) -> str:
        # Random: a digest in the file would allow to test guesses of a short password.
        return self._ids.setdefault(tuple(found), random.token_hex(6))

    def want(self, stored: Iterable[str]) -> None:
        """Set the texts whose secrets the next `flush` writes to the key store. Others are kept for this session."""
        with self._lock:
            self._wanted = {text for text in stored if text in self._known}

    def keep(self, stored: str) -> None:
        """Begin to write the secrets of a text to the key store. `flush` waits for the end."""
        with self._lock:
            found = self._known.get(stored)
            if found is None or stored in self._kept or stored in self._writes:
                return
            name, value = _name(stored), msgspec.json.encode(found).decode()
            self._writes[stored] = in_thread(lambda: _write(name, value))

    async def flush(self) -> str:
        """Write what is wanted. Returns why secrets are known in this session only; empty if all are stored."""
        with self._lock:
            wanted, self._wanted = self._wanted, set()
        for stored in wanted:
            self.keep(stored)
        error = ""
        for stored, writing in list(self._writes.items()):
            try:
                await within(LIMIT_S, writing)
                self._kept.add(stored)
            except CredentialStoreError as failed:
                error = str(failed)
            self._writes.pop(stored, None)
        return f"The secret of the tool server is known in this session only. {error}" if error else ""

    async def of(self, stored: str) -> tuple[str, ...]:
        """Return the secrets of a stored text. Raises InputError if they are not known."""
        places = PLACEHOLDER.findall(stored)
        if not places:
            return ()
        if stored not in self._known:
            reason = ""
            try:
                value = await within(LIMIT_S, in_thread(lambda: read(_name(stored))))
                found = msgspec.json.decode(value or "[]", type=tuple[str, ...])
            except CredentialStoreError as failed:
                reason, found = str(failed), ()
            except msgspec.MsgspecError:
                found = ()
            # Placeholders of two ids: a secret was added to a text that had one.
            if len(found) != len(places) or len({id for id, _ in places}) > 1:
                hint = "Enter the server again with its secret: a stored one is used for the same text only."
                message = f"the secret of this server is not in the key store. {reason}".rstrip()
                raise InputError.of(("server",), message, hint)
            self._known[stored] = found
            for secret in found:
                note_secret(secret)
        return self._known[stored]


def _write(name: str, value: str) -> None:
    if not availability().usable:
        # The sentence of `availability` is about an API key.
        raise CredentialStoreError("This system has no key store that can be used.")
    write(name, value)


def _name(stored: str) -> str:
    return f"tool server {secret_id(stored)} {blake2b(stored.encode(), digest_size=8).hexdigest()}"
