"""Language of a text, its sentences and clauses, and the phrases of prompts in each language.

The language is found by its script, and where languages share one, by letters or common words of their own.
It answers only where the text leaves little doubt: a prompt is often half in one language and half in another, and a
rule would rather be silent than offer a line in the wrong one.
"""

from __future__ import annotations

import json
import re
from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from msgspec import Struct

from playground import asset

_END = re.compile(r"(?:[.!?…]+(?=[\s\"'”’)\]]|$)|[。！？।॥؟۔\n]+)[\"'”’)\]]*")
_SHORT = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|incl|resp|dr|mr|mrs|ms|st|no|fig|z\.\s?b|bzw|ca|ej|p\.\s?ej|p\.\s?ex|ex|напр|"
    r"т\.\s?е|bijv|np|örn)|\b\w)$",
    re.IGNORECASE,
)
"""What a full stop does not end: an abbreviation, or a single letter."""
_FAR = 600
"""Maximum search distance for sentence boundaries, in code points."""
_CLAUSE = re.compile(r"[,;:،、，；：—–()]")


def fold(text: str) -> str:
    """Lower case, as many code points as before: İ alone would become two."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of `text` as [start, end), with end punctuation, without surrounding white space."""
    found, start = [], 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and _SHORT.search(text, max(start, match.start() - 8), match.start()):
            continue
        found.append(_stripped(text, start, match.end()))
        start = match.end()
    found.append(_stripped(text, start, len(text)))
    return [(a, b) for a, b in found if a < b]


def sentence_at(text: str, index: int) -> tuple[int, int]:
    """Return the sentence that contains code point `index`."""
    low, high = max(index - _FAR, 0), min(index + _FAR, len(text))
    for start, end in sentences(text[low:high]):
        if low + start <= index < low + end:
            return low + start, low + end
    return low, high


def clause_at(text: str, index: int) -> tuple[int, int]:
    """Return the clause (delimited by commas or similar) that contains code point `index`."""
    start, end = sentence_at(text, index)
    before = [m.end() for m in _CLAUSE.finditer(text, start, index)]
    after = _CLAUSE.search(text, index, end)
    return (before[-1] if before else start), (after.start() if after else end)


def has_any(text: str, stems: Iterable[str]) -> bool:
    """Return whether `text` (lower case) contains any of the stems."""
    return any(stem in text for stem in stems)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


class Phrases(Struct, frozen=True):
    """One language; stems are in lower case.

    `filler` asks for a spoken acknowledgement before a tool call, `json_line` for JSON. `waits`: what a prompt says
    that asks for such an acknowledgement, or forbids it. `before`: the bare word, which counts only in a sentence with
    one of `tool` and, if the language lists any, one of `say`. `voice`: how a spoken agent's prompt describes itself;
    `answer`: how a prompt says “answer”; `not_words`: how it says “not”.
    """

    code: str
    name: str
    filler: str
    json_line: str
    waits: tuple[str, ...]
    before: tuple[str, ...]
    tool: tuple[str, ...]
    say: tuple[str, ...]
    voice: tuple[str, ...]
    answer: tuple[str, ...]
    not_words: tuple[str, ...]


def _phrases(code: str, row: Mapping[str, str | list[str]]) -> Phrases:
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    stems = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Phrases(code, **texts, **stems)  # type: ignore[arg-type]  # the file's own fields, checked by a test


def _load() -> dict[str, Phrases]:
    rows = json.loads((asset("phrases") / "prompts.json").read_text("utf-8"))
    return {code: _phrases(code, row) for code, row in rows.items()}


PHRASES = _load()
"""By ISO 639-1 code."""


SAMPLE = 2_000
"""Code points looked at; a prompt's language shows in its first page."""
MIN_LETTERS = 6
SURE = 0.6
"""The share of letters that the leading script has to have."""

_SCRIPTS = {
    "latin": "a-z\u00c0-\u024f\u1e00-\u1eff",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "hebrew": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    "devanagari": "\u0900-\u097f",
    "bengali": "\u0980-\u09ff",
    "gurmukhi": "\u0a00-\u0a7f",
    "gujarati": "\u0a80-\u0aff",
    "odia": "\u0b00-\u0b7f",
    "tamil": "\u0b80-\u0bff",
    "telugu": "\u0c00-\u0c7f",
    "kannada": "\u0c80-\u0cff",
    "malayalam": "\u0d00-\u0d7f",
    "thai": "\u0e00-\u0e7f",
    "kana": "\u3040-\u30ff",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "hangul": "\u1100-\u11ff\uac00-\ud7af",
}
_PATTERNS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_ENOUGH_LATIN = re.compile(f"(?:[a-z][^a-z]*){{{MIN_LETTERS}}}")
_ALONE = {
    "hebrew": "he",
    "greek": "el",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "odia": "or",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "thai": "th",
    "hangul": "ko",
}
"""Scripts that one language of the table has to itself."""

