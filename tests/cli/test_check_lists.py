"""`check` on prompts with a list that changes from request to request: one finding at its price, and exit status 1."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Sequence
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


Messages = list[dict[str, Any]]


def _rendered(messages: Messages) -> str:
    return "".join(f"<{one['role']}>{one.get('content') or ''}{one.get('tool_calls') or ''}<end>" for one in messages)


def _usage(sent: Sequence[Messages]) -> list[tuple[int, int]]:
    """Return prompt and cached tokens of an ideal cache: a token is four characters, a block 16 tokens."""
    known: set[str] = set()
    rows = []
    for messages in sent:
        text = _rendered(messages)
        blocks = [text[:end] for end in range(64, len(text) + 1, 64)]
        rows.append((len(text) // 4, 16 * sum(block in known for block in blocks)))
        known.update(blocks)
    return rows


def _fresh(sent: Sequence[Messages]) -> int:
    return sum(prompt - cached for prompt, cached in _usage(sent))


def _independent(role: str, text: str, rng: random.Random) -> Callable[[Sequence[str]], list[Messages]]:
    """Return requests with a question of their own, behind a system message of that role or in one user message."""
    questions = [_text(rng, 12) for _ in range(40)]
    if role == "user":
        system = {"role": "system", "content": _text(rng, 60)}
        return lambda lists: [
            [system, {"role": "user", "content": f"{text.format(one)}\n\n{question}"}]
            for one, question in zip(lists, questions, strict=False)
        ]
    return lambda lists: [
        [{"role": role, "content": text.format(one)}, {"role": "user", "content": question}]
        for one, question in zip(lists, questions, strict=False)
    ]


def _conversations(count: int, place: str, text: str, rng: random.Random) -> Callable[[Sequence[str]], list[Messages]]:
    """Return the requests of conversations in turn, with the list in a message in front of the turns."""
    call = {"id": "call_1", "type": "function", "function": {"name": "plan", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    turns = [
        [{"role": "assistant", "content": _text(rng, 40)}, {"role": "user", "content": _text(rng, 9)}]
        for _ in range(40)
    ]
    system, asked = {"role": "system", "content": _text(rng, 60)}, {"role": "user", "content": _text(rng, 30)}

    def requests(lists: Sequence[str]) -> list[Messages]:
        histories: list[Messages] = [list(turns[-1 - number]) for number in range(count)]
        sent = []
        for number, one in enumerate(lists):
            message: dict[str, Any] = {"role": place, "content": text.format(one)}
            front = [system, message]
            if place == "tool":
                front = [system, asked, called, {**message, "tool_call_id": "call_1"}, *turns[-9]]
            history = histories[number % count]
            sent.append([*front, *history])
            history += turns[number]
        return sent

    return requests


PLACES: dict[str, tuple[int, Callable[[str, random.Random], Callable[[Sequence[str]], list[Messages]]]]] = {
    "system": (0, lambda text, rng: _independent("system", text, rng)),
    "developer": (0, lambda text, rng: _independent("developer", text, rng)),
    "first user": (1, lambda text, rng: _conversations(1, "user", text, rng)),
    "first user of sessions": (1, lambda text, rng: _conversations(3, "user", text, rng)),
    "last user": (1, lambda text, rng: _independent("user", text, rng)),
    "tool": (3, lambda text, rng: _conversations(1, "tool", text, rng)),
}


def _placed(forms: Iterable[str]) -> pytest.MarkDecorator:
    """Return the mark that gives each form two places in turn; together, the forms are in all of them."""
    places = itertools.cycle(PLACES)
    return pytest.mark.parametrize(("form", "place"), [(form, next(places)) for form in forms for _ in range(2)])


def _found(
    lists: Sequence[str], rng: random.Random, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str = "system"
) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the findings about requests with the lists, with their share of the true loss."""
    index, requests = PLACES[place]
    sent_with = requests(f"{_text(rng, 30)}\n\n{{}}\n\n{_text(rng, 400)}", rng)
    sent, fixed = sent_with(lists), sent_with([lists[0]] * len(lists))
    rows = [
        {
            "request": {"messages": messages},
            "usage": {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}},
        }
        for messages, (prompt, cached) in zip(sent, _usage(sent), strict=True)
    ]
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    status = main(["check", str(path), "--json"])
    spans = json.loads(capsys.readouterr().out)["varying"]
    true = _fresh(sent) - _fresh(fixed)
    return status, [one | {"share": one["lost_tokens"] / true, "right": one["index"] == index} for one in spans]


def _assert_one(found: tuple[int, list[dict[str, Any]]]) -> None:
    """Assert one serious finding about the right message at the true price."""
    status, spans = found
    assert (status, [(one["severity"], one["right"]) for one in spans]) == (1, [("serious", True)])
    assert spans[0]["share"] == pytest.approx(1, abs=0.1)


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


FLAGS: dict[str, tuple[Row, str, str]] = {
    **{name: (row, "on", "off") for name, row in ROWS.items()},
    "boxes": (lambda name, value: f"[{value}] {name}", "x", " "),
    "keys of several words": (lambda name, value: f"{name}: {value}", "true", "false"),
    "settings": (lambda name, value: f"{name.replace(' ', '_')} = {value}", "1", "0"),
}


