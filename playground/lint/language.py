"""Language of a text, its sentences and clauses, and the phrases of prompts in each language.

The language is found by its script, and where languages share one, by letters or common words of their own.
It answers only where the text leaves little doubt: a prompt is often half in one language and half in another, and a
rule would rather be silent than offer a line in the wrong one.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter as Tally
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
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


def _read(name: str) -> Any:
    return json.loads(asset(f"phrases/{name}.json").read_text("utf-8"))


PHRASES = {code: msgspec.convert({"code": code, **row}, Phrases) for code, row in _read("prompts").items()}
"""By ISO 639-1 code."""


WORDING: dict[str, list[str]] = tomllib.loads(asset("lint/wording.toml").read_text("utf-8"))


@cache
def wording(name: str) -> re.Pattern[str]:
    """Return the expression of that name in `resources/lint/wording.toml`."""
    return re.compile("|".join(WORDING[name]))


SAMPLE = 2_000
"""Code points looked at; a prompt's language shows in its first page."""
MIN_LETTERS = 6
SURE = 0.6
"""The share of letters that the leading script has to have."""

_TABLES: dict[str, dict[str, str]] = _read("languages")
"""scripts: the letters of each · alone: the language of a script that has one · words: common ones of each language
that shares its script."""
_PATTERNS = {name: re.compile(f"[{letters}]") for name, letters in _TABLES["scripts"].items()}
_ENOUGH_LATIN = re.compile(f"(?:[a-z][^a-z]*){{{MIN_LETTERS}}}")
_WORD = re.compile(r"[\u0900-\u097f]+|[^\W\d_]+")
"""Devanagari first: its vowel signs are no letters to `\\w`."""
_DEVANAGARI = ("hi-deva", "mr", "ne")
_LATIN = tuple(code for code in _TABLES["words"] if code not in _DEVANAGARI)


def _weights(codes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """For each word, its weight per language: the full weight if only one language has it."""
    owners: dict[str, list[str]] = {}
    for code in codes:
        for word in set(_TABLES["words"][code].split()):
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
    return _TABLES["alone"].get(script) or _by_letters(script, sample)


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
