"""Masking of the API key in every text that is displayed, logged or exported, also split over events of a stream."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from msgspec.structs import replace

from playground.client.events import (
    AnyEvent,
    ContentDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
)
from playground.prompt import secret_words

if TYPE_CHECKING:
    from playground.client.events import ApiError


MASK = secret_words.MASK
LEAST_BASE64 = 10
LEAST_CHARS = secret_words.LEAST_CHARS
"""A shorter "key" is a placeholder that local servers ignore (x, none, EMPTY, ollama): masking it would garble text."""

_LOOKS_LIKE_A_KEY = re.compile(r"\bsk[_-][A-Za-z0-9_\-]{8,}")
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
    if found := _beginnings(text, key_heads(key)):
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


@lru_cache(maxsize=64)
def key_heads(key: str | None) -> tuple[tuple[str, str], ...]:
    """Return the shortest beginnings of these keys by which they are recognized, each with its key.

    They have 8 characters behind a public prefix as `sk-proj-`, and more if these are words.
    """
    keys = dict.fromkeys(one for one in (key or "").split("\n") if len(one) >= LEAST_CHARS)
    return tuple((one[:length], one) for one in keys if (length := _head_length(one)) < len(one))


def _head_length(key: str) -> int:
    found = _PUBLIC_PREFIX.match(key)
    prefix = found.end() if found else 0
    length = prefix + _HEAD_CHARS
    while length < min(len(key), prefix + _LONG_HEAD_CHARS) and _WORDS_ONLY.fullmatch(key, prefix, length):
        length += 1
    return length


def _beginnings(text: str, heads: tuple[tuple[str, str], ...]) -> list[tuple[int, int]]:
    """Return where a key begins in `text` and is cut: at the end of the text or of a word in it."""
    found: list[tuple[int, int]] = []
    for head, key in heads:
        start = text.find(head)
        while start >= 0:
            end = start + len(head)
            while end < len(text) and end - start < len(key) and text[end] == key[end - start]:
                end += 1
            if end - start < len(key) and (end - start >= len(head) + _SURE_CHARS or not text[end : end + 1].isalnum()):
                found.append((start, end))
            start = text.find(head, end)
    found.sort()
    return [span for place, span in enumerate(found) if place == 0 or span[0] >= found[place - 1][1]]


def key_spans(text: str, key: str | None) -> list[tuple[int, int]]:
    """Return where these keys, their beginnings, and what looks like a key stand in `text`, without escaped ones."""
    spans = [found.span() for found in _LOOKS_LIKE_A_KEY.finditer(text)]
    spans += [found.span() for form in key_forms(key) for found in re.finditer(re.escape(form), text)]
    joined: list[tuple[int, int]] = []
    for start, end in sorted([*spans, *_beginnings(text, key_heads(key))]):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


@lru_cache(maxsize=64)
def key_forms(key: str | None) -> tuple[str, ...]:
    """Return the forms of a key in texts: plain, escaped as in JSON, quoted as in a URL, in hex, inside base64.

    `key`: one key, or several, one per line. Longer ones come first: they may contain others.
    """
    keys = sorted(filter(lambda one: len(one) >= LEAST_CHARS, (key or "").split("\n")), key=len, reverse=True)
    return tuple(dict.fromkeys(form for one in keys for form in _forms_of(one)))


def _forms_of(key: str) -> Iterator[str]:
    escaped, data = json.dumps(key)[1:-1], key.encode("utf-8", "surrogatepass")  # a damaged file has any character
    in_hex = data.hex()
    yield from (key, escaped, escaped.replace("/", "\\/"), quote(data, safe=""), in_hex, in_hex.upper())
    yield from _in_base64(data)


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
    return text


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
def _plain_key(forms: tuple[str, ...]) -> re.Pattern[str]:
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


SUSPECT_CHARS = 4
"""Length of a key's beginning that is delayed at the end of the received text until more text arrives."""
SUSPECT_NAME_CHARS = 8
"""A name or an id is never held back: it is masked once this many first characters of a key have come in pieces."""
_LONGEST_ESCAPE = 12
_PARTIAL_ESCAPE = re.compile(
    r"(?:(?<!\\)\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%[0-9a-fA-F]?|&#?[xX]?[0-9a-fA-F]{0,4})$"
)
_UNIT = re.compile(
    r"(?<!\\)\\++(?:u00[0-9a-fA-F]{2}|x[0-9a-fA-F]{2}|/)|%(?:25)*[0-9a-fA-F]{2}|&#[xX]?[0-9a-fA-F]+;|.", re.DOTALL
)

