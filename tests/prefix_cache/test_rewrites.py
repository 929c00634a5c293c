"""Rewrites: every word stays, what varies goes below what stays, and nothing is proposed twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.prefix_cache.rewrites import (
    PromptRewrite,
    Volatile,
    find_volatile,
    proposals,
    sorted_tools,
    stable_length,
    trimmed,
)
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message, Tool, names
from playground.prompt.files import dump, load
from playground.prompt.limits import check
from tests.prefix_cache.prompts import DOCUMENTS

SENTENCES = (
    "You are Mira.",
    "Never guess.",
    "Version 2.5 is out.",
    "आप मीरा हैं।",
    "أنت ميرا.",
    "ممنوع التخمين؟",
    "你是米拉。",
    "Be kind 😀.",
    "Be 👩‍👧 kind!  ",
    "Today is 2026-11-23.",
    "It is the 23. November now.",
    "The caller is {{name}}.",
    "आज २३ नवंबर २०२६ है।",
    "फ़ोन करने वाले {{name}} हैं।",
    "المتصل هو {{name}}.",
    "来电者是{{name}}。",
    "今天是2026年11月23日。",
    "اليوم هو 23 نوفمبر 2026.",
    "Session id: 8f3a-2231-xx99",
    "- a point",
    "3. a step with {{name}}",
    "The caller:",
    "",
)
LINES = st.one_of(
    st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3).map(" ".join),
    st.sampled_from(("## Caller", "```", "| a | {{name}} |", "| - | - |", "<caller>", "</caller>", "**Now:**", "")),
)
SYSTEMS = st.lists(LINES, min_size=1, max_size=8).map("\n".join)
LEADS = st.lists(
    st.builds(Message, st.just("system"), SYSTEMS, extra=st.sampled_from(("", '{"name":"x"}'))), max_size=2
)
ROLES = st.sampled_from(("system", "user", "assistant"))
TALKS = st.builds(
    lambda leads, more, last: Document(
        messages=(*leads, *more, Message("user", last)), variables={"name": "Asha", "question": "Why?"}
    ),
    LEADS,
    st.lists(st.builds(Message, ROLES, LINES), max_size=2),
    st.one_of(st.just("{{question}}"), SYSTEMS),
)


def letters(document: Document) -> Counter[str]:
    """Every character that is no white space, with how often it is in the prompt."""
    return Counter(char for message in document.messages for char in message.content or "" if not char.isspace())


def first_variable(document: Document) -> int | None:
    """Where the first variable ends the prefix, if nothing volatile ends it before."""
    place = view_of_document(document).first_variable
    return place if place == stable_length(document) else None


@given(st.one_of(TALKS, DOCUMENTS))
def test_nothing_is_lost_and_the_stable_part_grows(document: Document) -> None:
    for rewrite in proposals(document):
        assert set(names(rewrite.after.messages)) == set(names(document.messages))
        assert [f for f in check(rewrite.after) if f.refused] == [f for f in check(document) if f.refused]
        assert load(dump(rewrite.after)) == rewrite.after
        assert (rewrite.after.tools, rewrite.after.variables) == (document.tools, document.variables)
        if rewrite.moved:
            assert letters(rewrite.after) == letters(document)
            assert stable_length(rewrite.after) > stable_length(document)
            if (before := first_variable(document)) is not None:
                assert (view_of_document(rewrite.after).first_variable or 0) > before
        else:
            assert stable_length(rewrite.after) <= stable_length(document)


@given(TALKS)
def test_pieces_stand_whole_before_and_after(document: Document) -> None:
    for rewrite in proposals(document):
        for piece in rewrite.moved:
            for side in (document, rewrite.after):
                assert any(piece in (message.content or "") for message in side.messages)


@given(st.one_of(TALKS, DOCUMENTS))
def test_no_proposal_comes_again(document: Document) -> None:
    for rewrite in proposals(document):
        assert rewrite.title not in {again.title for again in proposals(rewrite.after)}


@given(TALKS)
def test_one_problem_alone_is_mended(document: Document) -> None:
    problems: list[Volatile | str] = [*find_volatile(view_of_document(document)), *names(document.messages)]
    for problem in problems:
        for rewrite in proposals(document, problem):
            assert rewrite.moved
            assert letters(rewrite.after) == letters(document)
            assert stable_length(rewrite.after) > stable_length(document)
            if isinstance(problem, str):
                assert all(f"{{{{{problem}}}}}" in piece or "\n" in piece for piece in rewrite.moved)


def titled(document: Document, title: str) -> PromptRewrite:
    """The proposal of this title."""
    return next(rewrite for rewrite in proposals(document) if rewrite.title.startswith(title))


def below(system: str) -> str:
    """What the system message is once what varies stands at its end."""
    document = Document(messages=(Message("system", system), Message("user", "Hi")), variables={"name": "A"})
    return titled(document, "Move to the end of the system message").after.messages[0].content or ""


PROMPT = Document(
    messages=(
        Message("system", "You are Mira. Today is 2026-11-23. Be brief.\nCaller: {{name}}\nNever guess."),
        Message("user", "{{question}}"),
    ),
    variables={"name": "Asha", "question": "Why?"},
)


def test_to_the_end_of_the_message() -> None:
    rewrite = titled(PROMPT, "Move to the end of the system message")
    assert rewrite.after.messages[0].content == (
        "You are Mira. Be brief.\nNever guess.\nToday is 2026-11-23.\nCaller: {{name}}"
    )
    assert rewrite.moved == ("Today is 2026-11-23.", "Caller: {{name}}")


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


def test_only_the_problem_asked_about() -> None:
    (date,) = find_volatile(view_of_document(PROMPT))
    assert proposals(PROMPT, date)[0].moved == ("Today is 2026-11-23.",)
    # The date before it would end the prefix as early as now.
    assert proposals(PROMPT, "name") == ()
    plain = PROMPT.with_message(0, Message("system", "Be brief.\nCaller: {{name}}\nNever guess."))
    assert proposals(plain, "name")[0].moved == ("Caller: {{name}}",)
    assert proposals(plain, "question") == ()


def test_rules_in_the_question_itself() -> None:
    text = "Caller: {{name}}\nBe brief.\nNever guess.\n{{question}}"
    document = Document(messages=(Message("user", text),), variables={"name": "Asha", "question": "Why?"})
    (rewrite,) = proposals(document)
    assert rewrite.after.messages[0].content == "Be brief.\nNever guess.\nCaller: {{name}}\n{{question}}"


@pytest.mark.parametrize(
    "document",
    [
        Document(messages=(Message("system", "You are Mira."), Message("user", "{{question}}"))),
        Document(messages=(Message("system", "You are Mira. Caller: {{name}}"),)),
        Document(messages=(Message("system", "{{rules}}"), Message("user", "Hi"))),
        Document(messages=(Message("user", "{{question}}"),)),
        Document(messages=(Message("assistant", "{{a}} b"), Message("assistant", "c"))),
        Document(messages=(Message("system", "```\n{{a}}\nb\n```"), Message("user", "Hi"))),
        Document(),
    ],
)
def test_where_nothing_is_gained_nothing_is_proposed(document: Document) -> None:
    assert [rewrite.title for rewrite in proposals(document) if rewrite.title.startswith("Move to the end")] == []


RULES = "Be brief. Never guess. Say who you are.\nAsk for the number of the parcel before anything else."


@pytest.mark.parametrize(
    ("system", "after"),
    [
        (f"## Caller\nName: {{{{name}}}}\n\n## Rules\n{RULES}", f"## Rules\n{RULES}\n\n## Caller\nName: {{{{name}}}}"),
        (
            f"# Caller\n\nName: {{{{name}}}}\nDate: 2026-11-23\n\n# Rules\n{RULES}",
            f"# Rules\n{RULES}\n\n# Caller\n\nName: {{{{name}}}}\nDate: 2026-11-23",
        ),
        (
            f"# Caller\nName: {{{{name}}}}\nBe kind to them.\n# Rules\n{RULES}",
            f"# Caller\nBe kind to them.\n# Rules\n{RULES}\nName: {{{{name}}}}",
        ),
        (
            f"<caller>\nName: {{{{name}}}}\nPlan: gold\n</caller>\n{RULES}",
            f"{RULES}\n<caller>\nName: {{{{name}}}}\nPlan: gold\n</caller>",
        ),
        (f"<prompt>\nName: {{{{name}}}}\n{RULES}\n</prompt>", f"<prompt>\n{RULES}\n</prompt>\nName: {{{{name}}}}"),
        (f'```json\n{{"a": "{{{{name}}}}"}}\n```\n{RULES}', f'{RULES}\n```json\n{{"a": "{{{{name}}}}"}}\n```'),
        (
            f"| who | what |\n|-|-|\n| {{{{name}}}} | calls |\n\n{RULES}",
            f"{RULES}\n| who | what |\n|-|-|\n| {{{{name}}}} | calls |",
        ),
        (f"The caller:\n{{{{name}}}}\n\n{RULES}", f"{RULES}\nThe caller:\n{{{{name}}}}"),
        (f"A.\n\nNow {{{{name}}}} calls.\n\n{RULES}", f"A.\n\n{RULES}\nNow {{{{name}}}} calls."),
        (f"1. Greet {{{{name}}}}.\n2. Be brief.\n{RULES}", f"{RULES}\n1. Greet {{{{name}}}}.\n2. Be brief."),
        ("नमस्ते कहें। आज २३ नवंबर २०२६ है। अनुमान न लगाएँ।", "नमस्ते कहें। अनुमान न लगाएँ।\nआज २३ नवंबर २०२६ है।"),
        ("كن لطيفًا. المتصل هو {{name}}. لا تخمن أبدًا.", "كن لطيفًا. لا تخمن أبدًا.\nالمتصل هو {{name}}."),
        ("کیا یہ {{name}} ہیں؟ مختصر بات کریں۔", "مختصر بات کریں۔\nکیا یہ {{name}} ہیں؟"),
        ("请友好。今天是2026年11月23日。不要猜测。", "请友好。不要猜测。\n今天是2026年11月23日。"),
        ("親切に。お客様は{{name}}です！推測しない。", "親切に。推測しない。\nお客様は{{name}}です！"),
        ("Be kind 👩‍👧! Hi {{name}} 😀! Smile 👍🏽.", "Be kind 👩‍👧! Smile 👍🏽.\nHi {{name}} 😀!"),
        ("Kurz. Heute ist der 23. November 2026. Nie raten.", "Kurz. Nie raten.\nHeute ist der 23. November 2026."),
    ],
)
def test_what_belongs_together_stays_together(system: str, after: str) -> None:
    assert below(system) == after


def test_a_message_with_fields_of_its_own_is_not_lost() -> None:
    named = Message("system", "Caller: {{name}}", extra='{"name":"facts"}')
    document = Document(messages=(named, Message("system", "Be brief."), Message("user", "Hi")))
    assert proposals(document) == ()
    bare = replace(document, messages=(Message("system", "Caller: {{name}}"), *document.messages[1:]))
    assert titled(bare, "Move to the end").after.messages[0].content == "Be brief.\nCaller: {{name}}"


def test_trimming_takes_only_what_nobody_sees() -> None:
    document = Document(messages=(Message("system", "Be brief. \u00a0\nBe\u200b kind.\t"), Message("user", "Hi  ")))
    (rewrite,) = proposals(document)
    assert [message.content for message in rewrite.after.messages] == ["Be brief.\nBe kind.", "Hi  "]


@pytest.mark.parametrize(
    "text",
    ["👩‍👧 क्‍ष می‌خواهم", "ไทย\u200bไทย", "a\r\nb", " a  b", "{{na\u2060me}}", "\u200fabc", "```\n  a\n```"],
)
def test_what_says_something_is_not_trimmed(text: str) -> None:
    assert trimmed(text) == text


@given(st.text(alphabet=" \t\u00a0\u200b\ufeff\n\r a{}नक่ไ"))
def test_trimmed_once_is_trimmed(text: str) -> None:
    assert trimmed(trimmed(text)) == trimmed(text)


def test_tools_are_sorted_by_name() -> None:
    tools = tuple(Tool.of({"type": "function", "function": {"name": name}}) for name in ("b", "a"))
    document = Document(tools=tools, messages=(Message("user", "Hi"),))
    rewrite = sorted_tools(document)
    assert rewrite is not None
    assert [tool.name for tool in rewrite.after.tools] == ["a", "b"]
    assert sorted_tools(rewrite.after) is None
    assert proposals(document) == ()
