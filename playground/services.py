"""Application services without Qt: construction and wiring of prompt, cache model, request service and log.

- `forecast(document)`: zones and forecast, from the cache model
- `send(document)`: a run; its rows in the log; the cache model learns from it
- `recall(run_id)`: a logged request, rebuilt by the code that handles a live one
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from playground.client.endpoint import SIMULATOR_ID, Endpoint
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import load
from playground.storage.draft import Draft
from playground.storage.endpoints import EndpointStore
from playground.storage.json_file import FileWriter
from playground.storage.paths import folder_warning
from playground.storage.settings import Settings
from playground.tasks import Subscribers

if TYPE_CHECKING:
    from playground.agent.conversation import Result
    from playground.client.connection import Network
    from playground.client.retry import Load, RetryPolicy
    from playground.experiments.replay import CacheHistory
    from playground.lint.model import Effect, Finding
    from playground.lint.service import LintService
    from playground.prefix_cache.forecaster import PromptForecast
    from playground.prefix_cache.miss_explanation import MissExplanation
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import StoredRun
    from playground.runs.cache_memory import CacheMemory
    from playground.runs.record import RequestSource
    from playground.runs.service import PendingRequest, RequestService, SimulatorManager
    from playground.runs.shared_rate_limiter import SharedRateLimiter
    from playground.runs.state import RunState, TurnTimes
    from playground.storage.credentials import CredentialStore
    from playground.storage.server_secrets import ServerSecrets
    from playground.tasks import Tasks
    from playground.telemetry.service import TelemetryService
    from playground.tools.mcp_servers import ToolServers
    from playground.versions.service import VersionService


class Recalled(Struct, frozen=True):
    """A request read from the log."""

    stored: StoredRun
    state: RunState
    document: Document
    why: MissExplanation | None
    times: TurnTimes
    """When each piece of the answer arrived."""


def recover_recordings(folder: Path) -> None:
    """Let a child process write the requests of killed Recorders to the log, if there are any. Returns when it ends."""
    if (folder / "recorder-spool").is_dir():
        from playground.recorder.spool import recover_killed  # not in the first frame

        recover_killed(folder)


class AppServices:
    """All services of a window or a command. `close` ends them in reverse order of construction."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        tasks: Tasks,
        *,
        simulator_options: Sequence[str] = (),
        source: RequestSource = "window",
    ) -> None:
        """Open the data folder. `source` is logged with each request."""
        self._source = source
        self.folder = folder
        self.tasks = tasks
        self.writer = FileWriter()
        """Writes the small files of the data folder in a worker, so that the event loop never waits for a disk."""
        self.on_notice: Subscribers[[str]] = Subscribers()
        """The message of an error that does not stop the program."""
        self.settings = Settings(folder / "settings.json", self.writer.submit, self.on_notice)
        self._server_secrets: ServerSecrets | None = None
        self._making_secrets = threading.Lock()
        self.settings.stored_forms["tool_server"] = self._hidden_server
        self.endpoints = EndpointStore(folder / "endpoints.json", self.writer.submit, self.on_notice)
        self._folder_warning = folder_warning(folder)
        self._environment = environment
        self._simulator_options = simulator_options
        self.draft: Draft | None = None
        """The window's draft; only a window has one."""
        self._opened = AsyncExitStack()
        """Closes the services that were created on first use, in reverse order."""
        self.log: RequestLog | None = None
        self.log_notice = ""
        self.log_is_lost = False
        """Whether the log's folder was deleted, and the log is still in use."""
        self.allow_server: Callable[[str], Coroutine[Any, Any, bool]] = _nobody_to_ask
        """Asks the user whether tools of a tool server may be called."""

    @cached_property
    def keys(self) -> CredentialStore:
        """Return the API keys. Created on first use: the first frame does not need them."""
        from playground.storage.credentials import CredentialStore

        return CredentialStore(self._environment)

    @cached_property
    def simulation(self) -> SimulatorManager:
        """Return the process of the simulator. Created on first use: its module imports the whole way of a request."""
        from playground.runs.service import SimulatorManager

        manager = SimulatorManager(self._simulator_options, self.on_notice)
        self._opened.push_async_callback(manager.stop)
        return manager

    @cached_property
    def rate_limiter(self) -> SharedRateLimiter:
        """Return the slots under the plan limits, shared with every process that uses this data folder."""
        from playground.runs.shared_rate_limiter import SharedRateLimiter

        limiter = SharedRateLimiter(self.folder, on_error=self.on_notice)
        self._opened.push_async_callback(limiter.close)
        return limiter

    @cached_property
    def sender(self) -> RequestService:
        """Return the service that sends requests and keeps their cache forecasts. Created on first use."""
        from playground.runs.service import RequestService

        lifetime_s = self.settings.number("cache_lifetime_s")
        sender = RequestService(
            keys=self.keys,
            simulation=self.simulation,
            rate_limiter=self.rate_limiter,
            lifetime_s=lifetime_s,
            source=self._source,
            on_ended=lambda run: self.reporter.report(run),
            on_learned=lambda: self.cache_memory.save_soon(),
            on_context=self.endpoints.learn_context,
        )
        self._follow_settings(sender)
        self.settings.subscribe(lambda _name: self._follow_settings(sender))
        self._opened.push_async_callback(sender.aclose)
        return sender

    @cached_property
    def cache_memory(self) -> CacheMemory:
        from playground.runs.cache_memory import CacheMemory

        memory = CacheMemory(self.folder, self.sender.forecaster, self.writer.submit, self.on_notice)
        self._opened.callback(memory.save)
        return memory

    @cached_property
    def reporter(self) -> TelemetryService:
        """Return the telemetry output of finished requests; inactive unless the settings enable it."""
        from playground.telemetry.service import TelemetryService

        reporter = TelemetryService(self.folder, self.settings, self.on_notice)
        self._opened.push_async_callback(reporter.close)
        return reporter

    def report_tool(self, conversation: str, result: Result) -> None:
        """Pass the result of an agent's tool call to telemetry."""
        self.reporter.report_tool(conversation, result)

    @property
    def server_secrets(self) -> ServerSecrets:
        """Return the secrets in the texts of tool servers. Created on first use, which may be in a worker."""
        with self._making_secrets:  # cached_property has no lock from Python 3.12 on
            if self._server_secrets is None:
                from playground.storage.server_secrets import ServerSecrets

                self._server_secrets = ServerSecrets()
            return self._server_secrets

    def _hidden_server(self, value: Json) -> Json:
        """Return the setting of the tool server without secrets, which go to the key store."""
        if not value or not isinstance(value, str):
            return value
        stored = self.server_secrets.hide(value)
        self.server_secrets.keep(stored)
        return stored

    @cached_property
    def tool_servers(self) -> ToolServers:
        """Return the tool servers that the user configured. Calls `allow_server` before the first call of each."""
        from playground.tools.mcp_servers import ToolServers

        servers = ToolServers(lambda server: self.allow_server(server), self.server_secrets.of)
        self._opened.push_async_callback(servers.close)
        return servers

    @cached_property
    def versions(self) -> VersionService:
        from playground.versions.service import VersionService

        return VersionService(self.folder, self.settings, self.writer, self.on_notice)

    @cached_property
    def adviser(self) -> LintService:
        """Return the lint service. Created on first use: the first frame does not need it."""
        from playground.lint.service import LintService

        return LintService(self.settings, lambda: self.log)

    async def advice(self, document: Document) -> tuple[Finding, ...]:
        """Return the lint findings of a document for the current endpoint."""
        if "playground.lint.service" not in sys.modules:
            await asyncio.to_thread(importlib.import_module, "playground.lint.service")  # 76 ms
        endpoint = self.endpoint
        counter = self.sender.forecaster.counter(endpoint.id, endpoint.model)
        return await self.adviser.judge(document, endpoint, counter, self.sender.retries)

    def effect(self, document: Document) -> Effect:
        """Return the forecast of a document for the current endpoint, for example of a fix before it is applied."""
        from playground.lint.model import effect

        endpoint = self.endpoint
        return effect(
            self.forecast(document), self.sender.forecaster.counter(endpoint.id, endpoint.model), endpoint.rates
        )

    def _follow_settings(self, sender: RequestService) -> None:
        settings = self.settings
        sender.retries = retry_policy(settings)
        sender.limit_s = settings.number("turn_limit_s") if settings.flag("turn_limit") else None
        sender.connection.use(network(settings))
        lifetime_s = settings.number("cache_lifetime_s")
        sender.forecaster.lifetime_s = lifetime_s
        sender.forecaster.set_lifetime_s = lifetime_s if settings.changed("cache_lifetime_s") else None

    def open_draft(self) -> Draft:
        """Take a slot for the draft and hold it until `close`."""
        self.draft = Draft(self.folder, self.tasks)
        return self.draft

    @property
    def endpoint(self) -> Endpoint:
        """Return the endpoint that Send uses; the simulator if the selected endpoint no longer exists."""
        chosen = str(self.settings.get("endpoint_id"))
        known = {endpoint.id: endpoint for endpoint in self.endpoints.all()}
        return known.get(chosen) or known[SIMULATOR_ID]

    def choose(self, endpoint_id: str) -> None:
        self.settings.set("endpoint_id", endpoint_id)

    @property
    def notices(self) -> tuple[str, ...]:
        """Return the errors found in the data folder at start, one message each."""
        draft = self.draft.notice if self.draft is not None else ""
        found = (self._folder_warning, self.settings.notice, self.endpoints.notice, draft, self.log_notice)
        return tuple(sentence for sentence in found if sentence)

    async def open_log(self) -> None:
        """Open the request log. On failure the program continues without it and `log_notice` contains the reason."""
        # Imported here: SQLite is not needed before the first paint.
        from playground.requestlog.log import RequestLog
        from playground.requestlog.records import LogUnavailableError

        try:
            log = await RequestLog.open(self.folder)
        except LogUnavailableError as error:
            self.log_notice = str(error)
            return
        self.log = log
        self.log_notice = log.read_only_reason or log.notice or ""
        if log.read_only_reason is None:
            self.sender.log = log
        await self.remember_sent()

    async def recover_recordings(self) -> None:
        """Let a child process write the requests of killed Recorders to the log, if there are any."""
        await asyncio.to_thread(recover_recordings, self.folder)

    async def restore_folder(self) -> bool:
        """Create the data folder again if it was deleted: draft, settings, endpoints and a new log.

        Returns whether the log is new. While requests are in flight it is not replaced and `log_is_lost` stays True:
        their records would be in two logs.
        """
        draft = self.draft
        if draft is not None and await asyncio.to_thread(lambda: draft.is_deleted):
            await asyncio.to_thread(draft.restore)
            self.settings.write_again()
            self.endpoints.write_again()
            self.log_is_lost = True
        if not self.log_is_lost or self.sender.running:
            return False
        self.log_is_lost = False
        if (log := self.log) is not None:
            self.log = self.sender.log = None
            await log.close()
        await self.open_log()
        return True

    async def keep_bounds(self) -> int:
        """Delete logged requests beyond the configured age or number. Returns how many were deleted."""
        days, megabytes = self.settings.number("log_keep_days"), self.settings.number("log_keep_mb")
        if self.log is None or not (days or megabytes):
            return 0
        age = timedelta(days=days) if days else None
        return await self.log.keep_within(age, int(megabytes * 1_000_000) or None)

    async def remember_sent(self, endpoint: Endpoint | None = None) -> None:
        """Initialise the cache model from the logged requests to an endpoint (None: the current one)."""
        if self.log is not None:
            await self.cache_memory.remember(endpoint or self.endpoint, self.log)

    def forecast(self, document: Document) -> PromptForecast:
        """Return zones and forecast of a document for the current endpoint, at the current time."""
        return self.sender.forecast(document, self.endpoint)

    async def send(
        self, document: Document, on_dispatch: Callable[[PendingRequest], None], *, tags: Sequence[str] = ()
    ) -> PendingRequest:
        """Send to the current endpoint. Reports errors like `RequestService.send`."""
        return await self.sender.send(document, self.endpoint, on_dispatch, tags=tags)

    async def replay(self, text: str) -> CacheHistory:
        """Return the cache history of the logged requests that match a filter.

        Raises InputError for an invalid filter.
        """
        from playground.experiments.replay import replay_log
        from playground.requestlog.filter import parse

        chosen = parse(text, datetime.now(UTC))
        if self.log is None:
            raise InputError.of(("log",), "there is no request log to replay.", self.log_notice)
        return await replay_log(self.log, chosen, self.sender.forecaster.lifetime_s)

    def load(self) -> Load:
        return self.rate_limiter.load(self.endpoint.id)

    async def refresh_load(self) -> None:
        """Count what other programs send to the current endpoint, as recorded. `load` returns the counts."""
        await self.rate_limiter.refresh(await self.simulation.resolve(self.endpoint))

    async def recall(self, run_id: str) -> Recalled | None:
        """Return a logged request; None if the id is unknown."""
        from playground.runs.state import measure

        if self.log is None:
            return None
        stored = await self.log.get(run_id)
        if stored is None:
            return None
        # In a worker: the events of a long stream are decoded while they are iterated.
        state, times = await asyncio.to_thread(lambda: (stored.state(), measure(stored.events)))
        document = load(stored.record.document)
        return Recalled(stored, state, document, await self._explanation(stored, state, document), times)

    async def _explanation(self, stored: StoredRun, state: RunState, document: Document) -> MissExplanation | None:
        """Return the stored explanation of a request; one of an older version or an import is computed and stored."""
        from playground.runs.record import explain_stored, read_explanation
        from playground.runs.service import stored_explanation

        if self.log is None or state.phase != "done":
            return None
        if stored.explanation is not None:
            return read_explanation(stored.explanation)
        forecast = stored.record.forecast
        earlier = await self.log.get(forecast.run_id) if forecast and forecast.run_id else None
        why = explain_stored(stored.record, state, earlier.record if earlier else None, document)
        await self.log.set_explanation(stored.record.run_id, stored_explanation(why))
        return why

    def compare(self, sending: PendingRequest, run_id: str) -> None:
        """Explain an answered request against the given earlier one, in the log too."""
        from playground.runs.service import stored_explanation

        self.sender.compare(sending, run_id)
        if self.log is not None and sending.settled is not None and sending.run.state.phase == "done":
            stored = self.log.set_explanation(sending.run.id, stored_explanation(sending.why))
            self.tasks.start(stored, "store why tokens were not cached")

    async def close(self) -> None:
        """Close everything in reverse order of construction. Waits once for unfinished writes."""
        if self.draft is not None:
            await self.draft.flush()
        await self.tasks.close()
        await self.writer.flush()
        if self._server_secrets is not None:
            await self.server_secrets.flush()
        if self.log is not None:
            await self.log.close()
        await self._opened.aclose()
        if self.draft is not None:
            self.draft.close()
        await self.writer.close()


async def _nobody_to_ask(_server: str) -> bool:
    return False


def retry_policy(settings: Settings) -> RetryPolicy:
    from playground.client.retry import NO_RETRIES, RetryPolicy

    if not settings.flag("retry"):
        return NO_RETRIES
    return RetryPolicy(
        attempts=int(settings.number("retry_attempts")),
        first_s=settings.number("retry_first_ms") / 1000,
        longest_s=settings.number("retry_longest_s"),
    )


def network(settings: Settings) -> Network:
    from playground.client.connection import Network, Timeouts

    timeouts = Timeouts(
        connect=settings.number("connect_s"),
        first_byte=settings.number("first_byte_s"),
        idle=settings.number("silence_s"),
    )
    return Network(timeouts, settings.text("ca_file").strip())
