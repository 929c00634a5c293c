"""Where a recorded request leaves the prefix of an earlier one."""

from __future__ import annotations

import pytest

from playground.prompt.document import Json
from playground.recorder.difference import compare
from playground.recorder.programs import RecordedRequest
from tests.recorder.rows import RULES, body, request, row


def test_compare_names_the_character_and_scales_tokens_to_the_report() -> None:
    earlier, now = (request(number, f"Hello.\nIt is 2026-11-1{number} today.\n{RULES}", 660, 0) for number in (1, 2))
    found = compare(earlier, now)
    assert found.place == "system message 1, line 2, character 16"
    assert found.words == "“2026-11-11” became “2026-11-12”"
    assert found.before.startswith("It is 2026-11-11 today.\n")
    assert found.after.startswith("It is 2026-11-12 today.\n")
    assert found.cut
    assert 5 < found.shared_tokens < 25
    assert 600 < found.repeated_tokens < 660
    assert found.shared_tokens + found.repeated_tokens < 660


def test_compare_text_that_differs_behind_the_first_difference_is_not_repeated() -> None:
    rules = [f"Rule {chr(97 + at) * 3}: confirm the number {at} of the caller twice.\n" for at in range(24)]
    other = [f"Season {chr(97 + at) * 3} has its own offers, {at} in all.\n" for at in range(24)]
    earlier = request(1, "".join(["Day 1.\n", *rules, *rules[:12]]), 500, 0)
    now = request(2, "".join(["Day 2.\n", *rules, *other]), 500, 0)
    share = len("".join(rules)) / len("".join([*rules, *other]))
    assert compare(earlier, now).repeated_tokens == pytest.approx(500 * share, rel=0.25)


def test_compare_continued_conversation_shares_the_whole_earlier_prompt() -> None:
    earlier = RecordedRequest(row(1, 640, 0), body(RULES, "Hello"))
    now = RecordedRequest(row(2, 660, 640), body(RULES, "Hello", "Good day.", "And my bill?"))
    found = compare(earlier, now)
    assert (found.place, found.repeated_tokens, found.before) == ("", 0.0, "")
    assert found.words == "begins with the whole earlier prompt"
    assert 620 < found.shared_tokens < 660


def test_compare_same_and_shortened_prompts_share_all_of_the_shorter() -> None:
    short, whole = (RecordedRequest(row(1), body(RULES, *turns)) for turns in (("Hi",), ("Hi", "Yes?", "Bill")))
    assert compare(whole, whole).words == "has the same prompt"
    assert compare(whole, short).words == "is the beginning of the earlier prompt"


def test_compare_reordered_tools_differ_in_the_first_tool() -> None:
    tools: list[Json] = [{"type": "function", "function": {"name": name}} for name in ("plan", "bill")]
    one = RecordedRequest(row(1, 700, 0), {**body(RULES), "tools": tools})
    other = RecordedRequest(row(2, 700, 0), {**body(RULES), "tools": tools[::-1]})
    found = compare(one, other)
    assert found.place.startswith("tool 1, character ")
    assert found.words == "The tools are in another order"
    assert found.repeated_tokens > 500


@pytest.mark.parametrize("content", ["e\u0301\u200b" * 40, "نص" * 60, "日本語" * 50, "", "a\r\nb\x1ec\n"])
def test_compare_any_script_has_a_place_inside_the_text(content: str) -> None:
    one = RecordedRequest(row(1), body(f"{content}x1\n{RULES}"))
    other = RecordedRequest(row(2), body(f"{content}x2\n{RULES}"))
    found = compare(one, other)
    assert found.place.startswith("system message 1, line ")
    assert "x2" in found.after


def test_compare_bodies_without_messages_do_not_fail() -> None:
    assert compare(RecordedRequest(row(1), {}), RecordedRequest(row(2), {"messages": "?"})).shared_tokens == 0
