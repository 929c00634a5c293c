"""Credentials in a request's address, headers and body, and response headers without theirs."""

from __future__ import annotations

import codecs
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from playground.client import tolerant_json
from playground.client.redact import LEAST_CHARS, MASK, redact
from playground.prompt.secret_names import is_placeholder, is_secret, looks_random, may_be_secret

MAX_CREDENTIALS = 24
"""Credentials of a request that are masked; each costs a search of the bodies."""
LEFT_OUT = frozenset(("authorization", "proxy-authorization", "set-cookie", "cookie"))
"""Response headers that are not stored."""
_LONG = 16
"""Characters from which on a part of a secret value is a secret although it has no digit."""
_SCHEME_WORDS = (
    "basic bearer token digest apikey api-key key negotiate ntlm hoba mutual oauth vapid gnap dpop aws4-hmac-sha256 "
    "aws4-ecdsa-p256-sha256 scram-sha-1 scram-sha-256 sharedkey sharedkeylite sharedaccesssignature sapisidhash"
)
_SCHEMES = frozenset(_SCHEME_WORDS.split())
_PUBLIC_WORDS = "signedheaders realm algorithm qop uri username version charset scope domain path"
_PUBLIC_PARTS = frozenset(_PUBLIC_WORDS.split())
_DEEPEST = 16
_COOKIES = ("cookie", "set-cookie")


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
        if name.lower() in _COOKIES:
            cookies += _of_header(name, value)
        else:
            found.update(dict.fromkeys(_of_header(name, value)))
    found.update(dict.fromkeys(_of_address(target)))
    if body:
        found.update(dict.fromkeys(_of_body(body)))
    # A browser sends many cookies: they must not take the places of keys.
    found.update(dict.fromkeys(cookies))
    usable = [one for one in found if one == added or (len(one) >= LEAST_CHARS and not is_placeholder(one))]
    return "\n".join(usable[:MAX_CREDENTIALS]) or None


def _of_header(name: str, value: str) -> Iterator[str]:
    if name.lower() in _COOKIES:
        for pair in value.split(";"):
            cookie, _, text = pair.strip().partition("=")
            text = text.strip('"')
            yield from [text] if looks_random(text) else _of_field(cookie, text)
    else:
        yield from _of_field(name, value)


def _of_field(name: str, value: str) -> Iterator[str]:
    if is_secret(name):
        yield from _parts(value)
    elif may_be_secret(name):
        yield from filter(looks_random, _split(value))


def _of_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
        user, password = parts.username, parts.password
    except ValueError:
        return
    if password:
        yield from (unquote(password), f"{unquote(user or '')}:{unquote(password)}")
    elif user and (looks_random(user) or any(map(str.isdigit, user))):
        yield unquote(user)
    yield from _of_path(parts.path)
    for query in (parts.query, parts.fragment):
        for name, value in parse_qsl(query, encoding="latin-1"):
            yield from _of_field(name, value)


_HOOK = re.compile(r"(?i)(?:^|[/.-])(?:web)?hooks?(?=[/.-]|$)|/services/T[A-Z0-9]{6,}/")
_BOT = re.compile(r"/bot(\d{6,}:[\w-]{20,})(?=/|$)")
_NAMED_ID = re.compile(r"[a-z]{2,12}[_-](?=[A-Za-z0-9]+$)")
_RANDOM_PART = 20


def _of_path(path: str) -> Iterator[str]:
    """Yield the generated parts of a path: the long ones, but no ids as thread_..., and the last one of a webhook."""
    for bot in _BOT.finditer(path):
        yield bot[1]
    parts = [unquote(part) for part in path.split("/")]
    for part in parts:
        if len(part) >= _RANDOM_PART and looks_random(part) and not _NAMED_ID.match(part):
            yield part
    if len(parts[-1]) >= LEAST_CHARS and _HOOK.search(path) and any(map(str.isdigit, parts[-1])):
        yield parts[-1]


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;=\"]+", text) if len(part) >= LEAST_CHARS]


