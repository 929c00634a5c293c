"""Cap the output: max_tokens from what this prompt has needed, answers that were cut, and stop strings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from playground.lint.edits import with_parameter
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Json
from playground.prompt.limits import COUNTS

ENOUGH = 20
"""Minimum number of reported completions for a statistic."""
ROOM, STEP, FAR = 1.25, 16, 4
"""A suggestion leaves a quarter more than was ever needed, in steps of 16; a cap four times as high is far above."""
MIN_ENDINGS, ENDING_SHARE = 10, 0.8
_ENDING = re.compile(r"(<\|?/?[\w-]{2,24}\|?>|\[/?[A-Z_]{2,24}\]|#{3,}|-{3,}|={3,}|\b(?:END|DONE|EOF)\b)\s*$")


def _cap(facts: PromptFacts) -> Iterator[Finding]:
    cap, needed = facts.whole("max_tokens"), _needed(facts)
    if len(needed) < ENOUGH:
        if facts.parameter("max_tokens") is None:
            yield _unset(facts, len(needed))
        return
    suggested = _suggestion(max(needed))
    if facts.parameter("max_tokens") is not None and (cap is None or cap <= FAR * suggested):
        return
    waste = _waste(cap, facts, suggested)
    if waste is not None and waste <= 0:
        return
    yield Finding(
        "hint",
        "max_tokens is not set" if cap is None else "max_tokens is far above what this prompt needs",
        f"In {len(needed):,} requests no completion of this prompt had more than {max(needed):,} tokens. With "
        f"max_tokens {suggested:,} a runaway completion ends there.",
        evidence=(
            Evidence("requests examined", len(needed), "count", "counted"),
            Evidence("longest completion", max(needed), basis="reported"),
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


def _needed(facts: PromptFacts) -> list[int]:
    """Return the reported tokens of completions that ended without a limit."""
    return [
        request.completion_tokens
        for request in facts.history.requests
        if request.completion_tokens is not None and request.finish_reason in ("stop", "tool_calls")
    ]


def _suggestion(longest: int) -> int:
    return max(-(-int(longest * ROOM) // STEP) * STEP, STEP)


def _unset(facts: PromptFacts, known: int) -> Finding:
    return Finding(
        "hint",
        "max_tokens is not set",
        "Only the end of the context stops a runaway completion. Once the log has "
        f"{ENOUGH} completions of this prompt, a figure can be suggested.",
        evidence=(
            Evidence("completions known", known, "count", "counted"),
            Evidence("needed so far", None),
        ),
        places=(FindingPlace(("max_tokens",)),),
    )


def _cut(facts: PromptFacts) -> Iterator[Finding]:
    cap = facts.whole("max_tokens")
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
    if len(answers) < MIN_ENDINGS or not ends or len(current) >= (COUNTS["stop"].high or 0):
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


_SECTION = "Request fields"
CAP = LintRule(
    "output-cap",
    "Cap the output",
    "A limit derived from earlier completions costs nothing until a completion runs away.",
    GuideSource(_SECTION, "max_tokens caps the output; input and output together have at most 32,768 tokens."),
    _cap,
)
CUT = LintRule(
    "answers-cut",
    "Leave room for the whole answer",
    "A completion that ends by length is billed whole and says half.",
    GuideSource("Response", "finish_reason length means that the cap ended the completion."),
    _cut,
)
STOP = LintRule(
    "stop-strings",
    "Stop at the terminator that answers end with",
    "A terminator that the prompt asks for is output like any other, and is read aloud where answers are spoken.",
    GuideSource(_SECTION, "stop takes a string or up to four."),
    _stop,
)
