"""Prompt files, and request bodies of the chat completions API opened as prompts.

A document is saved in the format in which it was opened: `FileFormat`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Literal, TypeAlias, get_args

from msgspec import Struct
from msgspec.structs import replace

from playground import asset
from playground.prompt.document import ROLES, Document, Json, Message, Role, Tool, ToolCall
from playground.prompt.field_errors import FieldReader, InputError, Path
from playground.prompt.json_text import JsonBoundsError, as_utf8, check_depth, loads, repeated_name
from playground.prompt.limits import OWN_PLACE
from playground.prompt.request import body_fields, encode, message_fields

FORMAT_KEY = "electron_playground_prompt"
FORMAT_VERSION = 1
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Larger files are refused: 32,768 tokens are far below 1 MB of text."""

_PROMPT_KEYS = frozenset(
    (FORMAT_KEY, *["id", "name", "tools", "messages", "variables", "parameters", "invalid", "stream", "include_usage"])
)
_MESSAGE_KEYS = ("role", "content", "tool_calls", "tool_call_id")
FormatKind: TypeAlias = Literal["prompt", "request_body"]


class FileFormat(Struct, frozen=True):
    """How a document was written in its file.

    Attributes:
        kind: "prompt" is this program's format, "request_body" a plain body of a chat completions request.
        model: the body's `model`; None in a prompt file, which has none, or if the body has none.
        keys: the body's keys in their order. `stream` and `stream_options` are written if they were in the file or
            have changed.
        stream_options: the body's `stream_options`; other options than `include_usage` are kept for saving.
    """

    kind: FormatKind = "prompt"
    model: str | None = None
    keys: tuple[str, ...] = ()
    stream_options: str = ""

    def __post_init__(self) -> None:
        if not isinstance(loads(self.stream_options or "{}"), dict):
            raise ValueError("stream_options is not an object")


PROMPT_FORMAT = FileFormat()


