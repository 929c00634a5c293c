"""Limit the agent loop, and speak a filler while a tool runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from playground.lint.language import PHRASES, Phrases, has_any, sentence_at
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.lint.reorder import with_system_line
from playground.prompt.document import Message

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


FILLER = LintRule(
    "no-filler",
    "Have the model speak while the tool runs",
    "If the system prompt asks for it, the model writes a short phrase before the tool call, and speech synthesis can "
    "start with it while the tool runs.",
    GuideSource(
        "Tools and the filler phrase",
        "If the system prompt asks for an acknowledgement before a tool call, the model writes it first.",
    ),
    _report_filler,
)


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
