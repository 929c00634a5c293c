"""Sending of a document: forecast, key, log, exchange, cache learning. Shared by the window and the command line."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, AttemptStarted, Completed, HeadersReceived
from playground.client.retry import RateLimiter, RetryPolicy
from playground.prefix_cache.forecast import CacheUsage, Forecast
from playground.prefix_cache.forecaster import CacheForecaster, PromptForecast, Settled
from playground.prefix_cache.index import Match, Sent
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.view import DocumentView
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump
from playground.prompt.limits import refuse_empty
from playground.prompt.request import to_request
from playground.runs.metrics import not_plausible, unusable_counts

if TYPE_CHECKING:
    from playground.runs.record import RequestRecord, RequestSource
    from playground.runs.run import BeforeAttempt, Run
    from playground.runs.state import RunState
    from playground.simulator.process import SimulatorProcess
    from playground.storage.credentials import CredentialStore, Secret


T = TypeVar("T")


class _Prepared(Struct, frozen=True):
    """What the cache model's thread computes before a document is sent. `changes`: those of the forecaster before."""

    changes: int
    view: DocumentView
    forecast: Forecast
    prompt_file: str


class SimulatorManager:
    """Starts the simulator's process off the event loop and keeps it until `stop`."""

    def __init__(self, arguments: Sequence[str] = (), on_error: Callable[[str], None] = lambda _message: None) -> None:
        self._arguments, self._on_error = tuple(arguments), on_error
        self._process: SimulatorProcess | None = None
        self._starting: asyncio.Lock = asyncio.Lock()
        self.started_at: float | None = None
        """Start time of the process (unix seconds); its cache is empty at that time."""

    async def resolve(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint with the address of the running simulator; return any other endpoint unchanged.

        A simulator that has ended is started again.

        Raises SimulatorError with a message if the process does not start.
        """
        if endpoint.kind != "simulator":
            return endpoint
        async with self._starting:
            if self._process is not None and self._process.has_ended:
                reason = self._process.last_line or "it gave no reason"
                self._on_error(f"The built-in simulator ended and is started again: {reason}")
                await self.stop()
            if self._process is None:
                self._process = await asyncio.to_thread(self._start)
                self.started_at = time.time()
        return replace(endpoint, base_url=self._process.base_url)

    def _start(self) -> SimulatorProcess:
        # Imported here: a process launcher is not needed before the first paint.
        from playground.simulator.process import SimulatorProcess

        return SimulatorProcess.start(extra_args=self._arguments)

    async def stop(self) -> None:
        """End the process, if one runs."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop)


class RunLog(Protocol):
    """The part of the request log that sending uses."""

    async def begin(self, record: RequestRecord) -> None:
        """Record a request before it is sent; never raises for a disk error."""

    def note(self, run_id: str, event: AnyEvent) -> None:
        """Record an event of a run that has begun; returns at once."""

    async def finish(
        self, run_id: str, state: RunState, forecast: Forecast | None = None, explanation: Json = None
    ) -> None:
        """Record the end of a run with its cache explanation. `forecast` replaces the one it began with."""

    async def set_explanation(self, run_id: str, explanation: Json) -> None:
        """Replace the cache explanation of an earlier run."""


@dataclass(slots=True, weakref_slot=True)
class PendingRequest:
    """A run with its forecast, made by `send`, and again at an attempt if the cache model has changed since.

    `settled` and `why` are set when it ends. `tag` names the purpose of a request that the program sends on its own
    (experiment, example, voice demo): it explains another prompt only if it shares most. `tags` are stored with the
    request in the log. `after_fix`: it is the first one after an automatic fix of the prompt. `events`: those so far
    of a request of the prompt pane, for the voice timeline; empty for others.
    """

    run: Run
    view: DocumentView
    forecast: Forecast
    tag: str = ""
    source: RequestSource = "window"
    tags: tuple[str, ...] = ()
    settled: Settled | None = None
    why: MissExplanation | None = None
    after_fix: bool = False
    events: list[AnyEvent] = field(default_factory=list)
    forecast_changed: bool = False
    """Whether `forecast` was replaced since the request began."""
    modelled: list[Future[None]] = field(default_factory=list)
    """What the cache model's thread was given for this request: new forecasts, and that the server accepted it."""
    report: Future[tuple[CacheUsage, Settled | None]] | None = None
    """What the server reported of a request that is done, and what was learned from it."""

    @property
    def where(self) -> tuple[str, str]:
        """Return the id and the model of the endpoint, by which the cache model knows it."""
        return self.run.endpoint.id, self.run.endpoint.model


class RequestService:
    """Sends documents. Construct once; `log` may be set later, when it has been opened."""

    def __init__(
        self,
        *,
        keys: CredentialStore,
        simulation: SimulatorManager,
        rate_limiter: RateLimiter,
        lifetime_s: float,
        source: RequestSource = "window",
        on_ended: Callable[[Run], None] = lambda _run: None,
        on_learned: Callable[[], None] = lambda: None,
        on_context: Callable[[Endpoint, int | None, int | None], None] = lambda _endpoint, _refused, _served: None,
    ) -> None:
        """Callbacks must return at once.

        Args:
            lifetime_s: how long an unused prefix is assumed to stay cached.
            source: logged with each request.
            on_ended: receives each run that has ended.
            on_learned: called after the cache model learned from a report.
            on_context: receives the context length that a refusal named, or the tokens of an answered request.
        """
        self._source = source
        self.connection = Connection()
        self.forecaster = CacheForecaster(lifetime_s)
        self._keys = keys
        self._simulation = simulation
        self._rate_limiter = rate_limiter
        self.retries = RetryPolicy()
        self.limit_s: float | None = None
        """Maximum duration of a turn in seconds; None for no limit."""
        self.log: RunLog | None = None
        self._on_ended, self._on_learned, self._on_context = on_ended, on_learned, on_context
        self.running: dict[str, Run] = {}
        """Requests in flight of this process, by run_id."""
        self._explained: WeakValueDictionary[str, PendingRequest] = WeakValueDictionary()
        """Ended requests that are still displayed, by run_id: a later report may correct their explanations."""
        self._model_thread = ThreadPoolExecutor(1, "cache model")
        """Forecasts, and learns from reports, one after the other: the event loop does not wait for that."""

    async def send(
        self,
        document: Document,
        endpoint: Endpoint,
        on_dispatch: Callable[[PendingRequest], None],
        *,
        explicit: bool = False,
        run_id: str | None = None,
        before_attempt: BeforeAttempt | None = None,
        tag: str = "",
        tags: Sequence[str] = (),
    ) -> PendingRequest:
        """Send a document and wait for the end of its run. `on_dispatch` is called before the first byte is sent.

        `explicit`: the endpoint's URL was named on the command line, so SMALLEST_API_KEY may go to it on loopback.
        `run_id`: the id under which the run is logged; None makes a new one. `tag`, `tags`: see
        PendingRequest.
        Raises InputError if a variable has no value, the prompt is empty, a key is missing, or the prompt contains
        the key; SimulatorError if the simulator does not start. Errors of the exchange are in the run's state and
        never raised.
        """
        # Imported here: the panes of the window need no run, and its modules compile 40 patterns.
        from playground.client.redact import refuse_key_in
        from playground.runs.run import Run

        request = await self._in_model_thread(partial(to_request, document, endpoint.model))
        refuse_empty(document)
        endpoint = await self._simulation.resolve(endpoint)
        secret = await self._key(endpoint, explicit=explicit)
        refuse_key_in(request.body, secret.reveal() if secret is not None else "", self._keys.others(secret))
        prepared = await self._in_model_thread(partial(self._prepare, document, endpoint))
        run = Run(
            id=run_id or uuid.uuid4().hex,
            document=document,
            request=request,
            endpoint=endpoint,
            forecast=prepared.forecast,
            started_utc=datetime.now(UTC),
            connection=self.connection,
            key=secret.reveal() if secret else None,
            retries=self.retries,
            rate_limiter=self._rate_limiter,
            limit_s=self.limit_s,
            before_attempt=before_attempt,
        )
        sending = PendingRequest(run, prepared.view, prepared.forecast, tag, self._source, tuple(tags))
        run.subscribe(self._listener(sending, prepared.changes))
        on_dispatch(sending)
        if self.log is not None:
            await self.log.begin(_record(sending, prepared.prompt_file))
        await self._execute(sending)
        return sending

    async def _execute(self, sending: PendingRequest) -> None:
        """Wait for the end of a run, and record what it taught."""
        run = sending.run
        # Before acquiring a slot: a delay between the slot and the request would shift the server's minute.
        await self.connection.warm()
        self.running[run.id] = run
        try:
            await run.execute()
        finally:
            del self.running[run.id]
            # Shielded: closing the window must not lose what a run taught, and the record of its end.
            await asyncio.shield(self._finish(sending))
            self._on_ended(run)

    async def aclose(self) -> None:
        """Close the connections, and end the thread of the cache model."""
        await self.connection.aclose()
        self._model_thread.shutdown(wait=False)

    async def check_ready(self, endpoint: Endpoint, *, explicit: bool) -> None:
        """Start the simulator if the endpoint is the simulator, and read the key. Raises the same errors as `send`."""
        await self._key(await self._simulation.resolve(endpoint), explicit=explicit)

    async def _key(self, endpoint: Endpoint, *, explicit: bool) -> Secret | None:
        secret = await self._keys.get(endpoint, explicit=explicit)
        if secret is None and endpoint.needs_key:
            from playground.storage.credentials import missing_key

            reason, hint = missing_key(endpoint, explicit=explicit)
            raise InputError.of(("key",), self._keys.error or reason, hint)
        return secret

    def forecast(self, document: Document, endpoint: Endpoint) -> PromptForecast:
        """Return zones and forecast of a document on an endpoint, now."""
        return self.forecaster.look(document, endpoint.id, endpoint.model, self.cache_began(endpoint))

    async def _in_model_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._model_thread, function)

    async def look(self, document: Document, endpoint: Endpoint) -> tuple[int, PromptForecast]:
        """Return `forecast`, made in another thread, and the changes of the forecaster before it."""
        return await self._in_model_thread(lambda: (self.forecaster.changes, self.forecast(document, endpoint)))

    def _prepare(self, document: Document, endpoint: Endpoint) -> _Prepared:
        changes, view = self.forecaster.changes, self.forecaster.view(document)
        return _Prepared(changes, view, self._forecast(view, endpoint), dump(document))

    def _forecast(self, view: DocumentView, endpoint: Endpoint) -> Forecast:
        fields, began = {"model": endpoint.model, **view.document.parameters}, self.cache_began(endpoint)
        return self.forecaster.forecast(view.view, endpoint.id, endpoint.model, began, fields)

    def cache_began(self, endpoint: Endpoint) -> float | None:
        """Return the unix seconds at which the endpoint's cache was empty; None if unknown.

        The simulator's cache starts empty with its process.
        """
        if endpoint.kind != "simulator":
            return None
        return self._simulation.started_at if self._simulation.started_at is not None else time.time()

    def _listener(self, sending: PendingRequest, changes: int) -> Callable[[Run, AnyEvent], None]:
        """Return the listener that passes a run's events to the cache model and the log.

        `changes`: those of the forecaster before it made the forecast.
        """

        def forecast_again() -> None:
            nonlocal changes
            if self.forecaster.changes != changes:
                # Other requests were answered while this one waited for the log, a connection, a slot or a retry.
                changes, run = self.forecaster.changes, sending.run
                run.forecast = sending.forecast = self._forecast(sending.view, run.endpoint)
                sending.forecast_changed = True

        def heard(run: Run, event: AnyEvent) -> None:
            if sending.source == "window" and not sending.tags:
                sending.events.append(event)
            if isinstance(event, AttemptStarted):
                # On the model's thread, behind the requests that the server has accepted before.
                sending.modelled.append(self._model_thread.submit(forecast_again))
            if isinstance(event, HeadersReceived) and event.status == 200:
                at = time.time()
                sending.modelled.append(
                    self._model_thread.submit(lambda: self.forecaster.record(*sending.where, _sent(sending, at)))
                )
            if isinstance(event, Completed) and run.state.status == 200:
                # Before the slot of the run is free: the forecast of the next one in the queue counts this answer.
                sending.report = self._model_thread.submit(partial(self._settle, sending))
            if self.log is not None:
                self.log.note(run.id, event)

        return heard

    async def _finish(self, sending: PendingRequest) -> None:
        run, log = sending.run, self.log
        await asyncio.gather(*map(asyncio.wrap_future, sending.modelled))
        error, served = run.state.error, None
        if run.state.status == 200:
            usage = await self._learn(sending)
            served = None if usage.prompt_tokens is None else usage.prompt_tokens + (usage.completion_tokens or 0)
        refused = error.context_length if error is not None else None
        if refused or served:
            self._on_context(run.endpoint, refused, served)
        if log is None:
            return
        forecast = sending.forecast if sending.forecast_changed else None
        explained: Json = None
        if sending.settled is not None and run.state.phase == "done":
            explained = stored_explanation(sending.why)
        await log.finish(run.id, run.state, forecast, explained)
        for run_id, why in sending.settled.revised if sending.settled is not None else ():
            await log.set_explanation(run_id, msgspec.to_builtins(why))

    async def _learn(self, sending: PendingRequest) -> CacheUsage:
        """Explain the report of a request that the server accepted, then learn from it. Returns the report."""
        run = sending.run
        report = sending.report or self._model_thread.submit(partial(self._settle, sending))
        usage, sending.settled = await asyncio.wrap_future(report)
        if run.state.phase == "done" and sending.settled is not None:
            sending.why = _fitting(sending, sending.settled.explanation)
        self._explained[run.id] = sending
        for run_id, why in sending.settled.revised if sending.settled is not None else ():
            if (earlier := self._explained.get(run_id)) is not None:
                earlier.why = _fitting(earlier, why)
        self._on_learned()
        return usage

    def _settle(self, sending: PendingRequest) -> tuple[CacheUsage, Settled | None]:
        run = sending.run
        usage = cache_usage(run.state, run.request.body)
        return usage, self.forecaster.settle(*sending.where, run.id, usage, sending.forecast, sending.view)

    def comparable(self, sending: PendingRequest) -> list[Match]:
        """Return earlier requests that an answered one can be compared with, the best first."""
        run, began = sending.run, sending.run.started_utc.timestamp()
        found = self.forecaster.candidates(run.document, *sending.where)
        return [match for match in found if match.sent.run_id != run.id and match.sent.at <= began]

    def compare(self, sending: PendingRequest, run_id: str) -> None:
        """Explain an answered request against the given earlier one. Does nothing if that one is unknown."""
        earlier, settled = self.forecaster.sent(run_id), sending.settled
        if earlier is None or settled is None or sending.run.state.phase != "done":
            return
        sent, usage = _sent(sending, time.time()), cache_usage(sending.run.state, sending.run.request.body)
        why = self.forecaster.explain_with(sending.where, sent, earlier, usage, settled.known, sending.view)
        sending.why = _fitting(sending, why)


