"""Limits: requests that the server refuses, full contexts, and the cap of the output (max_tokens, stop, usage)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from playground.lint.model import Evidence, Finding, FindingPlace, Fix, Judge, with_parameter
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Document, Json
from playground.prompt.limits import COUNTS, check


def _report_cap(facts: PromptFacts) -> Iterator[Finding]:
    if not facts.streams or facts.asks_usage:
        return
    yield Finding(
        "warning",
        "The streamed response will not report usage",
        "stream_options.include_usage is off: prompt tokens, cached tokens, completion tokens and the cost of this "
        "request will be unknown, and the estimates learn nothing from it.",
        evidence=(Evidence("prompt tokens not reported", facts.prompt_tokens),),
        places=(FindingPlace(("stream_options", "include_usage")),),
        fix=Fix("Ask for usage", replace(facts.document, stream=True, include_usage=True)),
        tokens=facts.prompt_tokens,
    )


ENOUGH = 20
"""Minimum number of reported completions for a statistic."""
ROOM, STEP, FAR = 1.25, 16, 4
"""A suggestion leaves a quarter more than was ever needed, in steps of 16; a cap four times as high is far above."""
MIN_ENDINGS, ENDING_SHARE = 10, 0.8
_ENDING = re.compile(r"(<\|?/?[\w-]{2,24}\|?>|\[/?[A-Z_]{2,24}\]|#{3,}|-{3,}|={3,}|\b(?:END|DONE|EOF)\b)\s*$")


def _cap(facts: PromptFacts) -> Iterator[Finding]:
    cap, seen = facts.max_tokens, _completions(facts)
    is_set = facts.parameter("max_tokens") is not None
    if len(seen.lengths) < ENOUGH or seen.cut:
        if not is_set:
            yield _unset(seen)
        return
    longest, count = seen.lengths[-1], len(seen.lengths)
    suggested = max(-(-int(longest * ROOM) // STEP) * STEP, STEP)
    if is_set and (cap is None or cap <= FAR * suggested):
        return
    waste = _waste(cap, facts, suggested)
    if waste is not None and waste <= 0:
        return
    usual = seen.lengths[-(-count * 95 // 100) - 1]
    yield Finding(
        "hint",
        "max_tokens is not set" if cap is None else "max_tokens is far above what this prompt needs",
        f"In {count:,} requests no completion of this prompt had more than {longest:,} tokens; 95 % had at most "
        f"{usual:,}. By {count:,} samples, about 1 in {count + 1:,} later completions is longer than the longest one; "
        f"{suggested:,} leaves a quarter more. A runaway completion ends there.",
        evidence=(
            Evidence("requests examined", count, "count", "counted"),
            Evidence("longest completion", longest, basis="reported"),
            Evidence("95th percentile", usual, basis="reported"),
            Evidence("additional tokens of a runaway completion", waste, basis="counted" if cap else "estimated"),
            Evidence("cost per 1,000 requests", None if waste is None else facts.output_dollars(waste), "dollars"),
        ),
        places=(FindingPlace(("max_tokens",)),),
        fix=Fix(f"Set max_tokens to {suggested:,}", with_parameter(facts.document, "max_tokens", suggested)),
    )


def _waste(cap: int | None, facts: PromptFacts, suggested: int) -> float | None:
    """Return the tokens that a runaway completion can have beyond the suggestion; None if there is no known limit."""
    context = facts.setting.context_tokens
    if cap is None and context is None:
        return None
    return (cap or max((context or 0) - facts.prompt_tokens, 0)) - suggested


class _Completions(Struct, frozen=True):
    """`lengths`: reported tokens of completions that ended without a limit, ascending. `cut`: how many did not."""

    lengths: list[int]
    cut: int


def _completions(facts: PromptFacts) -> _Completions:
    """Return the completions of this prompt. How long one would have been that a limit ended is unknown."""
    ended = [r for r in facts.history.requests if r.finish_reason is not None]
    whole = [r.completion_tokens for r in ended if r.finish_reason != "length" and r.completion_tokens is not None]
    return _Completions(sorted(whole), sum(r.finish_reason == "length" for r in ended))


def _unset(seen: _Completions) -> Finding:
    known = len(seen.lengths)
    if seen.cut:
        ended = known + seen.cut
        why = f"{seen.cut:,} of {ended:,} completions in the log were cut off, and their full length is unknown"
    else:
        why = f"{known:,} completions of this prompt are known, and {ENOUGH} are needed"
    return Finding(
        "hint",
        "max_tokens is not set",
        f"Only the end of the context stops a runaway completion. No figure is suggested: {why}.",
        evidence=(
            Evidence("completions known", known, "count", "counted"),
            Evidence("cut by length", seen.cut, "count", "counted"),
            Evidence("longest completion", seen.lengths[-1] if seen.lengths else None, basis="reported"),
        ),
        places=(FindingPlace(("max_tokens",)),),
    )


def _cut(facts: PromptFacts) -> Iterator[Finding]:
    cap = facts.max_tokens
    if cap is None:
        return
    ended = [r for r in facts.history.requests if r.finish_reason is not None]
    # One that was cut under a lower cap says nothing of this one.
    cut = [r for r in ended if r.finish_reason == "length" and (r.max_tokens is None or r.max_tokens >= cap)]
    if not cut:
        return
    context = facts.setting.context_tokens
    higher = min(cap * 2, context or cap * 2)
    after = with_parameter(facts.document, "max_tokens", higher)
    # If the cap of a cut answer is unknown, a higher one may not help.
    caps = [r.max_tokens or context for r in cut]
    known = all(one is not None and higher > one for one in caps)
    yield Finding(
        "warning" if len(cut) >= 3 or len(cut) * 20 >= len(ended) else "hint",
        "Answers are cut off",
        f"{len(cut):,} of {len(ended):,} completions ended with finish_reason length, in the middle of the text.",
        evidence=(
            Evidence("cut by length", len(cut), "count", "counted"),
            Evidence("of completions", len(ended), "count", "counted"),
            Evidence("max_tokens", cap, basis="counted"),
        ),
        places=(FindingPlace(("max_tokens",)),),
        fix=Fix(f"Set max_tokens to {higher:,}", after) if known else None,
    )


def _stop(facts: PromptFacts) -> Iterator[Finding]:
    answers = [r.answer.rstrip() for r in facts.history.requests if r.finish_reason == "stop" and r.answer.strip()]
    ends = Counter(match[1] for answer in answers if (match := _ENDING.search(answer)))
    current = _stops(facts.parameter("stop"))
    most = COUNTS["stop"].high or 0 if facts.setting.electron else math.inf
    if len(answers) < MIN_ENDINGS or not ends or len(current) >= most:
        return
    ending, times = ends.most_common(1)[0]
    early = any(ending in answer.removesuffix(ending) for answer in answers)
    if times < ENDING_SHARE * len(answers) or early or ending in current:
        return
    yield Finding(
        "hint",
        f"Answers end with {ending}",
        f"{times:,} of {len(answers):,} answers end with {ending}. As a stop string it ends the answer there and is "
        "neither sent nor spoken.",
        evidence=(
            Evidence("answers that end so", times, "count", "counted"),
            Evidence("of", len(answers), "count", "counted"),
        ),
        places=(FindingPlace(("stop",)),),
        fix=Fix(f"Stop at {ending}", with_parameter(facts.document, "stop", [*current, ending])),
        tokens=facts.tokens(ending),
        dollars=facts.output_dollars(facts.tokens(ending)),
    )


def _stops(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, str) else []


MIN_TURNS = 4
SOON, VERY_SOON = 20, 5
"""Remaining turns that trigger the finding, and that make it a warning."""


class _Talk(Struct, frozen=True):
    """A conversation: the start and the size of its turns."""

    starts: tuple[int, ...]
    tokens: tuple[float, ...]
    reserved: float
    """≈ tokens of tools and max_tokens."""
    context: int | None
    """The endpoint's context length; None: not known."""
    most: float
    """Most messages that the server takes."""

    @property
    def a_turn(self) -> float:
        return sum(self.tokens[self.starts[0] :]) / len(self.starts)

    @property
    def left(self) -> float:
        """Turns until either limit is reached."""
        messages = (len(self.tokens) - self.starts[0]) / len(self.starts)
        free = (self.most - len(self.tokens)) / messages
        if self.context is None:
            return free
        return min((self.context - self.reserved - sum(self.tokens)) / max(self.a_turn, 1), free)

    def without(self, turns: int) -> _Talk:
        """Return the document without its oldest turns."""
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
    context, electron = facts.setting.context_tokens, facts.setting.electron
    most = COUNTS["messages"].high or 0 if electron else math.inf
    talk = _Talk(starts, facts.message_tokens, sum(facts.tool_tokens) + (facts.max_tokens or 0), context, most)
    if talk.left >= SOON:
        return
    kept = talk.reserved - (facts.max_tokens or 0) + sum(talk.tokens[: starts[0]])
    yield Finding(
        "warning" if talk.left < VERY_SOON else "hint",
        "The conversation is nearly full",
        f"At ≈ {talk.a_turn:,.0f} tokens per turn it reaches {_full(context, electron)} in about "
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


def _full(context: int | None, electron: bool) -> str:
    if not electron:
        return f"{context or 0:,} tokens"
    if context is None:
        return "200 messages (the endpoint's context length is not known)"
    return f"{context:,} tokens or 200 messages"


def _trim(document: Document, talk: _Talk) -> Fix | None:
    """Drop the oldest turns until SOON more tokens fit; whole turns, so that no call loses its answer."""
    # With more messages than the server accepts, no turn is left: those need no look.
    most = talk.most + talk.starts[0] - len(talk.tokens)
    first_turn = next((at for at, start in enumerate(talk.starts) if start + most >= 0), len(talk.starts))
    for turns in range(max(min(first_turn, len(talk.starts) - MIN_TURNS), 1), len(talk.starts) - 1):
        rest = talk.without(turns)
        if rest.left >= SOON or len(rest.starts) < MIN_TURNS:
            first, cut = talk.starts[0], talk.starts[turns]
            after = replace(document, messages=(*document.messages[:first], *document.messages[cut:]))
            return Fix(f"Drop the oldest {turns:,} turns", after)
    return None


def _refused(facts: PromptFacts) -> Iterator[Finding]:
    for finding in check(facts.document, electron=facts.setting.electron):
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
    room = facts.max_tokens or 0
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


JUDGES: dict[str, Judge] = {
    "refused": _refused,
    "context-full": _context,
    "usage-off": _report_cap,
    "output-cap": _cap,
    "answers-cut": _cut,
    "stop-strings": _stop,
    "history-grows": _speak,
}
