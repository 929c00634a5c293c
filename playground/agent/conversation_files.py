"""A conversation as JSON, restored after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from playground.agent.conversation import Conversation, Turn
from playground.prompt.document import Document, Json
from playground.prompt.files import dump, load

FORMAT_KEY = "electron_playground_conversation"
FORMAT_VERSION = 1
_STORED = {"error": "trouble"}
"""Names of fields in files of all versions, where they differ."""


def to_fields(conversation: Conversation) -> dict[str, Json]:
    """Return the conversation as JSON values. Documents are prompt files, each stored once."""
    texts: dict[str, int] = {}

    def place(document: Document) -> int:
        return texts.setdefault(dump(document), len(texts))

    root = place(conversation.root)
    turns: list[Json] = []
    for turn in conversation.turns.values():
        fields = {_STORED.get(name, name): _plain(getattr(turn, name)) for name in Turn.__slots__ if name != "document"}
        turns.append({**fields, "document": place(turn.document)})
    return {
        FORMAT_KEY: FORMAT_VERSION,
        "id": conversation.id,
        "root": root,
        "turns": turns,
        "documents": list(texts),
    }


def _plain(value: object) -> Json:
    made: Json = msgspec.to_builtins(value)
    return made


def from_fields(value: Json) -> Conversation:
    """Return the conversation in JSON values. Raises ValueError, KeyError or TypeError for other values.

    Calls that were running when the program ended become stopped calls.
    """
    if not isinstance(value, dict) or value.get(FORMAT_KEY) != FORMAT_VERSION:
        raise ValueError("not a conversation of this version")
    documents = [load(text) for text in msgspec.convert(value["documents"], list[str])]
    turns = [_turn(fields, documents) for fields in msgspec.convert(value["turns"], list[dict[str, Any]])]
    ids = {turn.id for turn in turns}
    if any(turn.parent is not None and turn.parent not in ids for turn in turns):
        raise ValueError("a turn has an unknown parent")
    root = documents[msgspec.convert(value["root"], int)]
    return Conversation(root, {turn.id: turn for turn in turns}, msgspec.convert(value["id"], str))


def _turn(fields: Mapping[str, Any], documents: list[Document]) -> Turn:
    document = documents[fields["document"]]
    made = {
        name: msgspec.convert(fields[stored], kind)
        for name, kind in _kinds().items()
        if name != "document" and (stored := _STORED.get(name, name)) in fields
    }
    turn = Turn(document=document, **made)
    results = tuple(replace(result, kind="stopped") if result.kind == "running" else result for result in turn.results)
    return replace(turn, results=results)


def _kinds() -> dict[str, Any]:
    from typing import get_type_hints

    from playground.agent import conversation

    return get_type_hints(Turn, vars(conversation))
