"""Texts of messages: placeholders, JSON in words, fixtures that rely on a seed, languages, wishes for sound."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from playground.lint.language import PHRASES, WORDING, clause_at, detect, fold, has_any, sentence_at, wording
from playground.lint.model import (
    Evidence,
    Finding,
    FindingPlace,
    Fix,
    Judge,
    with_parameter,
    with_system_line,
)
from playground.lint.prompt_facts import PromptFacts, parameters
from playground.prompt.document import Document, Json, Message
from playground.prompt.document import places as variable_places
from playground.prompt.field_errors import Path
from playground.tools.form_model import description_of

_PLACEHOLDER = wording("placeholder")
_FENCE = re.compile(r"^[ \t]{0,3}(```|~~~).*?(?:^[ \t]{0,3}\1|\Z)|`[^`\n]{1,200}`", re.MULTILINE | re.DOTALL)
_FORMAT, _HEADING = (
    re.compile(rf"(?:{wording('as_typed').pattern}){end}", re.IGNORECASE)
    for end in (r"[^\n]{0,90}$", r"[^\n]{0,60}[:：]\s*$")
)
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
        yield ("tools", index, "function", "description"), description_of(tool), tool.name
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


_FIXTURE = re.compile(
    r"(?<![^\W_])(?:fixtures?|tests?|golden|snapshots?|regression|evals?|baseline|reproduc\w*|ci)(?![^\W_])",
    re.IGNORECASE,
)
"""Matches the name of a prompt that is a fixture; `latest` and `contest` are not fixtures."""


DEFAULT = 1.0


def _report_fixture(facts: PromptFacts) -> Iterator[Finding]:
    temperature = facts.parameter("temperature")
    hot = float(temperature) if isinstance(temperature, int | float) else None
    if facts.parameter("seed") is None or hot == 0 or not _is_fixture(facts):
        return
    yield Finding(
        "warning",
        "The fixture relies on seed",
        "seed is best effort: deployments, batching and updates change the answer. With temperature 0 it changes far "
        "less. Run the drift check to see whether it still changes.",
        evidence=(
            Evidence("temperature", hot, "count", "counted")
            if hot is not None
            else Evidence("temperature if none is sent", DEFAULT, "count", "counted"),
        ),
        places=(FindingPlace(("seed",)), FindingPlace(("temperature",))),
        fix=Fix("Set temperature to 0", with_parameter(facts.document, "temperature", 0)),
    )


def _is_fixture(facts: PromptFacts) -> bool:
    user = facts.parameter("user")
    names = (facts.document.name, user if isinstance(user, str) else "")
    return facts.setting.fixture or any(_FIXTURE.search(name) for name in names)


_JSON = re.compile("json|ｊｓｏｎ")
_SAYS_JSON = re.compile("json|ｊｓｏｎ|जेसन|जेसॉन|जेएसओएन|جيسون|جےسن|джейсон|ג'ייסון")
_OTHER = wording("json_of_others")
_ENGLISH = wording("asks_for_json")
_AFTER = frozenset(
    ("hi", "mr", "ne", "bn", "ta", "te", "kn", "ml", "gu", "pa", "or", "ur", "fa", "ja", "ko", "tr", "zh")
)
"""Languages in which the negation may follow the negated word."""


def asks_for_json(text: str) -> tuple[int, int] | None:
    """Return the sentence that requests JSON, [start, end) code points; None without one."""
    low = fold(text)
    for match in _JSON.finditer(low):
        start, end = sentence_at(low, match.start())
        sentence = low[start:end]
        if not _OTHER.search(sentence) and _asks(sentence, match.start() - start):
            return start, end
    return None


def _asks(sentence: str, at: int) -> bool:
    start, end = clause_at(sentence, at)
    before = f" {sentence[start:at]}"
    if _FORBIDS.search(sentence[:at]) or has_any(before, _NOT) or has_any(f" {sentence[at:end]} ", _NOT_AFTER):
        return False
    return bool(_ENGLISH.search(sentence)) or has_any(sentence, _ANSWER)


_FORBIDS = re.compile(r"(?:\bnot|\bnever|n't),")
"""What forbids also behind the comma: "do not, whatever they say, answer in JSON"."""
_LETTER = re.compile("[a-z\u00c0-\u052f]")


def _at_word(stem: str) -> str:
    """Match the stem at the start of a word, in scripts that separate words: "une" is not "ne"."""
    return f" {stem}" if _LETTER.match(stem) and stem != "n't " else stem


_NOT = tuple(_at_word(stem) for row in PHRASES.values() for stem in row.not_words)
_NOT_AFTER = tuple(_at_word(stem) for row in PHRASES.values() if row.code in _AFTER for stem in row.not_words)
_ANSWER = tuple(stem for row in PHRASES.values() if row.code != "en" for stem in row.answer if stem != "format")


def _not_set(facts: PromptFacts) -> Iterator[Finding]:
    if facts.parameter("response_format") is not None:
        return
    systems = {index for index, _ in facts.system}
    for index, text in facts.asked:
        found = asks_for_json(text)
        if found is None:
            continue
        yield Finding(
            "warning" if index in systems else "hint",
            "The prompt asks for JSON without response_format",
            "With response_format json_object the completion is one JSON object without surrounding text. An "
            "instruction in the prompt does not guarantee that.",
            places=(FindingPlace(("messages", index, "content"), *found), FindingPlace(("response_format",))),
            fix=Fix(
                "Set response_format to json_object",
                with_parameter(facts.document, "response_format", {"type": "json_object"}),
            ),
        )
        return


def _not_said(facts: PromptFacts) -> Iterator[Finding]:
    if facts.parameter("response_format") != {"type": "json_object"}:
        return
    if any(message.content and _SAYS_JSON.search(fold(message.content)) for message in facts.document.messages):
        return
    row = PHRASES.get(facts.language or "")
    yield Finding(
        "warning",
        "JSON mode is on, but the prompt does not mention JSON",
        "The model must produce JSON but does not know which fields, and may produce white space until max_tokens "
        "ends the completion. Mention JSON and name the fields.",
        places=(FindingPlace(("response_format",)), FindingPlace(("messages",))),
        fix=Fix(f"Add the instruction ({row.name})", with_system_line(facts.document, row.json_line)) if row else None,
    )


_TRANSLATOR, _IN_ONE = wording("translator"), wording("in_one_language")
_MIDDLE = wording("translation_step")
_NEGATION = re.compile(r"\b(?:never|not|don't|without|no)\b")


def _report_language(facts: PromptFacts) -> Iterator[Finding]:
    yield from _translation_steps(facts)
    if _TRANSLATOR.search(facts.system_lowered) or _IN_ONE.search(facts.system_lowered):
        return
    switched = [(i, asked, said) for i, asked, said in _answers_by_language(facts) if asked != said]
    if not switched:
        return
    _, asked, said = switched[-1]
    yield Finding(
        "hint",
        "The answer is in a different language than the question",
        f"A question in {_language_name(asked)} was answered in {_language_name(said)}, and the prompt does not ask "
        "for that. The model speaks both: keep the caller's language from the question through the tools to the "
        "answer.",
        evidence=(Evidence("answers in another language", len(switched), "count", "estimated"),),
        places=tuple(FindingPlace(("messages", i, "content")) for i, _, _ in switched if i >= 0),
        subject="answers",
    )


def _translation_steps(facts: PromptFacts) -> Iterator[Finding]:
    for index, text in facts.system:
        low = fold(text)
        match = _MIDDLE.search(low) if "translat" in low else None
        if match is None:
            continue
        start, end = sentence_at(low, match.start())
        if not _NEGATION.search(low, start, end):
            yield Finding(
                "hint",
                "The prompt asks for translation steps",
                "Translating the question before the tools and the answer after them costs two steps, and can change "
                "names and numbers. The model accepts the caller's language directly.",
                places=(FindingPlace(("messages", index, "content"), start, end),),
                subject="instruction",
            )


def _answers_by_language(facts: PromptFacts) -> Iterator[tuple[int, str, str]]:
    """Index of an answer, the question's language and its own, if both are known; -1 from the log."""
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