_COMMON = {
    "en": "the and is are you to of in for with your that this what where when how my me not do can be it on if an "
    "please hello i was has have will i'm we our us at by from or as no yes did does who why which would should",
    "es": "el la los las de que y en un una es por para con su no se del al como más está qué mi tu dónde eres usted "
    "responde siempre pedido hola puedes cuál tiene cuando cualquier después lo una sobre o tus cliente",
    "fr": "le la les des de et est un une que pour dans vous ne pas sur avec votre ce qui où je mon ma tu es du au "
    "bonjour réponds commande quelle êtes par puis avant à outil il aux ou client",
    "de": "der die das und ist nicht ein eine zu den mit für auf sie ich du wie wo mein meine wir von bei bist dem "
    "bitte antworte dich sich auch oder einen einem im wird",
    "pt": "o a os as de que e em um uma é por para com seu não se do da como mais está você meu minha onde são ao "
    "responda sempre pedido olá qual",
    "it": "il lo la gli le di che e in un una è per con suo non si del della come più sono mio mia dove sei ordine "
    "rispondi sempre nel al ciao quale tuo tua arriva da te sarà",
    "nl": "de het een en is van niet ik je u dat met voor op zijn wat waar mijn bent dit er maar ook hoe aan om "
    "bestelling hallo antwoord",
    "pl": "i w na z nie jest do się to co jak gdzie moja mój moje dla jesteś są od czy po za że odpowiadaj zamówienie "
    "dzień dobry",
    "tr": "ve bir bu için ne nerede mi mı ile da de çok var benim nasıl sen siz bana olarak daha kadar merhaba "
    "siparişim yanıt lütfen",
    "id": "dan yang di ke ini itu untuk tidak dengan saya anda apa mana adalah dari pada atau kamu akan bisa pesanan "
    "halo tolong jawab dalam",
    "vi": "và của là không có được cho tôi bạn với này đó ở đâu hãy một những các đơn hàng xin chào trả lời trong",
    "sv": "och är att det en ett som på inte med för jag du var min mitt den av till om hej vad kan beställning svara",
    "hi": "hai kya mera meri nahi nahin kaha kahan ka ki ke ko se aap mujhe kar main hain tha ho raha rahi kab karo "
    "bhai chahiye",
    "mr": "आहे आणि नाही तुम्ही माझे माझी माझा करा चा ची चे च्या काय कुठे आहात मला हे एक असते द्या",
    "ne": "छ छैन तपाईं हुन्छ छन् मेरो कहाँ गर्नुहोस् हो र लाई हुनुहुन्छ दिनुहोस् भने",
    "hi-deva": "है हैं और का की के में नहीं आप क्या मेरा मेरी कहाँ कहां को से पर यह हूँ हूं करें एक दें भी तो कि",
}
_WORD = re.compile(r"[\u0900-\u097f]+|[^\W\d_]+")
"""Devanagari first: its vowel signs are no letters to `\\w`."""
_DEVANAGARI = ("hi-deva", "mr", "ne")
_LATIN = tuple(code for code in _COMMON if code not in _DEVANAGARI)


def _weights(codes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """For each word, its weight per language: the full weight if only one language has it."""
    owners: dict[str, list[str]] = {}
    for code in codes:
        for word in set(_COMMON[code].split()):
            owners.setdefault(word, []).append(code)
    return {word: dict.fromkeys(found, 1 / len(found)) for word, found in owners.items()}


_LATIN_WEIGHTS = _weights(_LATIN)
_DEVANAGARI_WEIGHTS = _weights(_DEVANAGARI)


def detect(text: str) -> str | None:
    """Return the language of the text as an ISO 639-1 code; None if uncertain. Hindi in Latin letters is Hindi."""
    sample = text[:SAMPLE].lower()
    script = _script(sample)
    if script is None:
        return None
    if script == "latin":
        return _by_words(sample, _LATIN_WEIGHTS, 1.5)
    if script == "devanagari":
        found = _by_words(sample, _DEVANAGARI_WEIGHTS, 0.5)
        return {"hi-deva": "hi"}.get(found or "", found)
    return _ALONE.get(script) or _by_letters(script, sample)


def _script(sample: str) -> str | None:
    if sample.isascii():
        return "latin" if _ENOUGH_LATIN.search(sample) else None
    counts = Tally({name: len(pattern.findall(sample)) for name, pattern in _PATTERNS.items()})
    # A character says as much as several letters do.
    for name in ("han", "kana", "hangul"):
        counts[name] *= 3
    if counts["kana"] * 8 > counts["han"]:
        counts["kana"] += counts.pop("han")
    (name, most), total = counts.most_common(1)[0], counts.total()
    return name if most >= MIN_LETTERS and most >= total * SURE else None


def _by_words(sample: str, weights: dict[str, dict[str, float]], least: float) -> str | None:
    words = _WORD.findall(sample)
    scores: Tally[str] = Tally()
    for word in words:
        for code, weight in weights.get(word, {}).items():
            scores[code] += weight  # type: ignore[assignment]  # a Tally of weights
    ranked = [*scores.most_common(2), ("", 0), ("", 0)]
    (first, best), (_, second) = ranked[0], ranked[1]
    clear = best >= max(least, 0.08 * len(words)) and best >= 1.5 * second
    return first if clear else None


_CYRILLIC_OTHERS = re.compile("[ђјљњћџѓќѕ]")


def _by_letters(script: str, sample: str) -> str | None:
    if script == "arabic":
        if re.search("[ٹڈڑںےۓ]", sample):
            return "ur"
        return "fa" if re.search("[پچژگکی]", sample) else "ar"
    if script == "cyrillic":
        if re.search("[іїєґ]", sample):
            return "uk"
        # Bulgarian, Serbian and others are not in the table: better silent than Russian.
        return "ru" if re.search("[ыэё]", sample) or not _looks_other(sample) else None
    if script == "bengali":
        return None if re.search("[ৰৱ]", sample) else "bn"
    return {"han": "zh", "kana": "ja"}.get(script)


def _looks_other(sample: str) -> bool:
    return bool(_CYRILLIC_OTHERS.search(sample)) or sample.count("ъ") > max(len(sample) / 150, 2)
