"""Text files in UTF-16 and UTF-32, as editors and shells of Windows write them, read as UTF-8."""

from __future__ import annotations

import json


def as_utf8(data: bytes) -> bytes:
    """Return a text in UTF-16 or UTF-32 as UTF-8; any other data unchanged.

    Recognizes a byte-order mark, and the zeros beside the first characters if these are ASCII.
    """
    encoding = json.detect_encoding(data)
    if not encoding.startswith(("utf-16", "utf-32")):
        return data
    try:
        return data.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data
