"""Agent loops in the program: requests through the request service, tool mocks and conversations on disk, the vendor's
example.

Of the example: the simulator adds the scripted time to each chunk. The same events are also placed at these times,
which gives the vendor's figures to the millisecond, independent of this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground import asset
from playground.agent.conversation import Conversation, Result, from_fields, to_fields
from playground.agent.loop import AgentLoop, AgentLoopEnded, CallEnded, Happening, Send, TurnStarted, measured
from playground.agent.tool_mocks import (
    Ask,
    FixedDelay,
    MockReply,
    Question,
    ToolExecutionError,
    ToolExecutor,
    ToolMock,
    ToolMocks,
    all_replies,
    consent_key,
    dump,
    load,
    with_replies,
)
from playground.client.connection import LocalToolError, post_arguments
from playground.client.events import AnyEvent, RawEvent
from playground.client.redact import redact
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.field_errors import InputError
from playground.prompt.files import content_id, parse_bytes
from playground.runs.record import group_tag
from playground.runs.run import Run
from playground.runs.state import measure
from playground.simulator.process import SimulatorError
from playground.storage.json_file import FileWriter, JsonFile
from playground.tasks import Consents, Subscribers
from playground.tools.mcp_servers import ToolServerError, filled
from playground.voice.timeline import MeasuredTool, MeasuredTurn

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog
    from playground.runs.service import PendingRequest
    from playground.storage.server_secrets import ServerSecrets
    from playground.tasks import Tasks
    from playground.tools.mcp_servers import ToolServers


ANSWERS_FILE, CONVERSATION_FILE = "tool_answers.json", "conversation.json"
TYPING_S = 1.0
"""Pause after a change of the mocks, before the secrets in them are stored."""
SAMPLE = "acme-billing-agent"
"""Name of the sample prompt with tools."""


def prompt_key(document: Document) -> str:
    """Return the key of a prompt's tool mocks: its id, or its content. Another prompt with its name has another key."""
    return document.id or content_id(document)


def consent_owner(document: Document) -> str:
    """Return what a consent belongs to: the prompt with its present tools."""
    tools = hashlib.sha256("\n".join(tool.json_text for tool in document.tools).encode("utf-8", "surrogatepass"))
    return f"{prompt_key(document)} {tools.hexdigest()[:32]}"


@lru_cache(maxsize=1)
def _sample() -> tuple[tuple[Tool, ...], ToolMocks]:
    tools = parse_bytes(asset(f"prompts/{SAMPLE}.prompt.json").read_bytes()).document.tools
    return tools, load(asset(f"prompts/{SAMPLE}.answers.json").read_text("utf-8"))


class AgentHost(Protocol):
    """The application services that agent loops use."""

    folder: Path
    tasks: Tasks
    log: RequestLog | None
    writer: FileWriter
    on_notice: Subscribers[[str]]

    @property
    def tool_servers(self) -> ToolServers: ...

    @property
    def server_secrets(self) -> ServerSecrets: ...

    async def send(
        self, document: Document, on_dispatch: Callable[[PendingRequest], None], *, tags: Sequence[str] = ()
    ) -> PendingRequest:
        """Send a document to the endpoint in use. `tags` are stored with the request."""

    def report_tool(self, conversation: str, result: Result) -> None:
        """Pass a tool's result to telemetry."""


