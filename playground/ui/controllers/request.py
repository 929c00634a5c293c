"""Requests of the window: forecast while typing, send, display each frame, stop, display a logged one."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from msgspec.structs import replace
from PySide6.QtCore import QObject, Qt, Signal

from playground.client.error_body import too_long
from playground.client.events import AnyEvent, HeadersReceived
from playground.export.terminal import visible_line
from playground.prefix_cache.forecast import ago
from playground.prompt.document import Document, Message
from playground.prompt.field_errors import InputError
from playground.prompt.limits import LimitFinding, check, context_finding, empty_prompt
from playground.runs.record import asked_in
from playground.runs.state import RunState
from playground.services import AppServices, Recalled
from playground.simulator.process import SimulatorError
from playground.ui.panes.inspector.figures import InspectorModel
from playground.ui.panes.prompt.undo import PromptPage
from playground.ui.panes.response.labels import can_be_added
from playground.ui.panes.response.raw_tabs import DisplayedRequest
from playground.ui.widgets.layouts import repeating_timer, single_timer

if TYPE_CHECKING:
    from playground.prefix_cache.forecaster import PromptForecast
    from playground.runs.run import Run
    from playground.runs.service import PendingRequest
    from playground.ui.panes.inspector.pane import InspectorPane
    from playground.ui.panes.log.pane import LogPane
    from playground.ui.panes.prompt.pane import PromptPane
    from playground.ui.panes.response.pane import ResponsePane

T = TypeVar("T")
PAINT_S, COUNTDOWN_S = 0.25, 0.9
"""Intervals for renewing the elapsed time of a running request, in all views at once. COUNTDOWN_S while it waits to be
sent: the views count whole seconds down, and are painted when one has begun."""
UNWATCHED_S = 1.5
"""Age of the renewed time from which on no view renews it."""
FRAME_MS, SENT_MS = 16, 100
"""At most one repaint a frame at 60 Hz (architecture.md, One loop); until the first token, ten a second."""
FORECAST_MS = 40
"""Time from an edit to its forecast: the text is painted before, and keys that follow at once share one forecast."""
TICK_MS = 1000
"""Interval for updating ages ("40 s ago"), the forecast's expiry and the count per minute."""
UNSENT_MS = 150
"""From then on a request that is not sent yet takes the place of the previous one in the panes."""
SECONDS_SHOWN, OLD_TICKS = 60, 10
"""Age in seconds up to which a forecast is updated every second; then every so many ticks."""


class PaintClock:
    """The elapsed time of each running request that all views of the window show."""

    def __init__(self) -> None:
        self._shown_s: WeakKeyDictionary[Run, float] = WeakKeyDictionary()

    def renew(self, run: Run) -> bool:
        """Renew the time, at most every PAINT_S or COUNTDOWN_S. Returns whether it was renewed."""
        now, shown_s = run.clock(), self._shown_s.get(run)
        renewed = shown_s is None or now - shown_s >= (COUNTDOWN_S if run.state.waits else PAINT_S)
        if renewed:
            self._shown_s[run] = now
        return renewed

    def elapsed_s(self, run: Run) -> float:
        """Return the run's clock when it was renewed last; the present one if no view renews it,
        in whole seconds while the run waits."""
        now = run.clock()
        shown_s = self._shown_s.get(run, now)
        if now - shown_s <= UNWATCHED_S:
            return shown_s
        return math.floor(now) if run.state.waits else now


