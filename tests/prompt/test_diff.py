"""A difference between two prompts: removed and added text, and no unchanged text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.prompt import diff
from playground.prompt.diff import DiffRow, changes, opcodes
from playground.prompt.document import Document, Message, Tool

LINES = st.lists(st.sampled_from(("a", "b", "c", "नमस्ते", "")), max_size=12).map("\n".join)


def talk(*texts: str) -> Document:
    return Document(messages=tuple(Message("system" if not at else "user", text) for at, text in enumerate(texts)))


def test_a_moved_line_goes_and_comes() -> None:
    rows = changes(talk("x\ntoday\ny", "q"), talk("x\ny\ntoday", "q"))
    assert rows[0] == DiffRow("head", "message 1 (system)")
    gone, come = ([row.text for row in rows if row.sign == sign] for sign in ("gone", "come"))
    assert gone == come
    assert len(gone) == 1


def test_a_new_message_is_named_as_new() -> None:
    rows = changes(
        talk("x", "q"), Document(messages=(Message("system", "x"), Message("system", "y"), Message("user", "q")))
    )
    assert rows == (DiffRow("head", "message 2 (system), new"), DiffRow("come", "y"))


def test_long_stretches_that_stay_are_counted() -> None:
    many = "\n".join(f"line {number}" for number in range(100))
    rows = changes(talk(f"{many}\nold"), talk(f"{many}\nnew"))
    assert [row.text for row in rows if row.sign == "skipped"] == ["98 lines stay"]


def test_tools_and_parameters() -> None:
    one = Tool.of({"type": "function", "function": {"name": "a", "description": "A long one. And more."}})
    two = Tool.of({"type": "function", "function": {"name": "b"}})
    short = Tool.of({"type": "function", "function": {"name": "a", "description": "A long one."}})
    before = Document(tools=(two, one), parameters={"seed": 1})
    rows = changes(before, replace(before, tools=(short, two), parameters={"temperature": 0}))
    heads = [row.text for row in rows if row.sign == "head"]
    assert heads == ["tools, in the order in which they are sent", "tool a", "parameters"]
    assert DiffRow("gone", "seed: 1") in rows
    assert DiffRow("come", "temperature: 0") in rows


@given(LINES, LINES)
def test_nothing_is_left_out_but_what_stays(before: str, after: str) -> None:
    rows = changes(talk(before), talk(after))
    if before == after:
        assert rows == ()
        return
    gone = [row.text for row in rows if row.sign in ("gone", "same")]
    come = [row.text for row in rows if row.sign in ("come", "same")]
    if not any(row.sign == "skipped" for row in rows):
        assert gone == before.split("\n")
        assert come == after.split("\n")


ITEMS = st.lists(st.sampled_from("abcdefg"), max_size=30)


def check_cover(old: list[str], new: list[str]) -> None:
    """Assert that the opcodes cover both sequences in order, and that equal parts are equal."""
    at, other = 0, 0
    for tag, a, b, c, d in opcodes(old, new):
        assert (a, c) == (at, other)
        assert a < b or c < d
        assert tag == "replace" or old[a:b] == new[c:d]
        at, other = b, d
    assert (at, other) == (len(old), len(new))


@given(ITEMS, ITEMS)
def test_opcodes_cover_both_sequences(old: list[str], new: list[str]) -> None:
    check_cover(old, new)


@given(ITEMS, ITEMS, st.integers(0, 30))
def test_opcodes_divided_at_unique_items_cover_both_sequences(old: list[str], new: list[str], steps: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diff, "MOST_STEPS", steps)
        check_cover(old, new)


def test_opcodes_edited_lines_of_a_long_text_are_the_only_changes() -> None:
    old = [f"line {number}" for number in range(5_000)]
    new = ["changed" if number % 97 == 0 else line for number, line in enumerate(old)]
    assert sum(tag == "replace" for tag, *_ in opcodes(old, new)) == 52


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["x", "y"] * 10_000, ["y", "x"] * 10_000 + ["z"]),
        ([str(number % 50) for number in range(20_000)], [str(number % 49) for number in range(20_000)]),
        ([str(number) for number in range(20_000)], [f"{number}{number % 10 == 0}" for number in range(20_000)]),
    ],
    ids=["alternating", "few different lines", "every line another"],
)
def test_opcodes_long_sequences_of_any_shape_take_less_than_quadratic_time(old: list[str], new: list[str]) -> None:
    began = time.process_time()
    check_cover(old, new)
    assert time.process_time() - began < 3.0  # difflib: minutes