class AgentService:
    """Tool mocks, conversations and loops of one window. Reads its files on construction."""

    def __init__(self, host: AgentHost) -> None:
        self._host = host
        self._answers = JsonFile(host.folder / ANSWERS_FILE, "The file of tool answers")
        self._kept = JsonFile(host.folder / CONVERSATION_FILE, "The kept conversation")
        self._books = self._answers.read(_books) or {}
        self._keeping: asyncio.Task[None] | None = None
        self._consents = Consents()
        self.allow_address: Callable[[str], Awaitable[bool]] = _no
        """Asks the user whether the current prompt may call an address on this machine."""
        self.on_prompt_sent: Subscribers[[Document, str]] = Subscribers()
        """A conversation's prompt and the run_id of each first turn."""
        self.dispatches: dict[str, PendingRequest] = {}
        """Forecasts and explanations of this session's requests, by run_id."""
        self.conversation = self._kept.read(from_fields)
        """The newest conversation, possibly of an earlier session; None without one."""

    @property
    def notice(self) -> str:
        """Errors of the files read, as a sentence; empty without errors."""
        return " ".join(part for part in (self._answers.notice, self._kept.notice) if part)

    def book(self, document: Document) -> ToolMocks:
        """Return the mocks of a prompt's tools; for the sample prompt's tools the shipped mocks until they change."""
        saved = self._books.get(prompt_key(document))
        if saved is not None:
            return saved
        tools, mocks = _sample()
        return mocks if document.tools == tools else ToolMocks()

    def keep_book(self, document: Document, book: ToolMocks) -> None:
        """Save the mocks of a prompt's tools, in the worker that writes files."""
        hide = self._host.server_secrets.hide
        self._books[prompt_key(document)] = book
        self._books = {key: with_replies(each, partial(_hidden, hide)) for key, each in self._books.items()}
        replies = [reply for each in self._books.values() for reply in all_replies(each)]
        self._host.server_secrets.want(reply.text for reply in replies if reply.kind in ("mcp", "http"))
        rows: dict[str, Json] = {key: dump(each) for key, each in self._books.items()}
        self._host.writer.submit(lambda: _written(self._answers, rows, "The tool mocks"), self._host.on_notice)
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = self._host.tasks.start(self._keep_secrets(), "store the secrets of tool servers")

    async def _keep_secrets(self) -> None:
        await asyncio.sleep(TYPING_S)
        if error := await self._host.server_secrets.flush():
            self._host.on_notice(error)

    def keep_conversation(self, conversation: Conversation) -> None:
        """Save a conversation for the next start, in the worker that writes files."""
        self.conversation = conversation
        self._host.writer.submit(lambda: self._write(conversation), self._host.on_notice)

    async def keep_soon(self, conversation: Conversation) -> None:
        """Save a conversation while its loop runs; an error is reported after the loop has ended."""
        self.conversation = conversation
        self._host.writer.submit(lambda: self._write(conversation), lambda _error: None)
        await self._host.writer.flush()

    def _write(self, conversation: Conversation) -> str:
        if conversation is not self.conversation:
            return ""  # A newer version is queued.
        return _written(self._kept, to_fields(conversation), "The conversation")

    def loop(
        self, conversation: Conversation, ask: Ask, listener: Callable[[Happening], None], limit: int
    ) -> AgentLoop:
        """Return an agent loop for this conversation, with the prompt's tool mocks."""
        answerer = ToolExecutor(
            self.book(conversation.root),
            ask,
            fetch=self._fetch,
            allowed=self._allowed(conversation),
            serve=partial(self._serve, consent_owner(conversation.root)),
        )
        return AgentLoop(
            conversation,
            partial(self._send, conversation.id),
            answerer,
            listener=self._tied(conversation, listener),
            limit=limit,
        )

    def _tied(self, conversation: Conversation, listener: Callable[[Happening], None]) -> Callable[[Happening], None]:
        """Note the conversation of each turn and its prompt, and pass tool calls to telemetry."""

        def on_event(happening: Happening) -> None:
            if isinstance(happening, TurnStarted):
                happening.run.conversation = conversation.id
                if happening.document == conversation.root:
                    self.on_prompt_sent(conversation.root, happening.run.id)
            if isinstance(happening, CallEnded):
                self._host.report_tool(conversation.id, happening.result)
            listener(happening)

        return on_event

    async def _send(self, conversation_id: str, document: Document, began: Callable[[Run], None]) -> None:
        def dispatched(dispatch: PendingRequest) -> None:
            self.dispatches[dispatch.run.id] = dispatch
            began(dispatch.run)

        await self._host.send(document, dispatched, tags=[tag_of(conversation_id)])

    def _allowed(self, conversation: Conversation) -> Callable[[str], Awaitable[bool]]:
        async def allowed(url: str) -> bool:
            try:
                key = consent_key(consent_owner(conversation.root), url)
            except InputError:
                return False
            return await self._consents.given(key, lambda: self.allow_address(url))

        return allowed

    async def _fetch(self, url: str, arguments: Mapping[str, Json]) -> str:
        try:
            secrets = await self._host.server_secrets.of(url)
        except InputError as unknown:
            raise ToolExecutionError(str(unknown)) from None
        masked = "\n".join(secrets)
        try:
            text = await post_arguments(filled(url, secrets), arguments)
            return await asyncio.to_thread(redact, text, masked)
        except LocalToolError as failed:
            raise ToolExecutionError(redact(str(failed), masked)) from None

    async def _serve(self, owner: str, server: str, name: str, arguments: Mapping[str, Json]) -> str:
        try:
            return await self._host.tool_servers.call(server, name, arguments, owner)
        except (ToolServerError, InputError) as failed:
            raise ToolExecutionError(str(failed)) from None


