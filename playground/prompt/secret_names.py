"""Names of secrets in header and query fields, cookies, parameters and options, in several languages: the one table of
their words.

Names are split into words, in lower case and without accents: `X-Api-Key`, `accessToken`, `DB_PASSWORD_2`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import msgspec
from msgspec import Struct

from playground import asset

MASK = "sk_…"
"""What is displayed, logged and exported in place of a secret."""
LEAST_CHARS = 8
"""Shorter values are masked in addresses only: elsewhere they are words of other texts too."""


class SecretNames(Struct, frozen=True):
    """The tables of `resources/secret_names.json`. Words of names are in lower case."""

    endings: tuple[str, ...]
    """A name is of a secret if its last word has one of these at its end, as `apikey` or `dbpassword`."""
    whole: frozenset[str]
    """A name is of a secret if its last word is one of these."""
    before_pass: frozenset[str]
    """Words before `pass` and `pw` in one word, as `dbpass` or `bindpw`; bypass and compass are none."""
    phrases: tuple[str, ...]
    """Last words of a name."""
    neutral: frozenset[str]
    """Words at the end that say nothing about the kind of value."""
    first: frozenset[str]
    """Words that decide although up to three words follow: `пароль_бд`, `senha do banco`."""
    other_words: frozenset[str]
    """Words that end like a secret and are none."""
    public_keys: frozenset[str]
    """Words before `key` that make the value no secret."""
    public_tokens: frozenset[str]
    """Words before `token` that make the value no secret."""
    keywords: frozenset[str]
    """`keyword` in other languages."""
    value_decides: frozenset[str]
    """Names of secrets of some services and of plain words of others: the value decides."""
    verbs: tuple[str, ...]
    """Words between a name and its value in a sentence."""
    plurals: tuple[str, ...]
    """Words with a plural in `s`."""
    owners_of_tokens: frozenset[str]
    """Words before `tokens` that make it a list of secrets; otherwise it is a count (max_tokens)."""
    public_fields: frozenset[str]
    """Fields in an object of secrets (`authentication: {...}`) that are none."""
    password_options: dict[str, frozenset[str]]
    """Options that a password follows, and the programs or commands (`docker login`) that have them."""
    attached: frozenset[str]
    """Programs whose option `-p` has the password in the same word."""
    user_options: frozenset[str]
    """Options that `user:password` follows."""
    user_programs: frozenset[str]
    """Programs that have them; of other programs the value decides."""
    webhook_hosts: tuple[str, ...]
    """Hosts whose paths are a permission to call them."""
    secret_hosts: tuple[str, ...]
    """Hosts whose first label is one."""
    placeholders: frozenset[str]
    """Words of keys that local servers ignore."""


TABLES = msgspec.json.decode(asset("secret_names.json").read_bytes(), type=SecretNames)

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_A-Za-z]+")
_LETTERS = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ı": "i", "ß": "ss", "æ": "ae"})
"""Letters that have no form without an accent."""


def _plain(text: str) -> str:
    """Return a text without accents and other marks."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(one for one in decomposed if not unicodedata.category(one).startswith("M"))
    return unicodedata.normalize("NFC", bare.translate(_LETTERS))


