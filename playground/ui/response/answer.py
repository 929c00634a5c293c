"""The answer as one JSON object: as it came where it came whole, else put together from the stream."""

from __future__ import annotations

import json

from playground.runs.json_place import Fault, read_json
from playground.runs.state import RunState


def answer_json(state: RunState) -> tuple[str, str]:
    """(what this is, the JSON text, indented). An error's body comes as it is where it is not JSON."""
    if state.trouble is not None and state.trouble.body:
        return "The error's body, as received", _pretty(state.trouble.body)
    if len(state.raw) == 1 and not _is_chunk(state.raw[0].data):
        return "The response's body, as received", _pretty(state.raw[0].data)
    pieces = f"{len(state.raw):,} events" if state.raw else "the stream"
    return f"Put together from {pieces}", json.dumps(_merged(state), indent=2, ensure_ascii=False)


def judged(text: str, finish_reason: str | None) -> tuple[str, Fault | None]:
    """(what is to be said of an answer that was asked to be JSON, its first fault). `text` is the whole answer."""
    value = read_json(text)
    if isinstance(value, Fault):
        why = " · cut at the token limit (finish_reason length)" if finish_reason == "length" else ""
        return f"✗ Not JSON: {value}{why}", value
    if isinstance(value, dict):
        return "✓ The answer is a JSON object, as asked", None
    return "✗ JSON, but not an object, which is what response_format asks for", None


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _is_chunk(data: str) -> bool:
    return '"chat.completion.chunk"' in data or data.strip() == "[DONE]"


def _merged(state: RunState) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": state.text or None}
    if state.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for _, call in sorted(state.tool_calls.items())
        ]
    return {
        "id": state.body_id,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": state.finish_reason}],
        "usage": _usage(state),
    }


def _usage(state: RunState) -> dict[str, object] | None:
    usage = state.usage
    if usage is None:
        return None
    fields: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        fields["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return fields
