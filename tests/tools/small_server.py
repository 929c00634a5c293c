"""A tool server without the SDK, whose import takes 0.7 s of processor time: JSON-RPC over standard input and output.

Its tools are those of `mcp_server.py`. For tests about the client; the tests about the protocol use the SDK's server.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
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


TOOLS: dict[str, Callable[..., str]] = {
    tool.__name__: tool for tool in (get_balance, fail, die, long_text, environment, hang)
}


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


def main() -> None:
    """Answer each line of standard input."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            answer["result"] = _answer(message["method"], message.get("params") or {})
        except KeyError:
            answer["error"] = {"code": -32601, "message": "Method not found"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
