"""Translation of a LogFilter to SQL over `runs` (r), `texts` (t) and `targets` (g); values are always bound."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from playground.requestlog.filter import (
    GROUP_KINDS,
    PHASES,
    HasTerm,
    IdTerm,
    IsTerm,
    LogFilter,
    NumberTerm,
    Order,
    SinceTerm,
    Term,
    TextTerm,
    UntilTerm,
    WordTerm,
)
from playground.requestlog.index import ID_PIECES, PIECES, RUNS, SHIFT, TEXTS, any_of, column_text, fold, pieces, query
from playground.requestlog.log_queries import FEW_IDS
from playground.requestlog.rows import TRAITS, both_ids, microseconds

Value: TypeAlias = str | int | bytes

_RUNS_OF = f"CROSS JOIN runs AS r ON r.number BETWEEN b.block << {SHIFT} AND (b.block << {SHIFT}) + {RUNS - 1}"
_FOUND = (
    f"SELECT r.number FROM search_blocks AS b {_RUNS_OF} WHERE may_hold(b.bits, ?) "
    f"UNION SELECT r.number FROM open_blocks AS b {_RUNS_OF}"
)
"""Runs that may match a query of the text search, those that it does not index yet included."""
_OPEN = f"r.number >> {SHIFT} IN (SELECT block FROM open_blocks)"
_IN_BLOCKS = f"(r.number >> {SHIFT} IN (SELECT block FROM search_blocks WHERE may_hold(bits, ?)) OR {_OPEN})"


class RowSource(Struct, frozen=True):
    """A SELECT of row numbers that include all matches.

    `query`: the query of the text search that finds the same. `elements`: requests with one of these elements of
    prompts may match, too, and so may `numbers`.
    """

    sql: str
    values: tuple[Value, ...] = ()
    query: str = ""
    elements: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()


class Condition(Struct, frozen=True):
    """`row` tests one row; `whole` is the equivalent that is faster if all rows are tested."""

    row: str
    values: tuple[Value, ...] = ()
    whole: str = ""
    whole_values: tuple[Value, ...] = ()
    source: RowSource | None = None


def _simple(row: str, values: tuple[Value, ...] = (), source: RowSource | None = None) -> Condition:
    return Condition(row, values, row, values, source)


Elements: TypeAlias = Callable[[str], list[int] | None]
"""Returns the elements of prompts that have a text; None if there are too many to list."""
Ids: TypeAlias = Callable[[str], list[int]]
"""Returns the numbers of the requests with an id; empty if other parts of ids must be compared."""


class Lookup(Struct, frozen=True):
    """Queries of the log that a condition needs."""

    elements: Elements
    ids: Ids
    listed: Callable[[frozenset[str]], tuple[list[int], list[str]]]
    """Returns the numbers of the requests with one of many ids or parts of ids, and some that must be compared."""


def condition_of(term: Term, lookup: Lookup) -> Condition:
    """Return the condition of a term, whether or not it is negated."""
    match term:
        case TextTerm():
            return _text(term, lookup)
        case IdTerm():
            return _id(term, lookup.ids)
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
    """Return a condition on indexed columns of `runs`. `of_index`: the condition of the index itself."""
    bare = re.sub(r"\br\.", "", row)
    more = f" AND {of_index}" if of_index else ""
    return _simple(row, values, RowSource(f"SELECT number FROM runs INDEXED BY {index} WHERE {bare}{more}", values))


def _is(term: IsTerm) -> Condition:
    if term.word in ("marked", "imported"):
        return _indexed(f"runs_{term.word}", f"r.{term.word}")
    if term.word == "simulated":
        return _target("endpoint_kind = 'simulator'", ())
    if term.word == "running":
        # All others have ended; few run at the same time.
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
            return _simple("EXISTS (SELECT 1 FROM tags WHERE tags.number = r.number)", (), RowSource(_ANY_TAG))
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


def _id(term: IdTerm, ids: Ids) -> Condition:
    if found := ids(term.part):
        return _numbered(found)
    # Ids are ASCII, for which SQLite's LIKE ignores case.
    if _RUN_ID.fullmatch(term.part):
        # The search does not index run ids; a whole one is found by the table's own index.
        run_id = both_ids(term.part.lower())
        by_run = RowSource(
            f"SELECT number FROM runs WHERE run_id IN (?, ?) UNION {_FOUND}",
            (*run_id, query(pieces(term.part, PIECES))),
        )
        has_part = _has_id(term.part)
        return _simple(f"(r.run_id IN (?, ?) OR {has_part.row})", (*run_id, *has_part.values), by_run)
    return _searched(_has_id(term.part), pieces(term.part, ID_PIECES))


def _numbered(numbers: list[int]) -> Condition:
    listed = f"({', '.join(map(str, numbers))})"
    return _simple(f"r.number IN {listed}", (), RowSource(f"SELECT number FROM runs WHERE number IN {listed}"))


def _has_id(part: str) -> Condition:
    """Return the condition for rows with this part of an id."""
    row = (
        "(r.request_id LIKE ? ESCAPE '\\' OR r.body_id LIKE ? ESCAPE '\\' "
        "OR EXISTS (SELECT 1 FROM ids WHERE ids.number = r.number AND ids.id LIKE ? ESCAPE '\\'))"
    )
    return Condition(row, (_like(part),) * 3)


_RUN_ID = re.compile(r"[0-9a-f]{32}(?:-har-\d+)?", re.I)


def _searched(test: Condition, trigrams: list[str]) -> Condition:
    """Return a condition that uses the text search first, if there are `trigrams`."""
    if not trigrams:
        return replace(test, whole=test.row, whole_values=test.values)
    wanted = query(trigrams)
    source = RowSource(_FOUND, (wanted,), wanted)
    return Condition(test.row, test.values, f"({_IN_BLOCKS} AND {test.row})", (wanted, *test.values), source)


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
    final = _indexed(index, row, values, "status IS NOT 200")
    if term.unknown or final.source is None:
        return final
    # The status of the newest attempt is in the row, those of earlier ones are among its events.
    bounds_of_attempts = (term.low or 0, 999 if term.high is None else term.high)
    retried = _has(HasTerm("retries"))
    assert retried.source is not None
    source = RowSource(_union([final.source.sql, retried.source.sql]), values)
    return _simple(f"({row} OR ({retried.row} AND attempted(r.number, ?, ?)))", (*values, *bounds_of_attempts), source)


def _word(term: WordTerm) -> Condition:
    match term.field:
        case "finish":
            return _finish(term.word)
        case "tag":
            return _tag(term.word)
        case "group":
            return _group_of(term.word)
        case "source":
            return _source(term.word)
        case "conversation":
            return _conversation(term.word)
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
    return _simple(row, (word,), RowSource("SELECT number FROM tags WHERE tag = ?", (word,)))


def _group_of(word: str) -> Condition:
    kind, colon, _ = word.partition(":")
    if colon:
        return _tag(word)
    kinds = GROUP_KINDS if kind == "none" else (kind,)
    # A range of the table's key: other tags are not read.
    values = tuple(bound for one in kinds for bound in (f"{one}:", f"{one};"))
    ranges = " OR ".join(["(tag >= ? AND tag < ?)"] * len(kinds))
    row = f"EXISTS (SELECT 1 FROM tags WHERE tags.number = r.number AND ({ranges}))"
    if kind == "none":
        return _simple(f"NOT {row}", values)
    return _simple(row, values, RowSource(f"SELECT DISTINCT number FROM tags WHERE {ranges}", values))


def _source(word: str) -> Condition:
    row = "r.source = ?"
    return _simple(row, (word,)) if word == "window" else _indexed("runs_source", row, (word,), "source <> 'window'")


def _conversation(word: str) -> Condition:
    if word.lower() in ("none", "unknown"):
        return _simple("r.conversation IS NULL")
    return _indexed("runs_conversation", "r.conversation = ?", (word,), "conversation IS NOT NULL")


def _target(condition: str, values: tuple[Value, ...]) -> Condition:
    among = f"(SELECT id FROM targets WHERE {condition})"
    return _indexed("runs_target", f"r.target IN {among}", values)


def _like(part: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", part) + "%"


_IS_ID_LIKE = re.compile(r"[\w.:-]+", re.ASCII)


def _text(term: TextTerm, lookup: Lookup) -> Condition:
    """Return the condition for a text in question, answer, error, comment, id or prompt, also as a JSON escape."""
    made = [_one_text(text, lookup.elements) for text in _forms(term.text)]
    found = made[0] if len(made) == 1 else _either(made)
    # Run ids are not in the text search, and other ids are there only with their hyphens.
    numbers = lookup.ids(term.text) if _STARTS_ID.fullmatch(term.text) else []
    if not numbers:
        return found
    listed = f"r.number IN ({', '.join(map(str, numbers))})"
    source = found.source and replace(
        found.source,
        sql=f"{found.source.sql} UNION SELECT r.number FROM runs AS r WHERE {listed}",
        numbers=tuple(numbers),
    )
    return Condition(
        f"({found.row} OR {listed})", found.values, f"({found.whole} OR {listed})", found.whole_values, source
    )


_STARTS_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}", re.I)


_JSON_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}")


def _forms(text: str) -> list[str]:
    """Return a text as columns hold it, and its forms in JSON within a text (arguments of a tool call).

    Calls in responses are stored with their characters; those in prompts, and parts of JSON, may have escapes.
    """
    # Within the arguments, which are JSON, quotation marks, backslashes and line breaks are escaped.
    forms = [text, json.dumps(text, ensure_ascii=False)[1:-1]]
    if not text.isascii():
        forms += [json.dumps(each)[1:-1] for each in (text, text.lower())]
    elif _JSON_ESCAPE.search(text):
        with suppress(ValueError):
            forms.append(json.loads('"{}"'.format(text.replace('"', '\\"'))))
    return list(dict.fromkeys(column_text(form) for form in forms if form.strip()))


def _either(conditions: list[Condition]) -> Condition:
    """Return the condition for rows with one of several texts, which one query of the text search finds."""
    sources = [each.source for each in conditions if each.source is not None]
    if len(sources) < len(conditions):
        return _disjunction(conditions, None)
    wanted = any_of(each.query for each in sources)
    elements = tuple(element for each in sources for element in each.elements)
    return _disjunction(conditions, RowSource(_FOUND, (wanted,), wanted, elements))


def _disjunction(conditions: list[Condition], source: RowSource | None) -> Condition:
    return Condition(
        f"({_balanced('OR', [each.row for each in conditions])})",
        tuple(value for each in conditions for value in each.values),
        f"({_balanced('OR', [each.whole for each in conditions])})",
        tuple(value for each in conditions for value in each.whole_values),
        source,
    )


def _one_text(text: str, elements: Elements) -> Condition:
    found = elements(text)
    own = _own_text(text)
    in_prompt: tuple[Value, ...] = (fold(text),)
    if found is None:
        # Common in prompts: the newest rows are tested one by one, which fills a page soon.
        return _simple(f"({own.row} OR prompt_holds(?, t.body))", (*own.values, *in_prompt))
    # The elements of runs in open blocks are not indexed yet.
    row = more = f"({_OPEN} AND prompt_holds(?, t.body))"
    source = own.source
    if found:
        listed = f"element IN ({', '.join(map(str, found))})"
        more += f" OR r.number IN (SELECT number FROM element_runs WHERE {listed})"
        row += f" OR EXISTS (SELECT 1 FROM element_runs WHERE {listed} AND element_runs.number = r.number)"
        source = source and replace(source, elements=tuple(found))
    if len(found) > _FEW_ELEMENTS:
        row = "prompt_holds(?, t.body)"
    values, whole_values = (*own.values, *in_prompt), (*own.whole_values, *in_prompt)
    return Condition(f"({own.row} OR {row})", values, f"({own.whole} OR {more})", whole_values, source)


_FEW_ELEMENTS = 8
"""Number of elements up to which it is faster to look for a row among theirs than to compare its prompt."""


def _own_text(text: str) -> Condition:
    part = fold(text)
    row = f"holds(?, {', '.join(f't.{column}' for column in TEXTS)})"
    values: tuple[Value, ...] = (part,)
    if _IS_ID_LIKE.fullmatch(part):
        has_id = _has_id(part)
        row, values = f"({row} OR {has_id.row})", (*values, *has_id.values)
    return _searched(Condition(row, values), pieces(text))


class Where(Struct, frozen=True):
    """The conditions of a filter, joined by AND."""

    conditions: tuple[Condition, ...] = ()

    def select(self, columns: str, *, extra: str = "", tail: str = "", whole: bool = False) -> str:
        """Return a SELECT of `columns` over the matches. `extra` is an additional condition; values: `bind`.

        `whole`: all matches are needed, so the index is used first.
        """
        texts = [(each.whole if whole else each.row) for each in self.conditions] + ([extra] if extra else [])
        used = " ".join((columns, *texts, tail))
        # Sums over the narrow table alone stay short.
        joined = " JOIN texts AS t ON t.number = r.number" if re.search(r"\bt\.", used) else ""
        targets = " CROSS JOIN targets AS g ON g.id = r.target" if re.search(r"\bg\.", used) else ""
        where = f" WHERE {_balanced('AND', texts)}" if texts else ""
        return f"SELECT {columns} FROM runs AS r NOT INDEXED{targets}{joined}{where} {tail}"

    def select_ordered(self, order: Order, key: str, limit: str = "") -> str:
        """Return a SELECT of the matches' numbers by the expression `key`. Values: `bind` with `whole`."""
        direction = "DESC" if order.descending else "ASC"
        tail = f"ORDER BY {key} {direction} NULLS LAST, r.number DESC {limit}"
        made = self.select("r.number", tail=tail, whole=True)
        # Without a condition an index may give the order.
        return made if self.conditions else made.replace(" NOT INDEXED", "", 1)

    def bind(self, *more: Value, whole: bool = False) -> tuple[Value, ...]:
        """Return the values for `select`, those of `extra` and `tail` last."""
        values = [value for each in self.conditions for value in (each.whole_values if whole else each.values)]
        return (*values, *more)

    @property
    def sources(self) -> tuple[RowSource, ...]:
        """Return the sources of candidate row numbers; each alone is sufficient."""
        return tuple(each.source for each in self.conditions if each.source is not None)


