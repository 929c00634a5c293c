"""The phrases of one language, as lint rules use them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. `filler` asks for a spoken acknowledgement before a tool, `json_line` for JSON.

    `waits` are what a prompt says that asks for such an acknowledgement, or forbids it; `voice` what a spoken agent's
    prompt says of itself; `answer` how a prompt says "answer"; `not_words` how it says "not".
    """

    code: str
    name: str
    filler: str
    json_line: str
    waits: tuple[str, ...]
    voice: tuple[str, ...]
    answer: tuple[str, ...]
    not_words: tuple[str, ...]


def row(code: str, name: str, filler: str, json_line: str, *stems: str) -> Phrases:
    """Stems are given as one string a kind, parted by |."""
    waits, voice, answer, not_words = (tuple(text.split("|")) for text in stems)
    return Phrases(code, name, filler, json_line, waits, voice, answer, not_words)
