"""Limit the agent loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Message

LONG = 8
"""Minimum iterations with calls in one turn that trigger the finding."""
SAME = 3
"""Minimum number of identical calls in one turn that triggers the finding."""


def _limit(facts: PromptFacts) -> Iterator[Finding]:
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


_GUIDE = GuideSource(
    "Tools and the filler phrase", "A turn may run filler, call, result several times: limit the loop."
)
LIMIT = LintRule(
    "chain-limit",
    "Limit the agent loop",
    "An agent loop without a limit sends the whole prompt in every iteration, and the cost shows only on the bill.",
    _GUIDE,
    _limit,
)
ROUNDS = LintRule(
    "chain-rounds",
    "Look at loops that repeat the same call",
    "A call that returned the same result three times will return it again. Change the prompt instead of allowing "
    "more iterations.",
    _GUIDE,
    _rounds,
)
