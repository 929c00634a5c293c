"""A real tool server, by the SDK: `python server.py stdio`, or `http PORT`."""

from __future__ import annotations

import os
import sys
import time

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("accounts")


@server.tool()
def get_balance(account_id: str) -> str:
    """Balance of an account."""
    return f"{account_id}: ₹412"


@server.tool()
def fail(reason: str) -> str:
    """Fails."""
    raise ToolError(reason)


@server.tool()
def die() -> str:
    """Ends the server."""
    os._exit(3)


@server.tool()
def long_text(characters: int) -> str:
    """Returns much."""
    return "x" * characters


@server.tool()
def environment(name: str) -> str:
    """A variable of the server's environment."""
    return os.environ.get(name, "absent")


@server.tool()
def hang() -> str:
    """Never returns."""
    time.sleep(3600)
    return ""


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[2]))
