"""The index of sent requests: the longest shared prefix, the newest of equals, and its bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.prefix_cache import index as room
from playground.prefix_cache.index import PrefixIndex, Sent
from playground.prefix_cache.view import CacheView, ViewPart, view_of_document
from playground.prompt.document import Document
from tests.prefix_cache.prompts import DOCUMENTS, slow_prefix


def request(run_id: str, text: str, at: float, tokens: int | None = None) -> Sent:
    return Sent(run_id, None, at, text, CacheView(text, ()), prompt_tokens=tokens)


PARTED = (
    (ViewPart("role", 0, 0, 5), ViewPart("content", 0, 5, 8)),
    (ViewPart("tool", 0, 0, 5), ViewPart("tool", 1, 5, 8)),
)
SHORT = st.text(alphabet="ab", max_size=6)
REQUESTS = st.lists(st.tuples(SHORT, st.integers(0, 9)), max_size=12).map(
    lambda rows: [request(f"run {n}", text, float(at)) for n, (text, at) in enumerate(rows)]
)


@given(REQUESTS, SHORT, st.data())
def test_count_report_stored_same_as_request_replaced(requests: list[Sent], text: str, data: st.DataObject) -> None:
    one, other = PrefixIndex(), PrefixIndex()
    times = dict(zip(range(len(requests)), data.draw(st.permutations(range(len(requests)))), strict=True))
    sent = [request(each.run_id, each.text, float(times[n])) for n, each in enumerate(requests)]
    for each in sent:
        one.add(each)
        other.add(each)
    for each in data.draw(st.lists(st.sampled_from(sent), unique_by=id)) if sent else ():
        tokens = data.draw(st.sampled_from((None, 5, 9)))
        one.count(each.run_id, tokens, 3)
        other.add(replace(each, prompt_tokens=tokens, cached_tokens=3))
    assert one.counted(text) == other.counted(text)
    assert one.match(text, 0.0) == other.match(text, 0.0)
    assert [one.get(each.run_id) for each in sent] == [other.get(each.run_id) for each in sent]


@given(REQUESTS, SHORT, st.integers(0, 9))
def test_the_match_is_the_best_of_all(requests: list[Sent], text: str, since: int) -> None:
    index = PrefixIndex()
    for one in requests:
        index.add(one)
    fresh = [one for one in requests if one.at >= since]
    best = max(((slow_prefix(one.text, text), one.at) for one in fresh), default=None)
    match = index.match(text, float(since))
    assert (match and (match.length, match.sent.at)) == best


@given(REQUESTS)
def test_nothing_is_left_of_what_was_replaced(requests: list[Sent]) -> None:
    index = PrefixIndex()
    for one in requests:
        index.add(request("the same run", one.text, one.at))
    assert len(index) == min(len(requests), 1)
    if requests:
        found = index.match(requests[-1].text, 0.0)
        assert found is not None
        assert found.sent.text == requests[-1].text


def test_a_late_report_of_an_older_run_does_not_make_it_the_newest() -> None:
    index = PrefixIndex()
    index.add(request("old", "same", 1.0))
    index.add(request("new", "same", 2.0))
    index.add(request("old", "same", 1.0, tokens=7))
    assert [sent.run_id for sent in index.newest_first(5)] == ["new", "old"]
    match = index.match("same text", 0.0)
    assert match is not None
    assert match.sent.run_id == "new"
    counted = index.counted("same text")
    assert counted is not None
    assert counted.sent.run_id == "old"


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_ENTRIES", 3)
    index = PrefixIndex()
    for number, at in enumerate((5.0, 1.0, 4.0, 3.0)):
        index.add(request(f"run {number}", f"text {number}", at))
    assert index.get("run 1") is None
    assert [sent.at for sent in index.newest_first(9)] == [5.0, 4.0, 3.0]


def test_texts_are_bounded_by_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 10_000)
    index = PrefixIndex()
    for number in range(5):
        index.add(request(f"run {number}", chr(0x905 + number) * 2_000, float(number)))
    assert [sent.run_id for sent in index.newest_first(9)] == ["run 4", "run 3"]


def test_one_that_is_larger_than_all_the_room_is_kept_while_it_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 10)
    index = PrefixIndex()
    index.add(request("run", "a" * 100, 1.0))
    assert index.match("a", 0.0) is not None


@pytest.mark.exhaustive
@settings(max_examples=50)
@given(st.lists(st.tuples(DOCUMENTS, st.booleans()), max_size=8))
def test_every_text_and_part_comes_back_as_it_was(documents: list[tuple[Document, bool]]) -> None:
    index, kept = PrefixIndex(), {}
    for number, (document, stays) in enumerate(documents):
        view = view_of_document(document).view
        index.add(Sent(f"run {number}", None, float(number), view.text, view))
        if stays:
            kept[f"run {number}"] = view
    for number in range(len(documents)):
        if f"run {number}" not in kept:
            index.add(request(f"run {number}", "", float(number)))
    assert {run_id: found.view for run_id in kept if (found := index.get(run_id))} == kept


def test_the_same_text_in_other_parts_keeps_its_parts() -> None:
    index = PrefixIndex()
    one, other = (CacheView("user\x1ehi\x1e", parts) for parts in PARTED)
    index.add(Sent("one", None, 1.0, one.text, one))
    index.add(Sent("other", None, 2.0, other.text, other))
    assert [sent.view for sent in index.newest_first(2)] == [other, one]


@given(REQUESTS, SHORT, st.integers(1, 12))
def test_the_best_come_first(requests: list[Sent], text: str, limit: int) -> None:
    index = PrefixIndex()
    for one in requests:
        index.add(one)
    order = sorted(((slow_prefix(one.text, text), one.at) for one in requests), reverse=True)
    assert [(match.length, match.sent.at) for match in index.best(text, limit)] == order[:limit]


@given(REQUESTS)
def test_no_text_is_left_behind(requests: list[Sent]) -> None:
    index = PrefixIndex()
    empty = index._tree.size
    for one in requests:
        index.add(one)
    for one in requests:
        index.add(request(one.run_id, "", one.at))
    assert index._tree.size == empty


def test_a_shared_beginning_is_kept_once() -> None:
    index, rules = PrefixIndex(), "rule " * 20_000
    for number in range(50):
        index.add(request(f"run {number}", f"{rules}{number:04}", float(number)))
    assert index._tree.size < 1.1 * len(rules)
    found = index.get("run 7")
    assert found is not None
    assert found.text == f"{rules}0007"
