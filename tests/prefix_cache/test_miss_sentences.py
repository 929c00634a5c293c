"""One catalogue of the sentences of explanations: all judged sessions, whatever their causes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.miss_sentences import Candidate, CandidateCode, Reason
from playground.prefix_cache.replay import replay_traffic
from playground.prefix_cache.traffic import read_traffic

CASES = sorted((Path(__file__).parents[1] / "data" / "judged_cases").glob("*.jsonl"))
CLEARING: frozenset[Reason] = frozenset(
    (
        "below_minimum",
        "template_moves",
        "template_marks_turn",
        "template_rewrites_calls",
        "lost",
        "partly_lost",
        "other_replica",
    )
)


Explanations = Callable[[Path], Sequence[MissExplanation]]


@pytest.fixture(scope="module")
def explanations() -> Explanations:
    """Replays a session. Each is replayed once, because the tests with a fixture of the module run in one process."""

    @cache
    def replayed(path: Path) -> Sequence[MissExplanation]:
        results = replay_traffic(read_traffic(path))
        return [result.explanation for result in results if result.explanation is not None]

    return replayed


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_sentence_says_what_reason_and_candidates_say(path: Path, explanations: Explanations) -> None:
    for found in explanations(path):
        assert found.reason
        assert found.sentence.endswith(".")
        assert all(one.words in found.sentence for one in found.candidates)
        assert ("The text of the prompt is not the cause" in found.sentence) == (found.reason in CLEARING)
        assert ("Either " in found.sentence) == ("_or_" in found.reason)
        others = found.reason in ("more_than_shared", "foreign_tokens", "template_and_lost")
        unknown = "_or_" in found.reason or others
        assert (found.cause == "unknown") == unknown
        if found.position is not None and found.position.part == "message" and found.part == "content":
            where = f"message {found.position.index + 1}"
            assert where in found.sentence
            assert f"line {found.position.line}, character {found.position.column:,}:" in found.sentence


def test_words_differ_for_every_candidate() -> None:
    words = {Candidate(code, 600.0).words for code in get_args(CandidateCode)}
    assert len(words) == len(get_args(CandidateCode))
    assert all(text and not text.endswith(".") for text in words)
    assert "off for some requests" in Candidate("bypassed").words


def test_sentences_of_most_reasons_are_among_the_judged_sessions(explanations: Explanations) -> None:
    reasons = {found.reason for path in CASES for found in explanations(path)}
    assert reasons >= {
        "first",
        "differs",
        "lost",
        "partly_lost",
        "parameters",
        "short_or_lost",
        "tool_order_or_lost",
        "edit_or_template",
        "block_or_template",
        "block_or_partly_lost",
    }
