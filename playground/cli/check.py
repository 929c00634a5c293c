"""`electron-playground check`: what the best-practice guide says of a prompt file, for a team's own CI.

No network. Reads the log only with --log or --data-dir.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from playground.cli.exit_status import FAILED, FINISHED
from playground.client.endpoint import Rates
from playground.client.redact import redact
from playground.export.terminal import for_stream, print_error, print_line, visible_line
from playground.lint.context import LintContext
from playground.lint.engine import advise
from playground.lint.history import NO_HISTORY, PromptHistory
from playground.lint.model import SEVERITIES, Evidence, Finding, FindingPlace
from playground.lint.rules.registry import RULES, rule_named
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import FORMAT_KEY, MAX_FILE_BYTES, parse_bytes
from playground.prompt.import_formats.detect import open_any_bytes
from playground.prompt.json_bounds import loads

if TYPE_CHECKING:
    from playground.prefix_cache.varying_spans import VaryingSpan


SERIOUS_TOKENS = 128
"""A span that varies in front of as many stable tokens keeps them from the cache in every request."""


def check(options: argparse.Namespace) -> int:
    """Print the findings. Returns 0, or 1 if any is serious; raises InputError (2).

    With several files, or JSON lines with several request bodies, spans that vary between the bodies are reported too.
    """
    names = _names(options.file)
    if len(names) == 1 and not names[0].lower().endswith(".jsonl"):
        found = _checked(names[0], _read(names[0]), options)
        if options.json:
            print(redact(json.dumps(_fields(found), ensure_ascii=True), None))
        else:
            _print(names[0], found)
        return FAILED if _is_serious(found) else FINISHED
    return _check_many(names, options)


def _checked(name: str, data: bytes, options: argparse.Namespace) -> Sequence[Finding]:
    rates, ignored = _rates(options.rates), _ignored(options.ignore)
    document = _opened(data, name)
    history = _history(document, options.data_dir) if options.log or options.data_dir is not None else NO_HISTORY
    context = LintContext(rates=rates, history=history, fixture=options.fixture)
    return advise(document, context, body=_foreign_body(data), dismissed=ignored)


def _is_serious(found: Sequence[Finding]) -> bool:
    return any(finding.severity == "serious" for finding in found)


def _names(given: Sequence[str]) -> list[str]:
    """Return the files: a folder stands for the JSON files in it, in order of their names."""
    names: list[str] = []
    for name in given:
        inside = sorted(path for path in Path(name).glob("*.json*")) if Path(name).is_dir() else [Path(name)]
        names += [name] if name == "-" else [str(path) for path in inside]
    if not names:
        raise InputError(FieldError(("FILE",), "there is no JSON file in the folder."))
    return names


def _check_many(names: Sequence[str], options: argparse.Namespace) -> int:
    from playground.prefix_cache.varying_spans import varying_spans

    rates = _rates(options.rates)
    results: list[tuple[str, Sequence[Finding]]] = []
    bodies: list[Mapping[str, Json]] = []
    for name, data in _bodies(names):
        results.append((name, _checked(name, data, options)))
        body = _foreign_body(data)
        if body is not None:
            bodies.append(body)
    spans = varying_spans(bodies)
    if options.json:
        value = {
            "files": [{"file": name, **_fields(found)} for name, found in results],
            "varying": [_span_fields(span, rates) for span in spans],
        }
        print(redact(json.dumps(value, ensure_ascii=True), None))
    else:
        for name, found in results:
            _print(name, found)
        for span in spans:
            print_line(_span_text(span, rates))
    serious = any(span.tokens_behind >= SERIOUS_TOKENS for span in spans) or any(
        _is_serious(found) for _, found in results
    )
    return FAILED if serious else FINISHED


def _bodies(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield each body with its name; a line of a .jsonl file is a body, and `request` or `body` in it holds one."""
    for name in names:
        data = _read(name)
        if not name.lower().endswith(".jsonl"):
            yield name, data
            continue
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                yield f"{name}:{number}", _line_body(name, number, line)


