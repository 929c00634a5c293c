"""Masking of a key in pieces, without changes to or delays of other text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.client.events import AnyEvent, ContentDelta, Finished, ToolCallDelta
from playground.client.redact import MASK, SplitKeys, key_forms, key_heads

KEY = "sk_planted-0123456789/+AbCdEf"
FORMS = key_forms(KEY)


def _cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]


def _through(pieces: list[str]) -> str:
    guard = SplitKeys(FORMS)
    events: list[AnyEvent] = [ContentDelta(0.0, piece) for piece in pieces]
    out = [*guard.events(events), *guard.rest(1.0)]
    return "".join(event.text for event in out if isinstance(event, ContentDelta))


_prose = st.text(alphabet="sk_planted 0/+x", max_size=30)


@settings(deadline=None)  # the first example compiles the pattern of the escaped key
@given(_prose, st.sampled_from(FORMS), _prose, st.lists(st.integers(0, 200), max_size=60))
def test_no_form_of_it_is_left_however_it_is_cut(before: str, form: str, after: str, places: list[int]) -> None:
    shown = _through(_cut(before + form + after, places))
    assert not [one for one in FORMS if one in shown]
    assert MASK in shown


@given(st.lists(_prose, max_size=20))
def test_what_is_no_key_comes_as_it_was(pieces: list[str]) -> None:
    whole = "".join(pieces)
    shown = _through(pieces)
    assert shown == whole or shown.endswith(MASK)
    if KEY[:9] not in whole:
        assert shown == whole


def test_a_piece_that_may_begin_a_key_waits_for_the_next_and_no_other_does() -> None:
    guard = SplitKeys(FORMS)
    first = ContentDelta(0.0, "Hello sk")
    assert list(guard.events([first])) == [first]
    assert list(guard.events([ContentDelta(0.1, "_planted")])) == []
    (later,) = guard.events([ContentDelta(0.2, " trees")])
    assert later == ContentDelta(0.2, "_planted trees")


def test_tool_calls_are_told_apart_and_the_end_lets_go() -> None:
    guard = SplitKeys(FORMS)
    calls = [ToolCallDelta(0.0, index, f"c{index}", "f", "") for index in (0, 1)]
    assert list(guard.events(calls)) == calls
    both = [ToolCallDelta(0.1, index, None, None, character) for character in KEY for index in (0, 1)]
    shown = [event for event in guard.events(both) if isinstance(event, ToolCallDelta)]
    for index in (0, 1):
        assert "".join(event.arguments for event in shown if event.index == index) == f"sk_{MASK}"
    assert list(guard.events([ToolCallDelta(0.2, 0, None, None, "sk_pl")])) == []
    assert [type(event) for event in guard.events([Finished(0.3, "stop")])] == [ToolCallDelta, Finished]


def test_without_a_key_nothing_is_looked_at() -> None:
    piece = ContentDelta(0.0, KEY)
    assert list(SplitKeys(()).events([piece])) == [piece]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("after", ['"', " ", "…", "\n", ", and more"])
@pytest.mark.parametrize("length", [9, 13, 20, 23])
def test_beginning_of_a_key_that_something_else_follows_is_masked(length: int, after: str, size: int) -> None:
    key = "Zx81PqLm55TrWq9bKd7Yv3Nc"
    text = f"The key is {key[:length]}{after} and the end."
    guard = SplitKeys(key_forms(key), key_heads(key))
    pieces = [ContentDelta(0.0, text[at : at + size]) for at in range(0, len(text), size)]
    events = [*guard.events(pieces), *guard.rest(0.0)]
    shown = "".join(event.text for event in events if isinstance(event, ContentDelta))
    assert key[:4] not in shown
    assert shown.endswith(f"{MASK}{after} and the end.")