@_placed(FLAGS)
def test_check_flags_with_two_values_are_a_serious_finding(
    form: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(5)
    row, *values = FLAGS[form]
    names = [f"{_text(rng, 2)} {letter}" for letter in "ABCDEFGH"]
    on = [0] * 8
    lists = []
    for _ in range(16):
        on = [state ^ (rng.random() < 0.3) for state in on]
        lists.append("\n".join(row(name, values[state]) for name, state in zip(names, on, strict=True)))
    _assert_one(_found(lists, rng, tmp_path, capsys, place))


@_placed(ROWS)
def test_check_list_that_loses_entries_is_one_finding(
    form: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(7)
    entries = [ROWS[form](_text(rng, 3), _text(rng, 5)) for _ in range(10)]
    lists = []
    for _ in range(8):
        lists.append("\n".join(entries))
        entries.pop(rng.randrange(len(entries)))
    _assert_one(_found(lists, rng, tmp_path, capsys, place))


PLANS: dict[str, Callable[[str, str], str]] = {
    **ROWS,
    "records": lambda name, value: json.dumps({"status": value, "step": name}, indent=1),
    "paragraphs": lambda name, value: (
        f"### {name}\n{value}\nIt is {name}.\n" + (f"> {name[::-1]}\n" if value == "done" else "")
    ),
}


@_placed(PLANS)
def test_check_steps_of_a_plan_are_one_finding(
    form: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(11)
    names = [f"{_text(rng, 3)} {letter}" for letter in "ABCDEFG"]
    lists = []
    for done in range(8):
        states = ["done" if at < done else "in progress" if at == done else "pending" for at in range(len(names))]
        lists.append("\n".join(PLANS[form](name, state) for name, state in zip(names, states, strict=True)))
    _assert_one(_found(lists, rng, tmp_path, capsys, place))


def test_check_plan_without_reports_of_cached_tokens_is_priced_in_reported_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(13)
    text = _text(rng, 500)
    rows = []
    for number in range(6):
        messages = [{"role": "system", "content": f"- step {number}: {number * 7} %\n\n{text}"}]
        messages.append({"role": "user", "content": _text(rng, 9)})
        rows.append({"request": {"messages": messages}, "usage": {"prompt_tokens": len(_rendered(messages)) // 2}})
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["check", str(path), "--json"]) == 1
    (span,) = json.loads(capsys.readouterr().out)["varying"]
    assert span["lost_tokens"] == pytest.approx(5 * len(text) / 2, rel=0.1)


def test_check_draft_with_a_question_that_is_refined_is_no_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(17)
    words = [f"{chr(97 + at % 26)}{chr(97 + at // 26)}word" for at in range(400)]
    lines = [" ".join(rng.sample(words, 9)).capitalize() + "." for _ in range(40)]
    sent = []
    for turn in range(8):
        lines[turn * 2] = " ".join(rng.sample(words, 9)).capitalize() + "."
        draft = {"role": "user", "content": "\n".join(lines) + f"\n\n{' '.join(rng.sample(words, 6))}?"}
        sent.append([{"role": "system", "content": "Improve the draft."}, draft])
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(json.dumps({"messages": messages}) for messages in sent), "utf-8")
    assert main(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["varying"] == []


@pytest.mark.parametrize(("at", "status"), [((3, 1, 6, 2, 8), 0), ((2, 2, 2, 2, 2), 1)])
def test_check_draft_that_gains_sentences_at_several_places_is_no_template(
    at: tuple[int, ...], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(31)
    words = [f"{chr(97 + at % 26)}{chr(97 + at // 26)}word" for at in range(400)]
    lines = [" ".join(rng.sample(words, 20)).capitalize() + "." for _ in range(24)]
    sent = []
    for line in at:
        lines[line] += f" {' '.join(rng.sample(words, 9)).capitalize()}."
        draft = {"role": "user", "content": "\n".join(lines)}
        sent.append([{"role": "system", "content": "Improve the draft."}, draft])
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(json.dumps({"messages": messages}) for messages in sent), "utf-8")
    assert main(["check", str(path), "--json"]) == status  # a record that grows at one place is a leak


def test_check_values_of_a_header_are_several_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(9)
    users = ["Anna Weber", "Jorge Ruiz", "Mei Chen"]
    headers = [
        f"- Date: 2026-07-{10 + number}\n- User: {rng.choice(users)}\n- Request: {rng.getrandbits(64):016x}"
        for number in range(8)
    ]
    _, spans = _found(headers, rng, tmp_path, capsys)
    assert len(spans) == 3


def test_check_values_in_one_line_that_change_together_are_one_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(9)
    headers = [
        f"Time: 09:{number:02}:{number * 7 % 60:02}, turn {number + 1}, left: {9000 - number * 73}"
        for number in range(8)
    ]
    _, spans = _found(headers, rng, tmp_path, capsys)
    assert len(spans) == 1
    assert spans[0]["places"] >= 3
    # It is the text from the first to the last value: a template has one variable for all.
    assert spans[0]["end"] - spans[0]["start"] > len("9:00:00, turn 1, left: ")
    _, spans = _found([header.replace(", ", "\n") for header in headers], rng, tmp_path, capsys)
    assert len(spans) > 1
