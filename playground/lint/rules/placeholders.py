"""Unfilled placeholders of other template languages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts, description
from playground.prompt.document import places as variable_places

_CAPITALS = (
    "NAME|DATE|TIME|DAY|ID|EMAIL|E-MAIL|NUMBER|ADDRESS|PHONE|COMPANY|CUSTOMER|USER|CALLER|CLIENT|AGENT|CITY|COUNTRY"
    "|PRODUCT|ORDER|AMOUNT|PRICE|LANGUAGE|CONTEXT|QUESTION|HISTORY|INPUT|TEXT|HERE|TOPIC|TOOLS|QUERY|DOCUMENTS|ROLE|BRAND|URL"
)
_PLACEHOLDER = re.compile(
    r"\$\{[A-Za-z_][\w.]{0,60}\}"
    r"|(?<![\w{$\\/_^}])\{[A-Za-z_]\w{1,40}(?:\.\w{1,40}){0,3}\}(?![\w}])"
    r"|(?<![\w{\\/_^}])\{\d?\}(?![\w}])"
    r"|\{%-? ?(?:if|for|elif|else|endif|endfor|set|include|block)\b[^%{}\n]{0,80}%\}"
    r"|<<[A-Za-z_][\w ]{0,60}>>"
    r"|(?<![\w<])<[a-z]{2,20}(?:_[a-z0-9]{1,20}){1,4}>"
    r"|(?<![\w<])<(?:[A-Z]{2,20}[_ -]?){1,4}>"
    rf"|(?<![\w\]!])\[(?:[A-Z]{{2,20}}[ _'’-]){{0,4}}(?:{_CAPITALS})\](?![(\w\[])"
    r"|(?<![\w\[])\[(?:insert|your|enter|add) [^\[\]\n]{2,40}\](?!\()"
    r"|(?<![\w%])%(?:\([A-Za-z_]\w{0,40}\))?[sd](?![\w%])"
    r"|(?<![\w_])__[A-Z][A-Z_]{2,40}__(?![\w_])",
)
_FENCE = re.compile(r"^[ \t]{0,3}(```|~~~).*?(?:^[ \t]{0,3}\1|\Z)|`[^`\n]{1,200}`", re.MULTILINE | re.DOTALL)
_FORMAT = re.compile(
    r"(?:format|formatted|example|e\.g\.|template|pattern|like this|such as|reply with|respond with"
    r"|answer as|answer with|syntax|placeholder|literal|beispiel|format:|exemple|ejemplo|उदाहरण)[^\n]{0,60}$",
    re.IGNORECASE,
)
"""Words in front, on the same line, which say that the model is to write it so."""
MARKED = 20


def find_placeholders(text: str) -> list[tuple[int, int]]:
    """Return code points [start, end) of unfilled placeholders, but for those in code, closed tags and URLs."""
    if not any(mark in text for mark in "{<[%_"):
        return []
    code = [match.span() for match in _FENCE.finditer(text)]
    found = []
    for match in _PLACEHOLDER.finditer(text):
        start, end = match.span()
        line_start = text.rfind("\n", 0, start) + 1
        if any(begin <= start < stop for begin, stop in code) or _FORMAT.search(text, line_start, start):
            continue
        value = match.group()
        if value.startswith("<") and not value.startswith("<<") and f"</{value[1:]}" in text:
            continue
        found.append((start, end))
    return found


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    yield from _unset(facts)
    places: list[FindingPlace] = []
    names: list[str] = []
    for index, message in enumerate(facts.document.messages):
        if message.content and message.role in ("system", "user", "developer"):
            for start, end in find_placeholders(message.content):
                places.append(FindingPlace(("messages", index, "content"), start, end))
                names.append(message.content[start:end])
    for index, tool in enumerate(facts.document.tools):
        text = description(tool)
        for start, end in find_placeholders(text):
            places.append(FindingPlace(("tools", index, "function", "description"), start, end, tool.name))
            names.append(text[start:end])
    if not places:
        return
    distinct = list(dict.fromkeys(names))
    shown = ", ".join(distinct[:5]) + (f" and {len(distinct) - 5} more" if len(distinct) > 5 else "")
    yield Finding(
        "warning",
        "Placeholders are not filled in",
        f"{shown}: sent as typed, so the model reads the placeholder instead of a value. Fill it in before sending, "
        "or write it as a {{variable}} of this prompt.",
        evidence=(Evidence("placeholders", len(names), "count", "counted"),),
        places=tuple(places[:MARKED]),
    )


def _unset(facts: PromptFacts) -> Iterator[Finding]:
    """Find `{{name}}` in a request body of another program: a template, or values that it did not fill in."""
    if facts.body is None:
        return
    places = [
        FindingPlace(("messages", index, "content"), place.start, place.end)
        for index, message in enumerate(facts.document.messages)
        for place in variable_places(message.content or "")
        if place.name not in facts.document.variables
    ]
    if places:
        yield Finding(
            "hint",
            "Variables have no value",
            "The body has {{variables}}. Sent as it is, the model reads their names.",
            evidence=(Evidence("variables", len(places), "count", "counted"),),
            places=tuple(places[:MARKED]),
            subject="variables",
        )


PLACEHOLDERS = LintRule(
    "placeholder-unfilled",
    "Fill in every placeholder",
    "Placeholders of other template languages are not replaced; the model reads them as text.",
    GuideSource("Prompts", "Variables are filled in before a request is sent."),
    _speak,
)
