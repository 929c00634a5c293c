"""Decoding of chunks and whole completions to events. Lenient per field: an odd or unknown field is ignored.

msgspec decodes regular JSON fast. JSON that it rejects (lone surrogates, NaN, a field of another type) is decoded as
plain values, of which every field with the right type counts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from playground.client import tolerant_json
from playground.client.error_body import is_error, is_error_name
from playground.client.events import (
    Alternative,
    AnyEvent,
    BodyIdReceived,
    ContentDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
    UsageReported,
)
from playground.client.sse import JSON_LINES, NamedData
from playground.client.tolerant_json import UsageReader, count, text_of
from playground.client.tool_call_assembler import ToolCallAssembler
from playground.prompt.json_text import JsonBoundsError, check_depth, json_lines

MOST_ALTERNATIVES = 20
"""top_logprobs goes to 20 (electron-api.md, Parameters)."""
DONE = "[DONE]"
_KEEP_ALIVE = re.compile(
    r'[\s:.!"-]*(ping|pong|keep[\s_-]?alive|heart[\s_-]?beat|noop|processing|connected|ok|null|[\d.]+)?[\s:.!"-]*',
    re.IGNORECASE,
)
_DATA_PREFIX = re.compile(r"\s*data:\s*")


def is_done(data: str) -> bool:
    """Whether an event's data is the end mark, also with space or quotation marks around it."""
    return len(data) < 32 and data.strip(" \t\r\n\"'").upper() == DONE


def token_probabilities(logprobs: object) -> tuple[TokenProbability, ...]:
    """Return the tokens of `logprobs.content`; empty for another shape (such as that of the old completions API)."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return tuple(_tokens(content)) if isinstance(content, list) else ()


def _tokens(content: list[object]) -> Iterator[TokenProbability]:
    for entry in content:
        if isinstance(entry, dict) and isinstance(token := entry.get("token"), str):
            alternatives = _alternatives(entry.get("top_logprobs"))
            yield TokenProbability(whole_text(token), _logprob(entry.get("logprob")), alternatives)


def _alternatives(entries: object) -> tuple[Alternative, ...]:
    found = entries[:MOST_ALTERNATIVES] if isinstance(entries, list) else ()
    return tuple(
        Alternative(whole_text(token), _logprob(entry.get("logprob")))
        for entry in found
        if isinstance(entry, dict) and isinstance(token := entry.get("token"), str)
    )


def _logprob(value: object) -> float | None:
    """Return the logprob, None if not a number. Some servers round a certain token to slightly above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return max(min(float(value), 0.0), -9999.0)


class _Function(msgspec.Struct, gc=False):
    name: object = None
    arguments: object = None


class _ToolCall(msgspec.Struct, gc=False):
    index: object = None
    id: object = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: object = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    reasoning_content: object = None
    reasoning: object = None
    thinking: object = None
    reasoning_details: object = None
    refusal: object = None
    error: object = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: object = None
    logprobs: object = None
    text: object = None
    usage: object = None
    error: object = None


class _Chunk(msgspec.Struct, gc=False, rename={"kind": "object"}):
    id: object = None
    kind: object = None
    model: object = None
    choices: list[_Choice] | None = None
    usage: object = None
    error: object = None
    x_groq: object = None
    timings: object = None


_decode = msgspec.json.Decoder(_Chunk).decode


class NotAChunk(ValueError):  # noqa: N818 - expected from a server that is not one
    """The data is not a chat completion or a chunk of one."""


class SecondAnswer(NotAChunk):
    """A second whole completion follows the first one."""


class StreamError(Exception):
    """The server reports an error inside its response. `events`: the contents of the same chunk before the error."""

    def __init__(self, body: str, events: list[AnyEvent] | None = None) -> None:
        super().__init__(body)
        self.body, self.events = body, events or []


