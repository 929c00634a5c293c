"""Masking of keys in all positions and forms, without changes to other text."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from playground.client.events import ApiError
from playground.client.redact import MASK, redact, redact_error

ODD = 'p+a/ss"w\\ord=='


@pytest.mark.parametrize("key", ["sk_0123456789abcdef", "plain-key-0123", ODD])
def test_the_key_in_use_is_masked_in_every_form(key: str) -> None:
    in_hex = key.encode().hex()
    in_json = json.dumps(key)
    for form in (key, in_json, in_json.replace("/", "\\/"), quote(key, safe=""), in_hex, in_hex.upper()):
        masked = redact(f"before {form} after", key)
        assert MASK in masked
        assert form.strip('"') not in masked
        assert masked.startswith("before ")
        assert masked.endswith(" after")


def test_what_looks_like_a_key_is_masked_without_being_known() -> None:
    text = "Bearer sk_abcdefgh12345 and sk-proj-Qm7RzT4vKp2LxW9c, sk-ant-api03-jQbCZGvGhTxNwKpLrSdf."
    assert redact(text, None) == f"Bearer {MASK} and {MASK}, {MASK}."


@pytest.mark.parametrize(
    "text",
    [
        "risk_assessment_2026",
        "sk_",
        "sk_short",
        "ask_for_the_moon",
        "task-0123456789",
        "sk_live_mode is",
        "sk_test_your_",
        "sk_test_your_key_2026_is_here",
        "sk-proj-YOUR_KEY",
        "sk-proj-YOUR-PROJECT-API-KEY-12",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk_usage_total_by_host_2026",
        "sk_20261130-1200-45123456",
        "disk-3f9a8b7c6d5e4f3a2b1c0d9e",
    ],
)
def test_words_that_only_resemble_one_stay(text: str) -> None:
    assert redact(text, None) == text


def test_a_dummy_key_of_a_local_server_does_not_garble_the_text() -> None:
    assert redact("ollama: the next context is too long", "x") == "ollama: the next context is too long"
    assert redact("model ollama/llama3 not found", "ollama") == "model ollama/llama3 not found"


def test_error_is_masked_in_every_text_it_holds() -> None:
    key = "plain-key-0123"
    detail: dict[str, object] = {key: key, "path": ["a", key, {"b": [key, 7, None]}]}
    error = ApiError("http", key, key, key, 400, key, (detail,), key, None, key)
    assert key not in repr(redact_error(error, key))
    assert redact_error(error, key).details[0]["path"] == ["a", MASK, {"b": [MASK, 7, None]}]
    assert redact_error(error, None) == error


RANDOM_KEY = "sk_Qm7RzT4vKp2LxW9cYb5NdH8s"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key ends xW9cYb5NdH8s", "key ends sk_…"),
        ("it is Qm7RzT4vKp2LxW9cYb5NdH8s.", "it is sk_…."),
        (RANDOM_KEY.upper(), "sk_…"),
        (RANDOM_KEY.swapcase(), "sk_…"),
        ("no sk_Qm7RzT4v****cYb5NdH8s", "no sk_…****sk_…"),
        ("no Qm7RzT4v…cYb5NdH8s, ", "no sk_……sk_…, "),
        ("ends b5NdH8s", "ends b5NdH8s"),
        ("İstanbul xW9cYb5NdH8s", "İstanbul sk_…"),
    ],
)
def test_parts_of_a_key_without_its_beginning_are_masked_in_any_case(text: str, shown: str) -> None:
    assert redact(text, RANDOM_KEY) == shown


@pytest.mark.parametrize(
    ("key", "text", "shown"),
    [
        ("pU8z-7dRmnKJen6W2yDVL0NgV-EVYMIYy", "pU8z-7dRmnKJ…-EVYMIYy", "sk_……sk_…"),
        ("0qhp/Nd1NK/HDtaGolYzbLbt7ch/1ElBnMx", "0qhp/Nd1NK/H…/1ElBnMx", "sk_……sk_…"),
        ("a9T4-r-IdkWOgrm7R2iDKwfZ3G", "Error: IdkWOgrm7R2iDK", "Error: sk_…"),
        ("CuMCFh6C_is9fQ2xLm7TzR4vWb8NcYd3KpHs6", "CuMCFh6C_ is", "sk_… is"),
        ("3f726df0050c6e8d2046e7f1a3c5d9b80e62f4a7c", "x 3f726df\\0050c6e8d2046e7", "x sk_…"),
    ],
)
def test_letter_that_the_key_has_before_a_sign_neither_hides_a_part_nor_is_one(key: str, text: str, shown: str) -> None:
    assert redact(text, key) == shown


WORDS = "correct-horse-battery-staple-international"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The correct international horse, a correct horse's battery", None),
        ("a correct horse battery", None),
        ("It is correct-horse.", "It is sk_…."),
        ("It is rrect-horse-b.", "It is sk_…."),
        ("It is **CORRECT**-<b>horse</b>-bat.", "It is **sk_…."),
        ("It is correct horse battery staple.", "It is sk_…."),
        (f"It is {WORDS}.", "It is sk_…."),
    ],
)
def test_words_of_a_key_are_masked_from_12_characters_with_its_signs_and_from_20_letters(
    text: str, shown: str | None
) -> None:
    assert redact(text, WORDS) == (shown or text)
