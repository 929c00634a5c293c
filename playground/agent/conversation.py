"""A conversation as a tree of immutable turns: every edit makes a branch and keeps the old one. Stored as JSON."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import count
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from playground.agent.tool_mocks import ResultKind
from playground.client.events import Usage
from playground.prompt.diff import common_items
from playground.prompt.document import Document, Json, Message, ToolCall, places
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import dump, load
from playground.runs.state import TurnTimes

BRACES = "{{"
_NAME = "two_braces"


def literal(document: Document, text: str) -> tuple[Document, str]:
    """Return a document and a template that renders to `text`.

    The template differs from `text` only if that contains a `{{name}}`: its braces come from a variable then, because
    braces in a value are text.
    """
    found = places(text)
    if not found:
        return document, text
    name = _free_name(document)
    pieces, last = [], 0
    for place in found:
        pieces += [text[last : place.start], "{{", name, "}}"]
        last = place.start + len(BRACES)
    return document.with_variable(name, BRACES), "".join((*pieces, text[last:]))


def _free_name(document: Document) -> str:
    names = (_NAME if number == 1 else f"{_NAME}_{number}" for number in count(1))
    return next(name for name in names if document.variables.get(name, BRACES) == BRACES)


class Result(Struct, frozen=True):
    """The result of a call. Times in seconds on the clock of `go`, a run of the loop; None for a typed result."""

    call_id: str
    name: str
    text: str
    kind: ResultKind = "answered"
    problems: tuple[FieldError, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None
    go: str = ""
    edited: bool = False


class Turn(Struct, frozen=True):
    """One request, its answer, and what its calls returned.

    `document` is the prompt of the request. `text` and `calls` are the model's, or the user's if `edited`. `go` names
    the run of the loop that sent it, on whose clock its run began at `began_at`; `times` count from there.
    """

    id: str
    parent: str | None
    document: Document
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[Result, ...] = ()
    run_id: str | None = None
    request_id: str | None = None
    phase: str = "done"
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str = ""
    go: str = ""
    began_at: float | None = None
    times: TurnTimes | None = None
    edited: bool = False
    changed_ids: Mapping[str, str] = field(default_factory=dict)
    """The model's id of each call that has another one here, because it was missing or used before."""

    @property
    def returned(self) -> tuple[Result, ...]:
        """Return the results in the order of the calls, without running and stopped calls."""
        order = {call.id: place for place, call in enumerate(self.calls)}
        found = (
            result for result in self.results if result.kind not in ("running", "stopped") and result.call_id in order
        )
        return tuple(sorted(found, key=lambda result: order[result.call_id]))

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """Return the calls without a result."""
        answered = {result.call_id for result in self.returned}
        return tuple(call for call in self.calls if call.id not in answered)

    @property
    def answered(self) -> bool:
        """Return whether the turn ends the conversation: it finished normally and calls nothing."""
        return self.phase == "done" and not self.calls


def new_id() -> str:
    return uuid.uuid4().hex


class Sum(Struct, frozen=True):
    """A sum over `of` turns. `value` is the sum of the `reported` ones, None if there are none."""

    value: int | None
    reported: int
    of: int

    @property
    def complete(self) -> bool:
        """Return whether every turn reported; otherwise `value` is a lower bound."""
        return self.reported == self.of and self.of > 0


class ConversationTotals(Struct, frozen=True):
    """Sums over the requests of one path. An edited turn counts as the request that it came from, once."""

    requests: int
    prompt_tokens: Sum
    cached_tokens: Sum
    completion_tokens: Sum


