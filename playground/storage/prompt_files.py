"""Prompt files on disk: content, digest, changes, and whether two paths name the same file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from playground import asset
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.prompt.files import MAX_FILE_BYTES, identified, parse_bytes
from playground.prompt.json_text import loads
from playground.storage.json_file import read_regular

MAX_FIRST_LINE_BYTES = 4_000_000
"""The first line of a JSON lines file is read up to this size to see whether it is a request."""


def sample_document(name: str = "acme-phone-agent") -> Document:
    """Return a shipped prompt; by default the voice agent of a first start."""
    return parse_bytes(asset(f"prompts/{name}.prompt.json").read_bytes()).document


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    import hashlib  # loads OpenSSL, which the first frame does not need

    return hashlib.sha256(data).hexdigest()


def is_log(path: Path) -> bool:
    """Return whether a file is imported into the request log when it is opened, and not opened as a prompt."""
    return path.suffix.lower() in (".har", ".jsonl")


def has_requests(path: Path) -> bool:
    """Return whether the first line is a request body, or a line of an OpenAI batch input file."""
    try:
        value = loads(read_regular(path, MAX_FIRST_LINE_BYTES).partition(b"\n")[0])
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and (isinstance(value.get("messages"), list) or "custom_id" in value)


def content_of(path: Path, *, compared: bool = False) -> tuple[str, Document | None]:
    """Return the digest of a file, and its prompt unless it was `compared` already. Raises OSError."""
    data = read_regular(path, MAX_FILE_BYTES)
    try:
        return digest_of(data), None if compared else identified(parse_bytes(data).document)
    except InputError:
        return digest_of(data), None


def absolute_and_open(path: Path, open_paths: Sequence[Path | None]) -> tuple[Path, Path | None]:
    """Return the absolute path, and the path by which the same file, perhaps through a link, is open in a tab."""
    path = path.absolute()
    real = os.path.realpath(path)
    return path, next((other for other in open_paths if other is not None and os.path.realpath(other) == real), None)


def changed_digest(path: Path, known: str | None) -> str | None:
    """Return the digest of the file on disk if it is not `known`. None: unchanged, missing or not to be checked.

    Raises OSError if the file cannot be read.
    """
    if known is None:
        return None
    try:
        found = digest_of(read_regular(path, MAX_FILE_BYTES))
    except FileNotFoundError:
        return None
    return None if found == known else found


def bytes_or_none(path: Path | None) -> bytes | None:
    """Return the content of the prompt's file; None if there is none or it cannot be read."""
    try:
        return None if path is None else read_regular(path, MAX_FILE_BYTES)
    except OSError:
        return None
