"""Prompt files, and plain OpenAI request bodies opened as prompts. A file that cannot be taken changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from playground.prompt.document import ROLES, Document, Json, Message, Tool, ToolCall
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.limits import OWN_PLACE
from playground.prompt.request import encode, message_fields

FORMAT_KEY = "electron_playground_prompt"
FORMAT_VERSION = 1
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Larger files are refused: 32,768 tokens are far below 1 MB of text."""

_MESSAGE_KEYS = ("role", "content", "tool_calls", "tool_call_id")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file held. `model` is what a plain request body names; a prompt file names none."""

    document: Document
    model: str | None = None


def dump(document: Document) -> str:
    """The document as a prompt file's text: JSON, indented, a lone surrogate as its escape."""
    value: dict[str, Json] = {
        FORMAT_KEY: FORMAT_VERSION,
        "name": document.name,
        "tools": [dict(tool.definition) for tool in document.tools],
        "messages": [message_fields(message, {}) for message in document.messages],
        "variables": dict(document.variables),
        "parameters": dict(document.parameters),
        "stream": document.stream,
        "include_usage": document.include_usage,
    }
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def load(text: str) -> Document:
    """The document in a prompt file or plain request body. Raises InputError."""
    return parse(text).document


def parse_bytes(data: bytes) -> Opened:
    """As `parse`, for a file's bytes: UTF-8, with or without a byte-order mark. Raises InputError."""
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            FieldError((), f"the file has {len(data):,} bytes; a prompt file has at most {MAX_FILE_BYTES:,}.")
        )
    try:
        return parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(
            FieldError(
                (),
                f"the file is not UTF-8 text (byte {error.start:,}).",
                "Save it as UTF-8 and open it again.",
            )
        ) from None


def parse(text: str) -> Opened:
    """Read a prompt file or a plain OpenAI request body. Raises InputError with each problem and its field."""
    value = _json(text)
    if not isinstance(value, dict):
        raise InputError(FieldError((), "this is JSON, but not an object.", _WHAT_IS_TAKEN))
    if FORMAT_KEY in value:
        return Opened(_own_format(value))
    if "messages" in value:
        return _request_body(value)
    raise InputError(
        FieldError((), "this is neither a prompt file nor a request body: it has no messages.", _WHAT_IS_TAKEN)
    )


_WHAT_IS_TAKEN = "Open a prompt file saved by this program, or the JSON body of a chat completions request."


def _json(text: str) -> Json:
    try:
        value: Json = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(
            FieldError((), f"this is not JSON: {error.msg} at {where}.", _WHAT_IS_TAKEN, error.pos)
        ) from None
    except RecursionError:
        raise InputError(FieldError((), "this JSON is nested too deeply to be a prompt.")) from None
    return value


def _no_constant(word: str) -> Json:
    raise InputError(FieldError((), f"{word} is not a number that JSON has.", "Write a finite number."))


