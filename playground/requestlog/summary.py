"""Figures of a run for the log's columns and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from playground.requestlog.index import column_text, readable
from playground.runs.state import Phase, RunState
from playground.runs.summary import further_choices, warnings

TRAITS = ("tools", "error", "json", "answer", "usage", "retries", "logprobs")
"""Values of `has:` that derive from a run's events. Append only: the index is the bit in the file."""
MAX_ERROR_CHARS = 4_000
MAX_ARGUMENT_CHARS = 100_000
"""Searched characters of the arguments of one tool call."""
MAX_JSON_CHARS = 1_000_000


class Summary(Struct, frozen=True):
    """The columns of a run. `ids` are all ids by which it can be found."""

    phase: Phase
    status: int | None
    finish_reason: str | None
    request_id: str | None
    body_id: str | None
    attempts: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    ttft_s: float | None
    duration_s: float | None
    answer: str
    called: str
    error_title: str
    error: str
    traits: int
    ids: tuple[str, ...]


def summarize(state: RunState, seen_ids: Iterable[str] = ()) -> Summary:
    """Return the figures and texts of a run. `seen_ids` are ids of earlier attempts which the state no longer holds."""
    usage = state.usage
    # At the end only: each event is searched for further choices.
    further = further_choices(state) if state.ended else {}
    notes = warnings(state, further)
    ids = {attempt.request_id for attempt in state.attempts} | {state.body_id} | set(seen_ids)
    ids |= {one.value for attempt in state.attempts for one in attempt.request_ids}
    if state.error is not None:
        ids.add(state.error.body_request_id)
    return Summary(
        phase=state.phase,
        status=state.status,
        finish_reason=_column(state.finish_reason),
        request_id=_column(state.request_id),
        body_id=_column(state.body_id),
        attempts=len(state.attempts),
        prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        total_tokens=usage.total_tokens if usage else None,
        ttft_s=state.ttft_s,
        duration_s=state.ended_at,
        answer=column_text(state.text),
        called=column_text(", ".join(call.name for call in state.calls)),
        # Of a run that is done: its warnings.
        error_title=column_text(state.error.title if state.error else "; ".join(one.title for one in notes)),
        error=hidden_text(state, further) if state.ended else "",
        traits=traits_of(state),
        ids=tuple(sorted({column_text(id_) for id_ in ids if id_})),
    )


def hidden_text(state: RunState, choices: Mapping[int, RunState]) -> str:
    """Return searched texts that the table does not display: arguments of tool calls, further choices, error detail."""
    texts = [readable(call.arguments) for call in state.calls]
    for further in choices.values():
        texts += [further.text or further.refusal, *(readable(call.arguments) for call in further.calls)]
    shown = [column_text(text[:MAX_ARGUMENT_CHARS]) for text in texts if text]
    return "\n".join((*shown, *filter(None, (error_text(state),))))


def error_text(state: RunState) -> str:
    """Return the error's detail texts, without its title, for the search."""
    error = state.error
    return "" if error is None else column_text(f"{error.detail}\n{error.body}".strip()[:MAX_ERROR_CHARS])


def traits_of(state: RunState) -> int:
    """Return the run's TRAITS as a bit set, in their order."""
    usage = state.usage
    found = (
        bool(state.tool_calls),
        state.error is not None,
        _is_json(state.text),
        any(piece for piece in state.pieces),
        usage is not None and usage.cached_tokens is not None,
        len(state.attempts) > 1,
        bool(state.probabilities),
    )
    return sum(1 << place for place, has in enumerate(found) if has)


def _is_json(text: str) -> bool:
    """Return whether an answer is a JSON object or list."""
    stripped = text.strip()
    if len(stripped) > MAX_JSON_CHARS or stripped[:1] + stripped[-1:] not in ("{}", "[]"):
        return False
    try:
        msgspec.json.decode(stripped)
    except (ValueError, RecursionError):
        return False
    return True


def _column(text: str | None) -> str | None:
    return None if text is None else column_text(text)
