"""Tools to begin with: those that voice agents have most often, and a blank one."""

from __future__ import annotations

import json
from functools import lru_cache

from playground.assets import asset
from playground.prompt.document import Json, Tool


@lru_cache(maxsize=1)
def templates() -> tuple[tuple[str, Tool], ...]:
    """(title, tool) of each template, in the order in which they are offered."""
    found = json.loads(asset("tools/voice-agent.json").read_text("utf-8"))
    return tuple((str(one["title"]), Tool.of(one["tool"])) for one in found)


def blank_tool() -> Tool:
    """A tool with one parameter, to be named."""
    properties: dict[str, Json] = {"query": {"type": "string", "description": "What to look for."}}
    parameters: dict[str, Json] = {"type": "object", "properties": properties, "required": ["query"]}
    description = "One sentence that says when to use it."
    function: dict[str, Json] = {"name": "new_tool", "description": description, "parameters": parameters}
    return Tool.of({"type": "function", "function": function})
