"""Search for API keys, and their masking in every text that is displayed, logged or exported.

One search for whole texts and for texts in pieces (`stream_masking.py`): of the longest parts that a text and a key
have in common, after escapes, tags, line ends and marks of Markdown are removed, in any case.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import normalize
from urllib.parse import quote

from msgspec.structs import replace

from playground.prompt import secret_names
from playground.prompt.field_errors import InputError

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
_LOOKS_LIKE_A_KEY = re.compile(rf"(?:\b|(?<=\\[nrt]))sk[_-](?!{_WORDS_BEHIND})[A-Za-z0-9_\-]{{8,}}")
_PUBLIC_PREFIX = re.compile(
    r"(?:sk[-_](?:proj-|svcacct-|admin-|ant-(?:api\d\d-)?|or-(?:v1-)?|live_|test_)?|gh[a-z]_|github_pat_|glpat-|xox[a-z]-"
    r"|hf_|gsk_|r8_|pplx-|npm_|pypi-|AKIA|ASIA|AIza|[a-z]{2,6}_(?:live|test)_|eyJ[\w-]*\.)?"
)
_WORDS_ONLY = re.compile(r"[A-Z]*[a-z]*(?:[^A-Za-z0-9]+[A-Za-z]?[a-z]*)*|[0-9]{1,9}|[A-Z]+(?:[^A-Za-z0-9]+[A-Z]*)*")
_LONG_HEAD_CHARS, _SURE_CHARS = 16, 12
_MARK = re.compile(
    r" ?(?:\\?\*\\?\*|••|…|\.\.\.|xxx|----|··|●●|██|##|[\[<(](?:\.\.\.|(?:redacted|hidden|masked|removed)[\])>])) ?",
    re.I,
)
"""What servers write in place of the middle of a key."""
_MARK_BEFORE = re.compile(f"{_MARK.pattern}[\\])>]?$", re.I)

# `(?<!\\)\\++`: a long run of backslashes must not cost quadratic time.
_ESCAPE = re.compile(
    r"(?<!\\)\\++(?:u(?:\{0*)?((?:00|(?<=\{))[0-9a-fA-F]{2}|20[0-6][0-9a-fA-F]|[fF][eE][fF]{2})\}?|x([0-7][0-9a-fA-F]))"
    r"|%(?:25)*([0-7][0-9a-fA-F])|&#[xX]0*([0-9a-fA-F]{2,5});|&#0*([0-9]{2,6})(?:;|(?![0-9]))|&(lt|gt|amp|quot|shy|nbsp|zwn?j);"
)
_NAMED = {
    "lt": "<",
    "gt": ">",
    "amp": "&",
    "quot": '"',
    "shy": "\xad",
    "nbsp": "\xa0",
    "zwj": "\u200d",
    "zwnj": "\u200c",
}
_NESTED = 4
_NUMBER = re.compile(f"[0-9]{{{PIECE_CHARS}}}")
MARK_CHARS = 12
_CONTEXT_CHARS = GRAM - 1 + MARK_CHARS
"""Characters of a text that count for the next piece of it: those of a key, and a mask before them."""
_CUT = "\0"
"""Stands for the missing rest of a text."""
_INVISIBLE = (
    r"\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9a\x9c-\xa0\u00ad\u0300-\u036f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef"
)
_TERMINAL = r"(?:\x1b\[|\x9b)[0-?]{0,32}[ -/]?[@-~]|\x1b(?:\][^\x07\x1b]{0,99}(?:\x07|\x1b\\)|(?![\[\]]))"
_MARKS = rf"[*`~{_INVISIBLE}]+|{_TERMINAL}"
_MARKUP = re.compile(rf"{_MARKS}|\\+[nrtbf]?|[\r\n\t]+[ \t]*")
_TAG = re.compile("<[/?]?[A-Za-z!][^<>]{0,99}>")
_NOISE = re.compile(f"{_MARKUP.pattern}|{_TAG.pattern}")
_UNDERLINE = re.compile(rf"{_MARKS}|[_\\\r\n\t]+")
_WIDE = re.compile("[\uff01-\uff5e\U0001d400-\U0001d7ff]")
may_differ = re.compile(rf"[*`~\\\r\n\t<%&_\x1b\x9b{_INVISIBLE}\uff01-\uff5e\U0001d400-\U0001d7ff]").search
"""Finds a character of escapes and of what is removed, also of an unfinished one."""
_UNFINISHED = (
    r"(?<!\\)\\++(?:u(?:[0-9a-fA-F]{0,3}|\{[0-9a-fA-F]{0,6})|x[0-9a-fA-F]?)?|%(?:25)*[0-9a-fA-F]?|&(?:#?[xX]?[0-9a-fA-F]{0,6}|[a-z]{1,4})"
    r"|\x9b[0-?]{0,32}[ -/]?|\x1b(?:\[[0-?]{0,32}[ -/]?|\][^\x07\x1b]{0,99}\x1b?)?"
    r"| ?[*\\xX#·●█•.\-]{1,8}| ?[\[<(][a-zA-Z.…]{0,9}| "
)
_READINGS = {
    _NOISE: re.compile(rf"(?:{_UNFINISHED}|<[/?]?(?:[A-Za-z!][^<>]{{0,99}})?)$"),
    _MARKUP: re.compile(f"(?:{_UNFINISHED})$"),
    _UNDERLINE: re.compile(f"(?:{_UNFINISHED})$"),
}
"""What is removed from a text, and the unfinished end of such: a key may be around tags, or in one."""
_UNFINISHED_CHARS = 128
_LONGEST_ESCAPE = 12

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
    # A number remains one: the text may be JSON.
    return "0" if secret.isdigit() else MASK


def key_spans(text: str, key: str | None) -> list[Span]:
    """Return where these keys, their parts, and what looks like a key stand in `text`."""
    plain, layers = _decoded(text)
    spans = key_search(key).spans(plain)
    if "sk" in plain:
        rest = _replaced(plain, spans, lambda secret: "…" * len(secret))
        spans = joined([*spans, *(found.span() for found in _LOOKS_LIKE_A_KEY.finditer(rest))])
    return _outer(spans, layers)


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


def _decoded(text: str) -> tuple[str, list[_Layer]]:
    r"""Replace escapes of ASCII characters in `text` (\u0073, \x73, %73, &#115;), also nested ones."""
    layers: list[_Layer] = []
    while ("\\" in text or "%" in text or "&" in text) and len(layers) < _NESTED:
        plain = _ESCAPE.sub(_character, text)
        if plain == text:
            break
        layers.append((_ESCAPE, text))
        text = plain
    return text, layers


def _character(found: re.Match[str]) -> str:
    if found.re is not _ESCAPE:
        return ""
    decimal, name = found[5], found[6]
    if name:
        return _NAMED[name]
    return chr(int(decimal) if decimal else int(found[found.lastindex or 0], 16))


def _outer(spans: list[Span], layers: list[_Layer]) -> list[Span]:
    """Return where these parts of a plain text stand in the text before its layers were removed."""
    for pattern, source in reversed(layers if spans else ()):
        starts, ends, removed = list[int](), list[int](), [0]
        for found in pattern.finditer(source):
            size = len(_character(found))
            ends.append(found.start() - removed[-1])
            starts.append(ends[-1] + size)
            removed.append(removed[-1] + len(found.group()) - size)
        spans = [
            (start + removed[bisect_right(starts, start)], end + removed[bisect_right(ends, end - 1)])
            for start, end in spans
        ]
    return spans


def _ascii(found: re.Match[str]) -> str:
    one = normalize("NFKC", found.group())
    return one if len(one) == 1 else found.group()


def _lower(text: str) -> str:
    if not text.isascii():
        text = _WIDE.sub(_ascii, text)
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        lower = "".join(one if len(one.lower()) > 1 else one.lower() for one in text)
    return lower


class _Form(NamedTuple):
    """A key as it may stand in a text: plain, in hex or in base64; in lower case.

    `key`: the key itself, `scale`: characters of the form for one of the key, `secret`: where its secret part begins,
    behind a public prefix. `head`: length from which its beginning is recognized, `sure`: also before a letter.
    """

    text: str
    key: str
    scale: float
    secret: int
    head: int
    sure: int


def _forms(key: str) -> Iterator[_Form]:
    plain = _NOISE.sub("", _decoded(key)[0])
    found = _PUBLIC_PREFIX.match(plain)
    prefix = found.end() if found else 0
    head = min(prefix + PIECE_CHARS, max(prefix + GRAM, PART_CHARS))
    while head < min(len(plain), prefix + _LONG_HEAD_CHARS) and _WORDS_ONLY.fullmatch(plain, prefix, head):
        head += 1
    sure = head + _SURE_CHARS * (_WORDS_ONLY.fullmatch(plain, prefix, head) is not None)
    data = key.encode("utf-8", "surrogatepass")  # a damaged file has any character
    texts = {plain: 1.0, **dict.fromkeys(_in_base64(data), 4 / 3), data.hex(): 2.0}
    if not key.isascii():
        texts |= {text: len(text) / len(plain) for text in (quote(data, safe=""), json.dumps(key)[1:-1])}
    for text, scale in texts.items():
        yield _Form(_lower(text), plain, scale, *(round(chars * scale) for chars in (prefix, head, sure)))
    if "_" in plain:
        places = (len(plain[:chars].replace("_", "")) for chars in (prefix, head, sure))
        bare = plain.replace("_", "")
        yield _Form(_lower(bare), bare, 1.0, *places)


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
        forms = [form for key in keys for form in _forms(key) if len(form.text) >= GRAM]
        self.window = _LONGEST_ESCAPE * max((len(form.text) for form in forms), default=0)
        """Length of text at the end of which a part of a key may stand."""
        self.places: dict[str, list[tuple[_Form, int]]] = {}
        """Each GRAM characters of a form of a key, and where they are."""
        self.has_number = any(_NUMBER.search(key) for key in keys)
        """Whether a part of a key may stand in a JSON text outside its texts."""
        for form in forms:
            for at in range(len(form.text) - GRAM + 1):
                self.places.setdefault(form.text[at : at + GRAM], []).append((form, at))
        self._all = tuple(self.places)
        self._samples, self._close_samples = (_samples(forms, least) for least in (PART_CHARS, PIECE_CHARS))

    def spans(self, text: str, least: int = PART_CHARS, *, is_cut: bool = False) -> list[Span]:
        """Return where keys and their parts of at least this length stand in `text`, in order.

        `is_cut`: the text may go on, with the rest of a key.
        """
        if not self.places:
            return []
        differs = may_differ(text) is not None
        marked, layers = _decoded(text) if differs else (text, [])
        is_marked = _MARK.search(marked) is not None
        samples = self._close_samples if is_marked or least < PART_CHARS else self._samples
        spans: list[Span] = []
        seen = set[str]()
        for removed in _READINGS if differs else (_MARKUP,):
            plain = removed.sub("", marked) if differs else marked
            if plain in seen:
                continue
            seen.add(plain)
            runs = self._runs(_lower(plain) + _CUT * is_cut, self._all if is_cut else samples, least)
            places = _outer(list(runs), [(removed, marked)] if plain != marked else [])
            kinds = zip(places, runs.values(), strict=True)
            spans += [span for span, is_sure in kinds if is_sure or _has_mark(marked, *span)]
        spans = _outer(joined(spans), layers)
        return [(_with_backslash(text, start), end) for start, end in spans] if "\\" in text else spans

    def masked(self, text: str) -> str:
        """Return the text with keys and their parts masked."""
        return masked(text, self.spans(text))

    def known_end(self, text: str, known: int = 0) -> str | None:
        """Return the end of a text as it counts for the next piece; None if characters of a key end behind `known`."""
        if not may_differ(text):
            return None if self._has_gram(text, known) else text[-_CONTEXT_CHARS:]
        if text[-1] == "*" or "<" in text or _MARK.search(text):
            return None
        unfinished = _READINGS[_NOISE].search(text, max(len(text) - _UNFINISHED_CHARS, 0))
        begin = unfinished.start() if unfinished else len(text)
        marked = _decoded(text[:begin])[0]
        plain = _MARKUP.sub("", marked)
        if self._has_gram(plain, 0) or self._has_gram(_UNDERLINE.sub("", marked), 0):
            return None
        return plain[-_CONTEXT_CHARS:] + text[begin:]

    def _has_gram(self, text: str, known: int) -> bool:
        lower, places = _lower(text), self.places
        for at in range(known - GRAM + 1 if known >= GRAM else 0, len(lower) - GRAM + 1):
            if lower[at : at + GRAM] in places:
                return True
        return False

    def _runs(self, lower: str, samples: tuple[str, ...], least: int) -> dict[Span, bool]:
        """Return the parts of keys in a plain text, and whether they are masked without a mask beside them."""
        runs: dict[Span, bool] = {}
        start = end = 0
        for at in self._hits(lower, samples):
            if start <= at and at + GRAM <= end:
                continue
            for form, place in self.places[lower[at : at + GRAM]]:
                before, after = _common(lower, at, form.text, place)
                is_sure = _is_secret(form, place - before, before + after, lower[at + after : at + after + 1], least)
                if is_sure is not None:
                    span = at - before, at + after
                    runs[span] = runs.get(span, False) or is_sure
                    if is_sure:
                        start, end = span
        return runs

    def _hits(self, lower: str, samples: tuple[str, ...]) -> Iterator[int]:
        """Yield where GRAM characters of a key stand, at least once in each of its parts."""
        if len(lower) <= len(samples) or len(samples) > _MANY_SAMPLES:
            for at in range(len(lower) - GRAM + 1):
                if lower[at : at + GRAM] in self.places:
                    yield at
            return
        for gram in samples:
            at = lower.find(gram)
            while at >= 0:
                yield at
                at = lower.find(gram, at + 1)

    def open_end(self, text: str) -> tuple[int, int]:
        """Return where the end of a text begins that may go on as a part of a key, and where GRAM - 1 characters before
        it begin."""
        skipped = max(len(text) - self.window, 0)
        readings = _READINGS if may_differ(text, skipped) else (_MARKUP,)
        ends = [self._open_end(text, skipped, removed) for removed in readings]
        return min(end for end, _ in ends), min(context for _, context in ends)

    def _open_end(self, text: str, skipped: int, removed: re.Pattern[str]) -> tuple[int, int]:
        pattern = _READINGS[removed]
        unfinished = pattern.search(text, max(len(text) - _UNFINISHED_CHARS, skipped))
        plain, layers = _decoded(text[skipped : unfinished.start() if unfinished else len(text)])
        unfinished = pattern.search(plain, max(len(plain) - _UNFINISHED_CHARS, 0))  # `&lt;b` is a tag too
        layers.append((removed, plain))
        lower = _lower(removed.sub("", plain[: unfinished.start()] if unfinished else plain))
        length = 0
        at = len(lower) - GRAM
        for form, place in self.places.get(lower[at:], ()) if at >= 0 else ():
            before = _common(lower, at, form.text, place)[0]
            # A public prefix without its beginning is no part of a key.
            if place + GRAM < len(form.text) and (place == before or place + GRAM > form.secret):
                length = max(length, GRAM + before)
        begin = len(lower) - length
        context = max(begin - GRAM + 1, 0)
        spans = _outer([(one, one + 1) for one in (begin, context) if one < len(lower)], layers)
        context = skipped + (spans[-1][0] if spans else 0)
        return (skipped + spans[0][0] if length else len(text)), context


_MANY_SAMPLES = 150
"""With more of them, a look at each character of a text is faster than the search of each."""


def _samples(forms: list[_Form], least: int) -> tuple[str, ...]:
    """Return GRAM characters of which every part of `least` characters of a key has some, and so has its beginning."""
    samples: dict[str, None] = {}
    for form in forms:
        step = max(min(int(least * form.scale), len(form.text)) - GRAM + 1, 1)
        places = range(form.secret % step, len(form.text) - GRAM + 1, step)
        samples.update(dict.fromkeys(form.text[at : at + GRAM] for at in places))
    return tuple(samples)


def _common(text: str, at: int, form: str, place: int) -> tuple[int, int]:
    """Return how many characters before and from there on are equal; GRAM are known to be."""
    before, after = 0, GRAM
    most = min(at, place)
    while before < most and text[at - before - 1] == form[place - before - 1]:
        before += 1
    most = min(len(text) - at, len(form) - place)
    while after < most and text[at + after] == form[place + after]:
        after += 1
    return before, after


def _is_secret(form: _Form, place: int, length: int, following: str, least: int) -> bool | None:
    """Return whether a part of a form is masked; False: only beside a mask; None: not at all."""
    end = place + length
    if length == len(form.text):
        return True
    head = max(PIECE_CHARS * form.scale, form.secret + 1) if following == _CUT else form.head
    if place == 0 and end >= head and (end >= form.sure or not following.isalnum()):
        return True
    chars = (end - place) / form.scale
    if (
        chars < PIECE_CHARS
        or end <= form.secret
        or _WORDS_ONLY.fullmatch(form.key, int(place / form.scale), math.ceil(end / form.scale))
    ):
        return None
    if least == PART_CHARS:
        chars = (end - max(place, form.secret)) / form.scale
    return chars >= least or (place <= form.secret and chars >= PIECE_CHARS)


def _has_mark(text: str, start: int, end: int) -> bool:
    """Return whether a mask of a server's is in or beside this part of a text."""
    before = max(start - MARK_CHARS, 0)
    return bool(_MARK.search(text, start, end) or _MARK.match(text, end) or _MARK_BEFORE.search(text, before, start))


def _with_backslash(text: str, start: int) -> int:
    while start and text[start] in '"/' and text[start - 1] == "\\":
        start -= 1
    return start


def key_search(key: str | None) -> KeySearch:
    """Return the search for one key, or several, one per line."""
    return _key_search(key or "")


@lru_cache(maxsize=16)
def _key_search(key: str) -> KeySearch:
    return KeySearch([one for one in dict.fromkeys(key.split("\n")) if len(one) >= LEAST_CHARS])


@lru_cache(maxsize=64)
def key_forms(key: str | None) -> tuple[str, ...]:
    """Return the forms of a key in texts: plain, escaped as in JSON, quoted as in a URL, in hex, inside base64.

    `key`: one key, or several, one per line. Longer ones come first: they may contain others.
    """
    keys = sorted(filter(lambda one: len(one) >= LEAST_CHARS, (key or "").split("\n")), key=len, reverse=True)
    return tuple(dict.fromkeys(form for one in keys for form in _forms_of(one)))


def _forms_of(key: str) -> Iterator[str]:
    escaped, data = json.dumps(key)[1:-1], key.encode("utf-8", "surrogatepass")
    yield from (key, escaped, escaped.replace("/", "\\/"), quote(data, safe=""), data.hex(), data.hex().upper())
    yield from _in_base64(data)


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
    return replace(
        error,
        title=redact(error.title, key),
        detail=redact(error.detail, key),
        advice=redact(error.advice, key),
        error_type=_maybe(error.error_type, key),
        code=_maybe(error.code, key),
        details=tuple(redact_value(item, key) for item in error.details),
        body_request_id=_maybe(error.body_request_id, key),
        body=redact(error.body, key),
    )


def _maybe(text: str | None, key: str | None) -> str | None:
    return None if text is None else redact(text, key)


def redact_value(value: Any, key: str | None) -> Any:
    """Return a JSON value with this key, and everything that looks like a key, masked in its texts and names."""
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, list):
        return [redact_value(item, key) for item in value]
    if isinstance(value, dict):
        return {redact(name, key): redact_value(item, key) for name, item in value.items()}
    return value
