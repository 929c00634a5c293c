"""Two versions of a prompt side by side, with the boundary of the prefix; and a change in a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.forecaster import PromptForecast
from playground.prefix_cache.stable_end import stable_end, tokens_by_message
from playground.prompt.diff import AROUND, opcodes, tool_lines
from playground.prompt.document import Document
from playground.runs.metrics import counted

Sign = Literal["head", "same", "gone", "come", "skipped", "old_boundary", "new_boundary"]
Zone = Literal["stable", "variable", ""]
PARAMETERS = "parameters"
"""Title of the part that is not sent as text: it is in no prefix."""


class VersionBoundary(Struct, frozen=True):
    """Where the stable prefix of a prompt ends. Token counts are estimates (≈).

    `part` is the index among the prompt's parts (tools, then messages, then parameters), `line` the line in it, from 0.
    `cause` is the variable there; empty if the prompt has none: the whole of it is stable.
    """

    tokens: int
    total: int
    part: int
    line: int
    cause: str


class VersionRow(Struct, frozen=True):
    """One row of a comparison. Line numbers count from 1 within a part; None: not in that version."""

    sign: Sign
    text: str
    zone: Zone = ""
    old_line: int | None = None
    new_line: int | None = None


class VersionComparison(Struct, frozen=True):
    """Version `old` against version `new`. `added` and `removed` count lines."""

    old: VersionBoundary
    new: VersionBoundary
    rows: tuple[VersionRow, ...]
    added: int
    removed: int

    @property
    def moved_tokens(self) -> int:
        """Return by how many ≈ tokens the boundary moved, as displayed; negative: the prefix became shorter."""
        return self.new.tokens - self.old.tokens


def boundary(found: PromptForecast) -> VersionBoundary:
    """Return the boundary of a prompt: its first variable, with the tokens that the editor states."""
    document = found.view.document
    total = round(found.forecast.prompt_tokens or found.zones.total_tokens)
    end, tools = stable_end(document, tokens_by_message(found, total)), len(document.tools)
    if end is None:
        return VersionBoundary(total, total, tools + len(document.messages) + 1, 0, "")  # behind the last part
    line = (document.messages[end.message].content or "")[: end.offset].count("\n")
    return VersionBoundary(end.tokens, total, tools + end.message, line, "{{" + end.name + "}}")


def compare(old: Document, new: Document, look: Callable[[Document], PromptForecast]) -> VersionComparison:
    """Compare two versions. Values of variables are those of `new` in both: only the templates are compared."""
    old = replace(old, variables={**old.variables, **new.variables})
    edges = boundary(look(old)), boundary(look(new))
    rows: list[VersionRow] = []
    added = removed = 0
    for title, one, other in _aligned(_parts(old), _parts(new)):
        lines = list(_lines(one, other, *edges))
        added += sum(row.sign == "come" for row in lines)
        removed += sum(row.sign == "gone" for row in lines)
        state = ", added" if one is None else ", removed" if other is None else ""
        rows += _shortened(title + state, lines)
    return VersionComparison(*edges, tuple(rows), added, removed)


def summary(before: Document | None, after: Document) -> str:
    """Return the change in a few words."""
    if before is None:
        return f"From {after.name}" if after.name else "First version"
    found: list[str] = []
    for title, one, other in _aligned(_parts(before), _parts(after)):
        if one is None or other is None or one.lines != other.lines:
            counts = _counts(one.lines if one else (), other.lines if other else ())
            state = " added" if one is None else " removed" if other is None else f": {counts}"
            found.append(title + state)
    return "; ".join(found[:2]) + (f"; {len(found) - 2} more" if len(found) > 2 else "") if found else "No text changed"


def _counts(old: Sequence[str], new: Sequence[str]) -> str:
    added = removed = 0
    for tag, a, b, c, d in opcodes(old, new):
        if tag != "equal":
            added, removed = added + d - c, removed + b - a
    if added == removed:
        return f"{counted(added, 'line')} changed"
    return f"{counted(added, 'line')} added, {removed} removed"


class _Part(Struct, frozen=True):
    number: int
    title: str
    lines: tuple[str, ...]


def _parts(document: Document) -> list[_Part]:
    texts = [(f"tool {tool.name}", "\n".join(tool_lines(tool.json_text))) for tool in document.tools]
    for message in document.messages:
        calls = "".join(f"\n{call.name}({call.arguments})" for call in message.tool_calls)
        texts.append((message.role, (message.content or "") + calls))
    settings = [f"{name}: {value!r}" for name, value in document.parameters.items()]
    settings += ["stream: off"] * (not document.stream) + ["include_usage: off"] * (not document.include_usage)
    texts.append((PARAMETERS, "\n".join(settings)))
    return [_Part(number, title, tuple(text.split("\n"))) for number, (title, text) in enumerate(texts)]


def _aligned(old: list[_Part], new: list[_Part]) -> Iterator[tuple[str, _Part | None, _Part | None]]:
    """Yield the title and the parts of both versions: equal ones first, then those of one title, in order."""
    names = [[(part.title, part.lines) for part in parts] for parts in (old, new)]
    for tag, a, b, c, d in opcodes(names[0], names[1]):
        if tag == "equal":
            yield from ((other.title, one, other) for one, other in zip(old[a:b], new[c:d], strict=True))
            continue
        titles = [[part.title for part in parts] for parts in (old[a:b], new[c:d])]
        for _, e, f, g, h in opcodes(titles[0], titles[1]):
            if titles[0][e:f] == titles[1][g:h]:
                yield from zip(titles[0][e:f], old[a + e : a + f], new[c + g : c + h], strict=True)
            else:
                yield from ((part.title, part, None) for part in old[a + e : a + f])
                yield from ((part.title, None, part) for part in new[c + g : c + h])


def _lines(one: _Part | None, other: _Part | None, old: VersionBoundary, new: VersionBoundary) -> Iterator[VersionRow]:
    olds, news = one.lines if one else (), other.lines if other else ()
    old_at = old.line if one is not None and one.number == old.part else None
    new_at = new.line if other is not None and other.number == new.part else None
    for tag, a, b, c, d in opcodes(olds, news):
        pairs = (
            list(zip_longest(range(a, b), range(c, d)))
            if tag == "equal"
            else [*((i, None) for i in range(a, b)), *((None, j) for j in range(c, d))]
        )
        for i, j in pairs:
            if i is not None and i == old_at:
                yield VersionRow("old_boundary", old.cause)
            if j is not None and j == new_at:
                yield VersionRow("new_boundary", new.cause)
            edge, part = (old, one) if j is None else (new, other)
            assert part is not None
            line = j if j is not None else i or 0
            zone: Zone = "stable" if (part.number, line) < (edge.part, edge.line) else "variable"
            if part.title == PARAMETERS:
                zone = ""
            sign: Sign = "same" if tag == "equal" else "gone" if j is None else "come"
            text = news[j] if j is not None else olds[line]
            yield VersionRow(sign, text, zone, None if i is None else i + 1, None if j is None else j + 1)


def _shortened(title: str, lines: Sequence[VersionRow]) -> Iterator[VersionRow]:
    """Yield a part's head and its lines; unchanged lines away from changes and boundaries are counted only."""
    near: set[int] = set()
    for number, row in enumerate(lines):
        if row.sign != "same":
            near.update(range(number - AROUND, number + AROUND + 1))
    if not near:
        if any(row.text for row in lines):
            yield VersionRow("skipped", f"{title}: {counted(len(lines), 'line')} unchanged", lines[0].zone)
        return
    yield VersionRow("head", title)
    number = 0
    while number < len(lines):
        if number in near:
            yield lines[number]
            number += 1
            continue
        first = number
        while number < len(lines) and number not in near:
            number += 1
        if number - first == 1:
            yield lines[first]
        else:
            yield VersionRow("skipped", f"{number - first:,} unchanged lines", lines[first].zone)
