"""A LogFilter as SQL: conditions over `runs` (r), `texts` (t) and `targets` (g), values always bound."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playground.requestlog.conditions import Condition, Source, Value, condition_of
from playground.requestlog.filter import HasTerm, IdTerm, IsTerm, LogFilter, NumberTerm, Term, WordTerm
from playground.requestlog.phases import PHASES


@dataclass(frozen=True, slots=True)
class Where:
    """The conditions that a filter comes to, all of which hold."""

    conditions: tuple[Condition, ...] = ()

    def select(self, columns: str, *, extra: str = "", tail: str = "", whole: bool = False) -> str:
        """A SELECT of `columns` over what matches. `extra` is one more condition; values: `bind`.

        `whole`: all of it is wanted, so that an index first is worth its while.
        """
        texts = [(each.whole if whole else each.row) for each in self.conditions] + ([extra] if extra else [])
        used = " ".join((columns, *texts))
        # Sums over the narrow table alone stay short.
        joined = " JOIN texts AS t ON t.number = r.number" if re.search(r"\bt\.", used) else ""
        targets = " CROSS JOIN targets AS g ON g.id = r.target" if re.search(r"\bg\.", used) else ""
        where = f" WHERE {' AND '.join(texts)}" if texts else ""
        return f"SELECT {columns} FROM runs AS r NOT INDEXED{targets}{joined}{where} {tail}"

    def bind(self, *more: Value, whole: bool = False) -> tuple[Value, ...]:
        """The values for `select`, those of `extra` and `tail` last."""
        values = [value for each in self.conditions for value in (each.whole_values if whole else each.values)]
        return (*values, *more)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where numbers of rows that may match can be had from, one of which is enough."""
        return tuple(each.source for each in self.conditions if each.source is not None)


def where(log_filter: LogFilter) -> Where:
    """The conditions of a filter."""
    groups: dict[object, list[Term]] = {}
    for position, term in enumerate(log_filter.terms):
        groups.setdefault(_group(term, position), []).append(term)
    return Where(tuple(_any_of(terms) for terms in groups.values()))


def _group(term: Term, position: int) -> object:
    """Terms with the same answer are alternatives: a request cannot have two statuses, or be two requests."""
    if term.negated:
        return position
    match term:
        case IdTerm():
            return "id"
        case WordTerm(field=field) if field != "tag":
            return field
        case NumberTerm(field="status"):
            return "status"
        case IsTerm(word=word) if word in PHASES:
            return "phase"
        case HasTerm() | _:
            return position


def _any_of(terms: list[Term]) -> Condition:
    made = [condition_of(term) for term in terms]
    row = " OR ".join(each.row for each in made)
    whole = " OR ".join(each.whole for each in made)
    values = tuple(value for each in made for value in each.values)
    whole_values = tuple(value for each in made for value in each.whole_values)
    if terms[0].negated:
        # IS NOT TRUE: what is unknown is not what was excluded, so it stays.
        return Condition(f"(({row}) IS NOT TRUE)", values, f"(({whole}) IS NOT TRUE)", whole_values)
    return Condition(f"({row})", values, f"({whole})", whole_values, _joined([each.source for each in made]))


def _joined(sources: list[Source | None]) -> Source | None:
    known = [source for source in sources if source is not None]
    if len(known) < len(sources):
        return None
    if len(known) == 1:
        return known[0]
    if any(source.ordered for source in known):
        known = [Source(f"SELECT * FROM ({source.sql})", source.values) for source in known]
    return Source(" UNION ".join(source.sql for source in known), tuple(v for source in known for v in source.values))
