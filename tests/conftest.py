"""Fixtures for every room: real simulators on real sockets."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import itertools
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import HealthCheck, settings

from playground import child_process
from playground.simulator.process import SimulatorProcess
from tests import forked_program

# The tests need no display, and a hundred windows would disturb the user of one.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# Time limits of examples measure the load of the machine. In CI the same examples are tried each time, so that a result
# does not depend on chance; local runs search at random.
settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("tests")

COLLECTED_EVERY = 20_000
"""New objects after which garbage is collected. With Python's 700, a tenth of the time of tests goes into collections
that find nothing, because the objects of modules and tests outlive them. Processes of the program keep 700."""
PATIENCE_S = 120.0
"""What has not happened by then has failed; 20 s are too few on a machine with a load of 18."""
HANGS_S = 600
"""A test that takes longer hangs: its process prints the stacks of all threads and ends. xdist names the test."""


def pytest_configure() -> None:
    """Collect no garbage while tests are imported: little of it is."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, but rarely, with modules and tests in the oldest generation."""
    gc.collect()
    gc.set_threshold(COLLECTED_EVERY, 10, 10)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the process when a test hangs."""
    faulthandler.dump_traceback_later(HANGS_S, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


Value = TypeVar("Value")
_NUMBERS = itertools.count()


class Entered(AbstractAsyncContextManager[Value]):
    """A fixture of async tests, entered and left on the test's loop. `value`: what the test gets, once entered."""

    value: Value

    def __init__(self, manager: AbstractAsyncContextManager[Value]) -> None:
        self._manager = manager
        self.number = next(_NUMBERS)
        """Fixtures are made after those that they use."""

    async def __aenter__(self) -> Value:
        self.value = await self._manager.__aenter__()
        return self.value

    async def __aexit__(self, *raised: Any) -> bool | None:
        return await self._manager.__aexit__(*raised)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test on the loop of the fixture `runner`, which the window needs, or on a separate one.

    The `LIMIT_S` of its module is the longest time that it may take.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = pyfuncitem.funcargs

    async def test() -> None:
        async with asyncio.timeout(getattr(pyfuncitem.module, "LIMIT_S", None)), AsyncExitStack() as stack:
            fixtures = [value for value in given.values() if isinstance(value, Entered)]
            for fixture in sorted(fixtures, key=lambda fixture: fixture.number):
                await stack.enter_async_context(fixture)
            found = {name: given[name] for name in inspect.signature(pyfuncitem.obj).parameters}
            await pyfuncitem.obj(
                **{name: value.value if isinstance(value, Entered) else value for name, value in found.items()}
            )

    runner = given.get("runner")
    run = runner.run if isinstance(runner, asyncio.Runner) else asyncio.run
    run(test())
    return True


def figures(text: str | bytes) -> list[float]:
    """Return the numbers in a text for people: 1600 for 1,600."""
    words = text.decode() if isinstance(text, bytes) else text
    return [float(found.replace(",", "")) for found in re.findall(r"[0-9][0-9,]*(?:\.[0-9]+)?", words)]


FAST = ("--ttft-ms", "5", "--token-ms", "1", "--plan", "none")


@pytest.fixture(scope="session", autouse=True)
def server_processes_are_forked() -> Iterator[None]:
    """Start simulators and recorders from a process that has imported the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child_process, "_popen", forked_program.start)
        yield


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    """One fast simulator without limits, for all tests that do not look at its cache."""
    process = SimulatorProcess.start(FAST)
    yield process
    process.stop()


@pytest.fixture
def make_simulator() -> Iterator[Callable[..., SimulatorProcess]]:
    """Starts simulators with options of the test's own."""
    started: list[SimulatorProcess] = []

    def start(*arguments: str) -> SimulatorProcess:
        started.append(SimulatorProcess.start(arguments))
        return started[-1]

    yield start
    for process in started:
        process.stop()
