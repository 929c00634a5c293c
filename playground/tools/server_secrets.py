"""Secrets in the command line or address of a tool server: found, replaced by placeholders, and put back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile

from playground.prompt.secret_names import looks_random
from playground.prompt.secret_texts import secrets_of_arguments, spans_in
from playground.prompt.secret_values import is_literal

PLACEHOLDER = re.compile(r"\{secret:([0-9a-f]{12})-(\d{1,6})\}")
# From the colon on: a search for the scheme takes the square of the time in a long word.
_URL = re.compile(r"(?<=[A-Za-z0-9+.-])://[^\s/?#]*(?P<path>[^\s?#]*)(?P<query>\S*)")
_GENERATED = re.compile(r"(?<=[/=#])[^/?&#;=]{16,}")
_ID = re.compile(r"[0-9a-fA-F-]{32,}")
_VARIABLE = re.compile(r"\$(?:[{(]|[A-Z_][A-Z0-9_]*(?![a-z]))")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=(.+)", re.DOTALL)
_SETTING = re.compile(r"(?i)[\d.]+|true|false|yes|no|on|off|debug|info|warn(?:ing)?|error|production|development")


def conceal(text: str, new_id: Callable[[Sequence[str]], str]) -> tuple[str, tuple[str, ...]]:
    """Return the text of a server with a placeholder for each secret, and the secrets.

    References to variables ($NAME) are no secrets. A command line that cannot be written in its own quotation
    marks is quoted again. `new_id` gives the id of these secrets for the placeholders.
    """
    words = _words(text)
    spans = _spans(words)
    secrets = tuple(word[start:end] for word, found in zip(words, spans, strict=True) for start, end in found)
    if not secrets:
        return text, ()
    id, number, stored = new_id(secrets), 0, []
    for word, found in zip(words, spans, strict=True):
        parts, at = [], 0
        for start, end in found:
            parts += [word[at:start], f"{{secret:{id}-{number}}}"]
            at, number = end, number + 1
        stored.append("".join([*parts, word[at:]]))
    return _in_own_quotes(text, stored, id, secrets), secrets


def secret_id(text: str) -> str | None:
    """Return the id in the placeholders of a text; None without one."""
    found = PLACEHOLDER.search(text)
    return found[1] if found else None


def filled(word: str, secrets: Sequence[str]) -> str:
    """Return a word of a server's text with its secrets. Raises IndexError if there is no such secret."""
    return PLACEHOLDER.sub(lambda found: secrets[int(found[2])], word)


def _words(text: str) -> list[str]:
    if "://" in (text.split(maxsplit=1) or [""])[0]:
        return [text]
    for end in ("", '"', "'"):  # a quotation mark that is not closed yet
        with suppress(ValueError):
            return shlex.split(text + end)
    return text.split()


def _in_own_quotes(text: str, stored: list[str], id: str, secrets: Sequence[str]) -> str:
    for number, secret in enumerate(secrets):
        text = text.replace(secret, f"{{secret:{id}-{number}}}", 1)
    with suppress(ValueError):
        if stored == (shlex.split(text) if len(stored) > 1 or stored[0] != text else stored):
            return text
    return stored[0] if "://" in stored[0] and len(stored) == 1 else shlex.join(stored)


def _spans(words: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Return where each word has secrets: in order, without overlaps."""
    candidates = [list(_candidates(word)) for word in words]
    for place, secret in secrets_of_arguments(words, lenient=True):
        candidates[place].append((secret.start, secret.end))
    for place, assigned in enumerate(
        takewhile(bool, map(_ASSIGNMENT.fullmatch, words))
    ):  # NAME=value before the program
        if assigned and is_literal(assigned[1]) and not _SETTING.fullmatch(assigned[1]):
            candidates[place].append(assigned.span(1))
    return [_without_overlaps(word, found) for word, found in zip(words, candidates, strict=True)]


def _without_overlaps(word: str, candidates: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    stored = [place.span() for place in PLACEHOLDER.finditer(word)]
    for start, end in sorted(candidates, key=lambda span: (span[0], -span[1])):
        is_taken = any(start < late and early < end for early, late in [*stored, *found[-1:]])
        if not is_taken and not _VARIABLE.search(word, start, end):
            found.append((start, end))
    return found


def _candidates(word: str) -> Iterator[tuple[int, int]]:
    for secret in spans_in(word, lenient=True):
        start, end = secret.start, secret.end
        if word[end : end + 1] == "@" and (colon := word.find(":", start, end - 1)) >= 0:
            start = colon + 1  # the user's name is no secret
        yield start, end
    for url in _URL.finditer(word):
        for part in _GENERATED.finditer(word, url.start("path"), url.end("query")):
            if looks_random(part[0]) or (part.end() <= url.end("path") and _ID.fullmatch(part[0])):
                yield part.span()
    if "/" not in word and "." not in word and looks_random(word):
        yield 0, len(word)