class Requests(QObject):
    """The current request, and the panes that show it. Emits what the bars around the panes need."""

    running_changed = Signal(bool)
    forecast_changed = Signal(object)
    notice = Signal(str)
    """A sentence about something that kept a request from being sent, outside the prompt."""
    key_missing = Signal(str)
    found = Signal(str)
    """What an experiment has found, in a sentence."""
    looking_back = Signal(object)
    """Emitted with the Recalled on display, or None on return to the newest request."""
    ended = Signal(object)
    """The Run that has ended."""
    ticked = Signal()
    """Emitted every second."""
    sent = Signal(object, str)
    """A request is being sent: its Document and run_id."""
    settled = Signal()
    """A request has ended and everything about it is known."""

    def __init__(
        self,
        workspace: AppServices,
        prompt: PromptPane,
        response: ResponsePane,
        inspector: InspectorPane,
        log: LogPane,
        paint_clock: PaintClock,
    ) -> None:
        super().__init__()
        self._workspace, self._paint_clock = workspace, paint_clock
        self._prompt, self._response, self._inspector, self._log = prompt, response, inspector, log
        self._task: asyncio.Task[None] | None = None
        self.current: PendingRequest | None = None
        """The newest request of the prompt on display, if any."""
        self._newest: PendingRequest | None = None
        """The request that was dispatched last, from any tab."""
        self._page = self._sending_page = prompt.history.page
        self._results: WeakKeyDictionary[PromptPage, PendingRequest] = WeakKeyDictionary()
        self._shown: RunState | None = None
        self.shown_run_id: str | None = None
        """The run that the response pane shows."""
        self._shown_document: Document | None = None
        self.shown_endpoint_id = ""
        """The id of the endpoint of the request on display; empty if there is none."""
        self._checks: tuple[tuple[Document, bool] | None, tuple[LimitFinding, ...]] = (None, ())
        self.recalled: Recalled | None = None
        """The logged request on display."""
        self._wanted_run_id: str | None = None
        """The logged request that is being read for display."""
        self._is_shut_down = self._unsent = False
        self._frame = single_timer(self, FRAME_MS, self._paint)
        self._frame.setTimerType(Qt.TimerType.PreciseTimer)  # a coarse one may end before the second does
        self._forecast_timer = single_timer(self, FORECAST_MS, self._refresh_soon)
        self._slow = single_timer(self, UNSENT_MS, lambda: self.show_current(unsent=True))
        self._refreshing: asyncio.Task[None] | None = None
        """Makes a forecast in another thread, and shows it."""
        self._tick = repeating_timer(self, TICK_MS, self._on_tick)
        self._displayed = True
        self._ticks = 0
        self._forecast: PromptForecast | None = None
        """The one on display."""
        self._changes = 0
        """`CacheForecaster.changes` at the time of the forecast on display."""
        self.sent_beside: Callable[[str], None] = log.row_changed
        """Call it with the run_id of a request that something else in this window has sent."""
        self._tick.start()

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def sending_page(self) -> PromptPage | None:
        return self._sending_page if self.running else None

    @property
    def request_id(self) -> str | None:
        return self._shown.request_id if self._shown else None

    def resend(self) -> None:
        """Send the request on display again, with the values that it was sent with, to the endpoint in use."""
        if self._shown_document is not None:
            self._begin(self._send, self._shown_document, "send again")

    def add_to_prompt(self) -> None:
        """Add the completion on display to its prompt, and below it an empty message of the user, which is shown."""
        from playground.agent.conversation import literal

        document, state = self._prompt.document(), self._shown
        if state is None or not can_be_added(state):
            self.notice.emit("There is no completion with text to add.")
            return
        sent = self._shown_document
        if self.recalled is not None and (sent is None or sent.messages != document.messages):
            self.notice.emit("This completion is of another prompt. Use its prompt first.")
            return
        document, text = literal(document, state.text)
        added = Message("assistant", text), Message("user", "")
        if document.messages[-2:] != added:
            document = replace(document, messages=(*document.messages, *added))
            self._prompt.set_document(document, undoable=True, label="Add the completion")
        self._prompt.show_place(len(document.messages) - 1, 0)

    def resend_logged(self, run_id: str) -> None:
        self._begin(self._resend_logged, run_id, "send again")

    async def _resend_logged(self, run_id: str) -> None:
        recalled = await self._workspace.recall(run_id)
        if recalled is None:
            self.notice.emit("That request is no longer in the log.")
        else:
            await self._send(recalled.document)

    def shut_down(self) -> None:
        self._is_shut_down = True
        for timer in (self._frame, self._forecast_timer, self._slow, self._tick):
            timer.stop()

    def set_displayed(self, displayed: bool) -> None:
        """Set whether the panes are visible: their forecast is not updated while another mode is displayed."""
        self._displayed = displayed
        if displayed:
            self.refresh_forecast()

    def _on_tick(self) -> None:
        self.ticked.emit()
        self._ticks += 1
        if self._displayed and self._ages():
            self._refresh_soon()

    def _ages(self) -> bool:
        """Return whether the forecast on display may have changed since the last tick: another part of the program has
        sent a request, or its age did: in seconds, later in minutes. Without an earlier request that shares a prefix,
        time changes nothing."""
        if self._changes != self._workspace.sender.forecaster.changes:
            return True
        if self._forecast is None or self._forecast.forecast.sent_at is None:
            return False
        now, cold_at = time.time(), self._forecast.clock.warm_until_unix
        expiring = cold_at is not None and cold_at - now < SECONDS_SHOWN
        return expiring or now - self._forecast.forecast.sent_at < SECONDS_SHOWN or self._ticks % OLD_TICKS == 0

    def document_edited(self, _document: Document) -> None:
        """Forecast again, once, FORECAST_MS after the first of several edits."""
        if not (self._forecast_timer.isActive() or self._is_shut_down):
            self._forecast_timer.start(FORECAST_MS)

    def document_shown(self, _document: Document) -> None:
        if not self._is_shut_down:
            self._forecast_timer.start(0)

    def refresh_forecast(self) -> PromptForecast:
        """Return the current zones and forecast, and show them at once."""
        changes = self._workspace.sender.forecaster.changes
        prompt_forecast = self._workspace.forecast(self._prompt.document())
        self._show_forecast(changes, prompt_forecast)
        return prompt_forecast

    def _refresh_soon(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._workspace.tasks.start(self._refresh(), "forecast")
        else:
            self._forecast_timer.start(FORECAST_MS)

    async def _refresh(self) -> None:
        """Make a forecast in another thread, and show it unless another document or endpoint is displayed by then."""
        document, endpoint = self._prompt.document(), self._workspace.endpoint
        changes, prompt_forecast = await self._workspace.sender.look(document, endpoint)
        if not self._is_shut_down and document is self._prompt.document() and endpoint == self._workspace.endpoint:
            self._show_forecast(changes, prompt_forecast)

    def _show_forecast(self, changes: int, prompt_forecast: PromptForecast) -> None:
        self._changes, self._forecast = changes, prompt_forecast
        self._prompt.set_forecast(prompt_forecast)
        self._prompt.set_findings(self._checked(prompt_forecast))
        if self._shown is None:
            self._show_estimates(prompt_forecast)
        elif self.recalled is None:
            self._inspector.show_next(prompt_forecast.forecast, prompt_forecast.new_values, prompt_forecast.clock)
        self.forecast_changed.emit(prompt_forecast)

    def _show_estimates(self, prompt_forecast: PromptForecast | None) -> None:
        """Show the forecast of an unsent prompt in place of a request's figures."""
        if prompt_forecast is None or self._prompt.axes is None or self._prompt.axes.neutral:
            self._inspector.show_forecast(None, prompt_forecast.clock if prompt_forecast is not None else None)
        else:
            self._inspector.show_forecast(prompt_forecast.forecast, prompt_forecast.clock)

    def _checked(self, prompt_forecast: PromptForecast) -> tuple[LimitFinding, ...]:
        """Return the validation result of a document; checked again only if the document changed."""
        document = prompt_forecast.view.document
        electron = self._workspace.endpoint.kind != "other"
        if (document, electron) != self._checks[0]:
            self._checks = ((document, electron), check(document, electron=electron))
        axes = self._prompt.axes
        long = context_finding(
            prompt_forecast.zones.total_tokens if axes is None or axes.document is not document else axes.total,
            document.parameters.get("max_tokens"),
            self._workspace.endpoint.context_tokens,
        )
        return self._checks[1] if long is None else (*self._checks[1], long)

    def send_or_stop(self) -> None:
        """Ctrl+Enter: send, or stop the run of the tab on display."""
        if self.running and self._sending_page is not self._page:
            name = self._sending_page.name or "Untitled"
            self.notice.emit(f"{name} is being sent in another tab. Stop in the Request menu ends it.")
        elif self.running:
            self.stop()
        else:
            self._attempt(self.send_anyway)

    def send_anyway(self) -> None:
        """Send the prompt, whatever the check says of it."""
        self._begin(self._send, self._prompt.document(), "send")

    def verify(self) -> None:
        """Verify caching: send the prompt twice, and say what that proves."""
        self._attempt(lambda: self._begin(self._verify, self._prompt.document(), "verify caching"))

    def _attempt(self, send: Callable[[], object]) -> None:
        """Send the prompt, unless it is empty or Electron would refuse it: then the user can send it anyway."""
        document = self._prompt.document()
        if self.running or self._prompt.composing():
            return
        if problem := empty_prompt(document):
            self.notice.emit(str(problem))
            return
        checked = () if self._workspace.endpoint.kind == "other" else check(document)
        refused = next((finding for finding in checked if finding.refused), None)
        if refused is not None:
            self._prompt.refuse(refused.problem, send)
        else:
            send()

    def show_page(self, page: PromptPage) -> None:
        """Display the newest request of the prompt in another tab."""
        self._page, self.current = page, self._results.get(page)
        self._prompt.set_running(False)
        self._show_reported()
        self.show_current()
        self.refresh_forecast()

    def _begin(self, send: Callable[[T], Coroutine[Any, Any, None]], what: T, name: str) -> None:
        """Start to send something, unless a request is on its way."""
        if self.running:
            return
        self._sending_page = self._page
        self._slow.start()
        self._task = self._workspace.tasks.start(self._see_through(send(what)), name)
        self.running_changed.emit(True)

    async def _see_through(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._task = None
            self._slow.stop()
            if self._unsent:
                self.show_current()
            self.running_changed.emit(False)

    def stop(self) -> None:
        """Stop immediately, even before the first byte; no effect without a run."""
        if self._newest is not None and not self._newest.run.state.ended:
            self._newest.run.stop()
        elif self._task is not None:
            # Not sent yet: the simulator is starting, or the key store is being asked.
            self._task.cancel()

    async def _verify(self, document: Document) -> None:
        states = []
        for _ in range(2):
            before = self._newest
            await self._send(document)
            if self._newest is None or self._newest is before:
                return  # refused, and the reason is on display
            states.append(self._newest.run.state)
            if states[-1].phase != "done":
                break
        from playground.experiments.repeats import verdict

        self.found.emit(verdict(states[0], states[-1]))

    async def _send(self, document: Document) -> None:
        try:
            await self._workspace.send(document, self._dispatched)
        except InputError as bad:
            problem = bad.problems[0]
            if problem.path == ("key",):
                self.key_missing.emit(str(problem))
            else:
                self._prompt.show_problem(problem)
        except SimulatorError as failed:
            self.notice.emit(str(failed))
        if self._newest is not None and self._newest.run.document is document:
            await self._finish(self._newest)

    def _dispatched(self, dispatch: PendingRequest) -> None:
        page, sent = self._sending_page, dispatch.run.document
        self._slow.stop()
        self._newest = self._results[page] = dispatch
        fixed, page.fixed = page.fixed, None
        dispatch.after_fix = fixed is not None and (fixed.messages, fixed.tools) == (sent.messages, sent.tools)
        dispatch.run.subscribe(self._heard)
        self.sent.emit(dispatch.run.document, dispatch.run.id)
        if self._sending_page is self._page:
            self.current = dispatch
            self._prompt.set_reported(None, None)
            self._prompt.paint_forecast()
            self.show_current()

    def show_current(self, *, unsent: bool = False) -> None:
        """Show the newest request (also after a look back). `unsent`: it waits for its key, or for the simulator."""
        unsent = unsent and self._sending_page is self._page
        self._unsent = unsent
        self.recalled = self._wanted_run_id = None
        self.looking_back.emit(None)
        if self.current is None or unsent:
            self._shown = self.shown_run_id = None
            self._response.show_state(RunState() if unsent else None)
            self._show_estimates(self._forecast)
            self._log.show_shown(None, None)
            return
        run, endpoint = self.current.run, self.current.run.endpoint
        self.shown_run_id, self._shown_document, self.shown_endpoint_id = run.id, run.document, endpoint.id
        self._show(
            self._live_model(self.current),
            DisplayedRequest(
                run.request.body, endpoint.base_url, endpoint.name, run.started_utc, keyed=endpoint.needs_key
            ),
            elapsed_s=self._paint_clock.elapsed_s(run),
        )

    def _show(self, model: InspectorModel, sent: DisplayedRequest, elapsed_s: float = 0.0) -> None:
        """Show a request in the panes."""
        self._shown = model.state
        tokens = model.forecast.prompt_tokens if model.forecast is not None else None
        asked = asked_in(sent.body)
        self._response.show_state(
            model.state, sent=sent, asked=asked, estimated_prompt_tokens=tokens, elapsed_s=elapsed_s
        )
        self._inspector.show_model(model)
        self._log.show_shown(self.shown_run_id, self.request_id)

    def _heard(self, run: Run, event: AnyEvent) -> None:
        if isinstance(event, HeadersReceived):
            self._log.row_changed(run.id)
        # After shutdown, a stopped run may still report an event: do not repaint.
        if not 0 <= self._frame.remainingTime() <= FRAME_MS and not self._is_shut_down:
            self._frame.start(FRAME_MS)

    def _paint(self) -> None:
        if self.current is None or self.recalled is not None or self._unsent:
            return
        run = self.current.run
        renewed = self._paint_clock.renew(run)
        self._response.refresh(self._paint_clock.elapsed_s(run))
        self._inspector.show_model(self._live_model(self.current))
        self._log.show_shown(self.shown_run_id, self.request_id)
        if renewed:
            self._log.repaint_live()
        if not run.state.ended:
            # Elapsed times move also while nothing comes.
            self._frame.start(_pause_ms(run))

    async def _finish(self, dispatch: PendingRequest) -> None:
        self._frame.stop()
        self._paint()
        self._log.row_changed(dispatch.run.id)
        if dispatch is self.current:
            self._show_reported()
        try:
            await self._refresh()
        finally:
            self.settled.emit()
            self.ended.emit(dispatch.run)

    def _show_reported(self) -> None:
        """Show in the prompt what the server reported about the newest request, also in a refusal for length."""
        run = self.current.run if self.current is not None else None
        usage = run.state.usage if run is not None else None
        if run is not None and usage is not None and usage.fresh_tokens is not None:
            self._prompt.set_reported(usage.cached_tokens, usage.prompt_tokens, run.document)
        elif run is not None and (error := run.state.error) is not None and error.context_length is not None:
            counted = too_long(error.detail)
            self._prompt.set_reported(None, counted.prompt if counted else None, run.document)
        else:
            self._prompt.set_reported(None, None)

    def _live_model(self, dispatch: PendingRequest) -> InspectorModel:
        run = dispatch.run
        endpoint = run.endpoint
        forecaster = self._workspace.sender.forecaster
        score = forecaster.score(endpoint.id, endpoint.model) if run.state.usage is not None else None
        return InspectorModel(
            state=run.state,
            forecast=dispatch.forecast,
            rates=endpoint.rates,
            why=dispatch.why,
            endpoint_name=endpoint.name,
            simulated=endpoint.kind == "simulator",
            started_utc=run.started_utc,
            model=run.request.model,
            usage_asked=run.document.include_usage or not run.document.stream,
            score=score.sentence if score and (score.n or score.reports is False) else "",
            clock_s=self._paint_clock.elapsed_s(run),
        )

    def comparable(self) -> list[tuple[str, str]]:
        """Return the earlier requests that the newest can be compared with: run_id and description."""
        if self.current is None or self.recalled is not None:
            return []
        found = self._workspace.sender.comparable(self.current)
        began = self.current.run.started_utc.timestamp()
        whole = max(len(self.current.view.view.text), 1)
        return [
            (
                match.sent.run_id,
                visible_line(match.sent.shown_id)
                + f"   {ago(began - match.sent.at)}   shares {match.length / whole:.0%}",
            )
            for match in found
        ]

    def compare(self, run_id: str) -> None:
        """Explain the newest request by this earlier one, here and in the log."""
        if self.current is not None and self.recalled is None:
            self._workspace.compare(self.current, run_id)
            self._inspector.show_model(self._live_model(self.current))

    def open_logged(self, run_id: str) -> None:
        """Show a logged request in the panes; the prompt in the editor is unchanged."""
        if run_id == (self._wanted_run_id or self.shown_run_id):
            return
        if self.current is not None and self.current.run.id == run_id:
            self.show_current()
            return
        self._wanted_run_id = run_id
        self._workspace.tasks.start(self._open_logged(run_id), "open a logged request")

    async def _open_logged(self, run_id: str) -> None:
        recalled = await self._workspace.recall(run_id)
        if run_id != self._wanted_run_id:
            return  # another request was chosen meanwhile
        self._wanted_run_id = None
        if recalled is None:
            self.notice.emit("That request is no longer in the log.")
            return
        self.recalled, self.shown_run_id = recalled, run_id
        self._shown_document, self.shown_endpoint_id = recalled.document, recalled.stored.record.endpoint_id
        self._show(logged_model(recalled), logged_request(recalled))
        self.looking_back.emit(recalled)

    def log_changed(self, run_id: str) -> None:
        """Close the request on display if it was deleted from the log; a running one is not deleted."""
        if run_id == self.shown_run_id and run_id not in self._workspace.sender.running:
            self._workspace.tasks.start(self._close_deleted(run_id), "look for a deleted request")

    async def _close_deleted(self, run_id: str) -> None:
        log = self._workspace.log
        if log is None or await log.get(run_id) is not None:
            return
        for page in [page for page, dispatch in self._results.items() if dispatch.run.id == run_id]:
            del self._results[page]
        self.current = self._results.get(self._page)
        if run_id == self.shown_run_id:
            self._shown_document = None
            self._show_reported()
            self.show_current()


def _pause_ms(run: Run) -> int:
    """Return the time until the views of a run change although nothing comes."""
    if not run.state.waits:
        return FRAME_MS if run.state.phase == "streaming" else SENT_MS
    left_s = run.state.left_to_send_s(run.clock())
    return math.ceil(left_s % 1 * 1000) + 1 if left_s else TICK_MS


def logged_request(recalled: Recalled) -> DisplayedRequest:
    record = recalled.stored.record
    keyed = record.endpoint_kind != "simulator"
    return DisplayedRequest(record.body, record.base_url, record.endpoint_name, record.started_utc, keyed=keyed)


def logged_model(recalled: Recalled) -> InspectorModel:
    record = recalled.stored.record
    return InspectorModel(
        state=recalled.state,
        forecast=record.forecast,
        rates=record.rates,
        why=recalled.why,
        endpoint_name=record.endpoint_name,
        simulated=record.endpoint_kind == "simulator",
        started_utc=record.started_utc,
        model=record.model,
        usage_asked=asked_in(record.body).usage,
    )
