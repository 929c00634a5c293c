"""`electron-playground replay`: forecasts and explanations of the cache model for recorded traffic.

It sends nothing and writes nothing to the log.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playground.cli import FINISHED, discard_output
from playground.export.terminal import print_error
from playground.prefix_cache.block_size import Estimate
from playground.prefix_cache.cache_profile import CacheProfile, Property
from playground.prefix_cache.miss_explanation import MissExplanation, MissPosition
from playground.prefix_cache.miss_sentences import Candidate
from playground.prefix_cache.replay import ReplayResult, ReplaySummary, TrafficReplay, replay_traffic
from playground.prefix_cache.traffic import TrafficError, TrafficRecord, read_traffic
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted
from playground.storage.paths import write_shared


def replay(options: argparse.Namespace) -> int:
    """Print one line per request and a summary. Returns 0; raises InputError (2) for a file that cannot be replayed."""
    memory: Path | None = options.learned
    try:
        learned = None
        if memory is not None and memory.exists():
            with _errors_of(memory):
                learned = memory.read_bytes()
        # The whole file is read first: a bad line is reported before anything is printed.
        left_out: list[str] = []
        records = list(read_traffic(options.file, exported_request, left_out.append))
        if left_out:
            print_error(f"Left out, no chat completions: {listed(left_out)}.")
        try:
            # An empty file has nothing to read, as one that `mktemp` made.
            found = replay_traffic(records, lifetime_s=options.lifetime, learned=learned or None)
        except ValueError:
            raise InputError.of(
                ("--learned",), f"{memory} is not what a replay has learned.", "Name another file."
            ) from None
        lines = _json_lines(found) if options.json else _text_lines(found)
        for line in lines:
            sys.stdout.write(line + "\n")
        if memory is not None:
            with _errors_of(memory):
                write_shared(memory, found.learned)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except TrafficError as error:
        raise InputError.of(("FILE",), str(error)) from error
    return FINISHED


MAX_NAMED = 5
"""Requests left out that are named one by one."""


def listed(places: Sequence[str]) -> str:
    """Return the first places of a list, and how many more there are."""
    more = len(places) - MAX_NAMED
    return ", ".join(places[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def _errors_of(memory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError.of(("--learned",), f"{memory}: {error.strerror or error}.") from error


def exported_request(line: str) -> Sequence[TrafficRecord] | None:
    """Return the request in a line of an export of the log; None if it is none. Raises ValueError.

    As in HAR files, a request without messages is skipped: the Recorder records any body that a program sent.
    """
    from playground.export.jsonl import FORMAT_KEY, from_line
    from playground.runs.record import sent_fields
    from playground.runs.service import cache_usage
    from playground.runs.state import fold

    if FORMAT_KEY not in line[:4096]:
        return None
    run = from_line(line)
    state, record = fold(run.events), run.record
    body = sent_fields(record.body)
    if not isinstance(body.get("messages"), list):
        return ()
    ended_unix = record.started_utc.timestamp() + state.ended_at if state.ended_at else None
    usage, tag = cache_usage(state, record.body), record.source if record.source in ("experiment", "keep_warm") else ""
    return (
        TrafficRecord(
            record.started_utc.timestamp(),
            body,
            state.status or 0,
            state.request_id,
            usage,
            endpoint=record.endpoint_id,
            tag=tag,
            ended_unix=ended_unix,
        ),
    )


def _json_lines(found: TrafficReplay) -> Iterator[str]:
    for result in found:
        yield _dumped(result_fields(result))
    yield _dumped({"summary": summary_fields(found.summary)})


def _dumped(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def result_fields(result: ReplayResult) -> dict[str, Any]:
    """Return the object of `--json` for one request."""
    usage, forecast, why = result.usage, result.forecast, result.explanation
    return {
        "request_id": result.record.request_id,
        "at": result.record.at_unix,
        "prompt_tokens": {
            "forecast": round(forecast.prompt_tokens),
            "reported": usage.prompt_tokens if usage is not None else None,
        },
        "cached_tokens": {
            "forecast": round(forecast.cached_tokens),
            "low": round(forecast.low),
            "high": round(forecast.high),
            "reported": usage.cached_tokens if usage is not None else None,
        },
        **_explained(why),
        "place": _place(why.position) if why is not None else None,
        "basis": forecast.basis,
        "compared_with": why.compared_with if why is not None else None,
        "corrections": [{"request_id": name, **_explained(better)} for name, better in result.corrections],
    }


def _explained(why: MissExplanation | None) -> dict[str, Any]:
    return {
        "cause": why.cause if why is not None else None,
        "sentence": why.sentence if why is not None else None,
        "reason": why.reason if why is not None else None,
        "candidates": [_candidate(one) for one in why.candidates] if why is not None else [],
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {"code": one.code, "seconds": round(one.seconds, 3) if one.code == "gap" else None, "text": one.words}


def _place(position: MissPosition | None) -> dict[str, Any] | None:
    if position is None:
        return None
    return {
        "part": position.part,
        position.part: position.index,
        "line": position.line,
        "column": position.column,
        "text": position.text,
    }


def summary_fields(summary: ReplaySummary) -> dict[str, Any]:
    """Return the object of the last line of `--json`."""
    none, unknown = Estimate(None, 0.0, 0), Property(None, 0.0)
    profile = summary.profile or CacheProfile(none, none, none, unknown, unknown, none, 0.0)
    return {
        "requests": summary.requests,
        "reported": summary.reported,
        "within_block": _share(summary.within_block),
        "coverage": _share(summary.coverage),
        "block": _estimate(profile.block),
        "minimum": _estimate(profile.minimum),
        "lifetime": _estimate(profile.lifetime),
        "answers_cached": _estimate(profile.answers_cached),
        "tools_position": _estimate(profile.tools_position),
        "replicas": {**_estimate(profile.replicas), "at_least": profile.replicas.at_least},
    }


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _estimate(found: Estimate | Property) -> dict[str, Any]:
    return {"value": found.value, "confidence": round(found.confidence, 3)}


def _text_lines(found: TrafficReplay) -> Iterator[str]:
    for result in found:
        fields = result_fields(result)
        cached, prompt = fields["cached_tokens"], fields["prompt_tokens"]
        reported = "—" if cached["reported"] is None else f"{cached['reported']:,}"
        size = f"≈ {prompt['forecast']:,}" if prompt["reported"] is None else f"{prompt['reported']:,}"
        yield (
            f"{result.record.request_id or '—'}  cached ≈ {cached['forecast']:,} "
            f"({cached['low']:,} to {cached['high']:,}), reported {reported} of {size}  {fields['basis']}"
        )
        if result.explanation is not None:
            yield f"    {result.explanation.cause}: {result.explanation.sentence}"
        for request_id, why in result.corrections:
            yield f"    corrects {request_id or '—'}, {why.cause}: {why.sentence}"
    summary = found.summary
    fields = summary_fields(summary)
    yield (
        f"{counted(summary.requests, 'request')}, {summary.reported:,} with reported cached tokens: within a block "
        f"{_percent(summary.within_block)}, inside the interval {_percent(summary.coverage)}"
    )
    for name in ("block", "minimum", "lifetime", "answers_cached", "tools_position", "replicas"):
        value = fields[name]["value"]
        least = "at least " if fields[name].get("at_least") else ""
        known = "unknown" if value is None else f"{least}{value} (confidence {fields[name]['confidence']:.2f})"
        yield f"    {name}: {known}"


def _percent(value: float | None) -> str:
    return "—" if value is None else f"{value:.1%}"
