"""A data folder with something in every file, and a small server for `send`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from playground.agent.conversation import Conversation
from playground.agent.service import AgentService
from playground.agent.tool_mocks import MockReply, ToolMock, ToolMocks
from playground.client.endpoint import ELECTRON_ID, Endpoint
from playground.experiments.lab import FILE as LAB_FILE
from playground.experiments.lab import LabProgress, Reading, plan_blocks, to_json
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import dump
from playground.runs.service import PendingRequest
from playground.services import AppServices
from playground.storage.draft import DraftState
from playground.storage.json_file import JsonFile
from playground.tasks import Tasks

PROMPT_FILE = "prompt.json"
TOOL = Tool.of({"type": "function", "function": {"name": "get", "description": "d", "parameters": {"type": "object"}}})
DOCUMENT = Document(
    name="faults",
    tools=(TOOL,),
    messages=(Message("system", "You are brief. " * 20), Message("user", "Hello {{caller}}")),
    variables={"caller": "Asha"},
    parameters={"temperature": 0.5, "tool_choice": "auto"},
    id="faults",
)


def report(name: str, error: BaseException) -> None:
    """Fail loudly: no background task of a fault case may raise."""
    raise AssertionError(f"{name}: {error!r}") from error


def fill(folder: Path, base_url: str, requests: int = 3) -> None:
    """Write every file of a data folder through the program's own services."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROMPT_FILE).write_text(dump(DOCUMENT))
    asyncio.run(_fill(folder, base_url, requests))


async def _fill(folder: Path, base_url: str, requests: int) -> None:
    services = AppServices(folder, {}, Tasks(report))
    try:
        services.settings.set("theme", "dark")
        services.settings.set("splitter_sizes", [500, 400, 300])
        services.settings.set("window_geometry", "AdnQywAD")
        services.settings.set("saved_filters", {"Failed": "is:failed"})
        server = services.endpoints.add(Endpoint("", "Local", base_url, "m", needs_key=False))
        electron = services.endpoints.get(ELECTRON_ID)
        services.endpoints.change(replace(electron, model="electron-2"))
        draft = services.open_draft()
        draft.note(DraftState(DOCUMENT, str(folder / PROMPT_FILE), dump(DOCUMENT)))
        agent = AgentService(services)
        agent.keep_book(DOCUMENT, ToolMocks({"get": ToolMock(MockReply("fixed", "42"))}))
        agent.keep_conversation(Conversation(DOCUMENT))
        reading = Reading(0, 1_800_000_000.0, "done", "req-0", 975, 0, 0.2, None)
        lab = LabProgress(plan_blocks((24, 48), seed=1), server.id, (reading,))
        JsonFile(folder / LAB_FILE, "The cache lab's file").write(to_json(lab))
        await services.open_log()
        await services.remember_sent(server)
        for _ in range(requests):
            await services.sender.send(DOCUMENT, server, _ignore)
    finally:
        await services.close()


def _ignore(_pending: PendingRequest) -> None:
    pass


@contextlib.contextmanager
def server(status: str = "200 OK", headers: str = "") -> Iterator[str]:
    """Serve the same completion to every request on loopback; yields the base URL."""
    usage = {"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 64}}
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi "}, "finish_reason": None}]},
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "x" * 2_000}, "finish_reason": "stop"}]},
        {"id": "c", "choices": [], "usage": usage},
    ]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/event-stream\r\nX-Request-Id: req-1\r\n{headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as received:
            length = 0
            while line := received.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            # A client that was killed has sent less.
            if len(received.read(length)) < length:
                return
            connection.sendall((head + body).encode())

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), name="answer", daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()
