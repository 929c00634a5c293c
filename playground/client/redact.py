"""Search for API keys, and their masking in every text that is displayed, logged or exported.

One search for whole texts and for texts in pieces (`stream_masking.py`): of the longest parts that the letters and
digits of a text and of a key have in common, after escapes and tags are removed, in any case.
"""

from __future__ import annotations

import json
import re
import sys
from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from codecs import encode
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from html import unescape
from itertools import accumulate, compress, count, takewhile
from operator import eq
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import normalize
from urllib.parse import quote

from msgspec.structs import replace

from playground.prompt import secret_names
from playground.prompt.field_errors import InputError
from playground.prompt.secret_names import is_word

if TYPE_CHECKING:
    from playground.client.events import ApiError


MASK = secret_names.MASK
LEAST_BASE64 = 10
LEAST_CHARS = secret_names.LEAST_CHARS
"""A shorter "key" is a placeholder that local servers ignore (x, none, EMPTY, ollama): masking it would garble text."""
GRAM = 4
"""Length of the parts that are searched: fewer characters of a key are not recognized, nor delayed in a stream."""
PART_CHARS, PIECE_CHARS = 12, 8
"""Length from which a part of a key is masked in any text; and the one of its beginning, of a part beside a mask of the
server's, and of a part of which the rest may be elsewhere."""

_WORDS_BEHIND = r"(?:live|test|proj|admin|svcacct)(?:[_-][a-z]{1,7})+(?![A-Za-z0-9_\-])"
_LOOKS_LIKE_A_KEY = re.compile(rf"sk(?:(?<=\bsk)|(?<=\\[nrt]sk))[_-](?!{_WORDS_BEHIND})[A-Za-z0-9_\-]{{8,}}")
_PUBLIC_PREFIX = re.compile(
    r"(?:sk[-_](?:proj-|svcacct-|admin-|ant-(?:api\d\d-)?|or-(?:v1-)?|live_|test_)?|gh[a-z]_|github_pat_|glpat-|xox[a-z]-"
    r"|hf_|gsk_|r8_|pplx-|npm_|pypi-|AKIA|ASIA|AIza|[a-z]{2,6}_(?:live|test)_|eyJ[\w-]*\.)?"
)
_WORDS_ONLY = re.compile(r"[A-Z]*[a-z]*(?:[^A-Za-z0-9]+[A-Za-z]?[a-z]*)*|[0-9]{1,9}|[A-Z]+(?:[^A-Za-z0-9]+[A-Z]*)*")
_PHRASE_CHARS = 20
"""Letters from which words of a key are masked whatever is between them."""

MARK_CHARS = 12
_MARK = (
    r"[^\w\s]?\s?(?:([^\w\s])(?:\s?\\?\1)+|(?![‘’“”«»])[^\w\s\x00-\x7f]|([xX])\2\2|__"
    r"|[\[<({](?:\.{3}|[a-zA-Z]{3,12})[\])>}])"
)
_MARK_BEHIND, _MARK_BEFORE = re.compile(_MARK), re.compile(rf"{_MARK}\s?[^\w\s]?$")
"""What servers write in place of the middle of a key: a character twice, a symbol, a word in brackets."""

_ESCAPE = re.compile(
    r"\\+(?:u(?:([0-9a-fA-F]{4})|\{0*([0-9a-fA-F]{1,6})\})|x([0-9a-fA-F]{2})|([0-3][0-7]{2}))|%(?:25)*([0-9a-fA-F]{2})"
    r"|=([89A-F][0-9A-F])(?:(?==[89AB])|(?<==[89AB][0-9A-F]))"
    r"|&(?:#(?:[xX][0-9a-fA-F]{1,7};?|[0-9]{1,7}(?:;|(?![0-9])))|[A-Za-z][A-Za-z0-9]{1,31};)"
)
_BYTES = re.compile("[\xc2-\xf4][\x80-\xbf]{1,3}")
"""A character that was escaped as its bytes in UTF-8."""
_BLOB = re.compile("[A-Za-z0-9+/_-]{16,}={0,2}")
"""What may be a text in base64 or hex."""
_HEX, _STANDARD = re.compile("[0-9A-Fa-f]{16,}"), str.maketrans("-_", "+/", "=")
_BEGINS_TEXT = re.compile(
    r"(?:[2-7][0-9A-Fa-f]|0[09AaDd]){8}|.{0,3}?(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589].){3}"
)
_ALNUM = f"{ascii_letters}{digits}"
_BLOB_CHARS = f"{_ALNUM}+/_-"
_BLOB_BEGIN, _BLOB_LEAST = 32, 16
_RUN = re.compile(f"[A-Za-z0-9+/_-]{{{_BLOB_LEAST}}}").search
_TEXT_BYTES = bytes([0, 9, 10, 13, *range(32, 127)])
_ENCODED = (_ESCAPE, _BYTES, _BLOB)
_MOST_LAYERS = 8
_SIGNS = "-_+/"
_LABELLED = re.compile(rf"([A-Za-z0-9]+(?:[{re.escape(_SIGNS)}]+[A-Za-z0-9]+)*)")
_WORD, _WORDS, _SIGN = re.compile("([A-Za-z0-9]+)"), re.compile("[a-z0-9]+").findall, re.compile("[-_+/]").search
_NO_SIGNS = str.maketrans("", "", _SIGNS)
_LABEL_CHARS = 32
_MOST_LABELS = 512
"""`_LABELLED`: words, with the signs of a key in them. The characters at the end of a text that are kept for the label of
a word; the labels of a stream."""
_NUMBER = re.compile(f"[0-9]{{{PIECE_CHARS}}}")

