"""Secrets in the command line or address of a tool server: found, replaced by placeholders, and put back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile

from playground.prompt.secret_names import is_secret, looks_random, may_be_secret

PLACEHOLDER = re.compile(r"\{secret:([0-9a-f]{12})-(\d{1,6})\}")
# From the colon on: a search for the scheme takes the square of the time in a long word.
_URL = re.compile(r"(?<=[A-Za-z0-9+.-])://\S+")
_USER = re.compile(r"://(?:[^\s/?#@:]*:)?([^\s/?#@]+)@")
_PAIR = re.compile(r"[?&#;]([^=?&#;]+)=([^&#;]+)")
_SEGMENT = re.compile(r"(?<=/)[^/?#]{16,}")
_ID = re.compile(r"[0-9a-fA-F-]{32,}")
_NAMED = re.compile(r"-{0,2}([A-Za-z_][\w.-]*)=(.+)", re.DOTALL)
_OPTION = re.compile(r"--?([A-Za-z][\w-]*)")
_HEADER = re.compile(r"(?:^|=)([A-Za-z][\w-]*):\s*(?:(?:bearer|basic|token|apikey)\s+)?(\S.*)$", re.I | re.DOTALL)
_FIELD = re.compile(r'"([^"\\]+)"\s*:\s*"((?:[^"\\]|\\.)+)"')
_PART = re.compile(r"(?:^|;)\s*([A-Za-z][\w -]*?)\s*=\s*([^;]+)")
"""A part of a connection string: `Server=h;Password=...;`"""
_HOOK = re.compile(r"(?i)(?:web)?hooks?[/.-]\S*/([^/?#\s]{8,})(?=[?#]|$)")
_KEY = re.compile(r"(?:sk[-_]|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|pat-|AKIA|eyJ)[\w.-]{8,}")
_NAME_AND_PASSWORD = re.compile(r"[^\s:]*:(.+)", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=(.+)", re.DOTALL)
_SETTING = re.compile(r"(?i)[\d.]+|true|false|yes|no|on|off|debug|info|warn(?:ing)?|error|production|development")
_USER_OPTIONS = frozenset(("user", "u", "proxy-user"))


def conceal(text: str, new_id: Callable[[Sequence[str]], str]) -> tuple[str, tuple[str, ...]]:
    """Return the text of a server with a placeholder for each secret, and the secrets.

    References to variables ($NAME) are no secrets. A command line that cannot be written in its own quotation
    marks is quoted again. `new_id` gives the id of these secrets for the placeholders.
    """
    words = _words(text)
    assigned = list(takewhile(bool, map(_ASSIGNMENT.fullmatch, words)))  # NAME=value before the program
    spans = [_spans(words, place, assigned[place] if place < len(assigned) else None) for place in range(len(words))]
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


def _spans(words: Sequence[str], place: int, assigned: re.Match[str] | None) -> list[tuple[int, int]]:
    """Return where a word has secrets: in order, without overlaps. `assigned`: the word sets a variable."""
    word, before = words[place], words[place - 1] if place else ""
    option = _OPTION.fullmatch(before)
    found: list[tuple[int, int]] = []
    candidates = list(_candidates(word, option[1] if option else ""))
    if assigned and not _SETTING.fullmatch(assigned[1]):
        candidates.append(assigned.span(1))
    for start, end in candidates:
        value = word[start:end]
        if "$" in value or PLACEHOLDER.search(value) or any(start < late and early < end for early, late in found):
            continue
        found.append((start, end))
    return sorted(found)


def _candidates(word: str, option: str) -> Iterator[tuple[int, int]]:
    for url in _URL.finditer(word):
        yield from _in_address(word, *url.span())
    yield from (field.span(2) for field in _FIELD.finditer(word) if _named(field[1], field[2]))
    header = _HEADER.search(word)
    if header and (is_secret(header[1]) or (may_be_secret(header[1]) and looks_random(header[2]))):
        yield header.span(2)
    pair = _NAMED.fullmatch(word)
    if pair and "://" not in word and not header and _named(pair[1], pair[2]):
        yield pair.span(2)
    yield from (part.span(2) for part in _PART.finditer(word) if ";" in word and is_secret(part[1]))
    if option in _USER_OPTIONS and (user := _NAME_AND_PASSWORD.fullmatch(word)):
        yield user.span(1)
    hides = is_secret(option) and not option.startswith("no-")
    if hides and not header and not word.startswith("--") and "://" not in word:
        yield 0, len(word)
    yield from (key.span() for key in _KEY.finditer(word))
    if "/" not in word and "." not in word and "://" not in word and looks_random(word):
        yield 0, len(word)


def _named(name: str, value: str) -> bool:
    return is_secret(name) or name.lower().endswith("pat") or (may_be_secret(name) and looks_random(value))


def _in_address(word: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for user in _USER.finditer(word, start, end):
        yield user.span(1)
    for pair in _PAIR.finditer(word, start, end):
        if _named(pair[1], pair[2]) or looks_random(pair[2]):
            yield pair.span(2)
    hook = _HOOK.search(word, start, end)
    if hook and any(map(str.isdigit, hook[1])):
        yield hook.span(1)
    query = re.compile(r"[?#]").search(word, start, end)
    host_end = word.find("/", word.index("://", start) + 3)
    if host_end >= 0:
        for segment in _SEGMENT.finditer(word, host_end, query.start() if query else end):
            if looks_random(segment[0]) or _ID.fullmatch(segment[0]):
                yield segment.span()
