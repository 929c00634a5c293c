"""Agent loops against a simulator over a real socket, with scripts defined by the tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from playground.agent.conversation import Conversation
from playground.agent.loop import AgentLoop, AgentLoopEnded, Happening
from playground.agent.tool_mocks import (
    FixedDelay,
    MockReply,
    Question,
    ToolExecutionError,
    ToolExecutor,
    ToolMock,
    ToolMocks,
)
from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.request import to_request
from playground.runs.run import Run
from playground.runs.state import RunState
from playground.simulator.process import SimulatorProcess
from tests.conftest import PATIENCE_S

Script = str | list[list[dict[str, Any]]]


def tool(name: str) -> Tool:
    """Return a tool with one required text."""
    parameters: dict[str, Json] = {
        "type": "object",
        "properties": {"account": {"type": "string"}},
        "required": ["account"],
    }
    return Tool.of({"type": "function", "function": {"name": name, "parameters": parameters}})


def says(at_ms: float, content: str) -> dict[str, Any]:
    """Return a text step of a script."""
    return {"at_ms": at_ms, "content": content}


def calls(at_ms: float, name: str, arguments: str = '{"account":"AC-1"}') -> dict[str, Any]:
    """Return a call step of a script."""
    return {"at_ms": at_ms, "call": {"name": name, "arguments": arguments}}


def prompt(script: Script, **parameters: Any) -> Document:
    """Return a prompt with scripted answers."""
    return Document(
        tools=(tool("get_balance"), tool("get_plan")),
        messages=(Message("system", "You are Mira."), Message("user", "My {{what}}?")),
        variables={"what": "balance"},
        parameters={"scenario": script, **parameters},  # type: ignore[dict-item]  # a script is JSON
    )


BOOK = ToolMocks(
    {
        "get_balance": ToolMock(MockReply("template", '{"account":"{{account}}","balance":412}')),
        "get_plan": ToolMock(MockReply("fixed", "Plus", FixedDelay(1))),
    }
)
HANGS = ToolMocks({"get_balance": ToolMock(MockReply("fixed", "late", FixedDelay(600_000)))})


ANSWER = [says(1, "It is ₹412."), says(2, " Anything else?")]


async def nobody(question: Question) -> str:
    raise ToolExecutionError(f"Nobody is there to answer {question.call.name}.")


class Dialogue:
    """An agent loop and its events. `on` maps an event type to a function that the test runs on it."""

    def __init__(self, simulator: SimulatorProcess, document: Document, book: ToolMocks = BOOK, **more: Any) -> None:
        self.endpoint = Endpoint("simulator", "Simulator", simulator.base_url, "simulator")
        self.connection = Connection()
        self.told: list[Happening] = []
        self.on: dict[type, Callable[[Any], None]] = {}
        self.chain = AgentLoop(
            Conversation(document), self._send, ToolExecutor(book, nobody), listener=self._listen, **more
        )

    def _listen(self, happening: Happening) -> None:
        self.told.append(happening)
        self.on.get(type(happening), lambda _: None)(happening)

    async def _send(self, document: Document, began: Callable[[Run], None]) -> RunState:
        run = Run(
            id=uuid.uuid4().hex,
            document=document,
            request=to_request(document, "electron"),
            endpoint=self.endpoint,
            forecast=None,
            started_utc=datetime.now(UTC),
            connection=self.connection,
            key=None,
        )
        began(run)
        return await run.execute()

    @property
    def kinds(self) -> list[str]:
        """Return the names of the events, in order."""
        return [type(happening).__name__ for happening in self.told]

    def told_of(self, kind: type[Any]) -> list[Any]:
        """Return all events of one type."""
        return [happening for happening in self.told if isinstance(happening, kind)]


def play(dialogue: Dialogue, use: Callable[[Dialogue], Awaitable[None]] | None = None) -> AgentLoopEnded:
    """Run the loop, then `use` it, and close the connections."""

    async def main() -> AgentLoopEnded:
        try:
            ended = await asyncio.wait_for(dialogue.chain.run(), PATIENCE_S)
            if use is not None:
                await use(dialogue)
            return ended
        finally:
            await dialogue.connection.aclose()

    return asyncio.run(main())
