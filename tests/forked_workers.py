"""A pytest plugin: run the collected tests in processes that are forked from the one that collected them.

`python -m tests` uses it on Linux (`-p tests.forked_workers`) in place of pytest-xdist, whose workers import and
collect all tests each: 7 s of processor time per worker. The commands of all workers are started by one server process
(`forked_program`). A worker asks for the next tests when it is about to begin its last one. If a worker dies, the test
that it ran has failed, and another worker continues.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import sys
import threading
import traceback
from collections import deque
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

from tests import forked_program

LONGEST_CHUNK = 16
"""The most tests that a worker gets at a time, unless more share a fixture. They are neighbours in one file."""

ENDS_S = 60
"""A worker that was interrupted and does not end in this time is killed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the number of processes."""
    parser.addoption("--forked-workers", type=int, default=0, help="run tests in this many forked processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in workers, unless they are only listed."""
    option = session.config.option
    if option.collectonly or option.forked_workers < 1 or session.testsfailed or not session.items:
        return None
    _Controller(session, min(option.forked_workers, len(session.items))).run()
    return True


def _units(items: list[pytest.Item]) -> list[list[int]]:
    """Return the tests in the order in which they are given to workers, those that share a fixture in one list.

    A fixture of a module or class is set up by each worker that runs one of its tests.
    """
    units: dict[object, list[int]] = {}
    for number, item in enumerate(items):
        units.setdefault(_shared(item) or number, []).append(number)

    # The longest tests are among these: one of them at the end would run alone.
    def is_first(unit: list[int]) -> bool:
        return len(unit) > 1 or items[unit[0]].get_closest_marker("exhaustive") is not None

    return sorted(units.values(), key=is_first, reverse=True)


def _shared(item: pytest.Item) -> object:
    """Return what tests with the same fixtures of their module have in common, or None."""
    if not isinstance(item, pytest.Function):
        return None
    fixtures = item._fixtureinfo.name2fixturedefs
    names = [name for name, found in fixtures.items() if found[-1].scope not in ("function", "session")]
    given = item.callspec.indices if hasattr(item, "callspec") else {}
    return (item.path, *(given.get(name) for name in names)) if names else None


