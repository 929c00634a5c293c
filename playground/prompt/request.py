"""Document to Request: the exact bytes that are sent, in one fixed order of keys."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec import Struct

from playground.prompt.document import Document, Json, Message, Tool, ToolCall, names, render
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.limits import invalid_errors


class Request(Struct, frozen=True):
    """A request body, frozen. `body` is UTF-8 JSON and is sent byte for byte."""

    body: bytes
    model: str
    stream: bool

    @property
    def fields(self) -> dict[str, Json]:
        """Parse the body."""
        value: dict[str, Json] = json.loads(self.body)
        return value


def encode(value: Json | Mapping[str, Json]) -> bytes:
    """Compact JSON in UTF-8, keys in the order given. A lone surrogate is written as its escape.

    Raises ValueError on NaN and infinities, which JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def message_fields(message: Message, variables: Mapping[str, str]) -> dict[str, Json]:
    """Return one message in the API's format."""
    fields: dict[str, Json] = {"role": message.role}
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    fields["content"] = None if message.content is None else render(message.content, variables).text
    if message.tool_calls:
        fields["tool_calls"] = [_call_fields(call) for call in message.tool_calls]
    if message.extra:
        fields.update(json.loads(message.extra))
    return fields


def _call_fields(call: ToolCall) -> dict[str, Json]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def body_fields(document: Document, model: str) -> dict[str, Json]:
    """Return the whole body as a mapping: model, tools, messages, parameters, stream. Missing variables stay as typed.

    An empty tools list is left out (electron-api.md: sending one is a mistake).
    """
    fields: dict[str, Json] = {"model": model}
    if document.tools:
        fields["tools"] = [dict(tool.definition) for tool in document.tools]
    fields["messages"] = [message_fields(m, document.variables) for m in document.messages]
    fields.update(document.parameters)
    if document.stream:
        fields["stream"] = True
        if document.include_usage:
            fields["stream_options"] = {"include_usage": True}
    return fields


def missing_variables(document: Document) -> tuple[FieldError, ...]:
    """Return an error for each variable without a value, in the order of first use. An empty text is a value."""
    return tuple(
        FieldError(("variables", name), f"{{{{{name}}}}} has no value.", "Give it one under Variables.")
        for name in names(document.messages)
        if name not in document.variables
    )


def to_request(document: Document, model: str) -> Request:
    """Freeze a document.

    Raises InputError if there is no message, a variable has no value, or a typed parameter is not valid.
    """
    problems = (*missing_variables(document), *invalid_errors(document.invalid))
    if not document.messages:
        problems = (*problems, FieldError(("messages",), "there is no message.", "Add at least one."))
    if problems:
        raise InputError(*problems)
    return Request(encode(body_fields(document, model)), model, document.stream)


__all__ = [
    "Document",
    "Message",
    "Request",
    "Tool",
    "body_fields",
    "encode",
    "missing_variables",
    "to_request",
]