def read_input(name: str, field: str = "FILE", max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a file or pipe that a command line names; `-` is standard input. A text is in UTF-8.

    Raises InputError if it cannot be read or is larger than `max_bytes`. Reads no more than that of a device.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with FilePath(name).open("rb") as file:
                data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError.of((field,), f"{name} cannot be read: {error.strerror or error}.") from None
    if len(data) > max_bytes:
        raise InputError.of((field,), f"{name} is larger than {max_bytes // 1024 // 1024} MiB.")
    return as_utf8(data)


class OpenedPrompt(Struct, frozen=True):
    """A document read from a file. `notes` are sentences about changes made to open it.

    `imported`: the file has another tool's format, in which documents are not saved.
    """

    document: Document
    format: FileFormat = PROMPT_FORMAT
    notes: tuple[str, ...] = ()
    imported: bool = False

    @property
    def model(self) -> str | None:
        """The model that a request body names."""
        return self.format.model


def dump(document: Document, file_format: FileFormat = PROMPT_FORMAT, *, ascii_only: bool = False) -> str:
    """Return the document as a file's text: indented JSON, a lone surrogate as its escape.

    `ascii_only`: other characters are escaped, too.
    """
    value = _prompt_fields(document) if file_format.kind == "prompt" else _saved_body(document, file_format)
    text = json.dumps(value, ensure_ascii=ascii_only, indent=1, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _prompt_fields(document: Document) -> dict[str, Json]:
    invalid: dict[str, Json] = {"invalid": dict(document.invalid)} if document.invalid else {}
    own_id: dict[str, Json] = {"id": document.id} if document.id else {}
    return {
        FORMAT_KEY: FORMAT_VERSION,
        **own_id,
        "name": document.name,
        "tools": [dict(tool.definition) for tool in document.tools],
        "messages": [message_fields(message, {}) for message in document.messages],
        "variables": dict(document.variables),
        "parameters": dict(document.parameters),
        **invalid,
        "stream": document.stream,
        "include_usage": document.include_usage,
    }


def _saved_body(document: Document, file_format: FileFormat) -> dict[str, Json]:
    """Return the body with variables unrendered, in the file's order of keys; new keys follow."""
    fields = body_fields(replace(document, variables={}), file_format.model or "")
    if file_format.model is None:
        del fields["model"]
    if not document.stream or "stream" not in file_format.keys:
        fields.pop("stream", None)
    if not document.stream:
        fields["stream"] = False
    options: dict[str, Json] = loads(file_format.stream_options or "{}")
    if document.include_usage != options.get("include_usage", True):
        options["include_usage"] = document.include_usage
    fields.pop("stream_options", None)
    if options or "stream_options" in file_format.keys:
        fields["stream_options"] = options
    if "tools" in file_format.keys:
        fields.setdefault("tools", [])
    order = [key for key in file_format.keys if key in fields]
    return {key: fields[key] for key in (*order, *(key for key in fields if key not in order))}


def content_id(document: Document) -> str:
    """Return an id for a document that has none: the same for the same content."""
    import hashlib  # loads OpenSSL, which the first frame does not need

    return hashlib.sha256(dump(replace(document, id="")).encode()).hexdigest()[:32]


def identified(document: Document) -> Document:
    """Return a document with an id. Tool mocks and consents belong to the id: two prompts may have one name."""
    return document if document.id else replace(document, id=content_id(document))


def missing_in(document: Document, file_format: FileFormat) -> tuple[str, ...]:
    """Return what the format cannot hold of the document, as sentences: saved in it, this is lost."""
    if file_format.kind == "prompt":
        return ()
    found = []
    if document.variables:
        found.append("A request body has no variables: their values are not saved. Save as a prompt file keeps them.")
    if document.invalid:
        found.append("Texts that are not valid parameters are not saved in a request body.")
    if document.name:
        found.append("A request body has no name: the prompt's name is not saved.")
    return tuple(found)


def load(text: str) -> Document:
    """Return the document in a prompt file or plain request body. Raises InputError."""
    return parse(text).document


def sample_document(name: str = "acme-phone-agent") -> Document:
    """Return a shipped prompt; by default the voice agent of a first start."""
    return parse_bytes(asset(f"prompts/{name}.prompt.json").read_bytes()).document


def parse_bytes(data: bytes) -> OpenedPrompt:
    """Parse a file's bytes: UTF-8, UTF-16 or UTF-32, with or without a byte-order mark. Raises InputError."""
    return parse(file_text(data, "the file"))


def file_text(data: bytes, name: str) -> str:
    """Return the text of a file in UTF-8, UTF-16 or UTF-32. Raises InputError, with the file's `name`."""
    if len(data) > MAX_FILE_BYTES:
        raise InputError.of((), f"{name} has {len(data):,} bytes; the limit is {MAX_FILE_BYTES:,}.")
    try:
        return as_utf8(data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        sentence = f"{name} is not UTF-8 text (byte {error.start:,})."
        raise InputError.of((), sentence, "Save it as UTF-8 and open it again.") from None


def refuse_repeated(text: str, prefix: Path = ()) -> None:
    """Raise InputError for JSON whose objects have a name twice: what is sent would not be what is displayed.

    Does nothing for a text that is not JSON.
    """
    try:
        check_depth(text)
        found = repeated_name(text.removeprefix("\ufeff"))
    except ValueError:
        return
    if found is not None:
        sentence = "occurs more than once in its object, and programs differ in which of them counts."
        raise InputError.of((*prefix, *found), sentence, "Remove all but one.")


def parse(text: str) -> OpenedPrompt:
    """Parse a prompt file or a plain request body. Raises InputError with every error and its field."""
    return parse_value(_json(text))


def parse_value(value: Json) -> OpenedPrompt:
    """Parse the JSON of a prompt file or a request body. Raises InputError like `parse`."""
    if not isinstance(value, dict):
        raise InputError.of((), "this is JSON, but not an object.", _ACCEPTED)
    if FORMAT_KEY in value:
        return _prompt_file(value)
    if "messages" in value:
        return _request_body(value)
    raise InputError.of((), "this is neither a prompt file nor a request body: it has no messages.", _ACCEPTED)


_ACCEPTED = "Open a prompt file saved by this program, or the JSON body of a chat completions request."


def _json(text: str) -> Json:
    try:
        value: Json = loads(text, max_bytes=MAX_FILE_BYTES)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise InputError.of((), f"this is not JSON: {error.msg} at {position}.", _ACCEPTED, error.pos) from None
    except JsonBoundsError as error:
        raise InputError.of((), str(error)) from None
    return value


class _Reader(FieldReader):
    """Reads the fields of a document. `joined_parts` counts the messages whose text parts were joined."""

    def __init__(self) -> None:
        super().__init__()
        self.joined_parts = 0

    def messages(self, value: Json) -> tuple[Message, ...]:
        return tuple(
            self.message(self.mapping(item, ("messages", index)), ("messages", index))
            for index, item in enumerate(self.items(value, ("messages",)))
        )

    def message(self, fields: dict[str, Json], path: Path) -> Message:
        named = fields.get("role")
        roles: tuple[Role, ...] = get_args(Role)
        role = next((known for known in roles if known == named), None)
        if role is None:
            self.wrong((*path, "role"), f"is {json.dumps(named)[:80]}.", f"Electron accepts {', '.join(ROLES)}.")
        calls = tuple(
            self.tool_call(self.mapping(item, (*path, "tool_calls", index)), (*path, "tool_calls", index))
            for index, item in enumerate(self.items(fields.get("tool_calls") or [], (*path, "tool_calls")))
        )
        answers = fields.get("tool_call_id")
        extra = {key: item for key, item in fields.items() if key not in _MESSAGE_KEYS}
        return Message(
            role=role or "user",
            content=self.content(fields.get("content"), bool(calls), (*path, "content")),
            tool_calls=calls,
            tool_call_id=None if answers is None else self.text(answers, (*path, "tool_call_id")),
            extra=encode(extra).decode() if extra else "",
        )

    def content(self, value: Json, has_calls: bool, path: Path) -> str | None:
        if value is None and has_calls:
            return None
        if isinstance(value, list):
            return self.parts(value, path)
        return self.text(value, path)

    def parts(self, value: list[Json], path: Path) -> str:
        """Join parts that are all text, each on a new line."""
        if not value:
            self.wrong(path, "is a list without parts.", "Electron accepts text only.")
        for index, part in enumerate(value):
            if not isinstance(part, dict) or part.get("type") != "text" or "text" not in part:
                kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                self.wrong((*path, index), f"is a part of type {kind}.", "Electron accepts text only.")
                return ""
        self.joined_parts += len(value) > 1
        return "\n".join(self.text(part["text"], path) for part in value if isinstance(part, dict))

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
            self.wrong(("parameters", name), "is not a parameter.", f"A prompt file has {name} elsewhere.")
        return fields

    def texts(self, value: Json, name: str) -> Mapping[str, str]:
        fields = self.mapping(value, (name,))
        return {key: self.text(item, (name, key)) for key, item in fields.items()}


def _prompt_file(value: dict[str, Json]) -> OpenedPrompt:
    version = value[FORMAT_KEY]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError.of((FORMAT_KEY,), "is not a version number.", "This version writes 1.")
    if version > FORMAT_VERSION:
        raise InputError.of(
            (FORMAT_KEY,), f"is {version}: a newer version wrote this file.", "Update Electron Playground."
        )
    reader = _Reader()
    ignored = [key for key in value if key not in _PROMPT_KEYS]
    for key in ignored:
        from difflib import get_close_matches  # rarely needed

        if meant := get_close_matches(key, _PROMPT_KEYS, 1, 0.8):
            reader.wrong((key,), "is not a field of a prompt file.", f"Write it as {meant[0]}.")
    document = Document(
        name=reader.text(value.get("name", ""), ("name",)),
        tools=reader.tools(value.get("tools", [])),
        messages=reader.messages(value.get("messages", [])),
        variables=reader.texts(value.get("variables", {}), "variables"),
        invalid=reader.texts(value.get("invalid", {}), "invalid"),
        id=reader.text(value.get("id", ""), ("id",)),
        parameters=reader.parameters(value.get("parameters", {})),
        stream=reader.flag(value.get("stream", True), ("stream",)),
        include_usage=reader.flag(value.get("include_usage", True), ("include_usage",)),
    )
    reader.check()
    notes = [f"{key} is not a field of a prompt file: it was left out." for key in ignored]
    return OpenedPrompt(document, notes=(*_notes(reader), *notes))


def _notes(reader: _Reader) -> Iterator[str]:
    if reader.joined_parts:
        count = f"{reader.joined_parts:,} {'message' if reader.joined_parts == 1 else 'messages'}"
        yield f"The text parts of {count} were joined with line breaks: Electron accepts text only."


def _request_body(value: dict[str, Json]) -> OpenedPrompt:
    reader = _Reader()
    options = reader.mapping(value.get("stream_options") or {}, ("stream_options",))
    usage = reader.flag(options.get("include_usage", True), ("stream_options", "include_usage"))
    document = Document(
        tools=reader.tools(value.get("tools") or []),
        messages=reader.messages(value["messages"]),
        parameters={key: item for key, item in value.items() if key not in OWN_PLACE},
        # A body without `stream` is streamed, like every prompt in this program.
        stream=reader.flag(value.get("stream", True), ("stream",)),
        include_usage=usage,
    )
    model = value.get("model")
    name = None if model is None else reader.text(model, ("model",))
    reader.check()
    file_format = FileFormat("request_body", name, tuple(value), encode(options).decode() if options else "")
    return OpenedPrompt(document, file_format, tuple(_notes(reader)))
