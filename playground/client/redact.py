"""A key never reaches what is shown, logged or exported."""

from __future__ import annotations

import re

_LOOKS_LIKE_A_KEY = re.compile(r"\bsk[_-][A-Za-z0-9_\-]{8,}")
MASK = "sk_…"


def redact(text: str, key: str | None) -> str:
    """`text` with this key, and anything that looks like a key, masked."""
    if key:
        text = text.replace(key, MASK)
    return _LOOKS_LIKE_A_KEY.sub(MASK, text)
