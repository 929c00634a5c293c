"""Agent loop: request, concurrent tool calls, results, next request, until the model answers; and the loop's events."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from playground.agent.conversation import Conversation, Result, Turn, new_id, with_unique_ids
from playground.agent.tool_mocks import ToolExecutor, ToolOutcome
from playground.client.events import AnyEvent
from playground.prompt.document import Document, Json, Message, ToolCall
from playground.prompt.field_errors import InputError
from playground.runs.run import Run
from playground.runs.state import ENDED, Stopwatch, ToolCallState
from playground.tools.schema import schemas_by_name
from playground.voice.timeline import MeasuredTool, MeasuredTurn


def measured(conversation: Conversation, turn_id: str) -> tuple[MeasuredTurn, ...]:
    """Return the turns up to this one that ran without user input in between, on an axis that begins with the first
    run.

    For `AgentLoop.live`, returns the times so far. Omits turns of an earlier run of the loop, which have another clock.
    Returns nothing if the turn was edited or never sent: it has no measured times.
    """
    turns: list[Turn] = []
    for turn in reversed(conversation.path(turn_id)):
        if turn.times is None or turn.began_at is None or (turns and turn.go != turns[-1].go):
            break
        turns.append(turn)
    turns.reverse()
    zero = turns[0].began_at or 0.0 if turns else 0.0
    return tuple(_measured(turn, zero) for turn in turns)


def _measured(turn: Turn, zero: float) -> MeasuredTurn:
    assert turn.times is not None
    assert turn.began_at is not None
    tools = tuple(
        MeasuredTool(
            result.name,
            result.started_at - zero,
            None if result.ended_at is None else result.ended_at - zero,
            result.kind == "stopped",
        )
        for result in turn.results
        if result.go == turn.go and result.started_at is not None
    )
    return MeasuredTurn(turn.began_at - zero, turn.times, tools)


EndReason: TypeAlias = Literal["answered", "limit", "stopped", "failed"]
"""answered: the model calls nothing more · limit: the maximum number of requests is reached and the model still calls
tools · failed: a request failed, or could not be sent.
"""


class TurnStarted(Struct, frozen=True):
    """A request is about to be sent. `number` counts the requests of this run of the loop, from 1."""

    turn_id: str
    number: int
    of: int
    document: Document
    run: Run


class TurnEnded(Struct, frozen=True):
    """The model's answer has ended, complete or not; its calls have not run yet."""

    turn: Turn


class CallStarted(Struct, frozen=True):
    """A tool starts. `at`: seconds since the run of the loop began."""

    turn_id: str
    call: ToolCall
    at: float


class CallEnded(Struct, frozen=True):
    """A tool has returned, or was stopped (see the result's kind)."""

    turn_id: str
    call: ToolCall
    result: Result


class AgentLoopEnded(Struct, frozen=True):
    """The loop has ended. `turn_id`: the last turn, or None. `error`: the message of its failure."""

    reason: EndReason
    turn_id: str | None
    requests: int
    error: str = ""


Happening: TypeAlias = TurnStarted | TurnEnded | CallStarted | CallEnded | AgentLoopEnded


class Watch(Struct):
    """Made before `run` is executed. `now`: seconds on the loop's clock; `parent`: the turn before; `go`: its run."""

    run: Run
    now: Callable[[], float]
    turn_id: str
    parent: str | None
    document: Document
    go: str
    began_at: float | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        self.run.subscribe(self._heard)

    def _heard(self, run: Run, event: AnyEvent) -> None:
        if self.began_at is None:
            self.began_at = self.now() - run.clock()
        self.stopwatch.apply(event)

    @property
    def turn(self) -> Turn:
        """Return the turn as received so far, without the calls of an answer that was cut off."""
        state = self.run.state
        phase = state.phase
        return Turn(
            id=self.turn_id,
            parent=self.parent,
            document=self.document,
            text=state.text,
            calls=self._calls() if phase == "done" else (),
            changed_ids=self._changed_ids() if phase == "done" else {},
            run_id=self.run.id,
            request_id=state.request_id,
            phase=phase,
            finish_reason=state.finish_reason,
            usage=state.usage,
            error=_sentences(state.error.title, state.error.detail) if state.error else "",
            go=self.go,
            began_at=self.began_at,
            times=self.stopwatch.times,
        )

    def _changed_ids(self) -> dict[str, str]:
        came = (call.id for call in self.run.state.calls)
        return {call.id: own for call, own in zip(self._calls(), came, strict=True) if call.id != own}

    def _calls(self) -> tuple[ToolCall, ...]:
        taken = [call.id for message in self.document.messages for call in message.tool_calls]
        came = [(call.id, call.name, call.arguments) for call in self.run.state.calls]
        return tuple(with_unique_ids(came, taken))


