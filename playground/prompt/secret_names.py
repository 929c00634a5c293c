"""Names of header and query fields, cookies and parameters whose values are secrets."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SECRET_WORD = re.compile(
    r"(?:key|token|secret|passw(?:or)?d|passphrase|credentials?|signature|authorization|authentication|sessionid|auth"
    r"|session|cookies?|bearer|assertion|jwt)$|^(?:sig|sas|pwd|sid|sessid|phpsessid|otp)$"
)
_OTHER_WORDS = frozenset(("monkey", "donkey", "turkey", "hockey", "whiskey", "jockey", "hotkey", "passkey"))
_KEYS_OF_DATA = "idempotency cache partition routing sort primary foreign surrogate dedupe dedup lookup public shortcut"
_PUBLIC_KEYS = frozenset(_KEYS_OF_DATA.split())
_PLURALS = {f"{word}s": word for word in ("key", "secret", "password", "passwd", "passphrase", "jwt")}
_OWNERS_OF_TOKENS = frozenset(("access", "api", "auth", "bearer", "bot", "refresh", "secret", "session", "user"))
"""Words before `tokens` that make it a list of secrets; otherwise it is a count (max_tokens)."""
_NEUTRAL = frozenset(("value", "header", "raw", "hex", "base64"))
_MAYBE = re.compile(
    r"(?i)key|token|secret|auth|passw|pwd|credential|cookie|session|sig|jwt|ticket|nonce|\bsid\b|^code$"
)


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Return whether the value of a field of this name is a secret.

    The last word decides: X-Auth-Token and accessToken are, X-Token-Limit, X-Author and X-Tokenizer are not.
    """
    words = _words(name)
    while words and (words[-1].isdigit() or words[-1] in _NEUTRAL):
        words.pop()
    if not words or is_public(name):
        return False
    if words[-1] == "id":
        return words[-2:-1] in (["session"], ["sess"])
    return words[-1] not in _OTHER_WORDS and _SECRET_WORD.search(words[-1]) is not None


@lru_cache(maxsize=1024)
def may_be_secret(name: str) -> bool:
    """Return whether a value under this name is a secret if it also looks like one: X-Token-Custom, code."""
    return _MAYBE.search(name) is not None and not is_public(name)


def is_public(name: str) -> bool:
    """Return whether the name is known to hold no secret: Sec-WebSocket-Key, Idempotency-Key, prompt_cache_key."""
    words = _words(name)
    return words[:1] == ["sec"] or (words[-1:] == ["key"] and words[-2:-1] != [] and words[-2] in _PUBLIC_KEYS)


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, the last one in the singular if it names secrets."""
    words = [word.lower() for word in _WORD.findall(name)]
    if words[-1:] == ["tokens"] and words[-2:-1] and words[-2] in _OWNERS_OF_TOKENS:
        words[-1] = "token"
    elif words:
        words[-1] = _PLURALS.get(words[-1], words[-1])
    return words


_RUN = re.compile(r"[A-Za-z0-9]+")
_KINDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LEAST, _MIXED, _CHANGES = 16, 3, 4


def looks_random(text: str) -> bool:
    """Return whether a text mixes capitals, small letters and digits within its parts, as generated values do.

    Names such as gpt-4o-mini-2024-07-18 or ChristopherRobinson do not.
    """
    if len(text) < _LEAST or not any(map(str.isdigit, text)):
        return False
    kinds = (len(_KINDS.findall(run)) for run in _RUN.findall(text))
    return sum(count - 1 for count in kinds if count >= _MIXED) >= _CHANGES


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
