"""Speak the filler while the tool runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playground.lint.edits import with_system_line
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.phrases import PHRASES, Phrases
from playground.lint.prompt_facts import PromptFacts
from playground.lint.sentences import has_any, sentence_at

_ACKNOWLEDGE = re.compile("acknowledg")
_LINES = tuple(row.filler.lower() for row in PHRASES.values())
"""Instructions that this rule proposes; they are recognised in a prompt of any language."""
_OF_A_TOOL = re.compile(r"tool|function|call(?:ing)?\b|look|check|search|fetch|loud|request|moment|wait|action|short")


def _speak(facts: PromptFacts) -> Iterator[Finding]:
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


RULE = LintRule(
    "no-filler",
    "Have the model speak while the tool runs",
    "If the system prompt asks for it, the model writes a short phrase before the tool call, and speech synthesis can "
    "start with it while the tool runs.",
    GuideSource(
        "Tools and the filler phrase",
        "If the system prompt asks for an acknowledgement before a tool call, the model writes it first.",
    ),
    _speak,
)
