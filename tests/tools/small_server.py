"""A tool server without the SDK, whose import takes 0.7 s of processor time: JSON-RPC over standard input and output,
or as `small_server.py http PORT` over HTTP, a thread for each request.

Its tools are those of `mcp_server.py`. For tests about the client; the tests about the protocol use the SDK's server.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ToolFailedError(Exception):
    """The tool's own error."""


def get_balance(account_id: str) -> str:
    """Balance of an account."""
    return f"{account_id}: ₹412"


def fail(reason: str) -> str:
    """Fails."""
    raise ToolFailedError(reason)


def die() -> str:
    """Ends the server."""
    os._exit(3)


def long_text(characters: int) -> str:
    """Returns much."""
    return "x" * characters


def environment(name: str) -> str:
    """A variable of the server's environment."""
    return os.environ.get(name, "absent")


def hang() -> str:
    """Never returns."""
    time.sleep(3600)
    return ""


def refuse() -> str:
    """Is no call that the server takes: a JSON-RPC error with the code that clients use for a closed connection."""
    raise ConnectionRefusedError


def leave() -> str:
    """Returns, and then the server ends."""
    global leaves
    leaves = True
    return "bye"


def drop() -> str:
    """Closes the connection of the call."""
    raise ConnectionAbortedError


def forget() -> str:
    """Forgets every session."""
    sessions.clear()
    return "forgotten"


TOOLS: dict[str, Callable[..., str]] = {
    tool.__name__: tool for tool in (get_balance, fail, die, long_text, environment, hang, refuse, leave, drop, forget)
}
leaves = False
sessions: set[str] = set()


def _described(name: str) -> dict[str, Any]:
    names = {key: value for key, value in TOOLS[name].__annotations__.items() if key != "return"}
    properties = {key: {"type": {"str": "string", "int": "integer"}[value]} for key, value in names.items()}
    schema = {"type": "object", "properties": properties, "required": list(names)}
    return {"name": name, "description": TOOLS[name].__doc__, "inputSchema": schema}


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        text, failed = TOOLS[name](**arguments), False
    except ToolFailedError as error:
        text, failed = str(error), True
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a response. Raises KeyError for an unknown method."""
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        "initialize": lambda: {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "accounts", "version": "1"},
        },
        "ping": dict,
        "tools/list": lambda: {"tools": [_described(name) for name in TOOLS]},
        "tools/call": lambda: _call(params["name"], params.get("arguments") or {}),
    }
    return answers[method]()


def _message(message: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    try:
        answer["result"] = _answer(message["method"], message.get("params") or {})
    except KeyError:
        answer["error"] = {"code": -32601, "message": "Method not found"}
    except ConnectionRefusedError:
        answer["error"] = {"code": -32000, "message": "account is locked"}
    return answer


class Handler(BaseHTTPRequestHandler):
    """One exchange of the protocol over HTTP, with sessions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        session = self.headers.get("Mcp-Session-Id")
        if message["method"] == "initialize":
            session = uuid.uuid4().hex
            sessions.add(session)
        if session not in sessions:
            self._reply(404, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}})
        elif "id" not in message:
            self._reply(202, None)
        else:
            try:
                self._reply(200, _message(message), session)
            except ConnectionAbortedError:
                self.close_connection = True

    def do_DELETE(self) -> None:
        self._reply(200, None)

    def _reply(self, status: int, value: Any, session: str | None = None) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None: ...


def main() -> None:
    """Answer each line of standard input, or each request."""
    if sys.argv[1:2] == ["http"]:
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            print(json.dumps(_message(message)), flush=True)
        if leaves:
            break


if __name__ == "__main__":
    main()
