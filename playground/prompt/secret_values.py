"""Values under names of secrets: which are secrets, and their parts that are masked elsewhere."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote

from playground.prompt.secret_names import (
    is_placeholder,
    is_secret,
    is_session_id,
    is_word,
    looks_random,
    may_be_secret,
)
from playground.prompt.secret_words import LEAST_CHARS

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
