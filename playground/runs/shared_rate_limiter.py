"""The gate: requests wait here for a place within their endpoint's plan limits.

The limits are an account's (electron-api.md, Plan limits). What this user's windows and commands send is counted in
one file of the data folder, under a lock; what other programs send is not known, so a 429 that comes all the same
holds the gate back for everybody.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from playground.client.endpoint import Endpoint, PlanLimits
from playground.client.rate_limiter import Load, Wait
from playground.storage.file_lock import wait_lock

MINUTE_S = 60.0
FORGOTTEN_S = 900.0
"""A request in flight that nobody has taken back for so long has lost its program."""
LOOK_S = 0.2
"""How often the first in the queue looks again: a place that another process gives back rings no bell here."""


@dataclass(slots=True)
class _Endpoint:
    queue: deque[object] = field(default_factory=deque)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    load: Load = field(default_factory=Load)
    seen_at: float = 0.0


class SharedRateLimiter:
    """Places by endpoint id. First come, first served within this process."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds: they are shared between processes."""
        self._path = folder / "gate.json"
        self._clock = clock
        self._endpoints: dict[str, _Endpoint] = {}
        self._writing: set[asyncio.Future[None]] = set()

    def _of(self, endpoint_id: str) -> _Endpoint:
        return self._endpoints.setdefault(endpoint_id, _Endpoint())

    async def enter(self, endpoint: Endpoint, waiting: Callable[[Wait], None]) -> str:
        """Wait for a place, and take it; returns its ticket, to be given back with `leave`.

        `waiting` is called when the wait begins, and when the place in the queue or the reason changes.
        """
        ticket, mine = f"{os.getpid()}-{os.urandom(8).hex()}", self._of(endpoint.id)
        mine.queue.append(ticket)
        told: tuple[int, str] | None = None
        try:
            while True:
                place = mine.queue.index(ticket) + 1
                refusal = await self._try(endpoint, ticket) if place == 1 else Wait(place, "others go first", None)
                if refusal is None:
                    return ticket
                if (place, refusal.reason) != told:
                    told = (place, refusal.reason)
                    waiting(Wait(place, refusal.reason, refusal.expected_s))
                await self._rest(mine, refusal)
        finally:
            mine.queue.remove(ticket)
            mine.freed.set()

    async def _rest(self, mine: _Endpoint, refusal: Wait) -> None:
        """Until a place may have come free here, or it is time to look whether one has elsewhere."""
        mine.freed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(refusal.expected_s or LOOK_S, LOOK_S)):
                await mine.freed.wait()

    async def _try(self, endpoint: Endpoint, ticket: str) -> Wait | None:
        take = partial(self._take, endpoint, ticket)
        refusal, load = await asyncio.shield(asyncio.to_thread(take))
        self._saw(endpoint.id, load)
        return refusal

    def leave(self, endpoint: Endpoint, ticket: str, hold_s: float = 0.0) -> None:
        """Give a place back. `hold_s`: the server said 429, so nobody is let through for so long."""
        mine = self._of(endpoint.id)
        mine.load = Load(max(mine.load.in_flight - 1, 0), mine.load.this_minute)
        future = asyncio.get_running_loop().run_in_executor(None, partial(self._give_back, endpoint, ticket, hold_s))
        self._writing.add(future)
        future.add_done_callback(lambda done: self._given_back(mine, done))

    def _given_back(self, mine: _Endpoint, done: asyncio.Future[None]) -> None:
        self._writing.discard(done)
        with suppress(OSError):
            done.result()
        mine.freed.set()

    async def close(self) -> None:
        """Wait until every place that was given back is on disk."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    def load(self, endpoint_id: str) -> Load:
        """The counts as they were when last looked at; a minute later they are nothing."""
        mine = self._of(endpoint_id)
        stale = self._clock() - mine.seen_at > MINUTE_S
        return Load(mine.load.in_flight, 0 if stale else mine.load.this_minute)

    def _saw(self, endpoint_id: str, load: Load) -> None:
        mine = self._of(endpoint_id)
        mine.load, mine.seen_at = load, self._clock()

    def _take(self, endpoint: Endpoint, ticket: str) -> tuple[Wait | None, Load]:
        """Under the file's lock: take a place where there is one. Blocking."""
        with _Shared(self._path) as shared:
            row, now = shared.row(endpoint.base_url), self._clock()
            _prune(row, now)
            refusal = _refusal(row, endpoint.plan, now)
            if refusal is None:
                row["starts"].append(now)
                row["flights"][ticket] = now
                shared.write()
            return refusal, Load(len(row["flights"]), len(row["starts"]))

    def _give_back(self, endpoint: Endpoint, ticket: str, hold_s: float) -> None:
        with _Shared(self._path) as shared:
            row = shared.row(endpoint.base_url)
            row["flights"].pop(ticket, None)
            if hold_s:
                row["held_until"] = max(row["held_until"], self._clock() + hold_s)
            shared.write()


class _Shared:
    """The file that all processes share, while its lock is held. A damaged one counts as empty: it holds a minute."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Shared:
        self._handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        # A file system without locks: counting within this process is still right.
        with suppress(OSError):
            wait_lock(self._handle)
        try:
            table = json.loads(self._path.read_bytes())
            self._table: dict[str, Any] = table if isinstance(table, dict) else {}
        except (OSError, ValueError):
            self._table = {}
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def row(self, base_url: str) -> dict[str, Any]:
        """One address's: starts (unix seconds), flights (ticket to unix seconds), held_until."""
        row = self._table.get(base_url)
        if not isinstance(row, dict) or not {"starts", "flights", "held_until"} <= row.keys():
            row = self._table[base_url] = {"starts": [], "flights": {}, "held_until": 0.0}
        return row

    def write(self) -> None:
        """Keep what was changed."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(self._table, file)


def _prune(row: dict[str, Any], now: float) -> None:
    row["starts"] = [at for at in row["starts"] if now - MINUTE_S < at <= now]
    row["flights"] = {
        ticket: at for ticket, at in row["flights"].items() if now - at < FORGOTTEN_S and _lives(ticket.split("-")[0])
    }


def _lives(pid: str) -> bool:
    if sys.platform == "win32" or not pid.isdigit():
        return True  # there, asking would end it
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refusal(row: dict[str, Any], plan: PlanLimits, now: float) -> Wait | None:
    if plan.in_flight is not None and len(row["flights"]) >= plan.in_flight:
        return Wait(1, f"{plan.in_flight} requests are in flight, the plan's most", None)
    if plan.requests_per_minute is not None and len(row["starts"]) >= plan.requests_per_minute:
        reason = f"{plan.requests_per_minute} requests within a minute, the plan's most"
        return Wait(1, reason, row["starts"][0] + MINUTE_S - now)
    if row["held_until"] > now:
        return Wait(1, "the server said that there were too many requests", row["held_until"] - now)
    return None
