"""Secrets in addresses: user and password, query fields, and the generated parts of a path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from playground.prompt.secret_names import is_secret, looks_random
from playground.prompt.secret_values import LONG_CHARS, has_digit, is_reference, named, of_field, parts_of
from playground.prompt.secret_words import LEAST_CHARS, MASK, SECRET_HOSTS, WEBHOOK_HOSTS


class SecretText(NamedTuple):
    """A secret in a text: its position, and the values that are masked elsewhere."""

    start: int
    end: int
    values: tuple[str, ...]


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
_MEMBER = re.compile(r"[\"']([^\"']{1,80})[\"']\s{0,8}:\s{0,8}[\"']([^\"']{1,4096})")
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
    place = first_of(text, "/?#", start, end)
    settings = text.find(";", start, place)
    if settings > 0 and text[start:settings].rpartition(":")[2].isdigit():  # host:port;name=value
        place = settings
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
        place = first_of(text, "/?#", start, end)
    host = text[start:place].partition(":")[0].lower()
    if host.endswith(SECRET_HOSTS):
        label = host.partition(".")[0]
        if len(label) >= LEAST_CHARS and has_digit(label):
            yield SecretText(start, start + len(label), (text[start : start + len(label)],))
    yield from _of_path_and_query(text, place, end, host)


def first_of(text: str, marks: str, start: int, end: int) -> int:
    """Return the place of the first of these marks, or `end`."""
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
            values += [raw, text[start : first_of(text, "/?#", at, end)]]
        if looks_random(user):
            values.append(user)
    elif user and (looks_random(user) or has_digit(user)):
        values += [user, unquote(user)]
    if raw and raw != colon:
        yield SecretText(start, at, tuple(dict.fromkeys(values)))


def _of_path_and_query(text: str, start: int, end: int, host: str) -> Iterator[SecretText]:
    place = first_of(text, "?#", start, end)
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
    if is_reference(value):
        return
    if name.lower() == "code":
        if len(value) >= _CODE_CHARS and has_digit(value):
            yield value
    elif value[:1] in ("{", "["):
        for member in _MEMBER.finditer(value):
            yield from of_field(member[1], member[2])
    elif is_secret(name):
        yield from (value, *parts_of(value))
    else:
        yield from named(name, value)


def masked_address(text: str) -> str:
    """Mask user, password and generated parts of paths of addresses in `text`, and query fields that are secrets."""
    found = [*addresses_in(text), *(_of_path_and_query(text, 0, len(text), "") if text[:1] == "/" else ())]
    text = masked_spans(text, found)
    if "=" not in text:
        return text
    return _QUERY_FIELD.sub(
        lambda field: f"{field[1]}={MASK}" if next(_of_query(field.string, *field.span()), None) else field[0], text
    )


def masked_spans(text: str, found: Iterable[SecretText]) -> str:
    """Return the text with the found secrets masked."""
    pieces, done = [], 0
    for start, end, _ in sorted(found):
        if start >= done:
            pieces += [text[done:start], MASK]
        done = max(done, end)
    return "".join((*pieces, text[done:]))
