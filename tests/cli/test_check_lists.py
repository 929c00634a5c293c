"""`check` on system prompts with a list whose entries change one after the other: one finding, and exit status 1."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from playground.cli.main import main

_WORDS = ("order", "invoice", "refund", "shipping", "ledger", "customer", "before", "Wörter", "ग्राहक")
Row = Callable[[str, str], str]
ROWS: dict[str, Row] = {
    "bullets": lambda name, value: f"- {name}: {value}",
    "numbers": lambda name, value: f"{len(name)}. {name} ({value})",
    "table": lambda name, value: f"| {name} | {value} |",
    "xml": lambda name, value: f'<task name="{name}" state="{value}"/>',
    "yaml": lambda name, value: f"  {name.replace(' ', '_')}: {value}",
}
ROW = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)).capitalize()


def _found(
    lists: Sequence[str], rng: random.Random, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the findings about independent questions behind each list."""
    rules, introduction = _text(rng, 300), _text(rng, 30)
    rows = [
        {
            "messages": [
                {"role": "system", "content": f"{introduction}\n\n{entries}\n\n{rules}"},
                {"role": "user", "content": _text(rng, 12)},
            ]
        }
        for entries in lists
    ]
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    status = main(["check", str(path), "--json"])
    return status, json.loads(capsys.readouterr().out)["varying"]


@ROW
@pytest.mark.parametrize("form", ["{} %", "{} of 40", "2026-07-{}"])
def test_check_values_of_tasks_are_one_finding(
    row: Row, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(3)
    names = [_text(rng, 3) for _ in range(7)]
    values = [rng.randint(10, 28) for _ in names]
    lists = []
    for number in range(10):
        values[number % 7] = rng.randint(10, 28)
        lists.append("\n".join(row(name, form.format(value)) for name, value in zip(names, values, strict=True)))
    status, spans = _found(lists, rng, tmp_path, capsys)
    assert (status, len(spans)) == (1, 1)
    assert spans[0]["kind"] == ("date" if "-" in form else "number")


@ROW
def test_check_flags_with_two_values_are_a_serious_finding(
    row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(5)
    names = [_text(rng, 2) for _ in range(8)]
    on = [False] * 8
    lists = []
    for _ in range(16):
        on = [state ^ (rng.random() < 0.3) for state in on]
        lists.append("\n".join(row(name, "on" if state else "off") for name, state in zip(names, on, strict=True)))
    status, spans = _found(lists, rng, tmp_path, capsys)
    assert (status, [one["severity"] for one in spans]) == (1, ["serious"])


@ROW
def test_check_list_that_loses_entries_is_one_finding(
    row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(7)
    entries = [row(_text(rng, 3), _text(rng, 5)) for _ in range(10)]
    lists = []
    for _ in range(8):
        lists.append("\n".join(entries))
        entries.pop(rng.randrange(len(entries)))
    status, spans = _found(lists, rng, tmp_path, capsys)
    assert (status, len(spans)) == (1, 1)


def test_check_values_of_a_header_are_several_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(9)
    users = ["Anna Weber", "Jorge Ruiz", "Mei Chen"]
    headers = [
        f"- Date: 2026-07-{10 + number}\n- User: {rng.choice(users)}\n- Request: {rng.getrandbits(64):016x}"
        for number in range(8)
    ]
    _, spans = _found(headers, rng, tmp_path, capsys)
    assert len(spans) == 3
