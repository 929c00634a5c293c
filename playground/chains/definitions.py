"""Tools from pasted JSON: OpenAI's shapes, a plain JSON schema, and those of other APIs, made into OpenAI's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from playground.chains.foreign import SCHEMAS, bare, items, left_out, plain_schema, schema_key
from playground.chains.metaschema import check_parameters
from playground.chains.signatures import MOST_CHARACTERS, Pasted, from_python
from playground.prompt.document import Json, Tool
from playground.prompt.limits import COUNTS
from playground.prompt.problems import BadInput, Path, Problem
from playground.runs.json_place import Fault, read_json

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What OpenAI takes as a function's name; Electron's rule is not published."""


def from_text(text: str) -> Pasted:
    """Tools from what was pasted: JSON where it begins like JSON, else Python. Raises BadInput."""
    return from_json(text) if text.lstrip()[:1] in ("{", "[") else from_python(text)


def from_json(text: str) -> Pasted:
    """A definition, a list of them, or an object that has them in it. Raises BadInput with every problem.

    Taken are: {"type": "function", "function": {…}}, {"name", "description", "parameters"} (also with the names that
    other APIs have for it, and their spelling of types), and a plain JSON schema of an object, whose `title` becomes
    the name. The notes name what was left out or spelled anew.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadInput(Problem((), f"the text has {len(text):,} characters; {MOST_CHARACTERS:,} are the most."))
    value = read_json(text)
    if isinstance(value, Fault):
        raise BadInput(Problem((), f"this is not JSON: {value}.", offset=value.offset))
    problems: list[Problem] = []
    notes: list[str] = []
    try:
        tools = tuple(_tools(value, problems, notes))
    except RecursionError:
        raise BadInput(Problem((), "this is nested too deeply.")) from None
    most = int(COUNTS["tools"].high or 0)
    if len(tools) > most:
        problems.append(Problem((), f"these are {len(tools)} tools; a request takes {most} at most."))
    if problems:
        raise BadInput(*problems)
    if not tools:
        raise BadInput(Problem((), "there is no tool in it."))
    return Pasted(tools, (*dict.fromkeys(notes), *_notes(tools)))


def unique_names(pasted: Iterable[Tool], there: Iterable[Tool]) -> tuple[Tool, ...]:
    """The pasted tools under names that no other tool has: `get_balance` becomes `get_balance_2`."""
    taken = {tool.name for tool in there}
    made: list[Tool] = []
    for tool in pasted:
        name, number = tool.name, 1
        while name in taken:
            number += 1
            name = f"{tool.name}_{number}"
        taken.add(name)
        made.append(tool if name == tool.name else _renamed(tool, name))
    return tuple(made)


def _renamed(tool: Tool, name: str) -> Tool:
    function = tool.definition["function"]
    assert isinstance(function, dict)
    return Tool.of({**tool.definition, "function": {**function, "name": name}})


def _tools(value: Json, problems: list[Problem], notes: list[str]) -> Iterator[Tool]:
    for item, path in items(value):
        tool = _tool(item, path, problems, notes)
        if tool is not None:
            yield tool


def _tool(value: Json, path: Path, problems: list[Problem], notes: list[str]) -> Tool | None:
    if not isinstance(value, dict):
        problems.append(Problem(path, "should be an object."))
        return None
    function, where = bare(value, path)
    if function is not value or "name" in value or any(name in value for name in SCHEMAS):
        tool = _function(function, where, problems, notes)
        if tool is not None and (gone := left_out(value, function)):
            notes.append(f"{tool.name}: {_listed(gone)} left out, as OpenAI's shape has no place for that.")
        return tool
    if "properties" in value or value.get("type") == "object":
        return _from_schema(value, path, problems, notes)
    problems.append(Problem(path, "is no tool: it has neither a name nor parameters."))
    return None


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:6])
    return (
        f"{shown} and {len(names) - 6} more are" if len(names) > 6 else f"{shown} {'is' if len(names) == 1 else 'are'}"
    )


def _from_schema(schema: dict[str, Json], path: Path, problems: list[Problem], notes: list[str]) -> Tool | None:
    title = schema.get("title")
    made: dict[str, Json] = {"name": _as_name(title if isinstance(title, str) else "")}
    if schema.get("description"):
        made["description"] = schema["description"]
    made["parameters"] = {key: item for key, item in schema.items() if key not in ("title", "description", "$schema")}
    tool = _function(made, path, problems, notes)
    if tool is not None:
        whence = "is from its title" if title else "is a stand-in, as it has no title"
        notes.append(f"A plain JSON schema: the name {tool.name} {whence}.")
    return tool


def _as_name(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_").lower()[:64] or "tool"


def _function(value: Mapping[str, Json], path: Path, problems: list[Problem], notes: list[str]) -> Tool | None:
    name = value.get("name")
    if not isinstance(name, str) or not name:
        problems.append(Problem((*path, "name"), "a function needs a name."))
        return None
    made: dict[str, Json] = {"name": name}
    description = value.get("description")
    if description is not None and not isinstance(description, str):
        problems.append(Problem((*path, "description"), "should be text."))
    elif description:
        made["description"] = description
    key = schema_key(value)
    if key is not None:
        schema, respelled = plain_schema(value[key])
        if respelled:
            notes.append(f"{name}: types and nullable are spelled as JSON Schema does.")
        if isinstance(schema, dict) and "type" not in schema:
            schema = {"type": "object", **schema}
        problems += check_parameters(schema, (*path, key))
        made["parameters"] = schema
    if "strict" in value:
        made["strict"] = value["strict"]
    return Tool.of({"type": "function", "function": made})


def _notes(tools: tuple[Tool, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for tool in tools:
        if not _NAME.fullmatch(tool.name):
            shown = json.dumps(tool.name, ensure_ascii=False)
            yield f"{shown}: some servers take only letters, digits, _ and - in a name, up to 64."
        if tool.name in seen:
            yield f"{tool.name} is the name of two tools: a call could not tell which one is meant."
        seen.add(tool.name)
