"""Masking of the API key in every text that is displayed, logged or exported. In pieces: `stream_masking.py`."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from msgspec.structs import replace

from playground.prompt import secret_words

if TYPE_CHECKING:
    from playground.client.events import ApiError


MASK = secret_words.MASK
LEAST_BASE64 = 10
LEAST_CHARS = secret_words.LEAST_CHARS
"""A shorter "key" is a placeholder that local servers ignore (x, none, EMPTY, ollama): masking it would garble text."""

_WORDS_BEHIND = r"(?:live|test|proj|admin|svcacct)(?:[_-][a-z]{1,7})+(?![A-Za-z0-9_\-])"
_LOOKS_LIKE_A_KEY = re.compile(rf"\bsk[_-](?!{_WORDS_BEHIND})[A-Za-z0-9_\-]{{8,}}")
_BACKSLASHES = r"(?:\\u005[cC]|\\){1,32}"
# Bounded, and `(?<!\\)` below: a long run of backslashes must not cost quadratic time.
_MAY_ESCAPE = re.compile(r"\\[ux/\\]|%[0-9a-fA-F]{2}|&#")
_ESCAPE = re.compile(
    r"(?<!\\)\\++(?:u00([0-7][0-9a-fA-F])|x([0-7][0-9a-fA-F])|(/))"
    r"|%([0-7][0-9a-fA-F])|&#[xX]0*([0-7][0-9a-fA-F]);|&#0*([0-9]{2}|1[01][0-9]|12[0-7]);"
)
_BACKSLASH_ESCAPE = re.compile(r"\\(?:/|u00[0-7]|x[0-7])")
_PERCENT_ESCAPE = re.compile("%[0-7]")
_NESTED = 4


def redact(text: str, key: str | None) -> str:
    """Mask this key, and everything that looks like a key, in `text`. Escaped characters count as the character."""
    text = mask(text, key_forms(key))
    if key:
        text = _without_runs(text, key)
    if found := beginnings(text, key_heads(key)):
        ends = [0, *(end for _, end in found)]
        pieces = [
            text[before:start] + _mask_of(text[start:end]) for before, (start, end) in zip(ends, found, strict=False)
        ]
        text = "".join((*pieces, text[ends[-1] :]))
    if "sk" in text:
        text = _LOOKS_LIKE_A_KEY.sub(MASK, text)
    if _may_decode(text) and _LOOKS_LIKE_A_KEY.search(decoded(text)):
        return _escaped_look().sub(MASK, text)
    return text


def _mask_of(secret: str) -> str:
    # A number remains one: the text may be JSON.
    return "0" if secret.isdigit() else MASK


_PUBLIC_PREFIX = re.compile(
    r"(?:sk[-_](?:proj-|svcacct-|admin-|ant-(?:api\d\d-)?|or-(?:v1-)?|live_|test_)?|gh[a-z]_|github_pat_|glpat-|xox[a-z]-"
    r"|hf_|gsk_|r8_|pplx-|npm_|pypi-|AKIA|ASIA|AIza|[a-z]{2,6}_(?:live|test)_|eyJ[\w-]*\.)?"
)
_HEAD_CHARS, _LONG_HEAD_CHARS, _SURE_CHARS = 8, 16, 12
_WORDS_ONLY = re.compile(r"[A-Z]*[a-z]*(?:[^A-Za-z0-9]+[A-Za-z]?[a-z]*)*|[0-9]{1,9}|[A-Z]+(?:[^A-Za-z0-9]+[A-Z]*)*")


class KeyHead(NamedTuple):
    """The shortest beginning by which a form of a key is recognized; `sure`: before a letter that differs."""

    text: str
    form: str
    sure: int


@lru_cache(maxsize=64)
def key_heads(key: str | None) -> tuple[KeyHead, ...]:
    """Return the beginnings of these keys, also in hex and base64.

    They have 8 characters behind a public prefix as `sk-proj-`, and more if these are words.
    """
    keys = dict.fromkeys(one for one in (key or "").split("\n") if len(one) >= LEAST_CHARS)
    return tuple(head for one in keys for head in _heads(one) if len(head.text) < len(head.form))


def _heads(key: str) -> Iterator[KeyHead]:
    found = _PUBLIC_PREFIX.match(key)
    prefix = found.end() if found else 0
    length = prefix + _HEAD_CHARS
    while length < min(len(key), prefix + _LONG_HEAD_CHARS) and _WORDS_ONLY.fullmatch(key, prefix, length):
        length += 1
    is_word = _WORDS_ONLY.fullmatch(key, prefix, length) is not None
    yield KeyHead(key[:length], key, length + _SURE_CHARS if is_word else length)
    for form in dict.fromkeys(_encoded(key.encode("utf-8", "surrogatepass"))):
        characters = length * 2 if len(form) == 2 * len(key) else length * 4 // 3 + 1
        yield KeyHead(form[:characters], form, characters)


def beginnings(text: str, heads: tuple[KeyHead, ...]) -> list[tuple[int, int]]:
    """Return where a key begins in `text` and is cut: at the end of the text or of a word in it."""
    found: list[tuple[int, int]] = []
    for head, key, sure in heads:
        start = text.find(head)
        while start >= 0:
            end = start + len(head)
            while end < len(text) and end - start < len(key) and text[end] == key[end - start]:
                end += 1
            if end - start < len(key) and (end - start >= sure or not text[end : end + 1].isalnum()):
                found.append((start, end))
            start = text.find(head, end)
    found.sort()
    return [span for place, span in enumerate(found) if place == 0 or span[0] >= found[place - 1][1]]


_RUN_CHARS, _RUN_BESIDE_MASK = 12, 8
"""Length from which a part of a key is masked in any text, in any case; and the one beside a mask of the server's."""
_GRAM = 6
_FOREIGN_MASKS = ("**", "••", "…", "...")


