"""Score a replay of recorded traffic: forecasts, intervals, causes, places and inferred properties of the server."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.cache_engines import traffic
from tests.cache_engines.engines import EngineConfig
from tests.cache_engines.traffic import Line

CALIBRATING = 20
_PROMPT_CAUSES = "edited spacing date time number uuid name variable order removed added tools parameters"
IN_THE_PROMPT = frozenset(_PROMPT_CAUSES.split())
POSITIONS = {
    "first": "first",
    "before_system": "first",
    "in_system": "inside",
    "after_system": "inside",
    "inside_system": "inside",
    "system": "inside",
    "first_user": "first_user",
    "before_last_user": "before_last_user",
    "last_user": "before_last_user",
}


class Replay(Protocol):
    """Replays a file and returns the objects of `replay --json`, the summary last.

    `learned` is the file that carries the model's memory from one replay to the next, None for no memory.
    """

    def __call__(self, path: Path, learned: Path | None = None) -> list[dict[str, Any]]: ...


@dataclass
class Sample:
    """Forecasts of one kind of traffic against the reports."""

    errors: list[float] = field(default_factory=list)
    relative: list[float] = field(default_factory=list)
    covered: int = 0
    widths: list[float] = field(default_factory=list)
    within: int = 0
    unknown: int = 0

    def add(self, forecast: Mapping[str, Any], reported: int, prompt: int, tolerance: int) -> None:
        """Count one request. An unknown forecast is neither within a block nor covered."""
        value, low, high = forecast.get("forecast"), forecast.get("low"), forecast.get("high")
        if value is None:
            self.unknown += 1
            self.errors.append(float(prompt))
        else:
            self.errors.append(float(value) - reported)
            self.within += abs(value - reported) <= tolerance
        if low is not None and high is not None:
            self.covered += low <= reported <= high
            self.widths.append(high - low)

    def merge(self, other: Sample) -> None:
        """Add the requests of `other`."""
        self.errors += other.errors
        self.relative += other.relative
        self.covered += other.covered
        self.widths += other.widths
        self.within += other.within
        self.unknown += other.unknown

    @property
    def count(self) -> int:
        return len(self.errors)

    @property
    def within_share(self) -> float:
        return self.within / self.count if self.count else float("nan")

    @property
    def coverage(self) -> float:
        return self.covered / self.count if self.count else float("nan")

    @property
    def width(self) -> float:
        return statistics.median(self.widths) if self.widths else float("nan")

    @property
    def prompt_error(self) -> float:
        """The median relative error of the forecast prompt size."""
        return statistics.median(self.relative) if self.relative else float("nan")


@dataclass
class Causes:
    """Explanations of labelled breaks, and of misses that no change of the prompt can explain.

    `identical` counts requests sent before that were served less than then; `lost` counts requests that continue the
    previous one and were served less than it; `alarms` counts those that were served all of it, and yet a change of
    the prompt is named.
    """

    breaks: int = 0
    right: int = 0
    places: int = 0
    places_right: int = 0
    identical: int = 0
    identical_blamed: int = 0
    lost: int = 0
    lost_blamed: int = 0
    alarms: int = 0
    wrong: list[str] = field(default_factory=list)

    def merge(self, other: Causes) -> None:
        """Add the breaks of `other`."""
        self.breaks += other.breaks
        self.right += other.right
        self.places += other.places
        self.places_right += other.places_right
        self.identical += other.identical
        self.identical_blamed += other.identical_blamed
        self.lost += other.lost
        self.lost_blamed += other.lost_blamed
        self.alarms += other.alarms
        self.wrong += other.wrong


@dataclass
class Score:
    """Everything that is judged about one file."""

    overall: Sample = field(default_factory=Sample)
    trained: Sample = field(default_factory=Sample)
    causes: Causes = field(default_factory=Causes)
    naive_quarter: Sample = field(default_factory=Sample)
    naive_last: Sample = field(default_factory=Sample)
    summary: dict[str, Any] = field(default_factory=dict)

    def merge(self, other: Score) -> None:
        """Add the figures of `other`; the summary is not kept."""
        for name in ("overall", "trained", "causes", "naive_quarter", "naive_last"):
            getattr(self, name).merge(getattr(other, name))


def judge_file(
    path: Path, replay: Replay, *, tolerance: int = 16, learned: Path | None = None, calibrating: int = CALIBRATING
) -> Score:
    """Replay the traffic in `path` and score it. The labels are removed from the file that is replayed."""
    return judge_lines(traffic.read(path), replay, tolerance=tolerance, learned=learned, calibrating=calibrating)


def judge_lines(
    lines: Sequence[Line],
    replay: Replay,
    *,
    tolerance: int = 16,
    learned: Path | None = None,
    calibrating: int = CALIBRATING,
    appends: bool = False,
) -> Score:
    """Score a replay of `lines`; raises `ValueError` if the output does not match the input.

    `appends` states that the server's template only appends to the prompt of a conversation that continues, so that
    lost prefixes and alarms can be judged.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "traffic.jsonl"
        traffic.write(file, lines)
        objects = replay(file, learned)
    found = [item for item in objects if "summary" not in item]
    if [item.get("request_id") for item in found] != [line["response"]["request_id"] for line in lines]:
        raise ValueError("the replay must print one object per request, in order")
    score = Score(summary=next((dict(item["summary"]) for item in objects if "summary" in item), {}))
    _forecasts(score, lines, found, tolerance, calibrating)
    _causes(score.causes, lines, found)
    if appends:
        _continued(score.causes, lines, found, tolerance)
    return score


