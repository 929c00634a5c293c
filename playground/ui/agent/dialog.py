"""Controller of the agent dialog: runs the loop, follows it, and continues it from any turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from playground.agent.conversation import Conversation, Turn
from playground.agent.loop import AgentLoop, AgentLoopEnded, CallEnded, Happening, TurnEnded, TurnStarted, measured
from playground.agent.service import AgentService, see_through
from playground.agent.tool_mocks import ToolMocks
from playground.prompt.document import Document, Message, render
from playground.prompt.field_errors import InputError
from playground.ui.agent.view import (
    AgentView,
    EditDialog,
    TurnCard,
    edited_answer,
    end_words,
    prefix_words,
    read_answer,
    totals_words,
    usage_words,
)
from playground.ui.theme import GRID

if TYPE_CHECKING:
    from playground.services import AppServices
    from playground.voice.timeline import MeasuredTurn

FRAME_MS = 33
"""Minimum interval between updates of the view during a run, instead of one per piece."""


class AgentDialog(AgentView):
    """Dialog of the agent loop; not modal. `prompt` returns the current prompt."""

    document_wanted = Signal(object, str)
    """(Document, label): replace the editor's prompt in one undo step."""
    save_wanted = Signal(object)
    code_wanted = Signal(object, object, int)
    """(Document, ToolMocks, limit)"""
    timeline_wanted = Signal()
    notice = Signal(str)
    turn_began = Signal(object)
    """Emitted with the Run of a turn."""
    ended = Signal(object)
    """Emitted with the event of the loop's end."""

    def __init__(
        self,
        service: AgentService,
        workspace: AppServices,
        prompt: Callable[[], Document],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._service, self._workspace, self._prompt = service, workspace, prompt
        self._loop: AgentLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._conversation = service.conversation or Conversation(prompt())
        self._end: str | None = None
        self._step = "Running"
        self._follows = True
        """Whether the newest turn stays visible: until the user scrolls up, and again from the end on."""
        self.cards: list[TurnCard] = []
        """The turns of the visible branch."""
        self._tokens: dict[str, float] = {}
        """Estimated tokens that a turn's request adds, by turn: not again in each frame, of a long result."""
        self._frame = QTimer(self)
        self._frame.setInterval(FRAME_MS)
        self._connect()
        ends = self._conversation.ends()
        self._end = ends[-1].id if ends else None
        self._show_branches()
        self.refresh()
        if service.notice:
            self.state.setText(service.notice)

    def _connect(self) -> None:
        self.go.clicked.connect(self.run_or_stop)
        self.reply.returnPressed.connect(self.send_next_message)
        self.reply.textChanged.connect(lambda _text: self._show_sendable())
        bar = self.view.verticalScrollBar()
        bar.valueChanged.connect(self._scrolled)
        bar.rangeChanged.connect(lambda _least, most: bar.setValue(most) if self._follows else None)
        self.send_reply.clicked.connect(self.send_next_message)
        self.branch.activated.connect(lambda row: self.show_turn(self.branch.itemData(row)))
        self.answers.changed.connect(lambda book: self._service.keep_book(self._conversation.root, book))
        self._frame.timeout.connect(self.refresh)
        handlers: dict[str, Callable[[], object]] = {
            "prompt": lambda: self.document_wanted.emit(self.document, "Use a conversation"),
            "save": lambda: self.save_wanted.emit(self.document),
            "code": lambda: self.code_wanted.emit(self._conversation.root, self.book, self.limit.value()),
            "timeline": self.timeline_wanted.emit,
            "trim": self._trim,
            "new": self.start_over,
        }
        for name, handler in handlers.items():
            self.ways[name].clicked.connect(lambda _checked=False, handler=handler: handler())

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def conversation(self) -> Conversation:
        return self._loop.live if self._loop is not None else self._conversation

    @property
    def document(self) -> Document:
        """Return the prompt at the end of the visible branch."""
        return self.conversation.document(self._end)

    @property
    def book(self) -> ToolMocks:
        return self._service.book(self._conversation.root)

    def measured(self) -> tuple[MeasuredTurn, ...]:
        """Return the times of the visible branch, for the voice timeline."""
        return measured(self.conversation, self._end) if self._end is not None else ()

    def now(self) -> float | None:
        """Return the seconds on the running loop's clock."""
        return self._loop.now() if self._loop is not None and self.running else None

    def show_prompt(self) -> None:
        """Follow a change of the current prompt. Before the first run, the mocks belong to its tools."""
        if not self._conversation.turns and not self.running:
            self._conversation = Conversation(self._prompt())
        elif not self.running and self._prompt() != self._conversation.root:
            self.state.setText("This conversation is from another prompt. Run starts one from the current prompt.")
        self.answers.show_book(self._conversation.root, self.book)

    def start_over(self) -> None:
        """Close the conversation and begin one from the current prompt."""
        self.stop()
        self._conversation, self._end = Conversation(self._prompt()), None
        self._loop = None
        self._show_branches()
        self.show_prompt()
        self.refresh()
        self.state.setText("New conversation from the current prompt.")

    def run_or_stop(self) -> None:
        if self.running:
            self.stop()
            return
        if self._prompt() != self._conversation.root:
            self._conversation = Conversation(self._prompt())
            self.answers.show_book(self._conversation.root, self.book)
        self._end = None
        self._run(None, ())

    def send_next_message(self) -> None:
        text = self.reply.text()
        if not self._sendable():
            return
        self.reply.clear()
        self._run(self._end, (Message("user", text),))

    def _sendable(self) -> bool:
        return not self.running and self._end is not None and bool(self.reply.text().strip())

    def _show_sendable(self) -> None:
        self.send_reply.setEnabled(self._sendable())
        reason = "Run the agent loop first" if self._end is None else "Type the next user message"
        self.send_reply.setToolTip("" if self.running or self._sendable() else reason)

    def _scrolled(self, value: int) -> None:
        self._follows = value >= self.view.verticalScrollBar().maximum() - GRID

    def go_on(self, turn_id: str) -> None:
        """Continue from a turn: answer its open calls and send the next request."""
        if not self.running:
            self._run(turn_id, ())

    def stop(self) -> None:
        if self._loop is not None and self.running:
            self._loop.stop()

    def _run(self, at: str | None, add: tuple[Message, ...]) -> None:
        self._loop = self._service.loop(self._conversation, self.ask.ask, self._heard, self.limit.value())
        self._follows = True
        self._task = self._workspace.tasks.start(self._see_through(self._loop, at, add), "run until answer")
        self._frame.start()
        self._show_running()

    async def _see_through(self, loop: AgentLoop, at: str | None, add: tuple[Message, ...]) -> None:
        try:
            ended = await see_through(loop, loop.run(at, add))
            self._show_ended(ended)
        except InputError as bad:
            self.state.setText(str(bad.problems[0]))
        finally:
            self._conversation = loop.conversation
            self._task = None
            self._frame.stop()
            self._service.keep_conversation(self._conversation)
            self._show_branches()
            self._show_running()
            self.refresh()

    def _show_ended(self, ended: AgentLoopEnded) -> None:
        self.state.setText(end_words(ended))
        if ended.turn_id is not None:
            self._end = ended.turn_id
        self.ended.emit(ended)

    def _heard(self, happening: Happening) -> None:
        if isinstance(happening, TurnStarted):
            self._end = happening.turn_id
            self.turn_began.emit(happening.run)
            self._step = f"Running: request {happening.number} of at most {happening.of}"
        if isinstance(happening, TurnEnded | CallEnded) and self._loop is not None:
            # Saved during the run, so that a kill of the program loses nothing received.
            self._workspace.tasks.start(self._service.keep_soon(self._loop.conversation), "keep the conversation")

    def _show_running(self) -> None:
        self.go.setText("Stop" if self.running else "Run agent loop")
        for widget in (self.limit, self.branch, self.reply, *self.ways.values()):
            widget.setEnabled(not self.running)
        self._show_sendable()
        self.ways["timeline"].setEnabled(True)
        if self.running:
            self._step = "Running"

    def _show_branches(self) -> None:
        self.branch.clear()
        ends = self._conversation.ends()
        for number, turn in enumerate(ends, 1):
            self.branch.addItem(f"Branch {number}: {(turn.text or 'calls tools')[:40]}", turn.id)
        self.branch.setVisible(len(ends) > 1)
        place = self.branch.findData(self._end)
        self.branch.setCurrentIndex(place)

    def show_turn(self, turn_id: str) -> None:
        self._end = turn_id
        self.refresh()

    def refresh(self) -> None:
        conversation = self.conversation
        path = conversation.path(self._end if self._end in conversation.turns else None)
        self._fit_cards(path)
        self.empty.setVisible(not path)
        now = self._loop.now() if self._loop is not None else 0.0
        self._show_sendable()
        for card, turn in zip(self.cards, path, strict=True):
            state = (turn, self.running, turn is path[-1])
            if card.displayed == state and turn is not path[-1]:
                continue  # only the newest turn changes: its results run, its calls arrive
            card.displayed = state
            card.show_turn(
                turn,
                figures=usage_words(turn, self._forecast(turn)),
                prefix=prefix_words(conversation, turn.id, self._added_tokens(conversation, turn)),
                added=_said(conversation, turn),
                coming=self._coming() if turn is path[-1] else "",
                now=now,
                running=self.running,
            )
        if self.running:
            self.state.setText(f"{self._step}{' · waits for you' if self.ask.isVisible() else ''}")
        self.totals.setText(totals_words(conversation, self._end if path else None))

    def _coming(self) -> str:
        calls = self._loop.coming if self._loop is not None and self.running else ()
        return "\n".join(f"calls {call.name} {call.arguments}" for call in calls)

    def _fit_cards(self, path: tuple[Turn, ...]) -> None:
        same = 0
        while same < min(len(path), len(self.cards)) and self.cards[same].turn_id == path[same].id:
            same += 1
        for card in self.cards[same:]:
            self.column.removeWidget(card)
            card.deleteLater()
        del self.cards[same:]
        for turn in path[same:]:
            card = TurnCard(len(self.cards) + 1, turn.id)
            card.result_asked.connect(self._edit_result)
            card.answer_asked.connect(self._edit_answer)
            card.go_on_asked.connect(self.go_on)
            self.cards.append(card)
            self.column.insertWidget(self.column.count() - 1, card)

    def _forecast(self, turn: Turn) -> float | None:
        dispatch = self._service.dispatches.get(turn.run_id or "")
        return dispatch.forecast.cached_tokens if dispatch is not None else None

    def _added_tokens(self, conversation: Conversation, turn: Turn) -> float:
        if turn.id not in self._tokens:
            endpoint = self._workspace.endpoint
            counter = self._workspace.sender.forecaster.counter(endpoint.id, endpoint.model)
            added = conversation.added(turn.id)
            texts = [message.content or "" for message in added]
            calls = [call.name + call.arguments for message in added for call in message.tool_calls]
            self._tokens[turn.id] = sum(counter.estimate(text) for text in (*texts, *calls))
        return self._tokens[turn.id]

    def _edit_result(self, turn_id: str, call_id: str) -> None:
        results = self._conversation.turns[turn_id].results
        before = next((result.text for result in results if result.call_id == call_id), "")

        def take(text: str) -> None:
            self._branch(*self._conversation.edit_result(turn_id, call_id, text))

        EditDialog("What the call returned", before, take, self).open()

    def _edit_answer(self, turn_id: str) -> None:
        turn = self._conversation.turns[turn_id]

        def take(text: str) -> None:
            self._branch(*self._conversation.edit_turn(turn_id, *read_answer(text)))

        answer, note = edited_answer(turn.text, turn.calls), 'As JSON: "content", and "tool_calls" if any.'
        EditDialog("What the model said and called", answer, take, self, note).open()

    def _branch(self, conversation: Conversation, turn_id: str) -> None:
        if self.running:  # The editor may have been opened before the run began.
            self.notice.emit("Stop the run before you edit it.")
            return
        self._conversation, self._end, self._loop = conversation, turn_id, None
        self._service.keep_conversation(self._conversation)
        self._show_branches()
        self.refresh()
        self.state.setText("New branch; the old one remains. “Branch from here” runs it.")

    def _trim(self) -> None:
        """Remove the last turn of the visible branch."""
        if self._end is None or self.running:
            return
        parent = self._conversation.turns[self._end].parent
        self._conversation, self._loop = self._conversation.without(self._end), None
        self._end = parent
        self._service.keep_conversation(self._conversation)
        self._show_branches()
        self.refresh()

    def work(self) -> tuple[asyncio.Task[None] | None, ...]:
        """Return the task that runs the agent loop."""
        return (self._task,)

    def stop_work(self) -> None:
        """Stop the current turn and keep the received part."""
        self.stop()
        self._frame.stop()


def _said(conversation: Conversation, turn: Turn) -> str:
    """Return the user messages before this turn: the last one for the first turn, the added ones for later turns."""
    if turn.parent is None:
        users = [message for message in turn.document.messages if message.role == "user"]
        said = users[-1:]
    else:
        said = [message for message in conversation.added(turn.id) if message.role == "user"]
    return "\n".join(f"user: {render(message.content or '', turn.document.variables).text}" for message in said)
