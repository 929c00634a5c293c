"""Event-loop gaps of the whole window while a chain with four tools side by side runs and a completion is spoken.

python -m tests.benchmarks.bench_spoken

The voice timeline is open and follows the chain. Speech comes over a real socket from the simulator. Goal: 99 of 100
gaps within 16.7 ms.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from msgspec.structs import replace

from playground.ui.session import Session, make_application, make_runner
from tests.agent.dialogue import prompt
from tests.benchmarks.bench_chain import BOOK, SCRIPT
from tests.benchmarks.gaps import gaps_of_loop, print_gaps

FRAME_MS = 16.7


async def _measure(session: Session) -> None:
    session.show()
    await session.ready.wait()
    window = session.window
    window.prompt.set_document(replace(prompt(SCRIPT), name="bench"))
    assert window.answers
    voice = window.voicing.open()
    window.voicing.speak.on.setChecked(True)
    dialog = window.chaining.open()
    dialog.start_over()
    dialog.answers.changed.emit(BOOK)
    dialog.ways["timeline"].click()
    await asyncio.sleep(1.0)
    async with gaps_of_loop() as idle:
        await asyncio.sleep(2.0)
    async with gaps_of_loop() as busy:
        for _ in range(2):  # eight requests: the plan has ten a minute
            dialog.run_or_stop()
            while dialog.running:  # noqa: ASYNC110 - what is on the screen sets no event
                await asyncio.sleep(0.01)
    spoken = window.voicing.speak.table.rowCount()
    window.voicing.speak.stop_speaking()
    floor = print_gaps("nothing runs", idle)
    print(f"{'ratio of 99th':14} {print_gaps('chain, speech', busy) / floor:.1f}")
    within = sum(gap <= FRAME_MS for gap in busy) / len(busy)
    print(f"{within:.2%} of {len(busy):,} gaps within a frame; {len(dialog.cards)} turns, parts spoken: {spoken}")
    voice.close()
    await session.close()


async def _main() -> None:
    from PySide6.QtWidgets import QApplication

    application = QApplication.instance()
    assert isinstance(application, QApplication)
    with tempfile.TemporaryDirectory() as folder:
        await _measure(Session(application, Path(folder), {}, simulator_options=("--plan", "none")))


def main() -> None:
    """Measure and print."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with make_runner(make_application()) as runner:
        runner.run(_main())
    os._exit(0)


if __name__ == "__main__":
    main()
