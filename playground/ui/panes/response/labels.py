"""Texts of the response pane: the state of a run, and what an empty tab will display."""

from __future__ import annotations

from playground.client.events import ApiError, Queued, RetryScheduled
from playground.export.terminal import visible_line
from playground.runs.metrics import counted, finish_text, whole_seconds
from playground.runs.state import Phase, RunState
from playground.runs.summary import has_further_choices, warnings

EMPTY = "Nothing sent yet"
STOPPED = "Stopped by you · usage unknown: the server did not report it before the stop"
NEVER_SENT = "Stopped by you before it was sent · no tokens were used"
STOPPED_WITH_USAGE = "Stopped by you · the usage had already been reported"
INTERRUPTED = "Interrupted · the program ended before the response; this is the text logged until then"
NO_CONTENT = "The response ended without any text."
ONLY_CALLS = "No text: the model called a tool."


def outcome(state: RunState | None) -> str:
    """Return how the run ended, or its phase."""
    if state is None:
        return "nothing sent"
    if state.phase == "done":
        return visible_line(finish_text(state.finish_reason))
    if state.phase == "failed":
        return f"failed · {state.status}" if state.status not in (None, 200) else "failed"
    if state.phase == "waiting":
        return "not sent yet" if not state.attempts else f"to be sent again after {_failure(state)}"
    return state.phase


LOOKS: dict[Phase | None, tuple[str, str, str]] = {
    None: ("", "muted", "muted"),
    "done": ("check", "muted", "muted"),
    "failed": ("error", "failure", "failure"),
    "stopped": ("stop", "variable_edge", "variable"),
    "interrupted": ("warn", "variable_edge", "variable"),
    "streaming": ("play", "output", "output"),
    "retrying": ("clock", "muted", "muted"),
    "waiting": ("clock", "muted", "muted"),
    "sent": ("clock", "muted", "muted"),
}
"""The icon of a run's phase, the role of its color, and the tone of the text. None: nothing was sent."""


def can_be_added(state: RunState) -> bool:
    """Whether the completion can be the next message of its prompt; calls are answered by the agent loop."""
    return state.phase in ("done", "stopped") and bool(state.text) and not state.tool_calls


def waiting(state: RunState, elapsed_s: float) -> str:
    """Return the placeholder shown before the first token. `elapsed_s` is the wait so far, in seconds."""
    if state.queued is not None:
        title = f"{state.error.title} · " if state.error else ""
        after = f"After {_failure(state)}: {title}" if state.attempts else ""
        return f"{after}{queued(state.queued, elapsed_s)}"
    if state.phase == "waiting":
        return f"Waiting to be sent… {elapsed_s:.1f} s"
    if state.phase == "retrying" and state.retry is not None and state.error is not None:
        return retrying(state.error, state.retry, state.retry.at + state.retry.wait_s - elapsed_s)
    got_headers = bool(state.attempts) and state.attempts[-1].headers_at is not None
    head = "Headers received" if got_headers else "Sent"
    if len(state.attempts) > 1:
        head = f"Attempt {len(state.attempts)}: {head[0].lower()}{head[1:]}"
    return f"{head} · waiting for the first token… {elapsed_s:.1f} s"


def _failure(state: RunState) -> str:
    """Return the status of the newest attempt; the error's title if there is no status."""
    return str(state.status) if state.status is not None else state.error.title if state.error else "an error"


def left_s(event: Queued, elapsed_s: float) -> float | None:
    """Return the seconds until a queued request is sent; None if the wait cannot be known."""
    return None if event.expected_s is None else max(event.at + event.expected_s - elapsed_s, 0.0)


def queued(event: Queued, elapsed_s: float) -> str:
    """Return the position in the queue and the remaining wait: `Queued behind 1 request, about 32 s`."""
    ahead = event.place - 1
    head = f"Queued behind {counted(ahead, 'request')}" if ahead > 0 else "Queued, next to be sent"
    left = left_s(event, elapsed_s)
    return head if left is None else f"{head}, about {whole_seconds(left)}"


def retrying(error: ApiError, retry: RetryScheduled, left_s: float) -> str:
    """Return the countdown to the next attempt."""
    status = f"{error.status} " if error.status is not None else ""
    asked = " (the server asked for it)" if error.retry_after_s is not None else ""
    left = f"in {whole_seconds(left_s)}{asked}"
    return f"{status}{error.title} · attempt {retry.attempt} of at most {retry.of} {left}. Ctrl+Enter stops."


def placeholder(state: RunState | None, elapsed_s: float = 0.0) -> str:
    """Return the Text tab's message while there is no text; empty if another place says it."""
    if state is None:
        return EMPTY
    if state.tool_calls and (not state.ended or state.phase == "done"):
        return ONLY_CALLS
    return waiting(state, elapsed_s) if not state.ended else NO_CONTENT if state.phase == "done" else ""


def ending(state: RunState | None) -> str:
    """Return the line under a text that did not end as it should; empty otherwise."""
    if state is None:
        return ""
    if state.phase == "stopped":
        return NEVER_SENT if not state.attempts else STOPPED if state.usage is None else STOPPED_WITH_USAGE
    if state.phase == "interrupted":
        return INTERRUPTED
    if found := warnings(state):
        return " · ".join(f"{one.title}. {one.detail or one.advice}".strip() for one in found)
    if state.phase == "done" and has_further_choices(state):
        return "This is choice 0. The further choices are in the JSON tab"
    return ""
