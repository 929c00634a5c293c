"""Damaged files of endpoints, settings or drafts: what can still be read of them; copies without passwords and keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import FORMAT_KEY, FORMAT_VERSION, load
from playground.prompt.json_text import JsonBoundsError, check_depth, encoding_of, loads
from playground.storage.paths import write_private

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


_MAY_END_IN_SECRET = re.compile(
    r"(?i)://|@|sk[_-]|\\|[=\0]|key|token|secret|pass|pwd|auth|credential|cookie|bearer|\d{6}| -[pk]\s"
)
_ESCAPE = re.compile(
    r"(?<!\\)\\u(0[1-9a-fA-F][0-9a-fA-F]{2}|00[89a-fA-F][0-9a-fA-F]|[1-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})"
)
"""A letter that is no ASCII, as in the name `has\\u0142o`."""
_PIECE = re.compile(r'"(?P<string>(?:[^"\\]|\\.)*+)(?P<end>"|\\?$)|[^"]+', re.DOTALL)
"""A JSON string, which may be cut, or the text between two strings."""
_ADDRESSES = frozenset(("base_url", "otel_collector"))
_NO_SECRETS = frozenset(("needs_key",))
_NAME = re.compile(r'"([^"\\]+)"\s*:\s*$')
_NAME_CHARS = 200
_UP_TO_USER = re.compile(
    r"(?:(?<=://)|(?<![^\s\"'\[{(=,])(?![^\s\"']{0,64}://))[^\s\"':/@]{0,256}:[^\s\"']{1,512}@|(?<=://)[^\s/?#@\"']{1,512}@"
)
"""User and password, also of text that is no address, and with a slash in the password."""
_QUERY = re.compile(r"(?<=://)([^\s\"'?#;]{1,2048}[?#;])[^\s\"']+")
_SEGMENT = re.compile(r"(?<=/)[^/?#;\s\"']{8,}")
"""An address with a query, fragment or parameters; and a long segment of a path."""
_WORD = re.compile(r"(?<![\w$])[^\W\d][\w.-]{0,63}")
"""A name, such as that of a member or an option."""
_VALUE = re.compile(
    r"[\\\"'\]\0]{0,4}[ \t\0]{0,8}(?:=>|[:=,\s\0])[\s\0]{0,64}(?:[\[{\-][\s\0]{0,64}){0,3}"
    r"(?:[\\\"']{0,4}(?:value|values|val)[\\\"']{0,4}[ \t\0]{0,8}[:=][\s\0]{0,8}[\[\s]{0,8})?"
    r"(?:(?P<quote>\\{0,4}[\"'])(?P<quoted>(?:\\u[0-9a-fA-F]{4}|(?!(?P=quote))[^\n]){0,4096})|"
    r"(?P<bare>(?:(?:bearer|basic|token|apikey)\s{1,4})?[^\s\"',;}\]\[{(]{1,4096}))",
    re.IGNORECASE,
)
"""What follows a name: also without quotation marks, as an option, a pair, or in a list or object."""
_SCHEME = re.compile(r"(?i)((?<!\w)(?:bearer|basic)[\s\0]{1,4}|(?<!\S)-[pk]\s{1,4})([^\s\"'\\]{6,4096})")
"""Credentials after Bearer, Basic, -p or -k."""
_GENERATED = re.compile(r"[A-Za-z0-9_+=~.-]{16,}")
_OWN_ID = re.compile(r'"id": "[0-9a-f]{32}"')
"""The id of an endpoint, by which the key store knows its key."""
_BEFORE_ID, _ID_DIGITS, _ID_LINE_CHARS = '"id": "', 29, 44
"""The same in a line of its own, in which some characters are damaged: at most one of those before the id."""
_NO_VALUE = re.compile(r"(?i)(?:true|false|null|none|~|[:=,|>-]+|\d{1,5}|value|name)?")
_END = re.compile(r"(?:(?<=://)[^\s\"']+|(?<![^\s\"':=,\[{])[^\s\"':=,}\]]{4,})\Z")
"""The last word of a file that is cut may be the beginning of a key, or of a user and password."""
_ESCAPED_MASK = r"sk_\u2026"
"""The mask in ASCII, which each encoding has."""
_UNIT_BYTES = {"utf-16": 2, "utf-32": 4}


def without_secrets(data: bytes) -> bytes:
    """Return a file of settings or endpoints with its passwords and keys masked, also one that is not JSON."""
    encoding = encoding_of(data)
    unit = _UNIT_BYTES.get(encoding[:6], 1)
    end = len(data) - len(data) % unit
    errors = "surrogateescape" if unit == 1 else "surrogatepass"
    try:
        text = data[:end].decode(encoding, errors)
    except UnicodeDecodeError:
        encoding, end = "latin-1", len(data)  # each byte is a character
        text = data.decode(encoding)
    masked = _masked(text).replace("sk_\u2026", _ESCAPED_MASK)
    if masked == text:
        return data
    return masked.encode(encoding, "replace" if encoding == "latin-1" else errors) + data[end:]


def _masked(text: str) -> str:
    """Mask by the rules for text in any case: the file may be no JSON. In doubt a value is masked."""
    # Imported here, and below: most starts find no damaged file.
    from playground.client.credentials import secrets_of
    from playground.client.redact import redact

    with suppress(ValueError, RecursionError):
        value = json.loads(text.removeprefix("\ufeff"), strict=False)
        masked = _PIECE.sub(_masked_piece, redact(text, "\n".join(dict.fromkeys(secrets_of(value)))))
        return _SCHEME.sub(_masked_scheme, _masked_under_names(masked))
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    masked = _GENERATED.sub(_masked_generated, _masked_forms(redact(plain, None)))
    masked = _SCHEME.sub(_masked_scheme, _masked_under_names(masked))
    if _MAY_END_IN_SECRET.search(plain):
        masked = _END.sub(_masked_end, masked)
    return text if masked == plain else masked


def _masked_scheme(found: re.Match[str]) -> str:
    return f"{found[1]}{_mask(found[2])}"


def _masked_end(found: re.Match[str]) -> str:
    # Imported here: most starts find no damaged file.
    from playground.storage.endpoints import member_names
    from playground.storage.settings import SETTINGS

    begins = found.start() > 0 and found.string[found.start() - 1] == '"'
    names = (*member_names(), *(setting.name for setting in SETTINGS))
    is_name = begins and any(name.startswith(found[0]) for name in names)
    return found[0] if is_name else _mask(found[0])


def _mask(value: str) -> str:
    from playground.client.redact import MASK

    return value if MASK in value or _ESCAPED_MASK in value else MASK


def _masked_forms(text: str) -> str:
    from playground.prompt.secret_texts import masked_secrets

    # The patterns take seconds for a long text without what each match has.
    if "@" in text:
        text = _UP_TO_USER.sub(lambda found: f"{_mask(found[0].removesuffix('@'))}@", text)
    if "://" in text:
        text = _QUERY.sub(lambda found: f"{found[1]}{_mask('')}", text)
    return masked_secrets(text)


def _masked_generated(found: re.Match[str]) -> str:
    from playground.prompt.secret_names import looks_random

    return found[0] if _is_own_id(found) or not looks_random(found[0]) else _mask(found[0])


def _is_own_id(found: re.Match[str]) -> bool:
    if _OWN_ID.match(found.string, max(found.start() - len(_BEFORE_ID), 0)):
        return True
    begin = found.string.rfind("\n", 0, found.start()) + 1
    end = found.string.find("\n", begin)
    line = found.string[begin : None if end < 0 else end].strip()
    same = sum(one == other for one, other in zip(line, _BEFORE_ID, strict=False))
    digits = sum(char in "0123456789abcdef" for char in line[len(_BEFORE_ID) :])
    return len(line) <= _ID_LINE_CHARS and same >= len(_BEFORE_ID) - 1 and digits >= _ID_DIGITS


def _masked_under_names(text: str) -> str:
    from playground.prompt.secret_names import is_secret

    pieces, done = [], 0
    for word in _WORD.finditer(text):
        name = word[0].strip(".-")
        if word.end() < done or name in _NO_SECRETS or not is_secret(name):
            continue
        found = _VALUE.match(text, word.end())
        if found is None:
            continue
        kind = "bare" if found["quoted"] is None else "quoted"
        if not _NO_VALUE.fullmatch(found[kind]):
            start, end = found.span(kind)
            pieces += [text[done:start], "0" if kind == "bare" and found[kind].isdigit() else _mask(found[kind])]
            done = end
    return "".join((*pieces, text[done:]))


def _masked_piece(piece: re.Match[str]) -> str:
    from playground.prompt.secret_names import looks_random

    if piece["string"] is None:
        return _masked_forms(piece[0])
    try:
        value = json.loads(f'"{piece["string"]}"', strict=False)
    except ValueError:
        value = piece["string"]
    masked = _masked_forms(value)
    before = _NAME.search(piece.string, max(0, piece.start() - _NAME_CHARS), piece.start())
    if before and before[1] in _ADDRESSES:
        masked = _SEGMENT.sub(lambda found: _mask(found[0]) if looks_random(found[0]) else found[0], masked)
    return piece[0] if masked == value else f'"{json.dumps(masked)[1:-1]}{piece["end"]}'


def set_aside_without_secrets(path: Path, aside: Path, data: bytes) -> None:
    """Move a file to the free name `aside`, with its secrets masked. Raises OSError; the file is then unchanged."""
    masked = without_secrets(data)
    if masked == data:
        path.rename(aside)
    else:
        write_private(aside, masked)
        path.unlink()


def clean_copies(copies: Iterable[Path]) -> str:
    """Mask the secrets in files that earlier versions set aside. Returns why that failed, as a sentence."""
    for aside in copies:
        try:
            data = aside.read_bytes() if aside.is_file() else b""
            masked = without_secrets(data)
            if masked != data:
                write_private(aside, masked)
        except OSError as error:
            reason = error.strerror or error
            return f"{aside.name} has a password or key in it, and cannot be changed: {reason}. Delete it."
    return ""
