"""Sentences and blocks: what can be moved as a whole, in any script."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prefix_cache.blocks import blocks, unit_around, widened
from playground.prompt.document import places

TEXTS = st.text(alphabet="aB1 .:!?।。؟\n{}|#<>/`*-é\u0301नि中😀\u200d", max_size=80)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("Yes. It is 2.5 now. No.", "2.5", "It is 2.5 now. "),
        ("A.\n- x {{y}} z\nB.", "{{y}}", "- x {{y}} z\n"),
        ("आप। आज {{y}} है। ठीक।", "{{y}}", "आज {{y}} है। "),
        ("你好。今天{{y}}。好。", "{{y}}", "今天{{y}}。"),
        ("「はい。」今日は{{y}}です。では。", "{{y}}", "今日は{{y}}です。"),
        ("آپ کون؟ آج {{y}} ہے۔ ٹھیک۔", "{{y}}", "آج {{y}} ہے۔ "),
        ("Hi Dr. {{y}} there. B.", "{{y}}", "Hi Dr. {{y}} there. "),
        ("Ja. Am 23. November {{y}} da. B.", "{{y}}", "Am 23. November {{y}} da. "),
        ("You are on turn 12. Be {{y}}. B.", "{{y}}", "Be {{y}}. "),
        ("See https://a.example/b?c=1&d={{y}} now. B.", "{{y}}", "See https://a.example/b?c=1&d={{y}} now. "),
        ('Say "Hi {{y}}!" Then stop. B.', "{{y}}", 'Say "Hi {{y}}!" '),
        ("Well... {{y}}. B.", "{{y}}", "{{y}}. "),
        ("A.\nRules:\n{{y}}\nBe kind.", "{{y}}", "{{y}}\n"),
        ("Yes. Now {{y}}", "{{y}}", " Now {{y}}"),
        ("1. Say {{y}}\n2. B", "{{y}}", "1. Say {{y}}\n"),
        ("A{{x।y}}B।C", "{{x।y}}", "A{{x।y}}B।"),
    ],
)
def test_units(text: str, value: str, unit: str) -> None:
    start = text.index(value)
    first, last = unit_around(text, start, start + len(value))
    assert text[first:last] == unit


@given(TEXTS, st.data())
def test_a_unit_holds_its_value(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = unit_around(text, start, end)
    assert 0 <= first <= start
    assert end <= last <= len(text)


@given(TEXTS, st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=4))
def test_widened_units_hold_what_they_held_in_order_and_apart(text: str, pairs: list[tuple[int, int]]) -> None:
    units = [(min(a, b, len(text)), min(max(a, b), len(text))) for a, b in pairs]
    found = widened(text, units)
    assert all(any(a <= start and end <= b for a, b in found) for start, end in units)
    assert all(one[1] < other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a\n```py\nx\n```\nb", ["```py\nx\n```\n"]),
        ("a\n````\n```\n````\nb", ["````\n```\n````\n"]),
        ("```\nnever closed", []),
        ("| a |\n| b |\nc\n| d |", ["| a |\n| b |\n", "| d |"]),
        ("long enough a text\n<a>\n<b>\nx\n</b>\n</a>\nto stay here", ["<b>\nx\n</b>\n", "<a>\n<b>\nx\n</b>\n</a>\n"]),
        ("long enough a text\n<a>\n<br>\nx\n</a>\nto stay here", ["<a>\n<br>\nx\n</a>\n"]),
        ("<a>\nall of it\n</a>", []),
        ("</a>\n<a>\nx", []),
    ],
)
def test_blocks(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in blocks(text)] == parts


def test_unit_around_many_values_in_one_line_take_linear_time() -> None:
    text = "Say {{a}}. Then wait 1.5 s, e.g. here! " * 3000
    begun = time.process_time()
    units = [unit_around(text, place.start, place.end) for place in places(text)]
    assert time.process_time() - begun < 1.0
    assert [text[first:last] for first, last in units[1:-1]] == ["Say {{a}}. "] * 2998
