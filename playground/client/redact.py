"""A key never reaches what is shown, logged or exported."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec.structs import replace

if TYPE_CHECKING:
    from playground.client.events import ApiError

_LOOKS_LIKE_A_KEY = re.compile(r"\bsk[_-][A-Za-z0-9_\-]{8,}")
MASK = "sk_…"
LEAST_BASE64 = 10
LEAST_CHARS = 8
"""A shorter "key" is a word that a local server ignores (x, none, EMPTY, ollama): masking it would garble the text."""


def redact(text: str, key: str | None) -> str:
    """`text` with this key, and anything that looks like a key, masked."""
    return _LOOKS_LIKE_A_KEY.sub(MASK, mask(text, key_forms(key)))


def key_forms(key: str | None) -> tuple[str, ...]:
    """How a key may stand in a text: as it is, escaped as in JSON, quoted as in a URL, within something in base64."""
    if not key or len(key) < LEAST_CHARS:
        return ()
    escaped = json.dumps(key)[1:-1]
    forms = (key, escaped, escaped.replace("/", "\\/"), quote(key, safe=""), *_in_base64(key.encode()))
    return tuple(dict.fromkeys(forms))


def _in_base64(key: bytes) -> Iterator[str]:
    """The part of the key that stands in base64 whatever is before and after it, for each place it may begin at."""
    for before in range(3):
        encoded = b64encode(bytes(before) + key).decode("ascii")
        # The first characters hold bits of what is before, the last ones of what comes after.
        whole = encoded[-(-before * 8 // 6) : (before + len(key)) * 8 // 6]
        if len(whole) >= LEAST_BASE64:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


def mask(text: str, forms: tuple[str, ...]) -> str:
    """`text` with these forms of a key masked."""
    for form in forms:
        text = text.replace(form, MASK)
    return text


def redact_trouble(trouble: ApiError, key: str | None) -> ApiError:
    """The trouble with the key masked in every text that it holds."""
    return replace(
        trouble,
        title=redact(trouble.title, key),
        detail=redact(trouble.detail, key),
        advice=redact(trouble.advice, key),
        error_type=_maybe(trouble.error_type, key),
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