def stored_explanation(why: MissExplanation | None) -> Json:
    """Return an explanation as the log stores it. An empty object means: explained, no missed tokens."""
    stored: Json = {} if why is None else msgspec.to_builtins(why)
    return stored


def _fitting(sending: PendingRequest, why: MissExplanation | None) -> MissExplanation | None:
    """Return the explanation as it applies to the request: after an automatic fix, a miss is expected once."""
    return why.expected_after_fix() if why is not None and sending.after_fix else why


def cache_usage(state: RunState, body: bytes) -> CacheUsage:
    """Return what the server reported for a body, with the generated message, as the cache model reads it."""
    from playground.runs.summary import wire_tool_calls

    calls = wire_tool_calls(state)
    message: dict[str, Json] = {"role": "assistant", "content": state.text or None}
    if calls:
        message["tool_calls"] = calls
    # The end of an answer that the user stopped is unknown.
    whole = message if state.phase == "done" else None
    usage = state.usage
    if usage is None:
        return CacheUsage(message=whole)
    found = CacheUsage.reported(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, body, whole)
    is_whole = found.implausible or None not in (found.prompt_tokens, found.cached_tokens)
    counts = "" if is_whole else unusable_counts(state)
    return replace(found, implausible=not_plausible(counts), cached_tokens=None) if counts else found


def _sent(sending: PendingRequest, at: float) -> Sent:
    run, view = sending.run, sending.view.view
    return Sent(
        run_id=run.id,
        request_id=run.state.request_id,
        at=at,
        text=view.text,
        view=view,
        fields={"model": run.request.model, **run.document.parameters},
        tag=sending.tag,
    )


def _record(sending: PendingRequest, document: str) -> RequestRecord:
    from playground.runs.record import RequestRecord

    run = sending.run
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
        document=document,
        forecast=run.forecast,
        rates=endpoint.rates,
        source="keep_warm" if sending.tag == "keep_warm" else "experiment" if sending.tag else sending.source,
        tags=sending.tags,
    )
