"""Opens text in any supported format, found by its content and the file's name; and YAML prompt files.

These are GitHub Models `.prompt.yml`, Prompty, dotprompt and promptfoo.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import MAX_FILE_BYTES, OpenedPrompt, parse
from playground.prompt.import_formats.api_bodies import Report, open_json, open_json_lines, opened_body
from playground.prompt.import_formats.snippets import CALL, CALL_ENDS, ReadFile, open_curl, open_snippet, refuse_files
from playground.prompt.json_bounds import MAX_DEPTH, JsonBoundsError, as_utf8, check_depth, json_lines, loads
from playground.prompt.secret_addresses import addresses_in
from playground.prompt.secret_names import is_placeholder
from playground.prompt.secret_values import has_digit, of_field
from playground.prompt.secret_words import LEAST_CHARS, MASK

MAX_CHARS = 4_000_000
_ROLE_LINE = re.compile(r"^(?:#\s*)?(system|user|assistant|developer)\s*:\s*$", re.MULTILINE | re.IGNORECASE)
_ROLE_TAG = re.compile(r"\{\{\s*role\s+[\"'](\w+)[\"']\s*\}\}")
_PARAMETERS = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "response_format",
    "presence_penalty",
    "frequency_penalty",
)
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
        raise InputError(FieldError((), f"the file has more than {MAX_CHARS:,} characters."))
    try:
        check_depth(text)
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader))
        return yaml.load(text, Loader=yaml.SafeLoader)
    except JsonBoundsError as error:
        raise InputError(FieldError((), str(error))) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InputError(FieldError((), f"this is not YAML: {error.problem}{position}.")) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(FieldError((), f"this is not YAML: {type(error).__name__}.")) from None


def _check_events(events: Any) -> None:
    """Refuse aliases, which can grow exponentially, and deep nesting."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = int(event.start_mark.line) + 1
        if isinstance(event, yaml.AliasEvent):
            raise InputError(FieldError((), f"line {line} has a YAML alias.", "Write the value out."))
        if depth > MAX_DEPTH:
            raise InputError(FieldError((), f"the file is nested too deeply (line {line})."))


def open_yaml(text: str, name: str = "") -> OpenedPrompt:
    """Return the document in a YAML prompt file. `name`: the file's name, which tells formats apart."""
    front = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)(.*)", text.lstrip("\ufeff"), re.DOTALL)
    if front is not None:
        settings = load_yaml(front[1]) or {}
        if not isinstance(settings, dict):
            raise InputError(FieldError((), "the front matter is not a mapping."))
        is_prompty = name.lower().endswith(".prompty") or _ROLE_LINE.search(front[2]) is not None
        return _prompty(settings, front[2]) if is_prompty else _dotprompt(settings, front[2])
    value = load_yaml(text)
    if not isinstance(value, dict):
        raise InputError(FieldError((), "this YAML file is not a mapping."))
    if "messages" in value:
        return _github_models(value)
    if "prompts" in value:
        return _promptfoo(value)
    raise InputError(FieldError((), "this YAML file has neither messages nor prompts."))


def _github_models(value: Mapping[str, Any]) -> OpenedPrompt:
    report = Report()
    names = {"maxTokens": "max_tokens", "topP": "top_p"}
    parameters: dict[str, Json] = {}
    for name, item in _mapping(value.get("modelParameters"), "modelParameters").items():
        if names.get(name, name) in _PARAMETERS:
            parameters[names.get(name, name)] = _plain(item)
        else:
            report.note(f"modelParameters.{name} was left out.")
    if value.get("testData"):
        report.note("testData was left out, apart from the variables of the first entry.")
    if value.get("evaluators"):
        report.note("evaluators was left out.")
    data = value.get("testData")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    variables = {key: str(item) for key, item in first.items() if key != "expected"}
    body: dict[str, Json] = {**parameters, "model": value.get("model"), "messages": _plain(value["messages"])}
    return opened_body(body, report, variables=variables, name=str(value.get("name") or ""))


def _mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """Return a mapping; empty for None. Raises InputError with the path of another value."""
    if value is None or isinstance(value, dict):
        return value or {}
    raise InputError(FieldError(path, "is not a mapping."))


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
    model = settings.get("model") or {}
    options = model.get("parameters") or model.get("options") if isinstance(model, dict) else None
    parameters = {name: _plain(item) for name, item in _mapping(options, "model", "parameters").items()}
    for name in ("configuration", "connection"):
        if isinstance(model, dict) and model.get(name):
            report.note(f"model.{name} was left out: choose an endpoint instead.")
    sample = settings.get("sample")
    inputs = settings.get("inputs") if isinstance(settings.get("inputs"), dict) else {}
    variables = {str(k): str(v) for k, v in (sample if isinstance(sample, dict) else {}).items()}
    for key, item in (inputs or {}).items():
        default = item.get("default", item.get("sample")) if isinstance(item, dict) else item
        if default is not None:
            variables.setdefault(str(key), str(default))
    _note_templates(text, report)
    body: dict[str, Json] = {**parameters, "messages": _role_sections(text)}
    return opened_body(body, report, variables=variables, name=str(settings.get("name") or ""))


