"""Voice readiness against figures computed by hand."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import ApiError, AttemptFailed, AttemptStarted, Stopped
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.runs.run import Run
from playground.simulator.launch import SimulatorProcess
from playground.voice.readiness import Distribution, readiness
from playground.voice.speech import SpeechSettings
from playground.voice.times import Stopwatch, TurnTimes, measure
from tests.voice.sample import ms, times


def test_a_distribution_by_hand() -> None:
    tenths = Distribution.of([n / 10 for n in range(10, 0, -1)] + [None])
    assert (tenths.median, tenths.p90, tenths.highest, tenths.missing) == (0.55, 0.9, 1.0, 1)
    odd = Distribution.of([3.0, 1.0, 2.0])
    assert (odd.median, odd.p90) == (2.0, 3.0)
    nothing = Distribution.of([None])
    assert (nothing.median, nothing.p90, nothing.highest, nothing.missing) == (None, None, None, 1)


COLD = times((400, "Hello"), (500, " there! "), (3000, "How are you?"), ends=3100, cached=0)
WARM = times((100, "Hello"), (120, " there! "), (300, "How are you?"), ends=12_000, cached=64)
CALLS = times(calls=[(200, 0), (260, 0)], ends=300, cached=None)


def test_groups_by_hand() -> None:
    failed = measure([AttemptStarted(0.0, 1), AttemptFailed(0.5, ApiError("http", "busy"))])
    stopped = measure([AttemptStarted(0.0, 1), Stopped(0.5)])
    ready = readiness([COLD, WARM, CALLS, failed, stopped])
    assert (ready.all.turns, ready.cold.turns, ready.warm.turns, ready.unknown.turns, ready.stopped) == (4, 1, 1, 2, 1)
    assert [ms(value) for value in ready.all.ttft.values] == [100, 200, 400]
    assert ready.all.ttft.missing == 1
    assert [ms(value) for value in ready.all.first_clause.values] == [120, 500]
    assert [ms(value) for value in ready.all.longest_gap.values] == [60, 180, 2500]
    # Cold: "Hello there!" has 12 characters, heard 850 to 1,650; the rest is sure at 3,000 and ready at 3,350.
    # Warm: heard 470 to 1,270; the rest is ready at 650 and waits.
    assert [ms(value) for value in ready.all.starved.values] == [0, 1700]
    assert (ready.all.starving.count, ready.all.starving.of) == (1, 2)
    # The warm one took 12 s, one failed.
    assert (ready.all.within.count, ready.all.within.of) == (2, 4)
    assert (ready.cold.starving.value, ready.warm.starving.value, ready.unknown.starving.value) == (1.0, 0.0, None)
    assert ready.warm.within.value == 0.0
    assert readiness([WARM], limit_s=12.0).all.within.value == 1.0


def test_the_rate_decides_whether_speech_starves() -> None:
    # 12 characters at 5 a second are heard until 3,250, at 4 until 3,850; the rest is ready at 3,350.
    assert readiness([COLD], SpeechSettings(rate=5.0)).all.starving.count == 1
    assert readiness([COLD], SpeechSettings(rate=4.0)).all.starving.count == 0


@pytest.mark.parametrize("nothing", [[], [TurnTimes()]])
def test_of_nothing_nothing_is_known(nothing: list[TurnTimes]) -> None:
    ready = readiness(nothing)
    assert (ready.all.ttft.median, ready.all.within.value, ready.all.starving.value) == (None, None, None)


def test_repeats_on_a_real_socket_are_cold_once(simulator: SimulatorProcess) -> None:
    async def main() -> list[TurnTimes]:
        connection = Connection()
        endpoint = Endpoint("simulator", "Simulator", simulator.base_url, "simulator")
        document = Document(
            messages=(Message("user", f"{uuid.uuid4()} readiness " + "long enough to be cached " * 20),)
        )
        measured = []
        for _ in range(4):
            run = Run(
                id=uuid.uuid4().hex,
                document=document,
                request=to_request(document, "electron"),
                endpoint=endpoint,
                forecast=None,
                started_utc=datetime.now(UTC),
                connection=connection,
                key=None,
            )
            watch = Stopwatch()
            run.subscribe(lambda _, event, watch=watch: watch.apply(event))  # type: ignore[misc]  # bound now
            state = await run.execute()
            measured.append(watch.times)
            assert watch.times.text == state.text
            assert watch.times.first_piece_at == state.first_token_at
            assert watch.times.ended_at == state.ended_at
        await connection.aclose()
        return measured

    ready = readiness(asyncio.run(main()))
    assert (ready.cold.turns, ready.warm.turns, ready.unknown.turns) == (1, 3, 0)
    assert ready.all.within.value == 1.0
    assert len(ready.all.ttft.values) == len(ready.all.first_clause.values) == 4
    assert all(
        first <= clause for first, clause in zip(ready.all.ttft.values, ready.all.first_clause.values, strict=True)
    )
