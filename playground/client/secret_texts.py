"""Secrets in texts: in addresses, `name=value`, header lines, options, connection strings and keys of known forms.

What is found here is masked wherever it stands: `credentials` collects it from a request, `masked_address` masks it in
a text of any origin.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from playground.client.redact import LEAST_CHARS, MASK
from playground.prompt.secret_names import is_placeholder, is_secret, is_session_id, looks_random, may_be_secret
from playground.prompt.secret_words import SECRET_HOSTS, WEBHOOK_HOSTS

LONG_CHARS = 16
"""Characters from which on a part of a secret value is a secret although it has no digit."""
COOKIES = ("cookie", "set-cookie")
_SCHEME_WORDS = (
    "basic bearer token digest apikey api-key key negotiate ntlm hoba mutual oauth vapid gnap dpop aws4-hmac-sha256 "
    "aws4-ecdsa-p256-sha256 scram-sha-1 scram-sha-256 sharedkey sharedkeylite sharedaccesssignature sapisidhash"
)
_SCHEMES = frozenset(_SCHEME_WORDS.split())
_PUBLIC_WORDS = "signedheaders realm algorithm qop uri username version charset scope domain path"
_PUBLIC_PARTS = frozenset(_PUBLIC_WORDS.split())
ORDINARY = re.compile(r"[A-Za-z]+(?:[\s_.,/-][A-Za-z]+)*")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_REFERENCE = re.compile(r"\$[\w{(].*|\{\{.*|%\w+%|<.*>?|\{secret:.*", re.DOTALL)
"""A variable, a place of a template, or a mark: no value."""
_CODE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*[(\[]")
"""A call or an element: `os.environ[...]`, `next(tokens)`."""


class SecretText(NamedTuple):
    """A secret in a text: where it stands, and the values that are masked elsewhere."""

    start: int
    end: int
    values: tuple[str, ...]


# --- values under a name


def of_field(name: str, value: str) -> Iterator[str]:
    """Yield the secrets in the value of a header, a parameter or a query field."""
    if name.lower() in COOKIES and "=" in value:
        for pair in value.split(";"):
            cookie, _, text = pair.strip().partition("=")
            text = text.strip('"')
            yield from [text] if looks_random(text) else _named(cookie, text)
    else:
        yield from _named(name, value, is_id=_UUID.fullmatch(value) is not None and is_session_id(name))


def _named(name: str, value: str, *, is_id: bool = False) -> Iterator[str]:
    if is_id:  # of a conversation: agents send it as the key of their cache too
        return
    if is_secret(name):
        yield from _parts(value)
    elif may_be_secret(name):
        yield from filter(looks_random, _split(value))


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
        if len(part) >= LONG_CHARS or has_digit(part):
            yield part
    if scheme == "basic" and words:
        with suppress(ValueError):
            user_and_password = b64decode(words[-1], validate=True).decode()
            yield user_and_password
            user, _, password = user_and_password.partition(":")
            yield password
            if has_digit(user):  # some servers take the key as the user's name
                yield user


# --- addresses

_ADDRESS = re.compile(r"://[^\s\"'<>`]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*$")
_SCHEME_CHARS = 24
_NAMES_HOST_FIRST = frozenset(("http", "https", "ws", "wss"))
_HOOK = re.compile(
    r"(?i)(?:^|[/.-])(?:web)?hooks?(?=[/.-]|$)|webhookb2|/services/T[A-Z0-9]{6,}/|/heartbeat/|/api/push/"
)
_BOT = re.compile(r"bot(\d{6,}:([\w-]{8,}))$")
_NAMED_ID = re.compile(r"[a-z]{2,12}[_-](?=[A-Za-z0-9]+$)")
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{4,}+-?)++(?=\.|$)|(?:[0-9A-F]{4,}+-?)++(?=\.|$)")
"""A UUID or hash, also with the ending of a file: the id of a commit or picture, unless a webhook is in front of it."""
_RANDOM_PART = 20
_QUERY_FIELD = re.compile(r"(?<=[?&#;])([^=?&#;\s]+)=([^&#;\s<>\"']+)")
_CODE_CHARS = 10
_MAX_USER = 512


def addresses_in(text: str, *, is_target: bool = False) -> Iterator[SecretText]:
    """Yield the secrets of the addresses in a text. `is_target`: the text itself is one, maybe without scheme."""
    if is_target and "://" not in text:
        yield from _of_path_and_query(text, 0, len(text), "")
        return
    for found in _ADDRESS.finditer(text):
        scheme = _SCHEME.search(text, max(0, found.start() - _SCHEME_CHARS), found.start())
        yield from _of_address(text, found.start() + 3, found.end(), scheme[0].lower() if scheme else "")


def _of_address(text: str, start: int, end: int, scheme: str) -> Iterator[SecretText]:
    # An address of a driver has another scheme before it: jdbc:mysql.
    place = _first_of(text, "/?#", start, end)
    at = text.rfind("@", start, place)
    if at < 0:
        colon = text.find(":", start, place)
        port = text[colon + 1 : place]
        # A password with a slash or a number sign in it: what follows the colon is no port.
        is_port = port.isdigit() and (scheme in _NAMES_HOST_FIRST or text[place : place + 1] != "/")
        if colon > 0 and text[start] != "[" and port and not is_port:
            at = text.find("@", place, min(end, start + _MAX_USER))
    if at >= 0:
        yield from _of_user(text, start, at, end)
        start = at + 1
        place = _first_of(text, "/?#", start, end)
    host = text[start:place].partition(":")[0].lower()
    if host.endswith(SECRET_HOSTS):
        label = host.partition(".")[0]
        if len(label) >= LEAST_CHARS and has_digit(label):
            yield SecretText(start, start + len(label), (text[start : start + len(label)],))
    yield from _of_path_and_query(text, place, end, host)


def _first_of(text: str, marks: str, start: int, end: int) -> int:
    for mark in marks:
        place = text.find(mark, start, end)
        if place >= 0:
            end = place
    return end


def _of_user(text: str, start: int, at: int, end: int) -> Iterator[SecretText]:
    raw = text[start:at]
    user, colon, password = raw.partition(":")
    values: list[str] = []
    if password:
        values += [password, unquote(password), f"{unquote(user)}:{unquote(password)}"]
        if len(unquote(password)) < LEAST_CHARS:  # too short to be masked by itself
            values += [raw, text[start : _first_of(text, "/?#", at, end)]]
        if looks_random(user):
            values.append(user)
    elif user and (looks_random(user) or has_digit(user)):
        values += [user, unquote(user)]
    if raw and raw != colon:
        yield SecretText(start, at, tuple(dict.fromkeys(values)))


def _of_path_and_query(text: str, start: int, end: int, host: str) -> Iterator[SecretText]:
    place = _first_of(text, "?#", start, end)
    yield from _of_path(text, start, place, host)
    yield from _of_query(text, place, end)


def _of_path(text: str, start: int, end: int, host: str) -> Iterator[SecretText]:
    """Yield the generated parts of a path: the long ones, but no ids as thread_..., and those of a webhook."""
    if end - start < LEAST_CHARS:
        return
    path = text[start:end]
    is_known = host.endswith(WEBHOOK_HOSTS)
    parts = path.split("/")
    if not is_known and max(map(len, parts)) < LEAST_CHARS:
        return
    hook = _HOOK.search(path)
    hook_end = 0 if is_known or _HOOK.search(host) else hook.start() if hook else end - start
    before, before_at, at = "", start, start
    last = start + path.rstrip("/").rfind("/") + 1
    for part in parts:
        plain = unquote(part)
        is_hook = is_known or at - start > hook_end
        if bot := _BOT.fullmatch(plain):
            yield SecretText(at + 3, at + len(part), (bot[1], bot[2], part[3:]))
        elif _is_secret_part(plain, before, is_hook=is_hook):
            yield SecretText(at, at + len(part), (plain, part))
        elif is_known and at == last and len(part) < LEAST_CHARS <= len(before) + len(part) and has_digit(part):
            yield SecretText(at, at + len(part), (text[before_at : at + len(part)],))
        if part:
            before, before_at = plain, at
        at += len(part) + 1


def _is_secret_part(part: str, before: str, *, is_hook: bool) -> bool:
    if len(part) < LEAST_CHARS:
        return False
    if is_hook and (has_digit(part) or (len(part) >= LONG_CHARS and not part.islower() and not part.istitle())):
        return True
    if has_digit(part) and is_secret(before) and not part.startswith((".", "v1")):
        return True
    if len(part) < _RANDOM_PART or _NAMED_ID.match(part) or _HEXADECIMAL.match(part):
        return False
    return looks_random(part)


def _of_query(text: str, start: int, end: int) -> Iterator[SecretText]:
    for field in _QUERY_FIELD.finditer(text, max(0, start), end):
        name, value = unquote_plus(field[1]), unquote_plus(field[2])
        values = list(_of_query_field(name.replace("[", " ").replace("]", " "), value))
        if not values:
            continue
        values += [field[2]]
        if len(value) < LEAST_CHARS and has_digit(value):
            values.append(field[0])
        yield SecretText(*field.span(2), tuple(dict.fromkeys(values)))


def _of_query_field(name: str, value: str) -> Iterator[str]:
    if _REFERENCE.fullmatch(value):
        return
    if name.lower() == "code":
        if len(value) >= _CODE_CHARS and has_digit(value):
            yield value
    elif value[:1] in ("{", "["):
        yield from secrets_in(value)
    elif is_secret(name):
        yield from (value, *_parts(value))
    else:
        yield from _named(name, value)


def has_digit(text: str) -> bool:
    """Return whether a text has a digit: most generated values do, and few words."""
    return any(map(str.isdigit, text))


def masked_address(text: str) -> str:
    """Mask user, password and generated parts of paths of addresses in `text`, and query fields that are secrets."""
    found = [*addresses_in(text), *(_of_path_and_query(text, 0, len(text), "") if text[:1] == "/" else ())]
    text = _without(text, found)
    if "=" not in text:
        return text
    return _QUERY_FIELD.sub(
        lambda field: f"{field[1]}={MASK}" if next(_of_query(field.string, *field.span()), None) else field[0], text
    )


def _without(text: str, found: list[SecretText]) -> str:
    if not found:
        return text
    pieces, done = [], 0
    for start, end, _ in sorted(found):
        if start >= done:
            pieces += [text[done:start], MASK]
            done = end
    return "".join((*pieces, text[done:]))


# --- texts

_SETTING = re.compile(
    r"(?<![\w$.-])-{0,2}(?P<name>[^\W\d][\w.-]{0,80})[\"'\]\\\0]{0,3}[ \t\0]{0,8}"
    r"(?P<sign>=>|:=|=(?!=)|:(?![:/\\]))[ \t\0]{0,8}"
    r"(?:\\?\"(?P<double>[^\"\\\n]{1,4096})|'(?P<single>[^'\n]{1,4096})|\{(?P<braces>[^{}\s]{1,4096})\}"
    r"|(?P<scheme>(?i:bearer|basic|token|apikey)\s{1,4})?(?P<plain>[^\s;&\"',<>]{1,4096}))"
)
"""A part of a connection string, a header or a variable: `Password = ...;`, `X-Api-Key: ...`, `DB_PASSWORD='...'`"""
_CONNECTION = re.compile(r"\s*[A-Za-z][\w ]{0,40}=[^;]*;")
_SERVER = re.compile(
    r"(?i)(?:^|;)\s*(?:server|(?:data ?)?source|host(?:name)?|database|initial catalog|uid|user ?(?:id|name)?|driver"
    r"|dsn|account ?name|(?:account|ingestion)?endpoint|defaultendpointsprotocol|provider|addr(?:ess)?|port|deviceid"
    r"|sharedaccesskeyname)\s*="
)
_PART = re.compile(r"(?:^|;)\s*([A-Za-z][\w ]{0,40}?)\s*=\s*(\{[^}]*\}|\"[^\"]*\"|'[^']*'|[^;]+)")
_ORACLE = re.compile(r"(?<![\w/.@:-])[\w$#.-]{1,64}/([^\s/@]{4,128})@(?=//|\(|[\w.-]{1,255}:\d{2,5}(?:/|$))")
_OPTION = re.compile(r"(?<!\S)--?([A-Za-z][\w-]{1,60})[ \t]+(?!-)([^\s\"']{8,4096}|\"[^\"]{8,4096}|'[^']{8,4096})")
_USER_OPTION = re.compile(r"(?<!\S)(?:-u|--user|--proxy-user)[= ]\"?'?([^\s:\"']+):([^\s\"']+)")
_KNOWN = re.compile(
    r"(?<![A-Za-z0-9_-])(?:sk[-_](?:ant-|proj-|or-)?|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|xapp-|hf_|r8_|gsk_|pplx-|"
    r"dop_v1_|npm_|pypi-|AKIA|ASIA|AIza|SG\.|shpat_|rk_live_|ya29\.)[\w.-]{14,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)
_AUTHORIZATION = re.compile(r"(?i)(?:authorization|authentication|cookie)$")


def secrets_in(text: str) -> Iterator[str]:
    """Yield the secrets in a text that is a value: addresses, settings, options, header lines, keys of known forms.

    Words of a language, references to variables and expressions of a program are none.
    """
    if "://" in text:
        for address in addresses_in(text):
            yield from address.values
    if "=" in text or ":" in text:
        yield from _of_settings(text)
        if _CONNECTION.match(text) and _SERVER.search(text):
            yield from _of_connection(text)
    if "@" in text and "/" in text:
        yield from (found[1] for found in _ORACLE.finditer(text))
    if "-" in text:
        yield from _of_options(text)
    yield from (found[0] for found in _KNOWN.finditer(text) if has_digit(found[0]))


def _of_settings(text: str) -> Iterator[str]:
    for found in _SETTING.finditer(text):
        name = found["name"]
        if not (is_secret(name) or may_be_secret(name)):
            continue
        if found["sign"] == ":" and _AUTHORIZATION.search(name):
            start = found.end("sign")
            line = text[start : _first_of(text, "\n\r\"'`", start, len(text))].strip("\0 \t")
            yield from (one for one in of_field(name, line) if is_value(one))
            continue
        value = found["double"] or found["single"] or found["braces"] or found["plain"] or ""
        if not found["plain"] or _CODE.match(value) is None:
            yield from (one for one in of_field(name, value) if is_value(one))


def is_literal(text: str) -> bool:
    """Return whether the value of a parameter can be a secret: no reference, no expression."""
    return _REFERENCE.fullmatch(text) is None and _CODE.match(text) is None


def is_value(text: str) -> bool:
    """Return whether a text in the place of a secret can be one: no word, no reference, no expression."""
    return (
        len(text) >= LEAST_CHARS
        and ORDINARY.fullmatch(text.strip("()[]{}.,;:!?")) is None
        and _REFERENCE.fullmatch(text) is None
        and _CODE.match(text) is None
        and not is_placeholder(text)
    )


def _of_connection(text: str) -> Iterator[str]:
    """Yield the passwords of a connection string, also words."""
    for name, part in _PART.findall(text):
        value = part.strip().removeprefix("{").removesuffix("}").strip("\"'")
        if is_secret(name) and is_literal(value) and not is_placeholder(value):
            yield value


def _of_options(text: str) -> Iterator[str]:
    for option, given in _OPTION.findall(text):
        value = given.strip("\"'")
        if is_secret(option) and not option.startswith("no-") and is_value(value) and "://" not in value:
            yield from of_field(option, value)
    for user, password in _USER_OPTION.findall(text):
        if not _REFERENCE.fullmatch(password):
            yield from (password, f"{user}:{password}")