_STRING = "(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,99}"
_TERMINAL = rf"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]|{_STRING}(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-Z^-~]"
_IN_TAG = """[/?]?[A-Za-z!](?:[^<>"']|"[^"<]{0,99}"|'[^'<]{0,99}'){0,99}"""
_TAG = rf"<(?:{_IN_TAG}|[/?]?[A-Za-z!][^<>]{{0,99}})>|\]\([^()\s]{{0,99}}\)"
_LETTER = r"\\[abfnrtv]"
_NUMBERED = r"[ \t]*[0-9]{1,5}(?=[ \t]*[|:.)>+\t])"
_MARKUP = re.compile(rf"{_TERMINAL}|{_LETTER}")
_NOISE = re.compile(
    rf"{_TERMINAL}|{_TAG}|\n{_NUMBERED}|\r{_NUMBERED}|{_LETTER}(?:{_NUMBERED})?|0[xX](?=[0-9a-fA-F]{{2}}\b)"
)
_NOTHING = re.compile(r"(?!)")
_encoded = re.compile("[\\\\%&]|=[89A-F]|[\xc2-\xf4][\x80-\xbf]|[A-Za-z0-9+/_-]{16}").search
_special = re.compile(r"[<\\%&=\x1b\x90\x98\x9b\x9d-\x9f]|\]\(|[\r\n][ \t]*[0-9]|0[xX]").search
"""Finds where escapes and what is removed may begin."""
_UNFINISHED_TEXT = (
    r"(?:(?:\\+x|%(?:25)*|=)[89a-fA-F][0-9a-fA-F]|\\+[23][0-7]{2}){1,3}(?:\\+(?:x?|x[0-9a-fA-F]|[0-3][0-7]?)|%(?:25)*[0-9a-fA-F]?|=[0-9A-F]?)?"
    r"|\\+(?:u[0-9a-fA-F]{0,3}|u\{[0-9a-fA-F]{0,6}|x[0-9a-fA-F]?|[0-3][0-7]?)?|%(?:25)*[0-9a-fA-F]?|=[89A-F]?"
    r"|&(?:amp;)*(?:#[xX]?[0-9a-fA-F]{0,7}|[A-Za-z]{1,31})?|[xX]{1,8}|[\[<({][a-zA-Z.]{0,12}"
)
_UNFINISHED = rf"{_UNFINISHED_TEXT}|\x1b(?:\[[0-?]*[ -/]*|[ -/]*)|\x9b[0-?]*[ -/]*|{_STRING}\x1b?"
_BEGIN = r"(?=[\\%=&xX\[<({\r\n\]0\x1b\x9b\x90\x98\x9d-\x9f])"
"""Finds quickly where something unfinished may begin."""
_READINGS = {
    _NOISE: re.compile(
        rf"""{_BEGIN}(?:{_UNFINISHED}|(?:[\r\n]|{_LETTER})[ \t]*(?:[0-9]{{1,5}}[ \t]*)?"""
        rf"""|\](?:\([^()\s]{{0,99}})?|<?0(?:[xX][0-9a-fA-F]{{0,2}})?"""
        rf"""|<(?:{_IN_TAG}(?:["'][^"'<]{{0,99}})?|[/?]?(?:[A-Za-z!][^<>]{{0,99}})?))$"""
    ),
    _MARKUP: re.compile(f"{_BEGIN}(?:{_UNFINISHED})$"),
    _NOTHING: re.compile(f"{_BEGIN}(?:{_UNFINISHED_TEXT})$"),
}
"""What is removed from a text before all but letters and digits, and the unfinished end of such: a key may be around
tags, or in one."""
_UNFINISHED_CHARS = 128
_OPEN = re.compile(rf"{_READINGS[_NOISE].pattern}|{_BEGIN}&[A-Za-z0-9]{{1,32}}$")
"""An end of a text that is read with what follows it."""
_PLAIN = re.compile(
    r"""(?:[A-Za-z1-9 \t.,;:!?'"_\-|*#/+@^$~`>)}]++|\n[ \t]*+(?=[^ \t0-9])|0(?![xX])|\](?!\()|=(?![89A-F]|$)"""
    r"""|[\[({](?![A-Za-z.]{0,12}$)|<(?![/?!.0A-Za-z]|$)|%(?![0-9A-Fa-f]|$))*+(?<![0xX\]])"""
).fullmatch
"""Matches a text that has only one reading, whatever follows."""
_MOST_ENDS = 16
_LONGEST_ESCAPE = 12
_MOST_KEPT = 4096
_BLOCK = 1024

_BESIDE, _FOREIGN = re.compile(r"[^0-9A-Za-z]+"), re.compile(r"[^\W\x00-\x7f]")
_BESIDE_ANY = re.compile(r"[\W_]+")
_LOWER = bytes.maketrans(ascii_uppercase.encode(), ascii_lowercase.encode())
_DROPPED = bytes(code for code in range(256) if code > 127 or not chr(code).isalnum())
_FIRST, _LAST = re.compile(r"([^\W_]{1,3})[\W_]+"), re.compile(r"[\W_]+([^\W_]{1,3})$")
_TOKEN = re.compile(r'(?:[^\s"\\,:\[\]{}]|\\+(?!["\\]))+')

