"""Segmentation of text for speech in many scripts, and when a part's end is certain during streaming."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.voice.speech import Start, cuts


def parts(text: str, start: Start = "clause") -> list[str]:
    return [text[cut.start : cut.end].strip() for cut in cuts(text, start)]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Sure, one moment. Done!", ["Sure,", "one moment.", "Done!"]),
        ("It costs 3.5 or 1,200 at 10:30. Yes?", ["It costs 3.5 or 1,200 at 10:30.", "Yes?"]),
        ("Dr. Rao says hi. Bye", ["Dr. Rao says hi.", "Bye"]),
        ("Ask J. Smith; he knows", ["Ask J. Smith;", "he knows"]),
        ("So am I. Good.", ["So am I.", "Good."]),
        ("She said “wait.” Then left", ["She said “wait.”", "Then left"]),
        ("What?! No…maybe", ["What?!", "No…", "maybe"]),
        ("one\ntwo", ["one", "two"]),
        ("—! ok", ["—! ok"]),
        ("एक क्षण, मैं देखता हूँ। ठीक है", ["एक क्षण,", "मैं देखता हूँ।", "ठीक है"]),
        ("少々お待ちください、確認いたします。はい", ["少々お待ちください、", "確認いたします。", "はい"]),
        ("请稍等，我来查一下。", ["请稍等，", "我来查一下。"]),
        ("لحظة، سأتحقق. هل تسمع؟ نعم", ["لحظة،", "سأتحقق.", "هل تسمع؟", "نعم"]),
        ("ایک لمحہ۔ جی", ["ایک لمحہ۔", "جی"]),
        ("รอสักครู่ กำลังตรวจสอบ", ["รอสักครู่", "กำลังตรวจสอบ"]),
        ("አንድ አፍታ፣ እያየሁ ነው። እሺ", ["አንድ አፍታ፣", "እያየሁ ነው።", "እሺ"]),
        ("잠시만요, 확인해 보겠습니다. 네", ["잠시만요,", "확인해 보겠습니다.", "네"]),
        ("", []),
        ("... !", []),
    ],
)
def test_clauses(text: str, clauses: list[str]) -> None:
    assert parts(text) == clauses


def test_sentences_are_not_cut_at_commas() -> None:
    assert parts("Sure, one moment: now. Done!", "sentence") == ["Sure, one moment: now.", "Done!"]
    assert parts("请稍等，我来查一下。好", "sentence") == ["请稍等，我来查一下。", "好"]


def test_the_first_piece_and_then_clauses() -> None:
    text = "Let me see, now. Done"
    assert [text[c.start : c.end] for c in cuts(text, "piece", 3)] == ["Let", " me see,", " now.", " Done"]
    assert cuts(text, "piece", 3)[0].known == 3


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Done! Next", 5),  # an exclamation mark ends it by itself
        ("Done. Next", 6),  # a full stop only with the space after it: it might have been 3.5
        ("好。下", 2),
        ("Done.", None),  # nothing came after it: certain once nothing more can come
        ("Done", None),
        ("Wh?! Next", 3),
    ],
)
def test_when_a_cut_is_certain(text: str, known: int | None) -> None:
    assert cuts(text, "clause")[0].known == known


@given(st.text(alphabet="aB1 .,!?。、—\n”(é", max_size=40))
def test_together_the_parts_have_every_word_and_a_certain_cut_stays_where_it_is(text: str) -> None:
    found = cuts(text, "clause")
    spoken = "".join(text[cut.start : cut.end] for cut in found)
    assert [c for c in spoken if c.isalnum()] == [c for c in text if c.isalnum()]
    for cut in found:
        if cut.known is not None:
            # The text received by then has the same beginning of this part, for any continuation.
            early = cuts(text[: cut.known], "clause")
            assert [part.start for part in early if part.start <= cut.start][-1] == cut.start
            assert all(c.isalnum() is False for c in text[cut.known : cut.end])
