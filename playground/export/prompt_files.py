"""Prompt files of other tools: GitHub Models `.prompt.yml` and Prompty. What a format cannot hold is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from playground.prompt.document import Document, Json
from playground.prompt.import_formats import open_any
from playground.runs.metrics import counted

_GITHUB_NAMES = {"max_tokens": "maxTokens", "top_p": "topP"}
PromptWriter = Callable[[Document, str], str]


def as_prompt_yml(document: Document, model: str = "") -> str:
    """Return a GitHub Models prompt file. Parameters are in `modelParameters`, values of variables in `testData`."""
    value: dict[str, Any] = {"name": document.name} if document.name else {}
    value |= {"model": model} if model else {}
    if document.parameters:
        value["modelParameters"] = {_GITHUB_NAMES.get(key, key): item for key, item in document.parameters.items()}
    value["messages"] = [{"role": message.role, "content": message.content or ""} for message in document.messages]
    if document.variables:
        value["testData"] = [dict(document.variables)]
    return _yaml(value)


def as_prompty(document: Document, model: str = "") -> str:
    """Return a Prompty file: YAML front matter, then the messages under their roles."""
    options: dict[str, Json] = dict(document.parameters)
    front: dict[str, Any] = {"name": document.name} if document.name else {}
    front["model"] = {"api": "chat", **({"id": model} if model else {}), **({"parameters": options} if options else {})}
    if document.variables:
        front["sample"] = dict(document.variables)
    sections = "\n\n".join(f"{message.role}:\n{message.content or ''}" for message in document.messages)
    return f"---\n{_yaml(front)}---\n{sections}\n"


WRITERS: dict[str, PromptWriter] = {".prompt.yml": as_prompt_yml, ".prompty": as_prompty}
"""By the end of the file's name."""


def left_out(document: Document, text: str, name: str) -> tuple[str, ...]:
    """Return what a written file does not hold, as sentences: found by reading `text` back."""
    return tuple(_lost(document, open_any(text, name).document))


def _lost(before: Document, after: Document) -> Iterator[str]:
    if before.tools and not after.tools:
        yield f"Not in the file: {counted(len(before.tools), 'tool')}."
    if any(message.tool_calls or message.tool_call_id for message in before.messages):
        yield "Tool calls and the ids of tool results are not in the file."
    contents = [[(message.role, message.content or "") for message in one.messages] for one in (before, after)]
    if contents[0] != contents[1]:
        changed = sum(one != other for one, other in zip(*contents, strict=False))
        changed += abs(len(contents[0]) - len(contents[1]))
        messages = counted(changed, "message")
        yield f"Read back differently: {messages} with white space at an end, or a line that names a role."
    if missing := sorted(set(before.parameters) - set(after.parameters)):
        yield f"Parameters that the format does not read: {', '.join(missing)}."
    if missing := sorted(set(before.variables) - set(after.variables)):
        yield f"Values that the format does not read: {', '.join(missing)}."
    if not before.stream or not before.include_usage:
        yield "The settings of streaming are not in the file."


def _yaml(value: Json) -> str:
    """Return block-style YAML; texts of several lines as literal blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as literal blocks."""

        def ignore_aliases(self, _data: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    Dumper.add_representer(str, text)
    written = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return str(written)
