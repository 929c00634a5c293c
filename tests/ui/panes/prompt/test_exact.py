"""The exact text against a plain str: whatever Qt reports, no character is lost, changed or moved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.ui.widgets.lossless_text import ExactText, Splice, from_utf16, image_of, name_of, utf16_length

ODD = "\u00a0\u2028\u2029\r\x00\x07\x85\u200b\u202e\ufeff\ufffc\ud83d\ude00\u00ad\ufdd0\U000e0041"
letters = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from("ab {}\n\t⍽¶␍�╎"),
    st.sampled_from("é₹आ\u0947ع\u200d😀🇮🇳"),
    st.characters(),
)
texts = st.text(letters, max_size=40)


@given(texts)
def test_the_image_has_a_code_point_and_a_unit_for_each(text: str) -> None:
    image = image_of(text)
    assert [utf16_length(character) for character in image] == [utf16_length(character) for character in text]


@given(texts)
def test_the_image_holds_nothing_that_qt_would_change(text: str) -> None:
    image = image_of(text)
    assert not set(image) & set("\u00a0\u2028\u2029\r\ufffc\ufdd0")
    assert not any("\ud800" <= character <= "\udfff" for character in image)
    assert image_of(image) == image


@given(texts, st.data())
def test_an_exact_splice_is_what_slicing_does(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    inserted = data.draw(texts)
    exact = ExactText(text)
    splice = Splice(start, text[start:end], inserted)
    exact.apply(splice)
    assert exact.text == text[:start] + inserted + text[end:]
    assert exact.image == image_of(exact.text)
    exact.apply(splice.inverse)
    assert exact.text == text


@given(texts, st.data())
def test_typing_changes_what_was_typed_and_nothing_else(text: str, data: st.DataObject) -> None:
    """Qt reports UTF-16 units; the typed text has no lone surrogate here and differs from the earlier text."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    typed = data.draw(st.text(st.sampled_from("xyz😀"), max_size=5))
    exact = ExactText(text)
    wanted = text[:start] + typed + text[end:]
    first, last = exact.range_of(exact.unit(start), exact.unit(end) - exact.unit(start))
    assert (first, last) == (start, end)
    exact.typed(first, last, typed)
    assert exact.image == image_of(wanted)
    assert len(exact.text) == len(wanted)
    # Equal ends are left alone, so an odd character may stand for its like; without look-alikes all is the same.
    if not set(typed) & set(text[start:end]):
        assert exact.text == wanted


@given(texts, st.data())
def test_a_report_of_more_than_changed_keeps_the_odd_characters(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    before = data.draw(st.integers(0, place))
    after = data.draw(st.integers(place, len(text)))
    exact = ExactText(text)
    exact.typed(before, after, exact.image[before:place] + "Ω" + exact.image[place:after])
    assert exact.text == text[:place] + "Ω" + text[place:]


@given(texts, st.data())
def test_a_report_of_no_change_changes_nothing(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    exact = ExactText(text)
    assert exact.typed(start, end, exact.image[start:end]) is None
    assert exact.text == text


@given(texts, st.integers(0, 90), st.integers(0, 90))
def test_a_report_inside_a_pair_takes_in_the_whole_pair(text: str, position: int, removed: int) -> None:
    exact = ExactText(text)
    start, end = exact.range_of(position, removed)
    assert 0 <= start <= end <= len(text)
    assert exact.unit(start) <= min(position, exact.units)
    assert exact.unit(end) >= min(position + removed, exact.units)


@given(texts, texts)
def test_the_smallest_splice_between_two_texts(text: str, other: str) -> None:
    splice = ExactText(text).whole(other)
    assert splice.applied(text) == other
    if splice.removed and splice.inserted:
        assert splice.removed[0] != splice.inserted[0]
        assert splice.removed[-1] != splice.inserted[-1]


@given(texts, st.integers(-3, 90))
def test_units_and_code_points_agree(text: str, unit: int) -> None:
    index = from_utf16(text, unit)
    assert utf16_length(text[:index]) <= max(unit, 0)
    assert index == len(text) or utf16_length(text[: index + 1]) > unit


def test_oddities_are_found_at_their_places() -> None:
    exact = ExactText("a\u00a0b😀\r\n")
    assert list(exact.oddities()) == [(1, "\u00a0"), (4, "\r")]
    assert list(ExactText("plain ₹ आपका\n").oddities()) == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ("\u00a0", "U+00A0 NO-BREAK SPACE"),
        ("\r", "U+000D CARRIAGE RETURN"),
        ("\ud83d", "U+D83D half of a surrogate pair"),
        ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
    ],
)
def test_an_odd_character_in_words(odd: str, words: str) -> None:
    assert name_of(odd) == words


def test_joiners_stay_as_they_shape_the_text() -> None:
    family = "👩\u200d👧 क\u094d\u200dष"
    assert image_of(family) == family