def _forecasts(
    score: Score, lines: Sequence[Line], found: Sequence[Mapping[str, Any]], tolerance: int, calibrating: int
) -> None:
    before: list[str] = []
    last = 0
    for index, (line, item) in enumerate(zip(lines, found, strict=True)):
        if (report := traffic.reported(line)) is None:
            continue
        reported, prompt = report
        text = flat_text(line["request"])
        size = item["prompt_tokens"].get("forecast")
        for sample in (score.overall, *([score.trained] if index >= calibrating else [])):
            sample.add(item["cached_tokens"], reported, prompt, tolerance)
            if size is not None:
                sample.relative.append(abs(size - prompt) / prompt)
        if index >= calibrating:
            quarter = max((shared_length(text, other) for other in before), default=0) / 4
            score.naive_quarter.add({"forecast": quarter}, reported, prompt, tolerance)
            score.naive_last.add({"forecast": last}, reported, prompt, tolerance)
        before.append(text)
        last = reported


def reported_tokens(line: Line) -> tuple[int, int]:
    """Return the cached tokens and the prompt tokens of a line that reports both."""
    report = traffic.reported(line)
    if report is None:
        raise ValueError("the line does not report cached tokens")
    return report


def flat_text(body: Mapping[str, Any]) -> str:
    """Return the body as one text, tools first."""
    tools = "".join(str(tool) for tool in body.get("tools", ()))
    return tools + "".join(f"{message['role']}\n{message.get('content') or ''}\n" for message in body["messages"])


def shared_length(one: str, two: str) -> int:
    """Return the length of the longest common prefix, by bisection."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == two[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _causes(causes: Causes, lines: Sequence[Line], found: Sequence[Mapping[str, Any]]) -> None:
    served: dict[str, int] = {}
    for line, item in zip(lines, found, strict=True):
        if (report := traffic.reported(line)) is None:
            continue
        reported, _ = report
        text = repr((line["request"].get("model"), line["request"]))
        if text in served and reported < served[text]:
            causes.identical += 1
            if item.get("cause") in IN_THE_PROMPT:
                causes.identical_blamed += 1
                causes.wrong.append(f"{item['request_id']}: identical bytes blamed on {item['cause']}")
        served[text] = max(reported, served.get(text, 0))
        if label := line.get("label"):
            _label(causes, label, item)


def _continued(causes: Causes, lines: Sequence[Line], found: Sequence[Mapping[str, Any]], tolerance: int) -> None:
    for before, line, item in zip(lines, lines[1:], found[1:], strict=False):
        old, new = traffic.reported(before), traffic.reported(line)
        if old is None or new is None or not continues(line["request"], before["request"]):
            continue
        blamed = item.get("cause") in IN_THE_PROMPT
        if new[0] < old[0]:
            causes.lost += 1
            causes.lost_blamed += blamed
        elif new[0] >= old[1] - 2 * tolerance:
            causes.alarms += blamed
        else:
            continue
        if blamed:
            causes.wrong.append(f"{item['request_id']}: a continued conversation explained as {item['cause']}")


def continues(body: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return whether `body` is `before` with further messages after it."""
    count = len(before["messages"])
    rest, rest_before = ({**one, "messages": None} for one in (body, before))
    return bool(rest == rest_before and body["messages"][:count] == before["messages"])


