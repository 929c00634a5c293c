"""Text in UTF-8, UTF-16 or UTF-32."""

from __future__ import annotations

import json

_LEAST_ZEROS = 16
"""A text of wide characters without a byte-order mark has a zero in so many bytes, or it is one with a damaged byte."""


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text: UTF-8, or UTF-16 or UTF-32 by its byte-order mark or its zeros."""
    encoding: str = json.detect_encoding(data)
    by_zeros = encoding.endswith(("-le", "-be"))
    return "utf-8" if by_zeros and data.count(0) * _LEAST_ZEROS < len(data) else encoding


def as_utf8(data: bytes) -> bytes:
    """Return a text in UTF-16 or UTF-32 as UTF-8; any other data unchanged.

    Recognizes a byte-order mark, and the zeros beside the first characters if these are ASCII.
    """
    encoding = encoding_of(data)
    if not encoding.startswith(("utf-16", "utf-32")):
        return data
    try:
        return data.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data
