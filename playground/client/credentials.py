"""Credentials in a request's address, headers and body, and response headers without theirs."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from playground.client import tolerant_json
from playground.client.redact import LEAST_CHARS, MASK, PIECE_CHARS, mask_across, mask_key, redact
from playground.prompt.secret_names import TABLES, is_placeholder, is_secret
from playground.prompt.secret_texts import masked_secrets, secrets_in, secrets_of_arguments
from playground.prompt.secret_values import (
    COOKIES,
    LONG_CHARS,
    addresses_in,
    has_digit,
    is_literal,
    is_ordinary,
    is_value,
    of_field,
)

MAX_CREDENTIALS = 64
"""Credentials of a request that are masked; each costs a search of the bodies. A private key has up to 52 lines."""
LEFT_OUT = frozenset(("authorization", "proxy-authorization", "set-cookie", "cookie"))
"""Response headers that are not stored."""
_DEEPEST = 16


def credentials(
    target: str, headers: Iterable[tuple[str, str]], added: str | None = None, body: bytes = b""
) -> str | None:
    """Return every credential of a request, one per line, for `redact`. None: there is none.

    Values whose names speak of a secret, whole and in their parts: after a scheme, of a list, as `name=value`, user and
    password of Basic and of an address. Values whose names may speak of one, if they look random.

    Args:
        target: the address, or path and query.
        added: a key that is sent in addition.
        body: a JSON object, of which everything but the messages is searched.
    """
    found = dict.fromkeys([added] if added else [])
    cookies: list[str] = []
    for name, value in headers:
        if name.lower() in COOKIES:
            cookies += of_field(name, value)
        else:
            found.update(dict.fromkeys((*of_field(name, value), *secrets_in(value))))
    found.update(dict.fromkeys(_of_target(target)))
    if body:
        found.update(dict.fromkeys(_of_body(body)))
    # A browser sends many cookies: they must not take the places of keys.
    found.update(dict.fromkeys(cookies))
    usable = [one for one in found if one == added or (len(one) >= LEAST_CHARS and not is_placeholder(one))]
    return "\n".join(usable[:MAX_CREDENTIALS]) or None


def _of_target(target: str) -> Iterator[str]:
    for found in addresses_in(target, is_target=True):
        yield from found.values


# --- the body

_TEXTS = frozenset(("input", "instructions", "prompt", "system", "contents"))
"""Parameters of other APIs that hold the conversation: only fields in them are searched, not their texts."""
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _of_body(body: bytes) -> Iterator[str]:
    """Yield secrets among the parameters: `api_key`, headers that a gateway adds, settings of an MCP server."""
    encoding = json.detect_encoding(body)
    if encoding not in ("utf-8", "utf-8-sig"):
        body = body.decode(encoding, "replace").encode("utf-8", "replace")
    body = body.removeprefix(codecs.BOM_UTF8)
    rest, is_whole = body, True
    try:
        members = _members.decode(body)
    except (ValueError, RecursionError):
        # NaN, lone surrogates: servers read them. Several objects, a cut one, or one that is nested too deeply.
        is_whole = False
        with suppress(ValueError, RecursionError):
            fields = _parsed(body)
            for each in fields if isinstance(fields, list) else [fields]:
                if isinstance(each, dict):
                    yield from _of_parameters(each)
    else:
        messages = bytes(members.pop("messages", b""))
        with suppress(ValueError, RecursionError):
            yield from _of_parameters({name: _parsed(bytes(value)) for name, value in members.items()})
        if messages:
            place = body.find(messages)
            rest = body[:place] + body[place + len(messages) :]
    yield from _of_raw(rest, is_whole=is_whole)


def _of_parameters(fields: dict[str, Any]) -> Iterator[str]:
    searched = {name: value for name, value in fields.items() if name != "messages" and name not in _TEXTS}
    yield from _of_value(searched, _DEEPEST)
    for name in _TEXTS & fields.keys():
        if isinstance(fields[name], dict | list):
            yield from _of_value(fields[name], _DEEPEST, texts=False)


_MEMBER = re.compile(
    rb'"((?:[^"\\\s]|\\u[0-9a-fA-F]{4}){1,64})"\s{0,32}:\s{0,32}'
    rb'(?:"((?:[^"\\]|\\.){8,4096}+)"?|(-?\d{8,}(?:\.\d+)?))',
    re.DOTALL,
)


def _of_raw(body: bytes, *, is_whole: bool) -> Iterator[str]:
    """Yield the secrets that a parser leaves out: of repeated names, of numbers, and of a body that is cut.

    `is_whole`: a parser has read the body, and decided on words.
    """
    for found in _MEMBER.finditer(body):
        name = _unescaped(found[1])
        if not is_secret(name):
            continue
        if found[3]:
            yield found[3].decode().lstrip("-").partition(".")[0]
            continue
        value = _unescaped(found[2])
        if not _is_word(name, value) and not (is_whole and _WORD.fullmatch(value)):
            yield from filter(is_literal, of_field(name, value))


def _unescaped(text: bytes) -> str:
    value = text.decode("utf-8", "replace")
    with suppress(ValueError):
        return str(json.loads(f'"{value}"', strict=False))
    return value


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except ValueError:
        return tolerant_json.loads_raw(body.decode("utf-8", "surrogateescape"))


def _number(value: Any) -> str:
    """Return a number of at least 8 digits as text; "" for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    text = str(value).lstrip("-").partition(".")[0] if isinstance(value, int) or abs(value) < 1e15 else ""
    return text if len(text) >= LEAST_CHARS and text.isdigit() else ""


