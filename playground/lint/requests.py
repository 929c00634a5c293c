"""How requests are made: repeated calls, a filler while a tool runs, connections, retries, request ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from playground.client.retry import RetryPolicy
from playground.lint.language import PHRASES, Phrases, has_any, sentence_at
from playground.lint.model import (
    Evidence,
    Finding,
    FindingPlace,
    Fix,
    Judge,
    Severity,
    with_system_line,
)
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Message


def _request_ids_speak(facts: PromptFacts) -> Iterator[Finding]:
    answered = [request for request in facts.history.requests if request.status is not None]
    without = sum(1 for request in answered if not request.request_id)
    attempts = sum(request.failed_attempts_without_id for request in facts.history.requests)
    if not without and not attempts:
        return
    yield Finding(
        "warning",
        "Responses came without a request_id",
        "Every response of Electron has an X-Request-Id, and support can search by nothing else. Check for a proxy "
        "that drops headers, or for another server at this address.",
        evidence=(
            Evidence("responses without one", without, "count", "counted"),
            Evidence("of", len(answered), "count", "counted"),
            Evidence("failed attempts without one", attempts, "count", "counted"),
        ),
        places=(FindingPlace(()),),
    )


GUIDE = RetryPolicy()
"""What the guide says: 250 ms doubled up to 8 s, about five attempts. The client repeats temporary errors only."""


def _retries_speak(facts: PromptFacts) -> Iterator[Finding]:
    policy = facts.setting.retries
    if policy is None or policy.attempts == 1:
        return
    for severity, subject, words in _differences(policy):
        yield Finding(
            severity,
            "The retry policy differs from the guide",
            words,
            evidence=(
                Evidence("attempts", policy.attempts, "count", "counted"),
                Evidence("first wait", policy.first_s, "seconds", "counted"),
                Evidence("longest wait", policy.longest_s, "seconds", "counted"),
            ),
            places=(FindingPlace(()),),
            subject=subject,
        )


def _differences(policy: RetryPolicy) -> Iterator[tuple[Severity, str, str]]:
    if policy.attempts > GUIDE.attempts + 1:
        yield "hint", "attempts", f"It makes {policy.attempts} attempts; the guide says about {GUIDE.attempts}."
    if policy.first_s < GUIDE.first_s * 0.8:
        words = f"It waits {policy.first_s:g} s at first; the guide starts at {GUIDE.first_s:g} s."
        yield "warning", "first-wait", words
    if policy.longest_s > GUIDE.longest_s * 1.25:
        words = f"It waits up to {policy.longest_s:g} s; the guide stops at {GUIDE.longest_s:g} s."
        yield "hint", "longest-wait", words
    if not policy.jitter:
        yield "hint", "jitter", "Its waits have no jitter, so clients that failed together retry together."


IDLE_S = 30.0
"""A connection that was idle longer may have been closed by anyone (assumed)."""
SOME, MANY = 3, 0.3


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    requests = facts.history.requests
    known = [r.connect_s for r in requests if r.connect_s is not None]
    pairs = pairwise(requests)
    again = [r.connect_s for earlier, r in pairs if r.connect_s and 0 <= r.at - earlier.at <= IDLE_S]
    if len(again) < SOME:
        return
    mean = sum(again) / len(again)
    yield Finding(
        "warning" if len(again) >= MANY * len(known) else "hint",
        "Connections are not reused",
        f"{len(again):,} requests opened a connection of their own although another had been made within "
        f"{IDLE_S:g} s. Reuse one keep-alive connection; a proxy that closes connections causes this too.",
        evidence=(
            Evidence("unnecessary connections", len(again), "count", "counted"),
            Evidence("of requests", len(known), "count", "counted"),
            Evidence("mean time to connect", mean, "seconds", "counted"),
        ),
        places=(FindingPlace(()),),
    )


_ACKNOWLEDGE = re.compile("acknowledg")
_LINES = tuple(row.filler.lower() for row in PHRASES.values())
"""Instructions that this rule proposes; they are recognised in a prompt of any language."""
_OF_A_TOOL = re.compile(r"tool|function|call(?:ing)?\b|look|check|search|fetch|loud|request|moment|wait|action|short")


def _report_filler(facts: PromptFacts) -> Iterator[Finding]:
    document = facts.document
    if not document.tools or not facts.streams or facts.parameter("tool_choice") == "none":
        return
    if _is_asked(facts) or any(m.role == "assistant" and m.content and m.tool_calls for m in document.messages):
        return
    language = facts.language
    line = PHRASES[language].filler if language in PHRASES else None
    spoken = line is not None and _is_spoken(facts)
    yield Finding(
        "warning" if spoken else "hint",
        "The caller waits in silence while a tool runs",
        "The prompt has tools and the response is streamed, but no line of the system prompt asks for a short "
        "acknowledgement before a tool call, so there is no speech until the tool has answered."
        + ("" if spoken else " This matters only for spoken responses, and the prompt does not mention speech."),
        evidence=(
            Evidence("silence without it (vendor's figure)", 1.1, "seconds", "assumed"),
            Evidence("time to the filler", 0.6, "seconds", "assumed"),
            Evidence("the line", facts.tokens(line) if line else None),
        ),
        places=(FindingPlace(("messages", facts.system[0][0], "content")),)
        if facts.system
        else (FindingPlace(("messages",)),),
        fix=Fix(f"Add the instruction ({PHRASES[language].name})", with_system_line(document, line))
        if line and language
        else None,
    )


def _is_asked(facts: PromptFacts) -> bool:
    """Return whether the system prompt mentions fillers, including a ban: then the author has considered them."""
    low = facts.system_lowered
    if has_any(low, _LINES):
        return True
    codes = ("en", facts.language) if facts.language in PHRASES else tuple(PHRASES)
    if any(has_any(low, PHRASES[code].waits) for code in codes if code):
        return True
    if any(_says_before_a_tool(low, PHRASES[code]) for code in codes if code):
        return True
    places = (sentence_at(low, match.start()) for match in _ACKNOWLEDGE.finditer(low))
    return any(_OF_A_TOOL.search(low, start, end) for start, end in places)


def _says_before_a_tool(low: str, phrases: Phrases) -> bool:
    """Whether a sentence has the word for “before” with a tool, and something to say."""
    for word in phrases.before:
        at = low.find(word)
        while at >= 0:
            start, end = sentence_at(low, at)
            sentence = low[start:end]
            if has_any(sentence, phrases.tool) and (not phrases.say or has_any(sentence, phrases.say)):
                return True
            at = low.find(word, max(end, at + 1))
    return False


def _is_spoken(facts: PromptFacts) -> bool:
    low = facts.system_lowered
    return any(has_any(low, PHRASES[code].voice) for code in {"en", facts.language or "en"})


LONG = 8
"""Minimum iterations with calls in one turn that trigger the finding."""
SAME = 3
"""Minimum number of identical calls in one turn that triggers the finding."""


def _rounds(facts: PromptFacts) -> Iterator[Finding]:
    messages = facts.document.messages
    start = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1) + 1
    calling = [(i, messages[i]) for i in range(start, len(messages)) if messages[i].tool_calls]
    repeated = _repeated(messages[start:])
    if repeated:
        name, times = repeated
        yield Finding(
            "warning",
            f"{name} is called repeatedly with the same arguments",
            f"In this turn {name} was called {times} times with the same arguments and returned the same result.",
            evidence=(Evidence("identical calls", times, "count", "counted"),),
            places=tuple(FindingPlace(("messages", i, "tool_calls")) for i, _ in calling),
            subject="repeats",
        )
    elif len(calling) >= LONG:
        yield Finding(
            "hint",
            "A long agent loop",
            f"This turn has {len(calling)} iterations with tool calls, and each sent all messages again.",
            evidence=(Evidence("rounds", len(calling), "count", "counted"),),
            places=(FindingPlace(("messages", calling[-1][0], "tool_calls")),),
            subject="long",
        )


def _repeated(messages: Sequence[Message]) -> tuple[str, int] | None:
    """Return a tool that was called with the same arguments and returned the same result, and how often."""
    results = {message.tool_call_id: message.content for message in messages if message.role == "tool"}
    made = (call for message in messages for call in message.tool_calls if call.id in results)
    calls = Counter((call.name, call.arguments, results[call.id]) for call in made)
    if not calls:
        return None
    (name, *_), times = calls.most_common(1)[0]
    return (name, times) if times >= SAME else None


JUDGES: dict[str, Judge] = {
    "no-filler": _report_filler,
    "retry-policy": _retries_speak,
    "no-request-id": _request_ids_speak,
    "chain-rounds": _rounds,
    "cold-connections": _speak,
}