def _label(causes: Causes, label: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    cause = item.get("cause")
    right = cause in label["accept"]
    causes.breaks += 1
    causes.right += right
    if not right:
        causes.wrong.append(f"{item['request_id']}: {label['name']}, explained as {cause}")
    if (place := label.get("place")) is None:
        return
    causes.places += 1
    fine = place_right(place, item.get("place"))
    causes.places_right += fine
    if not fine:
        causes.wrong.append(f"{item['request_id']}: {label['name']} at {place}, placed at {item.get('place')}")


def place_right(true: Mapping[str, Any], given: Mapping[str, Any] | None) -> bool:
    """Return whether `given` names the part and index, and in texts the line and a column within the varying value."""
    if given is None or given.get("part") != true["part"] or given.get(true["part"]) != true["index"]:
        return False
    if "line" not in true:
        return True
    column = given.get("column")
    return given.get("line") == true["line"] and column is not None and true["column_from"] <= column <= true["column"]


def value_of(summary: Mapping[str, Any], name: str) -> Any:
    """Return an inferred value, given directly or as an object with `value` and `confidence`."""
    found = summary.get(name)
    return found.get("value") if isinstance(found, Mapping) else found


def inferred(summary: Mapping[str, Any], config: EngineConfig, *, has_tools: bool) -> dict[str, str]:
    """Return "right", "wrong" or "unknown" for each inferred property of the server."""
    truth: dict[str, Any] = {"block": config.true_block, "answers_cached": config.answers_reusable}
    if has_tools:
        truth["tools_position"] = POSITIONS[config.template.tools]
    result = {}
    for name, true in truth.items():
        value = value_of(summary, name)
        if name == "tools_position" and isinstance(value, str):
            value = POSITIONS.get(value, value)
        result[name] = "unknown" if value in (None, "unknown") else "right" if value == true else "wrong"
    return result


def confidence_of(summary: Mapping[str, Any], name: str) -> float:
    """Return the confidence of an inferred value; 1 if it is given without one, 0 if there is no value."""
    found = summary.get(name)
    if not isinstance(found, Mapping):
        return 0.0 if found is None else 1.0
    return float(found.get("confidence") or 0.0) if found.get("value") is not None else 0.0


def false_facts(summary: Mapping[str, Any], config: EngineConfig, *, certain: float = 0.9) -> list[str]:
    """Return the properties that are wrong although their confidence is at least `certain`.

    A lifetime may be off by half of the true one, a minimum by two blocks.
    """
    checks: dict[str, Callable[[Any], bool]] = {
        "block": lambda value: value == config.true_block,
        "answers_cached": lambda value: value == config.answers_reusable,
        "tools_position": lambda value: POSITIONS.get(value, value) in (POSITIONS[config.template.tools], "unknown"),
        "lifetime": lambda value: (
            config.lifetime_s is not None and abs(value - config.lifetime_s) <= config.lifetime_s / 2
        ),
        "minimum": lambda value: abs(value - config.minimum) <= max(16, 2 * config.true_block),
        "replicas": lambda value: (value > 1) == (config.replicas > 1),
    }
    found = []
    for name, check in checks.items():
        if confidence_of(summary, name) >= certain and not check(value_of(summary, name)):
            found.append(f"{name} {value_of(summary, name)}")
    return found


def judge_restart(lines: Sequence[Line], replay: Replay, learned: Path, *, tolerance: int = 16) -> Score:
    """Replay the first half, then the second half with the memory of the first. Scores the second from its start."""
    half = len(lines) // 2
    judge_lines(lines[:half], replay, tolerance=tolerance, learned=learned)
    return judge_lines(lines[half:], replay, tolerance=tolerance, learned=learned, calibrating=0)


def total(scores: Iterable[Score]) -> Score:
    """Return the sum of `scores`."""
    found = Score()
    for score in scores:
        found.merge(score)
    return found
