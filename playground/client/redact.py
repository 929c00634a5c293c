"""Masking of the API key in every text that is displayed, logged or exported."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec.structs import replace

if TYPE_CHECKING:
    from playground.client.events import ApiError

MASK = "sk_…"
LEAST_BASE64 = 10
LEAST_CHARS = 8
"""A shorter "key" is a placeholder that local servers ignore (x, none, EMPTY, ollama): masking it would garble text."""

_LOOKS_LIKE_A_KEY = re.compile(r"\bsk[_-][A-Za-z0-9_\-]{8,}")
_BACKSLASHES = r"(?:\\u005[cC]|\\){1,32}"
# Bounded, and `(?<!\\)` below: a long run of backslashes must not cost quadratic time.
_MAY_ESCAPE = re.compile(r"\\[ux/\\]|%[0-9a-fA-F]{2}|&#")
_ESCAPE = re.compile(
    r"(?<!\\)\\++(?:u00([0-9a-fA-F]{2})|x([0-9a-fA-F]{2})|(/))"
    r"|%([0-9a-fA-F]{2})|&#[xX]0*([0-9a-fA-F]{2});|&#0*([0-9]{2,3});"
)
_NESTED = 4


def redact(text: str, key: str | None) -> str:
    """Mask this key, and everything that looks like a key, in `text`. Escaped characters count as the character."""
    text = _LOOKS_LIKE_A_KEY.sub(MASK, mask(text, key_forms(key)))
    if may_escape(text) and _LOOKS_LIKE_A_KEY.search(decoded(text)):
        return _escaped_look().sub(MASK, text)
    return text


@lru_cache(maxsize=64)
def key_forms(key: str | None) -> tuple[str, ...]:
    """Return the forms of a key in texts: plain, escaped as in JSON, quoted as in a URL, in hex, inside base64."""
    if not key or len(key) < LEAST_CHARS:
        return ()
    escaped = json.dumps(key)[1:-1]
    in_hex = key.encode().hex()
    in_url = quote(key, safe="")
    forms = (key, escaped, escaped.replace("/", "\\/"), in_url, in_hex, in_hex.upper(), *_in_base64(key.encode()))
    return tuple(dict.fromkeys(forms))


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
        text = text.replace(form, MASK)
    if may_escape(text) and _has_form(decoded(text), forms):
        text = escaped_key(forms).sub(MASK, text)
        plain = decoded(text)
        if _has_form(plain, forms):  # an escape that the pattern does not know
            return mask(plain, forms)
    return text


def may_escape(text: str) -> bool:
    """Return whether the text may have escapes that `decoded` replaces. Fast for text without any."""
    return ("\\" in text or "%" in text or "&#" in text) and _MAY_ESCAPE.search(text) is not None


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
    code = int(html_decimal) if html_decimal else int(json_hex or x_hex or url_hex or html_hex, 16)
    return chr(code) if code < 128 else found.group()


@lru_cache(maxsize=16)
def escaped_key(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for these forms with each character plain or escaped."""
    return re.compile("|".join("".join(map(_spellings, form)) for form in forms))


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


def redact_trouble(trouble: ApiError, key: str | None) -> ApiError:
    """Return the error with the key masked in all of its texts."""
    return replace(
        trouble,
        title=redact(trouble.title, key),
        detail=redact(trouble.detail, key),
        advice=redact(trouble.advice, key),
        error_type=_maybe(trouble.error_type, key),
        code=_maybe(trouble.code, key),
        details=tuple({redact(k, key): _deep(v, key) for k, v in item.items()} for item in trouble.details),
        body_request_id=_maybe(trouble.body_request_id, key),
        body=redact(trouble.body, key),
    )


def _maybe(text: str | None, key: str | None) -> str | None:
    return None if text is None else redact(text, key)


def _deep(value: object, key: str | None) -> object:
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, list):
        return [_deep(item, key) for item in value]
    if isinstance(value, dict):
        return {redact(name, key): _deep(item, key) for name, item in value.items()}
    return value
