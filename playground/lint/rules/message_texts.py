"""Texts of messages: JSON in words, fixtures that rely on a seed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playground.lint.language import PHRASES, clause_at, fold, has_any, sentence_at
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.lint.reorder import with_parameter, with_system_line
from playground.prompt.document import Document

_FIXTURE = re.compile(
    r"(?<![^\W_])(?:fixtures?|tests?|golden|snapshots?|regression|evals?|baseline|reproduc\w*|ci)(?![^\W_])",
    re.IGNORECASE,
)
"""Matches the name of a prompt that is a fixture; `latest` and `contest` are not fixtures."""


DEFAULT = 1.0


def _speak(facts: PromptFacts) -> Iterator[Finding]:
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


FIXTURES = LintRule(
    "seed-in-fixture",
    "Make fixtures with temperature 0, not with a seed",
    "The vendor does not guarantee equal answers for equal seeds, so a test that needs them fails without a change.",
    GuideSource("Request fields", "seed is best effort only; for test fixtures prefer temperature 0."),
    _speak,
)


_JSON = re.compile("json|ｊｓｏｎ")
_SAYS_JSON = re.compile("json|ｊｓｏｎ|जेसन|जेसॉन|जेएसओएन|جيسون|جےسن|джейсон|ג'ייסון")
_OTHER = re.compile(
    r"\btools?\b|function|endpoint|\bapi\b|returns\b|\bfiles?\b|jsonl|ndjson|json lines|json5|\barrays?\b|\blists?\b|"
    r"parse|```|receive|\binput\b|argument|payload|webhook|export|explain|difference|what is|how to|schema\b.*\bfor\b|"
    r"(?:user|caller|client|customer|they|i|we)(?: will| may| can| might)? (?:send|provide|give|paste|upload|share)|"
    r"herramienta|función|archivo|arreglo|\blista\b|explica|outil|fonction|fichier|tableau|explique|werkzeug|funktion|"
    r"datei|\bliste\b|erklär|ferramenta|função|arquivo|strument|funzione|elenco|spiega|bestand|lijst|plik|tablic|dosya|"
    r"dizi|berkas|larik|tệp|mảng|инструмент|функци|файл|массив|спис|объясни|інструмент|файл|масив|टूल|फ़ाइल|फाइल|सूची|"
    r"समझा|ফাইল|তালিকা|கோப்பு|பட்டியல்|ఫైల్|జాబితా|ಫೈಲ್|ಪಟ್ಟಿ|ഫയൽ|പട്ടിക|ફાઇલ|યાદી|工具|函数|文件|数组|解析|解释|"
    r"ツール|関数|ファイル|配列|説明|도구|함수|파일|배열|설명|أداة|ملف|مصفوفة|اشرح|ابزار|فایل|آرایه|כלי|קובץ|מערך|ไฟล์|อาร์เรย์"
)
"""What makes of "JSON" something else than the answer's form. An array is none that JSON mode makes."""
_VERB = r"(?:answer|respond|reply|return|output|produce|emit|format)"
_ENGLISH = re.compile(
    rf"(?:^|\b(?:always|only|must|should|please|and|then|to|will|you|shall|strictly|just)\s+|[,;:]\s*|\n|^\W*){_VERB}\b"
    r"[^.\n]{0,80}\bjson"
    r"|\b(?:output|response|reply|answer|completion)s?\b[^.\n]{0,40}\b(?:must|should|is|has to|needs to|shall|:)"
    r"[^.\n]{0,40}json"
    r"|\b(?:only|valid|raw|strict|pure)\b[^.\n]{0,24}\bjson\b[^.\n]{0,24}\b(?:only|object|output|response)\b"
    r"|^\W*(?:json only|only json|json output only)\b"
)
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
_LETTERS = re.compile("[a-z\u00c0-\u052f]")


def _at_word(stem: str) -> str:
    """Match the stem at the start of a word, in scripts that separate words: "une" is not "ne"."""
    return f" {stem}" if _LETTERS.match(stem) and stem != "n't " else stem


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
            fix=Fix("Set response_format to json_object", _in_json_mode(facts)),
        )
        return


def _in_json_mode(facts: PromptFacts) -> Document:
    return with_parameter(facts.document, "response_format", {"type": "json_object"})


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


_GUIDE = GuideSource("Request fields", "response_format is text or json_object.")
NOT_SET = LintRule(
    "json-not-set",
    "Ask for JSON with response_format, not only in the prompt",
    "An instruction is followed most of the time; a parser needs valid JSON every time.",
    _GUIDE,
    _not_set,
)
NOT_SAID = LintRule(
    "json-not-said",
    "Mention JSON in the prompt if JSON mode is on",
    "JSON mode sets the format; the prompt has to name the fields.",
    _GUIDE,
    _not_said,
)