_PAIR = re.compile(r"(?<![\w-])([\w-]+)=\"?[^\s,;\"]+")


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a secret value that may be a secret: each one with a digit, a long one, or the only one."""
    words = text.split()
    if words[1:] and words[0].lower() in _SCHEMES:
        scheme, words = words[0].lower(), words[1:]
    else:
        scheme = ""
    if len(words) == 1:  # KEY, or SCHEME KEY
        yield words[0]
    elif len(words) == 2 and words[0].isalpha():  # UNKNOWN-SCHEME KEY
        yield words[1]
    # Only the value behind its name: the same characters may be in a secret.
    rest = _PAIR.sub(lambda found: " " if found[1].lower() in _PUBLIC_PARTS else found[0], " ".join(words))
    for part in _split(rest):
        if len(part) >= _LONG or any(map(str.isdigit, part)):
            yield part
    if scheme == "basic" and words:
        with suppress(ValueError):
            user_and_password = b64decode(words[-1], validate=True).decode()
            yield user_and_password
            user, _, password = user_and_password.partition(":")
            yield password
            if any(map(str.isdigit, user)):  # some servers take the key as the user's name
                yield user


_NAME_ENDS = (
    *(b'key"', b'token"', b'secret"', b'password"', b'authorization"', b'signature"', b'cookie"', b'url"'),
    *(b'keys"', b'secrets"', b'passwords"', b'jwt"', b'passphrase"', b'credentials"', b'auth"'),
)
"""Quick test of a body, in lower case: `in` is much faster than a pattern."""


_TEXTS = frozenset(("input", "instructions", "prompt", "system", "contents"))
"""Parameters of other APIs that hold the conversation: only fields in them are searched, not their texts."""


def _of_body(body: bytes) -> Iterator[str]:
    """Yield secrets among the parameters: `api_key`, headers that a gateway adds, settings of an MCP server."""
    encoding = json.detect_encoding(body)
    if encoding not in ("utf-8", "utf-8-sig"):
        body = body.decode(encoding, "replace").encode("utf-8", "replace")
    small = body.lower()
    if not any(end in small for end in _NAME_ENDS) and not _has_token_list(small) and not _has_named(small):
        return
    with suppress(ValueError, RecursionError):
        fields = _parsed(body)
        for each in fields if isinstance(fields, list) else [fields]:
            if isinstance(each, dict):
                yield from _of_parameters(each)
    yield from _of_raw(body)


def _of_parameters(fields: dict[str, Any]) -> Iterator[str]:
    searched = {name: value for name, value in fields.items() if name != "messages" and name not in _TEXTS}
    yield from _of_value(searched, _DEEPEST)
    for name in _TEXTS & fields.keys():
        if isinstance(fields[name], dict | list):
            yield from _of_value(fields[name], _DEEPEST, texts=False)


_MEMBER = re.compile(
    rb'"([\w.-]{0,64}(?:key|token|secret|password|passwd|passphrase|pwd|authorization|signature|cookie|jwt|credentials?'
    rb'|auth))"\s*:\s*(?:"((?:[^"\\]|\\.)+)"?|(\d{8,}))',
    re.I,
)


def _of_raw(body: bytes) -> Iterator[str]:
    """Yield the secrets that a parser leaves out: of repeated names, of numbers, and of a body that is cut."""
    for found in _MEMBER.finditer(body):
        name = found[1].decode()
        if not is_secret(name):
            continue
        if found[3]:
            yield found[3].decode()
            continue
        value = found[2].decode("utf-8", "replace")
        with suppress(ValueError):
            value = json.loads(f'"{value}"', strict=False)
        if not _is_word(name, value):
            yield from _of_header(name, value)


_ENDS = (b": ", b"=", b'\\"')
_IN_TEXT = (
    *(word + end for word in (b"key", b"token", b"secret", b"password", b"authorization", b"auth") for end in _ENDS),
    *(b"-key ", b"-token ", b"-secret ", b"-password "),
)


def _has_named(small: bytes) -> bool:
    """Return whether a text may be a header, an option, a variable or an address with a secret in it."""
    return any(word in small for word in _IN_TEXT) or (
        b"://" in small and (b"@" in small or b"hook" in small or b"/bot" in small)
    )


def _has_token_list(small: bytes) -> bool:
    """Return whether a name ends with `tokens` and is not one of the counts that most requests have."""
    counts = sum(small.count(name) for name in (b'max_tokens"', b'completion_tokens"', b'budget_tokens"'))
    return small.count(b'tokens"') > counts


def _parsed(body: bytes) -> Any:
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return msgspec.json.decode(body)
    except ValueError:
        # NaN, lone surrogates: servers read them.
        return tolerant_json.loads_raw(body.decode("utf-8", "surrogateescape"))


_ORDINARY = re.compile(r"[A-Za-z]+(?:[\s_.,/-][A-Za-z]+)*")


def _of_list(name: str, values: Iterable[Any]) -> Iterator[str]:
    """Yield the secrets of a list or object under the name of secrets, as `api_keys`.

    Names of fields, as in `{"keys": ["city"]}`, are none.
    """
    if not is_secret(name):
        return
    for value in values:
        text = _number(value) or value
        if isinstance(text, str) and not _ORDINARY.fullmatch(text):
            yield from _of_header(name, text)


def _number(value: Any) -> str:
    """Return a number of at least 8 digits as text; "" for any other value."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
    return text if len(text) >= LEAST_CHARS else ""


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


_NAMED = re.compile(r"-{0,2}([\w.-]+)(?:=|:\s+)(\S.*)")
"""`X-Api-Key: ...`, `--token=...`, `DB_PASSWORD=...`"""


