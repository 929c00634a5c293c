"""Tasks of a session: cancelled ones clean up."""

from __future__ import annotations

import asyncio

from playground.tasks import Tasks


def test_cancel_in_the_turn_of_the_start_runs_the_cleanup() -> None:
    async def story() -> None:
        steps: list[str] = []

        async def work() -> None:
            steps.append("begun")
            try:
                await asyncio.sleep(60)
                steps.append("went on")
            finally:
                steps.append("cleaned up")

        tasks = Tasks(lambda _name, error: steps.append(repr(error)))
        task = tasks.start(work(), "work")
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        assert steps == ["begun", "cleaned up"]
        await tasks.close()

    asyncio.run(story())
