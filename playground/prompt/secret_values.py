"""Values that are secrets, under names or in addresses: user and password, query fields, generated parts of a path."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from playground.prompt.secret_names import (
    LEAST_CHARS,
    MASK,
    TABLES,
    is_placeholder,
    is_secret,
    is_session_id,
    is_word,
    looks_random,
    may_be_secret,
)

LONG_CHARS = 16
"""Characters from which on a part of a secret value is a secret although it has no digit."""
COOKIES = ("cookie", "set-cookie")
_SCHEME_WORDS = (
    "basic bearer token digest apikey api-key key negotiate ntlm hoba mutual oauth vapid gnap dpop aws4-hmac-sha256 "
    "aws4-ecdsa-p256-sha256 scram-sha-1 scram-sha-256 sharedkey sharedkeylite sharedaccesssignature sapisidhash"
)
SCHEMES = frozenset(_SCHEME_WORDS.split())
_PUBLIC_WORDS = "signedheaders realm algorithm qop uri username version charset scope domain path"
_PUBLIC_PARTS = frozenset(_PUBLIC_WORDS.split())
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_REFERENCE = re.compile(
    r"\$(?:[{(].*|[A-Z_][A-Z0-9_]*|[A-Za-z_]+\d?|env:\w+)|\{\{.*|\{\w*\}|%\w+%|<[^<>]*>|<[^\W\d][^\d]*|\{secret:.*"
    r"|sk_(?:…|\\u2026)",
    re.DOTALL,
)
"""A variable, a place of a template, or a mark: no value. `$ecret2024` is one."""
_CODE = re.compile(r"(?:[A-Za-z_]+|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)[(\[](?:$|.*[)\]])", re.DOTALL)
"""A call or an element: `os.environ[...]`, `next(tokens)`."""
_IDENTIFIER = re.compile(
    r"(?:[A-Za-z_]+\d?[._])+[A-Za-z_]*\d?|[A-Za-z]+[-@]v?\d{1,3}(?:\.\d{1,4})+|.*\$\{.*", re.DOTALL
)
"""A name of a program, a package with its version, or a text with a variable in it."""
_FILE = re.compile(
    r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@-]+){2,}[/\\]?|(?:~|\.{1,2})[/\\][\w.@/\\-]+|[\w./\\-]+\.(?:pem|key|crt|cer|der"
    r"|json|ya?ml|txt|env|p12|pfx|jks|pub|asc|gpg|toml|ini|conf|cfg|sock|md|py|[jt]s)"
)
"""A path: `PWD=/home/bob/shop`, `--key server1.pem`."""
_SOURCE = re.compile(r"(?:id|type|source|src|env|file|target)=|(?:env|file|fd):|\d{4}-\d\d-\d\d[T \d:.Z+-]*$")
"""The place of a secret, as in `docker build --secret id=...`, or a date."""
_MARKS = "()[]{}.,;:!?\"'`*«»„“”‘’、。，！？：；…"
_PUNCTUATION = re.compile(r"[\W_]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_SYMBOL = re.compile(r"[$#@^*=%]")
_KINDS = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]", r"[!@#$%^&*?~+|]")))
_RUNS = re.compile(r"[\s_./:,;-]+")
_SHORT_NUMBER, _SENTENCE, _PHRASE, _STRONG_KINDS = 3, 3, 4, 3


def is_reference(text: str) -> bool:
    """Return whether a text is a variable or a place of a template: `$TOKEN`, `{{token}}`, `<token>`."""
    return _REFERENCE.fullmatch(text) is not None


def is_literal(text: str) -> bool:
    """Return whether the value of a parameter can be a secret: no reference, no expression, no path of a file."""
    return (
        not is_reference(text) and _CODE.match(text) is None and (_FILE.fullmatch(text) is None or looks_random(text))
    )


def is_source(text: str) -> bool:
    """Return whether a text says where a secret is: `id=...` of `docker build --secret`, `env:NAME`."""
    return _SOURCE.match(text) is not None


def is_value(text: str) -> bool:
    """Return whether a text in the place of a secret can be one: no words, no reference, no expression, no filling."""
    return (
        len(text) >= LEAST_CHARS
        and is_literal(text)
        and not is_ordinary(text)
        and not (is_placeholder(text) or _IDENTIFIER.fullmatch(text) or is_source(text))
        and 3 * max(map(text.count, set(text))) < 2 * len(text)
    )


def is_strong(text: str) -> bool:
    """Return whether a text near the name of a secret is one: it mixes three kinds of characters, or is no word."""
    return is_value(text) and (
        text.isalpha()
        or any(sum(kind.search(run) is not None for kind in _KINDS) >= _STRONG_KINDS for run in _RUNS.split(text))
    )


def is_ordinary(text: str) -> bool:
    """Return whether a text consists of words of any language. Sentences may have small numbers."""
    words = text.split()
    return all(_is_ordinary(word.strip(_MARKS), words) for word in words)


def _is_ordinary(word: str, words: list[str]) -> bool:
    if len(words) == 1 and _SYMBOL.search(word):
        return False
    for part in filter(None, _PUNCTUATION.split(word)):
        ascii_part = _FOREIGN.sub("", part)
        is_number = ascii_part.isdigit() and len(ascii_part) <= _SHORT_NUMBER + (len(words) >= _SENTENCE)
        if part.isalpha():
            if not is_word(part):
                return False
        elif ascii_part and not (is_number and (ascii_part != part or len(words) >= _SENTENCE)):
            return False
    return True


# --- values under a name


def of_field(name: str, value: str) -> Iterator[str]:
    """Yield the secrets in the value of a header, a parameter or a query field."""
    if name.lower() in COOKIES and "=" in value:
        for pair in value.split(";"):
            cookie, _, text = pair.strip().partition("=")
            text = text.strip('"')
            yield from _of_cookie(text) if looks_random(text) else named(cookie, text)
    else:
        yield from named(name, value, is_id=_UUID.fullmatch(value) is not None and is_session_id(name))


def _of_cookie(text: str) -> Iterator[str]:
    """Yield a cookie encoded, decoded, and without the signature: `s:ID.SIGNATURE`."""
    plain = unquote(text)
    yield text
    if plain != text:
        yield plain
        yield from (part for part in re.split(r"[:.]", plain) if len(part) >= LONG_CHARS)


def named(name: str, value: str, *, is_id: bool = False) -> Iterator[str]:
    if is_id:  # of a conversation: agents send it as the key of their cache too
        return
    if is_secret(name):
        if _is_phrase(name, value):
            yield value
        yield from parts_of(value)
    elif may_be_secret(name):
        yield from filter(looks_random, _split(value))


_PHRASE_NAME = re.compile(r"(?i)phrase|mnemonic")


def _is_phrase(name: str, value: str) -> bool:
    """Return whether a value with spaces is one secret: not `SCHEME KEY`, a list, `name=value` or a sentence."""
    words = value.split()
    if len(words) < 2 or words[0].lower() in SCHEMES or any(mark in value for mark in '=,;"'):
        return False
    is_list_of_words = len(words) >= _PHRASE and value.isascii() and value.islower() and _PHRASE_NAME.search(name)
    return not (words[0].isalpha() and len(words) == 2) and (bool(is_list_of_words) or not is_ordinary(value))


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,;=\"]+", text) if len(part) >= LEAST_CHARS]


_PAIR = re.compile(r"(?<![\w-])([\w-]+)=\"?[^\s,;\"]+")


def parts_of(text: str) -> Iterator[str]:
    """Yield the parts of a secret value that may be a secret: each one with a digit, a long one, or the only one."""
    words = text.split()
    if words[1:] and words[0].lower() in SCHEMES:
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


def has_digit(text: str) -> bool:
    """Return whether a text has a digit: most generated values do, and few words."""
    return any(map(str.isdigit, text))


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
        # A password with a slash or a number sign in it: there is no port behind the colon.
        is_port = port.isdigit() and (scheme in _NAMES_HOST_FIRST or text[place : place + 1] != "/")
        if colon > 0 and text[start] != "[" and port and not is_port:
            at = text.find("@", place, min(end, start + _MAX_USER))
    if at >= 0:
        yield from _of_user(text, start, at, end)
        start = at + 1
        place = first_of(text, "/?#", start, end)
    host = text[start:place].partition(":")[0].lower()
    if host.endswith(TABLES.secret_hosts):
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
    is_known = host.endswith(TABLES.webhook_hosts)
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
    pieces, done = [], 0
    for start, end, _ in sorted(found):
        if start >= done:
            pieces += [text[done:start], MASK]
        done = max(done, end)
    return "".join((*pieces, text[done:]))
