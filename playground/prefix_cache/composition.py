"""Parts of a prompt's tokens: tools, system, history and the rest of this turn, and the room for the answer."""

from __future__ import annotations

from playground.dataclass import dataclass
from playground.prefix_cache.zones import ZoneMap
from playground.prompt.document import Document


@dataclass(frozen=True, slots=True)
class Composition:
    """Token counts; all but `max_tokens` (0: not set) are estimates (≈).

    `history` lies between the system messages and the last user message, `rest` begins with that message.
    """

    tools: float
    system: float
    history: float
    rest: float
    max_tokens: int
    room: int | None
    """Tokens that fit, input and output together; None: not known."""
    source: str = ""
    """Where `room` is from, as text."""

    @property
    def prompt(self) -> float:
        """Return ≈ tokens of the whole prompt."""
        return self.tools + self.system + self.history + self.rest

    @property
    def left(self) -> float | None:
        """Return ≈ tokens that fit beside prompt and answer; negative: too many; None: the limit is not known."""
        return None if self.room is None else self.room - self.prompt - self.max_tokens

    @property
    def over(self) -> bool:
        """Return whether prompt and answer do not fit."""
        return self.left is not None and self.left < 0

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Return (name, tokens) in the cache's order."""
        answer = ("max_tokens", float(self.max_tokens))
        return ("tools", self.tools), ("system", self.system), ("history", self.history), ("rest", self.rest), answer


def composition(
    document: Document, zones: ZoneMap, context_tokens: int | None, context_source: str = ""
) -> Composition:
    """Return the composition of a document, by the token estimates of its zones."""
    roles = [message.role for message in document.messages]
    question = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else len(roles)
    sums = {"system": 0.0, "history": 0.0, "rest": 0.0}
    for index, (role, tokens) in enumerate(zip(roles, zones.message_tokens, strict=True)):
        sums["system" if role == "system" else "history" if index < question else "rest"] += tokens
    limit = document.parameters.get("max_tokens")
    answer = max(limit, 0) if isinstance(limit, int) and not isinstance(limit, bool) else 0
    tools = sum(zones.tool_tokens)
    return Composition(tools, sums["system"], sums["history"], sums["rest"], answer, context_tokens, context_source)
