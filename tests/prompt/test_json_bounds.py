"""Bounds on JSON that enters the program."""

from __future__ import annotations

import json
import time

import pytest

from playground.prompt.json_text import MAX_DEPTH, MAX_DIGITS, JsonBoundsError, check_depth, loads


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, null, true, "x"]}', '"[[["', "0", '{"a": "\\"[{\\\\"}'])
def test_loads_usual_json_equals_json_loads(text: str) -> None:
    assert loads(text) == json.loads(text)
    assert loads(text.encode()) == json.loads(text)


def test_loads_byte_order_mark_and_utf16_accepted() -> None:
    assert loads("\ufeff[1]") == [1]
    assert loads(b"\xef\xbb\xbf[1]") == [1]
    assert loads('["é"]'.encode("utf-16")) == ["é"]


def test_loads_depth_at_bound_accepted_above_refused() -> None:
    assert loads(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 980, 100_000):
        with pytest.raises(JsonBoundsError):
            loads(nested(depth))
        with pytest.raises(JsonBoundsError):
            loads('{"a":' * depth + "1" + "}" * depth)


def test_loads_many_shallow_brackets_and_brackets_in_strings_accepted() -> None:
    assert len(loads("[" + ",".join(["[]"] * 10_000) + "]")) == 10_000
    text = json.dumps({"a": '"[[{' * 1_000, "b": "\\" * 999 + "[" * 500})
    assert loads(text) == json.loads(text)


def test_loads_digits_at_bound_accepted_above_refused() -> None:
    assert loads("9" * MAX_DIGITS) == int("9" * MAX_DIGITS)
    assert float(loads("9" * MAX_DIGITS)) > 1e299
    for digits in (MAX_DIGITS + 1, 5_000):
        with pytest.raises(JsonBoundsError):
            loads('{"seed": -' + "1" * digits + "}")


def test_loads_size_above_bound_refused() -> None:
    assert loads('"' + "x" * 98 + '"', max_bytes=100) == "x" * 98
    with pytest.raises(JsonBoundsError):
        loads('"' + "x" * 99 + '"', max_bytes=100)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "-1e999"])
def test_loads_number_not_finite_refused_unless_allowed(text: str) -> None:
    with pytest.raises(JsonBoundsError):
        loads(text)
    loads(text, finite=False)


@pytest.mark.parametrize("text", ["", "{", '"abc', "[1,]", "\\", '{"a":' * 50])
def test_loads_text_not_json_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it
        loads(text)


def test_check_depth_hostile_text_takes_linear_time() -> None:
    started = time.process_time()
    for text in ('"\\' * 1_000_000, '\\"' * 1_000_000, "[" + '"' * 1_000_001, "]" * 1_000_000 + "[" * 101):
        check_depth(text)
    assert time.process_time() - started < 5
