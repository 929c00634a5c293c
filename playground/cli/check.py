"""`electron-playground check`: lint prompts, find what varies between requests, compare prefixes with a baseline.

No network. Reads the log only with --log or --data-dir.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from playground.cli import FAILED, FINISHED
from playground.cli.check_inputs import CheckedInput, opened_log, read_inputs
from playground.cli.check_losses import Losses, find_losses, measured
from playground.cli.check_report import OWN_RULES, CheckReport, print_report
from playground.client.endpoint import Rates
from playground.lint.engine import RULES, advise, rule_named
from playground.lint.message_texts import template_lines
from playground.lint.model import Finding, FindingPlace
from playground.lint.prefix_baseline import (
    SharedPrefix,
    baseline_of,
    entries_of,
    file_fields,
    prefix_of_prompt,
    prefix_of_requests,
    recognized,
    regressions,
    removed,
)
from playground.lint.prompt_facts import NO_HISTORY, LintContext, PromptHistory
from playground.prefix_cache.message_content import content_text
from playground.prefix_cache.program_groups import body_messages, families
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError, writing_to
from playground.prompt.json_text import loads
from playground.storage.paths import write_shared

_PLACEHOLDERS = rule_named("placeholder-unfilled")
_NO_FILES = ("-", "log")
"""Inputs without a path: standard input and the request log."""


def check(options: argparse.Namespace) -> int:
    """Print the findings. Returns 0, or 1 if one is as severe as --fail-on; raises InputError (2)."""
    rates, ignored, form = _rates(options.rates), _ignored(options.ignore), _format(options)
    if options.update_baseline and options.baseline is None:
        raise InputError.of(("--update-baseline",), "needs --baseline FILE.")
    inputs = read_inputs(options, options.baseline)
    groups = _groups(inputs)
    results = [(item, list(found)) for item, found in _linted(inputs, groups, options, rates, ignored)]
    # The programs of one file are known already; those of several files may be one.
    alone = len({item.file for item in inputs}) == 1
    losses = find_losses(inputs, rates, groups.values() if alone else None)
    results = [(item, measured(found, item, losses) if item.recorded else found) for item, found in results]
    spans = [one for one in losses.spans if not ignored & {one.finding.rule, one.finding.key}]
    notes = _compared(options, groups, results, rates, ignored, losses) if options.baseline is not None else []
    report = CheckReport(results, spans, rates, losses.sums, notes, losses.retried)
    print_report(report, form)
    return FAILED if report.fails(options.fail_on) else FINISHED


def _format(options: argparse.Namespace) -> str:
    if options.json and options.format not in (None, "json"):
        raise InputError.of(("--json",), f"is another format than --format {options.format}.", "Give one of the two.")
    return "json" if options.json else options.format or "text"


def _groups(inputs: Sequence[CheckedInput]) -> dict[str, list[CheckedInput]]:
    """Return the inputs by prompt: a file of its own, or the recorded requests of one program, numbered by file."""
    groups: dict[str, list[CheckedInput]] = {}
    recorded: dict[str, list[CheckedInput]] = {}
    for item in inputs:
        if item.recorded and item.body is not None:
            recorded.setdefault(item.file, []).append(item)
        else:
            groups[item.name] = [item]
    for file, items in recorded.items():
        for number, members in enumerate(families([item.body or {} for item in items]), 1):
            groups[f"{file}#{number}"] = [items[index] for index in members]
    return groups


def _linted(
    inputs: Sequence[CheckedInput],
    groups: Mapping[str, Sequence[CheckedInput]],
    options: argparse.Namespace,
    rates: Rates,
    ignored: frozenset[str],
) -> list[tuple[CheckedInput, Sequence[Finding]]]:
    """Return the findings of each input. Of the recorded requests of one program the newest is judged by all rules."""
    newest = {id(members[-1]) for members in groups.values()}
    judged = [item for item in inputs if id(item) in newest or _may_have_placeholder(item)]
    histories = [NO_HISTORY] * len(judged)
    if options.log is True or options.data_dir is not None:
        histories = asyncio.run(_histories([item.document for item in judged], options.data_dir))
    history_of = {id(item): history for item, history in zip(judged, histories, strict=True)}
    counter = TokenEstimator()
    results: list[tuple[CheckedInput, Sequence[Finding]]] = []
    program_of = {id(member): name for name, members in groups.items() for member in members}
    templates = {name: _templates(members) for name, members in groups.items()}
    # The same placeholders in many requests of a program are one finding.
    reported: set[tuple[str, str, tuple[FindingPlace, ...]]] = set()
    for item in inputs:
        if id(item) not in history_of:
            results.append((item, ()))
            continue
        rules = RULES if id(item) in newest else (_PLACEHOLDERS,)
        context = LintContext(
            rates=rates,
            history=history_of[id(item)],
            fixture=options.fixture,
            templates=templates[program_of[id(item)]],
        )
        found = advise(item.document, context, counter, body=item.sent_body, dismissed=ignored, rules=rules)
        if item.recorded:
            program = program_of[id(item)]
            found = tuple(_sent(one) for one in found if (program, one.detail, one.places) not in reported)
            unfilled = (one for one in found if one.rule == _PLACEHOLDERS.name)
            reported.update((program, one.detail, one.places) for one in unfilled)
        results.append((item, found))
    return results


def _templates(members: Sequence[CheckedInput]) -> frozenset[str] | None:
    """Return the lines with placeholders in most user messages of recorded requests; None for a single prompt."""
    if not members[0].recorded:
        return None
    if not any(map(_may_have_placeholder, members)):
        return frozenset()
    messages = (message for item in members for message in body_messages(item.body or {}))
    return template_lines(content_text(one.get("content") or "") for one in messages if one.get("role") == "user")


def _sent(finding: Finding) -> Finding:
    """Return the finding of a recorded request: a variable in it was sent without a value."""
    unfilled = finding.rule == _PLACEHOLDERS.name and finding.severity == "hint"
    return replace(finding, severity="warning") if unfilled else finding


def _may_have_placeholder(item: CheckedInput) -> bool:
    messages = item.body.get("messages") if item.body is not None else None
    texts = [str(one.get("content")) for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    return any(mark in text for text in texts for mark in "{<[%_")


def _compared(
    options: argparse.Namespace,
    groups: Mapping[str, Sequence[CheckedInput]],
    results: Sequence[tuple[CheckedInput, list[Finding]]],
    rates: Rates,
    ignored: frozenset[str],
    losses: Losses,
) -> list[Finding]:
    """Add findings about prefixes to the results, or update the baseline. Returns notes about removed prompts."""
    path = Path(options.baseline)
    old = _baseline(path, missing_ok=options.update_baseline)
    estimate = TokenEstimator().estimate
    members_of = {_relative(name, path.parent): members for name, members in groups.items()}
    prefixes = {name: _prefix(members) for name, members in members_of.items()}
    # A program is numbered by its place in the file: it keeps the name of the baseline if it has another number now.
    known = recognized(old, {name: prefixes[name] for name, members in members_of.items() if members[0].recorded})
    members_of = {known.get(name, name): members for name, members in members_of.items()}
    prefixes = {known.get(name, name): prefix for name, prefix in prefixes.items()}
    gone = [name for name in old if name not in prefixes and not _is_file(name, path.parent)]
    if options.update_baseline:
        kept = {name: entry for name, entry in old.items() if name not in gone}
        value = file_fields({**kept, **baseline_of(prefixes, estimate)})
        with writing_to("--baseline", path):
            write_shared(path, (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8"))
        return []
    fresh = {name: tokens for name, members in members_of.items() if (tokens := _fresh(members)) is not None}
    lost = {name: losses.per_request(members) for name, members in members_of.items()}
    found_of = {id(item): found for item, found in results}
    for name, finding in regressions(old, prefixes, estimate, rates, fresh, lost):
        if not ignored & {finding.rule, finding.key}:
            found_of[id(members_of[name][-1])].append(finding)
    return [removed(name) for name in gone]


def _is_file(name: str, folder: Path) -> bool:
    """Return whether the file of a prompt, or of a program's requests (`file#1`), exists.

    A prompt of the baseline that was not checked this time is gone if it does not.
    """
    source = _source(name)
    return source in _NO_FILES or any((folder / one).exists() for one in (name, source))


def _source(name: str) -> str:
    return name.rpartition("#")[0] or name


def _fresh(members: Sequence[CheckedInput]) -> float | None:
    """Return the reported fresh tokens per request; None without a report."""
    found = [item.outcome.usage.fresh for item in members if item.outcome.usage.fresh is not None]
    return sum(found) / len(found) if found else None


def _prefix(members: Sequence[CheckedInput]) -> SharedPrefix:
    documents = [item.document for item in members]
    return prefix_of_requests(documents) if members[0].recorded else prefix_of_prompt(documents[0])


def _relative(name: str, folder: Path) -> str:
    if _source(name) in _NO_FILES:
        return name
    return os.path.relpath(name, folder).replace(os.sep, "/")


def _baseline(path: Path, *, missing_ok: bool) -> dict[str, Json]:
    try:
        return entries_of(loads(path.read_bytes()))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise InputError.of(("--baseline",), f"{path} does not exist.", "Create it with --update-baseline.") from None
    except OSError as error:
        raise InputError.of(("--baseline",), f"{path} cannot be read: {error.strerror or error}.") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError.of(("--baseline",), f"{path} is not JSON: {error}.") from None


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
        raise InputError.of(("--rates",), f"{text!r} is not FRESH,CACHED[,OUTPUT].", hint)
    fresh, cached, output = (*values, None)[:3]
    return Rates(fresh, cached, output, "the command line")


def _ignored(given: Sequence[str]) -> frozenset[str]:
    known = {rule.name for rule in RULES} | set(OWN_RULES)
    for name in given:
        if name.partition(":")[0] not in known:
            raise InputError.of(("--ignore",), f"{name} is no rule.", f"There are {', '.join(sorted(known))}.")
    return frozenset(given)


async def _histories(documents: Sequence[Document], folder: str | None) -> list[PromptHistory]:
    """Return the history of each prompt. Opens the log once."""
    # Imported here: without a log nothing of it is needed.
    from playground.lint.service import past

    async with opened_log("--data-dir", folder) as log:
        return [await past(log, document) for document in documents]