class ChunkDecoder:
    """Decodes the chunks of one response.

    begun: a chunk has come. finished: with a finish_reason. answered: with text, a tool call, reasoning or a refusal.
    has_whole: a whole message has come, not in pieces. passed_over: the first data that was no chunk, "" if there was
    none.
    """

    def __init__(self) -> None:
        self._reported_id = False
        self._usage = UsageReader()
        self._calls: ToolCallAssembler | None = None
        """Joins the pieces of tool calls, from the first one on."""
        self._halves: dict[object, str] = {}
        self.begun = self.finished = self.answered = False
        self._open_calls = self._has_message = self.has_whole = False
        self._has_piece = self._late = self._unfinished = False
        """Whether the present chunk has a piece of the answer, whether one came after a finish_reason, and whether a
        chunk with one has no finish_reason."""
        self.finish_reason = ""
        self.passed_over = ""
        self.passed_message = ""

    def events(self, data: str, at: float) -> list[AnyEvent]:
        """Return the events of one server-sent event's data, or of one whole completion.

        An object that is no chunk (a ping, progress) is skipped, and so is all other data before the first chunk, but
        for broken JSON. Raises NotAChunk, StreamError, JsonBoundsError.
        """
        text = data
        if data.__class__ is not str:
            if isinstance(data, NamedData) and is_error_name(data.name):
                raise StreamError(str(data))
            text = str(data)  # msgspec takes no subclass
        check_depth(text)
        try:
            chunk = _decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return self._odd(data, at)
        if not chunk.choices or chunk.error is not None or chunk.kind == "error":
            return self._odd(data, at)
        return self._chunk(chunk, data, at)

    @property
    def cut_call(self) -> bool:
        """Whether the arguments of a tool call are cut: never, after a finish_reason, if there are none."""
        return self._calls is not None and (self._calls.cut if self._open_calls else self._calls.open)

    @property
    def text_after_finish(self) -> bool:
        """Whether a piece came after the finish_reason. Some proxies of Gemini repeat it in each chunk with a piece."""
        return self._late and self._unfinished

    def end(self, at: float) -> list[AnyEvent]:
        """Return an unpaired surrogate half at the end as U+FFFD."""
        halves, self._halves = self._halves, {}
        events: list[AnyEvent] = []
        for stream in halves:
            events.append(_TEXT_EVENTS[stream](at, "\ufffd") if stream in _TEXT_EVENTS else _arguments(stream, at))
        return events

    def _odd(self, data: str, at: float) -> list[AnyEvent]:
        """Decode an irregular chunk field by field."""
        try:
            value = tolerant_json.loads_raw(data)
        except JsonBoundsError:
            raise
        except ValueError:
            return self._not_json(data, at)
        events: list[AnyEvent] = []
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                events += self._object(item, data, at)
            else:
                self._refuse(data)
        return events

    def _not_json(self, data: str, at: float) -> list[AnyEvent]:
        if isinstance(data, NamedData) and data.stray:
            return self.events(f"{data}\n{data.stray}", at)
        if prefix := _DATA_PREFIX.match(data):  # a proxy that repeats the field name
            return self.events(data[prefix.end() :], at)
        looks_like_json = data.lstrip()[:1] in ("{", "[")
        if isinstance(data, NamedData) and data.name == JSON_LINES:
            return self._json_lines(data, at)
        self._refuse(data, looks_like_json=looks_like_json)
        return []

    def _json_lines(self, data: str, at: float) -> list[AnyEvent]:
        """Decode lines outside any field of the event stream, one object each (the standard ignores such lines)."""
        lines, events = json_lines(data), list[AnyEvent]()
        if len(lines) < 2 or not all(line.startswith("{") and line.rstrip().endswith("}") for line in lines):
            self._pass_over(data)
            return events
        for line in lines:
            events += self.events(line, at)
        return events

    def _object(self, fields: dict[str, object], data: str, at: float) -> list[AnyEvent]:
        chunk = _lenient_chunk(fields)
        if is_error(fields):
            events = self._chunk(chunk, "", at) if chunk.choices else []
            raise StreamError(data, events)
        if chunk.choices is None and not (chunk.usage or chunk.timings):
            self._pass_over(data)
            if any(isinstance(fields.get(name), str) for name in ("message", "msg", "detail")):
                self.passed_message = self.passed_message or data
            return []
        return self._chunk(chunk, data, at)

    def _refuse(self, data: str, *, looks_like_json: bool = False) -> None:
        """Raise NotAChunk for data in place of a chunk; skip what is a ping, or comes before the first chunk."""
        named = isinstance(data, NamedData) and data.name
        if not (named or _KEEP_ALIVE.fullmatch(data)) and (self.begun or looks_like_json):
            raise NotAChunk(data)
        self._pass_over(data)

    def _pass_over(self, data: str) -> None:
        self.passed_over = self.passed_over or data

    def _chunk(self, chunk: _Chunk, data: str, at: float) -> list[AnyEvent]:
        """Keep a chunk. `data` is the error body if it reports an error; "" if the caller raises that itself."""
        self.begun = True
        events: list[AnyEvent] = []
        if not self._reported_id and (body_id := text_of(chunk.id)):
            self._reported_id = True
            model = text_of(chunk.model)
            events.append(BodyIdReceived(at, whole_text(body_id), whole_text(model) if model else None))
        failed = False
        of_choice = None
        for position, choice in enumerate(chunk.choices or ()):
            if (position if choice.index is None else choice.index) == 0:
                failed = self._choice(choice, at, events) or failed
            if position == 0:
                of_choice = choice.usage
        if chunk.usage is not None or chunk.timings is not None or chunk.x_groq is not None or of_choice is not None:
            self._read_usage(chunk, of_choice, at, events)
        if failed and data:
            raise StreamError(data, events)
        return events

    def _read_usage(self, chunk: _Chunk, of_choice: object, at: float, events: list[AnyEvent]) -> None:
        of_groq = chunk.x_groq.get("usage") if isinstance(chunk.x_groq, dict) else None
        usage = self._usage.read((of_choice, of_groq, chunk.usage), chunk.timings)
        if usage is not None:
            events.append(UsageReported(at, usage))

    def _choice(self, choice: _Choice, at: float, events: list[AnyEvent]) -> bool:
        """Add the choice's events. Returns whether the choice reports an error."""
        message = choice.delta or choice.message
        self._has_piece = False
        failed = choice.error is not None and is_error({"error": choice.error})
        if message is not None:
            failed = failed or (message.error is not None and is_error({"error": message.error}))
            self._message(message, at, events, whole=choice.delta is None)
        if choice.text is not None and isinstance(choice.text, str):  # the old completions API
            self._add_text("content", choice.text, at, events)
        if choice.logprobs is not None and (tokens := token_probabilities(choice.logprobs)):
            events.append(TokenProbabilities(at, tokens))
        self._has_message = self._has_message or message is not None or choice.text is not None
        reason = None if choice.finish_reason is None else text_of(choice.finish_reason)
        if self._has_piece:
            self._late = self._late or self.finished
            self._unfinished = self._unfinished or not reason
        if reason:
            events += self.end(at)
            if reason == "error":
                return True
            if not self._has_message:  # of what would be an answer without even an empty message
                return failed
            self.finished, self._open_calls = True, False
            self.finish_reason = whole_text(reason)
            events.append(Finished(at, self.finish_reason))
        return failed

    def _message(self, message: _Message, at: float, events: list[AnyEvent], *, whole: bool) -> None:
        content = message.content
        if whole and (content or message.tool_calls or message.refusal):
            if self.has_whole and self.finished:
                raise SecondAnswer
            self.has_whole = True
        if (reasoning := message.reasoning_content).__class__ is not str and not (
            content.__class__ is str
            and reasoning is None
            and message.reasoning is None
            and message.thinking is None
            and message.reasoning_details is None
        ):
            reasoning = _reasoning(message)
        if reasoning:
            self._add_text("reasoning", reasoning, at, events)
        if content is not None and (content := content if type(content) is str else _content(content)):
            self._add_text("content", content, at, events)
        if message.refusal is not None and isinstance(message.refusal, str):
            self._add_text("refusal", message.refusal, at, events)
        calls = message.tool_calls
        if message.function_call is not None and not calls:
            calls = [_ToolCall(0, None, message.function_call)]
        if calls:
            self.answered = self._open_calls = self._has_piece = True
            self._calls = self._calls or ToolCallAssembler()
            pieces = self._calls.whole(calls, at) if whole else self._calls.pieces(calls, at)
            events += map(self._whole_call, pieces)

    def _add_text(self, stream: str, text: str, at: float, events: list[AnyEvent]) -> None:
        if text := self._joined(stream, text):
            self.answered = self._has_piece = True
            events.append(_TEXT_EVENTS[stream](at, text))

    def _whole_call(self, piece: ToolCallDelta) -> ToolCallDelta:
        arguments = self._joined(piece.index, piece.arguments)
        if arguments is piece.arguments and _valid(piece.id) and _valid(piece.name):
            return piece
        return ToolCallDelta(piece.at, piece.index, _whole(piece.id), _whole(piece.name), arguments)

    def _joined(self, stream: object, text: str) -> str:
        """Join a character whose surrogate halves are in two events."""
        if self._halves:
            text = self._halves.pop(stream, "") + text
        if text.isascii():
            return text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._halves[stream] = text[-1]
            text = text[:-1]
        return whole_text(text)