class _Body(NamedTuple):
    """A key behind its public prefix, both in lower case, too, and the parts by which a run is found."""

    text: str
    lower: str
    prefix: str
    grams: frozenset[str]


@lru_cache(maxsize=16)
def _bodies(key: str) -> tuple[_Body, ...]:
    """Return what is searched for these keys."""
    found = []
    for one in key.split("\n"):
        prefix = _PUBLIC_PREFIX.match(one)
        begin = prefix.end() if prefix else 0
        body = one[begin:]
        lower = body.lower()
        if len(one) >= LEAST_CHARS <= len(body) and len(lower) == len(body):
            grams = frozenset(lower[at : at + _GRAM] for at in range(len(lower) - _GRAM + 1))
            found.append(_Body(body, lower, one[:begin].lower(), grams))
    return tuple(found)


def _without_runs(text: str, key: str) -> str:
    """Mask parts of these keys without their beginning, in any case, unless they are words."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        lower = "".join(one if len(one.lower()) > 1 else one.lower() for one in text)
    spans: list[tuple[int, int]] = []
    marks = list(_foreign_masks(lower))
    for body in _bodies(key):
        grams, least = body.grams, min(_RUN_CHARS, len(body.text))
        # Of `least` characters of a key, the first of a part that is searched is among the first `step`.
        step = least - _GRAM + 1
        for place in range(0, len(body.lower) - _GRAM + 1, step):
            at = lower.find(body.lower[place : place + _GRAM])
            while at >= 0:
                run = _run(lower, at, body, least)
                if run:
                    spans.append(run)
                at = lower.find(body.lower[place : place + _GRAM], run[1] if run else at + 1)
        beside = min(_RUN_BESIDE_MASK, least)
        for start, end in marks:
            for at in (end, start - _GRAM):
                if at >= 0 and lower[at : at + _GRAM] in grams and (run := _run(lower, at, body, beside)):
                    spans.append(run)
    for start, end in reversed(_joined(spans)):
        text = text[:start] + _mask_of(text[start:end]) + text[end:]
    return text


def _foreign_masks(text: str) -> Iterator[tuple[int, int]]:
    for mark in _FOREIGN_MASKS:
        start = text.find(mark)
        while start >= 0:
            end = start + len(mark)
            while text.startswith(mark[0], end):
                end += 1
            yield start, end
            start = text.find(mark, end)


def _run(text: str, at: int, body: _Body, least: int) -> tuple[int, int] | None:
    """Return the longest part of a key that has the characters at `at`; None if it is short or consists of words."""
    gram, plain, best = text[at : at + _GRAM], body.lower, (0, 0, 0)
    place = plain.find(gram)
    while place >= 0:
        before, after = 0, _GRAM
        while before < min(at, place) and text[at - before - 1] == plain[place - before - 1]:
            before += 1
        while at + after < len(text) and place + after < len(plain) and text[at + after] == plain[place + after]:
            after += 1
        best = max(best, (before + after, at - before, place - before))
        place = plain.find(gram, place + 1)
    length, start, place = best
    if length < least or _WORDS_ONLY.fullmatch(body.text, place, place + length):
        return None
    has_prefix = place == 0 and text.endswith(body.prefix, 0, start)
    return start - len(body.prefix) * has_prefix, start + length


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, with those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


PIECE_CHARS = 8
"""Length from which a part of a key alone is masked."""


def mask_pieces(text: str, key: str | None) -> str:
    """Mask every part of a key of at least PIECE_CHARS characters, for texts of which other parts may be elsewhere."""
    pieces = _pieces(key)
    if not pieces or len(text) < PIECE_CHARS:
        return text
    found: list[str] = []
    start = 0
    for at in range(len(text) - PIECE_CHARS + 1):
        if text[at : at + PIECE_CHARS] in pieces:
            if at >= start:
                found += [text[start:at], MASK]
            start = at + PIECE_CHARS
    return "".join((*found, text[start:]))


@lru_cache(maxsize=16)
def _pieces(key: str | None) -> frozenset[str]:
    starts = ((form, at) for form in key_forms(key) for at in range(len(form) - PIECE_CHARS + 1))
    pieces = (form[at : at + PIECE_CHARS] for form, at in starts)
    return frozenset(piece for piece in pieces if not _WORDS_ONLY.fullmatch(piece))


def key_spans(text: str, key: str | None) -> list[tuple[int, int]]:
    """Return where these keys, their beginnings, and what looks like a key stand in `text`, without escaped ones."""
    spans = [found.span() for found in _LOOKS_LIKE_A_KEY.finditer(text)]
    spans += [found.span() for form in key_forms(key) for found in re.finditer(re.escape(form), text)]
    return _joined([*spans, *beginnings(text, key_heads(key))])


@lru_cache(maxsize=64)
def key_forms(key: str | None) -> tuple[str, ...]:
    """Return the forms of a key in texts: plain, escaped as in JSON, quoted as in a URL, in hex, inside base64.

    `key`: one key, or several, one per line. Longer ones come first: they may contain others.
    """
    keys = sorted(filter(lambda one: len(one) >= LEAST_CHARS, (key or "").split("\n")), key=len, reverse=True)
    return tuple(dict.fromkeys(form for one in keys for form in _forms_of(one)))


def _forms_of(key: str) -> Iterator[str]:
    escaped, data = json.dumps(key)[1:-1], key.encode("utf-8", "surrogatepass")  # a damaged file has any character
    yield from (key, escaped, escaped.replace("/", "\\/"), quote(data, safe=""))
    yield from _encoded(data)


def _encoded(key: bytes) -> Iterator[str]:
    yield from (key.hex(), key.hex().upper())
    yield from _in_base64(key)


def _in_base64(key: bytes) -> Iterator[str]:
    """Return the base64 characters that depend on the key alone, for each of the three alignments."""
    for before in range(3):
        encoded = b64encode(bytes(before) + key).decode("ascii")
        # The first characters also depend on the bytes before the key, the last ones on the bytes after it.
        whole = encoded[-(-before * 8 // 6) : (before + len(key)) * 8 // 6]
        if len(whole) >= LEAST_BASE64:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


def mask(text: str, forms: tuple[str, ...]) -> str:
    """Mask these forms of a key in `text`, also with some or all characters escaped (JSON, URL, HTML).

    Masks escaped keys in place, so JSON stays JSON.
    """
    if not forms:
        return text
    for form in forms:
        if form in text:
            text = text.replace(form, _mask_of(form))
    if _may_decode(text) and _has_form(decoded(text), forms):
        text = escaped_key(forms).sub(MASK, text)
        plain = decoded(text)
        if _has_form(plain, forms):  # an escape that the pattern does not know
            return mask(plain, forms)
    if "<" in text or "u003" in text or "&lt;" in text:
        return _mask_tagged(text, forms)
    return text


_UNTAGGED = 3
"""First characters of a key, which have no tag inside: only a text with them, and the next one or a tag behind them, is
searched."""
_TAG = re.compile(r'(?:<|\\u003[cC]|&lt;)/?[A-Za-z](?:[^<>"\\&]|\\"|&quot;){0,99}(?:>|\\u003[eE]|&gt;)')


def _mask_tagged(text: str, forms: tuple[str, ...]) -> str:
    """Mask keys with HTML tags inside, from the first to the last character."""
    starts = ((form[:_UNTAGGED], form[_UNTAGGED]) for form in forms)
    if not any(start + next_ in text for start, after in starts for next_ in (after, "<", "\\u003", "&lt;")):
        return text
    tags = list(_TAG.finditer(text))
    plain, removed, begins = _TAG.sub("", text), [0], []
    for tag in tags:
        begins.append(tag.start() - removed[-1])
        removed.append(removed[-1] + len(tag.group()))
    for start, end in reversed(_spans(plain, forms)):
        first, last = start + removed[bisect_right(begins, start)], end + removed[bisect_right(begins, end - 1)]
        text = text[:first] + _mask_of(plain[start:end]) + text[last:]
    return text


def _spans(text: str, forms: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return where these forms of a key are in a text, in order, without overlaps."""
    spans: list[tuple[int, int]] = []
    for span in sorted(found.span() for form in forms if form in text for found in re.finditer(re.escape(form), text)):
        if not spans or span[0] >= spans[-1][1]:
            spans.append(span)
    return spans


