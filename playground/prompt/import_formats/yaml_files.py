"""YAML prompt files: GitHub Models `.prompt.yml`, Prompty, dotprompt and promptfoo."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from playground.prompt.document import PATTERN, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import OpenedPrompt
from playground.prompt.import_formats.api_bodies import Report, opened_body
from playground.prompt.json_text import MAX_DEPTH, JsonBoundsError, check_depth

MAX_CHARS = 4_000_000
_ROLE_LINE = re.compile(r"^(?:#\s*)?(system|user|assistant|developer)\s*:\s*$", re.MULTILINE | re.IGNORECASE)
_ROLE_TAG = re.compile(r"\{\{\s*role\s+[\"'](\w+)[\"']\s*\}\}")
_HISTORY_TAG = re.compile(r"\{\{\s*history\s*\}\}")
_IMAGE = re.compile(r"!\[[^\]\n]*\]\(([^)\n]*)\)")
_WORDS = frozenset(("else", "this"))
"""Names in double braces that Handlebars reads as its own."""
_PARAMETERS = frozenset(
    ["temperature", "top_p", "max_tokens", "stop", "seed", "response_format", "presence_penalty", "frequency_penalty"]
)
_GITHUB_NAMES = {"maxTokens": "max_tokens", "topP": "top_p"}
_DOTPROMPT_NAMES = {
    "maxOutputTokens": "max_tokens",
    "topP": "top_p",
    "stopSequences": "stop",
    "temperature": "temperature",
}


def load_yaml(text: str) -> Any:
    """Parse YAML with plain types only. Raises InputError with the line; aliases and deep nesting are refused."""
    import yaml

    if len(text) > MAX_CHARS:
        raise InputError.of((), f"the file has more than {MAX_CHARS:,} characters.")
    try:
        check_depth(text)
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader))
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        _check_keys(root)
        return None if root is None else loader.construct_document(root)
    except JsonBoundsError as error:
        raise InputError.of((), str(error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InputError.of((), f"this is not YAML: {error.problem}{position}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError.of((), f"this is not YAML: {type(error).__name__}.") from None


def _check_keys(root: Any) -> None:
    """Refuse a field that is given twice: most readers refuse it, others keep one of the values."""
    import yaml

    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for name, value in node.value:
                if isinstance(name, yaml.ScalarNode) and name.value in seen:
                    line = name.start_mark.line + 1
                    raise InputError.of((), f"line {line}: the field {name.value[:60]} is given twice.", "Keep one.")
                seen.add(str(name.value))
                todo.append(value)


def _check_events(events: Any) -> None:
    """Refuse aliases, which can grow exponentially, and deep nesting."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = int(event.start_mark.line) + 1
        if isinstance(event, yaml.AliasEvent):
            raise InputError.of((), f"line {line} has a YAML alias.", "Write the value out.")
        if depth > MAX_DEPTH:
            raise InputError.of((), f"the file is nested too deeply (line {line}).")


def open_yaml(text: str, name: str = "") -> OpenedPrompt:
    """Return the document in a YAML prompt file. `name`: the file's name, which tells formats apart."""
    front = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)(.*)", text.lstrip("\ufeff"), re.DOTALL)
    if front is not None:
        settings = load_yaml(front[1]) or {}
        if not isinstance(settings, dict):
            raise InputError.of((), "the front matter is not a mapping.")
        is_prompty = name.lower().endswith(".prompty") or _ROLE_LINE.search(front[2]) is not None
        return _prompty(settings, front[2]) if is_prompty else _dotprompt(settings, front[2])
    value = load_yaml(text)
    if not isinstance(value, dict):
        raise InputError.of((), "this YAML file is not a mapping.")
    if "messages" in value:
        return _github_models(value)
    if "prompts" in value:
        return _promptfoo(value)
    raise InputError.of((), "this YAML file has neither messages nor prompts.")


