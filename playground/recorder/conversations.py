"""Which recorded requests belong to one conversation: those whose messages continue an earlier request's."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Sequence

REMEMBERED = 20_000
"""Requests that can be continued; the oldest are forgotten first."""


class Conversations:
    """Assigns conversation ids. One per Recorder."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, str] = OrderedDict()

    def assign(self, messages: Sequence[object]) -> str:
        """Return the id of the conversation that these messages continue, or a new one.

        A request continues the earlier request whose messages are the longest beginning of its own, if these include a
        message of the user. Identical requests are separate conversations, unless they continue one.
        """
        chain = _digests(messages)
        found = next((self._ids[digest] for digest in reversed(chain[:-1]) if digest in self._ids), None)
        conversation = found or uuid.uuid4().hex[:12]
        if chain and any(_role(message) == "user" for message in messages):
            self._ids[chain[-1]] = conversation
            self._ids.move_to_end(chain[-1])
            while len(self._ids) > REMEMBERED:
                self._ids.popitem(last=False)
        return conversation


def _digests(messages: Sequence[object]) -> list[bytes]:
    """Return the digest of each beginning of the list, the shortest first."""
    digest = hashlib.blake2b(digest_size=16)
    chain = []
    for message in messages:
        digest.update(json.dumps(message, sort_keys=True).encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
        chain.append(digest.digest())
    return chain


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None
