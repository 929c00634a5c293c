"""Exports for other programs: a request or an agent loop as a script, a prompt as a file of another tool.

Scripts read the key from an environment variable.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from playground import filled_asset
from playground.client.endpoint import ELECTRON_BASE_URL, origin
from playground.client.models import preset_for
from playground.export.masking import masked_record, masked_text
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.import_formats import open_any
from playground.prompt.request import to_request
from playground.runs.metrics import counted
from playground.runs.record import RequestRecord, body_value
from playground.storage.credentials import VARIABLE

if TYPE_CHECKING:
    from playground.agent.tool_mocks import ToolMocks


def as_loop(document: Document, book: ToolMocks, base_url: str, model: str, limit: int) -> str:
    """Return a script for the openai package. Each tool is a function to complete; one with a mock result returns it.

    Raises InputError if a variable has no value or the prompt has no message.
    """
    fields = json.loads(to_request(document, model).body)
    messages, tools = fields.pop("messages"), fields.pop("tools", [])
    settings = {name: value for name, value in fields.items() if name not in ("model", "stream", "stream_options")}
    names = [tool.name for tool in document.tools if tool.name.isidentifier()]
    return masked_text(
        filled_asset(
            "scripts/loop.py.txt",
            base_url=repr(base_url),
            variable=VARIABLE,
            tools=json.dumps(tools, ensure_ascii=True, indent=4),
            messages=json.dumps(messages, ensure_ascii=True, indent=4),
            functions="\n\n".join(_function(name, book) for name in names) or "# The prompt has no tools.",
            table=", ".join(f'"{name}": {name}' for name in names),
            settings=_settings(settings),
            model=repr(model),
            limit=str(limit),
        )
    )


def _function(name: str, book: ToolMocks) -> str:
    reply = book.tools[name].otherwise if name in book.tools else None
    body = f"return {reply.text!r}" if reply is not None and reply.kind == "fixed" else "raise NotImplementedError"
    return f"def {name}(**arguments: object) -> str:\n    {body}"


def _settings(settings: dict[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in settings.items() if name.isidentifier())


_ID_ENDINGS = ("request-id", "trace-id", "call-id", "generation-id")
"""Ends of the names in client.request_ids.HEADERS: the server's own ids, and those of gateways."""


def key_variable(record: RequestRecord) -> str:
    """Return the environment variable that a script reads the key from.

    The vendor's variable is for the vendor's address and the simulator only: another server, also one on this
    computer, must not receive that key.
    """
    preset = preset_for(record.base_url)
    if preset is not None and preset.key_variable:
        return preset.key_variable
    own = record.endpoint_kind != "other" or origin(record.base_url) == origin(ELECTRON_BASE_URL)
    return VARIABLE if own else "API_KEY"


def as_curl(record: RequestRecord, body_file: str = "") -> str:
    """Return a curl command for a POSIX shell, with the body that was sent or `@body_file`.

    Response headers, with the request_id, go to standard error. A long body is a here-document: a single argument may
    have at most 128 KiB on Linux.
    """
    record = masked_record(record)
    document = ""
    if body_file:
        data = f"--data-binary {shlex.quote(f'@{body_file}')}"
    elif len(record.body) <= MAX_ARGUMENT_BYTES:
        data = f"--data-raw {shlex.quote(_text(record))}"
    else:
        data, document = _here_document(_text(record))
    lines = (
        f"curl -N -D /dev/stderr {shlex.quote(record.base_url + '/chat/completions')}",
        f'-H "Authorization: Bearer ${key_variable(record)}"',
        "-H 'Content-Type: application/json'",
        data,
    )
    return " \\\n  ".join(lines) + document


MAX_ARGUMENT_BYTES = 100_000


def _here_document(body: str) -> tuple[str, str]:
    """Return the option and the here-document of a long body."""
    # --data drops line ends, so the document's last one is not sent; --data-binary keeps those of the body.
    option = "--data-binary" if "\n" in body or "\r" in body else "--data"
    end = "BODY"
    while end in body:
        end += "_"
    return f"{option} @- <<'{end}'", f"\n{body}\n{end}"


def as_powershell(record: RequestRecord) -> str:
    """Return commands for PowerShell 5.1 and later with `curl.exe`; the body goes through a temporary file.

    PowerShell 5.1 changes quotes in arguments of programs, and pipes text in another encoding than UTF-8.
    """
    record = masked_record(record)
    body, url = _powershell_text(_text(record)), _powershell_text(record.base_url + "/chat/completions")
    return filled_asset("scripts/curl.ps1.txt", body=body, url=url, variable=key_variable(record))