class Conversation(Struct, frozen=True):
    """All turns of one prompt. Unknown ids raise KeyError."""

    root: Document
    turns: Mapping[str, Turn] = field(default_factory=dict)
    id: str = field(default_factory=new_id)

    def with_turn(self, turn: Turn) -> Conversation:
        """Return the conversation with a turn added, or with an unfinished turn replaced by its newer state."""
        return replace(self, turns={**self.turns, turn.id: turn})

    def path(self, turn_id: str | None) -> tuple[Turn, ...]:
        found: list[Turn] = []
        while turn_id is not None:
            found.append(self.turns[turn_id])
            turn_id = found[-1].parent
        return tuple(reversed(found))

    def ends(self) -> tuple[Turn, ...]:
        """Return the last turn of each branch, oldest first."""
        parents = {turn.parent for turn in self.turns.values()}
        return tuple(turn for turn in self.turns.values() if turn.id not in parents)

    def document(self, turn_id: str | None) -> Document:
        """Return the prompt after a turn: its request, the answer, the results. None: the first prompt."""
        if turn_id is None:
            return self.root
        turn = self.turns[turn_id]
        document, messages = turn.document, list(turn.document.messages)
        if turn.text or turn.calls or turn.answered:
            document, text = literal(document, turn.text)
            messages.append(Message("assistant", text or (None if turn.calls else ""), turn.calls))
        for result in turn.returned:
            document, text = literal(document, result.text)
            messages.append(Message("tool", text, tool_call_id=result.call_id))
        return replace(document, messages=tuple(messages))

    def added(self, turn_id: str) -> tuple[Message, ...]:
        """Return the messages that this turn's request adds to the request before."""
        turn = self.turns[turn_id]
        before = self.turns[turn.parent].document.messages if turn.parent else ()
        return turn.document.messages[common_items(before, turn.document.messages) :]

    def keeps_prefix(self, turn_id: str) -> bool:
        """Return whether this turn's request begins with the whole previous request, so that the cached prefix stays
        valid.
        """
        turn = self.turns[turn_id]
        if turn.parent is None:
            return True
        before = self.turns[turn.parent].document
        same = before.tools == turn.document.tools
        return same and common_items(before.messages, turn.document.messages) == len(before.messages)

    def totals(self, turn_id: str | None) -> ConversationTotals:
        turns = {turn.run_id: turn for turn in self.path(turn_id) if turn.run_id is not None}
        usages = [turn.usage for turn in turns.values()]
        return ConversationTotals(
            len(usages),
            _sum(usage.prompt_tokens if usage else None for usage in usages),
            _sum(usage.cached_tokens if usage else None for usage in usages),
            _sum(usage.completion_tokens if usage else None for usage in usages),
        )

    def with_result(self, turn_id: str, result: Result) -> Conversation:
        """Return the conversation with the result of a call, which replaces an earlier one."""
        turn = self.turns[turn_id]
        others = tuple(other for other in turn.results if other.call_id != result.call_id)
        return self.with_turn(replace(turn, results=(*others, result)))

    def edit_result(self, turn_id: str, call_id: str, text: str) -> tuple[Conversation, str]:
        """Return a branch with this result of a call, and the new turn's id. Raises InputError for an unknown call."""
        turn = self.turns[turn_id]
        call = next((call for call in turn.calls if call.id == call_id), None)
        if call is None:
            raise InputError.of(("tool_call_id",), f"{call_id} is no call of this turn.")
        others = tuple(result for result in turn.results if result.call_id != call_id)
        return self._branch(turn, results=(*others, Result(call_id, call.name, text, edited=True)))

    def edit_turn(self, turn_id: str, text: str, calls: tuple[ToolCall, ...]) -> tuple[Conversation, str]:
        """Return a branch with this answer and these calls, and the new turn's id.

        Keeps the results of unchanged calls.
        """
        turn = self.turns[turn_id]
        same = {call.id for call in calls if call in turn.calls}
        kept = tuple(result for result in turn.results if result.call_id in same)
        if len({call.id for call in calls}) < len(calls):
            raise InputError.of(("tool_calls",), "two calls have the same id.", "Give each its own.")
        reason = "tool_calls" if calls else "stop"
        return self._branch(turn, text=text, calls=calls, results=kept, finish_reason=reason, phase="done", error="")

    def _branch(self, turn: Turn, **changed: object) -> tuple[Conversation, str]:
        # The times belong to the answer before the edit.
        made = replace(turn, id=new_id(), edited=True, times=None, **changed)
        return self.with_turn(made), made.id

    def without(self, turn_id: str) -> Conversation:
        gone = {turn_id}
        for turn in self.turns.values():
            # A turn is always added after its parent.
            if turn.parent in gone:
                gone.add(turn.id)
        return replace(self, turns={key: turn for key, turn in self.turns.items() if key not in gone})


def _sum(values: Iterable[int | None]) -> Sum:
    every = tuple(values)
    known = [value for value in every if value is not None]
    return Sum(sum(known) if known else None, len(known), len(every))


def with_unique_ids(calls: Iterable[tuple[str, str, str]], taken: Iterable[str]) -> Iterator[ToolCall]:
    """Yield calls of (id, name, arguments). A call without an id, or with a duplicate id, gets a new id."""
    used = set(taken)
    for number, (call_id, name, arguments) in enumerate(calls):
        own, tries = call_id, 0
        while not own or own in used:
            own = f"{call_id or 'call'}_{number}" + (f"_{tries}" if tries else "")
            tries += 1
        used.add(own)
        yield ToolCall(own, name, arguments)


FORMAT_KEY = "electron_playground_conversation"
FORMAT_VERSION = 1
_TURN_FIELDS = [name for name in Turn.__struct_fields__ if name != "document"]
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
        fields = {_STORED.get(name, name): msgspec.to_builtins(getattr(turn, name)) for name in _TURN_FIELDS}
        turns.append({**fields, "document": place(turn.document)})
    return {FORMAT_KEY: FORMAT_VERSION, "id": conversation.id, "root": root, "turns": turns, "documents": list(texts)}


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


@cache
def _kinds() -> dict[str, Any]:
    return get_type_hints(Turn, globals())


def _turn(fields: Mapping[str, Any], documents: list[Document]) -> Turn:
    kinds = _kinds()
    made = {
        name: msgspec.convert(fields[stored], kinds[name])
        for name in _TURN_FIELDS
        if (stored := _STORED.get(name, name)) in fields
    }
    turn = Turn(document=documents[fields["document"]], **made)
    results = tuple(replace(result, kind="stopped") if result.kind == "running" else result for result in turn.results)
    return replace(turn, results=results)
