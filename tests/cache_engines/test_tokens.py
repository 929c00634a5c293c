"""The tokenizers of the `test` extra against published encodings."""

from __future__ import annotations

import pytest

from tests.cache_engines.tokens import REQUIRED, SPECIAL_BASE, available, load

pytestmark = pytest.mark.exhaustive


def test_required_tokenizers_are_installed() -> None:
    assert set(REQUIRED) <= set(available())


@pytest.mark.parametrize(("name", "ids"), [("o200k", (24912, 2375)), ("cl100k", (15339, 1917))])
def test_openai_vocabularies_give_published_ids(name: str, ids: tuple[int, ...]) -> None:
    assert load(name).encode("hello world") == ids


def test_tokenizers_disagree_about_indic_text() -> None:
    text = "உங்கள் ஆர்டர் எண் என்ன?"
    assert len({len(load(name).encode(text)) for name in REQUIRED}) == len(REQUIRED)


def test_special_tokens_are_stable_and_outside_the_vocabulary() -> None:
    tokenizer = load("o200k")
    first = tokenizer.special("<a>")
    assert first >= SPECIAL_BASE
    assert tokenizer.special("<b>") != first == tokenizer.special("<a>")


def test_text_of_a_special_token_is_ordinary_text() -> None:
    assert len(load("o200k").encode("<|im_start|>")) > 1


def test_unknown_tokenizer_raises() -> None:
    with pytest.raises(KeyError):
        load("none")