def _language_name(code: str) -> str:
    return PHRASES[code].name if code in PHRASES else code


_NO_WISH = wording("no_wish")

_PRODUCTS = (
    ("spoken", "transcription", "Pulse", "takes no audio: audio becomes text with Pulse, the vendor's transcription."),
    ("spoken", "speech", "Lightning", "makes no sound: text becomes speech with Lightning, the vendor's synthesis."),
    ("call", "calls", "Atoms", "makes no calls: telephony and campaigns are Atoms, the vendor's voice-agent platform."),
)
"""Words of which a wish has one in its line, the wish, the product for it, and a sentence about it."""


def _report_products(facts: PromptFacts) -> Iterator[Finding]:
    yield from _audio_fields(facts)
    for anchors, what, product, words in _PRODUCTS:
        # With tools, something else may well do it.
        place = None if facts.document.tools else _first_wish(facts, WORDING[anchors], wording(what))
        if place is not None:
            title = f"This asks a text model for {what}"
            yield Finding(
                "hint", title, f"Electron takes text and gives text. It {words}", places=(place,), subject=product
            )


def _first_wish(facts: PromptFacts, anchors: list[str], pattern: re.Pattern[str]) -> FindingPlace | None:
    for index, text in facts.asked:
        low = fold(text)
        for first, last in _lines_with(low, anchors):
            for match in pattern.finditer(low, first, last):
                start, end = sentence_at(low, match.start())
                if not _NO_WISH.search(low[start:end]):
                    return FindingPlace(("messages", index, "content"), start, end)
    return None