def mask_across(texts: list[str], forms: tuple[str, ...]) -> list[str]:
    """Mask a key that several texts have in pieces, one after another. Returns `texts` itself if there is none."""
    spans = _spans("".join(texts), forms)
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


def may_escape(text: str) -> bool:
    """Return whether the text may have escapes, or the beginning of one. Fast for text without any."""
    return ("\\" in text or "%" in text or "&#" in text) and _MAY_ESCAPE.search(text) is not None


def _may_decode(text: str) -> bool:
    """Return whether `decoded` may change the text. `in` with one character is the fastest search."""
    return (
        ("\\" in text and _BACKSLASH_ESCAPE.search(text) is not None)
        or ("%" in text and _PERCENT_ESCAPE.search(text) is not None)
        or ("&" in text and "&#" in text)
    )


def _has_form(text: str, forms: tuple[str, ...]) -> bool:
    return any(form in text for form in forms)


def decoded(text: str) -> str:
    r"""Replace escapes of ASCII characters in `text` (\u0073, \x73, %73, &#115;), also nested ones."""
    for _ in range(_NESTED):
        plain = _ESCAPE.sub(_character, text)
        if plain == text:
            break
        text = plain
    return text


def _character(found: re.Match[str]) -> str:
    json_hex, x_hex, slash, url_hex, html_hex, html_decimal = found.groups()
    if slash:
        return slash
    return chr(int(html_decimal) if html_decimal else int(json_hex or x_hex or url_hex or html_hex, 16))


