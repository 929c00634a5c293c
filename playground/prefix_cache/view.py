"""The prompt as one text in the order in which a server may read it.

The position of tools in the token sequence is not published. The canonical view has tools first, then messages;
`arranged` gives the other orders that chat templates use. Each part ends in a control character that usual text does
not contain, so that two prompts share a prefix exactly as far as their parts are equal.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Literal, NamedTuple, cast, get_args

from msgspec import Struct

from playground.prefix_cache.message_content import content_text, joined
from playground.prefix_cache.text_compare import common_prefix
from playground.prompt.document import Document, Json, Rendered, places, render
from playground.prompt.request import message_fields

PartKind = Literal["tool", "role", "content", "tool_calls", "tool_call_id", "extra", "reasoning"]
MESSAGE_PARTS: tuple[PartKind, ...] = ("role", "tool_call_id", "reasoning", "content", "tool_calls", "extra")
"""Parts of a message in the order of a canonical view."""
ToolsPlace = Literal["first", "inside", "first_user", "before_last_user", "system_last", "after_messages"]
Order = Literal[
    ToolsPlace,
    "last_turn",
    "last_calls",
    "cleared_1",
    "cleared_2",
    "cleared_3",
    "first_cleared_1",
    "first_cleared_2",
    "first_cleared_3",
    "first/bare",
    "inside/bare",
    "first_user/bare",
    "before_last_user/bare",
    "system_last/bare",
    "after_messages/bare",
    "last_turn/bare",
    "last_calls/bare",
    "cleared_1/bare",
    "cleared_2/bare",
    "cleared_3/bare",
    "first_cleared_1/bare",
    "first_cleared_2/bare",
    "first_cleared_3/bare",
    "before_last_user/late",
    "system_last/late",
]
"""Where a template puts tools: before everything · in or after the first system message · in the first user message ·
before the last user message · the same, and system text at the head of the last user message · after all messages ·
as "inside", and the assistant's messages after the last user message are written in another way than earlier ones, with
their reasoning or the marks around it (Qwen 3, GLM 4.5, Kimi K2 Thinking, gpt-oss) · the same of those messages only
that have text or reasoning beside tool calls (gpt-oss, which leaves it out later) · as "inside" or "first", and of the
results of tools only the newest one, two or three are written as sent (servers that edit the context). "/bare": without
what many templates leave out or write again in one spelling; see `bare`. "/late": the id of a tool call is behind its
arguments (Mistral)."""
TURNS: tuple[Order, ...] = ("last_turn", "last_calls")
CLEARED: dict[Order, int] = {
    "cleared_1": 1,
    "cleared_2": 2,
    "cleared_3": 3,
    "first_cleared_1": 1,
    "first_cleared_2": 2,
    "first_cleared_3": 3,
}
"""How many results of tools each of these orders writes as sent."""
LATER: dict[Order, Order] = {one: "first" if one.startswith("first") else "inside" for one in (*TURNS, *CLEARED)}
"""By order: the one that it is until some messages are written in another way than before."""
ORDERS: tuple[Order, ...] = (*get_args(ToolsPlace), *LATER)
BARE: dict[Order, Order] = {order: cast("Order", f"{order}/bare") for order in ORDERS}
LATE: dict[Order, Order] = {"before_last_user": "before_last_user/late", "system_last": "system_last/late"}
SENT: dict[Order, Order] = {bare: order for order, bare in BARE.items()}
"""By bare order: the same order with all parts written as sent."""
BASE: dict[Order, Order] = {**SENT, **{late: order for order, late in LATE.items()}}
"""By bare or late order: the order with the same sequence of parts, written as sent."""
PLAIN_ORDERS: tuple[Order, ...] = ("inside", "first")
"""Orders in which a new user message moves nothing, written as sent; the more usual one first."""
MOVING_ORDERS: frozenset[Order] = frozenset(("before_last_user", "system_last", "after_messages"))
"""Orders in which each new user message, or each message, moves tools or system text; their bare orders do, too."""
TURN_ORDERS: frozenset[Order] = frozenset((*TURNS, *(BARE[order] for order in TURNS)))
LATER_ORDERS: frozenset[Order] = frozenset((*LATER, *(BARE[order] for order in LATER)))
MOVED_ORDERS: frozenset[Order] = LATER_ORDERS | {one for one in (*ORDERS, *BASE) if BASE.get(one, one) in MOVING_ORDERS}
"""Orders in which a new user message moves text or changes how messages are written."""
TOOLS: dict[Order, Order] = {**BASE, **{one: LATER[BASE.get(one, one)] for one in LATER_ORDERS}}
"""By order that has tools where another one has them: that other order."""


def form(order: Order) -> tuple[bool, Order | int]:
    """Return how an order writes the parts, wherever it has the tools."""
    base = BASE.get(order, order)
    return order in SENT, CLEARED.get(base, base if base in TURNS else 0)


Reuse = Literal["all", "rewritten", "alone", "name", "text", "plain", "none"]
"""What of a generated message the next prompt finds in the cache: all of it · all up to the first argument that is
spelled in another way after it was parsed and written again · the same, and nothing of a message with text beside tool
calls (Llama 3.1 and Mistral leave the text out) · all up to the arguments of the first tool call · the text before the
tool calls · a message without tool calls · nothing."""
REUSES: tuple[Reuse, ...] = ("all", "rewritten", "alone", "name", "text", "plain", "none")


class ViewPart(Struct, frozen=True):
    """Code points [start, end) of a view's text. `index` is the tool's or the message's."""

    kind: PartKind
    index: int
    start: int
    end: int


