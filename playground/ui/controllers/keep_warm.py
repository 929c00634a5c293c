"""Keep-warm in the window: the question with its cost, one session per open prompt, and the bar under the prompt."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

from msgspec import Struct
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QWidget

from playground.prefix_cache.forecast import clock_time, left
from playground.prompt.document import Document
from playground.prompt.limits import empty_prompt
from playground.runs.keep_warm import KeepWarm, KeepWarmOffer, offer
from playground.runs.metrics import counted
from playground.runs.record import group_tag
from playground.runs.state import RunState
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.ui.controllers.tabs import PromptTabs
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.panes.prompt.undo import PromptPage
from playground.ui.theme import GRID
from playground.ui.widgets.form import spin_box
from playground.ui.widgets.layouts import column_of, repeating_timer
from playground.ui.widgets.notice import words

MOST_REQUESTS, MOST_HOURS = 500, 24
TICK_MS = 1_000


class _Session(Struct):
    page: PromptPage
    work: KeepWarm
    offer: KeepWarmOffer
    task: asyncio.Task[None] | None = None


class KeepWarmDialog(QDialog):
    """The question before the first request: interval, cost per hour, and the two limits."""

    started = Signal(int, int)
    """Maximum number of requests, maximum hours."""

    def __init__(self, offered: KeepWarmOffer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keep cache warm")
        self.requests = spin_box(1, MOST_REQUESTS, min(round(offered.per_hour) or 1, 20), "Maximum requests")
        self.hours = spin_box(1, MOST_HOURS, 1, "Maximum hours")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = buttons.addButton("Start", QDialogButtonBox.ButtonRole.AcceptRole)
        self.go.setProperty("look", "primary")
        buttons.accepted.connect(self._start)
        buttons.rejected.connect(self.reject)
        form = QFormLayout()
        for field in (self.requests, self.hours):
            field.setToolTip(f"1 to {field.maximum():,}")
            form.addRow(field.accessibleName(), field)
        column_of(
            words("Send this prompt with max_tokens 1 before its prefix expires", "strong"),
            words(f"{offered.text[:1].upper()}{offered.text[1:]}."),
            words(
                f"{offered.clock.basis[:1].upper()}{offered.clock.basis[1:]}. Requests count towards the plan's limits "
                "and are in the log (source:keep_warm). It ends at a limit, when the prompt or the endpoint changes, "
                "when a request fails, and with the window.",
                "muted",
            ),
            form,
            buttons,
            on=self,
            margins=GRID * 2,
            spacing=GRID,
        )
        self.setMinimumWidth(460)

    def _start(self) -> None:
        self.started.emit(self.requests.value(), self.hours.value())
        self.accept()


class KeepWarmController(QObject):
    """Starts and ends sessions. A session ends when its prompt, its tab or the endpoint changes."""

    notice = Signal(str)
    refused = Signal(str, tuple)
    """Why a prompt cannot be kept warm now, and the ids of the window's actions that help."""
    row_changed = Signal(str)
    """The run_id of a request that is being sent."""

    def __init__(self, window: QWidget, services: AppServices, prompt: PromptPane, tabs: PromptTabs) -> None:
        super().__init__(window)
        self._window, self._services, self._prompt, self._tabs = window, services, prompt, tabs
        self.sessions: dict[int, _Session] = {}
        """Running sessions by the id of their page."""
        self._ended: WeakKeyDictionary[PromptPage, str] = WeakKeyDictionary()
        self._tick = repeating_timer(self, TICK_MS, self.refresh)
        prompt.edited.connect(lambda _document: self._check())
        prompt.document_shown.connect(lambda _document: self._check())
        tabs.switched.connect(lambda _page: self.refresh())
        tabs.removed.connect(lambda _page: self._check())

    @property
    def active(self) -> bool:
        return id(self._tabs.page) in self.sessions

    def ask(self) -> KeepWarmDialog | None:
        """Ask for the limits and start; with a session of this prompt running, end it. None: no question."""
        page = self._tabs.page
        if self.active:
            self._end(page, "")
            return None
        document = page.document
        if problem := empty_prompt(document):
            self.notice.emit(str(problem))
            return None
        offered = offer(self._services.forecast(document), self._services.endpoint)
        if offered is None:
            self.refused.emit(*self._reason(document))
            return None
        dialog = KeepWarmDialog(offered, self._window)
        dialog.started.connect(lambda requests, hours: self.start(offered, requests, hours, document))
        dialog.open()
        return dialog

    def _reason(self, document: Document) -> tuple[str, tuple[str, ...]]:
        """Return why a prompt cannot be kept warm now, and the actions that help."""
        prompt_forecast = self._services.forecast(document)
        if prompt_forecast.clock.lifetime_s is not None or prompt_forecast.forecast.run_id is None:
            return "The prefix of this prompt is not in the cache. Send it first.", ("send",)
        words = (
            "The cache lifetime of this endpoint is not known. Measure it in the Cache lab, or set Assumed cache "
            "lifetime in Settings."
        )
        return words, ("cache_lab", "settings")

    def start(self, offered: KeepWarmOffer, requests: int, hours: float, document: Document) -> None:
        """Keep a document warm, unless the prompt on display is another one by now."""
        page, services, endpoint = self._tabs.page, self._services, self._services.endpoint
        if page.document != document or self.active:
            return
        tag = group_tag("keep_warm")

        async def send(minimal: Document) -> RunState:
            pending = await services.sender.send(
                minimal, endpoint, lambda sent: self.row_changed.emit(sent.run.id), tag="keep_warm", tags=[tag]
            )
            return pending.run.state

        def has_slot() -> bool:
            load, plan = services.rate_limiter.load(endpoint.id), endpoint.plan
            minute, flight = plan.requests_per_minute, plan.in_flight
            return (minute is None or load.this_minute < minute) and (flight is None or load.in_flight < flight)

        work = KeepWarm(
            document,
            look=lambda: services.sender.forecast(document, endpoint),
            send=send,
            has_slot=has_slot,
            requests=requests,
            hours=hours,
        )
        session = self.sessions[id(page)] = _Session(page, work, offered)
        self._ended.pop(page, None)
        self._tick.start()
        session.task = services.tasks.start(self._run(session), "keep the cache warm")
        self.refresh()

    async def _run(self, session: _Session) -> None:
        reason = "an error occurred in this program"
        try:
            reason = await session.work.run()
        except SimulatorError as failed:
            reason = str(failed)
        finally:
            if self.sessions.get(id(session.page)) is session:
                session.task = None  # this one, which has ended
                self._end(session.page, reason)

    def stop_all(self, reason: str) -> None:
        """End every session, for example because another endpoint was chosen."""
        for session in list(self.sessions.values()):
            self._end(session.page, reason)

    def _check(self) -> None:
        """End the sessions whose prompt changed or was closed."""
        for session in list(self.sessions.values()):
            if session.page not in self._tabs.pages:
                self._end(session.page, "")
            elif session.page.document is not session.work.document and session.page.document != session.work.document:
                self._end(session.page, "the prompt changed")
        self.refresh()

    def _end(self, page: PromptPage, reason: str) -> None:
        """End the session of a prompt. The bar shows the reason; without one, nothing any more."""
        session = self.sessions.pop(id(page), None)
        if session is not None and session.task is not None:
            session.task.cancel()
        self._ended.pop(page, None)
        if session is not None and reason and page in self._tabs.pages:
            self._ended[page] = reason
        if not self.sessions:
            self._tick.stop()
        self.refresh()

    def refresh(self) -> None:
        """Show the session of the prompt on display, the reason for its end, or nothing."""
        page, bar = self._tabs.page, self._prompt.warm_bar
        session, reason = self.sessions.get(id(page)), self._ended.get(page)
        if session is None and reason is None:
            bar.hide()
            return
        text = f"Keep warm ended: {reason}." if session is None else _progress(session)
        if bar.isHidden() or bar.words != text:
            label = "Dismiss" if session is None else "Stop"
            bar.show_message(text, [(label, lambda: self._end(page, ""))])


def _progress(session: _Session) -> str:
    work = session.work
    following = "sending"
    if work.next_unix is not None:
        wait_s = work.next_unix - time.time()
        following = f"next in {left(wait_s)}" if wait_s < 60 else f"next {clock_time(work.next_unix)}"
    sent = f"{work.sent:,} of {counted(work.requests, 'request')}"
    return f"Keeping the cache warm: {sent}, {following} · {session.offer.text}"
