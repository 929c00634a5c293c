"""`electron-playground check`: what the best-practice guide says of a prompt file, for a team's own CI.

No network. No log either, unless one is asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from playground.cli.exit_status import FAILED, FINISHED
from playground.client.endpoint import Rates
from playground.lint.context import Setting
from playground.lint.engine import advise
from playground.lint.history import NO_HISTORY, History
from playground.lint.model import SEVERITIES, Advice, Evidence, Place
from playground.lint.rules.registry import RULES, rule_named
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import FORMAT_KEY, MAX_FILE_BYTES, parse_bytes


def check(options: argparse.Namespace) -> int:
    """Print the advice. Returns 0, or 1 where any of it is serious; raises InputError (2)."""
    data = _read(options.file)
    rates, ignored = _rates(options.rates), _ignored(options.ignore)
    document = parse_bytes(data).document
    history = _history(document, options.data_dir) if options.log or options.data_dir is not None else NO_HISTORY
    setting = Setting(rates=rates, history=history, fixture=options.fixture)
    found = advise(document, setting, body=_foreign_body(data), dismissed=ignored)
    if options.json:
        print(json.dumps(_fields(found), ensure_ascii=True))
    else:
        _print(options.file, found)
    return FAILED if any(advice.severity == "serious" for advice in found) else FINISHED


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(FieldError(("FILE",), f"{name} cannot be read: {error.strerror or error}.")) from error


def _rates(text: str | None) -> Rates:
    """FRESH,CACHED[,OUTPUT] in dollars a million tokens; a - or nothing is not priced."""
    if text is None:
        return Rates()
    parts = [part.strip() for part in text.split(",")]
    try:
        values = [None if part in ("", "-") else float(part) for part in parts]
    except ValueError:
        values = []
    if not 2 <= len(values) <= 3 or any(value is not None and not 0 <= value < 1e6 for value in values):
        hint = "Give dollars a million tokens, as --rates 0.40,0.10 or --rates 0.40,0.10,1.20."
        raise InputError(FieldError(("--rates",), f"{text!r} is not FRESH,CACHED[,OUTPUT].", hint))
    fresh, cached, output = (*values, None)[:3]
    return Rates(fresh, cached, output, "the command line")


def _ignored(given: Sequence[str]) -> frozenset[str]:
    known = {rule.name for rule in RULES}
    for name in given:
        if name.partition(":")[0] not in known:
            raise InputError(FieldError(("--ignore",), f"{name} is no rule.", f"There are {', '.join(sorted(known))}."))
    return frozenset(given)


def _foreign_body(data: bytes) -> Mapping[str, Json] | None:
    """The body as its own client would send it; None for a prompt file, which this program would send."""
    value = json.loads(data.decode("utf-8-sig"))
    return None if FORMAT_KEY in value else value


def _history(document: Document, folder: str | None) -> History:
    # Imported here: without a log nothing of it is needed.
    from playground.storage.paths import data_folder

    return asyncio.run(_read_log(data_folder(folder, os.environ), document))


async def _read_log(folder: Path, document: Document) -> History:
    from playground.lint.log_history import past
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import LogUnavailableError

    try:
        log = await RequestLog.open(folder)
    except LogUnavailableError as trouble:
        raise InputError(FieldError(("--data-dir",), str(trouble))) from trouble
    try:
        return await past(log, document)
    finally:
        await log.close()


def _print(name: str, found: Sequence[Advice]) -> None:
    for advice in found:
        where = ", ".join(_where(place) for place in advice.places if place.path)
        print(f"{advice.severity}: {advice.title}" + (f" ({where})" if where else "") + f" [{advice.key}]")
        print(f"    {advice.detail}")
        for item in advice.evidence:
            print(
                f"    {item.label}: {item.text}{' tokens' if item.unit == 'tokens' and item.value is not None else ''}"
            )
        if advice.fix is not None:
            print(f"    fix: {advice.fix.title}")
    counts = _counts(found)
    print(f"{name}: " + ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES))


def _where(place: Place) -> str:
    field = FieldError(place.path, "").field
    span = f":{place.start}-{place.end}" if place.start is not None else ""
    return f"{place.tool} {field}{span}".strip()


def _counts(found: Sequence[Advice]) -> dict[str, int]:
    return {severity: sum(1 for advice in found if advice.severity == severity) for severity in SEVERITIES}


def _fields(found: Sequence[Advice]) -> dict[str, Json]:
    findings: Json = [_advice(advice) for advice in found]
    # `advice` is the older name of the same list.
    return {"findings": findings, "advice": findings, **_counts(found)}


def _advice(advice: Advice) -> Json:
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


def _place(place: Place) -> Json:
    return {"path": list(place.path), "start": place.start, "end": place.end, "tool": place.tool or None}
