"""What the log pane needs of a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from playground.requestlog.filter import LogFilter
from playground.requestlog.records import Count, LogRow, StoredRun, Totals


class LogSource(Protocol):
    """A store of requests, newest first. Satisfied by requestlog.log.RequestLog."""

    def subscribe(self, callback: Callable[[str], None], /) -> Callable[[], None]:
        """Be told the run_id of what is new, changed or gone; returns how to stop being told."""

    async def count(self, log_filter: LogFilter, up_to: int | None = ..., /) -> Count:
        """How many requests match."""

    def stop_counting(self) -> None:
        """Counts and sums that are being made are not asked for any more."""

    async def rows_at(self, log_filter: LogFilter, first: int, limit: int = ..., /) -> list[LogRow]:
        """Matching requests from place `first` (0 is the newest) on."""

    async def totals(self, log_filter: LogFilter, /) -> Totals:
        """Sums over the matching requests."""

    async def get(self, run_id: str, /) -> StoredRun | None:
        """One request with its events; None where it is not there."""
