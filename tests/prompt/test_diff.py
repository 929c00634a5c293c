"""A difference between two prompts: what goes, what comes, and nothing of what stays."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from playground.prompt.diff import DiffRow, changes
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
