"""Placeholders of template languages that nothing replaced before a request was sent.

In a system message or a tool description, a placeholder is one that was left unfilled, unless it is code or the text
speaks of placeholders. Users write such text in their own messages, as code or as a question about it: there it counts
if most messages of a program have it, or, in a single prompt, if nothing but a label is on its line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from playground.lint.model import Evidence, Finding, FindingPlace, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts, description, parameters
from playground.prompt.document import Message
from playground.prompt.document import places as variable_places
from playground.prompt.field_errors import Path

_WORD = r"0-9A-Za-z_\u00c0-\u024f"
"""Characters of words in scripts that separate words."""
_CAPITALS = (
    "NAME|DATE|TIME|DAY|ID|EMAIL|E-MAIL|NUMBER|ADDRESS|PHONE|COMPANY|CUSTOMER|USER|CALLER|CLIENT|AGENT|CITY|COUNTRY"
    "|PRODUCT|ORDER|AMOUNT|PRICE|LANGUAGE|CONTEXT|QUESTION|HISTORY|INPUT|TEXT|HERE|TOPIC|TOOLS|QUERY|DOCUMENTS|ROLE|BRAND|URL"
)
_PLACEHOLDER = re.compile(
    r"\$\{[A-Za-z_][\w.]{0,60}\}"
    rf"|(?<![{_WORD}{{$\\/^}}])\{{[A-Za-z_]\w{{1,40}}(?:\.\w{{1,40}}){{0,3}}\}}(?![{_WORD}}}])"
    r"|(?<![\w{\\/_^}])\{\d?\}(?![\w}])"
    r"|\{\{-? {0,4}[A-Za-z_]\w{0,40}(?:(?:\.\w{1,40}){1,3}|(?= {0,4}\|))(?: {0,4}\|[^{}\n]{1,60})? {0,4}-?\}\}"
    r"|<%[=-]? ?[A-Za-z_@][^%<>\n]{0,60}%>"
    r"|\{%-? ?(?:if|for|elif|else|endif|endfor|set|include|block)\b[^%{}\n]{0,80}%\}"
    r"|<<[A-Za-z_][\w ]{0,60}>>"
    r"|(?<![\w<])<[a-z]{2,20}(?:_[a-z0-9]{1,20}){1,4}>"
    r"|(?<![\w<])<(?:[A-Z]{2,20}[_ -]?){1,4}>"
    rf"|(?<![{_WORD}\]!])\[(?:[A-Z]{{2,20}}[ _'’-]){{0,4}}(?:{_CAPITALS})\](?![({_WORD}\[])"
    r"|(?<![\w\[])\[(?:insert|your|enter|add) [^\[\]\n]{2,40}\](?!\()"
    r"|(?<![\w%])(?!(?<=:)%s/)%(?:\([A-Za-z_]\w{0,40}\))?[sd](?![\w%])"
    rf"|(?<![{_WORD}])__[A-Z][A-Z_]{{2,40}}__(?![{_WORD}])",
)
"""`:%s/old/new/` is a command of an editor."""
_FENCE = re.compile(r"^[ \t]{0,3}(```|~~~).*?(?:^[ \t]{0,3}\1|\Z)|`[^`\n]{1,200}`", re.MULTILINE | re.DOTALL)
_WORDS = (
    r"(?:\b(?:format|example|e\.g\.|template|pattern|like this|such as|reply with|respond with|answer as|answer with"
    r"|syntax|literal|beispiel|exemple|ejemplo|esempio|пример|उदाहरण|muster|vorlage|modèle|modelo|plantilla|modello|шаблон"
    r"|placeholder|variable|platzhalter|espaces? réservés?|marcador|segnaposto|placehoud|zmienn|değişken|переменн"
    r"|плейсхолдер|चर|replace|redact|anonymi|mask|ersetz|remplac|reemplaz|sostitui|замен)"
    r"|例|模板|テンプレート|変数|プレースホルダ|占位符|变量|변수|替换|置き換え|مثال|متغير)"
)
_FORMAT = re.compile(rf"{_WORDS}[^\n]{{0,90}}$", re.IGNORECASE)
_HEADING = re.compile(rf"{_WORDS}[^\n]{{0,60}}[:：]\s*$", re.IGNORECASE)
"""Words in front, on the same line or in the heading of the lines, which say that the text is meant as typed."""
_INSERTED = re.compile(r"format|example|instruction|schema|template|beispiel|exemple|ejemplo", re.IGNORECASE)
"""Names of placeholders for which a format or examples are to be inserted."""
_STRING, _ARGUMENT = re.compile(r"""(?:\b[fF]|\$)["'`][^"'`\n]{0,80}$"""), re.compile(r"""["']\s?(?:%|\.format\()""")
"""An interpolated string in front of a placeholder, and what fills in a string behind it."""
_ALONE = re.compile(
    r"[ \t]*(?:[^\n:：{}<>=\"'`]{1,40}[:：][ \t]*)?\x00[ \t]*[.。]?[ \t]*|[^\n{}<>=\"'`?？]{1,60}\x00[ \t]*[:：][ \t]*"
)
"""A line whose placeholder, written as \\x00, is the value of a label, or which is a heading that ends in a colon."""
_UNNAMED = re.compile(r"\{\d?\}|%[sd]")
_LETTERS, _BEHIND = 3, 12
"""Letters in front of a placeholder on its line from which on they tell one template from another text; with fewer, the
characters behind it do."""
_MESSAGES = 3
"""Different user messages with a placeholder from which on it is a template's."""
_WRITTEN = ("system", "user", "developer")
"""Roles of messages that a program writes."""
MARKED = 20


def find_placeholders(text: str) -> list[tuple[int, int]]:
    """Return code points [start, end) of unfilled placeholders, but for those in code, closed tags and URLs."""
    if not any(mark in text for mark in "{<[%_"):
        return []
    code = [match.span() for match in _FENCE.finditer(text)]
    found = []
    for match in _PLACEHOLDER.finditer(text):
        start, end = match.span()
        if any(begin <= start < stop for begin, stop in code) or _is_as_typed(text, start, end):
            continue
        value = match.group()
        if value.startswith("<") and not value.startswith("<<") and f"</{value[1:]}" in text:
            continue
        found.append((start, end))
    return found


def _is_as_typed(text: str, start: int, end: int) -> bool:
    """Whether the words or the code in front of a placeholder say that it is meant as typed."""
    line_start, _ = _line_of(text, start, end)
    if _STRING.search(text, line_start, start) or _ARGUMENT.match(text, end):
        return True
    if _INSERTED.search(text, start, end):
        return False
    return bool(_FORMAT.search(text, line_start, start) or _HEADING.search(_heading(text, line_start)))


def _heading(text: str, line_start: int) -> str:
    """Return the first line of the paragraph that a line is in, or the line in front of it if that ends in a colon."""
    paragraph = text.rfind("\n\n", 0, line_start)
    before = text[: max(paragraph, 0)].rsplit("\n", 1)[-1]
    if before.rstrip().endswith((":", "：")):
        return before
    return text[max(paragraph + 2, 0) if paragraph >= 0 else 0 : line_start].split("\n", 1)[0]


def template_lines(texts: Iterable[str]) -> frozenset[str]:
    """Return the lines with a placeholder that most different user messages of a program have, three or more."""
    distinct = dict.fromkeys(texts)
    counts = Counter(line for text in distinct for line in _lines(text))
    least = max(_MESSAGES, (len(distinct) + 1) // 2)
    return frozenset(line for line, count in counts.items() if count >= least)


def _lines(text: str) -> set[str]:
    """Return the lines with a placeholder or `{{name}}`."""
    places = [*find_placeholders(text), *((place.start, place.end) for place in variable_places(text))]
    return {_line(text, start, end) for start, end in places}


def _line(text: str, start: int, end: int) -> str:
    """Return a placeholder with the text in front of it on its line, or with what follows it if that has no words."""
    first, last = _line_of(text, start, end)
    words = sum(map(str.isalpha, text[first:start])) >= _LETTERS
    return text[first : end if words else min(end + _BEHIND, last)]


def _line_of(text: str, start: int, end: int) -> tuple[int, int]:
    """Return code points [first, last) of the line of a placeholder."""
    last = text.find("\n", end)
    return text.rfind("\n", 0, start) + 1, len(text) if last < 0 else last


def _is_template(facts: PromptFacts, role: str, text: str, start: int, end: int) -> bool:
    """Whether a program or the author of a prompt has written a placeholder, and not a user in a question."""
    if role in ("system", "developer"):
        return True
    templates = facts.setting.templates
    if templates is not None:
        return _line(text, start, end) in templates
    first, last = _line_of(text, start, end)
    line = f"{text[first:start]}\x00{text[end:last]}"
    return bool(_ALONE.fullmatch(line)) and not _UNNAMED.fullmatch(text, start, end)


def _report_placeholders(facts: PromptFacts) -> Iterator[Finding]:
    yield from _unset(facts)
    places: list[FindingPlace] = []
    names: list[str] = []
    for index, message in enumerate(facts.document.messages):
        text = message.content or ""
        for start, end in find_placeholders(text) if message.role in _WRITTEN else ():
            if _is_template(facts, message.role, text, start, end):
                places.append(FindingPlace(("messages", index, "content"), start, end))
                names.append(text[start:end])
    for path, text, name in _described(facts):
        for start, end in find_placeholders(text):
            places.append(FindingPlace(path, start, end, name))
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


def _described(facts: PromptFacts) -> Iterator[tuple[Path, str, str]]:
    """Yield the descriptions of tools and of their parameters, each with its path and the tool's name."""
    for index, tool in enumerate(facts.document.tools):
        yield ("tools", index, "function", "description"), description(tool), tool.name
        for node in parameters(tool):
            yield ("tools", index, *node.path, "description"), node.description, tool.name


def _unset(facts: PromptFacts) -> Iterator[Finding]:
    """Find `{{name}}` in a request body of another program: a template, or values that it did not fill in."""
    if facts.body is None:
        return
    places = [
        FindingPlace(("messages", index, "content"), place.start, place.end)
        for index, message in enumerate(facts.document.messages)
        for place in variable_places(message.content or "")
        if place.name not in facts.document.variables and _is_left(facts, message, place.start, place.end)
    ]
    places += [
        FindingPlace(path, place.start, place.end, name)
        for path, text, name in _described(facts)
        for place in variable_places(text)
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


def _is_left(facts: PromptFacts, message: Message, start: int, end: int) -> bool:
    """Whether a program has left `{{name}}` in a recorded request; always true of a prompt that may be a template."""
    if facts.setting.templates is None:
        return True
    text = message.content or ""
    typed = _is_as_typed(text, start, end)
    return message.role in _WRITTEN and not typed and _is_template(facts, message.role, text, start, end)


PLACEHOLDERS = LintRule(
    "placeholder-unfilled",
    "Fill in every placeholder",
    "Placeholders of other template languages are not replaced; the model reads them as text.",
    GuideSource("Prompts", "Variables are filled in before a request is sent."),
    _report_placeholders,
)
