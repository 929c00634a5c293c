"""One term of a filter as SQL: how a row is tested, and where an index knows the rows that may pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from playground.requestlog.filter import (
    HasTerm,
    IdTerm,
    IsTerm,
    NumberTerm,
    SinceTerm,
    Term,
    TextTerm,
    UntilTerm,
    WordTerm,
)
from playground.requestlog.index import TEXTS
from playground.requestlog.phases import PHASES
from playground.requestlog.rows import microseconds
from playground.requestlog.searching import ID_PIECES, expression, fold
from playground.requestlog.summary import TRAITS

Value: TypeAlias = str | int

UNENDED = "SELECT number FROM runs INDEXED BY runs_owner WHERE owner IS NOT NULL"
"""Runs that are not in the search index yet."""


@dataclass(frozen=True, slots=True)
class Source:
    """A SELECT of row numbers, among which are all that match. `ordered`: it gives the newest first."""

    sql: str
    values: tuple[Value, ...] = ()
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """`row` tests one row; `whole` does the same, best where all rows are tested."""

    row: str
    values: tuple[Value, ...] = ()
    whole: str = ""
    whole_values: tuple[Value, ...] = ()
    source: Source | None = None


def _simple(row: str, values: tuple[Value, ...] = (), source: Source | None = None) -> Condition:
    return Condition(row, values, row, values, source)


def condition_of(term: Term) -> Condition:
    """What a term asks, whether or not it is negated."""
    match term:
        case TextTerm():
            return _text(term)
        case IdTerm():
            return _id(term)
        case NumberTerm():
            return _number(term)
        case WordTerm():
            return _word(term)
        case SinceTerm() | UntilTerm():
            return _moment(term)
        case HasTerm():
            return _has(term)
    return _is(term)


def _indexed(index: str, row: str, values: tuple[Value, ...] = (), of_index: str = "") -> Condition:
    """A condition on columns of `runs` that an index has. `of_index`: the condition of the index itself."""
    bare = re.sub(r"\br\.", "", row)
    more = f" AND {of_index}" if of_index else ""
    return _simple(row, values, Source(f"SELECT number FROM runs INDEXED BY {index} WHERE {bare}{more}", values))


def _is(term: IsTerm) -> Condition:
    if term.word in ("marked", "imported"):
        return _indexed(f"runs_{term.word}", f"r.{term.word}")
    if term.word == "simulated":
        return _target("endpoint_kind = 'simulator'", ())
    if term.word == "running":
        # The others of this kind have ended: few ever run at once.
        return _indexed("runs_owner", f"(r.phase IN {_list(PHASES['running'])} AND r.owner IS NOT NULL)")
    if term.word == "done":
        return _simple("r.phase = 'done'")
    return _indexed("runs_phase", f"r.phase IN {_list(PHASES[term.word])}", (), "phase <> 'done'")


def _list(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


_RARE_TRAITS = ("tools", "error", "json", "retries", "logprobs")


def _has(term: HasTerm) -> Condition:
    match term.word:
        case "tags":
            return _simple("EXISTS (SELECT 1 FROM tags WHERE tags.number = r.number)", (), Source(_ANY_TAG))
        case "comment":
            return _simple("t.comment <> ''")
        case "forecast":
            return _simple("r.forecast_cached IS NOT NULL")
    bit = 1 << TRAITS.index(term.word)
    if term.word in _RARE_TRAITS:
        return _indexed(f"runs_{term.word}", f"r.traits & {bit}")
    return _simple(f"r.traits & {bit}")


_ANY_TAG = "SELECT DISTINCT number FROM tags"


def _moment(term: SinceTerm | UntilTerm) -> Condition:
    sign = ">=" if isinstance(term, SinceTerm) else "<"
    return _indexed("runs_started", f"r.started_us {sign} ?", (microseconds(term.moment),))


def _id(term: IdTerm) -> Condition:
    # Ids are ASCII, and there SQLite's LIKE takes upper and lower case as the same.
    row = "EXISTS (SELECT 1 FROM ids WHERE ids.number = r.number AND ids.id LIKE ? ESCAPE '\\')"
    return _searched(Condition(row, (_like(term.part),)), expression(term.part, ID_PIECES))


def _searched(test: Condition, match: str) -> Condition:
    """A test that the search index can be asked for first, where `match` is something to ask."""
    if not match:
        return replace(test, whole=test.row, whole_values=test.values)
    maybe = f"(r.number IN (SELECT rowid FROM texts_search WHERE texts_search MATCH ?) OR r.number IN ({UNENDED}))"
    source = Source(
        "SELECT rowid FROM texts_search WHERE texts_search MATCH ? ORDER BY rowid DESC", (match,), ordered=True
    )
    return Condition(test.row, test.values, f"({maybe} AND {test.row})", (match, *test.values), source)


_NUMBERS = {
    "status": ("r.status", "runs_status"),
    "cached": ("r.cached_tokens", "runs_cached"),
    "in": ("r.prompt_tokens", "runs_prompt"),
    "out": ("r.completion_tokens", "runs_completion"),
    "tokens": ("coalesce(r.total_tokens, r.prompt_tokens + r.completion_tokens)", "runs_tokens"),
}


def _number(term: NumberTerm) -> Condition:
    column, index = _NUMBERS[term.field]
    bounds = [(sign, bound) for sign, bound in ((">=", term.low), ("<=", term.high)) if bound is not None]
    values = () if term.unknown else tuple(bound for _, bound in bounds)
    row = f"{column} IS NULL" if term.unknown else " AND ".join(f"{column} {sign} ?" for sign, _ in bounds)
    if term.field != "status":
        return _indexed(index, row, values)
    if not term.unknown and (term.low or 0) <= 200 <= (term.high or 999):
        return _simple(row, values)
    return _indexed(index, row, values, "status IS NOT 200")


def _word(term: WordTerm) -> Condition:
    match term.field:
        case "finish":
            return _finish(term.word)
        case "tag":
            return _tag(term.word)
        case "model":
            return _target("model LIKE ? ESCAPE '\\'", (_like(term.word),))
    return _target("(endpoint_name LIKE ? ESCAPE '\\' OR endpoint_id = ?)", (_like(term.word), term.word))


def _finish(word: str) -> Condition:
    if word.lower() in ("none", "unknown"):
        return _indexed("runs_finish", "r.finish_reason IS NULL", (), "finish_reason IS NOT 'stop'")
    row, values = "r.finish_reason = ? COLLATE NOCASE", (word,)
    if word.lower() == "stop":
        return _simple(row, values)
    return _indexed("runs_finish", row, values, "finish_reason IS NOT 'stop'")


def _tag(word: str) -> Condition:
    if word.lower() in ("none", "unknown"):
        return _simple("NOT EXISTS (SELECT 1 FROM tags WHERE tags.number = r.number)")
    row = "EXISTS (SELECT 1 FROM tags WHERE tags.tag = ? AND tags.number = r.number)"
    return _simple(row, (word,), Source("SELECT number FROM tags WHERE tag = ?", (word,)))


def _target(condition: str, values: tuple[Value, ...]) -> Condition:
    among = f"(SELECT id FROM targets WHERE {condition})"
    return _indexed("runs_target", f"r.target IN {among}", values)


def _like(part: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", part) + "%"


_IS_ID_LIKE = re.compile(r"[\w.:-]+", re.ASCII)


def _text(term: TextTerm) -> Condition:
    part = fold(term.text)
    row = f"holds(?, ?, {', '.join(f't.{column}' for column in TEXTS)})"
    values: tuple[Value, ...] = (part, int(term.exact))
    if _IS_ID_LIKE.fullmatch(part) and not term.exact:
        row = f"({row} OR EXISTS (SELECT 1 FROM ids WHERE ids.number = r.number AND ids.id LIKE ? ESCAPE '\\'))"
        values = (*values, _like(part))
    return _searched(Condition(row, values), expression(term.text))
