"""The vendor's example, run against the simulator: filler at 250 ms, answer audible at 1,200 ms.

The simulator adds the scripted time to each chunk. The same events are also placed at these times, which gives the
vendor's figures to the millisecond, independent of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from playground.agent.conversation import Conversation
from playground.agent.loop import AgentLoop, Happening, Send, TurnStarted, measured
from playground.agent.tool_mocks import (
    FixedDelay,
    MockReply,
    Question,
    ToolExecutionError,
    ToolExecutor,
    ToolMock,
    ToolMocks,
)
from playground.client.events import AnyEvent, RawEvent
from playground.prompt.document import Document, Message, Tool
from playground.runs.run import Run
from playground.runs.state import measure
from playground.voice.timeline import MeasuredTool, MeasuredTurn

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
DOCUMENT = Document(
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
            heard.append([])
            happening.run.subscribe(partial(_keep, heard[-1]))

    book = ToolMocks({"get_balance": ToolMock(MockReply("fixed", "412", FixedDelay(TOOL_S * 1000)))})
    loop = AgentLoop(Conversation(DOCUMENT), send, ToolExecutor(book, _nobody), listener=listen)
    ended = await loop.run()
    turns = measured(loop.conversation, ended.turn_id) if ended.turn_id else ()
    return Example(scripted(heard), turns, "" if ended.reason == "answered" else ended.error or ended.reason)


def _keep(heard: list[AnyEvent], _run: Run, event: AnyEvent) -> None:
    heard.append(event)


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