_TEXT_EVENTS: dict[object, Callable[[float, str], ContentDelta | ReasoningDelta | RefusalDelta]] = {
    "content": ContentDelta,
    "reasoning": ReasoningDelta,
    "refusal": RefusalDelta,
}


def _arguments(index: object, at: float) -> ToolCallDelta:
    assert isinstance(index, int)
    return ToolCallDelta(at, index, None, None, "\ufffd")


_SURROGATE = re.compile("[\ud800-\udfff]")


def whole_text(text: str) -> str:
    """`text` with pairs of surrogates joined and lone ones replaced by U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _whole(text: str | None) -> str | None:
    return None if text is None else whole_text(text)


def _valid(text: str | None) -> bool:
    return text is None or text.isascii() or not _SURROGATE.search(text)


def _reasoning(message: _Message) -> str:
    """Return the reasoning text under its first name; servers that send two names send the same text in both."""
    for value in (message.reasoning_content, message.reasoning, message.thinking):
        if value and (text := value if isinstance(value, str) else _content(value)):
            return text
    if isinstance(message.reasoning_details, list):
        return _content(message.reasoning_details)
    content = message.content
    if isinstance(content, list):  # Mistral: parts of type "thinking" inside the content
        parts = (part.get("thinking") for part in content if isinstance(part, dict) and part.get("type") == "thinking")
        return "".join(map(_content, parts))
    return ""


_TEXT_TYPES = ("text", "output_text", "reasoning.text", None)


def _content(value: object) -> str:
    """Return the text, also of a number, a part or a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        text = value.get("text")
        return text if isinstance(text, str) and value.get("type") in _TEXT_TYPES else ""
    return "".join(map(_content, value)) if isinstance(value, list) else ""


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _lenient_chunk(fields: dict[str, object]) -> _Chunk:
    chunk = _lenient(_Chunk, {"kind" if name == "object" else name: value for name, value in fields.items()})
    choices = fields.get("choices")
    chunk.choices = [_lenient_choice(item) for item in choices] if isinstance(choices, list) else None
    return chunk


