"""CPU time of the search for an API key: in events of a stream, and in whole texts.

python -m tests.benchmarks.bench_masking [KIND…]

Kinds: prose, code, JSON, HTML, ids (of tool calls). Events have 20 characters of a text each, or one id. The floor of
an event is its JSON decode (msgspec), the floor of a whole text is its letters in lower case; both are measured in
turn with the search, so that other load on the machine affects both. Figures are the least of the rounds, for a key
with a public prefix, one of hex digits and one with signs. Goal: at most 30 µs an event.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from playground.client.redact import redact
from playground.client.stream_masking import StreamMasker

ROOT = Path(__file__).parents[2]
KEYS = {
    "prefix": "sk_bench_0123456789abcdef",
    "hex": "9e4b7f02c5d81a36fb20e7936ad4c85b1f07e2d9",
    "signs": "Gx7.pQ2_vN9-tK4.wL8~Zm3",
}
ROUNDS = 9
PIECE_CHARS = 20
_decode = msgspec.json.Decoder().decode


def _texts() -> dict[str, str]:
    tag = '<a class="row" href="/x?a=1&amp;b={}">Item &lt;{}&gt;</a><br/>\n<span style="color:red">text {}</span>'
    return {
        "prose": (ROOT / "docs" / "export.md").read_text(encoding="utf-8"),
        "code": (ROOT / "tests" / "benchmarks" / "bench_client.py").read_text(encoding="utf-8"),
        "JSON": json.dumps([{"id": at, "path": f"C:\\dir\\{at}", "ok": True} for at in range(400)], indent=2),
        "HTML": "".join(tag.format(at, at, at) for at in range(150)),
    }


def _chunk(delta: dict[str, object]) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta}]})


def _events() -> dict[str, list[str]]:
    events = {
        kind: [_chunk({"content": text[at : at + PIECE_CHARS]}) for at in range(0, len(text), PIECE_CHARS)]
        for kind, text in _texts().items()
    }
    random = Random(7)
    ids = [f"call_{random.getrandbits(96):024x}" for _ in range(600)]
    events["ids"] = [_chunk({"tool_calls": [{"index": at, "id": one}]}) for at, one in enumerate(ids)]
    return events


def _masker(key: str) -> Callable[[str], str]:
    return StreamMasker(key).masked


def _redactor(key: str) -> Callable[[str], str]:
    return partial(redact, key=key)


def _times_us(works: Sequence[Callable[[], Callable[[str], object]]], texts: list[str]) -> list[float]:
    """Return the least time of each work, in µs for one text. Each round starts every work from its beginning."""
    least = [float("inf") for _ in works]
    for _ in range(ROUNDS):
        for at, work in enumerate(works):
            do = work()
            begun = time.process_time()
            for text in texts:
                do(text)
            least[at] = min(least[at], (time.process_time() - begun) * 1e6 / len(texts))
    return least


def main(kinds: list[str]) -> None:
    """Measure and print."""
    chosen = set(kinds)
    for kind, events in _events().items():
        if chosen and kind not in chosen:
            continue
        works = [partial(_masker, key) for key in KEYS.values()]
        floor, *took = _times_us([lambda: _decode, *works], events)
        shown = " · ".join(f"{name} {one:5.1f} µs ({one / floor:4.1f} ×)" for name, one in zip(KEYS, took, strict=True))
        print(f"event of {kind:5} {shown}  of the floor, {floor:.2f} µs")
    for kind, text in _texts().items():
        if chosen and kind not in chosen:
            continue
        works = [partial(_redactor, key) for key in KEYS.values()]
        floor, *took = _times_us([lambda: str.lower, *works], [text] * 4)
        shown = " · ".join(
            f"{name} {one / 1000:5.2f} ms ({one / floor:4.0f} ×)" for name, one in zip(KEYS, took, strict=True)
        )
        print(f"whole {kind:5} {len(text) / 1000:.0f} KB {shown}  of the floor, {floor:.1f} µs")


if __name__ == "__main__":
    main(sys.argv[1:])
