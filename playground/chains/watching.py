"""One request of a chain, watched while it runs: where it stands on the chain's clock, and the turn it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from playground.chains.conversation import Turn, with_unique_ids
from playground.client.events import AnyEvent
from playground.prompt.document import Document, ToolCall
from playground.runs.run import Run
from playground.voice.times import Stopwatch


@dataclass(slots=True)
class Watch:
    """Made before `run` is executed. `now`: seconds on the chain's clock; `parent`: the turn before; `go`: its run."""

    run: Run
    now: Callable[[], float]
    turn_id: str
    parent: str | None
    document: Document
    go: str
    began_at: float | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        self.run.listen(self._heard)

    def _heard(self, run: Run, event: AnyEvent) -> None:
        if self.began_at is None:
            self.began_at = self.now() - run.clock()
        self.stopwatch.apply(event)

    @property
    def turn(self) -> Turn:
        """The turn as far as it has come. The calls of an answer that did not come to its end are left out."""
        state = self.run.state
        phase = state.phase
        return Turn(
            id=self.turn_id,
            parent=self.parent,
            document=self.document,
            text=state.text,
            calls=self._calls() if phase == "done" else (),
            run_id=self.run.id,
            request_id=state.request_id,
            phase=phase,
            finish_reason=state.finish_reason,
            usage=state.usage,
            trouble=" ".join((state.trouble.title, state.trouble.detail)).strip() if state.trouble else "",
            go=self.go,
            began_at=self.began_at,
            times=self.stopwatch.times,
        )

    def _calls(self) -> tuple[ToolCall, ...]:
        taken = [call.id for message in self.document.messages for call in message.tool_calls]
        came = [call for _, call in sorted(self.run.state.tool_calls.items())]
        return tuple(with_unique_ids([(call.id, call.name, call.arguments) for call in came], taken))
