"""What the server refuses, and what does not fit: the one table of limits, spoken as advice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Document
from playground.prompt.limits import COUNTS, check

MIN_TURNS = 4
SOON, VERY_SOON = 20, 5
"""Remaining turns that trigger the finding, and that make it a warning."""


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation: the start and the size of its turns."""

    starts: tuple[int, ...]
    tokens: tuple[float, ...]
    reserved: float
    """≈ tokens of tools and max_tokens."""
    context: int | None
    """The endpoint's context length; None: not known."""

    @property
    def a_turn(self) -> float:
        return sum(self.tokens[self.starts[0] :]) / len(self.starts)

    @property
    def left(self) -> float:
        """Turns until either limit is reached."""
        messages = (len(self.tokens) - self.starts[0]) / len(self.starts)
        free = ((COUNTS["messages"].high or 0) - len(self.tokens)) / messages
        if self.context is None:
            return free
        return min((self.context - self.reserved - sum(self.tokens)) / max(self.a_turn, 1), free)

    def without(self, turns: int) -> _Talk:
        """The same without its oldest turns."""
        first, gone = self.starts[0], self.starts[turns] - self.starts[0]
        return replace(
            self,
            starts=tuple(start - gone for start in self.starts[turns:]),
            tokens=(*self.tokens[:first], *self.tokens[first + gone :]),
        )


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    starts = tuple(i for i, message in enumerate(facts.document.messages) if message.role == "user")
    if len(starts) < MIN_TURNS:
        return
    context = facts.setting.context_tokens
    talk = _Talk(starts, facts.message_tokens, sum(facts.tool_tokens) + (facts.whole("max_tokens") or 0), context)
    if talk.left >= SOON:
        return
    kept = talk.reserved - (facts.whole("max_tokens") or 0) + sum(talk.tokens[: starts[0]])
    yield Finding(
        "warning" if talk.left < VERY_SOON else "hint",
        "The conversation is nearly full",
        f"At ≈ {talk.a_turn:,.0f} tokens per turn it reaches {_full(context)} in about "
        f"{max(talk.left, 0):,.0f} turns. Dropping old turns changes the prompt right after the system text: the next "
        "request is served only the text before that place, and the cache warms up again. Drop many turns at "
        "once, rarely.",
        evidence=(
            Evidence("tokens per turn", talk.a_turn),
            Evidence("turns left", max(talk.left, 0.0), "count", "estimated"),
            Evidence("prompt now", facts.prompt_tokens),
            Evidence("still cached right after trimming", kept),
            Evidence(
                "cost of this prompt per 1,000 turns, cached", facts.cached_dollars(facts.prompt_tokens), "dollars"
            ),
        ),
        places=(FindingPlace(("messages", starts[0])),),
        fix=_trim(facts.document, talk),
        tokens=talk.a_turn,
        dollars=facts.cached_dollars(talk.a_turn),
    )


def _full(context: int | None) -> str:
    if context is None:
        return "200 messages (the endpoint's context length is not known)"
    return f"{context:,} tokens or 200 messages"


def _trim(document: Document, talk: _Talk) -> Fix | None:
    """Drops as many of the oldest turns as leave room for SOON more; whole turns, so that no call loses its answer."""
    # With more messages than the server accepts, no turn is left: those need no look.
    most = (COUNTS["messages"].high or 0) + talk.starts[0] - len(talk.tokens)
    first_turn = next((at for at, start in enumerate(talk.starts) if start + most >= 0), len(talk.starts))
    for turns in range(max(min(first_turn, len(talk.starts) - MIN_TURNS), 1), len(talk.starts) - 1):
        rest = talk.without(turns)
        if rest.left >= SOON or len(rest.starts) < MIN_TURNS:
            first, cut = talk.starts[0], talk.starts[turns]
            after = replace(document, messages=(*document.messages[:first], *document.messages[cut:]))
            return Fix(f"Drop the oldest {turns:,} turns", after)
    return None


RULE = LintRule(
    "history-grows",
    "Know when the conversation is full",
    "Every turn sends all earlier turns again. Cached tokens are cheap, but they count against the context.",
    GuideSource("Request fields", "1 to 200 messages; input and output together have at most 32,768 tokens."),
    _speak,
)


def _refused(facts: PromptFacts) -> Iterator[Finding]:
    for finding in check(facts.document):
        problem = finding.problem
        if finding.refused:
            yield Finding(
                "serious",
                f"The server refuses {problem.field or 'this request'}",
                str(problem),
                places=(FindingPlace(problem.path),),
                subject=problem.field,
            )


def _context(facts: PromptFacts) -> Iterator[Finding]:
    room = facts.whole("max_tokens") or 0
    most = facts.setting.context_tokens
    over = facts.prompt_tokens + room - (most or 0)
    if most is None or over <= 0:
        return
    text = "".join(tool.json_text for tool in facts.document.tools)
    text += "".join(message.content or "" for message in facts.document.messages)
    sure = facts.least_tokens(text) + room > most
    yield Finding(
        "serious" if sure else "hint",
        "Prompt and max_tokens do not fit together" if room else "The prompt does not fit",
        f"Input and output together have at most {most:,} tokens. "
        + ("Shorten the prompt or lower max_tokens." if room else "Shorten the prompt.")
        + ("" if sure else " The count is an estimate: it may still fit."),
        evidence=(
            Evidence("prompt", facts.prompt_tokens),
            Evidence("max_tokens", room or None, basis="counted"),
            Evidence("too many", over),
        ),
        places=(FindingPlace(("max_tokens",)),) if room else (FindingPlace(("messages",)),),
        tokens=over,
    )


REFUSED = LintRule(
    "refused",
    "Send only accepted fields and values",
    "A field out of its range gives HTTP 400 every time; do not retry it.",
    GuideSource("Request fields", "Every field has a range; n above 1 and prompt_logprobs are refused."),
    _refused,
)
CONTEXT = LintRule(
    "context-full",
    "Keep input and output within the context length",
    "A prompt that is too long is refused entirely, and max_tokens counts in full.",
    GuideSource("Request fields", "Input and output together have at most 32,768 tokens."),
    _context,
)
