"""Tool calls inside a prompt: open calls at a message, and new calls."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from playground.prompt.document import Document, Message, ToolCall


def open_calls(messages: tuple[Message, ...], index: int) -> tuple[ToolCall, ...]:
    """The calls that a tool message at `index` could answer: of the assistant before it, not yet answered by others."""
    answered = set()
    for at in range(index - 1, -1, -1):
        if messages[at].role == "tool":
            answered.add(messages[at].tool_call_id)
        else:
            return tuple(call for call in messages[at].tool_calls if call.id not in answered)
    return ()


def with_new_call(document: Document, index: int) -> Document:
    """The document with one more call on assistant message `index`: of its first tool, under an id of its own."""
    message = document.messages[index]
    taken = {call.id for other in document.messages for call in other.tool_calls}
    call_id = next(name for name in (f"call_{number}" for number in count(1)) if name not in taken)
    name = document.tools[0].name if document.tools else "tool_name"
    calls = (*message.tool_calls, ToolCall(call_id, name, "{}"))
    # An empty text beside calls is no filler: it is not sent.
    return document.with_message(index, replace(message, tool_calls=calls, content=message.content or None))
