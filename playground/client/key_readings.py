"""How a text may be read: escapes decoded, markup removed, words regrouped by their labels.

A server may echo a key in any form. Instead of a pattern for each form, a text is read in several ways, and every
reading is searched for the same letters and digits (`key_search.py`):

- unchanged, and decoded: escapes, entities, base64 and hex, in each other too (`decode`). `%73k&#45;` is `sk-`;
- without terminal escapes, and also without tags and line numbers (`ways_to_read`). `s<b>k</b>-` is `sk-`;
- with the words behind each label joined (`LabelledWords`). `{"i": 0, "c": "s"}, {"i": 1, "c": "k"}` has `sk` behind
  `c": "`, and `i. s`, `ii. k` behind `. ` at the beginning of a line. Escapes like `\\n` are line ends there
  (`with_controls`);
- of each of these, letters and digits in lower case alone (`letters_of`). `S.K` is `sk`.

`in_source` finds the place of a part of a reading in the text: each step keeps its pattern and the text before it.
"""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from functools import cache, cached_property, lru_cache
from html import unescape
from itertools import accumulate, compress, count
from string import ascii_lowercase, ascii_uppercase, digits
from unicodedata import digit, name, normalize

BESIDE = re.compile(r"[^0-9A-Za-z]+")
Span = tuple[int, int]
Layer = tuple[re.Pattern[str], str]
"""A pattern whose matches were replaced, and the text before that."""
_BETWEEN_CODED = "[0-9A-Za-z_+/.-]"
_AFTER_CODED = "|".join(f"(?<==[2-7][0-9A-F]{_BETWEEN_CODED * count}=[2-7][0-9A-F])" for count in range(9))
"""Behind an escape of quoted-printable with another before it: `x=6B` alone is no escape."""
_ESCAPE = re.compile(
    r"\\\\*(?:o\{0*([0-7]{1,7})\}|(?!0000[2-7][0-9a-fA-F])([0-3][0-7]{2}|[4-7][0-7](?![0-9A-Za-z]))|[ux]\{0*([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})"
    r"|u([0-9a-fA-F]{4})|U00([0-9a-fA-F]{6})|0000([2-7][0-9a-fA-F]))|%(?:25)*([0-9a-fA-F]{2})"
    r"|=([89A-F][0-9A-F])(?:(?==[89AB])|(?<==[89A-F][0-9A-F]=[89AB][0-9A-F]))"
    rf"|=([2-7][0-9A-F])(?:(?={_BETWEEN_CODED}{{0,8}}=[2-7][0-9A-F])|{_AFTER_CODED})"
    r"|&(?:#(?:[xX][0-9a-fA-F]{1,7};?|[0-9]{1,7}(?:;|(?![0-9])))|[A-Za-z][A-Za-z0-9]{1,31};)"
)
_OCTAL = 2
"""The groups up to this one of `_ESCAPE` have octal digits, the others hex."""
_BYTES = re.compile("[\xc2-\xf4\ud800-\udbff](?:(?<=[\xc2-\xf4])[\x80-\xbf]{1,3}|(?<=[\ud800-\udbff])[\udc00-\udfff])")
"""A character that was escaped as its bytes in UTF-8, or as its two halves in UTF-16."""
BLOB_LEAST = 16
BLOB = re.compile(f"[A-Za-z0-9+/_-]{{{BLOB_LEAST},}}={{0,2}}")
"""What may be a text in base64 or hex, and from how many characters."""
_HEX, _STANDARD = re.compile(f"[0-9A-Fa-f]{{{BLOB_LEAST},}}"), str.maketrans("-_", "+/", "=")
"""The alphabet of URLs as the one that `b64decode` reads."""
_BEGINS_TEXT = re.compile(
    r"(?:[2-7][0-9A-Fa-f]|0[09AaDd]){8}|.{0,3}?(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589].){3}"
)
"""How 8 bytes of ASCII begin in hex, and 9 in base64: the first bit of each byte is 0, whatever is before it."""
_TEXT_CODES = bytes([0, 9, 10, 13, *range(32, 127)])
_ENCODED = (_ESCAPE, _BYTES, BLOB)
_MOST_LAYERS = 8
"""Replacements of one text: each is of one of `_ENCODED`."""
_STRING = "(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,99}"
_TERMINAL = rf"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]|{_STRING}(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-Z^-~]"
_IN_TAG = """[/?]?[A-Za-z!](?:[^<>"']|"[^"<]{0,99}"|'[^'<]{0,99}'){0,99}"""
_TAG = rf"<(?:{_IN_TAG}|[/?]?[A-Za-z!][^<>]{{0,99}})>|\]\([^()\s]{{0,99}}\)"
_LETTER = r"\\[abfnrtv]"
_NUMBERED = r"[ \t]*(?:[0-9]{1,5}(?=[ \t]*[|:.)>+\t])|[0-9][0-9a-fA-F]{5,7}(?=:?[ ]))"
"""The number of a line, or the offset in a dump."""
_BEHIND_HEX = r"[ ](?<=[0-9a-fA-F]{2}[ ])[ ]{1,40}"
_CHARS = r"[^ \\\r\n][^\\\r\n]{0,17}"
"""The characters beside the hex digits of a dump."""
_MARKUP = re.compile(rf"{_TERMINAL}|{_LETTER}")
_CONTROL, _HEX_SIGN = re.compile(_LETTER), re.compile(r"0[xX](?=[0-9a-fA-F]{2}\b)")
NOISE = re.compile(
    rf"{_TERMINAL}|{_TAG}|{_BEHIND_HEX}{_CHARS}(?:\n|{_LETTER})(?:{_NUMBERED})?|\n{_NUMBERED}|\r{_NUMBERED}|{_LETTER}(?:{_NUMBERED})?|0[xX](?=[0-9a-fA-F]{{2}}\b)|\[[xX]\]"
)
NO_TAGS = re.compile("[^\U000e0020-\U000e007e]+")
"""Removed from a text in tag characters, which are ASCII without a picture."""
NOTHING = re.compile(r"(?!)")
_encoded = re.compile(
    "[\\\\%&]|=[2-9A-F]|[\xc2-\xf4][\x80-\xbf]|[\ud800-\udbff][\udc00-\udfff]|[A-Za-z0-9+/_-]{16}"
).search
may_have_noise = re.compile(
    r"[<\\%&=\x1b\x90\x98\x9b\x9d-\x9f\U000e0020-\U000e007e]|\]\(|[\r\n][ \t]*[0-9]|0[xX]|\[[xX]\]"
).search
"""Finds where escapes and removed marks may begin."""
_UNFINISHED_TEXT = (
    r"(?:(?:\\+x|%(?:25)*|=)[89a-fA-F][0-9a-fA-F]|\\+[23][0-7]{2}){1,3}(?:\\+(?:x?|x[0-9a-fA-F]|[0-3][0-7]?)|%(?:25)*[0-9a-fA-F]?|=[0-9A-F]?)?"
    r"|\\+u[dD][89abAB][0-9a-fA-F]{2}(?:\\+(?:u[0-9a-fA-F]{0,3})?)?"
    r"|\\+(?:u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|[ux]\{[0-9a-fA-F]{0,6}|o(?:\{[0-7]{0,7})?|x[0-9a-fA-F]?|[0-7][0-7]?"
    r"|0{3,4}[0-9a-fA-F]?)?|%(?:25)*[0-9a-fA-F]?|=[2-9A-F]?"
    rf"|=[2-7][0-9A-F](?!{_AFTER_CODED}){_BETWEEN_CODED}{{0,8}}(?:=[2-7]?)?"
    r"|&(?:amp;)*(?:#[xX]?[0-9a-fA-F]{0,7}|[A-Za-z]{1,31})?|[xX]{1,8}|[\[<({][a-zA-Z.]{0,12}"
)
_UNFINISHED = rf"{_UNFINISHED_TEXT}|\x1b(?:\[[0-?]*[ -/]*|[ -/]*)|\x9b[0-?]*[ -/]*|{_STRING}\x1b?"
_BEGINS = r"(?=[\\%=&xX\[<({\r\n\]0\x1b\x9b\x90\x98\x9d-\x9f]|[ ](?<=[0-9a-fA-F]{2}[ ]))"
"""Finds quickly where something unfinished may begin."""
UNFINISHED_ENDS = {
    NOISE: re.compile(
        rf"""{_BEGINS}(?:{_UNFINISHED}|(?:{_BEHIND_HEX}{_CHARS})?(?:[\r\n]|{_LETTER})[ \t]*"""
        rf"""(?:[0-9][0-9a-fA-F]{{0,7}}:?[ \t]*)?|{_BEHIND_HEX}(?:{_CHARS})?"""
        rf"""|\](?:\([^()\s]{{0,99}})?|<?0(?:[xX][0-9a-fA-F]{{0,2}})?"""
        rf"""|<(?:{_IN_TAG}(?:["'][^"'<]{{0,99}})?|[/?]?(?:[A-Za-z!][^<>]{{0,99}})?))$"""
    ),
    _MARKUP: re.compile(f"{_BEGINS}(?:{_UNFINISHED})$"),
    NOTHING: re.compile(f"{_BEGINS}(?:{_UNFINISHED_TEXT})$"),
}
"""What is removed from a text before all but letters and digits, and the unfinished end of such: a key may be around
tags, or in one."""
UNFINISHED_ENDS[NO_TAGS] = UNFINISHED_ENDS[NOTHING]
_UNFINISHED_CHARS = 128
"""Longest unfinished end."""
_MOST_KEPT = 4096
"""Longest text whose places of replacements stay in memory for the next piece of a stream."""
_BLOCK = 1024
"""Length of the blocks in which the letters of a longer text are counted."""
BESIDE_ANY = re.compile(r"[\W_]+")
TO_LOWER = bytes.maketrans(ascii_uppercase.encode(), ascii_lowercase.encode())
_DROPPED = bytes(code for code in range(256) if code > 127 or not chr(code).isalnum())


