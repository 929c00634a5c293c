"""What the log's rows show of requests that go on: looked at a few times a second, however often they are painted."""

from __future__ import annotations

import time
from collections.abc import Mapping

from playground.runs.received import received_tokens
from playground.runs.run import Run
from playground.ui.logview.details import Live

LOOK_S = 0.08
COUNT_S = 0.5
"""Counting the tokens of a long text anew costs as much as painting a screen of rows."""


class LiveRows:
    """`running` holds what this process is sending, by run_id."""

    def __init__(self, running: Mapping[str, Run]) -> None:
        self._running = running
        self._seen: dict[str, tuple[float, Live]] = {}
        self._counted: dict[str, tuple[float, float]] = {}

    def of(self, run_id: str) -> Live | None:
        """A request as it was a moment ago; None for one that does not go on here."""
        run = self._running.get(run_id)
        if run is None:
            self._seen.pop(run_id, None)
            self._counted.pop(run_id, None)
            return None
        now = time.monotonic()
        at, live = self._seen.get(run_id, (0.0, None))
        if live is None or now - at >= LOOK_S:
            live = Live(run.state, run.clock(), self._tokens(run, now), run.state.text[-TAIL:])
            self._seen[run_id] = now, live
        return live

    def _tokens(self, run: Run, now: float) -> float:
        at, tokens = self._counted.get(run.id, (0.0, 0.0))
        if now - at >= COUNT_S:
            tokens = received_tokens(run.state) or 0.0
            self._counted[run.id] = now, tokens
        return tokens


TAIL = 400
"""Characters of a text that still comes: more than a row shows of its end."""
