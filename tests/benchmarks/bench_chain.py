"""Event-loop gaps while an agent loop with four concurrent tools runs and its timeline is redrawn.

Run with `python -m tests.benchmarks.bench_chain`. Prints the share of gaps within one frame (16.7 ms; the goal is 99 of
100), the longest gap, and the cost of one timeline of that loop compared with a frame.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from playground.agent.loop import TurnStarted, measured
from playground.agent.tool_mocks import FixedDelay, MockReply, ToolMock, ToolMocks
from playground.simulator.process import SimulatorProcess
from playground.voice.timeline import compare, timeline
from tests.agent.dialogue import Dialogue, calls, prompt, says

FRAME_S = 1 / 60
WORDS = ["Your", "balance", "is", "four", "hundred", "and", "twelve", "rupees,", "due", "on", "the", "fifteenth.", ""]
FILLER = [says(5 * n, word + " ") for n, word in enumerate(["One", "moment,", "I", "will", "look", "that", "up."])]
CALLS = [calls(40 + n, "get_balance" if n % 2 else "get_plan") for n in range(4)]
SCRIPT = [[*FILLER, *CALLS]] * 3 + [[says(5 * n, word + " ") for n, word in enumerate(WORDS * 10)]]
BOOK = ToolMocks({name: ToolMock(MockReply("fixed", "412", FixedDelay(150))) for name in ("get_balance", "get_plan")})


async def measure_gaps(dialogue: Dialogue) -> list[float]:
    """Seconds between turns of the event loop during the run, requested every millisecond."""
    gaps: list[float] = []
    running = asyncio.ensure_future(dialogue.chain.run())
    last = time.perf_counter()
    while not running.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
    await running
    await dialogue.connection.aclose()
    return sorted(gaps)


def main() -> None:
    """Measure and print."""
    simulator = SimulatorProcess.start(("--plan", "none"))
    dialogue = Dialogue(simulator, prompt(SCRIPT))
    drawn = 0.0

    def draw(*_: Any) -> None:
        nonlocal drawn
        if time.perf_counter() - drawn >= FRAME_S:  # as often as a window would
            live = dialogue.chain.live
            timeline(measured(live, list(live.turns)[-1]), now=dialogue.chain.now())
            drawn = time.perf_counter()

    dialogue.on[TurnStarted] = lambda happening: happening.run.subscribe(draw)
    gaps = asyncio.run(measure_gaps(dialogue))
    simulator.stop()
    within = sum(gap <= FRAME_S for gap in gaps) / len(gaps)
    print(f"loop gaps within a frame: {within:.2%} of {len(gaps):,} (99 % wanted); longest {gaps[-1] * 1000:.1f} ms")
    turns = measured(dialogue.chain.conversation, list(dialogue.chain.conversation.turns)[-1])
    began = time.perf_counter()
    for _ in range(100):
        compare(turns)
    print(f"all three variants of {len(turns)} turns: {(time.perf_counter() - began) / 100 / FRAME_S:.3f} of a frame")


if __name__ == "__main__":
    main()
