"""The pane on the screen over a real log, on the one loop that both run on in the program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from playground.requestlog.log import RequestLog
from playground.tasks import Tasks
from playground.ui.panes.log.columns import COLUMNS
from playground.ui.panes.log.pane import LogPane
from tests.conftest import PATIENCE_S, Entered

TITLES = [column.title for column in COLUMNS]


class Stage:
    """A log, and the pane that shows it."""

    def __init__(self, log: RequestLog, pane: LogPane) -> None:
        self.log, self.pane = log, pane

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for something to become true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds():  # noqa: ASYNC110 - what is on the screen sets no event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"not seen within {PATIENCE_S:.0f} s: {what}") from None

    async def shown(self, rows: int) -> None:
        """The log is in the pane, with so many rows, of which the first have come."""
        self.pane.set_source(self.log)
        await self.rows(rows)

    async def rows(self, number: int) -> None:
        """So many rows, the first of them in memory."""
        model = self.pane.model
        await self.until(lambda: model.rowCount() == number and (not number or model.row(0)), f"{number} rows")

    def cell(self, row: int, title: str, role: int = 0) -> Any:
        """A cell's data; the text where no role is named."""
        model = self.pane.model
        return model.data(model.index(row, TITLES.index(title)), role)

    def find(self, title: str, text: str) -> int:
        """The row that has this text in that column."""
        return next(row for row in range(self.pane.model.rowCount()) if self.cell(row, title) == text)


@pytest.fixture
def stage(runner: asyncio.Runner, tmp_path: Path) -> Entered[Stage]:
    """A log and its pane, for an async test, which fails if one of the pane's tasks fails."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Stage]:
        errors: list[tuple[str, BaseException]] = []
        tasks = Tasks(lambda name, error: errors.append((name, error)))
        log = await RequestLog.open(tmp_path)
        pane = LogPane(tasks.start)
        pane.resize(1280, 240)
        pane.show()
        try:
            yield Stage(log, pane)
        finally:
            pane.set_source(None)
            await tasks.close()
            await log.close()
            pane.close()
            pane.deleteLater()
        assert errors == []

    return Entered(opened())