def _github_models(value: Mapping[str, Any]) -> OpenedPrompt:
    report = Report()
    parameters: dict[str, Json] = {}
    for name, item in _mapping(value.get("modelParameters"), "modelParameters").items():
        own = _GITHUB_NAMES.get(name, name)
        if own in _PARAMETERS:
            parameters[own] = _plain(item)
        else:
            report.left_out(f"modelParameters.{name}")
    kind = value.get("responseFormat")
    if kind in ("text", "json_object"):
        parameters["response_format"] = {"type": kind}
    elif kind:
        report.left_out(f"responseFormat {kind}", _JSON_ONLY)
    if value.get("testData"):
        report.left_out("testData, apart from the variables of the first entry,")
    _note_others(
        value, ("name", "description", "model", "modelParameters", "responseFormat", "messages", "testData"), report
    )
    variables = _texts(_first(value.get("testData")))
    variables.pop("expected", None)
    body: dict[str, Json] = {**parameters, "model": value.get("model"), "messages": _plain(value["messages"])}
    return opened_body(body, report, variables=variables, name=str(value.get("name") or ""))


_JSON_ONLY = "Electron has json_object only"


def _note_others(value: Mapping[str, Any], known: Iterable[str], report: Report, prefix: str = "") -> None:
    for name in value:
        if name not in known and value[name]:
            report.left_out(f"{prefix}{name}")


def _first(value: Any) -> Any:
    """Return the first item of a list; None without one."""
    return value[0] if isinstance(value, list) and value else None


def _dict(value: Any) -> dict[Any, Any]:
    """Return a mapping; for any other value an empty one."""
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    """Return a mapping's names and values as text; for any other value an empty one."""
    return {str(name): str(item) for name, item in _dict(value).items()}


def _mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """Return a mapping; empty for None. Raises InputError with the path of another value."""
    if value is None or isinstance(value, dict):
        return value or {}
    raise InputError.of(path, "is not a mapping.")


