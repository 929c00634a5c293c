"""Languages, told apart or left open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.lint.language import detect, fold
from tests.lint.words import WORDS, Words


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.code)
def test_each_language_is_told(words: Words) -> None:
    for text in (words.agent, words.clerk, words.question, words.answer):
        assert detect(text) == words.code, text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mera parcel kahan hai bhai, kab aayega", "hi"),
        ("Waar is mijn pakket en wanneer komt het?", "nl"),
        ("Gdzie jest moja paczka i co z nią?", "pl"),
        ("Var är mitt paket och när är det här?", "sv"),
        ("Gói hàng của tôi ở đâu?", "vi"),
        ("Де моя посилка і коли її привезуть?", "uk"),
        ("Πού είναι το πακέτο μου;", "el"),
        ("איפה החבילה שלי?", "he"),
        ("بسته من کجاست و چه زمانی می‌رسد؟", "fa"),
        ("میرا پارسل کہاں ہے؟", "ur"),
        ("พัสดุของฉันอยู่ที่ไหน", "th"),
        ("నా పార్శిల్ ఎక్కడ ఉంది?", "te"),
        ("ನನ್ನ ಪಾರ್ಸೆಲ್ ಎಲ್ಲಿದೆ?", "kn"),
        ("എന്റെ പാഴ്സൽ എവിടെ?", "ml"),
        ("મારું પાર્સલ ક્યાં છે?", "gu"),
        ("ਮੇਰਾ ਪਾਰਸਲ ਕਿੱਥੇ ਹੈ?", "pa"),
        ("ମୋ ପାର୍ସଲ କେଉଁଠି ଅଛି?", "or"),
        ("मेरो पार्सल कहाँ छ?", "ne"),
    ],
)
def test_more_languages(text: str, code: str) -> None:
    assert detect(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A-1204",
        "12:30",
        "🙂🙂",
        "OK",
        "Mumbai Pune Nashik",
        "hello यह एक मिला-जुला वाक्य mixture है of दो भाषाओं का languages",
        "Где је мој пакет? Ђоко",
    ],
)
def test_what_cannot_be_told_is_left_open(text: str) -> None:
    assert detect(text) is None


@given(st.text(max_size=80))
def test_any_text_is_taken_and_lower_case_keeps_every_place(text: str) -> None:
    detect(text)
    assert len(fold(text)) == len(text)
