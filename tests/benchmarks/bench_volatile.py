"""CPU time to find volatile text and rewrites in a prompt of 130 KB, first and after one keystroke.

Run with `python -m tests.benchmarks.bench_volatile`. Best of 5; a keystroke is the slowest of 29 in the middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from playground.prefix_cache.rewrites import find_volatile, proposals
from playground.prefix_cache.view import view_of_document
from playground.prefix_cache.volatile_scan import read
from playground.prompt.document import Document, Message

SIZE = 130_000
LINES = {
    "English rules": "You are Mira, a voice agent. Open 24/7, version 1.2.3, from $3.50. Ask the customer's number.\n",
    "Hindi rules": "आप मीरा हैं, एक पार्सल सेवा की आवाज़ एजेंट। छोटे वाक्यों में बोलें।\n",
    "Chinese rules": "你是米拉，一家包裹服务公司的语音助理。请用短句说话。\n",
    "JSON": '{"order":{"id":12,"items":[{"sku":"AB-12","qty":3}],"note":"fine"}}\n',
    "only dates": "2026-11-23 ",
    "only the word of an id": "order id ",
    "one digit": "1",
    "hex without an end": "f1",
    "spaces": "today is" + " " * 400,
    "braces": "{",
    "full stops": ".",
}


def best(call: Callable[[], object], times: int = 5) -> float:
    """Milliseconds."""
    found = []
    for _ in range(times):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found) * 1_000


def edits(text: str) -> float:
    """Milliseconds of the slowest of 30 keystrokes in the middle of a document with this text."""
    place, slowest = len(text) // 2, 0.0
    for number in range(30):
        text = text[:place] + "x" + text[place:]
        view = view_of_document(prompt(text))
        start = time.process_time()
        find_volatile(view)
        slowest = max(slowest, time.process_time() - start) if number else 0.0
    return slowest * 1_000


def prompt(text: str) -> Document:
    """A prompt with this text as its rules."""
    return Document(messages=(Message("system", f"{text}\n{{{{name}}}}\nBe brief."), Message("user", "Hi")))


def main() -> None:
    """Print the table."""
    read("compiled now 1")
    print(f"{'130 KB of':24} {'anew, ms':>9} {'double/single':>14} {'keystroke, ms':>14} {'rewrites, ms':>10}")
    for name, line in LINES.items():
        text = (line * (SIZE // len(line) + 1))[:SIZE]
        once = best(lambda text=text: read(text))  # type: ignore[misc]  # bound now
        twice = best(lambda text=text: read(text * 2))  # type: ignore[misc]
        document = prompt(text)
        rewrites = best(lambda document=document: proposals(document), 1)  # type: ignore[misc]
        print(f"{name:24} {once:9.1f} {twice / once:14.2f} {edits(text):14.1f} {rewrites:10.1f}")


if __name__ == "__main__":
    main()