def _lenient_choice(value: object) -> _Choice:
    fields = value if isinstance(value, dict) else {}
    choice = _lenient(_Choice, fields)
    choice.index = count(fields.get("index"))
    choice.delta, choice.message = _lenient_message(fields.get("delta")), _lenient_message(fields.get("message"))
    return choice


def _lenient_message(value: object) -> _Message | None:
    if not isinstance(value, dict):
        # Some servers send the delta as the text itself.
        return _Message(content=value) if isinstance(value, str) else None
    message = _lenient(_Message, value)
    calls = value.get("tool_calls")
    calls = [calls] if isinstance(calls, dict) else calls
    found = [_lenient_call(item) for item in calls if isinstance(item, dict)] if isinstance(calls, list) else []
    message.tool_calls = found or None
    message.function_call = _lenient_function(value.get("function_call"))
    return message


def _lenient_call(fields: dict[str, object]) -> _ToolCall:
    return _ToolCall(fields.get("index"), fields.get("id"), _lenient_function(fields.get("function")))


def _lenient_function(value: object) -> _Function | None:
    return _Function(value.get("name"), value.get("arguments")) if isinstance(value, dict) else None


def _lenient(kind: type[_Struct], fields: dict[str, object]) -> _Struct:
    return kind(**{name: fields[name] for name in kind.__struct_fields__ if name in fields})