class _Reader:
    """Reads fields and gathers problems, so that a person sees all of them at once."""

    def __init__(self) -> None:
        self.problems: list[FieldError] = []

    def wrong(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(FieldError(path, message, hint))

    def check(self) -> None:
        if self.problems:
            raise InputError(*self.problems)

    def text(self, value: Json, path: Path) -> str:
        if isinstance(value, str):
            return value
        self.wrong(path, f"should be text, but is {_kind(value)}.")
        return ""

    def flag(self, value: Json, path: Path) -> bool:
        if not isinstance(value, bool):
            self.wrong(path, f"should be true or false, but is {_kind(value)}.")
        return bool(value)

    def items(self, value: Json, path: Path) -> list[Json]:
        if isinstance(value, list):
            return value
        self.wrong(path, f"should be a list, but is {_kind(value)}.")
        return []

    def mapping(self, value: Json, path: Path) -> dict[str, Json]:
        if isinstance(value, dict):
            return value
        self.wrong(path, f"should be an object, but is {_kind(value)}.")
        return {}

    def messages(self, value: Json) -> tuple[Message, ...]:
        return tuple(
            self.message(self.mapping(item, ("messages", index)), ("messages", index))
            for index, item in enumerate(self.items(value, ("messages",)))
        )

    def message(self, fields: dict[str, Json], path: Path) -> Message:
        role = fields.get("role")
        if role not in ROLES:
            self.wrong((*path, "role"), f"is {json.dumps(role)}.", f"Electron accepts {', '.join(ROLES)}.")
            role = "user"
        calls = tuple(
            self.tool_call(self.mapping(item, (*path, "tool_calls", index)), (*path, "tool_calls", index))
            for index, item in enumerate(self.items(fields.get("tool_calls") or [], (*path, "tool_calls")))
        )
        answers = fields.get("tool_call_id")
        extra = {key: item for key, item in fields.items() if key not in _MESSAGE_KEYS}
        return Message(
            role=role,  # type: ignore[arg-type]  # checked against ROLES above
            content=self.content(fields.get("content"), bool(calls), (*path, "content")),
            tool_calls=calls,
            tool_call_id=None if answers is None else self.text(answers, (*path, "tool_call_id")),
            extra=encode(extra).decode() if extra else "",
        )

    def content(self, value: Json, has_calls: bool, path: Path) -> str | None:
        if value is None and has_calls:
            return None
        if isinstance(value, list):
            self.wrong(path, "is a list of parts.", "Electron takes text: put the text itself here.")
            return ""
        return self.text(value, path)

    def tool_call(self, fields: dict[str, Json], path: Path) -> ToolCall:
        function = self.mapping(fields.get("function", {}), (*path, "function"))
        return ToolCall(
            self.text(fields.get("id"), (*path, "id")),
            self.text(function.get("name"), (*path, "function", "name")),
            self.text(function.get("arguments"), (*path, "function", "arguments")),
        )

    def tools(self, value: Json) -> tuple[Tool, ...]:
        return tuple(
            Tool.of(self.mapping(item, ("tools", index))) for index, item in enumerate(self.items(value, ("tools",)))
        )

    def parameters(self, value: Json) -> dict[str, Json]:
        fields = self.mapping(value, ("parameters",))
        for name in OWN_PLACE.intersection(fields):
            self.wrong(("parameters", name), "is no parameter.", f"A prompt file has {name} in a place of its own.")
        return fields

    def variables(self, value: Json) -> Mapping[str, str]:
        fields = self.mapping(value, ("variables",))
        return {name: self.text(item, ("variables", name)) for name, item in fields.items()}


def _kind(value: Json) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _own_format(value: dict[str, Json]) -> Document:
    version = value[FORMAT_KEY]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(FieldError((FORMAT_KEY,), "is not a version number.", "A prompt file of today says 1."))
    if version > FORMAT_VERSION:
        raise InputError(
            FieldError(
                (FORMAT_KEY,),
                f"is {version}: a newer version wrote this file.",
                "Update Electron Playground.",
            )
        )
    reader = _Reader()
    document = Document(
        name=reader.text(value.get("name", ""), ("name",)),
        tools=reader.tools(value.get("tools", [])),
        messages=reader.messages(value.get("messages", [])),
        variables=reader.variables(value.get("variables", {})),
        parameters=reader.parameters(value.get("parameters", {})),
        stream=reader.flag(value.get("stream", True), ("stream",)),
        include_usage=reader.flag(value.get("include_usage", True), ("include_usage",)),
    )
    reader.check()
    return document


def _request_body(value: dict[str, Json]) -> Opened:
    reader = _Reader()
    options = reader.mapping(value.get("stream_options") or {}, ("stream_options",))
    usage = reader.flag(options.get("include_usage", True), ("stream_options", "include_usage"))
    document = Document(
        tools=reader.tools(value.get("tools") or []),
        messages=reader.messages(value["messages"]),
        parameters={key: item for key, item in value.items() if key not in OWN_PLACE},
        # A body that does not say is streamed, as everything typed into the program is.
        stream=reader.flag(value.get("stream", True), ("stream",)),
        include_usage=usage,
    )
    model = value.get("model")
    name = None if model is None else reader.text(model, ("model",))
    reader.check()
    return Opened(document, name)
