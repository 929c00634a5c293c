"""Events of ended requests, stored without the text of the answer."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import pytest

from playground import asset
from playground.client.events import AnyEvent, AttemptStarted, Completed, ContentDelta, RawEvent, ReasoningDelta
from playground.requestlog.codec import decode_ended, encode_ended, encode_events, packed_ended, to_blocks
from playground.runs.state import fold
from tests.requestlog import samples

IDS = "9db74058-1111-4222-8333-444455556666chatcmpl-9db74058"


def stream(texts: Sequence[str], times: Sequence[float], raw: str = '{{"delta":{{"content":"{}"}}}}') -> list[AnyEvent]:
    events: list[AnyEvent] = [AttemptStarted(0.0, 1)]
    for text, at in zip(texts, times, strict=True):
        events += [RawEvent(at, raw.format(text)), ContentDelta(at, text)]
    return [*events, Completed(times[-1] if times else 0.0)]


STEADY = [0.5, 0.51, 0.525, 0.6]
CASES: dict[str, list[AnyEvent]] = {
    "none": [],
    "answered": samples.answered(),
    "refused": samples.refused(),
    "called": samples.called(),
    "compact": stream(["One", " two", "", " three"], STEADY),
    "spaced": stream(["One", " two", "", " three"], STEADY, '{{"delta": {{"content": "{}"}}}}'),
    "at once": stream(["One", " two", " three", "."], [0.5] * 4),
    "minutes apart": stream(["One", " two", " three", "."], [0.5, 100.0, 5_000.0, 90_000.25]),
    "backwards": stream(["One", " two", " three", "."], [0.5, 0.4, 0.6, 0.7]),
    "scripts": stream(["नमस्ते", " 预约", " 👋", "é"], STEADY),
    "long piece": stream(["a" * 300, "b" * 70_000, "c", "d"], STEADY),
    "more pieces than are compared at once": stream([" word"] * 700, [number / 100 for number in range(700)]),
    "half a surrogate pair": stream(["One \ud83d", "\udc4b two", " three", "."], STEADY),
    "two attempts": [*stream(["lost"] * 4, STEADY)[:-1], *stream(["One", " two", " three", "."], STEADY)],
}


@pytest.mark.parametrize(
    ("name", "digest"), [("batch", "e918fdc1c5e0cd02"), ("stream", "20b3b277a447ec6f"), ("part", "0d25ef999fa1f0c2")]
)
def test_dictionaries_of_stored_data_never_change(name: str, digest: str) -> None:
    assert hashlib.sha256(asset(f"deflate/{name}.zdict").read_bytes()).hexdigest().startswith(digest)


@pytest.mark.parametrize("name", CASES)
def test_encode_ended_then_decode_ended_returns_the_events(name: str) -> None:
    events = CASES[name]
    answer = fold(events).text
    blob = encode_ended(to_blocks(events), answer, IDS)
    assert list(decode_ended(blob, answer, IDS)) == events
    packed = packed_ended(blob, IDS)
    assert packed is not None
    assert list(decode_ended(packed, answer, IDS)) == events
    assert packed_ended(packed, IDS) is None


def test_encode_ended_with_the_answer_does_not_store_its_words() -> None:
    words = [f" word{number * 7919 % 10_007}" for number in range(200)]
    events = stream(words, [number / 100 for number in range(200)])
    with_answer = encode_ended(to_blocks(events), "".join(words), IDS)
    without = encode_ended(to_blocks(events), "another answer", IDS)
    assert len(with_answer) < len(without) / 2
    assert list(decode_ended(without, "another answer", IDS)) == events


def test_encode_ended_of_long_events_is_packed_at_once() -> None:
    events: list[AnyEvent] = [ReasoningDelta(0.5, f"step {number}") for number in range(2_000)]
    blob = encode_ended(to_blocks(events), "", IDS)
    assert packed_ended(blob, IDS) is None
    assert len(blob) < 16_384
    assert list(decode_ended(blob, "", IDS)) == events


def test_decode_ended_of_earlier_versions_returns_the_events() -> None:
    events = CASES["answered"]
    assert list(decode_ended(encode_events(events), "", "")) == events


class CountedSlices(list[AnyEvent]):
    """A list that counts the items that its slices copied."""

    copied = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.copied += len(found) if isinstance(place, slice) else 0
        return found


def test_to_blocks_long_stream_copies_a_bounded_number_of_events_per_event() -> None:
    reasoning = CountedSlices()
    for number in range(3_000):
        reasoning += [RawEvent(0.5, f"{number}"), ReasoningDelta(0.5, "so")]
    assert [list(block.others) for block in to_blocks(reasoning)] == [list(reasoning)]
    assert reasoning.copied == 0
    content = CountedSlices(stream([" word"] * 3_000, [0.5] * 3_000))
    (first, second) = to_blocks(content)
    assert (len(first.texts), second.others) == (3_000, [Completed(0.5)])
    assert content.copied <= 2 * len(content)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.9])
def test_decode_ended_damaged_data_raises(place: float) -> None:
    events = CASES["compact"]
    blob = bytearray(encode_ended(to_blocks(events), fold(events).text, IDS))
    blob[int(len(blob) * place)] ^= 0x55
    with pytest.raises((ValueError, zlib.error)):
        list(decode_ended(bytes(blob), fold(events).text, IDS))


@pytest.mark.parametrize("is_packed", [False, True])
def test_decode_ended_with_a_changed_answer_raises_and_yields_it_if_any_is_accepted(is_packed: bool) -> None:
    events = CASES["compact"]
    answer = fold(events).text
    blob = encode_ended(to_blocks(events), answer, IDS)
    blob = (is_packed and packed_ended(blob, IDS)) or blob
    with pytest.raises(ValueError, match="answer"):
        list(decode_ended(blob, "Ome two three", IDS))
    assert fold(decode_ended(blob, "Ome two three", IDS, any_answer=True)).text == "Ome two three"
    assert list(decode_ended(blob[:-4], answer, IDS)) == events  # as earlier builds stored it


def test_decode_ended_with_a_shorter_answer_raises() -> None:
    events = CASES["compact"]
    blob = encode_ended(to_blocks(events), fold(events).text, IDS)
    with pytest.raises(ValueError, match="shorter"):
        list(decode_ended(blob, "From", IDS, any_answer=True))