def where(log_filter: LogFilter, lookup: Lookup) -> Where:
    """Return the conditions of a filter: all of its groups of alternatives hold."""
    groups: dict[object, list[Term]] = {}
    for position, term in enumerate(log_filter.terms):
        groups.setdefault(_group(term, position), []).append(term)
    return Where(tuple(_any_of(terms, lookup) for terms in groups.values()))


def _group(term: Term, position: int) -> object:
    """Return the key of a term's alternatives, which are joined by OR: a request cannot have two statuses or ids."""
    match term:
        case IdTerm():
            return "id", term.negated
        case _ if term.negated:
            return position
        case WordTerm(field=field) if field not in ("tag", "group"):
            return field
        case NumberTerm(field="status"):
            return "status"
        case IsTerm(word=word) if word in PHASES:
            return "phase"
        case HasTerm() | _:
            return position


def _any_of(terms: list[Term], lookup: Lookup) -> Condition:
    ids = frozenset(term.part for term in terms if isinstance(term, IdTerm))
    if len(ids) > FEW_IDS:
        numbers, left = lookup.listed(ids)
        made = [_numbered(numbers), *(_id(IdTerm(part), lookup.ids) for part in left)]
    else:
        made = [condition_of(term, lookup) for term in terms]
    found = _disjunction(made, _joined([each.source for each in made]))
    if terms[0].negated:
        # IS NOT TRUE, because a row with an unknown value does not match the excluded term and must stay.
        row, whole = f"({found.row} IS NOT TRUE)", f"({found.whole} IS NOT TRUE)"
        return replace(found, row=row, whole=whole, source=None)
    return found


def _joined(sources: list[RowSource | None]) -> RowSource | None:
    known = [source for source in sources if source is not None]
    if len(known) < len(sources):
        return None
    if len(known) == 1:
        return known[0]
    return RowSource(_union([source.sql for source in known]), tuple(v for source in known for v in source.values))


def _balanced(operator: str, conditions: list[str]) -> str:
    """Join conditions as a balanced tree: the depth of an expression is limited to 1,000."""
    if len(conditions) <= _FEW_CONDITIONS:
        return f" {operator} ".join(conditions)
    half = len(conditions) // 2
    first, second = (_balanced(operator, some) for some in (conditions[:half], conditions[half:]))
    return f"({first}) {operator} ({second})"


_FEW_CONDITIONS = 16


def _union(selects: list[str]) -> str:
    """Join SELECTs in groups: the terms of one compound SELECT are limited to 500, and each may have some."""
    while len(selects) > _FEW_SELECTS:
        groups = (selects[first : first + _FEW_SELECTS] for first in range(0, len(selects), _FEW_SELECTS))
        selects = [f"SELECT * FROM ({' UNION '.join(some)})" for some in groups]
    return " UNION ".join(selects)


_FEW_SELECTS = 100