def _sentences(*texts: str) -> str:
    return " ".join(text if text[-1] in ".!?…" else f"{text}." for text in map(str.strip, texts) if text)


DEFAULT_LIMIT = 5
MOST_REQUESTS = 50
"""Upper bound of any limit: a runaway loop costs money (electron-api.md, Tools and the filler phrase)."""


Send: TypeAlias = Callable[[Document, Callable[[Run], None]], Awaitable[object]]
"""Sends a document and waits for the end of the run.

Calls the second argument once with the run, before its first byte is sent. Raises InputError if the document cannot be
sent; errors of the exchange are in the run's state.
"""


class AgentLoop:
    """Continues one conversation, one `run` at a time.

    `conversation` is replaced as turns and results arrive. `listener` is called synchronously after each update.
    `limit`: requests per run of the loop, from 1 to MOST_REQUESTS; raises ValueError otherwise.
    """

    def __init__(
        self,
        conversation: Conversation,
        send: Send,
        answerer: ToolExecutor,
        *,
        listener: Callable[[Happening], None] = lambda _happening: None,
        limit: int = DEFAULT_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= limit <= MOST_REQUESTS:
            raise ValueError(f"an agent loop's limit is from 1 to {MOST_REQUESTS}, not {limit}")
        self.conversation = conversation
        self.limit = limit
        self._send, self._answerer, self._emit, self._clock = send, answerer, listener, clock
        self._go, self._zero, self._requests = "", 0.0, 0
        self._last: str | None = None
        self._stop_asked = False
        self._watch: Watch | None = None
        self._working: tuple[asyncio.Task[None], ...] = ()

    @property
    def live(self) -> Conversation:
        """Return `conversation` including the current turn as received so far, with the phase of its run."""
        return self.conversation.with_turn(self._watch.turn) if self._watch is not None else self.conversation

    @property
    def coming(self) -> tuple[ToolCallState, ...]:
        """Return the calls of the unfinished answer, with the arguments received so far."""
        return tuple(self._watch.run.state.calls) if self._watch is not None else ()

    def now(self) -> float:
        return self._clock() - self._zero

    def run(self, at: str | None = None, add: tuple[Message, ...] = ()) -> Coroutine[None, None, AgentLoopEnded]:
        """Return an awaitable that runs the loop from a turn (None: from the prompt) until there is an answer. Await it
        once.

        Answers the turn's open calls first, then appends `add`, such as the user's next message. Expected errors are in
        the outcome. Cancelling stops the loop, reports its end and raises CancelledError.
        """
        # Not in the coroutine: a stop may arrive before the coroutine's first step.
        self._last, self._stop_asked = at, False
        return self._run_through(self.conversation.turns[at] if at is not None else None, add)

    async def _run_through(self, turn: Turn | None, add: tuple[Message, ...]) -> AgentLoopEnded:
        self._go, self._zero, self._requests = new_id(), self._clock(), 0
        ended = self._end("stopped")
        try:
            ended = await self._go_on(turn, add)
        except asyncio.CancelledError:
            ended = self._end("stopped")
            raise
        except BaseException as error:
            ended = self._end("failed", str(error))
            raise
        finally:
            self._emit(ended)
        return ended

    def stop(self) -> None:
        """Stop the loop immediately and keep the received part. Can be called repeatedly, and after the end."""
        self._stop_asked = True
        if self._watch is not None:
            # The run ends as stopped and keeps the received part of its answer.
            self._watch.run.stop()
            return
        for task in self._working:
            task.cancel()

    def _end(self, reason: EndReason, error: str = "") -> AgentLoopEnded:
        return AgentLoopEnded(reason, self._last, self._requests, error)

    async def _go_on(self, turn: Turn | None, add: tuple[Message, ...]) -> AgentLoopEnded:
        while True:
            if turn is not None and not self._stop_asked:
                await self._answer_calls(turn)
            if self._stop_asked:
                return self._end("stopped")
            document = self.conversation.document(self._last)
            try:
                turn = await self._request(replace(document, messages=(*document.messages, *add)))
            except InputError as bad:
                return self._end("failed", str(bad))
            add = ()
            reason = self._reason(turn)
            if reason is not None:
                return self._end(reason, turn.error if turn is not None and reason == "failed" else "")

    def _reason(self, turn: Turn | None) -> EndReason | None:
        """Return the reason to end the loop after this turn, if any."""
        if turn is None or turn.phase == "stopped":
            return "stopped"
        if turn.phase != "done":
            return "failed"
        if not turn.calls:
            return "answered"
        if self._stop_asked:
            return "stopped"
        return "limit" if self._requests >= self.limit else None

    async def _request(self, document: Document) -> Turn | None:
        """Send one request. Returns None if it was stopped before it began. Raises InputError."""
        turn_id, parent = new_id(), self._last
        refused: list[InputError] = []

        def began(run: Run) -> None:
            self._last = turn_id
            self._requests += 1
            self._watch = Watch(run, self.now, turn_id, parent, document, self._go)
            self._emit(TurnStarted(turn_id, self._requests, self.limit, document, run))
            if self._stop_asked:
                run.stop()

        async def send() -> None:
            try:
                await self._send(document, began)
            except InputError as bad:
                refused.append(bad)
            finally:
                watch, self._watch = self._watch, None
                if watch is not None:
                    self._keep(watch.turn)

        await self._work([send()])
        if refused:
            raise refused[0]
        return self.conversation.turns.get(turn_id)

    def _keep(self, turn: Turn) -> None:
        if turn.phase not in ENDED:
            turn = replace(turn, phase="stopped")  # The task was cancelled before the run could be stopped.
        self.conversation = self.conversation.with_turn(turn)
        self._emit(TurnEnded(turn))

    async def _work(self, jobs: Iterable[Coroutine[None, None, None]]) -> None:
        """Run the jobs concurrently; `stop` cancels the unfinished ones."""
        try:
            async with asyncio.TaskGroup() as group:
                self._working = tuple(group.create_task(job, name="chain") for job in jobs)
        except BaseExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        finally:
            self._working = ()

    async def _answer_calls(self, turn: Turn) -> None:
        if not turn.open_calls:
            return
        schemas = schemas_by_name([dict(tool.definition) for tool in turn.document.tools])
        made = Counter(call.name for before in self.conversation.path(turn.parent) for call in before.calls)
        jobs = []
        for call in turn.calls:
            if call in turn.open_calls:
                jobs.append(self._call(turn.id, call, schemas, made[call.name]))
            made[call.name] += 1
        await self._work(jobs)

    async def _call(self, turn_id: str, call: ToolCall, schemas: dict[str, Json], nth: int) -> None:
        started_at = self.now()
        running = Result(call.id, call.name, "", "running", started_at=started_at, go=self._go)
        self.conversation = self.conversation.with_result(turn_id, running)
        self._emit(CallStarted(turn_id, call, started_at))
        outcome = ToolOutcome("stopped", "")
        try:
            outcome = await self._answerer.answer(call, schemas, nth)
        finally:
            done = outcome.text, outcome.kind, outcome.problems
            result = Result(call.id, call.name, *done, started_at, self.now(), self._go)
            self.conversation = self.conversation.with_result(turn_id, result)
            self._emit(CallEnded(turn_id, call, result))