def _role_sections(text: str) -> list[Json]:
    parts = _ROLE_LINE.split(text)
    messages: list[Json] = []
    if parts[0].strip():
        messages.append({"role": "system", "content": parts[0].strip()})
    for role, content in zip(parts[1::2], parts[2::2], strict=True):
        messages.append({"role": role.lower(), "content": content.strip()})
    return messages


def _dotprompt(settings: Mapping[str, Any], text: str) -> OpenedPrompt:
    report = Report()
    config = settings.get("config") if isinstance(settings.get("config"), dict) else {}
    parameters: dict[str, Json] = {}
    for name, item in (config or {}).items():
        if name in _DOTPROMPT_NAMES:
            parameters[_DOTPROMPT_NAMES[name]] = _plain(item)
        else:
            report.note(f"config.{name} was left out.")
    _note_templates(_ROLE_TAG.sub("", text), report)
    parts = _ROLE_TAG.split(text)
    messages: list[Json] = [{"role": "user", "content": parts[0].strip()}] if parts[0].strip() else []
    roles = {"model": "assistant"}
    for role, content in zip(parts[1::2], parts[2::2], strict=True):
        messages.append({"role": roles.get(role, role), "content": content.strip()})
    given = settings.get("input") if isinstance(settings.get("input"), dict) else {}
    default = (given or {}).get("default")
    variables = {str(k): str(v) for k, v in (default if isinstance(default, dict) else {}).items()}
    body: dict[str, Json] = {**parameters, "model": _plain(settings.get("model")), "messages": messages}
    return opened_body(body, report, variables=variables, name=str(settings.get("name") or ""))


def _note_templates(text: str, report: Report) -> None:
    for match in re.finditer(r"\{%.*?%\}|\{\{[#/>].*?\}\}", text, re.DOTALL):
        report.note(f"The template tag {match[0][:40]} was kept as text: this program replaces names only.")


def _promptfoo(value: Mapping[str, Any]) -> OpenedPrompt:
    report = Report()
    prompts = value["prompts"]
    first = prompts[0] if isinstance(prompts, list) and prompts else prompts
    if isinstance(first, dict):
        first = first.get("raw") or first.get("id") or first.get("label")
    if not isinstance(first, str):
        raise InputError(FieldError(("prompts", 0), "is not a prompt's text."))
    if first.startswith("file://"):
        raise InputError(FieldError(("prompts", 0), f"is in another file ({first[7:]}).", "Open that file."))
    if isinstance(prompts, list) and len(prompts) > 1:
        report.note(f"The first of {len(prompts):,} prompts was imported.")
    if value.get("tests"):
        report.note("tests were left out, apart from the variables of the first.")
    tests = value.get("tests")
    test = tests[0] if isinstance(tests, list) and tests and isinstance(tests[0], dict) else {}
    found = test.get("vars") if isinstance(test.get("vars"), dict) else {}
    variables = {str(k): str(v) for k, v in (found or {}).items()}
    _note_templates(first, report)
    return opened_body({"messages": _promptfoo_messages(first)}, report, variables=variables)


def _promptfoo_messages(text: str) -> list[Json]:
    if text.lstrip().startswith(("[", "-")):
        parsed = load_yaml(text)  # JSON is YAML
        if isinstance(parsed, list) and all(isinstance(item, dict) and "role" in item for item in parsed):
            return [_plain(item) for item in parsed]
    return [{"role": "user", "content": text}]


ACCEPTED = (
    "Accepted: a prompt file, a request body, a list of messages, a curl command, Python or JavaScript with an SDK "
    "call, OpenAI batch lines, and the formats of Anthropic, Langfuse, GitHub Models, Prompty, dotprompt and promptfoo."
)
_CURL = re.compile(r"(?:\$\s+)?(?:\S*[/\\])?curl(?:\.exe)?\s")
_YAML_NAMES = (".yml", ".yaml", ".prompty", ".prompt")


def import_kind(text: str) -> str:
    """Return what pasted text appears to be ("curl command"); empty for plain text. Reads little of it."""
    start = text[:MAX_FILE_BYTES].lstrip("\ufeff \t\r\n")
    if _CURL.match(start):
        return "curl command"
    if start.startswith(("{", "[")) and re.search(r'"(?:messages|input|prompt|role)"\s*:', start):
        return "request in JSON"
    # The words first: in 2 MB of other text the expression takes 90 ms.
    if any(word in start for word in CALL_ENDS) and CALL.search(start):
        return "SDK call"
    if start.startswith("---\n") or re.match(r"(?:messages|prompts|name|model)\s*:.*\n", start):
        return "prompt file in YAML" if re.search(r"^(?:messages|prompts|model|inputs|config)\s*:", start, re.M) else ""
    return ""