class CacheView(Struct, frozen=True):
    """The whole prompt as one text, and what each stretch of it is."""

    text: str
    parts: tuple[ViewPart, ...]

    def __hash__(self) -> int:
        """Return the hash of the text, which is computed once: a prompt may have 10,000 parts."""
        return hash(self.text)

    @property
    def messages(self) -> int:
        """Return the number of messages."""
        return max((part.index for part in self.parts if part.kind != "tool"), default=-1) + 1

    def text_of(self, part: ViewPart) -> str:
        """Return the text of a part without its end marker."""
        return self.text[part.start : part.end - 1]

    @property
    def roles(self) -> dict[int, str]:
        """The roles of the messages that have one, by index."""
        return {part.index: self.text_of(part) for part in self.parts if part.kind == "role"}

    def locate(self, offset: int) -> tuple[ViewPart, int] | None:
        """Return the part that contains code point `offset` and the offset inside it; None for an empty prompt.

        The end of the text belongs to the last part.
        """
        if not self.parts:
            return None
        at = bisect_right(self.parts, offset, key=attrgetter("start")) - 1
        part = self.parts[max(at, 0)]
        return part, min(max(offset - part.start, 0), part.end - part.start)


def view_of_parts(parts: Iterable[tuple[PartKind, int, str]]) -> CacheView:
    """Return the view of texts that end in a marker, each of a kind and of the tool or message with an index."""
    texts, found, start = [], [], 0
    for kind, index, text in parts:
        texts.append(text)
        found.append(ViewPart(kind, index, start, start + len(text)))
        start += len(text)
    return CacheView("".join(texts), tuple(found))


KEPT_CHARS = 1_000_000
"""Code points of a prompt up to which its renderings are kept for a while."""


def arranged(view: CacheView, order: Order) -> CacheView:
    """Return a canonical view in another order. Without tools all orders are the same but "system_last" and
    "last_turn"."""
    if order == "first":
        return view
    return _kept_order(view, order) if len(view.text) <= KEPT_CHARS else _in_order(view, order)


@lru_cache(maxsize=36)
def _kept_order(view: CacheView, order: Order) -> CacheView:
    """Return a view in an order. A forecast, its record and its explanation use each order of two prompts."""
    return _in_order(view, order)


def _in_order(view: CacheView, order: Order) -> CacheView:
    if order in SENT:
        return arranged(bare(view), SENT[order])
    if order in BASE:
        return arranged(_ids_late(view), BASE[order])
    if order in TURNS:
        inside = arranged(view, "inside")
        return _turn_marked(inside, turn_roles(inside) if order == "last_turn" else text_beside_calls(inside))
    if order in CLEARED:
        return _cleared(arranged(view, LATER[order]), CLEARED[order])
    tools = [part for part in view.parts if part.kind == "tool"]
    if not tools and order != "system_last":
        return view
    rest = [part for part in view.parts if part.kind != "tool"]
    if order == "system_last":
        rest = _system_last(view, rest)
    at = _tools_at(order, [(at, view.text_of(part)) for at, part in enumerate(rest) if part.kind == "role"], len(rest))
    parts = (*rest[:at], *tools, *rest[at:])
    return view_of_parts((part.kind, part.index, view.text[part.start : part.end]) for part in parts)


