"""Tool servers of one session, in a thread with a separate event loop.

The SDK's task library does not support the window's Qt event loop, and a flood of messages from a server must not delay
the window.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from playground.mcp_tools.session import (
    CALL_S,
    CONNECT_S,
    McpSession,
    ToolServerError,
    call_tool,
    list_tools,
    read_address,
)
from playground.prompt.document import Json, Tool
from playground.tools.import_definitions import from_json

Answer = TypeVar("Answer")
Allowed = Callable[[str], Coroutine[Any, Any, bool]]


class ToolServers:
    """Connects on first use, keeps connections, and ends them with `close`.

    A server is identified by the text that the user typed: a command line or an address.
    """

    def __init__(self, allowed: Allowed) -> None:
        """`allowed` asks the user whether a prompt may call a server's tools, once, before the first call."""
        self._allowed = allowed
        self._consent: set[tuple[str, str]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._sessions: dict[str, tuple[McpSession, asyncio.Task[None]]] = {}

    async def tools(self, server: str) -> tuple[Tool, ...]:
        """Return the tools of a server as tools of a prompt.

        Raises InputError for an invalid address, ToolServerError.
        """
        where = read_address(server)
        found = await self._in_thread(self._ask(server, where, list_tools, CONNECT_S))
        if not found:
            raise ToolServerError(f"{server} has no tools.")
        pasted = [from_json(json.dumps(_definition(fields))).tools[0] for fields in found]
        return tuple(pasted)

    async def call(self, server: str, name: str, arguments: Mapping[str, Json], owner: str) -> str:
        """Return a tool's result. `owner` is the prompt that the consent belongs to.

        Raises InputError for an invalid address, ToolServerError, also without consent.
        """
        where = read_address(server)
        if (owner, server) not in self._consent:
            if not await self._allowed(server):
                raise ToolServerError(f"{name} was not called: you did not allow {server}.")
            self._consent.add((owner, server))
        return await self._in_thread(
            self._ask(server, where, partial(call_tool, name=name, arguments=arguments), CALL_S)
        )

    async def _ask(self, server: str, where: Any, question: Callable[..., Any], limit_s: float) -> Any:
        session, task = self._sessions.get(server, (None, None))
        if session is None or session.over:
            session = McpSession(server, where)
            task = asyncio.get_running_loop().create_task(session.serve(), name=f"tool server {server}")
            self._sessions[server] = session, task
        return await session.ask(question, limit_s)

    async def _in_thread(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="tool servers", daemon=True)
            self._thread.start()
        return self._loop

    async def close(self) -> None:
        """Disconnect from all servers and end the programs that were started for them."""
        if self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        await self._in_thread(self._close_all())
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()
        self._loop = self._thread = None

    async def _close_all(self) -> None:
        for _, task in self._sessions.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._sessions.values()), return_exceptions=True)
        self._sessions.clear()


def _definition(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return the parts of a server's description that a prompt uses; omits hints for other programs."""
    return {name: fields[name] for name in ("name", "description", "inputSchema") if name in fields}