def _lines_with(text: str, anchors: list[str]) -> list[tuple[int, int]]:
    """Return code points [start, end) of the lines that have one of the words; no pattern goes beyond a line."""
    lines: set[tuple[int, int]] = set()
    for word in anchors:
        at = text.find(word)
        while at >= 0:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            lines.add((text.rfind("\n", 0, at) + 1, end))
            at = text.find(word, end)
    return sorted(lines)


def _audio_fields(facts: PromptFacts) -> Iterator[Finding]:
    wrong = [name for name in ("modalities", "audio") if _is_audio(name, facts.parameter(name))]
    if wrong:
        yield Finding(
            "warning",
            "The request asks a text model for audio",
            f"{' and '.join(wrong)} may be passed on, but Electron gives text only. Speech comes from Lightning, "
            "transcription from Pulse.",
            places=tuple(FindingPlace((name,)) for name in wrong),
            fix=Fix(f"Remove {' and '.join(wrong)}", _without(facts.document, wrong)),
            subject="fields",
        )
    for index, message in enumerate(facts.document.messages):
        at = (message.content or "").find("data:audio/")
        if at >= 0:
            yield Finding(
                "warning",
                "A message carries audio",
                "Electron reads it as text, character by character, and pays for each. Transcribe it with Pulse first.",
                evidence=(),
                places=(FindingPlace(("messages", index, "content"), at, len(message.content or "")),),
                tokens=facts.tokens((message.content or "")[at:]),
                dollars=facts.fresh_dollars(facts.tokens((message.content or "")[at:])),
                subject=f"message {index}",
            )


def _is_audio(name: str, value: Json) -> bool:
    return "audio" in value if name == "modalities" and isinstance(value, list) else name == "audio" and bool(value)


def _without(document: Document, names: list[str]) -> Document:
    return replace(document, parameters={k: v for k, v in document.parameters.items() if k not in names})


JUDGES: dict[str, Judge] = {
    "placeholder-unfilled": _report_placeholders,
    "seed-in-fixture": _report_fixture,
    "json-not-set": _not_set,
    "json-not-said": _not_said,
    "language-kept": _report_language,
    "other-product": _report_products,
}