def bare(view: CacheView) -> CacheView:
    """Return a view without the ids of tool calls, names, reasoning and other fields, with arguments of tool calls in
    one spelling and the parts of a content as one text."""
    return _kept_bare(view) if len(view.text) <= KEPT_CHARS else _bare(view)


def _bare(view: CacheView) -> CacheView:
    return view_of_parts(
        (part.kind, part.index, bare_text(part.kind, view.text_of(part)) + END)
        for part in view.parts
        if part.kind not in ("tool_call_id", "extra", "reasoning")
    )


_kept_bare = lru_cache(maxsize=6)(_bare)


def bare_text(kind: PartKind, text: str) -> str:
    """Return the text of a part as a `bare` view has it."""
    if kind == "tool_calls":
        return _short_calls(text) if len(text) <= _SHORT else _bare_calls(text)
    return joined(text) if kind == "content" else text


def _ids_late(view: CacheView) -> CacheView:
    """Return a view with the ids of tool calls behind their arguments. All parts have the same length."""
    pieces = [
        _late_calls(view.text_of(part)) + END if part.kind == "tool_calls" else view.text[part.start : part.end]
        for part in view.parts
    ]
    return CacheView("".join(pieces), view.parts)


def late_answer(answer: str) -> str:
    """Return an `answer_text` with the ids of tool calls behind their arguments."""
    text, end, calls = answer.rpartition(END)
    return f"{text}{end}{_late_calls(calls)}" if calls.startswith("[{") else answer


def _late_calls(text: str) -> str:
    try:
        late = _compact(_with_ids_last(json.loads(text)))
    except (ValueError, RecursionError):
        return text
    return late if len(late) == len(text) else text


def _with_ids_last(calls: Json) -> Json:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return calls
    return [dict(sorted(call.items(), key=lambda item: item[0] == "id")) for call in calls if isinstance(call, dict)]


def bare_answer(answer: str) -> str:
    """Return an `answer_text` as the next prompt has it in a `bare` view."""
    if answer.startswith(REASONING):
        answer = answer.partition(END)[2]
    text, end, calls = answer.rpartition(END)
    return f"{text}{end}{_bare_calls(calls)}" if end or calls.startswith("[{") else answer


_SHORT = 2_000
"""Characters of tool calls whose form without ids is kept."""


def _bare_calls(text: str) -> str:
    """Return names and arguments of tool calls."""
    try:
        return _functions(with_parsed_arguments(json.loads(text))) or text
    except (ValueError, RecursionError):
        return text


_short_calls = lru_cache(maxsize=2_048)(_bare_calls)


def _functions(calls: Json) -> str:
    """Return tool calls without their ids as JSON; empty for other values."""
    found = (
        [call.get("function") if isinstance(call, dict) else None for call in calls] if isinstance(calls, list) else []
    )
    return _compact([{"function": function} for function in found]) if found and all(found) else ""


def turn_roles(view: CacheView) -> list[ViewPart]:
    """Return the roles of the assistant's messages after the last user message."""
    found: list[ViewPart] = []
    for part in reversed(view.parts):
        if part.kind != "role":
            continue
        if (role := view.text_of(part)) == "user":
            break
        if role == "assistant":
            found.append(part)
    return found[::-1]


def text_beside_calls(view: CacheView) -> list[ViewPart]:
    """Return the roles of the assistant's messages after the last user message that have text beside tool calls."""
    roles = turn_roles(view)
    if not roles:
        return []
    kinds: dict[int, set[PartKind]] = {part.index: set() for part in roles}
    for part in view.parts:
        if part.kind != "tool" and part.index in kinds:
            kinds[part.index].add(part.kind)
    return [
        part for part in roles if "tool_calls" in kinds[part.index] and kinds[part.index] & {"content", "reasoning"}
    ]