_Stream = Literal["content", "reasoning", "refusal", "tokens"] | int
_TEXTS = (ContentDelta, ReasoningDelta, RefusalDelta)
_STREAM_OF: dict[type, _Stream] = {ContentDelta: "content", ReasoningDelta: "reasoning", RefusalDelta: "refusal"}


class SplitKeys:
    """Masks a key in the joined text of a stream; text that cannot be part of the key passes immediately.

    `changed`: whether the last call of `events` altered or held back anything.
    """

    def __init__(self, forms: tuple[str, ...], heads: tuple[tuple[str, str], ...] = ()) -> None:
        """Take what is masked.

        Args:
            forms: the forms of the key (redact.key_forms); if empty, everything passes.
            heads: its beginnings (redact.key_heads), which are masked if the text goes on in another way.
        """
        self._forms, self._heads = forms, heads
        self._starts = tuple(dict.fromkeys(form[:SUSPECT_CHARS] for form in forms))
        self._texts: dict[_Stream, _Text] = {}
        self._names: dict[tuple[str, int], str] = {}
        self.changed = False

    def events(self, events: Iterable[AnyEvent]) -> list[AnyEvent]:
        """Return the events, with each text reduced to the part that can already be displayed."""
        self.changed = False
        if not self._forms:
            return list(events)
        passed: list[AnyEvent] = []
        for event in events:
            if isinstance(event, _TEXTS):
                if text := self._pass(_STREAM_OF[event.__class__], event.text):
                    passed.append(event if text is event.text else replace(event, text=text))
            elif isinstance(event, ToolCallDelta):
                passed += self._tool_call(event)
            elif isinstance(event, TokenProbabilities):
                passed.append(self._probabilities(event))
            else:
                if isinstance(event, Finished):
                    passed += self.rest(event.at)
                passed.append(event)
        return passed

    def _tool_call(self, event: ToolCallDelta) -> list[AnyEvent]:
        arguments = self._pass(event.index, event.arguments)
        name, id = self._name("name", event.index, event.name), self._name("id", event.index, event.id)
        if arguments or id or name or not event.arguments:
            return [replace(event, arguments=arguments, name=name, id=id)]
        return []

    def _name(self, kind: str, index: int, piece: str | None) -> str | None:
        """Mask names and ids, also if a server sends one in pieces that join to the key."""
        if not piece:
            return piece
        joined = self._names.get((kind, index), "") + piece
        self._names[kind, index] = joined[-max(map(len, self._forms)) * _LONGEST_ESCAPE :]
        plain = decoded(joined)
        if any(form in plain for form in self._forms) or self._key_prefix(plain) >= SUSPECT_NAME_CHARS:
            self.changed = True
            return MASK
        return piece

    def _probabilities(self, event: TokenProbabilities) -> TokenProbabilities:
        """Mask the tokens' texts. Drops the alternatives of a masked token."""
        tokens: list[TokenProbability] = []
        for token in event.tokens:
            text = self._pass("tokens", token.token)
            tokens.append(token if text == token.token else TokenProbability(text, token.logprob, ()))
        return replace(event, tokens=tuple(tokens))

    def rest(self, at: float) -> list[AnyEvent]:
        """Return the delayed text at the end of the stream. Masks also an incomplete key."""
        found: list[AnyEvent] = []
        for stream, text in self._texts.items():
            held, text.held = text.held, ""
            if held:
                self.changed = True
                shown = MASK if len(decoded(held)) >= 2 * SUSPECT_CHARS else held
                found += _event_of(stream, at, shown)
        return found

    def _pass(self, stream: _Stream, piece: str) -> str:
        text = self._texts.get(stream)
        if text is None:
            text = self._texts[stream] = _Text()
        whole = text.tail + text.held + piece
        if may_escape(whole) or self._has_start(whole):
            shown = self._suspect(text, piece)
        else:
            shown = piece
            if text.held:
                shown, text.held = text.held + piece, ""
            # 16: room for the three characters before a key's fourth, one of them as an unfinished escape.
            text.tail = whole[-16:] if "\\" in whole else whole[1 - SUSPECT_CHARS :]
        if shown == piece:
            return piece
        self.changed = True
        return shown

    def _has_start(self, text: str) -> bool:
        for start in self._starts:  # noqa: SIM110 - `any` takes twice as long, and every piece of a stream comes here
            if start in text:
                return True
        return False

    def _suspect(self, text: _Text, piece: str) -> str:
        known, coming = text.tail, text.held + piece
        plain = decoded(known + coming)
        if not any(start in plain for start in self._starts):
            text.held, text.tail = "", _last_units(known + coming, SUSPECT_CHARS - 1)
            return coming
        pattern = escaped_key if any(character in known + coming for character in "\\%&") else _plain_key
        found = pattern(self._forms).search(known + coming)
        if found is not None and found.start() < len(known) < found.end():
            # Its first characters were displayed before they could be recognized.
            coming = MASK + coming[found.end() - len(known) :]
        coming = self._without_beginnings(known, mask(coming, self._forms))
        kept = max(len(coming) - self._suspicious(known + coming), 0)
        text.held = coming[kept:]
        text.tail = _last_units(known + coming[:kept], SUSPECT_CHARS - 1)
        return coming[:kept]

    def _without_beginnings(self, known: str, coming: str) -> str:
        """Mask the beginnings of a key that something else follows, but for the characters that were displayed."""
        whole = known + coming
        for start, end in reversed(_beginnings(whole, self._heads)):
            if len(known) < end < len(whole):
                whole = whole[: max(start, len(known))] + MASK + whole[end:]
        return whole[len(known) :]

    def _suspicious(self, text: str) -> int:
        """Return how many characters at the end may be the beginning of a key, escaped or not."""
        window = text[-max(map(len, self._forms)) * _LONGEST_ESCAPE :]
        partial = _PARTIAL_ESCAPE.search(window)
        body = window[: partial.start()] if partial else window
        units = [found.group() for found in _UNIT.finditer(body)]
        plain = [decoded(unit) if len(unit) > 1 else unit for unit in units]
        length = self._key_prefix("".join(plain))
        if length < SUSPECT_CHARS:
            return 0
        taken, characters = 0, 0
        for unit, character in zip(reversed(units), reversed(plain), strict=True):
            taken += len(unit)
            characters += len(character)
            if characters >= length:
                break
        return taken + len(window) - len(body)

    def _key_prefix(self, text: str) -> int:
        """Return the length of the longest beginning of a key that ends the text."""
        longest = 0
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), longest, -1):
                if text.endswith(form[:length]):
                    longest = length
                    break
        return longest


def _last_units(text: str, count: int) -> str:
    """Return the last `count` characters, with an escape counted as one, and an unfinished escape after them."""
    window = text[-(count + 1) * _LONGEST_ESCAPE :]
    partial = _PARTIAL_ESCAPE.search(window)
    body = window[: partial.start()] if partial else window
    units = [found.group() for found in _UNIT.finditer(body)]
    return "".join(units[-count:]) + window[len(body) :]


def _event_of(stream: _Stream, at: float, text: str) -> list[AnyEvent]:
    match stream:
        case "content":
            return [ContentDelta(at, text)]
        case "reasoning":
            return [ReasoningDelta(at, text)]
        case "refusal":
            return [RefusalDelta(at, text)]
        case "tokens":
            return []  # the token is in the content too
        case _:
            return [ToolCallDelta(at, stream, None, None, text)]


class _Text:
    """The end of the text that was passed on, and the delayed text."""

    __slots__ = ("held", "tail")

    def __init__(self) -> None:
        self.held = self.tail = ""
