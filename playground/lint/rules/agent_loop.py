"""Bound the tool chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.prompt.document import Message

LONG = 8
"""Minimum rounds of calls in one turn that trigger the finding."""
SAME = 3
"""How often one call has to be made with the same arguments in one turn."""


def _limit(facts: PromptFacts) -> Iterator[Finding]:
    history, chain = facts.history, facts.setting.chain
    if history.chains_stopped:
        yield Finding(
            "warning",
            "Chains were ended by their limit",
            "The model was still calling tools when the limit ended the chain: what it answered is not what it "
            "would have. Look at the last calls before raising the limit.",
            evidence=(
                Evidence("chains ended by the limit", history.chains_stopped, "count", "counted"),
                Evidence("of", history.chains or None, "count", "counted"),
                Evidence("limit", chain.limit if chain else None, "count", "counted"),
            ),
            places=(FindingPlace(()),),
            subject="stopped",
        )
    if chain is not None and chain.limit is None and facts.document.tools:
        yield Finding(
            "warning",
            "The tool chain has no limit",
            "Each round sends the whole prompt again. Set how many requests one turn may make.",
            evidence=(Evidence("prompt sent in each round", facts.prompt_tokens),),
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
            f"{name} is called again and again",
            f"In this turn {name} was called {times} times with the same arguments and brought the same: a circle.",
            evidence=(Evidence("same calls", times, "count", "counted"),),
            places=tuple(FindingPlace(("messages", i, "tool_calls")) for i, _ in calling),
            subject="repeats",
        )
    elif len(calling) >= LONG:
        yield Finding(
            "hint",
            "A long tool chain",
            f"This turn has {len(calling)} rounds of calls, and each sent everything before it again.",
            evidence=(Evidence("rounds", len(calling), "count", "counted"),),
            places=(FindingPlace(("messages", calling[-1][0], "tool_calls")),),
            subject="long",
        )


def _repeated(messages: Sequence[Message]) -> tuple[str, int] | None:
    """A tool that was called with the same arguments and brought the same, and how often: polling brings news."""
    results = {message.tool_call_id: message.content for message in messages if message.role == "tool"}
    made = (call for message in messages for call in message.tool_calls if call.id in results)
    calls = Counter((call.name, call.arguments, results[call.id]) for call in made)
    if not calls:
        return None
    (name, *_), times = calls.most_common(1)[0]
    return (name, times) if times >= SAME else None


_GUIDE = GuideSource(
    "Tools and the filler phrase", "A turn may run filler, call, result several times: bound the chain."
)
LIMIT = LintRule(
    "chain-limit",
    "Bound the tool chain",
    "A runaway agent loop sends the whole prompt again in every round, unnoticed until the bill.",
    _GUIDE,
    _limit,
)
ROUNDS = LintRule(
    "chain-rounds",
    "Look at chains that go in a circle",
    "A call that has brought the same three times will bring it again; the model needs another line in its prompt, not "
    "another round.",
    _GUIDE,
    _rounds,
)