def reasoned_before(view: CacheView) -> bool:
    """Return whether a prompt has reasoning in front of the last user message only, where many templates leave it
    out."""
    newest = next((part.index for part in reversed(view.parts) if part.kind == "reasoning"), None)
    user = (part.index for part in reversed(view.parts) if part.kind == "role" and view.text_of(part) == "user")
    return newest is not None and newest < next(user, -1)


def results(view: CacheView) -> list[ViewPart]:
    """Return the contents of the results of tools."""
    roles = view.roles
    return [part for part in view.parts if part.kind == "content" and roles.get(part.index) == "tool"]


def _cleared(view: CacheView, kept: int) -> CacheView:
    """Return a view without the results of tools before the newest ones."""
    cleared = set(results(view)[:-kept])
    if not cleared:
        return view
    return view_of_parts(
        (part.kind, part.index, (CLEARED_TEXT if part in cleared else view.text_of(part)) + END) for part in view.parts
    )


def _turn_marked(view: CacheView, roles: Sequence[ViewPart]) -> CacheView:
    """Return a view in which a mark follows these roles."""
    if not roles:
        return view
    pieces: list[str] = []
    parts: list[ViewPart] = []
    last = 0
    for part in view.parts:
        added = len(pieces) // 2
        marked = added < len(roles) and part is roles[added]
        if marked:
            pieces += (view.text[last : part.end], TURN_MARK)
            last = part.end
        parts.append(ViewPart(part.kind, part.index, part.start + added, part.end + added + marked))
    return CacheView("".join((*pieces, view.text[last:])), tuple(parts))


def _tools_at(order: Order, roles: Sequence[tuple[int, str]], end: int) -> int:
    """Return the index of the part before which tools are placed."""
    if order == "inside":
        first = next((number for number, (_, role) in enumerate(roles) if role == "system"), None)
        if first is None:
            return 0
        return roles[first + 1][0] if first + 1 < len(roles) else end
    users = [at for at, role in roles if role == "user"]
    if not users or order == "after_messages":
        return end
    return users[0] + 1 if order == "first_user" else users[-1]


def _system_last(view: CacheView, rest: Sequence[ViewPart]) -> list[ViewPart]:
    roles = view.roles
    texts = [part for part in rest if roles.get(part.index) == "system" and part.kind != "role"]
    kept = [part for part in rest if roles.get(part.index) != "system"]
    users = [at for at, part in enumerate(kept) if part.kind == "role" and roles[part.index] == "user"]
    at = users[-1] + 1 if users else len(kept)
    return [*kept[:at], *texts, *kept[at:]]


def answer_text(message: Mapping[str, Json]) -> str:
    """Return a generated message in the form of the next prompt, without the end marker, which is not generated."""
    return END.join(text for _, text in _message_parts(_generated(message)))


def _generated(message: Mapping[str, Json]) -> dict[str, Json]:
    return {key: message[key] for key in (*_REASONING_FIELDS, "content", "tool_calls") if message.get(key)}


OPENING = "assistant\x1e"
"""What every template writes after the last message: the opening of the answer."""
TURN_MARK = "\x1f"
"""What follows the role of the assistant's messages of the last turn in the orders `TURNS`."""
CLEARED_TEXT = "[cleared]"
"""What stands for a result in the orders `CLEARED`: servers write another text of a few tokens."""
REASONING = "\x0e"
"""What reasoning begins with in a view and in an `answer_text`."""
_REASONING_FIELDS = ("reasoning_content", "reasoning")


def alike(view: CacheView, other: CacheView) -> int:
    """Return how many code points two prompts share at most, in whichever order their parts are written."""
    theirs = {(part.kind, part.index): other.text[part.start : part.end] for part in other.parts}
    return sum(
        common_prefix(view.text[part.start : part.end], theirs.get((part.kind, part.index), "")) for part in view.parts
    )


def with_answer(view: CacheView, answer: str) -> CacheView:
    """Return a canonical view with a generated answer of text only as its last message."""
    start, index = len(view.text), view.messages
    middle = start + len(OPENING)
    text = f"{view.text}{OPENING}{answer}{END}"
    parts = ViewPart("role", index, start, middle), ViewPart("content", index, middle, len(text))
    return CacheView(text, (*view.parts, *parts))


def opened(view: CacheView, order: Order) -> str:
    """Return the text of a canonical view in an order, with the opening of the answer."""
    return arranged(view, order).text + OPENING