def _line_body(name: str, number: int, line: bytes) -> bytes:
    try:
        value = loads(line)
    except ValueError as error:
        raise InputError(FieldError((name, number), f"is not JSON: {error}.")) from None
    for key in ("request", "body"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            return json.dumps(value[key]).encode()
    return line


def _span_fields(span: VaryingSpan, rates: Rates) -> dict[str, Json]:
    return {
        "kind": span.kind,
        "part": span.part,
        "index": span.index,
        "start": span.start,
        "end": span.end,
        "samples": list(span.samples),
        "tokens_behind": round(span.tokens_behind),
        "dollars_per_1000_requests": span.dollars(rates.fresh, rates.cached),
        "rewrite": span.rewrite,
        "behind": span.behind,
    }


def _span_text(span: VaryingSpan, rates: Rates) -> str:
    severity = "serious" if span.tokens_behind >= SERIOUS_TOKENS else "hint"
    samples = ", ".join(visible_line(sample)[:40] for sample in span.samples[:3])
    cost = span.dollars(rates.fresh, rates.cached)
    price = "" if cost is None else f", ≈ ${cost:,.2f} per 1,000 requests"
    where = f"{span.part} {span.index + 1}" if span.index >= 0 else "the tool list"
    return (
        f"{severity}: a {span.kind} varies in {where} ({samples}); ≈ {span.tokens_behind:,.0f} stable tokens behind it "
        f"are not cached{price}"
    )


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(FieldError(("FILE",), f"{name} cannot be read: {error.strerror or error}.")) from error


def _rates(text: str | None) -> Rates:
    """Parse FRESH,CACHED[,OUTPUT] in dollars per million tokens; `-` or an empty part has no price."""
    if text is None:
        return Rates()
    parts = [part.strip() for part in text.split(",")]
    try:
        values = [None if part in ("", "-") else float(part) for part in parts]
    except ValueError:
        values = []
    if not 2 <= len(values) <= 3 or any(value is not None and not 0 <= value < 1e6 for value in values):
        hint = "Give dollars per million tokens, as --rates 0.40,0.10 or --rates 0.40,0.10,1.20."
        raise InputError(FieldError(("--rates",), f"{text!r} is not FRESH,CACHED[,OUTPUT].", hint))
    fresh, cached, output = (*values, None)[:3]
    return Rates(fresh, cached, output, "the command line")


def _ignored(given: Sequence[str]) -> frozenset[str]:
    known = {rule.name for rule in RULES}
    for name in given:
        if name.partition(":")[0] not in known:
            raise InputError(FieldError(("--ignore",), f"{name} is no rule.", f"There are {', '.join(sorted(known))}."))
    return frozenset(given)


def _opened(data: bytes, name: str) -> Document:
    """Return the prompt in a file. A request body is read strictly: what Electron refuses is an error here too."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")) and _foreign_body(data) is not None:
        return parse_bytes(data).document
    return open_any_bytes(data, name).document


def _foreign_body(data: bytes) -> Mapping[str, Json] | None:
    """Return the request body that another program sends; None for prompt files, and for prompts in other formats."""
    try:
        value = loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "messages" in value and FORMAT_KEY not in value else None


def _history(document: Document, folder: str | None) -> PromptHistory:
    # Imported here: without a log nothing of it is needed.
    from playground.storage.paths import data_folder

    return asyncio.run(_read_log(data_folder(folder, os.environ), document))


async def _read_log(folder: Path, document: Document) -> PromptHistory:
    from playground.lint.log_history import past
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import LogUnavailableError

    try:
        log = await RequestLog.open(folder)
    except LogUnavailableError as error:
        raise InputError(FieldError(("--data-dir",), str(error))) from error
    try:
        log.on_trouble(print_error)
        await asyncio.sleep(0)
        return await past(log, document)
    finally:
        await log.close()


def _print(name: str, found: Sequence[Finding]) -> None:
    counts = _counts(found)
    lines = [line for advice in found for line in _lines(advice)]
    lines.append(f"{name}: " + ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES))
    for line in lines:
        print_line(redact(for_stream(line, sys.stdout), None))


def _lines(advice: Finding) -> Iterator[str]:
    where = ", ".join(_where(place) for place in advice.places if place.path)
    yield f"{advice.severity}: {advice.title}" + (f" ({where})" if where else "") + f" [{advice.key}]"
    yield f"    {advice.detail}"
    for item in advice.evidence:
        yield f"    {item.label}: {item.text}{' tokens' if item.unit == 'tokens' and item.value is not None else ''}"
    if advice.fix is not None:
        yield f"    fix: {advice.fix.title}"


def _where(place: FindingPlace) -> str:
    field = FieldError(place.path, "").field
    span = f":{place.start}-{place.end}" if place.start is not None else ""
    return f"{place.tool} {field}{span}".strip()


def _counts(found: Sequence[Finding]) -> dict[str, int]:
    return {severity: sum(1 for advice in found if advice.severity == severity) for severity in SEVERITIES}


def _fields(found: Sequence[Finding]) -> dict[str, Json]:
    findings: Json = [_advice(advice) for advice in found]
    # `advice` is the older name of the same list.
    return {"findings": findings, "advice": findings, **_counts(found)}


def _advice(advice: Finding) -> Json:
    rule = rule_named(advice.rule)
    return {
        "rule": advice.rule,
        "key": advice.key,
        "severity": advice.severity,
        "title": advice.title,
        "detail": advice.detail,
        "reason": rule.reason,
        "source": {"section": rule.source.section, "sentence": rule.source.sentence},
        "evidence": [_evidence(item) for item in advice.evidence],
        "places": [_place(place) for place in advice.places],
        "fix": advice.fix.title if advice.fix else None,
    }


def _evidence(item: Evidence) -> Json:
    return {
        "label": item.label,
        "value": item.value,
        "unit": item.unit,
        "basis": item.basis if item.value is not None else "unknown",
    }


def _place(place: FindingPlace) -> Json:
    return {"path": list(place.path), "start": place.start, "end": place.end, "tool": place.tool or None}
