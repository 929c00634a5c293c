"""Whole forecast of a 130 KB prompt and explanation of its report, in models trained with growing numbers of prompts.

The newest REPORTED prompts have reports of a server that caches blocks of 128 tokens; those before are in the prefix
index only, as requests of earlier sessions are. Times are CPU time, to the median and the 99th percentile; the exponent
is that of the growth between two sizes (0: none, 1: linear).

Run: python -m tests.benchmarks.bench_forecast [LARGEST NUMBER OF PROMPTS]
"""

from __future__ import annotations

import gc
import math
import random
import sys
import time
from collections.abc import Callable, Sequence

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import CacheView, view_of_document
from playground.prompt.document import Document, Message
from tests.benchmarks.bench_index import AGENTS, MESSAGES, SIZE, conversation, logged

SIZES = (1_000, 10_000, 100_000)
REPORTED, ROUNDS, BLOCK = 500, 60, 128
WHERE = "endpoint", "electron"
GOAL_MS = 5.0


def document_of(view: CacheView, edit: str) -> Document:
    """Return the conversation of a view as a document whose last message ends with `edit`."""
    texts = [view.text[part.start : part.end - 1] for part in view.parts if part.kind == "content"]
    roles = ("assistant", "user")
    messages = [Message(roles[number % 2], text) for number, text in enumerate(texts)]  # type: ignore[arg-type]
    return Document(messages=(*messages, Message("user", edit)))


def train(forecaster: CacheForecaster, views: Sequence[CacheView], sizes: tuple[int, int]) -> None:
    """Add the prompts with numbers from sizes[0] to sizes[1]; the last REPORTED of them with reports."""
    chance, cache = random.Random(sizes[0]), forecaster.model(*WHERE)
    for number in range(*sizes):
        sent = logged(list(views), number, chance, 0)
        if number < sizes[1] - REPORTED:
            cache.index.add(sent)
            continue
        match = cache.index.match(sent.text, 0.0)
        cached = int((match.length if match else 0) / 4 // BLOCK * BLOCK)
        cache.record(sent)
        forecaster.settle(*WHERE, sent.run_id, CacheUsage(len(sent.text) // 4, cached))


def times(work: Callable[[int], object]) -> list[float]:
    """Return the sorted milliseconds of CPU time of ROUNDS calls."""
    spent = []
    gc.disable()  # as in the program, which collects between events
    for number in range(ROUNDS):
        began = time.process_time()
        work(number)
        spent.append((time.process_time() - began) * 1000)
    gc.enable()
    return sorted(spent)


def measure(forecaster: CacheForecaster, view: CacheView) -> dict[str, list[float]]:
    """Return the times of a forecast after a keystroke, and of the explanation of a report."""
    documents = [document_of(view, f"A new question {'x' * number}") for number in range(ROUNDS)]
    prompts = [view_of_document(document) for document in documents]
    cache = forecaster.model(*WHERE)
    waiting = []
    for number, prompt in enumerate(prompts):
        sent = Sent(f"asked {number}", f"{number:08}", 2e9 + number, prompt.view.text, prompt.view)
        waiting.append((sent, cache.predictor.predict(prompt.view, sent.at), prompt))
        waiting[-1][1].compared = cache.compared_with(waiting[-1][1])

    def explain(number: int) -> None:
        sent, prediction, prompt = waiting[number]
        forecaster.explain(WHERE, sent, CacheUsage(SIZE // 4, BLOCK), prediction, prompt)

    return {
        "forecast": times(lambda number: forecaster.look(documents[number], *WHERE)),
        "explanation": times(explain),
    }


def main(largest: int) -> None:
    """Print a line per size."""
    views = [conversation(agent) for agent in range(AGENTS)]
    forecaster, trained = CacheForecaster(clock=lambda: 2e9), 0
    before: dict[str, float] = {}
    print(f"{SIZE:,} code points in {MESSAGES} messages; {REPORTED} reports after each size; {ROUNDS} rounds; CPU time")
    for size in (size for size in SIZES if size <= largest):
        train(forecaster, views, (trained, size))
        cells = []
        for name, spent in measure(forecaster, views[3]).items():
            median = spent[len(spent) // 2]
            growth = f", exponent {math.log(median / before[name], size / trained):.2f}" if name in before else ""
            cells.append(f"{name} {median:.2f} ms, 99 % {spent[-1]:.2f} ms{growth}")
            before[name] = median
        print(f"{size:>8,} prompts: {'; '.join(cells)}", flush=True)
        trained = size
    print(f"goal: a whole forecast in {GOAL_MS:g} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1])
