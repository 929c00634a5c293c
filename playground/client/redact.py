"""Masking of API keys in every text that is displayed, logged or exported, and of everything that looks like a key.

`key_readings.py` has the ways to read a text, `key_search.py` finds the parts of a key in them, `key_stream.py` does it
for a text in pieces. What is found is replaced here.

Example: `redact("It is s<b>k_9fQ2xLm7TzR4vW</b>.", "sk_9fQ2xLm7TzR4vW")` is `It is sk_…</b>.`
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from playground.client.key_readings import BESIDE, Span, decode, in_source, joined, with_backslashes
from playground.client.key_search import GRAM, LEAST_CHARS, PART_CHARS, PIECE_CHARS, KeySearch, key_forms, key_search
from playground.prompt import secret_names
from playground.prompt.field_errors import InputError
from playground.prompt.secret_names import is_generated

if TYPE_CHECKING:
    from playground.client.events import ApiError

__all__ = (
    "GRAM",
    "LEAST_CHARS",
    "MASK",
    "PIECE_CHARS",
    "KeySearch",
    "key_forms",
    "key_search",
    "key_spans",
    "known_keys",
    "mask_across",
    "mask_key",
    "masked",
    "redact",
    "redact_error",
    "redact_value",
    "refuse_key_in",
)

MASK = secret_names.MASK
_KNOWN_FORM = re.compile(r"sk(?:(?<=\bsk)|(?<=\\[nrt]sk))[_-][A-Za-z0-9_\-]{12,}")
"""`sk_…` or `sk-…` at the beginning of a word, also behind an escape in JSON, as in `\\nsk_…`."""
_TOKEN = re.compile(r'(?:[^\s"\\,:\[\]{}]|\\+(?!["\\]))+')


def redact(text: str, key: str | None) -> str:
    """Mask this key, and everything that looks like a key, in a whole text. Escaped characters count as the character.

    `key`: one key, or several, one per line. JSON stays JSON.
    """
    return masked(text, key_spans(text, key))


def mask_key(text: str, key: str | None, least: int = PART_CHARS) -> str:
    """Mask this key only: in a piece of a text, `sk_` may be the end of `disk_`. `least`: PIECE_CHARS masks shorter
    parts, too, for texts of which other parts may be elsewhere."""
    return masked(text, key_search(key).spans(text, least))


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
        return _TOKEN.sub(lambda found: _mask_of(found[0]) if BESIDE.fullmatch(found[0]) is None else found[0], secret)
    return MASK if re.search("[^0-9, \r\n]", secret) else re.sub("[0-9]+", "0", secret)


def key_spans(text: str, key: str | None) -> list[Span]:
    """Return the places of these keys, their parts, and texts that look like a key."""
    search = key_search(key)
    decoded = decode(text)
    spans = search.spans_in(text, *decoded)
    if spans:
        decoded = decode(_replaced(text, spans, lambda secret: "…" * len(secret)))
    plain, layers = decoded
    found = [one.span() for one in _known(plain)]
    return joined(spans + with_backslashes(text, in_source(found, layers))) if found else spans


def known_keys(text: str) -> list[str]:
    """Return what looks like a key in a whole text."""
    return [one[0] for one in _known(decode(text)[0])]


def _known(plain: str) -> list[re.Match[str]]:
    return [one for one in _KNOWN_FORM.finditer(plain) if is_generated(one[0])] if "sk" in plain else []


def mask_across(texts: list[str], key: str | None, between: str = "", rest: str = MASK) -> list[str]:
    """Mask a key that several texts have in pieces, one after another. Returns `texts` itself if there is none.
    `between`: what separates the texts. `rest`: the text in place of the pieces behind the first one."""
    spans = key_search(key).spans(between.join(texts))
    if not spans:
        return texts
    ends = list(accumulate(len(text) + len(between) for text in texts))
    shown = list(texts)
    for start, end in reversed(spans):
        for place in range(bisect_right(ends, start), bisect_left(ends, end) + 1):
            begin = ends[place] - len(between) - len(texts[place])
            text, mask = shown[place], (MASK if begin <= start else rest) if texts[place] else ""
            shown[place] = text[: max(start - begin, 0)] + mask + text[end - begin :]
    return shown


def refuse_key_in(body: bytes, key: str, others: Sequence[str] = ()) -> None:
    """Raise InputError if a prompt contains the key or one of `others`: the model could repeat it, and it would be
    logged."""
    if any(form.encode() in body for form in key_forms(key)):
        raise InputError.of(
            ("messages",),
            "the prompt has this endpoint's API key in it; nothing was sent.",
            "Take it out: the key is sent as a header, by itself.",
        )
    if any(form.encode() in body for form in key_forms("\n".join(others))):
        message = "the prompt has the API key of another endpoint in it; nothing was sent."
        raise InputError.of(("messages",), message, "Take it out: the model could repeat it.")


def redact_error(error: ApiError, key: str | None) -> ApiError:
    """Return the error with the key masked in all of its texts."""
    names = ("title", "detail", "advice", "error_type", "code", "details", "body_request_id", "body")
    return replace(error, **{name: redact_value(getattr(error, name), key) for name in names})


def redact_value(value: Any, key: str | None, mask: Callable[[str, str | None], str] = redact) -> Any:
    """Return a JSON value with its texts and names masked; by default this key and what looks like a key."""
    if isinstance(value, str):
        return mask(value, key)
    if isinstance(value, list | tuple):
        return type(value)(redact_value(item, key, mask) for item in value)
    if isinstance(value, dict):
        return {mask(name, key): redact_value(item, key, mask) for name, item in value.items()}
    return value