def answer_in(order: Order, answer: str) -> str:
    """Return an `answer_text` as the next prompt has it in an order; empty if its reasoning, with which it begins, is
    left out."""
    if order in SENT:
        if answer.startswith(REASONING) and order not in TURN_ORDERS:
            return ""
        answer = bare_answer(answer)
    elif order in BASE:
        answer = late_answer(answer)
    if order in TURN_ORDERS and answer and (BASE.get(order, order) == "last_turn" or _has_both(answer)):
        return TURN_MARK + answer
    return answer


def _has_both(answer: str) -> bool:
    """Return whether an `answer_text` has text or reasoning beside tool calls."""
    before, _, calls = answer.rpartition(END)
    return bool(before) and calls.startswith("[{")


class AnswerCuts(Struct, frozen=True):
    """How many code points of a generated message with tool calls each kind of `Reuse` finds again."""

    rewritten: int
    alone: int
    name: int
    text: int
    plain: int = 0


class FormCuts(NamedTuple):
    """The cuts of an answer as sent, in a `bare` view, and with ids behind the arguments."""

    sent: AnswerCuts
    bare: AnswerCuts
    late: AnswerCuts


def answer_cuts(message: Mapping[str, Json]) -> FormCuts | None:
    """Return where `answer_text` of a message may part from the next prompt; None without tool calls."""
    calls = message.get("tool_calls")
    if not calls:
        return None
    parts = dict(_message_parts(_generated(message)))
    text, reasoning = parts.get("content", ""), parts.get("reasoning", "")
    lead = len(reasoning) + len(END) if reasoning else 0
    again = with_parsed_arguments(calls)
    return FormCuts(
        _cuts(lead, text, _compact(calls), _compact(again)),
        _cuts(0, text, _functions(calls), _functions(again)),
        _cuts(lead, text, _late_calls(_compact(calls)), _late_calls(_compact(again))),
    )


def _cuts(lead: int, text: str, written: str, again: str) -> AnswerCuts:
    start = lead + (len(text) + len(END) if text else 0)
    same = common_prefix(written, again) if again != written else len(written)
    key = written.find(_ARGUMENTS)
    name = min(key + len(_ARGUMENTS), same) if key >= 0 else same
    return AnswerCuts(start + same, 0 if text else start + same, start + name, lead + len(text))


_ARGUMENTS = '"arguments":"'


def with_parsed_arguments(calls: Json, *, sort_keys: bool = False) -> Json:
    """Return tool calls whose arguments are spelled as a template spells them that parses them and writes them again:
    JSON with a space after each comma and colon, perhaps with sorted keys. Other values are unchanged."""
    if not isinstance(calls, list):
        return calls
    found: list[Json] = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(arguments, str):
            found.append(call)
            continue
        try:
            again = json.dumps(json.loads(arguments), ensure_ascii=False, sort_keys=sort_keys)
        except (ValueError, RecursionError):
            again = arguments
        found.append({**call, "function": {**function, "arguments": again}})
    return found


def view_of_fields(fields: Mapping[str, Json]) -> CacheView:
    """Return the view of a parsed request body from any source. Irregular shapes are accepted unchanged."""
    builder = _Builder()
    tools = fields.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        builder.add("tool", index, _compact(tool))
    messages = fields.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        builder.add_message(index, message if isinstance(message, dict) else {"content": message})
    return builder.view()


class DocumentView(Struct, frozen=True):
    """A document's view, with the map from its offsets to the template that the user edits.

    `contents` holds each message's content part (None without content), `rendered` the content with its values.
    `first_variable` is the offset of the first variable's value in the view's text.
    """

    view: CacheView
    document: Document
    contents: tuple[ViewPart | None, ...]
    rendered: tuple[Rendered | None, ...]
    first_variable: int | None
    first_variable_name: str | None

    def to_template(self, offset: int) -> tuple[ViewPart, int] | None:
        """Return the part at code point `offset` of the view's text, and the offset in that part's *template*."""
        located = self.view.locate(offset)
        if located is None:
            return None
        part, inside = located
        rendered = self.rendered[part.index] if part.kind == "content" else None
        return part, rendered.to_template(inside) if rendered else inside