async def see_through(chain: AgentLoop, run: Awaitable[AgentLoopEnded]) -> AgentLoopEnded:
    """Await the loop. If the simulator does not start, the loop fails with its message."""
    try:
        return await run
    except SimulatorError as failed:
        return AgentLoopEnded("failed", None, 0, str(failed))
    except asyncio.CancelledError:
        chain.stop()
        raise


def _written(file: JsonFile, value: Json, label: str) -> str:
    """Write a file. Returns the error message, or an empty text."""
    try:
        file.write(value)
    except OSError as error:
        return f"{label} cannot be saved: {error.strerror or error}."
    return ""


def _hidden(hide: Callable[[str], str], reply: MockReply) -> MockReply:
    return replace(reply, text=hide(reply.text)) if reply.kind in ("mcp", "http") else reply


def tag_of(conversation_id: str) -> str:
    """Return the tag of a conversation's requests in the log."""
    return group_tag("agent", conversation_id[:8])


def with_tool_servers(book: ToolMocks, names: list[str], server: str) -> ToolMocks:
    """Return the mocks with these tools answered by a tool server."""
    return replace(book, tools={**book.tools, **{name: ToolMock(MockReply("mcp", server)) for name in names}})


def _books(value: Json) -> dict[str, ToolMocks]:
    return {key: load(text) for key, text in msgspec.convert(value, dict[str, str]).items()}


async def _no(_address: str) -> bool:
    return False


TOOL_S = 0.52
"""electron-api.md, Tools and the filler phrase: started at 280 ms, back at 800 ms."""
_TOOL = Tool.of(
    {
        "type": "function",
        "function": {
            "name": "get_balance",
            "description": "Tells what an account has to pay.",
            "parameters": {"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]},
        },
    }
)
EXAMPLE = Document(
    tools=(_TOOL,),
    messages=(
        Message("system", "You are a phone agent. Briefly acknowledge out loud before using any tool."),
        Message("user", "What do I have to pay?"),
    ),
    parameters={"scenario": "voice_example"},
)


class Example(Struct, frozen=True):
    """`scripted`: at the times that the vendor documents. `measured`: as measured on this machine."""

    scripted: tuple[MeasuredTurn, ...]
    measured: tuple[MeasuredTurn, ...]
    error: str = ""


async def play(send: Send) -> Example:
    """Run the example: two requests, one tool. An error of the exchange is in `error`."""
    heard: list[list[AnyEvent]] = []

    def listen(happening: Happening) -> None:
        if isinstance(happening, TurnStarted):
            events: list[AnyEvent] = []
            heard.append(events)
            happening.run.subscribe(lambda _run, event: events.append(event))

    book = ToolMocks({"get_balance": ToolMock(MockReply("fixed", "412", FixedDelay(TOOL_S * 1000)))})
    loop = AgentLoop(Conversation(EXAMPLE), send, ToolExecutor(book, _nobody), listener=listen)
    ended = await loop.run()
    turns = measured(loop.conversation, ended.turn_id) if ended.turn_id else ()
    return Example(scripted(heard), turns, "" if ended.reason == "answered" else ended.error or ended.reason)


async def _nobody(question: Question) -> str:
    raise ToolExecutionError(f"{question.call.name} is not in the example.")


def scripted(turns: Iterable[list[AnyEvent]]) -> tuple[MeasuredTurn, ...]:
    """Return the turns at their scripted times; the tool takes the documented time."""
    placed: list[MeasuredTurn] = []
    began_at = 0.0
    for events in turns:
        times = measure(_retimed(events))
        ended_at = began_at + (times.ended_at or 0.0)
        tools = tuple(MeasuredTool(call.name, ended_at, ended_at + TOOL_S) for call in times.calls)
        placed.append(MeasuredTurn(began_at, times, tools))
        began_at = ended_at + TOOL_S if tools else ended_at
    return tuple(placed)


def _retimed(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    at, found = 0.0, list[AnyEvent]()
    for event in events:
        if isinstance(event, RawEvent) and event.data != "[DONE]":
            at = json.loads(event.data).get("simulated_ms", at * 1000) / 1000
        found.append(replace(event, at=at))
    return found
