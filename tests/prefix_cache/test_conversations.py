"""Which request a request continues, and how a client writes its history in another way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from playground.prefix_cache.conversations import PredecessorFinder, history_texts, messages_of
from playground.prefix_cache.history_changes import HistoryChange, history_changes
from playground.prefix_cache.message_content import field_place
from playground.prefix_cache.program_groups import TimedRequest, retries
from playground.prefix_cache.view import ViewPart, view_of_fields

ANSWER = "The parcel was scanned in the regional centre this morning and arrives on Monday."
RESULT = json.dumps({"status": "shipped", "details": ANSWER * 3})


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def said(text: str) -> Any:
    return {"role": "assistant", "content": text}


def called(name: str, arguments: str) -> Any:
    call = {"id": name, "type": "function", "function": {"name": "look", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def returned(name: str, text: str = RESULT) -> Any:
    return {"role": "tool", "tool_call_id": name, "content": text}


def predecessors(*histories: Any) -> list[int | None]:
    """Return the number of the request that each one continues."""
    finder, found = PredecessorFinder(), []
    for number, history in enumerate(histories):
        view = view_of_fields({"messages": history})
        texts = history_texts(view, messages_of(view), 0)
        found.append(finder.find(texts))
        finder.add(number, texts)
    return found


def changes(earlier: Any, now: Any) -> list[tuple[HistoryChange, str]]:
    """Return the changes, each with the text that follows it in both requests."""
    views = view_of_fields({"messages": earlier}), view_of_fields({"messages": now})
    _, found = history_changes(*views, (messages_of(views[0]), messages_of(views[1])), 0)
    return [(one, "".join(views[1].text[start:end] for start, end in one.runs)) for one in found if one.runs]


FIRST, SECOND = user("Where is my parcel, please?"), user("And can I send it back?")


def test_find_continued_edited_and_cut_histories() -> None:
    assert predecessors(
        [FIRST],
        [FIRST, called("a", '{"id": 1}'), returned("a")],
        [FIRST, called("a", '{"id": 1}'), returned("a", "[removed]"), said(ANSWER), SECOND],
        [SECOND, said("Yes."), user("Thanks.")],
        [user("Another caller asks something else.")],
    ) == [None, 0, 1, 2, None]


def test_find_new_ids_and_spelling_of_calls_continue_the_newest_request() -> None:
    steps = [(called(name, '{"id": 1}'), returned(name)) for name in ("a", "b")]
    histories = [[FIRST], [FIRST, *steps[0]], [FIRST, *steps[1], said(ANSWER), SECOND]]
    compact = called("b", '{"id":1}')
    assert predecessors(*histories, [FIRST, compact, steps[1][1], said(ANSWER), SECOND, said("Yes.")]) == [
        None,
        0,
        1,
        2,
    ]


def test_find_same_script_in_another_session_continues_its_own_session() -> None:
    sessions = [[FIRST, called(name, "{}"), returned(name)] for name in ("a", "b")]
    assert predecessors([FIRST], sessions[0], [FIRST], sessions[1]) == [None, 0, 0, 2]


def test_find_equal_tool_results_do_not_join_conversations() -> None:
    step = [called("a", "{}"), returned("a")]
    assert predecessors([FIRST], [FIRST, *step], [SECOND], [SECOND, *step]) == [None, 0, None, 2]


def test_find_messages_that_all_begin_with_their_age_continue() -> None:
    def aged(now: int) -> Any:
        return [user(f"[{now} s ago] {ANSWER}"), said(f"[{now - 1} s ago] {ANSWER} {ANSWER}"), user(f"[0 s ago] {now}")]

    assert predecessors(aged(10), [*aged(20), said(ANSWER), SECOND]) == [None, 0]


def test_changes_of_a_continued_conversation_are_none() -> None:
    assert changes([FIRST], [FIRST, said(ANSWER), SECOND]) == []
    assert changes([FIRST, said(ANSWER), SECOND], [FIRST, said(ANSWER), user("And can I keep it?")]) == []
    end = {"role": "system", "content": ANSWER}
    assert changes([FIRST, end], [FIRST, said("Yes."), SECOND, end]) == []


@pytest.mark.parametrize(
    ("earlier", "now", "kind", "before", "after", "behind"),
    [
        ([FIRST, returned("a", "run 17: ok, done"), SECOND],
         [FIRST, returned("a", "run 18: ok, done"), SECOND, said("x")],
         "edited", "17", "18", ": ok, done"),
        ([FIRST, called("a", '{"id": 1}'), returned("a")], [FIRST, called("a", '{"id":1}'), returned("a"), said("x")],
         "arguments", " ", "", ANSWER),
        ([FIRST, called("a", "{}"), returned("a")], [FIRST, called("b", "{}"), returned("b"), said("x")],
         "call_ids", "a", "b", ANSWER),
        ([FIRST, SECOND], [{"role": "system", "content": "Docs"}, FIRST, SECOND, said("x")],
         "inserted", "", "Docs", "Where is my parcel, please?"),
        ([FIRST, said(ANSWER), SECOND], [SECOND, said("x")], "truncated", ANSWER, "", "And can I send it back?"),
        ([FIRST, said("No."), SECOND], [FIRST, SECOND, said("x")], "removed", "No.", "", "And can I send it back?"),
    ],
)  # fmt: skip
def test_changes_are_named_with_the_text_behind_them(
    earlier: Any, now: Any, kind: str, before: str, after: str, behind: str
) -> None:
    found = changes(earlier, now)
    assert {change.kind for change, _ in found} == {kind}
    assert before in found[0][0].before
    assert after in found[0][0].after
    assert behind in "".join(text for _, text in found)


def test_field_place_is_the_innermost_text_with_escapes_counted_once() -> None:
    body: Any = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": 'a "é"\n🙂 b'},
                    {"type": "image_url", "image_url": {"url": 'c "é"\n🙂 d'}},
                    {"type": "text", "text": "e"},
                ],
            }
        ]
    }
    view = view_of_fields(body)
    part = next(part for part in view.parts if part.kind == "content")
    content = view.text[part.start : part.end]
    places = [("b", (0, "text"), 'a "é"\n🙂 b'), ("d", (1, "image_url", "url"), 'c "é"\n🙂 d'), ("e", (2, "text"), "e")]
    for letter, inside, text in places:
        path, offset = field_place(body, part, content.rindex(letter))
        assert path == ("messages", 0, "content", *inside)
        assert text[offset] == letter
    assert field_place({}, ViewPart("content", 3, 0, 9), 2) == (("messages", 3), 0)


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_a_session_with_a_similar_first_question_is_another_conversation(turns: int) -> None:
    """Also where its tools return what those of the session before returned."""

    def session(question: str) -> list[Any]:
        found = [user(question)]
        for turn in range(turns):
            found += [called(f"c{turn}", "{}"), returned(f"c{turn}")]
        return found

    one, other = session("Fix the test number 7 of the parser."), session("Fix the test number 8 of the parser.")
    first = [one[: 2 * turn + 1] for turn in range(turns + 1)]
    second = [other[: 2 * turn + 1] for turn in range(turns + 1)]
    expected = [None, *range(turns)]
    assert predecessors(*first, *second) == [*expected, None, *(turns + 1 + at for at in range(turns))]


def test_retries_are_the_same_body_soon_after_a_failure() -> None:
    body: Any = {"messages": [FIRST]}
    other: Any = {"messages": [SECOND]}
    failed, failed_other = TimedRequest(body, 0.0, failed=True), TimedRequest(other, 1.0)
    again = [TimedRequest(body, 1.0, failed=True), TimedRequest(body, 3.0), TimedRequest(body, 4.0)]
    assert retries([failed, *again]) == {0: 2, 1: 2}
    assert retries([TimedRequest(body, 0.0), TimedRequest(body, 1.0)]) == {}
    assert retries([failed, failed_other, TimedRequest(body, 61.0)]) == {}
    assert retries([TimedRequest(body, failed=True), TimedRequest(body)]) == {0: 1}


def test_retry_is_soon_after_the_end_of_the_failed_request() -> None:
    body: Any = {"messages": [FIRST]}
    lasting = TimedRequest(body, 0.0, failed=True, seconds=600.0)
    assert retries([lasting, TimedRequest(body, 602.0)]) == {0: 1}
    assert retries([lasting, TimedRequest(body, 661.0)]) == {}
    assert retries([lasting, TimedRequest(body, 30.0)]) == {0: 1}, "the client gave up before the server did"


def test_many_equal_answers_between_messages_that_change_are_aligned_in_place() -> None:
    turns = range(1_500)

    def history(later: int) -> Any:
        questions = (f"{later - at} minutes ago: sensor {at} reports {at * 37 % 101}." for at in turns)
        return [message for question in questions for message in (user(question), said("OK"))]

    found = changes([*history(5_000), FIRST], [*history(5_001), FIRST, said("OK"), SECOND])
    # With the cube of the length, this would take many minutes.
    assert [(one.kind, one.part.index, one.before, one.after) for one, _ in found[:2]] == [
        ("edited", 0, "5000", "5001"),
        ("edited", 2, "4999", "5000"),
    ]
    assert len(found) == len(turns)


def test_documents_in_front_of_many_equal_messages_are_an_insertion() -> None:
    history = [message for _ in range(200) for message in (user("Continue, please."), said("OK"))]
    found = changes([*history, FIRST], [user(ANSWER * 3), *history, FIRST, said("OK"), SECOND])
    assert found[0][0].kind == "inserted"
    assert found[0][0].part.index == 0
