"""When each chunk of an answer is sent: as fast as the options say, or as a scenario has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from playground.simulator import wire
from playground.simulator.scenarios import ScenarioTurn

Paced = tuple[float, int, dict[str, Any]]
"""The moment on the monotonic clock, the tokens made until then, the chunk."""


@dataclass(frozen=True)
class Pace:
    """`ready_at`: the moment of the first token. `began`: when the request came, from which a scenario counts."""

    began: float
    ready_at: float
    token_s: float
    scripted: ScenarioTurn | None = None

    def chunks(self, answer: wire.AnswerBody) -> Iterator[Paced]:
        """Every chunk up to the finish_reason."""
        if self.scripted is not None:
            for made, (at_ms, chunk) in enumerate(self.scripted.chunks(answer)):
                yield self.began + at_ms / 1000, made, chunk
            return
        made = 0
        for tokens, chunk in wire.chunks(answer):
            # The role comes with the first token, as it does on real servers.
            made += tokens
            yield self.ready_at + max(made - 1, 0) * self.token_s, made, chunk

    def ends_at(self, answer: wire.AnswerBody) -> float:
        """When a whole answer is ready that is not streamed."""
        if self.scripted is not None:
            return self.began + self.scripted.ends_ms / 1000
        return self.ready_at + answer.reply.completion_tokens * self.token_s