def _plain(value: Any) -> Json:
    """Return YAML values as JSON values: dates and other types become text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return str(value)


def _prompty(settings: Mapping[str, Any], text: str) -> OpenedPrompt:
    report = Report()
    model = _dict(settings.get("model"))
    options = model.get("parameters") or model.get("options")
    parameters = {name: _plain(item) for name, item in _mapping(options, "model", "parameters").items()}
    for name in [name for name, item in parameters.items() if isinstance(item, str) and item.startswith("${")]:
        report.left_out(f"model.parameters.{name}", f"its value is in {parameters.pop(name)}")
    for name in ("configuration", "connection"):
        if model.get(name):
            report.left_out(f"model.{name}", "choose an endpoint instead")
    variables = _texts(settings.get("sample"))
    for key, item in _dict(settings.get("inputs")).items():
        default = item.get("default", item.get("sample")) if isinstance(item, dict) else item
        if default is not None:
            variables.setdefault(str(key), str(default))
    _note_templates(text, report)
    for image in _IMAGE.finditer(text):
        report.note(f"The image {image[1][:60]} remains text: Prompty sends the picture.")
    body: dict[str, Json] = {**parameters, "messages": _sections(_ROLE_LINE, text, "system")}
    return opened_body(body, report, variables=variables, name=str(settings.get("name") or ""))


def _sections(role: re.Pattern[str], text: str, first: str) -> list[Json]:
    """Return the messages of a text with roles between them; `first` is the role of text before any."""
    head, *parts = role.split(text)
    messages: list[Json] = [{"role": first, "content": head.strip()}] if head.strip() else []
    for name, content in zip(parts[::2], parts[1::2], strict=True):
        messages.append({"role": "assistant" if name == "model" else name.lower(), "content": content.strip()})
    return messages


def _dotprompt(settings: Mapping[str, Any], text: str) -> OpenedPrompt:
    report = Report()
    parameters: dict[str, Json] = {}
    for name, item in _dict(settings.get("config")).items():
        if name in _DOTPROMPT_NAMES:
            parameters[_DOTPROMPT_NAMES[name]] = _plain(item)
        else:
            report.left_out(f"config.{name}")
    output = _dict(settings.get("output"))
    if output.get("format") == "json":
        parameters["response_format"] = {"type": "json_object"}
    elif output.get("format") not in (None, "text"):
        report.left_out(f"output.format {output['format']}", _JSON_ONLY)
    _note_others(output, ("format",), report, "output.")
    _note_others(settings, ("name", "description", "model", "config", "input", "output"), report)
    if _HISTORY_TAG.search(text):
        report.left_out("The tag {{history}}", "it stands for earlier messages, which the file does not have")
        text = _HISTORY_TAG.sub("", text)
    _note_templates(_ROLE_TAG.sub("", text), report, _WORDS)
    variables = _texts(_dict(settings.get("input")).get("default"))
    messages = _sections(_ROLE_TAG, text, "user")
    body: dict[str, Json] = {**parameters, "model": _plain(settings.get("model")), "messages": messages}
    return opened_body(body, report, variables=variables, name=str(settings.get("name") or ""))


def _note_templates(text: str, report: Report, words: Container[str] = ()) -> None:
    """Name each tag that is not the name of a variable. `words`: names that the template reads in another way."""
    for match in re.finditer(r"\{%.*?%\}|\{#.*?#\}|\\?\{\{.*?\}\}+", text, re.DOTALL):
        name = PATTERN.fullmatch(match[0].removeprefix("\\"))
        if name is None:
            report.note(f"The template tag {match[0][:40]} remains text: this program replaces names only.")
        elif words and (match[0][0] == "\\" or name[1] in words):
            report.note(f"The template tag {match[0][:40]} became a variable: this program replaces names only.")


def _promptfoo(value: Mapping[str, Any]) -> OpenedPrompt:
    report = Report()
    prompts = value["prompts"]
    first = _first(prompts) if isinstance(prompts, list) else prompts
    if isinstance(first, dict):
        first = first.get("raw") or first.get("id") or first.get("label")
    if not isinstance(first, str):
        raise InputError.of(("prompts", 0), "is not a prompt's text.")
    if re.match(r"file://|\S+\.(?:txt|json|ya?ml|md|j2|csv)$", first):
        raise InputError.of(("prompts", 0), f"is in another file ({first.removeprefix('file://')}).", "Open that file.")
    if re.match(r"exec:|python:|langfuse://|\S+\.(?:py|js|cjs|mjs|ts)(?::\w+)?$", first):
        raise InputError.of(("prompts", 0), f"is made by a program ({first[:60]}), which is not run.")
    if isinstance(prompts, list) and len(prompts) > 1:
        report.note(f"The first of {len(prompts):,} prompts was imported.")
    if value.get("tests"):
        report.left_out("tests, apart from the variables of the first,")
    parameters = _promptfoo_parameters(value.get("providers", value.get("targets")), report)
    _note_others(value, ("description", "prompts", "providers", "targets", "tests"), report)
    variables = _texts(_dict(_first(value.get("tests"))).get("vars"))
    _note_templates(first, report)
    return opened_body({**parameters, "messages": _promptfoo_messages(first)}, report, variables=variables)


def _promptfoo_parameters(providers: Any, report: Report) -> dict[str, Json]:
    """Return the parameters of the first provider; name those that are not carried over."""
    first = _first(providers) if isinstance(providers, list) else providers
    if isinstance(providers, list) and len(providers) > 1:
        report.left_out(f"The parameters of the first of {len(providers):,} providers were imported. The rest")
    settings = _dict(first)
    if settings and "id" not in settings:  # {openai:gpt-4o: {config: …}}
        settings = _dict(next(iter(settings.values())))
    config = _dict(settings.get("config"))
    _note_others(config, _PARAMETERS, report, "providers[0].config.")
    return {name: _plain(item) for name, item in config.items() if name in _PARAMETERS}


def _promptfoo_messages(text: str) -> list[Json]:
    if text.lstrip().startswith(("[", "-")):
        parsed = load_yaml(text)  # JSON is YAML
        if isinstance(parsed, list) and all(isinstance(item, dict) and "role" in item for item in parsed):
            return [_plain(item) for item in parsed]
    return [{"role": "user", "content": text}]
