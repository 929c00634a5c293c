"""Chains in the program: sent by the one sender, answered by the prompt's answers, tied together in the log, kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from playground.agent.conversation import Conversation
from playground.agent.conversation_files import from_fields, to_fields
from playground.agent.events import AgentLoopEnded, Happening, TurnEnded, TurnStarted
from playground.agent.loop import Chain
from playground.agent.tool_executor import Ask, ToolExecutionError, ToolExecutor
from playground.agent.tool_mock_files import consent_key, dump, load
from playground.agent.tool_mocks import ToolMocks
from playground.assets import asset
from playground.client.events import AnyEvent, HeadersReceived
from playground.client.local_tool import LocalToolError, post_arguments
from playground.mcp_tools.session import ToolServerError
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.runs.run import Run
from playground.simulator.launch import SimulatorError
from playground.storage.json_file import JsonFile

if TYPE_CHECKING:
    from playground.mcp_tools.service import ToolServers
    from playground.requestlog.log import RequestLog
    from playground.runs.service import PendingRequest
    from playground.tasks import Tasks

ANSWERS_FILE, CONVERSATION_FILE = "tool_answers.json", "conversation.json"
UNTITLED = "untitled"
SAMPLE = "acme-billing-agent"
"""The sample prompt with tools, by its name."""
TAG = "chain-"


def prompt_key(document: Document) -> str:
    """Under which a prompt's answers and consents are kept: its name."""
    return document.name.strip() or UNTITLED


class AgentHost(Protocol):
    """The application services that agent loops use."""

    @property
    def folder(self) -> Path: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def log(self) -> RequestLog | None: ...

    @property
    def tool_servers(self) -> ToolServers: ...

    async def send(self, document: Document, on_dispatch: Callable[[PendingRequest], None]) -> PendingRequest:
        """Send a document to the endpoint in use."""


class AgentService:
    """One a window. Reads its files when it is made."""

    def __init__(self, host: AgentHost) -> None:
        self._host = host
        self._answers = JsonFile(host.folder / ANSWERS_FILE, "The file of tool answers")
        self._kept = JsonFile(host.folder / CONVERSATION_FILE, "The kept conversation")
        self._books = self._answers.read(_books) or {}
        self._consents: set[str] = set()
        self._writing = threading.Lock()
        self.allow_address: Callable[[str], Awaitable[bool]] = _no
        """Asks whether an address on this machine may be called for the prompt in hand."""
        self.dispatches: dict[str, PendingRequest] = {}
        """What was known of each request of this session, by run_id: forecasts, and why."""
        self.conversation = self._kept.read(from_fields)
        """The conversation of last time, or the newest one; None where there was none."""

    @property
    def notice(self) -> str:
        """What was wrong with a file, a sentence; empty where nothing was."""
        return " ".join(part for part in (self._answers.notice, self._kept.notice) if part)

    def book(self, document: Document) -> ToolMocks:
        """The answers of a prompt's tools; those that are shipped with the sample prompt, until they are changed."""
        kept = self._books.get(prompt_key(document))
        if kept is None and prompt_key(document) == SAMPLE:
            return load(asset(f"prompts/{SAMPLE}.answers.json").read_text("utf-8"))
        return kept or ToolMocks()

    def keep_book(self, document: Document, book: ToolMocks) -> None:
        """Keep the answers of a prompt's tools. Raises OSError."""
        self._books[prompt_key(document)] = book
        kept: dict[str, Json] = {key: dump(each) for key, each in self._books.items()}
        self._answers.write(kept)

    def keep_conversation(self, conversation: Conversation) -> None:
        """Keep a conversation for the next start. Raises OSError."""
        self.conversation = conversation
        self._write(conversation)

    async def keep_soon(self, conversation: Conversation) -> None:
        """The same in a thread, while a chain runs; a disk that is full is told of when it has ended."""
        self.conversation = conversation
        with suppress(OSError):
            await asyncio.to_thread(self._write, conversation)

    def _write(self, conversation: Conversation) -> None:
        with self._writing:
            # One that has been overtaken by a newer one is not written over it.
            if conversation is self.conversation:
                self._kept.write(to_fields(conversation))

    def chain(self, conversation: Conversation, ask: Ask, listener: Callable[[Happening], None], limit: int) -> Chain:
        """A chain on this conversation, whose tools answer as the prompt's book says."""
        answerer = ToolExecutor(
            self.book(conversation.root), ask, fetch=self._fetch, allowed=self._allowed(conversation), serve=self._serve
        )
        return Chain(conversation, self._send, answerer, listener=self._tied(conversation.id, listener), limit=limit)

    def _tied(self, conversation_id: str, listener: Callable[[Happening], None]) -> Callable[[Happening], None]:
        """Each turn's row in the log gets the conversation's tag."""

        def tie(run_id: str) -> None:
            if self._host.log is not None:
                tagged = self._host.log.set_tags([run_id], [tag_of(conversation_id)])
                self._host.tasks.start(tagged, "tie a turn to its conversation")

        def heard(run: Run, event: AnyEvent) -> None:
            # By then it is in the log; a kill from here on leaves it tied.
            if isinstance(event, HeadersReceived):
                tie(run.id)

        def told(happening: Happening) -> None:
            if isinstance(happening, TurnStarted):
                happening.run.listen(heard)
            if isinstance(happening, TurnEnded) and happening.turn.run_id and happening.turn.request_id is None:
                tie(happening.turn.run_id)
            listener(happening)

        return told

    async def _send(self, document: Document, began: Callable[[Run], None]) -> None:
        def dispatched(dispatch: PendingRequest) -> None:
            self.dispatches[dispatch.run.id] = dispatch
            began(dispatch.run)

        await self._host.send(document, dispatched)

    def _allowed(self, conversation: Conversation) -> Callable[[str], Awaitable[bool]]:
        async def allowed(url: str) -> bool:
            try:
                key = consent_key(prompt_key(conversation.root), url)
            except InputError:
                return False
            if key not in self._consents and await self.allow_address(url):
                self._consents.add(key)
            return key in self._consents

        return allowed

    async def _fetch(self, url: str, arguments: Mapping[str, Json]) -> str:
        try:
            return await post_arguments(url, arguments)
        except LocalToolError as failed:
            raise ToolExecutionError(str(failed)) from None

    async def _serve(self, server: str, name: str, arguments: Mapping[str, Json]) -> str:
        try:
            return await self._host.tool_servers.call(server, name, arguments)
        except (ToolServerError, InputError) as failed:
            raise ToolExecutionError(str(failed)) from None


async def see_through(chain: Chain, run: Awaitable[AgentLoopEnded]) -> AgentLoopEnded:
    """Await a chain's run; where the simulator does not come up the chain has failed with its sentence."""
    try:
        return await run
    except SimulatorError as failed:
        return AgentLoopEnded("failed", None, 0, str(failed))
    except asyncio.CancelledError:
        chain.stop()
        raise


def tag_of(conversation_id: str) -> str:
    """The tag that ties a conversation's requests together in the log."""
    return f"{TAG}{conversation_id[:8]}"


def with_tool_servers(book: ToolMocks, names: list[str], server: str) -> ToolMocks:
    """The book with these tools answered by a tool server."""
    from playground.agent.tool_mocks import Reply, ToolMock

    return replace(book, tools={**book.tools, **{name: ToolMock(Reply("mcp", server)) for name in names}})


def _books(value: Json) -> dict[str, ToolMocks]:
    if not isinstance(value, dict):
        raise ValueError("answers are a table")
    return {key: load(str(text)) for key, text in value.items()}


async def _no(_address: str) -> bool:
    return False
