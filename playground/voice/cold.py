"""A prompt that no cache can know: for measuring the cold start beside the warm one."""

from __future__ import annotations

import uuid
from dataclasses import replace

from playground.prompt.document import Document, Tool


def cold(document: Document) -> Document:
    """The same prompt with words of its own before the first message, and without a shared catalogue before them.

    Tools come before the messages in the prefix (assumed), so the first one's description gets the words too.
    """
    words = uuid.uuid4().hex[:8]
    messages = document.messages
    if messages:
        first = replace(messages[0], content=f"[{words}] {messages[0].content or ''}")
        messages = (first, *messages[1:])
    return replace(document, messages=messages, tools=_other(document, words))


def _other(document: Document, words: str) -> tuple[Tool, ...]:
    if not document.tools:
        return ()
    definition = dict(document.tools[0].definition)
    function = definition.get("function")
    if isinstance(function, dict):
        said = function.get("description")
        definition["function"] = {**function, "description": f"[{words}] {said if isinstance(said, str) else ''}"}
    return (Tool.of(definition), *document.tools[1:])
