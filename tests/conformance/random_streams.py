"""Random responses with their expected meaning, generated and judged without the client's code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

Kind = Literal["spoken", "mutated", "noise", "error", "whole", "echo"]
KINDS: tuple[Kind, ...] = ("spoken", "spoken", "mutated", "mutated", "noise", "error", "whole", "echo")
KEY = "sk_planted-0123456789/+AbCdEf"
"""The API key that the responses of kind "echo" repeat; no output may contain it."""

_LETTERS = 'aZ 09"\\/{}[]:,\n\r\t\0\x0b\x0c\x1f\x85\u2028\u2029\ufeff\u00e9न\u0301🙂👩‍🔧مر漢'
_WORDS = (
    *(
        b"data: ",
        b"data:",
        b"data",
        b"event: x",
        b"id: 1",
        b": c",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"[DONE]",
        b"\xef\xbb\xbf",
    ),
    *(
        b'{"choices":[',
        b'{"delta":{"content":"',
        b'"}}',
        b"]}",
        b"null",
        b'"error":',
        b'"usage":{',
        b'"tool_calls":[{"index":',
    ),
    *(
        b"1e999",
        b"-1",
        b"99999999999999999999",
        b'"\\ud83d"',
        b"\xff",
        b"\xe2\x80\xa8",
        b"\xf0\x9f",
        b"\x00",
        b"NaN",
        b"[[[[[[",
        b'{"a":' * 300,
        b"\x1b]0;t\x07\x1b[2J",
        b"\\u0073\\u006b_",
        b"error: ",
        b"event: error",
    ),
)


@dataclass(frozen=True)
class Expected:
    """The meaning of a stream up to its end. `error` is the kind of its error, "" for none."""

    text: str = ""
    calls: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    error: str = ""
    saw_done: bool = False


@dataclass(frozen=True)
class Response:
    """What a server answers. `pieces`: the body as the network cuts it; `breaks`: the connection then dies.

    `expected` is None if only the invariants apply: the run ends without an exception and has its request_id.
    """

    kind: Kind
    status: int
    content_type: str
    request_id: str | None
    pieces: tuple[bytes, ...]
    breaks: bool
    expected: Expected | None

    @property
    def uncut(self) -> Response:
        """The same, in one piece."""
        return replace(self, pieces=(b"".join(self.pieces),))


def response(chance: Random) -> Response:
    """One random response."""
    kind = chance.choice(KINDS)
    content_type = chance.choice(
        ("text/event-stream", "text/event-stream", "Text/Event-Stream; charset=latin-1", "", "text/plain")
    )
    breaks, expected, status = chance.random() < 0.2, None, 200
    if kind == "spoken":
        body, expected = _spoken(chance, breaks, "event-stream" in content_type.lower())
    elif kind == "error":
        status, content_type = (
            chance.choice((400, 401, 404, 429, 500, 503, 599)),
            chance.choice(("application/json", "text/html", "")),
        )
        body = mutated(chance, _envelope(chance)) if chance.random() < 0.8 else _noise(chance)
    elif kind == "echo":
        body, breaks = _echo(chance), False
    elif kind == "whole":
        content_type, body = (
            chance.choice(("application/json", "text/plain", "")),
            mutated(chance, _completion(chance)),
        )
    else:
        body = _noise(chance) if kind == "noise" else mutated(chance, _spoken(chance, False, True)[0])
    request_id = f"req-{chance.getrandbits(64):016x}" if chance.random() < 0.9 else None
    return Response(kind, status, content_type, request_id, tuple(_cut(chance, body)), breaks, expected)


def _cut(chance: Random, body: bytes) -> Iterator[bytes]:
    most = chance.choice((1, 3, 20, 200, 10_000))
    start = 0
    while start < len(body):
        end = start + chance.randint(1, most)
        yield body[start:end]
        start = end


def text(chance: Random) -> str:
    """A short text with everything in it that has ever broken a stream."""
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randint(0, 6)))


@dataclass(frozen=True)
class _Part:
    """One event of a stream. `told` is the offset in it from which on it counts.

    `at_end`: the same, where the stream then ends as it should: [DONE] needs no end of its line there.
    """

    data: bytes
    told: int
    at_end: int
    name: str
    value: object = None


def _spoken(chance: Random, breaks: bool, typed: bool) -> tuple[bytes, Expected]:
    """Return a stream of well-formed events in any order, possibly cut at any byte, and its meaning."""
    parts = [_part(chance) for _ in range(chance.randint(0, 12))]
    body = b"\xef\xbb\xbf" if chance.random() < 0.1 else b""
    if not typed:  # without the content type, the first bytes must show that it is a stream
        body += b": stream\n\n"
    ends: list[tuple[int, _Part]] = []
    for part in parts:
        ends.append((len(body) + (part.told if breaks else part.at_end), part))
        body += part.data
    if chance.random() < 0.4:
        body = body[: chance.randint(0 if typed else body.index(b"\n\n") + 2, len(body))]
    return body, _judged([part for end, part in ends if end <= len(body)], breaks, typed)


def _judged(parts: list[_Part], breaks: bool, typed: bool) -> Expected:
    said, begun, passed_over, open_calls = Expected(), False, False, False
    for part in parts:
        if part.name == "junk" and _is_passed_over(str(part.value), begun):
            passed_over = True
            continue
        if part.name in ("error", "junk"):
            return replace(said, error="stream_error" if part.name == "error" else "protocol")
        if part.name == "done":
            if _is_cut(said, open_calls):
                return replace(said, error="cut")
            answered = said.finish_reason is not None or said.text or said.calls
            return replace(said, saw_done=True) if answered else replace(said, error="protocol")
        begun = begun or part.name in ("content", "call", "finish", "usage", "other")
        passed_over = passed_over or part.name == "foreign"
        said = _added(said, part)
        open_calls = part.name == "call" or (open_calls and part.name != "finish")
    if (breaks and said.finish_reason is None) or _is_cut(said, open_calls):
        return replace(said, error="cut")
    if said.finish_reason is None:
        return replace(said, error="cut" if begun or (typed and not passed_over) else "protocol")
    return said


def _is_cut(said: Expected, open_calls: bool) -> bool:
    """Return whether a call is cut: not whole at the end, or, with a finish_reason, JSON that is not closed."""
    return not _are_whole(said) if open_calls else any(_is_unclosed(call[2]) for call in said.calls.values())


_LITERALS = ("n", "nu", "t", "tr", "f", "fa")


def _is_unclosed(arguments: str) -> bool:
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", arguments, flags=re.DOTALL)
    text = arguments.lstrip(" \t\r\n")
    behind = text[1:].lstrip(" \t\r\n")[:2]
    begins = {
        "{": behind[:1] in ("", '"', "}"),
        "[": behind[:1] in ("", "[", "{", '"', "]", "-") or behind[:1] in (*"0123456789",) or behind in _LITERALS,
        '"': True,
    }
    if not begins.get(text[:1], False):
        return False
    return '"' in outside or sum(outside.count(sign) for sign in "{[") > sum(outside.count(sign) for sign in "}]")


def _are_whole(said: Expected) -> bool:
    """Whether the arguments of all calls are JSON: a call without a finish_reason after it is cut otherwise."""
    try:
        for _, _, arguments in said.calls.values():
            json.loads(arguments)
    except ValueError:
        return False
    return True


def _is_passed_over(junk: str, begun: bool) -> bool:
    """JSON that is no object is passed over; text that is not JSON only before the first chunk."""
    if junk in ("7", '"text"'):
        return True
    return not begun and junk[0] not in "[{"


def _added(said: Expected, part: _Part) -> Expected:
    match part.name, part.value:
        case "content", str(content):
            return replace(said, text=said.text + content)
        case "call", (int(index), str(id), str(name), str(arguments)):
            before = said.calls.get(index, ("", "", ""))
            return replace(
                said, calls={**said.calls, index: (id or before[0], name or before[1], before[2] + arguments)}
            )
        case "finish", str(reason):
            return replace(said, finish_reason=reason)
        case "usage", int(tokens):
            return replace(said, prompt_tokens=tokens)
    return said


def _part(chance: Random) -> _Part:
    name = chance.choices(
        ("content", "call", "finish", "usage", "other", "comment", "foreign", "done", "error", "junk"),
        (40, 20, 5, 6, 4, 10, 4, 4, 1, 1),
    )[0]
    if name == "comment":
        data = chance.choice(
            (b": hi\n\n", b":\r\n", b"\n", b"event: ping\n\n", b"id: 3\r\r", b"data:\n\n", b"data\n\n", b"retry: 1\n\n")
        )
        return _Part(data, len(data), len(data), name)
    value: object = None
    if name == "done":
        written = "[DONE]"
    elif name == "junk":
        written = chance.choice(("<html>", "[1", "{", "nul", "7", '"text"', "\u2028x"))
        value = written
    else:
        value, fields = _meaning(chance, name)
        written = json.dumps(fields, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, None, None, 1)))
    return _framed(chance, name, value, written)


def _framed(chance: Random, name: str, value: object, written: str) -> _Part:
    """The event as bytes. It counts with the first byte of its empty line: a CR LF that is cut has ended the line."""
    end, space = chance.choice((b"\n", b"\r\n", b"\r")), chance.choice((b"", b" "))
    before = chance.choice((b"", b"", b"", b": c" + end, b"event: message" + end, b"id: 9" + end, b"x: y" + end))
    data = before + b"".join(b"data:" + space + line.encode() + end for line in written.split("\n")) + end
    told = len(data) - len(end) + 1
    if name == "junk":
        return _Part(data, told, told, name, value)
    # At the end of the response an event counts once its data is whole.
    return _Part(data, told, len(data) - 2 * len(end), name, value)


def _meaning(chance: Random, name: str) -> tuple[object, dict[str, object]]:
    head: dict[str, object] = {"id": "c1", "object": "chat.completion.chunk", "model": "m", "created": 1}
    if name == "content":
        said = text(chance)
        return said, {
            **head,
            "choices": [{"index": 0, "delta": {"content": said}, "finish_reason": None}],
            "usage": None,
        }
    if name == "call":
        # Without "{" the arguments are never a whole object, after which another call may begin.
        index, arguments = chance.randint(0, 3), text(chance).replace("{", "")
        id, called = (f"call_{index}", "find") if chance.random() < 0.4 else ("", "")
        function = {"arguments": arguments, **({"name": called} if called else {})}
        call = {"index": index, "function": function, **({"id": id, "type": "function"} if id else {})}
        return (index, id, called, arguments), {**head, "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    if name == "finish":
        reason = chance.choice(("stop", "length", "tool_calls", "content_filter", "odd"))
        return reason, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if name == "usage":
        tokens = chance.randint(0, 40_000)
        counted = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
        return tokens, {**head, "choices": [], "usage": counted}
    if name == "other":
        return None, {**head, "choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    if name == "foreign":
        return None, {"ping": text(chance), "deep": 0}
    return None, {"error": chance.choice(("stopped", {"message": "stopped", "code": 5}))}


def _echo(chance: Random) -> bytes:
    """A stream that repeats the key: in any field, escaped or not, whole or in pieces."""
    field = chance.choice(("content", "reasoning_content", "refusal", "arguments", "name", "id", "logprobs"))
    pieces = [KEY] if chance.random() < 0.3 else _pieces(chance, KEY)
    text_before = text(chance).replace("\\", "")
    chunks = [_echoing(chance, field, piece) for piece in (text_before, *pieces, text(chance))]
    head = {"id": KEY if chance.random() < 0.3 else "c", "model": KEY if chance.random() < 0.3 else "m"}
    last = chance.choice(("stop", KEY))
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": last}]})
    if chance.random() < 0.3:
        chunks.insert(0, {"type": "ping", "note": KEY})
    written = [_escaped(chance, json.dumps({**head, **one}, ensure_ascii=False)) for one in chunks]
    end = b"" if chance.random() < 0.3 else b"data: [DONE]\n\n"
    return b"".join(b"data: " + one.encode() + b"\n\n" for one in written) + end


def _pieces(chance: Random, whole: str) -> list[str]:
    most = chance.choice((1, 1, 3, 9))
    pieces, start = [], 0
    while start < len(whole):
        end = start + chance.randint(1, most)
        pieces.append(whole[start:end])
        start = end
    return pieces


def _echoing(chance: Random, field: str, piece: str) -> dict[str, object]:
    if field == "logprobs":
        token = {"token": piece, "logprob": -0.1, "top_logprobs": [{"token": piece, "logprob": -0.1}]}
        return {"choices": [{"index": 0, "delta": {"content": piece}, "logprobs": {"content": [token]}}]}
    if field in ("arguments", "name"):
        return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {field: piece}}]}}]}
    if field == "id":
        return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": piece, "function": {}}]}}]}
    return {"choices": [{"index": 0, "delta": {field: piece}}]}


def _escaped(chance: Random, written: str) -> str:
    """JSON text with some characters inside its strings escaped."""
    share = chance.choice((0.0, 0.5, 1.0))
    escaped, in_string, after_backslash = "", False, False
    for character in written:
        if in_string and not after_backslash and character not in '"\\' and chance.random() < share:
            escaped += f"\\u{ord(character):04x}" if ord(character) < 0x10000 else character
            continue
        if character == '"' and not after_backslash:
            in_string = not in_string
        after_backslash = character == "\\" and not after_backslash
        escaped += character
    return escaped


def _envelope(chance: Random) -> bytes:
    details = [{"code": "x", "message": text(chance), "path": ["messages", chance.randint(-1, 9), "role"]}]
    error = {"message": text(chance), "type": "invalid_request_error", "details": details, "request_id": "of-the-body"}
    shapes = ({"error": error}, {"detail": details}, {"error": "no", "message": text(chance)}, [{"error": error}])
    return json.dumps(chance.choice(shapes), ensure_ascii=False).encode()


def _completion(chance: Random) -> bytes:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text(chance)}}
    message = {"role": "assistant", "content": text(chance), "tool_calls": chance.choice(([call], [], None))}
    token = {"token": text(chance), "logprob": -0.5, "bytes": [1], "top_logprobs": []}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": [token]}}
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    return json.dumps({"id": "c", "choices": [choice], "usage": usage}, ensure_ascii=False).encode()


def mutated(chance: Random, body: bytes) -> bytes:
    """Bytes changed, left out, doubled, exchanged or put in."""
    changed = bytearray(body)
    for _ in range(chance.randint(0, 6)):
        start = chance.randint(0, len(changed))
        end = min(len(changed), start + chance.choice((0, 1, 2, 8, 60)))
        match chance.randint(0, 3):
            case 0:
                del changed[start:end]
            case 1:
                changed[start:end] = bytes(chance.randrange(256) for _ in range(end - start))
            case 2:
                changed[start:start] = chance.choice(_WORDS)
            case _:
                changed[start:start] = changed[end : end + chance.randint(0, 40)]
    return bytes(changed)


def _noise(chance: Random) -> bytes:
    if chance.random() < 0.3:
        return chance.randbytes(chance.randint(0, 200))
    return b"".join(chance.choice(_WORDS) for _ in range(chance.randint(0, 40)))