def joined(spans: list[Span]) -> list[Span]:
    """Return spans in order, with those that overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def decode(text: str, unfinished: re.Pattern[str] | None = None) -> tuple[str, list[Layer]]:
    r"""Replace escapes in `text` (\u0073, \U00000073, \x73, \163, %73, &#115;, &shy;, base64, hex), also nested ones.

    `unfinished`: finds an end that is read with the text behind it. It is left out, as a layer of NOTHING.
    """
    layers: list[Layer] = []
    found = len(text) > _BLOCK or _encoded(text) is not None
    same = 0
    while found and len(layers) < _MOST_LAYERS:
        found = False
        for pattern in _ENCODED:
            same += 1
            if same > len(_ENCODED):
                break  # each pattern has been tried on this text
            if (pattern is not _BYTES or not text.isascii()) and (plain := pattern.sub(_character, text)) != text:
                layers.append((pattern, text))
                text, found, same = plain, True, 0
                if unfinished and (whole := without_end(unfinished, text)) != text:
                    layers.append((NOTHING, text))
                    text = whole
    return text, layers


def undecoded(text: str, _: re.Pattern[str] | None = None) -> tuple[str, list[Layer]]:
    return text, []


def _character(found: re.Match[str]) -> str:
    if found.re is _ESCAPE:
        group = found.lastindex or 0
        return _escape(found[group], group)
    if found.re is _BYTES:
        if found[0] < "\ud800":
            return found[0].encode("latin-1").decode("utf-8", "replace")
        return found[0].encode("utf-16", "surrogatepass").decode("utf-16")
    if (plain := encoded_text(found[0])) or "/" not in found[0]:
        return plain or found[0]
    # The path of a URL: any of its parts may be encoded.
    return "/".join([(len(part) >= BLOB_LEAST and encoded_text(part)) or part for part in found[0].split("/")])


def encoded_text(blob: str) -> str:
    """Return the text that a run of hex or base64 holds, also one that is cut; "" if it holds none."""
    if not _BEGINS_TEXT.match(blob):
        return ""
    if _HEX.fullmatch(blob):
        found = _if_text(bytes.fromhex(blob[: len(blob) // 2 * 2]))
        if found:
            return found
    blob = blob.translate(_STANDARD)
    for skipped in range(4):  # a letter before it, as of `\\n`
        if _if_text(b64decode(blob[skipped : skipped + 12])):
            rest = blob[skipped:]
            rest = rest[: len(rest) - (len(rest) % 4 == 1)]
            if found := _if_text(b64decode(rest + "=" * (-len(rest) % 4))):
                return blob[:skipped] + found
    return ""


def _if_text(data: bytes) -> str:
    return "" if data.translate(None, _TEXT_CODES) else data.decode("ascii")


@lru_cache(maxsize=_MOST_KEPT)
def _escape(code: str, group: int) -> str:
    return chr(min(int(code, 8 if group <= _OCTAL else 16), sys.maxunicode)) if group else unescape(code)


def in_source(spans: list[Span], layers: list[Layer]) -> list[Span]:
    """Return the places of these parts of a plain text in the text before its layers were removed."""
    for pattern, source in reversed(layers if spans else ()):
        if len(source) > _MOST_KEPT and (pattern is BESIDE or pattern is BESIDE_ANY):
            spans = _in_blocks(pattern, source, spans)
            continue
        known = len(source) <= _MOST_KEPT  # a stream asks again for the same text
        starts, ends, removed = _removed(pattern, source) if known else _removed.__wrapped__(pattern, source)
        spans = [
            (start + removed[bisect_right(starts, start)], end + removed[bisect_right(ends, end - 1)])
            for start, end in spans
        ]
    return spans


def _in_blocks(beside: re.Pattern[str], text: str, spans: list[Span]) -> list[Span]:
    """Return the places of these letters and digits in a long text, from their number in each of its blocks."""
    blocks = [text[at : at + _BLOCK] for at in range(0, len(text), _BLOCK)]
    ends = list(accumulate(len(letters_of(block, beside)) for block in blocks))

    @cache
    def places(number: int) -> list[int]:
        return [at for at, one in enumerate(blocks[number], number * _BLOCK) if not beside.match(one)]

    def place(letter: int) -> int:
        number = bisect_right(ends, letter)
        return places(number)[letter - ends[number]]  # counted from the end of its block

    return [(place(start), place(end - 1) + 1) for start, end in spans]


@lru_cache(maxsize=32)
def _removed(pattern: re.Pattern[str], source: str) -> tuple[list[int], list[int], list[int]]:
    """Return the places of the matches after their replacement, and how much shorter the text is behind each."""
    starts, ends, removed, less = list[int](), list[int](), [0], 0
    is_escape = pattern in _ENCODED
    for found in pattern.finditer(source):
        size = len(_character(found)) if is_escape else 0
        begin, end = found.span()
        ends.append(begin - less)
        starts.append(begin - less + size)
        less += end - begin - size
        removed.append(less)
    return starts, ends, removed


def ways_to_read(text: str) -> dict[str, re.Pattern[str]]:
    """Return the texts as which a text may be read, each with the pattern of the removed marks."""
    less = NOISE.sub("", text) if may_have_noise(text) else text
    ways = {text: NOTHING} if less == text else {text: NOTHING, _MARKUP.sub("", text): _MARKUP, less: NOISE}
    if not text.isascii() and (tags := without(NO_TAGS, text)):
        ways[tags] = NO_TAGS
    return ways


def without(removed: re.Pattern[str], text: str) -> str:
    """Return a text without the matches of a pattern, tag characters as the ones of ASCII if only these are left."""
    less = removed.sub("", text)
    return less.translate(_TAGS) if removed is NO_TAGS else less


def without_end(unfinished: re.Pattern[str], text: str) -> str:
    """Return the text without an unfinished end, and without one that is before that: `&lt;b` is a tag too."""
    found = unfinished.search(text, max(len(text) - _UNFINISHED_CHARS, 0))
    while found:
        text = text[: found.start()]
        found = unfinished.search(text, max(len(text) - _UNFINISHED_CHARS, 0))
        if found and found[0].startswith("&#"):
            break  # complete: something follows it
    return text


_LETTER_NAME = re.compile(
    "(?:(?:NEGATIVE|REGIONAL|LATIN (?:SMALL|CAPITAL)) .*|LATIN LETTER SMALL CAPITAL) ([A-Z])(?: WITH .*)?"
)
"""Names of characters that are a letter in another form or with a mark, but no compatible one for Unicode."""
_TAGS = {0xE0000 + code: code for code in range(0x20, 0x7F)}


@lru_cache(maxsize=_MOST_KEPT)
def _plain_letter(one: str) -> str:
    """Return the ASCII letter or digit that a character is in another form, or a NUL for a letter without a picture."""
    if one in "\u115f\u1160\u3164\uffa0":  # the only letters without one
        return "\0"
    named = _LETTER_NAME.fullmatch(name(one, ""))
    same = named[1] if named else str(digit(one, normalize("NFKC", one).strip("().,")))
    return same if len(same) == 1 and same.isascii() and same.isalnum() else one


def folded(text: str) -> str:
    for one in () if text.isascii() else set(text):
        if not one.isascii() and (same := _plain_letter(one)) != one:
            text = text.replace(one, same)
    return text


def lower_case(text: str) -> str:
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        lower = "".join(one if len(one.lower()) > 1 else one.lower() for one in text)
    return lower


def letters_of(text: str, beside: re.Pattern[str] = BESIDE) -> str:
    """Return the letters and digits of a text in lower case: ASCII alone, or any."""
    if beside is BESIDE_ANY:
        return lower_case(beside.sub("", text))
    return text.encode("ascii", "ignore").translate(TO_LOWER, _DROPPED).decode("ascii")


def with_backslashes(text: str, spans: list[Span]) -> list[Span]:
    return [(len(text[:start].rstrip("\\")), end) for start, end in spans] if "\\" in text else spans


# --- words behind labels

SIGNS = "-_+/"
"""What is between the letters and digits of keys."""
_WORD = re.compile(rf"([A-Za-z0-9]+(?:[{re.escape(SIGNS)}]+[A-Za-z0-9]+)*)")
_WORDS_BETWEEN = 24
"""Most words between two pieces of a key that have the same label."""
Label = tuple[str | int, ...]
"""What is before a word: the word there, without digits, and what is between them; or else the sign before that, what
is between, and the number of words before it in the line, or in the row of a table in HTML."""


def with_controls(text: str) -> str:
    """Return a text of the same length with line ends in place of `0x` and escapes like `\\n`, and tabs of `\\t`."""
    text = _CONTROL.sub("\n\n", text.replace("\\t", "\t\t")) if "\\" in text else text
    return _HEX_SIGN.sub("\n\n", text) if "0x" in text or "0X" in text else text


class LabelledWords:
    """The words of a text, by their labels.

    A key that a list or an object has in pieces is behind one label, as in `1. s`, `"i": 0, "c": "s"` or `<![CDATA[s`.
    """

    def __init__(self, text: str) -> None:
        self._before, *self._parts = _WORD.split(text)
        self._words, self._gaps = self._parts[::2], self._parts[1:-1:2]
        self.unique = set(self._words)

    def letters(self) -> Iterator[tuple[str, str]]:
        """Yield each word with its letters and digits in lower case."""
        letters = "\n".join(self.unique).encode().translate(TO_LOWER, SIGNS.encode()).decode()
        return zip(self.unique, letters.split("\n"), strict=False)

    def pieces(self, letters: Mapping[str, str]) -> dict[Label, str]:
        """Return what the words that are in `letters` have there, joined behind each label of several."""
        words, last = self._words, dict[Label, int]()
        found: dict[Label, list[str]] = {}
        for at in compress(count(), map(letters.__contains__, words[1:])):
            for label in self._labels(at):
                pieces = found.setdefault(label, [])
                if at - last.get(label, at) > _WORDS_BETWEEN:
                    pieces.append("\n")
                pieces.append(letters[words[at + 1]])
                last[label] = at
        return {label: "".join(pieces) for label, pieces in found.items() if len(pieces) > 1}

    def places(self, labels: Collection[Label] | None = None) -> dict[Label, list[Span]]:
        """Return the places of the words behind each of these labels, or behind all."""
        words, gaps, befores = self._words, self._gaps, self.unique
        between = signs = set(self._gaps)
        if labels is not None:
            firsts, betweens = ({label[part] for label in labels} for part in range(2))
            befores = {word for word in befores if word.strip(digits) in firsts}
            signs = {gap for gap in signs if gap.rstrip(SIGNS)[-1:] in firsts}
            between = {gap for gap in between if gap.rstrip(SIGNS) in betweens}
        ends = list(accumulate(map(len, self._parts), initial=len(self._before)))
        found: dict[Label, list[Span]] = {}
        for at in compress(count(), map(between.__contains__, gaps)):
            if words[at] in befores or not at or gaps[at - 1] in signs:
                for label in self._labels(at):
                    if labels is None or label in labels:
                        found.setdefault(label, []).append((ends[2 * at + 2], ends[2 * at + 3]))
        return found

    @cached_property
    def _lines(self) -> list[int]:
        """The first word of each line, or of the row of a table in HTML."""
        ends = {gap for gap in set(self._gaps) if "\n" in gap}
        rows = compress(count(), map(ROW.__eq__, self._words)) if ROW in self.unique else ()
        return sorted({0, *compress(count(1), map(ends.__contains__, self._gaps)), *rows})

    def _labels(self, at: int) -> tuple[Label, ...]:
        before = self._gaps[at - 1] if at else self._before or "\n"
        labels, lines = labels_of(before, self._words[at], self._gaps[at]), self._lines
        return in_column(labels, at + 1 - lines[bisect_right(lines, at + 1) - 1])


ROW = "tr"
"""The name of the tag of a row in HTML."""


@lru_cache(maxsize=_MOST_KEPT)
def labels_of(before: str, word: str, gap: str) -> tuple[Label, ...]:
    """Return the labels of the word behind `gap`: the word before it, and if the words differ, the sign before that."""
    gap, before = gap.rstrip(SIGNS), before.rstrip(SIGNS)[-1:]
    known = word.strip(digits), gap
    # Words of a sentence are no pieces.
    return (known,) if gap == " " and before != "\n" else (known, (before, gap))


def in_column(labels: tuple[Label, ...], column: int) -> tuple[Label, ...]:
    return (labels[0], (*labels[1], column)) if len(labels) > 1 else labels


def parts_of_words(words: list[Span], span: Span) -> list[Span]:
    """Return where the parts of a text are that is these words."""
    found, place = list[Span](), 0
    for start, end in words:
        first, last = max(span[0], place) - place + start, min(span[1], place + end - start) - place + start
        if first < last:
            found.append((first, last))
        place += end - start
    return found
