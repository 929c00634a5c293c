"""Executes one tool call: checks the arguments, then returns the mock's reply after its delay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from playground.agent.tool_mocks import MockReply, ToolMocks, fill
from playground.prompt.document import Json, ToolCall
from playground.prompt.field_errors import FieldError
from playground.prompt.json_text import JsonFault, read_json
from playground.tools.schema import check_arguments

ResultKind: TypeAlias = Literal[
    "answered", "error", "bad_json", "wrong_arguments", "unknown_tool", "failed", "running", "stopped"
]
"""answered · error: configured in the mock · bad_json, wrong_arguments, unknown_tool: the call is invalid, and the
model gets the reason · failed: no result (no consent, no connection, no reply by the user) · running: not returned
yet · stopped: not returned when the loop was stopped. The last two are not sent.
"""


class ToolOutcome(Struct, frozen=True):
    """A result as sent to the model. `problems`: errors of the call's arguments, with paths inside them."""

    kind: ResultKind
    text: str
    problems: tuple[FieldError, ...] = ()


class ToolExecutionError(Exception):
    """Raised by `ask` or `fetch` if there is no result; the user and the model receive the message."""


class Question(Struct, frozen=True):
    """A call that waits for the user. `hint`: the mock's text for the user."""

    call: ToolCall
    arguments: Mapping[str, Json]
    hint: str = ""


Ask: TypeAlias = Callable[[Question], Awaitable[str]]
Fetch: TypeAlias = Callable[[str, Mapping[str, Json]], Awaitable[str]]
"""Posts the arguments as JSON to an address that `allowed` has accepted, and returns the body of the response."""


Serve: TypeAlias = Callable[[str, str, Mapping[str, Json]], Awaitable[str]]
"""Calls a tool of a tool server: (server, tool, arguments). Asks for consent itself."""


class ToolExecutor:
    """Answers calls from one book.

    `allowed` returns whether the user lets this prompt call an address, and asks them if necessary. It is called
    before every `fetch`; without it no address is called.
    """

    def __init__(
        self,
        book: ToolMocks,
        ask: Ask,
        *,
        fetch: Fetch | None = None,
        allowed: Callable[[str], Awaitable[bool]] | None = None,
        serve: Serve | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._book, self._ask, self._fetch, self._allowed, self._sleep = book, ask, fetch, allowed, sleep
        self._serve = serve

    async def answer(self, call: ToolCall, schemas: Mapping[str, Json], nth: int) -> ToolOutcome:
        """Return the outcome of a call.

        `schemas`: parameters by tool name. `nth`: index among the calls of that tool, from 0.
        """
        wrong = judge(call, schemas)
        if wrong is not None:
            return wrong
        arguments: dict[str, Json] = json.loads(call.arguments)
        reply = self._book.reply(call.name, arguments)
        delay_s = self._book.delay_s(call.name, reply, nth)
        if delay_s > 0:
            await self._sleep(delay_s)
        try:
            return await self._outcome(reply, call, arguments)
        except ToolExecutionError as failure:
            return ToolOutcome("failed", error_text(str(failure)))

    async def _outcome(self, reply: MockReply, call: ToolCall, arguments: Mapping[str, Json]) -> ToolOutcome:
        match reply.kind:
            case "fixed":
                return ToolOutcome("answered", reply.text)
            case "template":
                return ToolOutcome("answered", fill(reply.text, arguments))
            case "error":
                return ToolOutcome("error", error_text(fill(reply.text, arguments) or "The tool failed."))
            case "ask":
                return ToolOutcome("answered", await self._ask(Question(call, arguments, reply.text)))
            case "http":
                return ToolOutcome("answered", await self._fetched(reply.text, arguments))

            case "mcp":
                return ToolOutcome("answered", await self._served(reply.text, call.name, arguments))

    async def _served(self, server: str, name: str, arguments: Mapping[str, Json]) -> str:
        if self._serve is None:
            raise ToolExecutionError(f"{name} was not called: no tool servers here.")
        return await self._serve(server, name, arguments)

    async def _fetched(self, url: str, arguments: Mapping[str, Json]) -> str:
        if self._fetch is None or self._allowed is None or not await self._allowed(url):
            raise ToolExecutionError(f"{url} was not called: there is no consent for it.")
        return await self._fetch(url, arguments)


def judge(call: ToolCall, schemas: Mapping[str, Json]) -> ToolOutcome | None:
    """Return the error of an invalid call, for the model; None for a valid call."""
    if call.name not in schemas:
        known = ", ".join(schemas) or "there are none"
        return ToolOutcome("unknown_tool", error_text(f"There is no tool {call.name!r}. Tools: {known}."))
    problems = check_arguments(call.arguments, schemas[call.name]).errors
    if not problems:
        return None
    words = "; ".join(str(problem) for problem in problems)
    kind: ResultKind = "bad_json" if isinstance(read_json(call.arguments), JsonFault) else "wrong_arguments"
    return ToolOutcome(kind, error_text(f"The arguments of {call.name} are wrong: {words}."), problems)


def error_text(message: str) -> str:
    """Return an error as sent to the model: one JSON object."""
    return json.dumps({"error": message}, ensure_ascii=False)
