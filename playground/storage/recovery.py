"""What can still be read of a damaged file of endpoints, settings or drafts: its rows, one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import FORMAT_KEY, FORMAT_VERSION, load
from playground.prompt.json_text import JsonBoundsError, check_depth, encoding_of, loads

_MOST_FAILURES = 2_000
"""Number of objects that are not a row, or cannot be read, after which the rest of the file is not read."""
_MOST_CHARS = 4 * 1024 * 1024
_ENTRY = re.compile(r'[\s,{]*"')
_TABLE_END = re.compile(r"[\s,]*}")
_COLON = re.compile(r"\s*:\s*")
_AFTER = re.compile(r"\s*[,}]")
_UNDECODED = re.compile("[\udc80-\udcff]")
_DECODER = json.JSONDecoder()


def text_of(data: bytes) -> str:
    """Return a damaged file's text. Bytes that its encoding does not allow are lone surrogates."""
    encoding = encoding_of(data)
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    return data.decode(encoding, errors)[:_MOST_CHARS]


def with_read_names(text: str, names: Iterable[str]) -> str:
    """Return a text in which bytes that UTF-8 does not allow are read as Latin-1 within the values of these members.

    An editor may have saved the file so. Elsewhere such a byte stays: it may be in an address, or be damage.
    """
    value = re.compile(rf'"(?:{"|".join(map(re.escape, names))})"\s*:\s*"(?:[^"\\]|\\.)*+"')
    return value.sub(lambda found: _UNDECODED.sub(_latin_1, found[0]), text)


def _latin_1(found: re.Match[str]) -> str:
    char = chr(ord(found[0]) - 0xDC00)
    return char if char.isprintable() else "\ufffd"


def rows(text: str, *, keys: Iterable[str], names: Iterable[str]) -> list[Json]:
    """Return the objects in a text that have all `keys`, in their order. Cut or damaged ones are left out.

    `names`: all members that they may have. The first one is one of these.
    """
    found: list[Json] = []
    at = failures = 0
    wanted = frozenset(keys)
    begins = re.compile(rf'\{{\s*"(?:{"|".join(map(re.escape, names))})"')
    while failures < _MOST_FAILURES and (begun := begins.search(text, at)):
        value, end = _value_at(text, begun.start())
        if end is not None and isinstance(value, dict) and wanted <= value.keys():
            found.append(value)
            at = end
        else:
            failures += 1
            at = begun.end()  # an object in it may be one: the damage is in a name around it
    return found


def members(text: str, names: Iterable[str], tables: Iterable[str]) -> dict[str, Json]:
    """Return the members with these names. Of a damaged member in `tables`, a table of texts, the intact entries.

    An object is a value of those in `tables` only.
    """
    begins = re.compile(rf'"({"|".join(map(re.escape, names))})"\s*:\s*')
    of_texts, found, at, failures = frozenset(tables), dict[str, Json](), 0, 0
    while failures < _MOST_FAILURES and (member := begins.search(text, at)):
        name, at = member[1], member.end()
        value, end = _value_at(text, at)
        has_type = name in of_texts or not isinstance(value, dict)
        if end is not None and _AFTER.match(text, end) and has_type:
            found[name], at = value, end
            continue
        failures += 1
        if name in of_texts:
            entries, at = _entries(text, at, begins)
            found.setdefault(name, entries)
    return found


_PROMPT = re.compile(r'(?<!"saved": )(?<!"stream_options": )(?<!\\)"\{(?:[^"\\]|\\.)*+"?', re.DOTALL)
_CUT_MESSAGE = re.compile(r'\{\s*"role":\s*"(\w+)",\s*"content":\s*("(?:[^"\\]|\\.)*+\\?)\Z', re.DOTALL)
_CUT_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?\Z")


def prompts(data: bytes) -> list[str]:
    """Return the prompt files in a damaged draft, each with its whole messages and the readable part of a cut one."""
    found = []
    for match in _PROMPT.finditer(_UNDECODED.sub("\ufffd", text_of(data))):
        prompt = _string(match[0])
        try:
            prompt = prompt if (read := load(prompt)).messages or read.tools else ""
        except InputError:
            prompt = _readable_part(prompt)
        if prompt:
            found.append(prompt)
    return found


def _readable_part(prompt: str) -> str:
    """Return the readable part of a prompt file; empty without any message."""
    messages = rows(prompt, keys=("role", "content"), names=("role",))
    if cut := _CUT_MESSAGE.search(prompt):
        messages.append({"role": cut[1], "content": _string(cut[2])})
    kept = members(prompt, ("tools", "variables", "parameters"), ("variables", "parameters"))
    for fields in (kept, {}) if messages else ():
        text = json.dumps({FORMAT_KEY: FORMAT_VERSION, **fields, "messages": messages})
        with suppress(InputError):
            load(text)
            return text
    return ""


def _string(text: str) -> str:
    """Return the value of a JSON string, of which the end may be cut."""
    whole = text if text.endswith('"') and len(text) > 1 else _CUT_ESCAPE.sub(r"\1", text) + '"'
    try:
        return str(json.loads(whole, strict=False))
    except ValueError:
        return ""


def _entries(text: str, at: int, begins: re.Pattern[str]) -> tuple[dict[str, Json], int]:
    """Return the entries of a table of texts from `at` without damaged lines, and the offset of the table's end."""
    found: dict[str, Json] = {}
    while entry := _next_entry(text, at, begins):
        name, end = _value_at(text, entry.end() - 1)
        colon = _COLON.match(text, end) if end is not None else None
        value, end = _value_at(text, colon.end()) if colon else (None, None)
        if end is None or not _AFTER.match(text, end):
            line = text.find("\n", entry.end())
            if line < 0:
                break
            at = line + 1
            continue
        found[str(name)] = value
        at = end
    return found, at


def _next_entry(text: str, at: int, begins: re.Pattern[str]) -> re.Match[str] | None:
    """Return the beginning of the next entry of a table, after what is damaged; None at the table's end."""
    entry = _ENTRY.match(text, at)
    if entry is None and not _TABLE_END.match(text, at) and (quote := text.find('"', at)) >= 0:
        entry = _ENTRY.match(text, quote)
    return None if entry is None or begins.match(text, entry.end() - 1) else entry


def _value_at(text: str, at: int) -> tuple[Json, int | None]:
    """Return the JSON value that begins at `at`, and its end; None as the end if it is damaged or out of bounds."""
    try:
        _, end = _DECODER.raw_decode(text, at)
        piece = text[at:end]
        if _UNDECODED.search(piece):
            return None, None
        check_depth(piece)
        return loads(piece, finite=False), end
    except (ValueError, JsonBoundsError, RecursionError):
        return None, None