Span = tuple[int, int]
_Layer = tuple[re.Pattern[str], str]
"""A pattern whose matches were replaced, and the text before that."""


def redact(text: str, key: str | None) -> str:
    """Mask this key, and everything that looks like a key, in `text`. Escaped characters count as the character.

    `key`: one key, or several, one per line. JSON stays JSON.
    """
    return masked(text, key_spans(text, key))


def mask_pieces(text: str, key: str | None) -> str:
    """Mask every part of a key of at least PIECE_CHARS characters, for texts of which other parts may be elsewhere."""
    return masked(text, key_search(key).spans(text, PIECE_CHARS))


def masked(text: str, spans: list[Span]) -> str:
    """Return the text with a mask in place of each span."""
    return _replaced(text, spans, _mask_of) if spans else text


def _replaced(text: str, spans: list[Span], mask: Callable[[str], str]) -> str:
    ends = [0, *(end for _, end in spans)]
    pieces = [text[before:start] + mask(text[start:end]) for before, (start, end) in zip(ends, spans, strict=False)]
    return "".join((*pieces, text[ends[-1] :]))


def _mask_of(secret: str) -> str:
    # Numbers remain, and the quotes of JSON: the text may be JSON.
    if '"' in secret:
        return _TOKEN.sub(lambda found: _mask_of(found[0]) if _BESIDE.fullmatch(found[0]) is None else found[0], secret)
    return MASK if re.search("[^0-9, \r\n]", secret) else re.sub("[0-9]+", "0", secret)


def key_spans(text: str, key: str | None) -> list[Span]:
    """Return where these keys, their parts, and what looks like a key stand in `text`."""
    search = key_search(key)
    decoded = _decoded(text)
    spans = search.spans_in(text, *decoded)
    if spans:
        decoded = _decoded(_replaced(text, spans, lambda secret: "…" * len(secret)))
    plain, layers = decoded
    if "sk" in plain:
        found = _outer([one.span() for one in _LOOKS_LIKE_A_KEY.finditer(plain)], layers)
        spans = joined(spans + _with_backslashes(text, found))
    return spans


