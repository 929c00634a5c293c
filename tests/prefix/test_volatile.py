"""Volatile text: what varies is found in many languages and digits, and what stays is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given

from playground.assets import asset
from playground.prefix.view import view_of_document
from playground.prefix.volatile import cost_per_thousand, find_volatile
from playground.prefix.volatile_scan import spans
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import load
from tests.prefix.prompts import DOCUMENTS, TEXTS

VARIES = [
    ("Today is 2026-11-23. Be brief.", "date", "2026-11-23"),
    ("Today's date: November 23, 2026", "date", "November 23, 2026"),
    ("Current date and time: 23.11.2026 14:05", "timestamp", "23.11.2026 14:05"),
    ("Current time: 14:05", "time", "14:05"),
    ("It is now 2:05 pm.", "time", "2:05 pm"),
    ("Generated at 2026-11-23T14:05:33Z", "timestamp", "2026-11-23T14:05:33Z"),
    ("The clock shows 14:05:33 here.", "time", "14:05:33"),
    ("Heute ist Montag, der Laden ist offen.", "date", "Montag"),
    ("Hoy es 23 de noviembre de 2026.", "date", "23 de noviembre de 2026"),
    ("Aujourd’hui: 23 novembre 2026", "date", "23 novembre 2026"),
    ("आज की तारीख: 23 नवंबर 2026 है।", "date", "23 नवंबर 2026"),
    ("आज २३ नवंबर २०२६ है।", "date", "२३ नवंबर २०२६"),
    ("اليوم هو الاثنين 23 نوفمبر 2026", "date", "الاثنين 23 نوفمبر 2026"),
    ("今天是2026年11月23日，星期一。", "date", "2026年11月23日"),
    ("今日は2026年11月23日です。", "date", "2026年11月23日"),
    ("Heure actuelle : 14:32", "time", "14:32"),
    ("epoch: 1763904000", "timestamp", "1763904000"),
    ("request 550e8400-e29b-41d4-a716-446655440000", "identifier", "550e8400-e29b-41d4-a716-446655440000"),
    ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "identifier", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ("ulid 01ARZ3NDEKTSV4RRFFQ69G5FAV", "identifier", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("Look at order_8812abc first.", "identifier", "order_8812abc"),
    ("Session id: 8f3a-2231-xx99", "identifier", "8f3a-2231-xx99"),
    ("You are on turn 12 of this call.", "counter", "turn 12"),
    ("Request no. 481", "counter", "Request no. 481"),
    ("Dear ${name}, hello", "placeholder", "${name}"),
    ("Answer <user_name> politely.", "placeholder", "<user_name>"),
    ("The caller's name is Priya Sharma and she is kind.", "person", "Priya Sharma"),
    ("Customer: Asha Rao\nBe kind.", "person", "Asha Rao"),
    ("You are speaking with Priya.", "person", "Priya"),
    ("Customer email: asha@example.com", "contact", "asha@example.com"),
]
STAYS = [
    "Open from 9:00 to 18:00 every day.",
    "The policy is effective from 1 January 2024.",
    "Version 2.10.4 of the API, chapter 3.4.",
    "Call 1800 200 300, 24/7, for 12.50 or 3/4 of it.",
    "Use ISO dates such as 2024-01-31.",
    "Dates look like this, for example: 23.11.2026",
    'Answer as {"name": "...", "age": 1}.',
    "Step 3 of 4: ask for the number.",
    "<instructions>Be brief.</instructions>",
    "Caller: My bill is double this month, what happened?\nAgent: I am sorry.",
    "Wait 5 minutes; the time: as long as it takes.",
    "Founded in 1998, we have 12,000 customers.",
    "The number π is 3.14159265358979323846264338",
    "Support is at help@example.com.",
    "users: be kind. Customer: The one who calls.",
    "Discounts of 1763904000% do not exist.",
    "May I help you? March on. I will.",
    "जैसे 23 नवंबर 2026",
    "Timestamps look like 2024-01-01T00:00:00Z.",
]


@pytest.mark.parametrize(("text", "kind", "value"), VARIES)
def test_what_varies_is_found(text: str, kind: str, value: str) -> None:
    found = [(name, text[start:end]) for name, start, end, sure in spans(text) if sure]
    assert (kind, value) in found


@pytest.mark.parametrize("text", STAYS)
def test_what_stays_is_left_alone(text: str) -> None:
    assert [text[start:end] for _, start, end, sure in spans(text) if sure] == []


@given(TEXTS)
def test_spans_are_in_order_and_inside(text: str) -> None:
    last = 0
    for _, start, end, _ in spans(text):
        assert last <= start < end <= len(text)
        last = end


def test_only_the_stable_part_is_looked_at() -> None:
    document = Document(
        messages=(
            Message("system", "Be brief. Today is 2026-11-23. {{name}} calls on 2026-11-24 at 14:05:33."),
            Message("user", "Today is 2026-11-25."),
        ),
        variables={"name": "Asha"},
    )
    assert [volatile.text for volatile in find_volatile(view_of_document(document))] == ["2026-11-23"]
    spoken = Document(messages=(Message("system", "Be brief."), Message("user", "Today is 2026-11-25.")))
    assert find_volatile(view_of_document(spoken)) == ()


def test_a_tool_can_hold_one() -> None:
    tool = Tool.of({"type": "function", "function": {"name": "f", "description": "Orders. Today is 2026-11-23."}})
    document = Document(tools=(tool,), messages=(Message("user", "Hi"),))
    (found,) = find_volatile(view_of_document(document))
    assert (found.tool, found.message) == (0, None)
    assert tool.json_text[found.start : found.end] == "2026-11-23"


@given(DOCUMENTS)
def test_places_are_those_of_the_text(document: Document) -> None:
    view = view_of_document(document)
    for volatile in find_volatile(view):
        assert view.view.text[volatile.place : volatile.place + len(volatile.text)] == volatile.text
        if volatile.message is not None:
            content = document.messages[volatile.message].content or ""
            assert content[volatile.start : volatile.end] == volatile.text


def test_the_shipped_prompt_has_none() -> None:
    document = load(asset("prompts/acme-phone-agent.prompt.json").read_text("utf-8"))
    assert [v.text for v in find_volatile(view_of_document(document)) if v.sure] == []


def test_the_cost_is_unknown_without_rates() -> None:
    assert cost_per_thousand(1_000, 0.4, 0.1) == pytest.approx(0.3)
    assert cost_per_thousand(1_000, None, 0.1) is None
    assert cost_per_thousand(1_000, 0.4, None) is None