def _of_strings(texts: list[Any]) -> Iterator[str]:
    """Yield the secrets in a list of headers, arguments of a command, or variables of an environment."""
    option = ""
    for text in texts:
        if not isinstance(text, str):
            option = ""
            continue
        if is_secret(option) and not _ORDINARY.fullmatch(text):  # --api-key KEY
            yield from _of_header(option, text)
        option = text.lstrip("-") if text.startswith("-") and "=" not in text else ""
        if (named := _NAMED.fullmatch(text)) is not None and not _ORDINARY.fullmatch(named[2]):
            yield from _of_header(named[1], named[2])
        if "://" in text:
            yield from _of_address(text)


def _is_word(name: str, value: str) -> bool:
    """Return whether a parameter is a word, as in `{"key": "translation"}`, or a mark of a template, as <|im_end|>."""
    if value.startswith("<") and value.endswith(">"):
        return True
    return name.lower() in ("key", "token") and len(value) < _LONG and not any(map(str.isdigit, value))


def _of_value(value: Any, depth: int, *, texts: bool = True) -> Iterator[str]:
    """Yield the secrets in a JSON value. `texts`: search also within its texts."""
    if depth == 0:
        return
    if isinstance(value, dict):
        for pair in _pairs_of(value):
            yield from _of_header(*pair)
        for name, one in value.items():
            yield from _of_member(name, one, depth, texts=texts)
    elif isinstance(value, list):
        match value:
            case [str(name), str(one)] if is_secret(name) and not _is_word(name, one):  # a header as a pair
                yield from _of_header(name, one)
        yield from _of_strings(value)
        for one in value:
            if isinstance(one, str):
                yield from _of_text(one, depth) if texts else ()
            else:
                yield from _of_value(one, depth, texts=texts)


def _of_member(name: str, value: Any, depth: int, *, texts: bool) -> Iterator[str]:
    if isinstance(value, str):
        if not _is_word(name, value):
            yield from (*_of_header(name, value), *(_of_address(value) if "://" in value else ()))
        if texts and name not in _PROSE:
            yield from _of_text(value, depth)
    elif name != "function":  # names of a tool's parameters are no settings
        if isinstance(value, list | dict):
            yield from _of_list(name, value.values() if isinstance(value, dict) else value)
        yield from _of_value(value, depth - 1, texts=texts)


_PROSE = frozenset(("description", "content", "text", "title", "name", "model", "user"))
_MAX_TEXT = 64 * 1024
_SETTING = re.compile(r"(?<![\w-])([A-Za-z][\w-]*)\s?=\s?[\"']?([^\s;&\"',]+={0,2})")
"""A part of a connection string, or a variable: `Password=...;`, `DB_PASSWORD=...`"""


def _of_text(text: str, depth: int) -> Iterator[str]:
    """Yield the secrets in a connection string, a command, variables of an environment or JSON inside a text."""
    if len(text) > _MAX_TEXT or not ("=" in text or "--" in text or text[:1] in ("{", "[")):
        return
    if text[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            yield from _of_value(_parsed(text.encode("utf-8", "replace")), depth - 1)
            return
    for found in _SETTING.finditer(text):
        if is_secret(found[1]) and not _ORDINARY.fullmatch(found[2]):
            yield found[2]
    if "--" in text:
        yield from _of_strings(list(text.split()))


_USER = re.compile(r"://[^/?#@\s]+@")
_QUERY_FIELD = re.compile(r"(?<=[?&#;])([^=?&#;\s]+)=([^&#;\s<>\"]+)")


_ADDRESS_PATH = re.compile(r"(?<=://)([^/?#\s\"<>]+)(/[^?#\s\"<>]+)|^()(/[^?#\s\"<>]+)")


def _masked_path(address: re.Match[str]) -> str:
    host, path = (address[1], address[2]) if address[2] else ("", address[4])
    for secret in set(_of_path(path)):
        path = path.replace(secret, MASK)
    return host + path


def masked_address(text: str) -> str:
    """Mask user, password and generated parts of paths of addresses in `text`, and query fields that are secrets."""
    return _without_user(_ADDRESS_PATH.sub(_masked_path, text))


def _without_user(text: str) -> str:
    text = _USER.sub(f"://{MASK}@", text)
    return _QUERY_FIELD.sub(
        lambda found: f"{found[1]}={MASK}" if any(_of_field(found[1], found[2])) else found[0], text
    )


def has_secret(address: str) -> bool:
    """Return whether an address has a user, a password or a key in it, or a query, fragment or parameter, which may be
    one whatever its name is. A generated part of the path is none: an account's id, which the server needs."""
    return any(mark in address for mark in "?#;") or _without_user(redact(address, None)) != address


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
    return tuple(_stored_header(name.lower(), value, key) for name, value in headers if name.lower() not in LEFT_OUT)


def _stored_header(name: str, value: str, key: str | None) -> tuple[str, str]:
    if name not in _NOT_SECRET and is_secret(name):
        return redact(name, key), MASK
    value = redact(value, key)
    return redact(name, key), masked_address(value) if "=" in value or "@" in value else value


_NOT_SECRET: Sequence[str] = ("www-authenticate", "proxy-authenticate", "authentication-info")