def joined(spans: list[Span]) -> list[Span]:
    """Return spans in order, with those that overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def mask_across(texts: list[str], key: str | None) -> list[str]:
    """Mask a key that several texts have in pieces, one after another. Returns `texts` itself if there is none."""
    spans = key_search(key).spans("".join(texts))
    if not spans:
        return texts
    ends = list(accumulate(map(len, texts)))
    shown = list(texts)
    for start, end in reversed(spans):
        for place in range(bisect_right(ends, start), bisect_left(ends, end) + 1):
            begin = ends[place] - len(texts[place])
            text = shown[place]
            shown[place] = text[: max(start - begin, 0)] + (MASK if texts[place] else "") + text[end - begin :]
    return shown


def _decoded(text: str, unfinished: re.Pattern[str] | None = None) -> tuple[str, list[_Layer]]:
    r"""Replace escapes in `text` (\u0073, \x73, \163, %73, &#115;, &shy;, base64, hex), also nested ones.

    `unfinished`: finds an end that is read with what follows it. It is left out, as a layer of _NOTHING.
    """
    layers: list[_Layer] = []
    found = _encoded(text) is not None
    while found and len(layers) < _MOST_LAYERS:
        found = False
        for pattern in _ENCODED:
            if (pattern is not _BYTES or not text.isascii()) and (plain := pattern.sub(_character, text)) != text:
                layers.append((pattern, text))
                text, found = plain, True
                if unfinished and (whole := _without(unfinished, text)) != text:
                    layers.append((_NOTHING, text))
                    text = whole
    return text, layers


def _undecoded(text: str, _: re.Pattern[str] | None = None) -> tuple[str, list[_Layer]]:
    return text, []


def _character(found: re.Match[str]) -> str:
    if found.re is _BYTES:
        return found[0].encode("latin-1").decode("utf-8", "replace")
    if found.re is _BLOB:
        return _text_of(found[0]) or found[0]
    if found.re is not _ESCAPE:
        return ""
    group = found.lastindex or 0
    return _escape(found[group], group)


def _text_of(blob: str) -> str:
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
    return "" if data.translate(None, _TEXT_BYTES) else data.decode("ascii")


@lru_cache(maxsize=_MOST_KEPT)
def _escape(code: str, group: int) -> str:
    return chr(min(int(code, 8 if group == 4 else 16), sys.maxunicode)) if group else unescape(code)


def _outer(spans: list[Span], layers: list[_Layer]) -> list[Span]:
    """Return where these parts of a plain text stand in the text before its layers were removed."""
    for pattern, source in reversed(layers if spans else ()):
        if len(source) > _MOST_KEPT and (pattern is _BESIDE or pattern is _BESIDE_ANY):
            spans = _between(pattern, source, spans)
            continue
        known = len(source) <= _MOST_KEPT  # a stream asks again for the same text
        starts, ends, removed = _removed(pattern, source) if known else _removed.__wrapped__(pattern, source)
        spans = [
            (start + removed[bisect_right(starts, start)], end + removed[bisect_right(ends, end - 1)])
            for start, end in spans
        ]
    return spans


def _between(beside: re.Pattern[str], text: str, spans: list[Span]) -> list[Span]:
    """Return where these letters and digits of a long text stand in it, from their number in each of its blocks."""
    blocks = [text[at : at + _BLOCK] for at in range(0, len(text), _BLOCK)]
    ends = list(accumulate(len(_bare(block, beside)) for block in blocks))

    @cache
    def places(number: int) -> list[int]:
        return [at for at, one in enumerate(blocks[number], number * _BLOCK) if not beside.match(one)]

    def place(letter: int) -> int:
        number = bisect_right(ends, letter)
        return places(number)[letter - ends[number]]  # counted from the end of its block

    return [(place(start), place(end - 1) + 1) for start, end in spans]


@lru_cache(maxsize=32)
def _removed(pattern: re.Pattern[str], source: str) -> tuple[list[int], list[int], list[int]]:
    """Return where the matches stood once they were replaced, and how much shorter the text is behind each."""
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


@lru_cache(maxsize=1)
def _wide() -> dict[int, str]:
    """Return the characters that are an ASCII letter or digit in another form, and the letters without a picture."""
    blocks = ((0x80, 0x3200), (0xFF00, 0x10000), (0x1D400, 0x1D800), (0x1F100, 0x1F200), (0x1FBF0, 0x1FC00))
    normal = {code: normalize("NFKC", chr(code)) for block in blocks for code in range(*block)}
    found = {code: one for code, one in normal.items() if len(one) == 1 and one.isascii() and one.isalnum()}
    return found | dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0"), "\0")  # the only letters without one


def _readings(text: str) -> dict[str, re.Pattern[str]]:
    """Return what a text may be read as, each with the pattern of what was removed."""
    less = _NOISE.sub("", text) if _special(text) else text
    return {text: _NOTHING} if less == text else {text: _NOTHING, _MARKUP.sub("", text): _MARKUP, less: _NOISE}


def _without(unfinished: re.Pattern[str], text: str) -> str:
    """Return the text without an unfinished end, and without one that is before that: `&lt;b` is a tag too."""
    found = unfinished.search(text, max(len(text) - _UNFINISHED_CHARS, 0))
    while found:
        text = text[: found.start()]
        found = unfinished.search(text, max(len(text) - _UNFINISHED_CHARS, 0))
        if found and found[0].startswith("&#"):
            break  # complete: something follows it
    return text


def _folded(text: str) -> str:
    return text if text.isascii() or _wide().keys().isdisjoint(map(ord, set(text))) else text.translate(_wide())


def _lower(text: str) -> str:
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        lower = "".join(one if len(one.lower()) > 1 else one.lower() for one in text)
    return lower


def _bare(text: str, beside: re.Pattern[str] = _BESIDE) -> str:
    """Return the letters and digits of a text in lower case: ASCII alone, or any."""
    if beside is _BESIDE_ANY:
        return _lower(beside.sub("", text))
    return text.encode("ascii", "ignore").translate(_LOWER, _DROPPED).decode("ascii")


class _Form(NamedTuple):
    """A key as it may stand in a text: plain, reversed, in hex or in base64; its letters and digits in lower case.

    `key`: the key itself, `at`: the place in it of each character of the form, with one before and one behind it.
    `secret`: where its secret part begins, behind a public prefix. `has_words`: its parts may be words of a text.
    """

    text: str
    key: str
    at: list[int]
    secret: int
    has_words: bool


def _forms(key: str) -> Iterator[_Form]:
    plain = _decoded(_folded(key))[0]
    beside = _BESIDE if plain.isascii() else _BESIDE_ANY
    found = _PUBLIC_PREFIX.match(plain)
    prefix = found.end() if found else 0
    for turned, secret in ((plain, prefix), (plain[::-1], 0), (str(encode(plain, "rot13")), prefix)):
        at = [place for place, one in enumerate(turned) if not beside.fullmatch(one)]
        yield _Form(_bare(turned, beside), turned, [-1, *at, len(plain)], secret, turned is plain)
    data = key.encode("utf-8", "surrogatepass")  # a damaged file has any character
    for text in dict.fromkeys(
        (*map(_bare, _in_base64(data)), data.hex(), *((_bare(quote(data, safe="")),) * (not key.isascii())))
    ):
        scale = len(text) / len(plain)
        yield _Form(text, plain, [-1, *(int(place / scale) for place in range(len(text))), len(plain)], prefix, False)


def _in_base64(key: bytes) -> Iterator[str]:
    """Return the base64 characters that depend on the key alone, for each of the three alignments."""
    for before in range(3):
        encoded = b64encode(bytes(before) + key).decode("ascii")
        # The first characters also depend on the bytes before the key, the last ones on the bytes after it.
        whole = encoded[-(-before * 8 // 6) : (before + len(key)) * 8 // 6]
        if len(whole) >= LEAST_BASE64:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


class KeySearch:
    """Finds keys and parts of them in texts."""

    def __init__(self, keys: list[str]) -> None:
        forms = {
            form.text: form for key in reversed(keys) for form in reversed([*_forms(key)]) if len(form.text) >= GRAM
        }
        self.window = _LONGEST_ESCAPE * max(map(len, forms), default=0)
        """Length of text at the end of which a part of a key may stand."""
        self.places: dict[str, list[tuple[_Form, int]]] = {}
        """Each GRAM characters of a form of a key, and where they are."""
        self.has_number = any(_NUMBER.search(key) for key in keys)
        """Whether a part of a key may stand in a JSON text outside its texts."""
        self._beside = _BESIDE if all(map(str.isascii, forms)) else _BESIDE_ANY
        for form in forms.values():
            for at in range(len(form.text) - GRAM + 1):
                self.places.setdefault(form.text[at : at + GRAM], []).append((form, at))
        heads = [(form, form.at[end]) for form in forms.values() if form.has_words for end in range(1, GRAM)]
        self._begun = tuple(form.key[: at + 1].lower() for form, at in heads if at >= (form.secret or GRAM - 1))
        """Beginnings of keys with less than GRAM letters: a public prefix and a character, or GRAM characters."""
        self._has_head = re.compile("|".join({_bare(head, self._beside) for head in self._begun}) or r"(?!)").search
        self._grams = {*map(tuple, self.places)}
        self._threes = {gram[at : at + GRAM - 1] for gram in self._grams for at in range(2)}
        self.short = {
            gram[at:end] for gram in self.places for at, end in ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4))
        }
        self._step = max(min(map(_shortest, forms.values()), default=GRAM) - GRAM + 1, 1)

    def spans(self, text: str, least: int = PART_CHARS, *, is_cut: bool = False) -> list[Span]:
        """Return where keys and their parts of at least this length stand in `text`, in order.

        `is_cut`: the text may go on, with the rest of a key.
        """
        return self.spans_in(text, *_decoded(text), least, is_cut=is_cut) if self.places else []

    def spans_in(
        self, text: str, plain: str, layers: list[_Layer], least: int = PART_CHARS, *, is_cut: bool = False
    ) -> list[Span]:
        """Return the same if the text is decoded already."""
        if not self.places:
            return []
        # The digits of an escape may be the key's.
        spans = self._spans(text, [], least, is_cut=is_cut) if layers else []
        return joined(spans + self._spans(plain, layers, least, is_cut=is_cut))

    def _spans(self, text: str, layers: list[_Layer], least: int, *, is_cut: bool) -> list[Span]:
        decoded, spans = _folded(text), list[Span]()
        for plain, removed in _readings(decoded).items():
            secret = self._secrets(plain, least, is_cut=is_cut)
            spans += _outer(secret, [(removed, decoded)] if plain != decoded else [])
        for words in self._words_with_key(decoded) if least >= PART_CHARS else self._known_words(decoded):
            for span in self._secrets("".join(decoded[start:end] for start, end in words), least):
                spans += _parts_of(words, span) if span[1] - span[0] >= least else ()
        return _with_backslashes(layers[0][1] if layers else text, _outer(joined(spans), layers))

    def _known_words(self, text: str, least: int = 2) -> list[list[Span]]:
        """Return the words behind each label, if all of them together have characters of a key.

        `least`: how many words.
        """
        labelled = [words for words in _labelled(text).values() if len(words) >= least]
        bare = [_bare("".join([text[start:end] for start, end in words])) for words in labelled]
        return labelled if self._is_known("\n".join(bare)) else []

    def _words_with_key(self, text: str) -> list[list[Span]]:
        """Return the words behind each label that together have characters of a key, of which none has them all.

        Only words that are in the key, or begin or end with characters of it, can be the ones that have its pieces.
        """
        gap, *parts = _LABELLED.split(text)
        words, gaps = parts[::2], parts[1:-1:2]
        if len(words) < 3:
            return []
        unique = list(set(words))
        letters = "\n".join(unique).encode().translate(_LOWER, _SIGNS.encode()).decode().split("\n")
        places, short = self.places, self.short
        bare = {
            word: one
            for word, one in zip(unique, letters, strict=True)
            if one in short or one[:GRAM] in places or one[-GRAM:] in places
        }
        behind: dict[tuple[str, str], list[str]] = {}
        for at in compress(count(), map(bare.__contains__, words[1:])):
            behind.setdefault((words[at].strip(digits), gaps[at].rstrip(_SIGNS)), []).append(bare[words[at + 1]])
        labels = {label for label, pieces in behind.items() if self._is_known("".join(pieces))}
        if not labels:
            return []
        before, between = ({*one} for one in zip(*labels, strict=True))
        before = {word for word in unique if word.strip(digits) in before}
        between = {one for one in set(gaps) if one.rstrip(_SIGNS) in between}
        ends = list(accumulate(map(len, parts), initial=len(gap)))
        found: dict[tuple[str, str], list[Span]] = {label: [] for label in labels}
        for at in compress(count(), map(before.__contains__, words[:-1])):
            if gaps[at] in between and (label := (words[at].strip(digits), gaps[at].rstrip(_SIGNS))) in found:
                found[label].append((ends[2 * at + 2], ends[2 * at + 3]))
        return [spans for spans in found.values() if len(spans) > 1]

    def _is_known(self, letters: str) -> bool:
        # Of each GRAM characters, GRAM - 1 begin at an even place.
        if self._threes.isdisjoint(zip(letters[::2], letters[1::2], letters[2::2], strict=False)):
            return False
        return not self._grams.isdisjoint(zip(letters, letters[1:], letters[2:], letters[3:], strict=False))

    def _secrets(self, plain: str, least: int, *, is_cut: bool = False) -> list[Span]:
        bare = _bare(plain, self._beside)
        runs = self._runs(bare)
        found = _outer([(start, start + end - place) for start, _, place, end in runs], [(self._beside, plain)])
        return [
            shown
            for span, (start, form, place, end) in zip(found, runs, strict=True)
            if (shown := _secret(form, place, end, plain, span, least, is_cut and start + end - place == len(bare)))
        ]

    def masked(self, text: str) -> str:
        """Return the text with keys and their parts masked."""
        return masked(text, self.spans(text))

    def bare(self, text: str) -> str:
        """Return the letters and digits of a text that is read in one way."""
        return _bare(text, self._beside)

    def readings(self, ways: set[str]) -> set[str]:
        """Return the letters and digits of a text, raw and decoded, in each way to read them."""
        return {_bare(one, self._beside) for way in ways for one in _readings(_folded(way))}

    def ends(self, before: set[str], readings: set[str]) -> set[str]:
        """Return how the letters and digits of a text end; none if characters of a key are in it."""
        texts = {end + bare for end in before for bare in readings}
        letters, ends = "\n".join(texts), {one[1 - GRAM :] for one in texts}
        return set() if len(ends) > _MOST_ENDS or self._has_head(letters) or self._is_known(letters) else ends

    def _runs(self, bare: str) -> list[tuple[int, _Form, int, int]]:
        """Return the parts of keys in the letters and digits of a text: where, and from and to where in which form."""
        runs: list[tuple[int, _Form, int, int]] = []
        done: dict[tuple[str, int], int] = {}
        places, first, last = self.places, 0, 0
        grams = zip(*(bare[at :: self._step] for at in range(GRAM)), strict=False)
        hits = [*compress(range(0, len(bare), self._step), map(self._grams.__contains__, grams))][::-1]
        while hits:
            at, known, same = hits.pop(), last, ("\n", "", 0)
            if first <= at and at + GRAM <= last:
                continue  # in a part that is masked
            for form, place in places.get(bare[at : at + GRAM], ()):
                base = at - place
                if at < done.get((form.text, base), 0) or (
                    base == same[2]
                    and form.key.startswith(same[0])
                    and form.text.startswith(same[1])
                    and form.text[last - base :][:1] != bare[last : last + 1]
                ):
                    continue  # found, also as a part of another key
                before, after = _common(bare, at, form.text, place)
                done[form.text, base] = at + after
                start, end = place - before, place + after
                if _length(form, start, end) < PIECE_CHARS and end - start < len(form.text):
                    continue
                runs.append((at - before, form, start, end))
                part = form.key[form.at[start + 1] : form.at[end] + 1]
                if _length(form, start, end, form.secret) >= PART_CHARS and not (
                    form.has_words and _WORDS_ONLY.fullmatch(part)
                ):
                    first, last = at - before, at + after
                    same = form.key[: form.at[end] + 1], form.text[:end], base
            if last > known:
                hits += range(last - GRAM + 1, last)  # another part may begin in this one
        return runs

    def open_end(self, text: str) -> tuple[int, int]:
        """Return where the end of a text begins that may go on as a part of a key, and where GRAM - 1 characters before
        it begin."""
        skipped = max(len(text) - self.window, 0)
        readings = _READINGS if _special(text, skipped) else (_NOTHING,)
        ends = [(len(text), len(text))]
        is_encoded = False
        for way in (_decoded, _undecoded):
            if way is _undecoded and not is_encoded:
                break
            seen = set[str]()
            for removed in readings:
                pattern = _READINGS[removed]
                plain, layers = way(_without(pattern, text[skipped:]), pattern)
                is_encoded = is_encoded or bool(layers)
                less = removed.sub("", _folded(_without(pattern, plain)))
                if less not in seen:
                    seen.add(less)
                    begin, context = self._open_end(less, [*layers, (removed, _folded(plain)), (self._beside, less)])
                    ends.append((len(text) if begin is None else skipped + begin, skipped + context))
                if removed is _NOTHING:
                    for begin, is_open in self._open_words(plain, layers):
                        ends.append((skipped + begin if is_open else len(text), skipped + begin))
        run = len(text.rstrip(_BLOB_CHARS))
        if len(text) - run >= _BLOB_LEAST and _text_of(text[run : run + _BLOB_BEGIN]):
            ends.append((len(text), run))  # decoded from its beginning
        return min(end for end, _ in ends), min(context for _, context in ends)

    def _open_words(self, text: str, layers: list[_Layer]) -> Iterator[tuple[int, bool]]:
        """Yield where words behind a label begin that may go on as a part of a key behind its next place, and whether
        there are several."""
        for words in self._known_words(text, least=1):
            start, end = words[-1]
            period = start - words[-2][0] if len(words) > 1 else 0
            if len(text) - end <= max(2 * period, 2 * _LABEL_CHARS):
                joined = "".join(text[one:behind] for one, behind in words)
                begin, _ = self._open_end(joined, [(self._beside, joined)])
                if begin is not None:
                    place = _outer(_parts_of(words, (begin, begin + 1)), layers)[0][0]
                    yield place, begin < len(joined) - (end - start)

    def _open_end(self, less: str, layers: list[_Layer]) -> tuple[int | None, int]:
        bare = _bare(less, self._beside)
        length = max((len(_bare(head, self._beside)) for head in self._begun if less.lower().endswith(head)), default=0)
        at = len(bare) - GRAM
        found = self.places.get(bare[at:], ()) if at >= 0 else ()
        if found and _FOREIGN.search(less, _outer([(at, len(bare))], layers[-1:])[0][1]):
            found = ()
        for form, place in found:
            before = _common(bare, at, form.text, place)[0]
            # A public prefix without its beginning is no part of a key. Behind a whole key its last letter is masked.
            can_go_on = place + GRAM < len(form.text) + (_LAST.search(less, max(len(less) - MARK_CHARS, 0)) is not None)
            if can_go_on and (place == before or form.at[place + GRAM] >= form.secret):
                length = max(length, GRAM + before)
        begin = len(bare) - length
        context = max(begin - GRAM + 1, 0)
        spans = _outer([(one, one + 1) for one in (begin, context) if one < len(bare)], layers)
        return spans[0][0] if length else None, spans[-1][0] if spans else 0


class SeenText:
    """The text of a stream up to now. Decides whether a piece can pass without a search.

    `ends`: how its letters and digits end, in each way to read it. `open`: its last part, which is read again with the
    next piece. `run`: the beginning of a run of base64 or hex at its end. `labelled`: its last words, `words`: the ends
    of the words behind each label.
    """

    __slots__ = ("_search", "ends", "labelled", "open", "run", "words")

    def __init__(self, search: KeySearch, text: str = "") -> None:
        self._search, self.open = search, text
        self.ends, self.words = {""}, dict[tuple[str, str], str]()
        self.run = self.labelled = ""

    def passes(self, piece: str) -> str | None:
        """Return what was read of the text with this piece. None: characters of a key are in it, and `spans` finds the
        parts."""
        run = self.run + piece
        if not self.open and _PLAIN(piece) and not _RUN(run):
            begun = plain = piece
            ends, rest = self._search.ends(self.ends, {self._search.bare(piece)}), ""
        else:
            text = self.open + piece
            begun = _without(_OPEN, text)
            plain, layers = _decoded(begun, _OPEN)
            patterns = [pattern for pattern, _ in layers]
            if _BLOB in patterns:
                return None  # what follows is decoded from its beginning
            if _NOTHING in patterns:
                # An escape or a tag whose first character is escaped goes on.
                begun = begun[: _outer([(len(plain) - 1, len(plain))], layers)[0][1]] if plain else ""
            rest, search = text[len(begun) :], self._search
            ends = search.ends(self.ends, search.readings({begun, plain}))
            if ends and rest and not search.ends(ends, search.readings({rest, _decoded(rest)[0]})):
                return None
            run = self.run + plain
            blob = _RUN(run)
            if blob and _text_of(run[blob.start() :][:_BLOB_BEGIN]):
                return None
        if not ends or self._has_words(plain):
            return None
        self.run = run[len(run.rstrip(_BLOB_CHARS)) :][:_BLOB_BEGIN]
        self.ends, self.open = ends, rest
        return begun

    def _has_words(self, text: str) -> bool:
        """Return whether the words behind a label have characters of a key: short ones, as others are found anyway."""
        text = _folded(text)
        if _SIGN(text):
            text = text.translate(_NO_SIGNS)
        before = self.labelled
        new = before[len(before.rstrip(_ALNUM)) :] + text
        if self._search.short.isdisjoint(_WORDS(new.lower())):
            self.labelled = (before + text)[-_LABEL_CHARS:]
            return False
        _, *parts = _WORD.split(before + text)
        words, known, places = parts[::2], self.words, self._search.places
        for at in compress(count(), map(self._search.short.__contains__, map(str.lower, words[1:]))):
            label = words[at].strip(digits), parts[2 * at + 1]
            letters = known.get(label, "") + words[at + 1].lower()
            for begin in range(len(letters) - GRAM + 1):
                gram = letters[begin : begin + GRAM]
                if gram in places and not gram.isdigit():
                    return True  # digits alone are numbers that count
            if at + 2 < len(words) or parts[-1]:
                known[label] = letters[1 - GRAM :]
        # The last word may go on: it is read again, behind its label.
        self.labelled = "".join(parts[-2 if parts[-1:] != [""] else -4 :])[-_LABEL_CHARS:]
        if len(known) > _MOST_LABELS:
            known.clear()
        return False


def _labelled(text: str) -> dict[str, list[Span]]:
    """Return the words behind each label: the word before them, without digits, and the signs between.

    A key that a list or an object has in pieces is behind one label, as in `1. s`, `"i": 0, "c": "s"` or `<![CDATA[s`.
    """
    found: dict[str, list[Span]] = {}
    before, last = "", len(text)
    for word in _LABELLED.finditer(text):
        start, end = word.span()
        if last < start:
            found.setdefault(before + text[last:start].rstrip(_SIGNS), []).append((start, end))
        before, last = word[0].strip(digits), end
    return found


def _parts_of(words: list[Span], span: Span) -> list[Span]:
    """Return where the parts of a text are that is these words."""
    found, place = list[Span](), 0
    for start, end in words:
        first, last = max(span[0], place) - place + start, min(span[1], place + end - start) - place + start
        if first < last:
            found.append((first, last))
        place += end - start
    return found


def _length(form: _Form, place: int, end: int, begin: int = 0) -> int:
    """Return how many characters of the key, behind `begin`, a part of a form has, with signs beside it."""
    return form.at[end + 1] - max(form.at[place] + 1, begin)


def _shortest(form: _Form) -> int:
    """Return how many letters and digits the shortest parts of PIECE_CHARS characters of a key have."""
    ends = [bisect_left(form.at, at + 1 + PIECE_CHARS) - 1 - place for place, at in enumerate(form.at)]
    return min([len(form.text), *(ends[: bisect_right(form.at, form.at[-1] - 1 - PIECE_CHARS)])])


def _common(text: str, at: int, form: str, place: int) -> tuple[int, int]:
    """Return how many characters before and from there on are equal."""
    before = takewhile(bool, map(eq, text[max(at - place, 0) : at][::-1], form[:place][::-1]))
    return sum(before), sum(takewhile(bool, map(eq, text[at : at + len(form)], form[place:])))


def _secret(form: _Form, place: int, end: int, text: str, span: Span, least: int, is_end: bool) -> Span | None:
    """Return which part of `span` of a text is masked, as it has this part of a form. `is_end`: the rest may follow."""
    is_sure = end - place == len(form.text) or _length(form, place, end, form.secret) >= least
    start, behind = span
    # Up to GRAM - 1 characters that something separates from the part are of another word, as the l of `all k7Qz…`.
    found = _FIRST.match(text, start, behind)
    if found and (place or text[max(start - 1, 0) : start].isalnum()) and _is_apart(form, place + len(found[1]), found):
        start, place = found.end(), place + len(found[1])
    found = _LAST.search(text, max(behind - MARK_CHARS, start), behind)
    is_last = end == len(form.text) and not (text[behind : behind + 1] or "a").isalnum()
    if found and not is_last and (_is_apart(form, end - len(found[1]), found) or (not is_sure and " " in found[0])):
        behind, end = found.start(), end - len(found[1])
    begin, last = form.at[place + 1], form.at[end] + 1
    part = form.key[begin:last]
    before, after = form.key[form.at[place] + 1 : begin], form.key[last : form.at[end + 1]]
    if text.startswith(before, max(start - len(before), 0), start):
        start, begin = start - len(before), begin - len(before)
    if text.startswith(after, behind):
        behind, last = behind + len(after), last + len(after)
    chars, secret = last - begin, last - max(begin, form.secret)
    if not is_sure and (
        chars < PIECE_CHARS
        or secret < 1
        or re.search(r"\s", text[start:behind])
        or not (
            (secret >= GRAM and chars >= PART_CHARS)
            or (secret >= PIECE_CHARS and begin <= form.secret)
            or (is_end and begin == 0)
            or _MARK_BEHIND.match(text, behind)
            or _MARK_BEFORE.search(text[max(start - MARK_CHARS, 0) : start])
        )
    ):
        return None
    if not form.has_words or not _WORDS_ONLY.fullmatch(part if is_sure else form.key[begin:last]):
        return start, behind
    if part.isalnum():
        return (start, behind) if (is_sure and part == form.key) or not (part.isdigit() or is_word(part)) else None
    signs = iter(_lower(text[start:behind]))
    is_phrase = (is_sure or is_end or chars >= PART_CHARS) and all(one in signs for one in _lower(part))
    return (start, behind) if is_phrase or end - place >= _PHRASE_CHARS else None


def _is_apart(form: _Form, place: int, found: re.Match[str]) -> bool:
    """Return whether the text has other signs than the key before this character, or a mask beside them."""
    signs = form.key[form.at[place] + 1 : form.at[place + 1]]
    return not signs or signs not in found[0] or _MARK_BEHIND.search(found[0].replace(signs, "", 1)) is not None


def _with_backslashes(text: str, spans: list[Span]) -> list[Span]:
    return [(len(text[:start].rstrip("\\")), end) for start, end in spans] if "\\" in text else spans


@lru_cache(maxsize=16)
def key_search(key: str | None) -> KeySearch:
    """Return the search for one key, or several, one per line."""
    return KeySearch([one for one in dict.fromkeys((key or "").split("\n")) if len(one) >= LEAST_CHARS])


@lru_cache(maxsize=64)
def key_forms(key: str | None) -> tuple[str, ...]:
    """Return the forms of a key in texts: plain, escaped as in JSON, quoted as in a URL, in hex, inside base64.

    `key`: one key, or several, one per line. Longer ones come first: they may contain others.
    """
    found: list[str] = []
    for one in sorted((key or "").split("\n"), key=len, reverse=True):
        if len(one) >= LEAST_CHARS:
            escaped, data = json.dumps(one)[1:-1], one.encode("utf-8", "surrogatepass")
            found += one, escaped, escaped.replace("/", "\\/"), quote(data, safe=""), data.hex(), data.hex().upper()
            found += _in_base64(data)
    return tuple(dict.fromkeys(found))


def refuse_key_in(body: bytes, key: str) -> None:
    """Raise InputError if a prompt contains the key: the model could repeat it, and it would be logged."""
    if any(form.encode() in body for form in key_forms(key)):
        raise InputError.of(
            ("messages",),
            "the prompt has this endpoint's API key in it; nothing was sent.",
            "Take it out: the key is sent as a header, by itself.",
        )


def redact_error(error: ApiError, key: str | None) -> ApiError:
    """Return the error with the key masked in all of its texts."""
    names = ("title", "detail", "advice", "error_type", "code", "details", "body_request_id", "body")
    return replace(error, **{name: redact_value(getattr(error, name), key) for name in names})


def redact_value(value: Any, key: str | None) -> Any:
    """Return a JSON value with this key, and everything that looks like a key, masked in its texts and names."""
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, list | tuple):
        return type(value)(redact_value(item, key) for item in value)
    if isinstance(value, dict):
        return {redact(name, key): redact_value(item, key) for name, item in value.items()}
    return value
