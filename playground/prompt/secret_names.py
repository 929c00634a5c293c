"""Names of header and query fields, cookies and parameters whose values are secrets."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from playground.prompt import secret_words

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


_ENDING = re.compile(rf"(?:{'|'.join(map(_plain, secret_words.ENDINGS))})[是为は]?$")
_PASS = re.compile(r"(.+)(?:pass|pw)$")
_WHOLE, _FIRST, _KEYWORDS = (
    frozenset(map(_plain, words)) for words in (secret_words.WHOLE, secret_words.FIRST, secret_words.KEYWORDS)
)
_FIRST_WORDS = (*_FIRST, "contraseña", "hasło", "jelszó")
_PHRASES = tuple(tuple(_plain(phrase).split()) for phrase in secret_words.PHRASES)
_PHRASE_ENDS = frozenset(phrase[-1] for phrase in _PHRASES)
_PLURALS = {f"{word}s": word for word in secret_words.PLURALS}
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
    are in `secret_words`.
    """
    if len(name) > _LONGEST:
        return False
    words = _words(name)
    while words and (words[-1].isdigit() or words[-1] in secret_words.NEUTRAL):
        words.pop()
    if words:
        words[-1] = _PLURALS.get(words[-1], words[-1])
    if not words or is_public(name) or _is_public(words):
        return False
    last = words[-1]
    if last in secret_words.OTHER_WORDS or " ".join(words[-2:]) in secret_words.VALUE_DECIDES:
        return False
    if last in _WHOLE or _ENDING.search(last) is not None or not _FIRST.isdisjoint(words[-4:]):
        return True
    before = _PASS.fullmatch(last)
    if before is not None and before[1] in secret_words.BEFORE_PASS:
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
    return bool(words) and (words[-1] in _PHRASE_ENDS or words[-1] in secret_words.NEUTRAL)


def is_public(name: str) -> bool:
    """Return whether the name is known to hold no secret: Sec-WebSocket-Key, Idempotency-Key, prompt_cache_key."""
    return _is_public(_words(name))


def _is_public(words: list[str]) -> bool:
    if words[:1] == ["sec"]:
        return True
    before, last = words[-2:-1], words[-1:]
    return bool(before) and (
        (last == ["key"] and before[0] in secret_words.PUBLIC_KEYS)
        or (last == ["token"] and before[0] in secret_words.PUBLIC_TOKENS)
        or f"{before[0]} {last[0]}" in _KEYWORDS
    )


def is_session_id(name: str) -> bool:
    """Return whether the name is of a session's id: a secret in a cookie, of a conversation elsewhere."""
    return _words(name)[-2:] in (["session", "id"], ["sess", "id"]) or _words(name) == ["sessionid"]


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, the last one in the singular if it names secrets."""
    words = [word.lower() for word in _WORD.findall(_plain(name))]
    if words[-1:] == ["tokens"] and words[-2:-1] and words[-2] in secret_words.OWNERS_OF_TOKENS:
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
_LONG_WORD, _HUMP_CHARS, _LONG_HUMP_CHARS = 8, 2.75, 4.25


def is_word(text: str) -> bool:
    """Return whether letters can be a word of any language, also in camel case: `jObCZGvGiCaY` cannot.

    20 of 21 texts of random letters, capital and small, are none.
    """
    if not text.isascii() or len(text) < _LONG_WORD:
        return True
    humps = _HUMP.findall(text)
    unspoken = sum(_SPOKEN.fullmatch(hump) is None for hump in humps)
    chars = len(text) / len(humps)
    return chars >= (_LONG_HUMP_CHARS if unspoken else _HUMP_CHARS) and 2 * unspoken <= len(humps)


_PLACEHOLDERS = (
    "a any anything api apikey bearer change changeme cpp default demo dummy empty example fake here ignored insert "
    "key llama lm lmstudio local me my needed no none not null ollama openai placeholder required sample secret sk "
    "studio test testing the token unused vllm x xx xxx xxxx xxxxxxxx your"
)
_PLACEHOLDER_WORDS = frozenset(_PLACEHOLDERS.split())


def is_placeholder(value: str) -> bool:
    """Return whether a key is a word that local servers ignore, as lm-studio or your-api-key: masking garbles text."""
    words = re.findall(r"[a-z0-9]+", value.lower())
    return bool(words) and all(word in _PLACEHOLDER_WORDS for word in words)
