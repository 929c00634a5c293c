"""The simulator's JSON: requests validated or refused (fields, ranges, context length); completions, chunks, errors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from playground.simulator.engine import pieces
from playground.simulator.reply import Call, SimulatedReply

Path = tuple[str | int, ...]
ROLES = ("system", "user", "assistant", "tool")
MAX_MESSAGES = 200
MAX_TOOLS = 64
CONTEXT_TOKENS = 32_768
NUMBERS = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}


@dataclass(frozen=True)
class ErrorDetail:
    """An invalid field."""

    code: str
    message: str
    path: Path


def problems(fields: Any) -> list[ErrorDetail]:
    """Return all errors of a request body; empty if it is valid."""
    if not isinstance(fields, dict):
        return [ErrorDetail("invalid_type", "The body must be a JSON object", ())]
    return [
        *_model(fields),
        *_messages(fields.get("messages")),
        *_tools(fields.get("tools"), "tools" in fields),
        *_tool_choice(fields),
        *_parameters(fields),
        *_dependent(fields),
    ]


def _model(fields: dict[str, Any]) -> Iterator[ErrorDetail]:
    if fields.get("model") != "electron":
        yield ErrorDetail("invalid_value", 'model must be "electron"', ("model",))


def _messages(messages: Any) -> Iterator[ErrorDetail]:
    if not isinstance(messages, list):
        yield ErrorDetail("invalid_type", "messages must be a list", ("messages",))
        return
    if not 1 <= len(messages) <= MAX_MESSAGES:
        yield ErrorDetail("invalid_size", f"messages must have 1 to {MAX_MESSAGES} items", ("messages",))
    for index, message in enumerate(messages):
        yield from _message(message, ("messages", index))


def _message(message: Any, path: Path) -> Iterator[ErrorDetail]:
    if not isinstance(message, dict):
        yield ErrorDetail("invalid_type", "a message must be an object", path)
        return
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        yield ErrorDetail("invalid_enum_value", f"role must be one of {', '.join(ROLES)}", (*path, "role"))
    calls = message.get("tool_calls")
    if content is None:
        if not (role == "assistant" and calls):
            yield ErrorDetail("invalid_type", "content must be a string", (*path, "content"))
    elif not isinstance(content, str):
        yield ErrorDetail("invalid_type", "content must be a string", (*path, "content"))
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        yield ErrorDetail("required", "tool_call_id is required on a tool message", (*path, "tool_call_id"))
    if calls is not None:
        yield from _calls(calls, (*path, "tool_calls"))


def _calls(calls: Any, path: Path) -> Iterator[ErrorDetail]:
    if not isinstance(calls, list):
        yield ErrorDetail("invalid_type", "tool_calls must be a list", path)
        return
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            yield ErrorDetail(
                "required", "a tool call needs a function with a name", (*path, index, "function", "name")
            )
        elif not isinstance(function.get("arguments"), str):
            yield ErrorDetail("invalid_type", "arguments must be a string", (*path, index, "function", "arguments"))


def _tools(tools: Any, given: bool) -> Iterator[ErrorDetail]:
    if not given:
        return
    if not isinstance(tools, list) or not 1 <= len(tools) <= MAX_TOOLS:
        yield ErrorDetail("invalid_size", f"tools must have 1 to {MAX_TOOLS} items; leave it out for none", ("tools",))
        return
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            yield ErrorDetail("invalid_type", 'a tool must be {"type": "function", "function": {…}}', ("tools", index))
        elif not isinstance(function.get("name"), str) or not function["name"]:
            yield ErrorDetail("required", "a function needs a name", ("tools", index, "function", "name"))


def _tool_choice(fields: dict[str, Any]) -> Iterator[ErrorDetail]:
    choice = fields.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return
    if choice == "required":
        if not fields.get("tools"):
            yield ErrorDetail("invalid_value", "tool_choice required needs tools", ("tool_choice",))
        return
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if not isinstance(function, dict) or function.get("name") not in tool_names(fields):
        yield ErrorDetail(
            "invalid_value", "tool_choice must be auto, required, none or one of the tools", ("tool_choice",)
        )


def tool_names(fields: dict[str, Any]) -> list[str]:
    """Return the names of the offered tools; ignores invalid definitions."""
    tools = fields.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return [function["name"] for function in functions if isinstance(function, dict) and "name" in function]


def _parameters(fields: dict[str, Any]) -> Iterator[ErrorDetail]:
    for name, (code, words, is_valid) in _PARAMETERS.items():
        value = fields.get(name)
        if value is not None and not is_valid(value):
            yield ErrorDetail(code, f"{name} must be {words}", (name,))


def _is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_whole(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    return isinstance(value, int) and _is_number(value, low, high)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_stop(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and len(value) <= 4 and all(map(_is_text, value)))


def _is_bias(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_number(bias, -100, 100) for bias in value.values())


_PARAMETERS: Mapping[str, tuple[str, str, Callable[[Any], bool]]] = {
    **{
        name: ("out_of_range", f"a number from {low:g} to {high:g}", partial(_is_number, low=low, high=high))
        for name, (low, high) in NUMBERS.items()
    },
    "max_tokens": ("out_of_range", "a whole number from 1 on", partial(_is_whole, low=1)),
    "seed": ("invalid_type", "a whole number", _is_whole),
    "top_logprobs": ("out_of_range", "a whole number from 0 to 20", partial(_is_whole, low=0, high=20)),
    "stop": ("invalid_type", "a string or up to 4 strings", _is_stop),
    "stream": ("invalid_type", "true or false", _is_flag),
    "logprobs": ("invalid_type", "true or false", _is_flag),
    "stream_options": ("invalid_type", "an object", lambda value: isinstance(value, dict)),
    "user": ("invalid_type", "a string", _is_text),
    "logit_bias": ("invalid_type", "a map of token ids to numbers from -100 to 100", _is_bias),
}
"""Code and words of the error, and the check, of each parameter that has a rule by itself."""


def _dependent(fields: dict[str, Any]) -> Iterator[ErrorDetail]:
    """Yield the errors inside objects, of parameters that need others, and of those that are not supported."""
    if fields.get("top_logprobs") is not None and fields.get("logprobs") is not True:
        yield ErrorDetail("required", "top_logprobs needs logprobs: true", ("logprobs",))
    form, options = fields.get("response_format"), fields.get("stream_options")
    if form is not None and not (isinstance(form, dict) and form.get("type") in ("text", "json_object")):
        path = ("response_format", "type")
        yield ErrorDetail("invalid_enum_value", "response_format type must be text or json_object", path)
    if isinstance(options, dict) and not _is_flag(options.get("include_usage", False)):
        yield ErrorDetail("invalid_type", "include_usage must be true or false", ("stream_options", "include_usage"))
    if fields.get("n") not in (None, 1):
        yield ErrorDetail("unsupported_parameter", "n above 1 is not supported", ("n",))
    if fields.get("prompt_logprobs") is not None:
        yield ErrorDetail("unsupported_parameter", "prompt_logprobs is not supported", ("prompt_logprobs",))


def context_problem(fields: dict[str, Any], prompt_tokens: int) -> ErrorDetail | None:
    """Check that input and output together fit into the context."""
    wanted = prompt_tokens + (fields.get("max_tokens") or 0)
    if wanted <= CONTEXT_TOKENS and prompt_tokens < CONTEXT_TOKENS:
        return None
    return ErrorDetail(
        "context_length_exceeded",
        f"{prompt_tokens} prompt tokens and max_tokens {fields.get('max_tokens') or 0} are more than {CONTEXT_TOKENS}",
        ("messages",),
    )


ARGUMENT_PIECE = 4
"""Tokens of arguments per chunk."""


@dataclass(frozen=True)
class AnswerBody:
    """Input of a response."""

    id: str
    model: str
    reply: SimulatedReply
    prompt_tokens: int
    cached_tokens: int
    details: bool = True
    top_logprobs: int | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def usage(self) -> dict[str, Any]:
        return self.usage_after(self.reply.completion_tokens)

    def usage_after(self, completion_tokens: int) -> dict[str, Any]:
        """Return the usage after that many generated tokens."""
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }
        if self.details:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        return usage


def completion(answer: AnswerBody) -> dict[str, Any]:
    """Return the whole answer, not streamed."""
    reply = answer.reply
    message: dict[str, Any] = {"role": "assistant", "content": reply.text if reply.tokens else None}
    if reply.calls:
        message["tool_calls"] = [_whole_call(call) for call in reply.calls]
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    if answer.top_logprobs is not None:
        choice["logprobs"] = logprobs(reply.tokens, answer.top_logprobs)
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [choice],
        "usage": answer.usage,
    }


def _whole_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def chunks(answer: AnswerBody) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every chunk up to the finish_reason, with the number of tokens that it takes to generate."""
    reply = answer.reply
    yield 0, _chunk(answer, {"role": "assistant", "content": "" if reply.tokens else None})
    for token in reply.tokens:
        extra = {} if answer.top_logprobs is None else {"logprobs": logprobs([token], answer.top_logprobs)}
        yield 1, _chunk(answer, {"content": token}, extra)
    for index, call in enumerate(reply.calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield 4, _chunk(answer, {"tool_calls": [head]})
        for piece in _pieces(call.arguments):
            body = {"index": index, "function": {"arguments": piece}}
            yield ARGUMENT_PIECE, _chunk(answer, {"tool_calls": [body]})
    yield 0, _chunk(answer, {}, {"finish_reason": reply.finish_reason})


def _pieces(arguments: str) -> Iterator[str]:
    tokens = pieces(arguments)
    for start in range(0, len(tokens), ARGUMENT_PIECE):
        yield "".join(tokens[start : start + ARGUMENT_PIECE])


def _chunk(answer: AnswerBody, delta: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": None, **(extra or {})}
    return {**_head(answer), "choices": [choice]}


def scripted_chunk(
    answer: AnswerBody, delta: Mapping[str, Any], at_ms: float, finish_reason: str | None = None
) -> dict[str, Any]:
    """Return a chunk of a scenario, with its scripted time."""
    return {**_chunk(answer, delta, {"finish_reason": finish_reason}), "simulated_ms": at_ms}


def usage_chunk(answer: AnswerBody) -> dict[str, Any]:
    """Return the last chunk before [DONE]; sent only if the request includes usage."""
    return {**_head(answer), "choices": [], "usage": answer.usage}


def _head(answer: AnswerBody) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
    }


def logprobs(tokens: Sequence[str], top: int) -> dict[str, Any]:
    """Return invented, deterministic log probabilities; the chosen token has the highest, and the sum is at most 1."""
    return {"content": [_logprob(token, top) for token in tokens]}


def _logprob(token: str, top: int) -> dict[str, Any]:
    chosen = 0.55 + (len(token) % 5) / 12
    own, ratio = math.log(chosen), math.exp(-1.5)
    # The alternatives are a geometric series whose infinite sum is what the chosen token leaves.
    second = math.log((1 - chosen) * (1 - ratio))
    others = [(token, own)] + [(f"{token[:1]}~{rank}", second - 1.5 * (rank - 1)) for rank in range(1, top)]
    alternatives = [_entry(text, value) for text, value in others[:top]]
    return {**_entry(token, own), "top_logprobs": alternatives}


def _entry(token: str, value: float) -> dict[str, Any]:
    rounded = math.floor(value * 10_000) / 10_000  # down: the sum must not exceed 1
    return {"token": token, "logprob": rounded, "bytes": list(token.encode("utf-8", "replace"))}


def error(kind: str, message: str, request_id: str, details: Sequence[ErrorDetail] = ()) -> dict[str, Any]:
    """Return the error envelope; `details` is present only if there are any."""
    body: dict[str, Any] = {"message": message, "type": kind}
    if details:
        body["details"] = [asdict(detail) for detail in details]
    body["request_id"] = request_id
    return {"error": body}


def event(value: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n\n"