def _powershell_text(text: str) -> str:
    """Return a literal text: PowerShell takes typographic single quotes for quotes, too."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"


def as_smallestai(record: RequestRecord) -> str:
    """Return a script for the vendor's package, smallestai 5. It cannot read streams: `stream` is left out."""
    record = masked_record(record)
    fields = {k: v for k, v in _fields(record).items() if k not in ("stream", "stream_options")}
    root = record.base_url.removesuffix("/waves/v1")
    client, imports = "client = SmallestAI()", "from smallestai import SmallestAI\n"
    if root != "https://api.smallest.ai":
        imports += "from smallestai.environment import SmallestAIEnvironment\n"
        client = (
            f"url = {root!r}  # the package adds /waves/v1/chat/completions\nclient = "
            "SmallestAI(environment=SmallestAIEnvironment(atoms=url, waves=url, waves_ws=url, payment=url))"
        )
    arguments = _arguments(fields, _SMALLESTAI, "request_options={{'additional_body_parameters': {!r}}}")
    return filled_asset(
        "scripts/smallestai.py.txt", variable=VARIABLE, imports=imports, client=client, arguments=arguments
    )


def _arguments(fields: dict[str, Json], known: frozenset[str], other: str) -> str:
    """Return the fields as arguments of a call; those that the package does not know are in the one of `other`."""
    found = [f"{name}={value!r}" for name, value in fields.items() if name in known]
    rest = {name: value for name, value in fields.items() if name not in known}
    return ",\n    ".join([*found, *([other.format(rest)] if rest else [])])


_SMALLESTAI = frozenset(
    (
        *("model", "messages", "temperature", "top_p", "max_tokens", "tools", "tool_choice", "response_format", "stop"),
        *("seed", "logit_bias", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "user"),
    )
)
"""Arguments of the package's `complete`, without those of streams."""


def as_python(record: RequestRecord) -> str:
    """Return a script for the openai package. Fields that the package does not know go into `extra_body`."""
    record = masked_record(record)
    fields = _fields(record)
    return filled_asset(
        "scripts/openai_stream.py.txt" if fields.get("stream") else "scripts/openai.py.txt",
        base_url=repr(record.base_url),
        variable=key_variable(record),
        arguments=_arguments(fields, _KNOWN, "extra_body={!r}"),
        id_endings=repr(_ID_ENDINGS),
    )


_KNOWN = frozenset(
    (
        *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "stream"),
        *("stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop", "seed", "user"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
    )
)
"""Arguments of the package's `create`."""


def as_httpx(record: RequestRecord) -> str:
    """Return a script for the httpx package that sends the same bytes."""
    record = masked_record(record)
    url = repr(record.base_url + "/chat/completions")
    parts = {"body": repr(record.body), "variable": key_variable(record), "id_endings": repr(_ID_ENDINGS)}
    return filled_asset("scripts/httpx.py.txt", url=url, **parts)


def as_javascript(record: RequestRecord) -> str:
    """Return a module for Node 18 or later, and for Deno and Bun if they offer `process`."""
    record = masked_record(record)
    body, url = _javascript_text(_text(record)), _javascript_text(record.base_url + "/chat/completions")
    return filled_asset(
        "scripts/fetch.mjs.txt", body=body, url=url, variable=key_variable(record), id_endings="|".join(_ID_ENDINGS)
    )


def _javascript_text(text: str) -> str:
    """Return an ASCII literal without `</script`, safe in an HTML page."""
    return json.dumps(text, ensure_ascii=True).replace("</", "<\\/")


def is_text(record: RequestRecord) -> bool:
    """Return whether the body is UTF-8. The Recorder forwards any bytes, for example Latin-1 of PowerShell 5.1."""
    try:
        record.body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(record: RequestRecord) -> str:
    """Return the body. Raises InputError for bytes that a script cannot hold as text."""
    if not is_text(record):
        raise InputError.of(("body",), "is not UTF-8, so this script would send other bytes.", _EXACT)
    return record.body.decode("utf-8")


def _fields(record: RequestRecord) -> dict[str, Json]:
    """Return the body's fields. Raises InputError for a body that the package cannot send: it sends JSON objects."""
    fields = body_value(record.body)
    if not isinstance(fields, dict):
        raise InputError.of(("body",), "is not a JSON object, and this package sends no other body.", _EXACT)
    return fields


_EXACT = "The script for httpx sends the same bytes."


SCRIPTS: dict[str, Callable[[RequestRecord], str]] = {
    "curl": as_curl,
    "powershell": as_powershell,
    "python": as_python,
    "httpx": as_httpx,
    "smallestai": as_smallestai,
    "javascript": as_javascript,
}
"""Every script, by its name on the command line."""


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
