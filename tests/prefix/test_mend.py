"""Mending: every word stays, what varies goes below what stays, and nothing is proposed twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prefix.mend import Mend, proposals, sorted_tools, stable_length
from playground.prefix.sentences import unit_around
from playground.prompt.document import Document, Message, Tool
from playground.prompt.limits import check
from playground.prompt.variables import names

SENTENCES = (
    "You are Mira.",
    "Never guess.",
    "Version 2.5 is out.",
    "आप मीरा हैं।",
    "أنت ميرا.",
    "你是米拉。",
    "Be kind 😀.",
    "Today is 2026-11-23.",
    "The caller is {{name}}.",
    "आज २३ नवंबर २०२६ है।",
    "今天是2026年11月23日。",
    "اليوم هو 23 نوفمبر 2026.",
    "Session id: 8f3a-2231-xx99",
    "- a point",
    "",
)
LINES = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3).map(" ".join)
SYSTEMS = st.lists(LINES, min_size=1, max_size=6).map("\n".join)
TALKS = st.builds(
    lambda system, more: Document(
        messages=(Message("system", system), *more, Message("user", "{{question}}")),
        variables={"name": "Asha", "question": "Why?"},
    ),
    SYSTEMS,
    st.lists(st.builds(Message, st.sampled_from(("system", "user", "assistant")), LINES), max_size=2),
)


def letters(document: Document) -> Counter[str]:
    """Every character that is no white space, with how often it stands in the prompt."""
    return Counter(char for message in document.messages for char in message.content or "" if not char.isspace())


@given(TALKS)
def test_nothing_is_lost_and_the_stable_part_grows(document: Document) -> None:
    for mend in proposals(document):
        assert letters(mend.after) == letters(document)
        assert set(names(mend.after.messages)) == set(names(document.messages))
        assert not any(finding.refused for finding in check(mend.after))
        if mend.moved:
            assert stable_length(mend.after) > stable_length(document)
        else:
            assert stable_length(mend.after) <= stable_length(document)


@given(TALKS)
def test_no_proposal_comes_again(document: Document) -> None:
    for mend in proposals(document):
        assert mend.title not in {again.title for again in proposals(mend.after)}


def titled(document: Document, title: str) -> Mend:
    """The proposal of this title."""
    return next(mend for mend in proposals(document) if mend.title.startswith(title))


PROMPT = Document(
    messages=(
        Message("system", "You are Mira. Today is 2026-11-23. Be brief.\nCaller: {{name}}\nNever guess."),
        Message("user", "{{question}}"),
    ),
    variables={"name": "Asha", "question": "Why?"},
)


def test_to_the_end_of_the_message() -> None:
    mend = titled(PROMPT, "Move to the end of the system message")
    assert mend.after.messages[0].content == (
        "You are Mira. Be brief.\nNever guess.\nToday is 2026-11-23.\nCaller: {{name}}"
    )
    assert mend.moved == ("Today is 2026-11-23.", "Caller: {{name}}")


def test_into_a_message_of_its_own() -> None:
    after = titled(PROMPT, "Split").after
    assert [message.content for message in after.messages] == [
        "You are Mira. Be brief.\nNever guess.",
        "Today is 2026-11-23.\nCaller: {{name}}",
        "{{question}}",
    ]
    assert [message.role for message in after.messages] == ["system", "system", "user"]


def test_in_front_of_the_question() -> None:
    after = titled(PROMPT, "Move in front").after
    assert after.messages[1].content == "Today is 2026-11-23.\nCaller: {{name}}\n{{question}}"


@pytest.mark.parametrize(
    "document",
    [
        Document(messages=(Message("system", "You are Mira."), Message("user", "{{question}}"))),
        Document(messages=(Message("system", "You are Mira. Caller: {{name}}"),)),
        Document(messages=(Message("system", "{{rules}}"), Message("user", "Hi"))),
        Document(messages=(Message("user", "{{question}}"),)),
        Document(),
    ],
)
def test_where_nothing_is_gained_nothing_is_proposed(document: Document) -> None:
    assert [mend.title for mend in proposals(document) if mend.title.startswith("Move to the end")] == []


def test_trimming_takes_only_what_nobody_sees() -> None:
    document = Document(messages=(Message("system", "Be brief. \u00a0\nBe\u200b kind.\t"), Message("user", "Hi  ")))
    (mend,) = proposals(document)
    assert [message.content for message in mend.after.messages] == ["Be brief.\nBe kind.", "Hi  "]


def test_tools_are_sorted_by_name() -> None:
    tools = tuple(Tool.of({"type": "function", "function": {"name": name}}) for name in ("b", "a"))
    mend = sorted_tools(Document(tools=tools))
    assert mend is not None
    assert [tool.name for tool in mend.after.tools] == ["a", "b"]
    assert sorted_tools(mend.after) is None


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("Yes. It is 2.5 now. No.", "2.5", "It is 2.5 now. "),
        ("A.\n- x {{y}} z\nB.", "{{y}}", "- x {{y}} z\n"),
        ("आप। आज {{y}} है। ठीक।", "{{y}}", "आज {{y}} है। "),
        ("你好。今天{{y}}。好。", "{{y}}", "今天{{y}}。"),
        ("Hi Dr. {{y}} there. B.", "{{y}}", "Hi Dr. {{y}} there. "),
        ("A.\nThe caller:\n{{y}}\n\nB.", "{{y}}", "The caller:\n{{y}}\n"),
        ("A.\nRules:\n{{y}}\nBe kind.", "{{y}}", "{{y}}\n"),
        ("Yes. Now {{y}}", "{{y}}", " Now {{y}}"),
    ],
)
def test_units(text: str, value: str, unit: str) -> None:
    start = text.index(value)
    first, last = unit_around(text, start, start + len(value))
    assert text[first:last] == unit