class _Controller:
    """Gives tests to workers and reports their results."""

    def __init__(self, session: pytest.Session, count: int) -> None:
        self._session = session
        self._hook = session.config.hook
        self._waiting = deque(_units(session.items))
        self._count = count
        self._workers: dict[Connection, _Worker] = {}

    def run(self) -> None:
        """Run all tests. Raises Session.Failed if more failed than may, Session.Interrupted if pytest is to stop."""
        if threading.active_count() > 1:
            raise pytest.UsageError("a thread was started while tests were collected: workers cannot be forked")
        links = forked_program.links(self._count) if forked_program.SUPPORTED else [None] * self._count
        factory: pytest.TempPathFactory = self._session.config._tmp_path_factory  # type: ignore[attr-defined]
        folder = factory.getbasetemp()
        if "playground.prefix_cache.volatile_scan" in sys.modules:
            forked_program.prepare()  # a second of processor time, otherwise in each worker
        # A collection in a worker would copy the pages of all modules and tests.
        gc.collect()
        gc.freeze()
        try:
            for number, link in enumerate(links):
                self._start(number, folder, link)
            while self._workers and not self._is_stopped():
                found = wait(list(self._workers))[0]
                assert isinstance(found, Connection)
                self._hear(self._workers[found])
        finally:
            self._end()
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _is_stopped(self) -> bool:
        return bool(self._session.shouldfail or self._session.shouldstop)

    def _start(self, number: int, folder: Path, link: Any) -> None:
        own, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for other in (own, *self._workers):
                other.close()
            _work(self._session, theirs, folder / f"worker{number}", link)
        theirs.close()
        self._workers[own] = _Worker(pid, own, number, folder, link)

    def _hear(self, worker: _Worker) -> None:
        """Handle one message of a worker, or its end."""
        try:
            kind, value = worker.connection.recv()
        except EOFError:
            self._ended(worker)
            return
        if kind == "next":
            worker.chunk.extend(chunk := self._next())
            worker.connection.send(chunk)
        elif kind == "begin":
            item = self._session.items[value]
            self._hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        elif kind == "end":
            item = self._session.items[worker.chunk.popleft()]
            for data in value:
                report = self._hook.pytest_report_from_serializable(config=self._session.config, data=data)
                self._hook.pytest_runtest_logreport(report=report)
            self._hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        elif kind == "warning":
            self._hook.pytest_warning_recorded.call_historic(kwargs=value)

    def _next(self) -> list[int]:
        """Return the next tests of one file: many at first, one by one at the end, so that all workers end together."""
        if not self._waiting:
            return []
        items = self._session.items
        chunk = self._waiting.popleft()
        most = min(LONGEST_CHUNK, len(self._waiting) // (8 * self._count))
        while self._waiting and len(chunk) < most and items[self._waiting[0][0]].path == items[chunk[0]].path:
            chunk = chunk + self._waiting.popleft()
        return chunk

    def _ended(self, worker: _Worker) -> None:
        """Report the test that a worker ran when it died, and continue with another worker."""
        del self._workers[worker.connection]
        worker.connection.close()
        _, status = os.waitpid(worker.pid, 0)
        if not worker.chunk:
            return
        item = self._session.items[worker.chunk.popleft()]
        text = f"the worker process ended with status {os.waitstatus_to_exitcode(status)} in this test"
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
        self._hook.pytest_runtest_logreport(report=report)
        self._hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        self._waiting.extendleft([number] for number in reversed(worker.chunk))
        if self._waiting and not self._is_stopped():
            self._start(worker.number, worker.folder, worker.link)

    def _end(self) -> None:
        """Let workers that still run end as after Ctrl+C: they stop their servers."""
        for worker in self._workers.values():
            os.kill(worker.pid, signal.SIGINT)
        for worker in self._workers.values():
            try:
                while worker.connection.poll(ENDS_S):
                    worker.connection.recv()
                os.kill(worker.pid, signal.SIGKILL)
            except EOFError:
                pass
            worker.connection.close()
            os.waitpid(worker.pid, 0)


class _Worker:
    """A worker process as the controller sees it. `chunk`: its tests that have not ended."""

    def __init__(self, pid: int, connection: Connection, number: int, folder: Path, link: Any) -> None:
        self.pid, self.connection, self.number, self.folder, self.link = pid, connection, number, folder, link
        self.chunk: deque[int] = deque()


class _Sender:
    """Sends a worker's reports to the controller, all of one test together."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self.reports: list[Any] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report until the test has ended."""
        self.reports.append(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str, location: Any) -> None:
        """Send a warning."""
        try:
            pickle.loads(pickle.dumps(warning_message))
        except Exception:
            warning_message.message = UserWarning(f"{warning_message.category.__name__}: {warning_message.message}")
            warning_message.category = UserWarning
            warning_message.source = None
        values = {"warning_message": warning_message, "when": when, "nodeid": nodeid, "location": location}
        self._connection.send(("warning", values))


def _work(session: pytest.Session, connection: Connection, folder: Path, link: Any) -> None:
    """Run the tests that the controller sends, and end this process."""
    status = 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background commands with it ignored
    try:
        plugins = session.config.pluginmanager
        if terminal := plugins.get_plugin("terminalreporter"):
            plugins.unregister(terminal)
        # Output of tests goes to files of this process.
        if capture := plugins.get_plugin("capturemanager"):
            capture.stop_global_capturing()
            capture.start_global_capturing()
            capture.suspend_global_capture()
        folder.mkdir(exist_ok=True)
        session.config._tmp_path_factory._basetemp = folder  # type: ignore[attr-defined]
        random.seed()
        if link is not None:
            forked_program.use(link)
        sender = _Sender(session.config, connection)
        plugins.register(sender)
        _run(session, connection, sender)
        status = 0
    except (KeyboardInterrupt, BrokenPipeError, EOFError):
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            session._setupstate.teardown_exact(None)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def _run(session: pytest.Session, connection: Connection, sender: _Sender) -> None:
    pending: deque[int] = deque()
    while True:
        if len(pending) < 2:
            # The next test must be known before the last one ends: fixtures of both stay set up.
            connection.send(("next", None))
            pending.extend(connection.recv())
        if not pending:
            return
        number = pending.popleft()
        item, following = session.items[number], session.items[pending[0]] if pending else None
        connection.send(("begin", number))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        connection.send(("end", sender.reports))
        sender.reports = []
