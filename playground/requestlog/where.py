"""A LogFilter as SQL: conditions over `runs` (r), `texts` (t) and `targets` (g), values always bound."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TypeAlias

from playground.requestlog.filter import IdTerm, IsTerm, LogFilter, NumberTerm, SinceTerm, Term, TextTerm, WordTerm
from playground.requestlog.rows import microseconds

Value: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class Where:
    """`search` is the full-text expression that leads the query, empty where there is none."""

    conditions: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    search: str = ""

    def select(self, columns: str, extra: str = "", tail: str = "") -> str:
        """A SELECT of `columns` over what matches. `extra` is one more condition; values: `bind`."""
        # CROSS JOIN fixes the order: the search walks its own index newest first, without collecting all of it.
        search = "texts_search AS s CROSS JOIN " if self.search else ""
        leading = ("s.texts_search MATCH ?", "r.number = s.rowid") if self.search else ()
        conditions = (*leading, *self.conditions, *((extra,) if extra else ()))
        used = " ".join((columns, *conditions))
        # Sums over the narrow table alone stay short.
        texts = " JOIN texts AS t ON t.number = r.number" if re.search(r"\bt\.", used) else ""
        targets = " JOIN targets AS g ON g.id = r.target" if re.search(r"\bg\.", used) else ""
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {columns} FROM {search}runs AS r{texts}{targets}{where} {tail}"

    def bind(self, *more: Value) -> tuple[Value, ...]:
        """The values for `select`, those of `extra` and `tail` last."""
        return (*((self.search,) if self.search else ()), *self.values, *more)

    @property
    def number(self) -> str:
        """The column to page by."""
        return "s.rowid" if self.search else "r.number"


def where(log_filter: LogFilter) -> Where:
    """The conditions of a filter."""
    builder = _Builder()
    groups: dict[object, list[Term]] = {}
    for position, term in enumerate(log_filter.terms):
        groups.setdefault(_group(term, position), []).append(term)
    for terms in groups.values():
        builder.add_any(terms)
    return Where(tuple(builder.conditions), tuple(builder.values), " AND ".join(builder.phrases))


_PHASES = {
    "failed": ("failed",),
    "stopped": ("stopped",),
    "done": ("done",),
    "interrupted": ("interrupted",),
    "running": ("waiting", "sent", "streaming", "retrying"),
}


def _group(term: Term, position: int) -> object:
    """Terms with the same answer are alternatives: a request cannot have two statuses, or be two requests."""
    if term.negated:
        return position
    match term:
        case IdTerm():
            return "id"
        case WordTerm(field=field):
            return field
        case NumberTerm(field="status"):
            return "status"
        case IsTerm(word=word) if word in _PHASES:
            return "phase"
    return position


class _Builder:
    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.values: list[Value] = []
        self.phrases: list[str] = []

    def add_any(self, terms: list[Term]) -> None:
        first = terms[0]
        if isinstance(first, TextTerm) and not first.negated and _is_searchable(first.text):
            self.phrases.append(_phrase(first))
            return
        made = [_condition(term) for term in terms]
        joined = " OR ".join(condition for condition, _ in made)
        # IS NOT TRUE: what is unknown is not what was excluded, so it stays.
        self.conditions.append(f"(({joined}) IS NOT TRUE)" if first.negated else f"({joined})")
        for _, values in made:
            self.values += values


def _condition(term: Term) -> tuple[str, tuple[Value, ...]]:
    match term:
        case TextTerm():
            return _text(term)
        case IdTerm():
            return _id(term)
        case NumberTerm():
            return _number(term)
        case WordTerm():
            return _word(term)
        case SinceTerm():
            return "r.started_us >= ?", (microseconds(term.moment),)
        case IsTerm():
            return _is(term)


def _is(term: IsTerm) -> tuple[str, tuple[Value, ...]]:
    if term.word == "marked":
        return "r.marked", ()
    if term.word == "simulated":
        return "g.endpoint_kind = 'simulator'", ()
    phases = _PHASES[term.word]
    return f"r.phase IN ({', '.join('?' * len(phases))})", phases


def _id(term: IdTerm) -> tuple[str, tuple[Value, ...]]:
    # Ids are ASCII, and there SQLite's LIKE takes upper and lower case as the same.
    return "r.number IN (SELECT number FROM ids WHERE id LIKE ? ESCAPE '\\')", (_like(term.part),)


_NUMBER_COLUMNS = {
    "status": "r.status",
    "cached": "r.cached_tokens",
    "in": "r.prompt_tokens",
    "out": "r.completion_tokens",
    "tokens": "coalesce(r.total_tokens, r.prompt_tokens + r.completion_tokens)",
}


def _number(term: NumberTerm) -> tuple[str, tuple[Value, ...]]:
    column = _NUMBER_COLUMNS[term.field]
    if term.unknown:
        return f"{column} IS NULL", ()
    bounds = [(sign, bound) for sign, bound in ((">=", term.low), ("<=", term.high)) if bound is not None]
    return " AND ".join(f"{column} {sign} ?" for sign, _ in bounds), tuple(bound for _, bound in bounds)


def _word(term: WordTerm) -> tuple[str, tuple[Value, ...]]:
    if term.field == "finish":
        if term.word.lower() in ("none", "unknown"):
            return "r.finish_reason IS NULL", ()
        return "r.finish_reason = ? COLLATE NOCASE", (term.word,)
    if term.field == "model":
        return "g.model LIKE ? ESCAPE '\\'", (_like(term.word),)
    return "(g.endpoint_name LIKE ? ESCAPE '\\' OR g.endpoint_id = ?)", (_like(term.word), term.word)


def _like(part: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", part) + "%"


def _text(term: TextTerm) -> tuple[str, tuple[Value, ...]]:
    if _is_searchable(term.text):
        return "r.number IN (SELECT rowid FROM texts_search WHERE texts_search MATCH ?)", (_phrase(term),)
    like = _like(term.text)
    columns = ("t.question", "t.answer", "t.trouble")
    return f"({' OR '.join(f'{column} LIKE ? ESCAPE {chr(39)}{chr(92)}{chr(39)}' for column in columns)})", (like,) * 3


def _phrase(term: TextTerm) -> str:
    quoted = '"' + term.text.replace('"', '""') + '"'
    return quoted if term.exact else quoted + "*"


_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, kana, Han: no spaces between words, so the index cannot help and a scan is due."""


def _is_searchable(text: str) -> bool:
    if _UNSPACED.search(text) or "\0" in text:
        return False
    return any(unicodedata.category(char)[0] in "LN" for char in text)