def _pairs_of(fields: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and value of `{"name": "X-Api-Key", "value": "..."}`, also with several values."""
    small = {name.lower(): value for name, value in fields.items() if isinstance(name, str)}
    name = next((small[one] for one in ("name", "key", "header") if isinstance(small.get(one), str)), None)
    for member in ("value", "val", "values"):
        value = small.get(member)
        for one in value if isinstance(value, list) else [value]:
            text = _number(one) or one
            if name is not None and isinstance(text, str) and not _is_word(name, text):
                yield name, text


_NAME = re.compile(r"[\w.$-]{1,64}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T \d:.Z+-]*")
_NO_CONTAINERS = frozenset(("session", "sessions", "key", "signature"))
"""Names of secrets which as names of objects are of something else."""
_SCHEMAS = frozenset(("function", "properties", "input_schema", "inputSchema", "json_schema", "schema", "$defs"))
"""Members with names of parameters, which are no settings."""


_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
"""Values of `type` in a JSON schema."""


def _below(name: str, value: Any, depth: int) -> Iterator[str]:
    """Yield the secrets in a list or object under the name of secrets: `api_keys`, `secrets: {prod: {eu: ...}}`.

    Names of fields, as in `{"keys": ["city"]}`, are none.
    """
    if depth == 0:
        return
    if isinstance(value, dict):
        for member, one in () if value.get("type") in _TYPES else value.items():
            if member.lower() not in TABLES.public_fields and member not in _SCHEMAS:
                yield from _below(name, one, depth - 1)
    elif isinstance(value, list):
        for one in value:
            yield from _below(name, one, depth - 1)
    else:
        text = _number(value) or value
        if isinstance(text, str) and not is_ordinary(text) and _DATE.fullmatch(text) is None:
            if text.startswith("<") and text.endswith(">"):
                return
            yield from of_field(name, text)


def _is_word(name: str, value: str) -> bool:
    """Return whether a parameter is a word, as in `{"key": "translation"}`, or a mark of a template, as <|im_end|>."""
    if value.startswith("<") and value.endswith(">"):
        return True
    return name.lower() in ("key", "token") and len(value) < LONG_CHARS and not has_digit(value)


_WORD = re.compile(r"[A-Za-z]?[a-z]{0,13}(?: [A-Za-z]?[a-z]{0,13})*")


def _is_content(fields: dict[Any, Any]) -> bool:
    """Return whether the object explains words (`{"token": "noun", "secret": "adjective"}`): several names of secrets,
    each with a word."""
    named = [value for name, value in fields.items() if isinstance(name, str) and is_secret(name)]
    return len(named) > 1 and all(isinstance(one, str) and _WORD.fullmatch(one) for one in named)


def _of_value(value: Any, depth: int, *, texts: bool = True) -> Iterator[str]:
    """Yield the secrets in a JSON value. `texts`: search also within its texts."""
    if depth == 0:
        return
    if isinstance(value, dict):
        for pair in _pairs_of(value):
            yield from of_field(*pair)
        is_content = _is_content(value)
        for name, one in value.items():
            yield from _of_member(name, one, depth, texts=texts, is_content=is_content)
    elif isinstance(value, list):
        match value:
            case [str(name), str(one)] if (
                _NAME.fullmatch(name) and is_secret(name) and not _is_word(name, one)
            ):  # a header as a pair
                yield from of_field(name, one)
        words = [one if isinstance(one, str) else "" for one in value]
        for _, secret in secrets_of_arguments(words):
            yield from secret.values
        for one in value:
            if isinstance(one, str):
                yield from _of_text(one, depth) if texts else ()
            else:
                yield from _of_value(one, depth - isinstance(one, list), texts=texts)


def _of_member(name: str, value: Any, depth: int, *, texts: bool, is_content: bool) -> Iterator[str]:
    if isinstance(value, str):
        if not is_content and not _is_word(name, value):
            yield from filter(is_literal, of_field(name, value))
        if texts and name not in _PROSE:
            yield from _of_text(value, depth)
        elif texts and "://" in value and len(value) <= _MAX_TEXT:
            yield from _of_target(value)
    elif name not in _SCHEMAS:
        if isinstance(value, list | dict):
            if name.lower() not in _NO_CONTAINERS and is_secret(name):
                yield from _below(name, value, depth)
            yield from _of_value(value, depth - 1, texts=texts)
        elif is_secret(name) and (number := _number(value)):
            yield number


def secrets_of(value: Any) -> Iterator[str]:
    """Yield the secrets in a JSON value that is no request, as a file of settings."""
    yield from _of_value(value, _DEEPEST)


_PROSE = frozenset(("description", "content", "text", "title", "name", "model"))
_MAX_TEXT = 64 * 1024


def _of_text(text: str, depth: int) -> Iterator[str]:
    """Yield the secrets in a connection string, a command, variables of an environment or JSON inside a text."""
    if len(text) < LEAST_CHARS or len(text) > _MAX_TEXT:
        return
    if text[:1] in ("{", "[", '"'):
        with suppress(ValueError, RecursionError):
            inside = _parsed(text.encode("utf-8", "replace"))
            if isinstance(inside, str):
                yield from _of_text(inside, depth - 1) if depth > 1 else ()
            else:
                yield from (one for one in _of_value(inside, depth - 1) if is_value(one))
            return
    yield from secrets_in(text)


def has_secret(address: str) -> bool:
    """Return whether an address has a user, a password or a key in it, or a query, fragment or parameter, which may be
    one whatever its name is. A generated part of the path is none: an account's id, which the server needs."""
    return (
        any(mark in address for mark in "?#;") or _USER.search(address) is not None or redact(address, None) != address
    )


_USER = re.compile(r"://[^/?#@\s]+@")


def without_secret(address: str) -> str:
    """Return the address without user, password, query, fragment and parameters, and without a path that has a key in
    it; "" if it is no address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit((parts.scheme, host, parts.path.partition(";")[0], "", ""))
    return urlunsplit((parts.scheme, host, "", "", "")) if has_secret(bare) else bare


def stored_headers(headers: Iterable[tuple[str, str]], key: str | None) -> tuple[tuple[str, str], ...]:
    """Return response headers without cookies and with secret values masked, for the log. Names in lower case."""
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in LEFT_OUT]
    # First in pieces: a masked piece would hide that the others belong to it.
    values = mask_across(mask_across([value for _, value in kept], key, "\n"), key)
    found = []
    for (name, _), value in zip(kept, values, strict=True):
        secret = name not in _NOT_SECRET and is_secret(name)
        found.append(
            (redact(name, key), MASK if secret else masked_secrets(mask_key(redact(value, key), key, PIECE_CHARS)))
        )
    return tuple(found)


_NOT_SECRET: Sequence[str] = ("www-authenticate", "proxy-authenticate", "authentication-info")
