"""How requests are made: the agent loop's limit, a filler while a tool runs, connections, retries, request ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from playground.client.endpoint import PlanLimits
from playground.client.retry import RETRIED
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
from playground.lint.prompt_facts import Batch, PromptFacts, Retries
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


GUIDE = Retries()
"""What the guide says: 250 ms doubled up to 8 s, about five attempts."""
NEVER = frozenset((400, 401, 403, 404, 422))


def _retries_speak(facts: PromptFacts) -> Iterator[Finding]:
    policy = facts.setting.retries
    if policy is None:
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


def _differences(policy: Retries) -> Iterator[tuple[Severity, str, str]]:
    if policy.after_first_token:
        yield (
            "serious",
            "after-first-token",
            "It retries after the first token, although the received text was displayed and is billed.",
        )
    if never := sorted(policy.statuses & NEVER):
        yield "serious", "refused", f"It retries {_list(never)}, although the same request will be refused again."
    if other := sorted(policy.statuses - RETRIED - NEVER):
        yield "warning", "other-statuses", f"It retries {_list(other)}, which the vendor does not list as temporary."
    if policy.attempts > 1:
        yield from _waits(policy)
    if missing := sorted(RETRIED - policy.statuses):
        yield "hint", "missing-statuses", f"It does not retry {_list(missing)}, which are temporary."


def _waits(policy: Retries) -> Iterator[tuple[Severity, str, str]]:
    if not policy.honours_retry_after:
        yield "warning", "retry-after", "It does not wait as long as Retry-After asks."
    if policy.attempts > GUIDE.attempts + 1:
        yield "hint", "attempts", f"It makes {policy.attempts} attempts; the guide says about {GUIDE.attempts}."
    if policy.first_s < GUIDE.first_s * 0.8:
        yield (
            "warning",
            "first-wait",
            f"It waits {policy.first_s:g} s at first; the guide starts at {GUIDE.first_s:g} s.",
        )
    if policy.longest_s > GUIDE.longest_s * 1.25:
        yield (
            "hint",
            "longest-wait",
            f"It waits up to {policy.longest_s:g} s; the guide stops at {GUIDE.longest_s:g} s.",
        )
    if not policy.jitter:
        yield "hint", "jitter", "Its waits have no jitter, so clients that failed together retry together."


def _list(statuses: list[int]) -> str:
    return ", ".join(str(status) for status in statuses)


def _concurrency_speak(facts: PromptFacts) -> Iterator[Finding]:
    batch, plan = facts.setting.batch, facts.setting.plan
    if batch is None or batch.requests < 1:
        return
    over_flight = plan.in_flight is not None and min(batch.in_flight, batch.requests) > plan.in_flight
    over_minute = plan.requests_per_minute is not None and _most_a_minute(batch) > plan.requests_per_minute
    if not over_flight and not over_minute:
        return
    yield Finding(
        "warning",
        "The batch goes beyond the plan's limits",
        f"{plan.name} allows {_limit(plan.in_flight)} in flight and {_limit(plan.requests_per_minute)} a minute; what "
        "exceeds that gets 429. The account's other programs count too. Run the batch within the limits.",
        evidence=(
            Evidence("in flight as set", batch.in_flight, "count", "counted"),
            Evidence("requests", batch.requests, "count", "counted"),
            Evidence("time to finish within the limits", _time(batch, plan), "seconds"),
        ),
        places=(FindingPlace(()),),
    )


def _most_a_minute(batch: Batch) -> int:
    """Return how many requests may start in a minute at most; those in flight if their duration is unknown."""
    slots = min(batch.in_flight, batch.requests)
    if not batch.seconds_each:
        return slots
    return int(min(batch.requests, slots * max(60 / batch.seconds_each, 1)))


def _time(batch: Batch, plan: PlanLimits) -> float | None:
    if batch.seconds_each is None:
        return None
    slots = min(batch.in_flight, plan.in_flight or batch.in_flight)
    return plan_batch(batch.requests, max(slots, 1), plan.requests_per_minute, batch.seconds_each)


def _limit(value: int | None) -> str:
    return "any number" if value is None else f"{value:,}"


WINDOW_S = 60.0


def plan_batch(n: int, in_flight: int | None, per_minute: int | None, seconds_each: float) -> float:
    """Seconds until `n` requests have finished, each taking `seconds_each`.

    At most `in_flight` run at once and at most `per_minute` start in any 60 seconds; None is no limit. Assumes
    no other traffic of the account and no retries, so the result is a lower bound. Raises ValueError for a limit
    below 1 or a negative figure.
    """
    if n < 0 or seconds_each < 0 or min(in_flight or 1, per_minute or 1) < 1 or 0 in (in_flight, per_minute):
        raise ValueError("a batch has 0 or more requests of 0 or more seconds, and a limit is at least 1")
    starts: list[float] = []
    for number in range(n):
        after_slot = starts[number - in_flight] + seconds_each if in_flight and number >= in_flight else 0.0
        after_minute = starts[number - per_minute] + WINDOW_S if per_minute and number >= per_minute else 0.0
        starts.append(max(after_slot, after_minute))
    return starts[-1] + seconds_each if starts else 0.0


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


def _loop_limit(facts: PromptFacts) -> Iterator[Finding]:
    history, chain = facts.history, facts.setting.chain
    if history.chains_stopped:
        yield Finding(
            "warning",
            "Agent loops were ended by their limit",
            "The model was still calling tools when the limit ended the loop, so the last answer is incomplete. "
            "Check the last calls before you raise the limit.",
            evidence=(
                Evidence("loops ended by the limit", history.chains_stopped, "count", "counted"),
                Evidence("of", history.chains or None, "count", "counted"),
                Evidence("limit", chain.limit if chain else None, "count", "counted"),
            ),
            places=(FindingPlace(()),),
            subject="stopped",
        )
    if chain is not None and chain.limit is None and facts.document.tools:
        yield Finding(
            "warning",
            "The agent loop has no limit",
            "Each iteration sends the whole prompt again. Set the maximum number of requests per turn.",
            evidence=(Evidence("prompt per iteration", facts.prompt_tokens),),
            places=(FindingPlace(()),),
            tokens=facts.prompt_tokens,
            dollars=facts.fresh_dollars(facts.prompt_tokens),
            subject="unlimited",
        )


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
    "over-plan": _concurrency_speak,
    "retry-policy": _retries_speak,
    "no-request-id": _request_ids_speak,
    "chain-limit": _loop_limit,
    "chain-rounds": _rounds,
    "cold-connections": _speak,
}
