"""The outcome of a run as one JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import astuple, replace

from playground.client.events import ApiError, Usage
from playground.client.tolerant_json import choices_of
from playground.prompt.document import Json
from playground.prompt.json_text import JsonBoundsError, loads, read_json
from playground.runs.metrics import WRONG_USAGE, left_out_of_parts, unusable_counts
from playground.runs.state import RunState

if TYPE_CHECKING:
    from playground.runs.run import Run


def summary(run: Run) -> dict[str, Json]:
    """Return the run's outcome; times in milliseconds.

    `usage` and `tool_calls` have the shape of the API's response, and the flat keys of earlier versions too.
    """
    state = run.state
    forecast = run.forecast
    usage = wire_usage(state.usage)
    return {
        "request_id": state.request_id,
        "request_ids": _request_ids(state),
        "status": state.status,
        "attempts": _attempts(state),
        "text": state.text,
        "reasoning": state.reasoning or None,
        "refusal": state.refusal or None,
        "tool_calls": _tool_calls(state),
        "finish_reason": state.finish_reason,
        **({"further_choices": further} if (further := wire_choices(state)) else {}),
        "usage": {**usage, "cached_tokens": state.usage.cached_tokens} if usage and state.usage else None,
        "forecast": {"cached_tokens": round(forecast.cached_tokens), "basis": forecast.basis} if forecast else None,
        "ttft_ms": rounded_ms(state.ttft_s),
        "duration_ms": rounded_ms(state.ended_at),
        "error": error_object(state.error),
        "warnings": warning_objects(state),
    }


_ENDED_EARLY = {
    None: ("The answer ended without finish_reason", "It may be cut.", "Compare it with what was asked."),
    "length": ("The answer was cut at max_tokens (finish_reason length)", "", "Raise max_tokens for the rest."),
    "content_filter": ("The server's filter ended the answer (finish_reason content_filter)", "", ""),
}
_SHORT_TOKENS = 4
"""An answer of so few tokens that ends at max_tokens is no warning: the cache lab and keep-warm ask for one token."""
CUT_TRANSFER = ApiError(
    "cut_transfer",
    "The response ended early, after its finish_reason",
    "The answer is complete. What follows it (usage, further choices, [DONE], its end) did not come in full.",
)
TEXT_AFTER_FINISH = ApiError(
    "text_after_finish",
    "A part of the answer came after its finish_reason",
    "It is in the answer. The server may have joined two answers.",
)
UNNAMED_CALL = ApiError("unnamed_tool_call", "A tool call has no name", "No tool can be run for it.")
MORE_AFTER_DONE = ApiError(
    "more_after_done",
    "The server sent more after the end of the answer ([DONE])",
    "It is not in the answer and not stored: a second answer, or an error.",
)


def warnings(state: RunState, further: Mapping[int, RunState] | None = None) -> tuple[ApiError, ...]:
    """Return the reasons that the answer of a run that is done may be incomplete, or its usage report wrong.

    Kinds: those of `_of_choice`, cut_transfer, more_after_done, wrong_usage, and noted if only the title is stored.

    `further`: its further choices, if the caller has them.
    """
    if state.phase != "done":
        return ()
    further = further_choices(state) if further is None else further
    output = state.usage.completion_tokens if state.usage else None
    is_short = output is not None and output <= _SHORT_TOKENS * (1 + len(further))
    found = [*_of_choice(state, is_short=is_short)]
    for index, choice in further.items():
        of_choice = _of_choice(choice, is_short=is_short)
        found += (replace(one, title=f"Choice {index}: {one.title}") for one in of_choice)
    if not state.saw_done and state.finish_reason is not None:
        found.append(CUT_TRANSFER)
    if state.more_after_done:
        found.append(MORE_AFTER_DONE)
    if wrong := _wrong_usage(state):
        found.append(ApiError("wrong_usage", WRONG_USAGE, f"It says: {wrong}."))
    return (*found, *(ApiError("noted", title) for title in state.noted))


def _wrong_usage(state: RunState) -> str:
    """Return the reported counts that are not plausible or contradict each other, as text; empty if none do."""
    usage = state.usage or Usage(None, None, None, None)
    prompt, output, total, cached = astuple(usage)
    found = [unusable_counts(state)]
    if prompt is not None and cached is not None and cached > prompt:
        found.append(f"{cached:,} cached of {prompt:,} input tokens")
    if usage.parts_left_out + (cached or 0) < 0 or left_out_of_parts(state):
        found.append(f"{prompt:,} input and {output:,} output tokens, {total:,} in total")
    return "; ".join(filter(None, found))


def _of_choice(state: RunState, *, is_short: bool) -> Iterator[ApiError]:
    """Yield the warnings about one choice. `is_short`: the response has at most _SHORT_TOKENS per choice.

    Kinds: no_finish_reason, length, content_filter, no_tool_call, unnamed_tool_call, repeated_call_id, bad_arguments,
    replaced_text, text_after_finish.
    """
    if (reason := state.finish_reason) in _ENDED_EARLY and not (reason == "length" and is_short):
        yield ApiError(reason or "no_finish_reason", *_ENDED_EARLY[reason])
    if reason in ("tool_calls", "function_call") and not state.tool_calls:
        yield ApiError("no_tool_call", f"The answer has no tool call, and finish_reason {reason}")
    if not all(call.name.strip() for call in state.calls):
        yield UNNAMED_CALL
    ids = [call.id for call in state.calls if call.id]
    if len(set(ids)) < len(ids):
        yield ApiError("repeated_call_id", "Two tool calls have the same id", "Their results cannot be told apart.")
    arguments = [call.arguments for call in state.calls]
    if any(text.strip() and not isinstance(read_json(text), dict) for text in arguments):
        yield ApiError("bad_arguments", "The arguments of a tool call are not a JSON object", "They may be cut.")
    if any("\ufffd" in text for text in (state.text, state.reasoning, state.refusal, *arguments)):
        yield ApiError(
            "replaced_text",
            "The answer has replacement characters (U+FFFD)",
            "Some of what the server or the model wrote was no valid text, and is lost.",
        )
    if state.text_after_finish:
        yield TEXT_AFTER_FINISH


def warning_objects(state: RunState) -> list[Json]:
    return [
        {"kind": one.kind, "message": one.title, "detail": one.detail, "advice": one.advice} for one in warnings(state)
    ]


def _attempts(state: RunState) -> list[Json]:
    rows: list[Json] = []
    ended_at: float | None = None
    for attempt in state.attempts:
        rows.append(
            {
                "request_id": attempt.request_id,
                "status": attempt.status,
                "error_type": attempt.error.error_type or attempt.error.kind if attempt.error else None,
                "wait_s": round(attempt.started_at - ended_at, 3) if ended_at is not None else 0.0,
            }
        )
        ended_at = attempt.ended_at
    return rows


_INDEX, _ANOTHER = re.compile(r'"index"\s*:\s*[1-9]'), re.compile(r"}\s*,\s*{")
"""Each event with a further choice matches one of these, and few others do. Two patterns are 2.5 times as fast as one
that has both."""


def further_choices(state: RunState) -> dict[int, RunState]:
    """Return what the pieces of each choice after the first one (`n` above 1) add up to, by index.

    `state` itself is that of choice 0. Read from the stored events, which a log without them lacks.
    """
    # Imported here: its modules compile patterns, and the panes need them only for a stream of several choices.
    from playground.client.chunks import ChunkDecoder, NotAChunk, StreamError

    found: dict[int, tuple[ChunkDecoder, RunState]] = {}
    for at, index, choice in _further(state):
        decoder, further = found.setdefault(index, (ChunkDecoder(), RunState()))
        with suppress(NotAChunk, StreamError, JsonBoundsError):
            for event in decoder.events(json.dumps({"choices": [{**choice, "index": 0}]}), at):
                further.apply(event)
    for decoder, further in found.values():
        further.text_after_finish = decoder.text_after_finish
        for event in decoder.end(0.0):
            further.apply(event)
    return {index: further for index, (_, further) in sorted(found.items())}


def has_further_choices(state: RunState) -> bool:
    """Return whether the response has more than one choice. Fast: reads up to the first further one."""
    return next(_further(state), None) is not None


def _further(state: RunState) -> Iterator[tuple[float, int, dict[str, object]]]:
    """Yield time, index and value of each piece of a further choice."""
    for event in state.raw:
        if _INDEX.search(event.data) is None and _ANOTHER.search(event.data) is None:
            continue
        try:
            body = loads(event.data)
        except ValueError:
            continue
        for index, choice in choices_of(body):
            if index and isinstance(choice, dict):
                yield event.at, index, choice


def wire_choices(state: RunState) -> list[Json]:
    """Return the further choices in the shape of the API."""
    return [wire_choice(further, index) for index, further in further_choices(state).items()]


def wire_choice(state: RunState, index: int = 0) -> dict[str, Json]:
    """Return what a state has of its choice in the shape of the API."""
    message: dict[str, Json] = {"role": "assistant", "content": state.text or None}
    if state.reasoning:
        message["reasoning_content"] = state.reasoning
    if state.refusal:
        message["refusal"] = state.refusal
    if state.tool_calls:
        message["tool_calls"] = wire_tool_calls(state)
    return {"index": index, "message": message, "finish_reason": state.finish_reason}


def wire_usage(usage: Usage | None) -> dict[str, Json] | None:
    """Return usage in the shape of the API; figures that were not reported are null."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def wire_tool_calls(state: RunState) -> list[Json]:
    """Return the tool calls in the shape of the API, in the order of their index."""
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in state.calls
    ]


def _tool_calls(state: RunState) -> list[Json]:
    wire = zip(wire_tool_calls(state), state.calls, strict=True)
    return [{**item, "name": call.name, "arguments": call.arguments} for item, call in wire if isinstance(item, dict)]


def _request_ids(state: RunState) -> list[Json]:
    """Return the newest attempt's request ids, each with its header."""
    newest = state.attempts[-1].request_ids if state.attempts else ()
    return [{"source": found.source, "id": found.value} for found in newest]


def rounded_ms(value_s: float | None) -> float | None:
    """Return seconds as milliseconds with one decimal; None if unknown."""
    return None if value_s is None else round(value_s * 1000, 1)


def error_object(error: ApiError | None) -> Json:
    """Return an error as a JSON object; null if there is none."""
    if error is None:
        return None
    return {
        "kind": error.kind,
        "status": error.status,
        "type": error.error_type,
        "code": error.code,
        "message": error.title,
        "detail": error.detail,
        "advice": error.advice,
    }
