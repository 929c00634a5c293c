"""Volatile text: what varies is found in many languages and digits, and what stays is left alone."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from playground import asset
from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.rewrites import (
    MOST,
    REASONS,
    Volatile,
    example_ranges,
    find_volatile,
    unescaped,
)
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import view_of_document
from playground.prefix_cache.volatile_scan import SHORT, LineMemory, VolatileSpan, prepare, read, spans
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import load
from tests.prefix_cache.prompts import DOCUMENTS, TEXTS
from tests.prefix_cache.volatile_cases import HINTLESS, LOOKALIKES, MORE_LOOKALIKES, MORE_VARYING, VARYING

prepare()

DATES = [
    ("Today is 2026-11-23. Be brief.", "2026-11-23"),
    ("Today's date: November 23, 2026", "November 23, 2026"),
    ("today’s date is Nov. 23, 2026.", "Nov. 23, 2026"),
    ("Date: 2026/11/23\nBe brief.", "2026/11/23"),
    ("The date is 23 November 2026", "23 November 2026"),
    ("Today is Monday, November 23rd, 2026.", "Monday, November 23rd, 2026"),
    ("Today is the 23rd of November 2026", "23rd of November 2026"),
    ("Current date: 11/23/26.", "11/23/26"),
    ("Today: Nov 23", "Nov 23"),
    ('{"current_date": "2026-11-23"} Date: "2026-11-23"', "2026-11-23"),
    ("Heute ist Montag, der Laden ist offen.", "Montag"),
    ("Heute ist der 23. November 2026.", "23. November 2026"),
    ("Datum: 23.11.2026", "23.11.2026"),
    ("Das heutige Datum ist 3. März 2026.", "3. März 2026"),
    ("Hoy es 23 de noviembre de 2026.", "23 de noviembre de 2026"),
    ("Fecha actual: 23/11/2026", "23/11/2026"),
    ("Hoy es lunes.", "lunes"),
    ("Aujourd’hui: 23 novembre 2026", "23 novembre 2026"),
    ("Date du jour : 1er août 2026", "1er août 2026"),
    ("Nous répondons. Aujourd'hui nous sommes le 2 février 2026.", "2 février 2026"),
    ("Hoje é 23 de março de 2026.", "23 de março de 2026"),
    ("Oggi è lunedì.", "lunedì"),
    ("Сегодня 23 ноября 2026 года.", "23 ноября 2026"),
    ("आज की तारीख: 23 नवंबर 2026 है।", "23 नवंबर 2026"),
    ("आज २३ नवंबर २०२६ है।", "२३ नवंबर २०२६"),
    ("आज सोमवार है।", "सोमवार"),
    ("दिनांक: २३/११/२०२६", "२३/११/२०२६"),
    ("اليوم هو الاثنين 23 نوفمبر 2026", "الاثنين 23 نوفمبر 2026"),
    ("التاريخ: ٢٣/١١/٢٠٢٦", "٢٣/١١/٢٠٢٦"),
    ("تاريخ اليوم: ٢٣ نوفمبر ٢٠٢٦.", "٢٣ نوفمبر ٢٠٢٦"),
    ("今天是2026年11月23日，星期一。", "2026年11月23日"),
    ("今天是二〇二六年十一月二十三日。", "二〇二六年十一月二十三日"),
    ("今天是星期一。", "星期一"),
    ("当前日期：2026-11-23", "2026-11-23"),
    ("今日は2026年11月23日です。", "2026年11月23日"),
    ("今日は令和8年11月23日です。", "令和8年11月23日"),
    ("今日の日付：11月23日", "11月23日"),
    ("Hari ini 23/11/2026.", "23/11/2026"),
    ("Bugün: 23.11.2026", "23.11.2026"),
    ("Vandaag: 23-11-2026", "23-11-2026"),
    ("இன்று 23/11/2026.", "23/11/2026"),
    ("오늘은 2026년 11월 23일 입니다.", "2026년 11월 23일"),
]
MOMENTS = [
    ("Current time: 14:05", "time", "14:05"),
    ("It is now 2:05 pm.", "time", "2:05 pm"),
    ("The time is 2 p.m. here", "time", "2 p.m"),
    ("Current local time is 14:05 UTC.", "time", "14:05 UTC"),
    ("The clock shows 14:05:33 here.", "time", "14:05:33"),
    ("Heure actuelle : 14h32", "time", "14h32"),
    ("Uhrzeit: 14:05 Uhr", "time", "14:05 Uhr"),
    ("Ahora: 14:05.", "time", "14:05"),
    ("वर्तमान समय: १४:०५", "time", "१४:०५"),
    ("الوقت الحالي: ١٤:٠٥", "time", "١٤:٠٥"),
    ("现在时间：14点05分", "time", "14点05分"),
    ("現在時刻は14時05分です", "time", "14時05分"),
    ("Current date and time: 23.11.2026 14:05", "timestamp", "23.11.2026 14:05"),
    ("Generated at 2026-11-23T14:05:33Z", "timestamp", "2026-11-23T14:05:33Z"),
    ("[2026-11-23 14:05:33.123] Rules follow", "timestamp", "2026-11-23 14:05:33.123"),
    ("Now: November 23, 2026 at 2:05 PM", "timestamp", "November 23, 2026 at 2:05 PM"),
    ("Es ist der 23. November 2026 um 14:05 Uhr.", "timestamp", "23. November 2026 um 14:05 Uhr"),
    ("当前时间：2026年11月23日14时05分", "timestamp", "2026年11月23日14时05分"),
    ("epoch: 1763904000", "timestamp", "1763904000"),
    ('{"timestamp": 1763904000123}', "timestamp", "1763904000123"),
]
OTHERS = [
    ("request 550e8400-e29b-41d4-a716-446655440000", "identifier", "550e8400-e29b-41d4-a716-446655440000"),
    ("UUID 550E8400-E29B-41D4-A716-446655440000.", "identifier", "550E8400-E29B-41D4-A716-446655440000"),
    ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "identifier", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ("ulid 01ARZ3NDEKTSV4RRFFQ69G5FAV", "identifier", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("Look at order_8812abc first.", "identifier", "order_8812abc"),
    ("(req_9f31ab)", "identifier", "req_9f31ab"),
    ("sess-20261123-ab", "identifier", "sess-20261123-ab"),
    ("Session id: 8f3a-2231-xx99", "identifier", "8f3a-2231-xx99"),
    ("Customer ID = 882101", "identifier", "882101"),
    ("Sitzungs-ID: ab12-9931", "identifier", "ab12-9931"),
    ("ID de sesión: ab12-9931", "identifier", "ab12-9931"),
    ("सत्र आईडी: ab12-9931", "identifier", "ab12-9931"),
    ("رقم الجلسة: 882101", "identifier", "882101"),
    ("会话ID：ab12-9931", "identifier", "ab12-9931"),
    ("You are on turn 12 of this call.", "counter", "turn 12"),
    ("This is message 4.", "counter", "message 4"),
    ("Message #4", "counter", "Message #4"),
    ("Request no. 481", "counter", "Request no. 481"),
    ("Nachricht Nr. 7", "counter", "Nachricht Nr. 7"),
    ("这是第12轮对话。", "counter", "第12轮"),
    ("Dear ${name}, hello", "placeholder", "${name}"),
    ("Answer <user_name> politely.", "placeholder", "<user_name>"),
    ("<<CALLER>> calls", "placeholder", "<<CALLER>>"),
    ("{% if vip %}Be kind.", "placeholder", "{% if vip %}"),
    ("The caller's name is Priya Sharma and she is kind.", "person", "Priya Sharma"),
    ("Customer: Asha Rao\nBe kind.", "person", "Asha Rao"),
    ("You are speaking with Priya.", "person", "Priya"),
    ("Der Kunde heißt Jonas Weber und ist nett.", "person", "Jonas Weber"),
    ("Le client s’appelle Élodie Martin.", "person", "Élodie Martin"),
    ("Nombre del cliente: Íñigo López", "person", "Íñigo López"),
    ("ग्राहक का नाम प्रिया शर्मा है।", "person", "प्रिया शर्मा"),
    ("اسم العميل: أحمد علي", "person", "أحمد علي"),
    ("客户姓名：王小芳，请友好。", "person", "王小芳"),
    ("Customer email: asha@example.com", "contact", "asha@example.com"),
    ("The caller's phone number is +91 98765 43210.", "contact", "+91 98765 43210"),
]
VARIES = [*((text, "date", value) for text, value in DATES), *MOMENTS, *OTHERS]
STAYS = [
    "Open from 9:00 to 18:00 every day.",
    "Delivery time: 14:05. Opening time is 9:00.",
    "Closing date: 2026-12-31. The due date is 2026-12-31.",
    "If today is Monday, offer the discount.",
    "Wenn heute Montag ist, sei nett. Falls heute Montag ist, auch.",
    "The policy is effective from 1 January 2024.",
    "Version 2.10.4 of the API, chapter 3.4, § 3.4, IP 192.168.1.20.",
    "Call 1800 200 300, 24/7, for 12.50 or 3/4 of it.",
    "It costs $1,299.00, or €3.50 for 2.5 kg, or ₹१२,३४५.",
    "Use ISO dates such as 2024-01-31.",
    "Dates look like this, for example: 23.11.2026",
    "Zum Beispiel 23.11.2026. Par exemple 23/11/2026. 例如2026年11月23日。",
    'Answer as {"name": "...", "age": 1}.',
    "Step 3 of 4: ask for the number.",
    "<instructions>Be brief.</instructions>",
    "Caller: My bill is double this month, what happened?\nAgent: I am sorry.",
    "Wait 5 minutes; the time: as long as it takes.",
    "Founded in 1998, we have 12,000 customers. In 2019 we moved.",
    "The number π is 3.14159265358979323846264338",
    "Support is at help@example.com, phone +1 800 555 0100.",
    "users: be kind. Customer: The one who calls.",
    "Discounts of 1763904000% do not exist.",
    "May I help you? March on. I will. You may 2 times.",
    "जैसे 23 नवंबर 2026",
    "Timestamps look like 2024-01-01T00:00:00Z.",
    "The image sha256:4bf92f3577b34da6a3ce929d0e0e4736a3ce929d0e0e47364bf92f3577b34da6 is pinned.",
    "Read https://example.com/docs/4bf92f3577b34da6a3ce929d0e0e4736 first.",
    "Deadbeef deadbeefdeadbeefdeadbeefdeadbeef and 123456789012345678901234.",
    "Ratio 16:9:4, verse 3:16, score 2:1, 99:99:99.",
    "The session ends. A message of 40 words. Request a number.",
    "2026-13-45 and 45/45/2026 are no days: date: 2026-13-45.",
    "Timeout: 00:05:00. Within 00:30:00.",
    "[link](https://example.com) [x] a list[0] {{}} { }",
    "Order number: ask for it. Customer id is asked for.",
    "Copyright 2026. Build 4f1c9e7ab0d24c11a9b3d5e6f7081920.",
    "On 15 August 1947 at midnight India became free. Today it is a republic.",
    "A therapy session is 50 minutes. Each session costs 2000 rupees. Call 112 right now.",
    "Speed: 14:05 per km. Best time 12:03:44%.",
    "Dear customer,\nHello Sir,\n",
    "",
]


def found_in(text: str, *, sure: bool = True) -> list[tuple[str, str]]:
    """(kind, value) of each value found."""
    return [(span.kind, text[span.start : span.end]) for span in spans(text) if span.sure == sure]


@pytest.mark.parametrize(("text", "kind", "value"), VARIES)
def test_what_varies_is_found(text: str, kind: str, value: str) -> None:
    assert (kind, value) in found_in(text)


@pytest.mark.parametrize("text", STAYS)
def test_what_stays_is_left_alone(text: str) -> None:
    assert found_in(text) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Our launch was on 2024-01-31.", "date", "2024-01-31"),
        ("The law of March 3, 2021 applies.", "date", "March 3, 2021"),
        ("Say {name} and [NAME].", "placeholder", "{name}"),
        ("Say {name} and [CUSTOMER NAME].", "placeholder", "[CUSTOMER NAME]"),
        ("The card ends in XXXX here.", "placeholder", "XXXX"),
        ("Dear Jonas,\nbe kind.", "person", "Jonas"),
    ],
)
def test_what_may_vary_is_a_hint(text: str, kind: str, value: str) -> None:
    assert (kind, value) in found_in(text, sure=False)
    assert found_in(text) == []


@pytest.mark.parametrize("text", ["End with [DONE].", "[-n N] [FILTER]", "[x] [1] [A](b)", '{"a": 1} {} {1}', "a XX b"])
def test_what_only_looks_like_a_placeholder_is_none(text: str) -> None:
    assert spans(text) == ()


def recall(cases: list[tuple[str, str]], *, sure: bool) -> float:
    """Return the share of values that a mark overlaps."""
    found = 0
    for text, value in cases:
        start = text.index(value)
        found += any(
            span.start < start + len(value) and start < span.end and (span.sure or not sure) for span in spans(text)
        )
    return found / len(cases)


def test_spans_of_varying_lines_in_25_languages_are_sure() -> None:
    cases = [(text, value) for _, text, value in VARYING]
    assert len(cases) >= 45
    assert len({language for language, *_ in VARYING}) >= 15
    assert recall(cases, sure=True) >= 0.9


def test_spans_of_second_varying_set_are_found() -> None:
    assert recall(list(MORE_VARYING), sure=False) >= 0.9


@pytest.mark.parametrize("text", [*(text for _, text in LOOKALIKES), *MORE_LOOKALIKES])
def test_spans_of_lookalike_line_are_not_sure(text: str) -> None:
    assert found_in(text) == []


@pytest.mark.parametrize("text", HINTLESS)
def test_spans_of_name_or_history_with_a_date_are_empty(text: str) -> None:
    assert spans(text) == ()


@given(st.lists(st.one_of(TEXTS, st.sampled_from([text for text, *_ in VARIES])), max_size=4).map(" ".join))
def test_spans_are_in_order_and_inside(text: str) -> None:
    last = 0
    for kind, start, end, _ in spans(text):
        assert last <= start < end <= len(text)
        assert kind in REASONS
        last = end


PIECES = st.sampled_from([text for text, *_ in VARIES] + STAYS)
LINES = st.lists(st.lists(st.one_of(TEXTS, PIECES), max_size=3).map(" ".join), min_size=1, max_size=5)


@given(LINES.map(lambda parts: [line for part in parts for line in part.split("\n")]))
def test_each_line_is_read_by_itself(lines: list[str]) -> None:
    starts = accumulate((len(line) + 1 for line in lines), initial=0)
    alone = [
        (kind, at + start, at + end)
        for at, line in zip(starts, lines, strict=False)
        for kind, start, end, _ in read(line)
    ]
    assert [(kind, start, end) for kind, start, end, _ in read("\n".join(lines))] == alone


LONG = "Never guess. Today is 2026-11-23. Ask session id: 8f3a-2231-xx99 again.\nOpen on 2024-01-31.\n\n" * 60


@pytest.mark.exhaustive
@given(st.lists(st.tuples(st.integers(0, len(LONG)), st.integers(0, 200), PIECES), min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
@example([(0, 79, "")])
def test_an_edit_finds_what_reading_anew_finds(edits: list[tuple[int, int, str]]) -> None:
    text = LONG
    assert len(text) > SHORT
    for at, gone, come in edits:
        text = text[:at] + come + text[at + gone :]
        found, again = spans(text), read(text)
        # A date at the start of the text is sure: `read` does not know where its text is.
        assert [span[:3] for span in found[:1]] == [span[:3] for span in again[:1]]
        assert found[1:] == again[1:]


def test_only_the_lines_that_changed_are_read() -> None:
    asked: list[str] = []

    def count(text: str) -> tuple[VolatileSpan, ...]:
        asked.append(text)
        return read(text)

    memory = LineMemory(count)
    memory.of(LONG)
    memory.of(LONG)
    place = len(LONG) // 2
    memory.of(LONG[:place] + "!" + LONG[place:])
    assert asked[0] == LONG
    assert len(asked) == 2
    assert len(asked[1]) < 200


@pytest.mark.parametrize("before", ["İİİ ", "😀👩‍👧 ", "नमस्ते। ", "مرحبا. ", "你好。", "\u0301 \u200f", "ẞ ", "\ud83d "])
@pytest.mark.parametrize(("text", "kind", "value"), [*OTHERS[:5], *MOMENTS[12:19]])
def test_what_stands_before_shifts_no_place(before: str, text: str, kind: str, value: str) -> None:
    assert (kind, value) in found_in(before + text)


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


def tool(**more: object) -> Tool:
    """A tool with these fields in its only parameter, and a description with line breaks."""
    day = {"type": "string", **more}
    function = {"name": "f", "parameters": {"type": "object", "properties": {"day": day}}}
    return Tool.of({"type": "function", "function": function})  # type: ignore[dict-item]  # `more` is JSON


def only(document: Document) -> Volatile:
    """The one value found."""
    (found,) = find_volatile(view_of_document(document))
    return found


def test_a_tool_can_hold_one() -> None:
    made = tool(description="Orders.\nToday is 2026-11-23.")
    found = only(Document(tools=(made,), messages=(Message("user", "Hi"),)))
    assert (found.tool, found.message) == (0, None)
    assert made.json_text[found.start : found.end] == "2026-11-23"


def test_a_schema_may_give_examples() -> None:
    made = tool(
        format="date-time",
        examples=["Today is 2026-11-23", {"at": "2026-11-23T14:05:33Z"}],
        default="2026-11-23T14:05:33Z",
        enum=["req_9f31ab"],
        description='Say \\"example\\": so.',
    )
    assert find_volatile(view_of_document(Document(tools=(made,), messages=(Message("user", "Hi"),)))) == ()
    texts = [made.json_text[start:end] for start, end in example_ranges(made.json_text)]
    assert texts[0] == '"date-time"'
    assert texts[3] == '["req_9f31ab"]'
    assert len(texts) == 4


@given(TEXTS)
def test_a_text_without_escapes_is_as_long_as_before(text: str) -> None:
    json_text = Tool.of({"description": text}).json_text
    assert len(unescaped(json_text)) == len(json_text)


@given(DOCUMENTS)
def test_places_are_those_of_the_text(document: Document) -> None:
    view = view_of_document(document)
    for volatile in find_volatile(view):
        assert view.view.text[volatile.place : volatile.place + len(volatile.text)] == volatile.text
        assert volatile.place <= volatile.stable_end
        if volatile.message is not None:
            content = document.messages[volatile.message].content or ""
            assert content[volatile.start : volatile.end] == volatile.text


def test_what_stands_behind_ends_at_the_variable_or_at_the_question() -> None:
    rules = "Today is 2026-11-23. " + "Never guess. " * 40
    plain = Document(messages=(Message("system", rules), Message("user", "Why is it so late?")))
    varying = Document(messages=(Message("system", rules + "{{name}}"), Message("user", "Hi")), variables={"name": "A"})
    for document in (plain, varying):
        view = view_of_document(document)
        found = only(document)
        behind = view.view.text[found.place : found.stable_end]
        assert behind.startswith("2026-11-23. Never guess.")
        assert "late" not in behind
        estimator = TokenEstimator()
        assert found.tokens_behind(Measure(view.view, estimator)) == pytest.approx(estimator.estimate(behind))


def test_hints_do_not_crowd_out_what_is_sure() -> None:
    rules = "We moved on 2024-01-31. " * (MOST + 5) + "Today is 2026-11-23."
    found = find_volatile(view_of_document(Document(messages=(Message("system", rules),))))
    assert [volatile.text for volatile in found if volatile.sure] == ["2026-11-23"]
    assert len(found) == MOST + 1


def test_the_shipped_prompt_has_none() -> None:
    document = load(asset("prompts/acme-phone-agent.prompt.json").read_text("utf-8"))
    assert [v.text for v in find_volatile(view_of_document(document)) if v.sure] == []


@pytest.mark.parametrize(
    ("text", "sure"),
    [("2026-11-23 You are Mira.", True), ("[2026-11-23 14:05] Rules", True), ("Rules\n2026-11-23 was fine.", False)],
)
def test_a_date_that_a_text_begins_with_is_todays(text: str, sure: bool) -> None:
    assert [span.sure for span in spans(text)] == [sure]
