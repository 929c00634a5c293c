"""Longest shared prefix of a 32,768-token prompt of 200 messages, against growing numbers of logged prompts; and
memory.

Logged prompts are conversations of the same few agents: each begins like one of 20 conversations of 130 KB, ends after
some message, and has a unique question at its end. In a second log, one of five also has an early message edited: the
text after the edit is shared with no other prompt.

Run: python -m tests.benchmarks.bench_index [LARGEST NUMBER OF PROMPTS]
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]

from playground.prefix_cache.index import PrefixIndex, Sent
from playground.prefix_cache.view import CacheView, ViewPart, view_of_fields
from playground.prompt.document import Json

SIZES = (1_000, 10_000, 100_000)
AGENTS, MESSAGES, SIZE = 20, 200, 130_000
TEXT = "the caller asks about an order confirm its number and city then answer in one short sentence please"
WORDS = TEXT.split()


def conversation(agent: int) -> CacheView:
    """200 messages, 130 KB, about 32,768 tokens."""
    chance = random.Random(agent)
    messages: list[Json] = []
    for number in range(MESSAGES):
        text = " ".join(chance.choices(WORDS, k=SIZE // MESSAGES // 5))[: SIZE // MESSAGES - 7]
        messages.append({"role": "user" if number % 2 else "assistant", "content": text})
    return view_of_fields({"messages": messages})


def logged(views: list[CacheView], number: int, chance: random.Random, edited: int) -> Sent:
    """Return a prompt of the log; every `edited`th differs early."""
    view = chance.choice(views)
    parts = view.parts[: 2 * chance.randrange(1, MESSAGES)]
    text = view.text[: parts[-1].end]
    if edited and number % edited == 0:
        at = chance.choice(parts).start
        text = f"{text[:at]}{chance.choice(WORDS)[0]}{text[at + 1 :]}"
    question = "".join(chance.choices("abcdefghij klmnop", k=160)) + "\x1e"
    start = len(text)
    text += "user\x1e" + question
    index = parts[-1].index + 1
    tail = (ViewPart("role", index, start, start + 5), ViewPart("content", index, start + 5, len(text)))
    tokens = len(text) // 4 if number % 3 else None
    return Sent(f"{number:032x}", f"{number:08x}-2421", 1e9 + number, text, CacheView(text, (*parts, *tail)), tokens)


def late(work: Callable[[str], object], texts: list[str]) -> tuple[float, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    spent = []
    # As the program does: collecting has its own time.
    gc.disable()
    for text in texts:
        began = time.perf_counter()
        work(text)
        spent.append((time.perf_counter() - began) * 1000)
    gc.enable()
    spent.sort()
    return spent[len(spent) // 2], spent[int(len(spent) * 0.99)]


def edits(text: str, size: int, count: int = 300) -> list[str]:
    """Return copies of the text with `size` characters inserted at random offsets."""
    chance = random.Random(size)
    places = (chance.randrange(len(text)) for _ in range(count))
    return [text[:at] + "x" * size + text[at:] for at in places]


def resident() -> int:
    """Return the memory of this process in bytes."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


HEADS = ("prompts", "kept", "median", "99 %", "× floor", "counted", "in memory", "a prompt", "text", "whole texts")


def table(views: list[CacheView], sizes: tuple[int, ...], floor: float, edited: int) -> PrefixIndex:
    """Print one line per size of the log; return the index at the last size."""
    print("".join(f"{head:>12}" for head in HEADS))
    chance, index, text = random.Random(7), PrefixIndex(), views[3].text
    began, whole, added = resident(), 0, 0
    for size in sizes:
        while added < size:
            sent = logged(views, added, chance, edited)
            whole += len(sent.text)
            index.add(sent)
            added += 1
        memory = resident() - began
        median, slow = late(lambda typed: index.match(typed, 0.0), edits(text, 1))
        counted = late(index.counted, edits(text, 1))[0]
        cells = (f"{size:,}", f"{len(index):,}", f"{median:.3f} ms", f"{slow:.3f} ms", f"{median / floor:.1f}")
        rest = (f"{counted:.3f} ms", f"{memory / 1e6:.0f} MB", f"{memory / len(index):,.0f} B")
        texts = (f"{index._tree.size / 1e6:.0f} MB", f"{whole / 1e6:,.0f} MB")
        print("".join(f"{cell:>12}" for cell in (*cells, *rest, *texts)))
    return index


def main() -> None:
    """Print the tables."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]
    views = [conversation(agent) for agent in range(AGENTS)]
    text = views[3].text
    floor = min(late(lambda typed: typed == text[:-1] + "x", edits(text, 1))[0] for _ in range(5))
    print(f"{len(text):,} characters, {MESSAGES} messages; copying and comparing them once: {floor:.3f} ms")
    index = table(views, tuple(size for size in SIZES if size <= largest), floor, 0)
    print("by the size of the edit, in the largest log:")
    for length in (1, 100, 10_000):
        median = late(lambda typed: index.match(typed, 0.0), edits(text, length))[0]
        print(f"{length:>12,} characters{median:>12.3f} ms")
    print("by the share of the prompt before the edit:")
    for part in (0.0, 0.1, 0.5, 1.0):
        at = int(part * len(text))
        typed = [text[:at] + "x" * n + text[at:] for n in range(1, 99)]
        print(f"{part:>12.0%}{late(lambda one: index.match(one, 0.0), typed)[0]:>12.3f} ms")
    print("every fifth prompt edited early:")
    table(views, tuple(size for size in SIZES[:2] if size <= largest), floor, 5)


if __name__ == "__main__":
    main()
