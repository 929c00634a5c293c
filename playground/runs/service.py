"""One document on its way: forecast, key, log, exchange, and what was learnt. Window and command line share it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, HeadersReceived
from playground.client.rate_limiter import RateLimiter
from playground.client.redact import key_forms
from playground.client.retry import RetryPolicy
from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.index import Match, Sent
from playground.prefix_cache.view import CacheView, DocumentView, view_of_fields
from playground.prefix_cache.miss_explanation import MissExplanation as Why, explain
from playground.prefix_cache.forecaster import Outlook, PrefixDesk
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import dump
from playground.prompt.request import to_request
from playground.runs.run import Run
from playground.runs.state import RunState

if TYPE_CHECKING:
    from playground.runs.record import RequestRecord, SentRow
    from playground.runs.simulator_manager import SimulatorManager
    from playground.storage.credentials import CredentialStore, Secret


class RunLog(Protocol):
    """Where runs are recorded: the request log, as far as sending needs it."""

    async def begin(self, record: RequestRecord) -> None:
        """Record a request before it is sent; never raises for a disk error."""

    def note(self, run_id: str, event: AnyEvent) -> None:
        """Record an event of a run that has begun; returns at once."""

    async def finish(self, run_id: str, state: RunState) -> None:
        """Record the end of a run."""


@dataclass(slots=True)
class PendingRequest:
    """A run with what was known when it was sent. `why` is filled in when it ends."""

    run: Run
    view: DocumentView
    forecast: Forecast
    earlier: CacheView | None
    gap_s: float | None
    why: Why | None = None


class RequestService:
    """Sends documents. Construct once; `log` may be set later, when it has been opened."""

    def __init__(
        self, *, keys: CredentialStore, simulation: SimulatorManager, rate_limiter: RateLimiter, lifetime_s: float
    ) -> None:
        """`lifetime_s`: how long an unused prefix is assumed to stay cached."""
        self.connection = Connection()
        self.desk = PrefixDesk(lifetime_s)
        self._keys = keys
        self._simulation = simulation
        self._rate_limiter = rate_limiter
        self.retries = RetryPolicy()
        self.limit_s: float | None = None
        """Seconds that a whole turn may take; None for as long as it takes."""
        self.log: RunLog | None = None
        self.tell: Callable[[Run], None] | None = None
        """Told of each run when it has ended; returns at once."""
        self.running: dict[str, Run] = {}
        """What this process is sending, by run_id."""
        self._one_a_turn = asyncio.Lock()

    async def send(
        self,
        document: Document,
        endpoint: Endpoint,
        on_dispatch: Callable[[PendingRequest], None],
        *,
        explicit: bool = False,
        run_id: str | None = None,
    ) -> PendingRequest:
        """Send and see it through. `on_dispatch` is called before the first byte leaves.

        `explicit`: the endpoint's URL was named on the command line, so SMALLEST_API_KEY may go to it on loopback.
        `run_id`: the id under which the run is logged; None makes a new one.
        Raises InputError if a variable has no value, there is no message, a key is missing, or the prompt contains
        the key; SimulatorError if the simulator does not come up. Trouble of the exchange is in the run's state, and
        never raised.
        """
        request = to_request(document, endpoint.model)
        endpoint = await self._simulation.resolve(endpoint)
        secret = await self._key(endpoint, explicit)
        if secret is not None:
            _refuse_key_in(request.body, secret.reveal())
        async with self._one_a_turn:
            dispatch = self._prepare(document, endpoint)
            # Twenty prompts that are sent at once are looked at one after the other, with the window between them.
            await asyncio.sleep(0)
        run = Run(
            id=run_id or uuid.uuid4().hex,
            document=document,
            request=request,
            endpoint=endpoint,
            forecast=dispatch[1],
            started_utc=datetime.now(UTC),
            connection=self.connection,
            key=secret.reveal() if secret else None,
            retries=self.retries,
            rate_limiter=self._rate_limiter,
            limit_s=self.limit_s,
        )
        sending = PendingRequest(run, *dispatch)
        run.listen(self._remember(sending))
        on_dispatch(sending)
        await self._execute(sending)
        return sending

    async def _key(self, endpoint: Endpoint, explicit: bool) -> Secret | None:
        secret = await self._keys.get(endpoint, explicit=explicit)
        if secret is None and endpoint.needs_key:
            reason = self._keys.error or f"there is no API key for {endpoint.name}."
            hint = "Paste one under Connect to Electron, or set SMALLEST_API_KEY. Nothing was sent."
            raise InputError(FieldError(("key",), reason, hint))
        return secret

    def _prepare(
        self, document: Document, endpoint: Endpoint
    ) -> tuple[DocumentView, Forecast, CacheView | None, float | None]:
        outlook = self.outlook(document, endpoint)
        forecast = outlook.forecast
        earlier = self.desk.sent(forecast.run_id) if forecast.run_id else None
        gap_s = None if forecast.sent_at is None else time.time() - forecast.sent_at
        return outlook.view, forecast, earlier.view if earlier else None, gap_s

    def outlook(self, document: Document, endpoint: Endpoint) -> Outlook:
        """Zones and forecast of a document on an endpoint, now."""
        return self.desk.look(document, endpoint.id, endpoint.model, self.cache_began(endpoint))

    def remember(self, endpoint: Endpoint, rows: Iterable[SentRow]) -> None:
        """What earlier sessions sent there."""
        for row in rows:
            self.desk.record(endpoint.id, endpoint.model, sent_from_log(row))

    def cache_began(self, endpoint: Endpoint) -> float | None:
        """Unix seconds before which the endpoint's cache cannot have seen anything; None where that is not known.

        The simulator's cache begins with its process.
        """
        if endpoint.kind != "simulator":
            return None
        return self._simulation.started_at if self._simulation.started_at is not None else time.time()

    def _remember(self, sending: PendingRequest) -> Callable[[Run, AnyEvent], None]:
        def heard(run: Run, event: AnyEvent) -> None:
            if isinstance(event, HeadersReceived) and event.status == 200:
                self.desk.record(run.endpoint.id, run.endpoint.model, _sent(sending))
            if self.log is not None:
                self.log.note(run.id, event)

        return heard

    async def _execute(self, sending: PendingRequest) -> None:
        run = sending.run
        if self.log is not None:
            await self.log.begin(_record(run))
        # Before a slot is taken: what happens between its count and the request widens the server's minute.
        await self.connection.warm()
        self.running[run.id] = run
        try:
            await run.execute()
        finally:
            del self.running[run.id]
            self._learn(sending)
            if self.log is not None:
                # Shielded: closing the window must not lose the end of a run that has ended.
                await asyncio.shield(self.log.finish(run.id, run.state))
            if self.tell is not None:
                self.tell(run)

    def _learn(self, sending: PendingRequest) -> None:
        run, usage = sending.run, sending.run.state.usage
        if run.state.status != 200:
            return
        prompt_tokens = usage.prompt_tokens if usage else None
        cached_tokens = usage.cached_tokens if usage else None
        where = run.endpoint.id, run.endpoint.model
        self.desk.settle(*where, run.id, prompt_tokens, cached_tokens, sending.forecast)
        if run.state.phase == "done":
            earlier = self.desk.sent(sending.forecast.run_id or "")
            sending.why = self._why(sending, sending.forecast, sending.earlier, earlier, sending.gap_s)

    def _why(
        self,
        sending: PendingRequest,
        forecast: Forecast,
        view: CacheView | None,
        earlier: Sent | None,
        gap_s: float | None,
    ) -> Why | None:
        run, usage = sending.run, sending.run.state.usage
        where = run.endpoint.id, run.endpoint.model
        return explain(
            sending.view.view,
            view,
            cached_tokens=usage.cached_tokens if usage else None,
            prompt_tokens=usage.prompt_tokens if usage else None,
            forecast=forecast,
            document=sending.view,
            gap_s=gap_s,
            lifetime_s=self.desk.lifetime(*where),
            fields=_settings(sending),
            earlier_fields=earlier.fields if earlier else None,
            minimum_tokens=self.desk.minimum(*where),
            estimator=self.desk.counter(*where),
        )

    def comparable(self, sending: PendingRequest) -> list[Match]:
        """The earlier requests that an answered one can be held against, the best first."""
        run, began = sending.run, sending.run.started_utc.timestamp()
        found = self.desk.candidates(run.document, run.endpoint.id, run.endpoint.model)
        return [match for match in found if match.sent.run_id != run.id and match.sent.at <= began]

    def compare(self, sending: PendingRequest, run_id: str) -> None:
        """Explain an answered request by another earlier one than the best. Nothing happens where it is not known."""
        earlier = self.desk.sent(run_id)
        if earlier is None or sending.run.state.phase != "done":
            return
        gap_s = sending.run.started_utc.timestamp() - earlier.at
        chosen = replace(sending.forecast, run_id=run_id, request_id=earlier.request_id)
        sending.why = self._why(sending, chosen, earlier.view, earlier, gap_s)


def _refuse_key_in(body: bytes, key: str) -> None:
    """A key in the prompt would go to the model, which may repeat it, and stay in the log and in every export."""
    if any(form.encode() in body for form in key_forms(key)):
        raise InputError(
            FieldError(
                ("messages",),
                "the prompt has this endpoint's API key in it; nothing was sent.",
                "Take it out: the key is sent as a header, by itself.",
            )
        )


def _sent(sending: PendingRequest) -> Sent:
    run, usage = sending.run, sending.run.state.usage
    return Sent(
        run_id=run.id,
        request_id=run.state.request_id,
        at=time.time(),
        text=sending.view.view.text,
        view=sending.view.view,
        prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        fields=_settings(sending),
    )


def _settings(sending: PendingRequest) -> dict[str, Json]:
    """The body without messages and tools."""
    return {"model": sending.run.request.model, **sending.run.document.parameters}


def _record(run: Run) -> RequestRecord:
    from playground.runs.record import RequestRecord

    endpoint = run.endpoint
    return RequestRecord(
        run_id=run.id,
        endpoint_id=endpoint.id,
        endpoint_name=endpoint.name,
        endpoint_kind=endpoint.kind,
        base_url=endpoint.base_url,
        model=run.request.model,
        started_utc=run.started_utc,
        body=run.request.body,
        document=dump(run.document),
        forecast=run.forecast,
        rates=endpoint.rates,
    )


def sent_from_log(row: SentRow) -> Sent:
    """What an earlier session sent, as the prefix desk keeps it."""
    fields = json.loads(row.body)
    view = view_of_fields(fields)
    return Sent(
        run_id=row.run_id,
        request_id=row.request_id,
        at=row.started_utc.timestamp(),
        text=view.text,
        view=view,
        prompt_tokens=row.prompt_tokens,
        cached_tokens=row.cached_tokens,
        fields={name: value for name, value in fields.items() if name not in ("messages", "tools")},
    )
