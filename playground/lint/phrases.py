"""What prompts say in each language, as lint rules use it; the tables are in `resources/phrases/prompts.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from playground.assets import asset


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language; stems are in lower case.

    `filler` asks for a spoken acknowledgement before a tool call, `json_line` for JSON. `waits`: what a prompt says
    that asks for such an acknowledgement, or forbids it. `before`: the bare word, which counts only in a sentence with
    one of `tool` and, if the language lists any, one of `say`. `voice`: how a spoken agent's prompt describes itself;
    `answer`: how a prompt says “answer”; `not_words`: how it says “not”.
    """

    code: str
    name: str
    filler: str
    json_line: str
    waits: tuple[str, ...]
    before: tuple[str, ...]
    tool: tuple[str, ...]
    say: tuple[str, ...]
    voice: tuple[str, ...]
    answer: tuple[str, ...]
    not_words: tuple[str, ...]


def _phrases(code: str, row: Mapping[str, str | list[str]]) -> Phrases:
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    stems = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Phrases(code, **texts, **stems)  # type: ignore[arg-type]  # the file's own fields, checked by a test


def _load() -> dict[str, Phrases]:
    rows = json.loads((asset("phrases") / "prompts.json").read_text("utf-8"))
    return {code: _phrases(code, row) for code, row in rows.items()}


PHRASES = _load()
"""By ISO 639-1 code."""
