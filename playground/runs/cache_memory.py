"""Persistence of the cache model between sessions: the learned state on disk, and the requests in the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from playground.client.endpoint import SIMULATOR_ID
from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.learned_state import LearnedState, parse, restore
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json

if TYPE_CHECKING:
    from playground.client.endpoint import Endpoint
    from playground.runs.record import SentRow

FILE = "cache_models.json"
MAX_BYTES = 32_000_000
REMEMBERED = 2_000
"""Maximum number of an endpoint's newest requests that are loaded after a start."""
LEARNED_FROM = 5_000
"""Maximum number of newest requests from which a lost state is rebuilt."""
PREDICTED = 300
"""Number of the newest loaded requests that are predicted, so that they count as traffic since earlier ones."""
AGE = timedelta(days=14)
"""Older requests are not in any cache."""
SAVED_EVERY_S = 3.0
_REBUILT = "The cache model learns from the request log instead."

Submit = Callable[[Callable[[], str], Callable[[str], None]], None]


class SentLog(Protocol):
    """The part of the request log that the cache model uses."""

    async def sent_since(
        self,
        endpoint_id: str,
        model: str,
        since_utc: datetime,
        limit: int | None = None,
        base_url: str | None = None,
        *,
        accepted: bool = False,
    ) -> list[SentRow]:
        """Return requests, oldest first; `accepted`: only those with status 200 or a reported usage."""


class CacheMemory:
    """Loads and saves the learned state. `submit` runs a write in a worker thread; `on_error` receives a message."""

    def __init__(
        self,
        folder: Path,
        forecaster: CacheForecaster,
        submit: Submit,
        on_error: Callable[[str], None],
    ) -> None:
        self._path = folder / FILE
        self._forecaster = forecaster
        self._submit, self._on_error = submit, on_error
        self._saved = 0.0
        self._dirty = False
        self._failed = ""
        """Why the last save failed; empty if it did not. The same reason is reported once."""
        self._states: dict[tuple[str, str], LearnedState] | None = None
        self._known: set[tuple[str, str]] = set()

    async def remember(self, endpoint: Endpoint, log: SentLog) -> None:
        """Load an endpoint's requests and learned state into the model. Later calls for it do nothing."""
        where = endpoint.id, endpoint.model
        if where in self._known or endpoint.kind == "simulator":
            return
        self._known.add(where)
        states = await self._stored_states()
        state = states.get(where)
        limit = LEARNED_FROM if state is None else REMEMBERED
        since = datetime.now(UTC) - AGE if state is not None else datetime.fromtimestamp(0, UTC)
        rows = await log.sent_since(*where, since, limit, endpoint.base_url or None, accepted=True)
        if state is None and not rows:
            return
        assumed_s = self._forecaster.lifetime_s
        built = await asyncio.to_thread(build_model, assumed_s, rows, state)
        self._forecaster.adopt(*where, built)

    async def _stored_states(self) -> dict[tuple[str, str], LearnedState]:
        """Return the learned states by endpoint id and model. The file is read once."""
        if self._states is None:
            states, notice = await asyncio.to_thread(self._read)
            self._states = states
            if notice:
                self._on_error(notice)
        return self._states

    def _read(self) -> tuple[dict[tuple[str, str], LearnedState], str]:
        """Return the stored states, and a message if there are none because the file cannot be used."""
        from playground.storage.json_file import read_regular
        from playground.storage.paths import set_aside

        try:
            return parse(read_regular(self._path, MAX_BYTES)), ""
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            return {}, f"What was learned about the cache cannot be read: {error.strerror or error}. {_REBUILT}"
        except ValueError:
            pass
        try:
            return {}, f"{FILE} was damaged; it was renamed to {set_aside(self._path).name}. {_REBUILT}"
        except OSError as error:
            return {}, f"{FILE} is damaged and cannot be renamed: {error.strerror or error}. {_REBUILT}"

    def save_soon(self) -> None:
        """Save the learned state soon, at most once every few seconds."""
        self._dirty = True
        if time.monotonic() - self._saved >= SAVED_EVERY_S:
            self.save()

    def save(self) -> None:
        """Save the learned state if it changed since the last save."""
        if not self._dirty:
            return
        self._dirty, self._saved = False, time.monotonic()
        states = self._states or {}
        self._submit(lambda: self._write(self._forecaster.save(states, leave_out=SIMULATOR_ID)), self._on_error)

    def _write(self, data: bytes) -> str:
        from playground.storage.paths import write_private

        try:
            write_private(self._path, data)
        except OSError as error:
            reason = error.strerror or str(error)
            is_known, self._failed = self._failed == reason, reason
            return "" if is_known else f"What was learned about the cache could not be saved: {reason}."
        self._failed = ""
        return ""


def build_model(assumed_s: float, rows: Sequence[SentRow], state: LearnedState | None) -> EndpointCacheModel:
    """Return a cache model that knows logged requests. Without a learned state it learns from all of them."""
    cache = EndpointCacheModel(assumed_s)
    if state is not None:
        restore(cache.learned, state)
    learn = state is None
    for number, row in enumerate(rows):
        sent, usage = sent_from_log(row)
        cache.record(sent, predict=learn or number >= len(rows) - PREDICTED)
        cache.settle(row.run_id, usage, learn=learn)
    return cache


def sent_from_log(row: SentRow) -> tuple[Sent, CacheUsage]:
    """Return a logged request and its report as the cache model reads them."""
    from playground.runs.record import sent_fields

    fields = sent_fields(row.body)
    view = view_of_fields(fields)
    rest = {name: value for name, value in fields.items() if name not in ("messages", "tools")}
    tag = row.source if row.source in ("experiment", "keep_warm") else ""
    sent = Sent(row.run_id, row.request_id, row.started_utc.timestamp(), view.text, view, fields=rest, tag=tag)
    # The text of tool calls is not in this row, so the part of the answer that the next prompt repeats is unknown.
    message: dict[str, Json] | None = (
        {"role": "assistant", "content": row.answer} if row.answer and not row.called else None
    )
    return sent, CacheUsage.reported(row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.body, message)
