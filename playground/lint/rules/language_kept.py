"""Rules against translation steps within an agent loop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playground.lint.language import detect
from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule
from playground.lint.phrases import PHRASES
from playground.lint.prompt_facts import PromptFacts
from playground.lint.sentences import fold, sentence_at

_TRANSLATOR = re.compile(
    r"translat|interpreter|traduc|tradui|übersetz|traduz|tradutt|vertaal|tłumacz|çevir|terjemah|dịch|перевод|перевед|"
    r"переклад|अनुवाद|भाषांतर|अनुवाद|অনুবাদ|மொழிபெயர்|అనువాద|ಅನುವಾದ|വിവർത്ത|અનુવાદ|ਅਨੁਵਾਦ|ترجم|תרגם|翻译|翻譯|翻訳|번역|แปล|μετάφρα"
    r"|language (?:teacher|tutor|lesson|learn)|teach(?:er|es|ing)? [a-z]+ish\b|learn(?:er|ing)? [a-z]+ish\b"
)
_IN_ONE = re.compile(
    r"(?:answer|respond|reply|speak|write|talk|communicate)\w*\b[^.\n]{0,40}\b(?:in|only) (?:only )?"
    r"(?:english|hindi|tamil|telugu|bengali|marathi|kannada|malayalam|gujarati|punjabi|spanish|french|german|"
    r"portuguese|italian|dutch|arabic|russian|chinese|japanese|korean|turkish|polish)|"
    r"(?:english|hindi|spanish|french|german) only|"
    r"only (?:in )?(?:english|hindi|spanish|french|german)"
)
_MIDDLE = re.compile(
    r"translat\w+\b[^.\n]{0,60}\b(?:into|to) english\b[^.\n]{0,80}"
    r"\b(?:before|first|then|and (?:call|use|search|answer|pass))|"
    r"\b(?:first|before)\b[^.\n]{0,60}\btranslat\w+\b[^.\n]{0,40}\b(?:into|to) english"
)
_NOT = re.compile(r"\b(?:never|not|don't|without|no)\b")


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    yield from _instruction(facts)
    if _TRANSLATOR.search(facts.system_lowered) or _IN_ONE.search(facts.system_lowered):
        return
    switched = [(i, asked, said) for i, asked, said in _answers(facts) if asked != said]
    if not switched:
        return
    _, asked, said = switched[-1]
    yield Finding(
        "hint",
        "The answer is in a different language than the question",
        f"A question in {_name(asked)} was answered in {_name(said)}, and the prompt does not ask for that. The model "
        "speaks both: keep the caller's language from the question through the tools to the answer.",
        evidence=(Evidence("answers in another language", len(switched), "count", "estimated"),),
        places=tuple(FindingPlace(("messages", i, "content")) for i, _, _ in switched if i >= 0),
        subject="answers",
    )


def _instruction(facts: PromptFacts) -> Iterator[Finding]:
    for index, text in facts.system:
        low = fold(text)
        match = _MIDDLE.search(low) if "translat" in low else None
        if match is None:
            continue
        start, end = sentence_at(low, match.start())
        if not _NOT.search(low, start, end):
            yield Finding(
                "hint",
                "The prompt asks for translation steps",
                "Translating the question before the tools and the answer after them costs two steps, and can change "
                "names and numbers. The model accepts the caller's language directly.",
                places=(FindingPlace(("messages", index, "content"), start, end),),
                subject="instruction",
            )


def _answers(facts: PromptFacts) -> Iterator[tuple[int, str, str]]:
    """Index of an answer, the question's language and its own, where both can be told; -1 from the log."""
    asked: str | None = None
    for index, message in enumerate(facts.document.messages):
        if message.role == "user":
            asked = detect(message.content or "")
        elif message.role == "assistant" and message.content and asked:
            said = detect(message.content)
            if said:
                yield index, asked, said
    for request in facts.history.requests[-50:]:
        first, second = detect(request.question), detect(request.answer)
        if first and second:
            yield -1, first, second


def _name(code: str) -> str:
    return PHRASES[code].name if code in PHRASES else code


RULE = LintRule(
    "language-kept",
    "Keep one language from the question to the answer",
    "The model works in some 70 languages. Every translation in between costs a call and can change a name.",
    GuideSource("The other products on the stack", "The model supports Indic and many other languages directly."),
    _speak,
)
