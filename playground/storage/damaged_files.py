"""Damaged files of settings and endpoints that were set aside: kept without the passwords and keys in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playground.storage.paths import write_private

_MAY_HAVE_SECRET = re.compile(r"(?i)://|@|sk[_-]|\\|key|token|secret|passw|auth|credential")
_PIECE = re.compile(r'"(?P<string>(?:[^"\\]|\\.)*+)(?P<end>"|\\?$)|[^"]+', re.DOTALL)
_NAME = re.compile(r'"([^"\\]+)"\s*:\s*$')
_NAME_CHARS = 200
_ADDRESSES = frozenset(("base_url", "otel_collector"))
_NO_SECRETS = frozenset(("needs_key",))
_UP_TO_USER = re.compile(r"(?:(?<=://)|(?<!\S)(?!\S*://))\S*:\S*@|(?<=://)[^\s/?#@]*@")
"""User and password, also of text that is no address, and with a slash in the password."""
_QUERY = re.compile(r"([?#;])\S.*", re.DOTALL)
_SEGMENT = re.compile(r"(?<=/)[^/?#;\s]{8,}")
_UNIT_BYTES = {"utf-16": 2, "utf-32": 4}


def without_secrets(data: bytes) -> bytes:
    """Return a file of settings or endpoints with its passwords and keys masked, also one that is not JSON."""
    encoding: str = json.detect_encoding(data)
    unit = _UNIT_BYTES.get(encoding[:6], 1)
    end = len(data) - len(data) % unit
    errors = "surrogateescape" if unit == 1 else "surrogatepass"
    try:
        text = data[:end].decode(encoding, errors)
    except UnicodeDecodeError:
        encoding, end = "latin-1", len(data)  # each byte is a character
        text = data.decode(encoding)
    if not _MAY_HAVE_SECRET.search(text):
        return data
    masked = _PIECE.sub(_masked_piece, text)
    if masked == text:
        return data
    return masked.encode(encoding, "replace" if encoding == "latin-1" else errors) + data[end:]


def _masked_piece(piece: re.Match[str]) -> str:
    # Imported here, and below: most starts find no damaged file.
    from playground.client.credentials import masked_address
    from playground.client.redact import redact

    if piece["string"] is None:
        return masked_address(redact(piece[0], None))
    try:
        value = json.loads(f'"{piece["string"]}"', strict=False)
    except ValueError:
        value = piece["string"]
    before = _NAME.search(piece.string, max(0, piece.start() - _NAME_CHARS), piece.start())
    masked = _masked_value(before[1] if before else "", value)
    return piece[0] if masked == value else f'"{json.dumps(masked)[1:-1]}{piece["end"]}'


def _masked_value(name: str, value: str) -> str:
    from playground.client.credentials import masked_address
    from playground.client.redact import MASK, redact
    from playground.prompt.secret_names import is_secret, looks_random

    if name in _ADDRESSES:
        value = _UP_TO_USER.sub(f"{MASK}@", value)
        value = _QUERY.sub(lambda found: found[1] + MASK, value)
        value = _SEGMENT.sub(lambda found: MASK if looks_random(found[0]) else found[0], value)
    elif value and is_secret(name) and name not in _NO_SECRETS:
        return MASK
    return masked_address(redact(value, None))


def set_aside_without_secrets(path: Path, aside: Path, data: bytes) -> None:
    """Move a file to the free name `aside`, with its secrets masked. Raises OSError; the file is then unchanged."""
    masked = without_secrets(data)
    if masked == data:
        path.rename(aside)
    else:
        write_private(aside, masked)
        path.unlink()


def clean_set_aside(path: Path) -> str:
    """Mask the secrets in what earlier versions set aside of this file. Returns why that failed, as a sentence."""
    for aside in path.parent.glob(f"{path.stem}.damaged*{path.suffix}"):
        try:
            data = aside.read_bytes() if aside.is_file() else b""
            masked = without_secrets(data)
            if masked != data:
                write_private(aside, masked)
        except OSError as error:
            reason = error.strerror or error
            return f"{aside.name} has a password or key in it, and cannot be changed: {reason}. Delete it."
    return ""