def view_of_document(document: Document, before: DocumentView | None = None) -> DocumentView:
    """Return the view of a document: the text of the body as it would be sent. Missing values stay as typed.

    `before`: the view of an earlier version; what both have up to the first changed message is used again.
    """
    builder = _Builder()
    same = _same_messages(document, before) if before is not None else 0
    if before is not None and same:
        end = bisect_left(before.view.parts, same, len(document.tools), key=attrgetter("index"))  # a tool is one part
        builder.begin(before.view, end)
    else:
        for index, tool in enumerate(document.tools):
            builder.add("tool", index, _compact_text(tool.json_text))
    rendered = list(before.rendered[:same]) if before is not None else []
    for index, message in enumerate(document.messages[same:], same):
        content = None if message.content is None else render(message.content, document.variables)
        rendered.append(content)
        if content is None or message.tool_calls or message.extra or message.tool_call_id is not None:
            builder.add_message(index, message_fields(message, document.variables))
        else:
            builder.add("role", index, message.role)
            builder.add("content", index, content.text)
    view = builder.view()
    by_message = {part.index: part for part in view.parts if part.kind == "content"}
    contents = tuple(map(by_message.get, range(len(document.messages))))
    first, name = None, None
    for message, part, text in zip(document.messages, contents, rendered, strict=True):
        if part is not None and text is not None and text.cuts:
            first, name = part.start + text.cuts[0][0], places(message.content or "")[0].name
            break
    return DocumentView(view, document, contents, tuple(rendered), first, name)


def _same_messages(document: Document, before: DocumentView) -> int:
    """Return how many messages at the beginning are the same objects, with the same tools and values."""
    other = before.document
    if document.tools is not other.tools or document.variables is not other.variables:
        return 0
    pairs = zip(document.messages, other.messages, strict=False)
    return next(
        (at for at, (mine, its) in enumerate(pairs) if mine is not its),
        min(len(document.messages), len(other.messages)),
    )


class _Builder:
    """Collects parts. Each part ends with a separator that belongs to it, so that no two parts run together."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._parts: list[ViewPart] = []
        self._length = 0

    def begin(self, view: CacheView, count: int) -> None:
        """Begin with the first parts of a view."""
        self._parts = list(view.parts[:count])
        self._length = self._parts[-1].end if count else 0
        self._pieces.append(view.text[: self._length])

    def add(self, kind: PartKind, index: int, text: str) -> None:
        self._pieces.append(text + END)
        end = self._length + len(text) + len(END)
        self._parts.append(ViewPart(kind, index, self._length, end))
        self._length = end

    def add_message(self, index: int, fields: Mapping[str, Json]) -> None:
        self.add("role", index, str(fields.get("role", "")))
        for kind, text in _message_parts(fields):
            self.add(kind, index, text)

    def view(self) -> CacheView:
        return CacheView("".join(self._pieces), tuple(self._parts))


END = "\x1e"
"""The record separator: usual prompts do not contain it; if one does, an offset may be wrong by one."""


def _message_parts(fields: Mapping[str, Json]) -> Iterator[tuple[PartKind, str]]:
    if "tool_call_id" in fields:
        yield "tool_call_id", str(fields["tool_call_id"])
    reasoning = next((text for name in _REASONING_FIELDS if (text := fields.get(name)) and isinstance(text, str)), None)
    if reasoning:
        yield "reasoning", REASONING + reasoning
    content = fields.get("content")
    # Clients send "" and null alike beside tool calls.
    if content is not None and not (content == "" and fields.get("tool_calls")):
        yield "content", content_text(content)
    if fields.get("tool_calls"):
        yield "tool_calls", _compact(fields["tool_calls"])
    extra: dict[str, Json] = {}
    extra.update(
        (key, value)
        for key, value in fields.items()
        if key not in _KNOWN and value is not None and not (key in _REASONING_FIELDS and isinstance(value, str))
    )
    if extra:
        yield "extra", _compact(extra)


_KNOWN = frozenset(("role", "content", "tool_calls", "tool_call_id"))


@lru_cache(maxsize=512)
def _compact_text(json_text: str) -> str:
    """Return a tool as the body contains it: how the user formatted its JSON is not sent."""
    try:
        return _compact(json.loads(json_text))
    except (ValueError, RecursionError):
        return json_text


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
