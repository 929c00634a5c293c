"""Output of `check`: text, JSON, SARIF 2.1.0 for code scanning, and annotations of GitHub Actions."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct, field

from playground import __version__
from playground.cli import without_keys
from playground.cli.check_inputs import CheckedInput
from playground.cli.check_losses import ProgramSums, SpanFinding, span_fields
from playground.client.endpoint import Rates
from playground.export.terminal import for_stream, print_line, visible_line
from playground.lint.engine import rule_named
from playground.lint.model import SEVERITIES, Evidence, Finding, FindingPlace, Severity
from playground.prefix_cache.moved_text import behind_space, member_at
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError
from playground.prompt.field_errors import Path as FieldPath

Reported = tuple[CheckedInput, Finding]
_LEVELS: dict[Severity, tuple[str, str]] = {
    "serious": ("error", "error"),
    "warning": ("warning", "warning"),
    "hint": ("note", "notice"),
}
"""Level of SARIF and of GitHub."""
OWN_RULES = {
    "varying-span": "A span in front of stable text differs between requests of one program.",
    "prefix-baseline": "The prefix that requests share is compared with the baseline.",
}


class CheckReport(Struct, frozen=True):
    """Everything that was found. `results`: inputs in order, each with its findings; `unplaced`: of the whole run.

    `retried`: requests that were sent again after a failure, and are counted once.
    """

    results: Sequence[tuple[CheckedInput, Sequence[Finding]]]
    spans: Sequence[SpanFinding]
    rates: Rates
    programs: Sequence[ProgramSums] = field(default=())
    unplaced: Sequence[Finding] = field(default=())
    retried: int = 0

    def all(self) -> Iterator[Reported]:
        """Yield every finding with its input; without one, with the first input."""
        yield from ((item, finding) for item, found in self.results for finding in found)
        yield from ((one.item, one.finding) for one in self.spans)
        yield from ((self.results[0][0], finding) for finding in self.unplaced)

    def fails(self, fail_on: Severity) -> bool:
        """Return whether a finding is at least as severe as `fail_on`. Changes that need only notice never fail."""
        limit = SEVERITIES.index(fail_on)
        return any(SEVERITIES.index(finding.severity) <= limit and not is_note(finding) for _, finding in self.all())


def is_note(finding: Finding) -> bool:
    """Return whether it reports a difference from the baseline that costs nothing."""
    return finding.rule == "prefix-baseline" and finding.subject in ("new", "removed", "edited")


def print_report(report: CheckReport, output: str) -> None:
    """Print the report in the format `text`, `json`, `sarif` or `github`."""
    _FORMATS[output](report)


def _dump(value: Json) -> None:
    print(without_keys(json.dumps(value, ensure_ascii=True)))


# Text


def _print_text(report: CheckReport) -> None:
    lines: list[str] = []
    for item, found in report.results:
        if found or not item.recorded:
            lines += [line for finding in found for line in _lines(finding, item)]
            lines.append(f"{item.name}: {_summary(found)}")
    for one in report.spans:
        lines += _lines(one.finding, one.item)
    for finding in report.unplaced:
        lines += _lines(finding, None)
    lines += map(_sums, report.programs)
    if len(report.results) > 1:
        again = f" ({report.retried:,} sent again after a failure, counted once)" if report.retried else ""
        lines.append(f"{len(report.results):,} checked{again}: {_summary([finding for _, finding in report.all()])}")
    for line in lines:
        print_line(without_keys(for_stream(line, sys.stdout)))


def _sums(program: ProgramSums) -> str:
    name = f"Program “{visible_line(program.name)}”" if program.name else "One program"
    text = f"{name}: {program.requests:,} request{'s' * (program.requests != 1)}"
    if program.reported:
        of = f" in {program.reported:,} of them" if program.reported < program.requests else ""
        rate = f" ({program.cached_tokens / program.prompt_tokens:.0%})" if program.prompt_tokens else ""
        text += f", {program.prompt_tokens:,} prompt tokens{of}, {program.cached_tokens:,} cached{rate}"
    else:
        text += ", no reported tokens"
    low, high = program.lost_between
    return text + (f", ≈ {program.lost:,.0f} lost (≈ {low:,.0f} to {high:,.0f})" if high >= 1 else ", none lost")


def _summary(found: Sequence[Finding]) -> str:
    notes = sum(map(is_note, found))
    counts = _counts(finding for finding in found if not is_note(finding))
    summary = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES)
    return f"{summary}, {notes} note" if notes else summary


def _lines(finding: Finding, item: CheckedInput | None) -> Iterator[str]:
    where = ", ".join(_where(place, item) for place in finding.places if place.path)
    label = "note" if is_note(finding) else finding.severity
    yield f"{label}: {finding.title}" + (f" ({where})" if where else "") + f" [{finding.key}]"
    yield f"    {finding.detail}"
    for fact in finding.evidence:
        yield f"    {fact.label}: {fact.text}{' tokens' if fact.unit == 'tokens' and fact.value is not None else ''}"
    if finding.fix is not None:
        yield f"    fix: {finding.fix.title}"


def _where(place: FindingPlace, item: CheckedInput | None) -> str:
    name = FieldError(place.path, "").field
    if place.start is None:
        return f"{place.tool} {name}".strip()
    line, column = _line_column(item, place)
    return f"{place.tool} {name}:{place.start}-{place.end}, line {line}, column {column}".strip()


def _line_column(item: CheckedInput | None, place: FindingPlace) -> tuple[int, int]:
    """Return line and column, from 1, in the text of the field."""
    text = _text_at(item.value if item else None, place.path)
    before = text[: place.start or 0]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _text_at(value: Json, path: FieldPath) -> str:
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return ""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


# JSON


def _print_json(report: CheckReport) -> None:
    files = [{"file": item.name, **_fields(found, item)} for item, found in report.results]
    if len(files) == 1 and not report.results[0][0].recorded and not report.unplaced:
        _dump({**files[0], "varying": []})
        return
    varying: list[Json] = [
        span_fields(one, report.rates, _place(one.finding.places[0], one.item)) for one in report.spans
    ]
    notes: list[Json] = [_finding(finding, None) for finding in report.unplaced]
    counts: dict[str, Json] = {**_counts([finding for _, finding in report.all()])}
    programs: list[Json] = [_program_fields(one) for one in report.programs]
    found: dict[str, Json] = {"files": list(files), "varying": varying, "programs": programs, "baseline": notes}
    _dump({**found, "retried": report.retried, **counts})


def _program_fields(program: ProgramSums) -> Json:
    low, high = program.lost_between
    return {
        "program": program.name or None,
        "requests": program.requests,
        "reported": program.reported,
        "prompt_tokens": program.prompt_tokens if program.reported else None,
        "cached_tokens": program.cached_tokens if program.reported else None,
        "lost_tokens": round(program.lost),
        "lost_tokens_low": round(low),
        "lost_tokens_high": round(high),
    }


def _counts(found: Iterable[Finding]) -> dict[str, int]:
    severities = [finding.severity for finding in found]
    return {severity: severities.count(severity) for severity in SEVERITIES}


def _fields(found: Sequence[Finding], item: CheckedInput | None) -> dict[str, Json]:
    findings: Json = [_finding(finding, item) for finding in found]
    # `advice` is the older name of the same list.
    return {"findings": findings, "advice": findings, **_counts(found)}


def _finding(finding: Finding, item: CheckedInput | None) -> Json:
    own = OWN_RULES.get(finding.rule)
    rule = None if own else rule_named(finding.rule)
    return {
        "rule": finding.rule,
        "key": finding.key,
        "severity": finding.severity,
        "title": finding.title,
        "detail": finding.detail,
        "reason": rule.reason if rule else own,
        "source": {"section": rule.section, "sentence": rule.sentence} if rule else None,
        "evidence": [_evidence(fact) for fact in finding.evidence],
        "places": [_place(place, item) for place in finding.places],
        "fix": finding.fix.title if finding.fix else None,
    }


def _evidence(fact: Evidence) -> Json:
    basis = fact.basis if fact.value is not None else "unknown"
    return {"label": fact.label, "value": fact.value, "unit": fact.unit, "basis": basis}


def _place(place: FindingPlace, item: CheckedInput | None) -> Json:
    found: dict[str, Json] = {
        "path": list(place.path),
        "start": place.start,
        "end": place.end,
        "tool": place.tool or None,
        "pointer": pointer(place.path),
    }
    if place.start is not None and item is not None:
        found["line"], found["column"] = _line_column(item, place)
    return found


def pointer(path: FieldPath) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


# SARIF and GitHub


def _print_sarif(report: CheckReport) -> None:
    found = list(report.all())
    names = sorted({finding.rule for _, finding in found})
    texts = {name: OWN_RULES.get(name) or rule_named(name).title for name in names}
    rules: list[Json] = [{"id": name, "shortDescription": {"text": text}} for name, text in texts.items()]
    results: list[Json] = [_result(item, finding, names.index(finding.rule)) for item, finding in found]
    driver: Json = {"name": "electron-playground", "version": __version__, "rules": rules}
    run: Json = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    _dump({"$schema": schema, "version": "2.1.0", "runs": [run]})


def _result(item: CheckedInput, finding: Finding, rule: int) -> Json:
    line, column = position(item, finding)
    logical: list[Json] = [{"fullyQualifiedName": pointer(place.path)} for place in finding.places[:1] if place.path]
    location: dict[str, Json] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(item.file)},
            "region": {"startLine": line, "startColumn": column},
        }
    }
    if logical:
        location["logicalLocations"] = logical
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity][0],
        "message": {"text": _message(finding, item)},
        "locations": [location],
        "partialFingerprints": {"finding/v1": f"{item.name}:{finding.key}"},
    }


def _uri(file: str) -> str:
    return "stdin" if file == "-" else quote(file.replace("\\", "/"), safe="/")


def _message(finding: Finding, item: CheckedInput) -> str:
    where = "; ".join(_where(place, item) for place in finding.places[:3] if place.path)
    return f"{finding.title}{f' ({where})' if where else ''}. {finding.detail}"


def _print_github(report: CheckReport) -> None:
    for item, finding in report.all():
        line, column = position(item, finding)
        fields = {"file": item.file, "line": str(line), "col": str(column), "title": finding.title}
        head = ",".join(
            f"{name}={_data(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in fields.items()
        )
        text = _data(_message(finding, item))
        print_line(without_keys(f"::{_LEVELS[finding.severity][1]} {head}::{text}"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


_FORMATS: dict[str, Callable[[CheckReport], None]] = {
    "text": _print_text,
    "json": _print_json,
    "sarif": _print_sarif,
    "github": _print_github,
}

# Positions in files

_UNIT = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)


def position(item: CheckedInput, finding: Finding) -> tuple[int, int]:
    """Return line and column, from 1, of a finding's first place in its file: as far as its path can be followed."""
    place = next((place for place in finding.places if place.path), None)
    if place is None or item.file in ("-", "log"):
        return item.line, 1
    try:
        text = _file_text(item.file)
    except (OSError, UnicodeDecodeError):
        return item.line, 1
    base = 0
    for _ in range(item.line - 1):
        base = text.find("\n", base) + 1
    path, inside = place.path, place.start or 0
    if item.source is not None:
        # The first message of another API's request is a field of its own.
        first = next((name for name in ("system", "instructions") if isinstance(item.source.get(name), str)), None)
        path, inside = ((first,), inside) if first and path[:2] == ("messages", 0) else ((), 0)
    at = _offset(text, base, (*item.prefix, *path), inside)
    before = text[:at]
    return before.count("\n") + 1, at - before.rfind("\n")


@lru_cache(maxsize=2)
def _file_text(name: str) -> str:
    with Path(name).open(encoding="utf-8-sig", newline="") as file:
        return file.read()


def _offset(text: str, at: int, path: FieldPath, inside: int) -> int:
    """Return the offset of a JSON value, or of code point `inside` of a string."""
    try:
        for step in path:
            _, at = member_at(text, behind_space(text, at), step)
        at = behind_space(text, at)
    except (ValueError, IndexError):
        return at
    if text[at : at + 1] != '"':
        return at
    at += 1
    for _ in range(inside):
        unit = _UNIT.match(text, at)
        if unit is None or text[at] == '"':
            break
        at = unit.end()
    return at
