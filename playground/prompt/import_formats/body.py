"""From a request body of any chat API to a document: what differs from Electron's API is converted and reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace

from playground.dataclass import dataclass
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.files import PROMPT_FORMAT, OpenedPrompt, parse

_IMAGES = "Electron accepts text only: images, audio and files cannot be imported."


@dataclass
class Report:
    """What was changed or left out, as sentences for the user."""

    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def opened_body(
    fields: Mapping[str, Json], report: Report, *, variables: Mapping[str, str] | None = None, name: str = ""
) -> OpenedPrompt:
    """Return a body in the chat completions format as a document in this program's own format.

    Raises InputError with the path of a field that cannot be imported.
    """
    value = dict(fields)
    value["messages"] = [_message(item, index, report) for index, item in enumerate(_items(value.get("messages")))]
    if not value["messages"]:
        raise InputError(
            FieldError(("messages",), "there are no messages.", "Import a prompt with at least one message.")
        )
    model = value.get("model")
    if isinstance(model, str) and model != "electron":
        report.note(f"The model {model} was replaced by the model of the endpoint.")
    opened = parse(json.dumps(value))
    document = opened.document
    for variable, text in (variables or {}).items():
        document = document.with_variable(variable, text)
    if name:
        document = replace(document, name=name)
    return OpenedPrompt(document, PROMPT_FORMAT, (*opened.notes, *report.notes), imported=True)


def _items(value: Json) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(FieldError(("messages",), "is not a list."))
    return value


def _message(item: Json, index: int, report: Report) -> Json:
    path: Path = ("messages", index)
    if not isinstance(item, dict):
        raise InputError(FieldError(path, "is not an object."))
    message = dict(item)
    if message.get("role") == "developer":
        message["role"] = "system"
        report.note("The role developer was changed to system.")
    if isinstance(message.get("content"), list):
        message["content"] = joined_parts(message["content"], (*path, "content"), report)
    return message


def joined_parts(parts: Json, path: Path, report: Report) -> str:
    """Join content parts of type text with line breaks. Raises InputError for images and other media."""
    texts = []
    for position, part in enumerate(parts if isinstance(parts, list) else [parts]):
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if not isinstance(text, str):
            kind = part.get("type", "?") if isinstance(part, dict) else type(part).__name__
            raise InputError(FieldError((*path, position), f"is a part of type {kind}.", _IMAGES))
        texts.append(text)
    if len(texts) > 1:
        report.note("Text parts of a message were joined with line breaks.")
    return "\n".join(texts)