_ENDING = re.compile(rf"(?:{'|'.join(map(_plain, TABLES.endings))})[是为は]?$")
_PASS = re.compile(r"(.+)(?:pass|pw)$")
_WHOLE, _FIRST, _KEYWORDS = (frozenset(map(_plain, words)) for words in (TABLES.whole, TABLES.first, TABLES.keywords))
_FIRST_WORDS = (*_FIRST, "contraseña", "hasło", "jelszó")
_PHRASES = tuple(tuple(_plain(phrase).split()) for phrase in TABLES.phrases)
_PHRASE_ENDS = frozenset(phrase[-1] for phrase in _PHRASES)
_PLURALS = {f"{word}s": word for word in TABLES.plurals}
_MAYBE = re.compile(
    r"(?i)key|token|secret|auth|passw|pwd|credential|cookie|session|sig|jwt|ticket|nonce|connection_?str|conn_?str|\bdsn\b"
    r"|\bsid\b|^code$"
)
_LONGEST = 256
"""Characters of a name; what is longer is none."""


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Return whether the value of a field of this name is a secret.

    The last word decides: X-Auth-Token and accessToken are, X-Token-Limit, X-Author and X-Tokenizer are not. The words
    are in `TABLES`.
    """
    if len(name) > _LONGEST:
        return False
    words = _words(name)
    while words and (words[-1].isdigit() or words[-1] in TABLES.neutral):
        words.pop()
    if words:
        words[-1] = _PLURALS.get(words[-1], words[-1])
    if not words or is_public(name) or _is_public(words):
        return False
    last = words[-1]
    if last in TABLES.other_words or " ".join(words[-2:]) in TABLES.value_decides:
        return False
    if last in _WHOLE or _ENDING.search(last) is not None or not _FIRST.isdisjoint(words[-4:]):
        return True
    before = _PASS.fullmatch(last)
    if before is not None and before[1] in TABLES.before_pass:
        return True
    return any(tuple(words[-len(phrase) :]) == phrase for phrase in _PHRASES)


@lru_cache(maxsize=4096)
def may_be_secret(name: str) -> bool:
    """Return whether a value under this name is a secret if it also looks like one: X-Token-Custom, code."""
    return len(name) <= _LONGEST and _MAYBE.search(name) is not None and not is_public(name)


def has_first_word(text: str) -> bool:
    """Return whether a text has a word that makes a name of a secret although others follow it."""
    text = text.lower()
    return any(word in text for word in _FIRST_WORDS)


@lru_cache(maxsize=4096)
def may_end_secret(name: str) -> bool:
    """Return whether the words before `name` can make it the name of a secret: `passe`, as in `mot de passe`."""
    words = _words(name) if len(name) <= _LONGEST else []
    return bool(words) and (words[-1] in _PHRASE_ENDS or words[-1] in TABLES.neutral)


def is_public(name: str) -> bool:
    """Return whether the name is known to hold no secret: Sec-WebSocket-Key, Idempotency-Key, prompt_cache_key."""
    return _is_public(_words(name))


def _is_public(words: list[str]) -> bool:
    if words[:1] == ["sec"]:
        return True
    before, last = words[-2:-1], words[-1:]
    return bool(before) and (
        (last == ["key"] and before[0] in TABLES.public_keys)
        or (last == ["token"] and before[0] in TABLES.public_tokens)
        or f"{before[0]} {last[0]}" in _KEYWORDS
    )


def is_session_id(name: str) -> bool:
    """Return whether the name is of a session's id: a secret in a cookie, of a conversation elsewhere."""
    return _words(name)[-2:] in (["session", "id"], ["sess", "id"]) or _words(name) == ["sessionid"]


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, the last one in the singular if it names secrets."""
    words = [word.lower() for word in _WORD.findall(_plain(name))]
    if words[-1:] == ["tokens"] and words[-2:-1] and words[-2] in TABLES.owners_of_tokens:
        words[-1] = "token"
    elif words:
        words[-1] = _PLURALS.get(words[-1], words[-1])
    return words


_RUN = re.compile(r"[A-Za-z0-9]+")
_KINDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LEAST, _MIXED, _CHANGES = 16, 3, 4


def looks_random(text: str, least: int = _LEAST) -> bool:
    """Return whether a text mixes capitals, small letters and digits within its parts, as generated values do.

    Names such as gpt-4o-mini-2024-07-18 or ChristopherRobinson do not, nor texts of fewer than `least` characters.
    """
    if len(text) < least or not any(map(str.isdigit, text)):
        return False
    kinds = (len(_KINDS.findall(run)) for run in _RUN.findall(text))
    return sum(count - 1 for count in kinds if count >= _MIXED) >= _CHANGES


_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SPOKEN = re.compile(r"[A-Za-z]?[a-z]*[aeiouy][a-z]*|[AEIOUY][a-z]+|[A-Z]{2,4}|[A-Z]*[AEIOUY][A-Z]*")
_LONG_WORD, _LONG_CAPITALS, _HUMP_CHARS, _LONG_HUMP_CHARS = 8, 6, 2.75, 4.25


def is_word(text: str) -> bool:
    """Return whether letters can be a word of any language, also in camel case: `jObCZGvGiCaY` cannot.

    20 of 21 texts of random letters, capital and small, are none.
    """
    if not text.isascii() or len(text) < _LONG_WORD:
        return True
    humps = _HUMP.findall(text)
    unspoken = sum(
        _SPOKEN.fullmatch(hump) is None or (len(humps) > 1 and len(hump) > _LONG_CAPITALS and hump.isupper())
        for hump in humps
    )
    chars = len(text) / len(humps)
    return chars >= (_LONG_HUMP_CHARS if unspoken else _HUMP_CHARS) and 2 * unspoken <= len(humps)


_NUMBERED_WORD = re.compile("[0-9]{0,4}([A-Za-z]{1,12})[0-9]{0,4}|[A-Za-z]+|[0-9]+()")
_LEAST_GENERATED, _LEAST_DISTINCT = 8, 5


def is_generated(text: str) -> bool:
    """Return whether a part of a text between its signs is generated: no word, number, word with a short number, or
    filling. `sk_test_your_key_2` and `sk-proj-xxxxxxxxxxxx` have none."""
    parts = [one for one in _RUN.findall(text) if len(one) >= _LEAST_GENERATED and len(set(one)) >= _LEAST_DISTINCT]
    words = map(_NUMBERED_WORD.fullmatch, parts)
    return not all(word and is_word(word[word.lastindex or 0]) for word in words)


def is_placeholder(value: str) -> bool:
    """Return whether a key is a word that local servers ignore, as lm-studio or your-api-key: masking garbles text."""
    words = re.findall(r"[a-z0-9]+", value.lower())
    return bool(words) and all(word in TABLES.placeholders for word in words)
