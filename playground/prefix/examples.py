"""Where a JSON schema gives examples and formats: what stands there is the same in every request."""

from __future__ import annotations

import json
import re

_KEYS = re.compile(r'(?<!\\)"(?:examples?|default|const|enum|format|pattern|\$id|\$schema|\$ref)"\s*:\s*')
_ESCAPE = re.compile(r"\\(?:[nrtbf\"/\\])")
_DECODER = json.JSONDecoder()


def example_ranges(json_text: str) -> tuple[tuple[int, int], ...]:
    """Code points [start, end) of the values of such keys, in order."""
    found: list[tuple[int, int]] = []
    for key in _KEYS.finditer(json_text):
        if found and key.start() < found[-1][1]:
            continue
        try:
            _, end = _DECODER.raw_decode(json_text, key.end())
        except (ValueError, RecursionError):
            continue
        found.append((key.end(), end))
    return tuple(found)


def unescaped(json_text: str) -> str:
    """The text with two spaces for each short escape: as long as before, and `\\nToday` begins with a word again."""
    return _ESCAPE.sub("  ", json_text) if "\\" in json_text else json_text