_SECRET = re.compile(
    r"""((?:authorization\s*["']?\s*[:=]\s*["']?(?:f["'])?(?:bearer\s+|basic\s+)?|(?:x-)?api[-_]?key\s*["']?\s*[:=]\s*["']?))"""
    r"""([^\s"'`$\\{}(),^]{8,})""",
    re.IGNORECASE,
)


_QUOTED = r"""(?:'([^'\n]+)'|"([^"\n]+)"|([^\s"']+))"""
_HEADER_OPTION = re.compile(rf"(?<!\S)(?:-H\s*|--header[\s=]+){_QUOTED}")
_SHELL_STRING = r"""\\.|\$'[^'\\]*(?:\\.[^'\\]*)*'|'[^']*'|"[^"\\]*(?:\\.[^"\\]*)*\""""
_USER_OPTION = re.compile(
    rf"(?<!\S)(?:-[uU]\s*|--(?:user|proxy-user|(oauth2-bearer))[\s=]+){_QUOTED}|{_SHELL_STRING}", re.DOTALL
)
"""Strings match too, without groups: `sort -u names.txt` in a body is no option of the command."""
_COOKIE_OPTION = re.compile(rf"(?<!\S)(?:-b\s*|--cookie[\s=]+){_QUOTED}")
_HEADER_FIELD = re.compile(
    r"""["']((?:[A-Za-z0-9]+-)+[A-Za-z0-9]+|cookie)["']\s*:\s*f?["']((?:bearer\s+|basic\s+)?)([^\s"'$\\{}]{8,})""", re.I
)


def mask_secrets(text: str, mask: str) -> str:
    """Replace keys, cookies and passwords in the headers, options and addresses of a command or program.

    Each is replaced everywhere in the text, also in a body that repeats it. Names of variables are kept.
    """
    secrets = set(_secrets(text))
    text = _SECRET.sub(lambda match: match[0] if _is_code(match[2]) else match[1] + mask, text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_CHARS and not _is_code(secret) and not is_placeholder(secret) and "$" not in secret:
            text = text.replace(secret, mask)
    return text


def _secrets(text: str) -> Iterator[str]:
    for found in _HEADER_OPTION.finditer(text):
        name, _, value = "".join(filter(None, found.groups())).partition(":")
        yield from of_field(name.strip(), value.strip())
    for found in _USER_OPTION.finditer(text):
        bearer, *values = found.groups()
        value = "".join(filter(None, values))
        user, colon, password = value.partition(":")
        if bearer or colon:
            yield value
            yield password or user
        elif has_digit(user):  # some servers take a key as the user's name
            yield user
    for found in _COOKIE_OPTION.finditer(text):
        yield from of_field("cookie", "".join(filter(None, found.groups())))
    for found in _HEADER_FIELD.finditer(text):
        if has_digit(found[3]):
            yield from of_field(found[1], found[3])
    for secret in addresses_in(text):
        yield from secret.values


def _is_code(value: str) -> bool:
    return bool(re.match(r"(?:os|process|env|config|settings|import)\b[.\[]|[A-Z][A-Z0-9_]+$", value))


def open_any_bytes(data: bytes, name: str = "") -> OpenedPrompt:
    """As `open_any`, for a file's bytes in UTF-8, UTF-16 or UTF-32."""
    if len(data) > MAX_FILE_BYTES:
        raise InputError(FieldError((), f"the file has {len(data):,} bytes; the limit is {MAX_FILE_BYTES:,}."))
    try:
        return open_any(as_utf8(data).decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        raise InputError(
            FieldError(
                (),
                f"{name or 'the file'} is not UTF-8 text (byte {error.start:,}).",
                "Save it as UTF-8 and open it again.",
            )
        ) from None


def open_any(text: str, name: str = "", read_file: ReadFile = refuse_files) -> OpenedPrompt:
    """Return the document in `text`, with notes about changes and omissions. Raises InputError.

    Args:
        name: the file's name; empty for pasted text.
        read_file: reads a file that a curl command names; pasted commands do not read files.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")) and not name.lower().endswith(_YAML_NAMES):
        return _json(text.lstrip("\ufeff"))
    if _CURL.match(start):
        return open_curl(mask_secrets(start, MASK), read_file)
    if name.lower().endswith(_YAML_NAMES) or start.startswith("---"):
        return open_yaml(text, name)
    if CALL.search(text):
        return open_snippet(mask_secrets(text, MASK))
    if re.search(r"^(?:messages|prompts)\s*:", text, re.MULTILINE):
        return open_yaml(text, name)
    raise InputError(FieldError((), "this is no known prompt format.", ACCEPTED))


def _json(text: str) -> OpenedPrompt:
    try:
        value = loads(text, max_bytes=MAX_FILE_BYTES)
    except JsonBoundsError as error:
        raise InputError(FieldError((), str(error))) from None
    except json.JSONDecodeError:
        lines = [line for line in json_lines(text) if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            return open_json_lines(lines)
        return parse(text)  # raises InputError with the position
    return open_json(value, text)
