"""The rules on the whole corpus: nothing false above a hint, nothing missed, and every fix silences its rule."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from playground.lint.engine import RULES, advise
from playground.lint.model import Finding
from tests.lint.corpus import Sample, samples
from tests.lint.handmade import handmade
from tests.lint.judge import PRICED, document_of, of_body
from tests.lint.unseen import unseen
from tests.lint.words import WORDS

pytestmark = pytest.mark.exhaustive

BY_HAND = (*handmade(), *unseen())
ALL = (*samples(), *BY_HAND)


def test_the_corpus_is_large_and_many_tongued() -> None:
    assert len(ALL) >= 200
    assert len(WORDS) >= 10
    assert len({sample.name for sample in samples()}) >= 700


@pytest.mark.parametrize("language", [words.code for words in WORDS])
def test_no_false_alarm_above_a_hint_and_no_flaw_missed(language: str) -> None:
    for sample in ALL:
        if sample.name.startswith(f"{language} "):
            _judge(sample)


@pytest.mark.parametrize("sample", BY_HAND, ids=lambda sample: sample.name)
def test_by_hand(sample: Sample) -> None:
    _judge(sample)


@cache
def _found(sample: Sample) -> tuple[Finding, ...]:
    return of_body(sample.body)


def _judge(sample: Sample) -> None:
    found = _found(sample)
    above = {advice.rule for advice in found if advice.severity != "hint"}
    assert above <= sample.expected, sample.name
    assert sample.expected <= {advice.rule for advice in found}, sample.name


def _with_fixes() -> Iterator[Sample]:
    # One in three is enough: fixes differ by rule and language, not by sample.
    yield from (
        sample for number, sample in enumerate(ALL) if number % 3 == 0 or sample.name.startswith(("by hand", "unseen"))
    )


def test_every_fix_silences_its_rule() -> None:
    fixed = set()
    for sample in _with_fixes():
        for advice in of_body(sample.body, PRICED):
            if advice.fix is None:
                continue
            fixed.add(advice.rule)
            keys = {other.key for other in advise(advice.fix.after, PRICED)}
            assert advice.key not in keys, f"{sample.name}: {advice.key} still speaks after {advice.fix.title}"
    assert len(fixed) >= 10


def test_no_fix_brings_up_something_worse() -> None:
    for sample in _with_fixes():
        before = {advice.rule for advice in _found(sample) if advice.severity != "hint"}
        for advice in _found(sample):
            if advice.fix is not None:
                after = {other.rule for other in advise(advice.fix.after) if other.severity != "hint"}
                assert after <= before, f"{sample.name}: {advice.key}"


def test_every_place_is_in_the_prompt() -> None:
    for sample in ALL:
        document = document_of(sample.body)
        for advice in _found(sample):
            for place in advice.places:
                if place.message is not None:
                    text = document.messages[place.message].content or ""
                    assert 0 <= (place.start or 0) <= (place.end or 0) <= len(text)
                if place.path[:1] == ("tools",) and len(place.path) > 1:
                    assert document.tools[int(place.path[1])].name == place.tool


def test_every_rule_of_the_prompt_itself_is_in_the_corpus() -> None:
    by_log_or_setting = {
        *("over-plan", "retry-policy", "no-request-id", "tool-unused", "answers-cut", "stop-strings", "chain-limit"),
        *("hit-rate-falls", "cold-connections", "tool-parameter-long"),
    }
    spoken = {rule for sample in ALL for rule in sample.expected}
    assert {rule.name for rule in RULES} - by_log_or_setting == spoken