@lru_cache(maxsize=16)
def escaped_key(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for these forms with each character plain or escaped."""
    return re.compile("|".join("".join(map(_spellings, form)) for form in forms))


@lru_cache(maxsize=16)
def plain_key(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that finds the same as `escaped_key` in text without escapes, and needs no 50 ms to compile."""
    return re.compile("|".join(map(re.escape, forms)))


@lru_cache(maxsize=1)
def _escaped_look() -> re.Pattern[str]:
    any_escape = rf"{_BACKSLASHES}(?:u00|x)[0-9a-fA-F]{{2}}|%(?:25)*[0-9a-fA-F]{{2}}|&#[xX]?[0-9a-fA-F]+;"
    head = f"{_spellings('s')}{_spellings('k')}(?:{_spellings('_')}|{_spellings('-')})"
    return re.compile(rf"(?<![A-Za-z0-9_]){head}(?:[A-Za-z0-9_\-]|{any_escape}){{8,}}")


def _spellings(character: str) -> str:
    code = ord(character)
    digits = "".join(digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in f"{code:02x}")
    plain = rf"(?:{_BACKSLASHES})?{re.escape(character)}" if character in '/"\\' else re.escape(character)
    return (
        rf"(?:{plain}|{_BACKSLASHES}u00{digits}|{_BACKSLASHES}x{digits}|%(?:25)*{digits}|&#[xX]0*{digits};|&#0*{code};)"
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
