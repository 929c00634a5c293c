"""The cache's view of a prompt: the same from a document and from its body, and the way back to the template."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.prefix_cache import view as views
from playground.prefix_cache.replay import replay_traffic
from playground.prefix_cache.traffic import read_traffic
from playground.prefix_cache.view import CacheView, Order, arranged, view_of_document, view_of_fields
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.request import body_fields
from tests.prefix_cache.prompts import DOCUMENTS, PLAIN, agent


@given(DOCUMENTS)
def test_a_document_and_its_body_are_seen_alike(document: Document) -> None:
    assert view_of_document(document).view == view_of_fields(body_fields(document, "electron"))


@given(DOCUMENTS, st.integers(0, 4), PLAIN)
def test_view_after_an_earlier_version_same_as_alone(document: Document, index: int, message: Message) -> None:
    messages = document.messages
    before = view_of_document(document)
    for changed in ((*messages[:index], message, *messages[index + 1 :]), messages[:index], (*messages, message)):
        later = replace(document, messages=changed)
        assert view_of_document(later, before) == view_of_document(later)
    valued = replace(document, variables={"caller_name": "another"})
    assert view_of_document(valued, before) == view_of_document(valued)


@given(DOCUMENTS)
def test_parts_cover_the_text_without_gaps(document: Document) -> None:
    seen = view_of_document(document).view
    ends = [0, *(part.end for part in seen.parts)]
    assert [part.start for part in seen.parts] == ends[:-1]
    assert ends[-1] == len(seen.text)
    for part in seen.parts:
        assert seen.locate(part.start) == (part, 0)


@given(DOCUMENTS)
def test_the_way_back_never_turns_round(document: Document) -> None:
    seen = view_of_document(document)
    found = [seen.to_template(offset) for offset in range(len(seen.view.text) + 1)]
    places = [(part.start, inside) for part, inside in (place for place in found if place is not None)]
    assert places == sorted(places)


@given(DOCUMENTS)
def test_the_way_back_stays_in_the_template(document: Document) -> None:
    seen = view_of_document(document)
    for offset in range(len(seen.view.text) + 1):
        located = seen.to_template(offset)
        assert (located is None) == (not seen.view.parts)
        if located is not None and located[0].kind == "content":
            template = document.messages[located[0].index].content
            # The separator that ends the part is one past the template's end.
            assert template is not None
            assert 0 <= located[1] <= len(template) + 1


def test_tools_come_first_then_messages() -> None:
    tool = Tool.of({"type": "function", "function": {"name": "find"}})
    seen = view_of_document(Document(tools=(tool,), messages=(Message("user", "Hi"),))).view
    assert [part.kind for part in seen.parts] == ["tool", "role", "content"]


def test_the_first_variable_is_where_its_value_starts() -> None:
    seen = view_of_document(agent(caller="आशा 🙂"))
    assert seen.first_variable_name == "caller_name"
    assert seen.first_variable is not None
    assert seen.view.text[seen.first_variable :].startswith("आशा 🙂.")


def test_odd_bodies_are_taken_as_they_are() -> None:
    seen = view_of_fields({"messages": ["bare", {"role": 7, "content": [{"type": "text"}]}], "tools": "none"})
    assert [part.kind for part in seen.parts] == ["role", "content", "role", "content"]
    assert view_of_fields({}).locate(0) is None


def test_arranged_last_calls_marks_messages_of_the_last_turn_with_text_beside_calls() -> None:
    calls: Json = [{"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
    told: Json = {"role": "assistant", "content": "Let me look.", "tool_calls": calls}
    silent: Json = {"role": "assistant", "content": None, "tool_calls": calls}
    plain: Json = {"role": "assistant", "content": "Done."}
    user: Json = {"role": "user", "content": "Where?"}
    found = arranged(view_of_fields({"messages": [user, told, user, silent, told, plain]}), "last_calls")
    assert found.text.count(views.TURN_MARK) == 1
    part, offset = found.locate(found.text.index(views.TURN_MARK)) or (None, 0)
    assert part is not None
    assert (part.kind, part.index, offset) == ("role", 4, len("assistant") + 1)
    later = arranged(view_of_fields({"messages": [user, told, user, silent, plain, user]}), "last_calls")
    assert views.TURN_MARK not in later.text


def test_answer_in_last_calls_has_the_mark_only_with_text_beside_calls() -> None:
    calls: Json = [{"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
    both = views.answer_text({"content": "Let me look.", "tool_calls": calls})
    assert views.answer_in("last_calls", both).startswith(views.TURN_MARK)
    for answer in (views.answer_text({"tool_calls": calls}), views.answer_text({"content": "Done."})):
        assert views.answer_in("last_calls", answer) == answer


def test_arranged_late_ids_are_behind_the_arguments() -> None:
    call: Json = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    seen = view_of_fields({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]})
    late = arranged(seen, "before_last_user/late").text
    assert late.index('"c1"') > late.index("arguments") > 0
    assert len(late) == len(arranged(seen, "before_last_user").text)


def test_arranged_session_with_tools_makes_each_rendering_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[tuple[str, Order]] = Counter()
    rendered = views._in_order

    def counted(view: CacheView, order: Order) -> CacheView:
        made[view.text, order] += 1
        return rendered(view, order)

    monkeypatch.setattr(views, "_in_order", counted)
    views._kept_order.cache_clear()
    session = Path(__file__).parents[1] / "data" / "judged_cases" / "time_after_tools.jsonl"
    requests = len(list(replay_traffic(read_traffic(session))))
    assert len(made) >= 4 * requests
    assert set(made.values()) == {1}


def test_arranged_prompt_too_long_to_keep_same_as_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = view_of_document(replace(agent(), tools=(Tool.of({"type": "function", "function": {"name": "find"}}),))).view
    kept = [arranged(seen, order) for order in views.ORDERS]
    monkeypatch.setattr(views, "KEPT_CHARS", 0)
    assert [arranged(seen, order) for order in views.ORDERS] == kept
    assert len({view.text for view in kept}) >= 4
