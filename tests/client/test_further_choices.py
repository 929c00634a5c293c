"""Keys in the choices after the first one: masked in the raw events, whatever pieces they arrive in."""

from __future__ import annotations

import json

import pytest

from playground.client.events import RawEvent
from playground.client.response_decoder import ResponseDecoder

KEY = "sk_live_Zx81Qm55Pt90Lk"


def _texts(pieces: list[str], place: tuple[str, ...], key: str | None) -> tuple[str, str]:
    """Return the joined text of choice 1, and all raw events joined."""
    decoder = ResponseDecoder("text/event-stream", key)
    raw: list[str] = []
    for piece in pieces:
        delta: object = piece
        for name in reversed(place):
            delta = {name: delta}
        chunk = {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": delta}]}
        found = decoder.feed(f"data: {json.dumps(chunk)}\n\n".encode(), 1.0)
        raw += [event.data for event in found if isinstance(event, RawEvent)]
    found = decoder.feed(b'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n', 2.0)
    raw += [event.data for event in found if isinstance(event, RawEvent)]
    joined = ""
    for data in raw:
        for choice in json.loads(data)["choices"]:
            value = choice.get("delta") if choice["index"] == 1 else None
            for name in place:
                value = value.get(name) if isinstance(value, dict) else None
            joined += value if isinstance(value, str) else ""
    return joined, "".join(raw)


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(KEY)])
@pytest.mark.parametrize("place", [("content",), ("reasoning_content",), ("function_call", "arguments")])
def test_further_choice_with_the_key_in_pieces_is_masked(size: int, place: tuple[str, ...]) -> None:
    text = f"The key is {KEY}, thanks."
    joined, raw = _texts([text[at : at + size] for at in range(0, len(text), size)], place, KEY)
    assert KEY not in joined
    assert KEY[3:12] not in joined
    assert KEY not in raw
    assert joined.startswith("The key is ")
    assert joined.endswith(", thanks.")


@pytest.mark.parametrize("text", ["Plain text.", "It ends like a key: sk_", "sk_other is no key"])
def test_further_choice_without_the_key_is_whole(text: str) -> None:
    assert _texts(list(text), ("content",), KEY)[0] == text


def test_further_choice_beside_masked_text_of_choice_0_is_whole() -> None:
    decoder = ResponseDecoder("text/event-stream", KEY)
    raw = []
    for first, second in ((KEY[:6], "one "), (f"{KEY[6:]} more", "two "), (" end", "three")):
        choices = [{"index": 0, "delta": {"content": first}}, {"index": 1, "delta": {"content": second}}]
        found = decoder.feed(f"data: {json.dumps({'choices': choices})}\n\n".encode(), 1.0)
        raw += [event.data for event in found if isinstance(event, RawEvent)]
    further = [one["delta"]["content"] for data in raw for one in json.loads(data)["choices"] if one["index"] == 1]
    assert further == ["one ", "two ", "three"]
    assert KEY[6:] not in "".join(raw)
