"""Token probabilities: documented, irregular and hostile."""

from __future__ import annotations

import json

import msgspec
import pytest

from playground.client.chunks import MOST_ALTERNATIVES, ChunkDecoder, token_probabilities
from playground.client.events import (
    Alternative,
    AnyEvent,
    ContentDelta,
    Finished,
    TokenProbabilities,
    TokenProbability,
)
from playground.requestlog.codec import decode_events, encode_events
from playground.simulator.wire import logprobs

ENTRY = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}
TOKEN = TokenProbability("Hi", -0.5, (Alternative("Hi", -0.5),))


def _events(chunk: object) -> list[AnyEvent]:
    return list(ChunkDecoder().events(json.dumps(chunk), 1.0))


def test_a_chunk_gives_its_text_then_its_probabilities() -> None:
    choice = {"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [ENTRY]}, "finish_reason": "stop"}
    assert _events({"choices": [choice]}) == [
        ContentDelta(1.0, "Hi"),
        TokenProbabilities(1.0, (TOKEN,)),
        Finished(1.0, "stop"),
    ]


def test_a_whole_completion_gives_all_of_them() -> None:
    choice = {"index": 0, "message": {"content": "HiHi"}, "logprobs": {"content": [ENTRY, ENTRY]}}
    assert _events({"choices": [choice]})[1] == TokenProbabilities(1.0, (TOKEN, TOKEN))


def test_what_the_simulator_sends() -> None:
    tokens = token_probabilities(logprobs(["One", " moment"], 3))
    assert [token.token for token in tokens] == ["One", " moment"]
    assert all(len(token.alternatives) == 3 for token in tokens)
    assert all(token.logprob == token.alternatives[0].logprob for token in tokens)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        {},
        {"content": None},
        {"content": {"token": "x"}},
        {"tokens": ["a"], "token_logprobs": [-1.0]},
        {"content": [None, 1, {}, {"token": 3, "logprob": -1}]},
    ],
)
def test_other_shapes_are_none(value: object) -> None:
    assert token_probabilities(value) == ()
    assert _events({"choices": [{"delta": {"content": "a"}, "logprobs": value}]}) == [ContentDelta(1.0, "a")]


@pytest.mark.parametrize(
    ("logprob", "expected"),
    [("-1", None), (None, None), (True, None), (float("nan"), None), (0.0001, 0.0), (-99999, -9999.0), (-1, -1.0)],
)
def test_a_logprob_is_a_number_up_to_nought_or_unknown(logprob: object, expected: float | None) -> None:
    assert token_probabilities({"content": [{"token": "a", "logprob": logprob}]})[0].logprob == expected


def test_alternatives_are_bounded() -> None:
    many = [{"token": str(number), "logprob": -1.0} for number in range(1000)]
    found = token_probabilities({"content": [{"token": "a", "logprob": -1.0, "top_logprobs": many}]})
    assert len(found[0].alternatives) == MOST_ALTERNATIVES


def test_the_log_keeps_them() -> None:
    events: list[AnyEvent] = [TokenProbabilities(1.0, (TOKEN, TokenProbability("?", None)))]
    assert list(decode_events([encode_events(events)])) == events


def test_logs_from_before_are_read() -> None:
    old = msgspec.json.decode(b'[{"event":"content","at":1.0,"text":"a"}]', type=list[AnyEvent])
    assert old == [ContentDelta(1.0, "a")]
