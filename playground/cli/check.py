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

from playground.cli.exit_status import FAILED, FINISHED
from playground.client.endpoint import Rates
from playground.client.redact import redact
from playground.export.terminal import for_stream, print_error, print_line
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


def check(options: argparse.Namespace) -> int:
    """Print the advice. Returns 0, or 1 if any of it is serious; raises InputError (2)."""
    data = _read(options.file)
    rates, ignored = _rates(options.rates), _ignored(options.ignore)
    document = _opened(data, options.file)
    history = _history(document, options.data_dir) if options.log or options.data_dir is not None else NO_HISTORY
    setting = LintContext(rates=rates, history=history, fixture=options.fixture)
    found = advise(document, setting, body=_foreign_body(data), dismissed=ignored)
    if options.json:
        print(redact(json.dumps(_fields(found), ensure_ascii=True), None))
    else:
        _print(options.file, found)
    return FAILED if any(advice.severity == "serious" for advice in found) else FINISHED


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
