"""JSON of other APIs: OpenAI's Responses and batch lines, Anthropic messages, Langfuse, OpenTelemetry, bare lists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError, Path
from playground.prompt.files import FORMAT_KEY, FileFormat, OpenedPrompt, parse
from playground.prompt.json_text import loads

_IMAGES = "Electron accepts text only: images, audio and files cannot be imported."


class Report(Struct):
    """What was changed or left out, as sentences for the user.

    `stand_ins`: a short text stands for each picture or other part that is no text, which is an error otherwise.
    """

    stand_ins: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def left_out(self, what: str, why: str = "") -> None:
        """Add the sentence about what was not carried over."""
        self.note(f"{what or 'A field without a name'} was left out{': ' if why else ''}{why}.")


def opened_body(
    fields: Mapping[str, Json], report: Report, *, variables: Mapping[str, str] | None = None, name: str = ""
) -> OpenedPrompt:
    """Return a body in the chat completions format as a document in this program's own format.

    Raises InputError with the path of a field that cannot be imported.
    """
    value = dict(fields)
    value["messages"] = [
        _message(item, index, report) for index, item in enumerate(_list(value.get("messages"), "messages"))
    ]
    if not value["messages"]:
        raise InputError.of(("messages",), "there are no messages.", "Import a prompt with at least one message.")
    if value.get("tools") == []:
        report.left_out("tools", "the list is empty")
    model = value.get("model")
    if isinstance(model, str) and model != "electron":
        report.note(f"The model {model} was replaced by the model of the endpoint.")
    opened = parse(json.dumps(value))
    document = opened.document
    for variable, text in (variables or {}).items():
        document = document.with_variable(variable, text)
    if name:
        document = replace(document, name=name)
    kept = FileFormat(keys=tuple(value), stream_options=opened.format.stream_options)
    return OpenedPrompt(document, kept, (*opened.notes, *report.notes), imported=True)


def _message(item: Json, index: int, report: Report) -> Json:
    path: Path = ("messages", index)
    if not isinstance(item, dict):
        raise InputError.of(path, "is not an object.")
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
            if report.stand_ins:
                texts.append(f"[{kind}]")
                continue
            raise InputError.of((*path, position), f"is a part of type {kind}.", _IMAGES)
        texts.append(text)
    if len(texts) > 1:
        report.note("Text parts of a message were joined with line breaks.")
    return "\n".join(texts)


_RESPONSES_ONLY = frozenset(
    ["previous_response_id", "store", "reasoning", "text", "include", "truncation", "background"]
)


def open_json(value: Json, text: str, *, is_file: bool = True) -> OpenedPrompt:
    """Return the document in parsed JSON. `text` is its source. Raises InputError if no known format fits.

    `is_file`: a request body keeps its format and its model, so that it is saved unchanged; otherwise it becomes a
    prompt of this program.
    """
    report = Report()
    if isinstance(value, list):
        return opened_body({"messages": value}, report)
    if not isinstance(value, dict):
        raise InputError.of((), "this is JSON, but neither an object nor a list of messages.")
    if FORMAT_KEY in value:
        return parse(text)
    if (body := chat_body(value, report)) is not None:
        return opened_body(body, report, name=str(value.get("custom_id") or value.get("name") or ""))
    if "messages" in value:
        return parse(text) if is_file else opened_body(value, report)
    if "log" in value:
        raise InputError.of((), "this is a HAR file.", "Import it into the request log, then open a request.")
    raise InputError.of((), "this JSON has no messages, input or prompt.")


def chat_body(value: Mapping[str, Json], report: Report) -> dict[str, Json] | None:
    """Return the JSON of another API as a body of chat completions; None if it is none. Raises InputError."""
    if isinstance(value.get("body"), dict) and ("custom_id" in value or "url" in value):
        return _batch_line(value, report)
    if (attributes := genai_attributes(value)) is not None:
        return _genai(attributes, report)
    if "messages" in value:
        return _anthropic(value, report) if FORMAT_KEY not in value and _is_anthropic(value) else None
    if "input" in value:
        return _observation(value) if {"traceId", "trace_id"} & value.keys() else _responses(value, report)
    return _langfuse(value, report) if isinstance(value.get("prompt"), str | list) else None


def open_json_lines(lines: list[str]) -> OpenedPrompt:
    """Return the first request of JSON lines; the others are counted in a note."""
    try:
        first = loads(lines[0])
    except ValueError as error:
        raise InputError.of((1,), f"is not JSON: {error}.") from None
    opened = open_json(first, lines[0])
    note = f"The first of {len(lines):,} requests was opened. Send all of them with the batch command."
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, note), imported=True)


def _batch_line(value: Mapping[str, Json], report: Report) -> dict[str, Json]:
    body = value["body"]
    assert isinstance(body, dict)
    url = value.get("url")
    if isinstance(url, str) and not url.endswith("/chat/completions"):
        if url.endswith("/responses"):
            return _responses(body, report)
        raise InputError.of(("url",), f"{url} is not a chat completions request.")
    return dict(body)


def _responses(value: Mapping[str, Json], report: Report) -> dict[str, Json]:
    messages: list[Json] = []
    if isinstance(value.get("instructions"), str):
        messages.append({"role": "system", "content": value["instructions"]})
    items = value.get("input")
    if isinstance(items, str):
        messages.append({"role": "user", "content": items})
    else:
        messages += [_responses_item(item, index, report) for index, item in enumerate(_list(items, "input"))]
    left_out = {"input", "instructions", *_RESPONSES_ONLY}
    body: dict[str, Json] = {
        "max_tokens" if name == "max_output_tokens" else name: item
        for name, item in value.items()
        if name not in left_out
    }
    for name in sorted(_RESPONSES_ONLY.intersection(value)):
        report.left_out(name, "it belongs to the Responses API")
    tools = value.get("tools")
    if isinstance(tools, list):
        body["tools"] = [tool for item in tools if (tool := _responses_tool(item, report)) is not None]
        if not body["tools"]:
            del body["tools"]
    return {**body, "messages": messages}


def _responses_item(item: Json, index: int, report: Report) -> Json:
    if not isinstance(item, dict):
        raise InputError.of(("input", index), "is not an object.")
    kind = item.get("type", "message")
    if kind == "function_call":
        function: Json = {"name": item.get("name"), "arguments": item.get("arguments")}
        call: Json = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    if kind != "message":
        if report.stand_ins:
            return {"role": "assistant", "content": f"[{kind}]"}
        raise InputError.of(("input", index), f"is an item of type {kind}, which chat completions do not have.")
    content = item.get("content")
    text = joined_parts(content, ("input", index, "content"), report) if isinstance(content, list) else content
    return {"role": item.get("role"), "content": text}


def _responses_tool(item: Json, report: Report) -> Json:
    if not isinstance(item, dict) or item.get("type") != "function":
        kind = item.get("type") if isinstance(item, dict) else item
        report.left_out(f"A tool of type {kind}", "chat completions have functions only")
        return None
    if "function" in item:
        return item
    kept: dict[str, Json] = {
        name: part for name, part in item.items() if name in ("name", "description", "parameters", "strict")
    }
    return {"type": "function", "function": kept}


def _is_anthropic(value: Mapping[str, Json]) -> bool:
    model = value.get("model")
    if "system" in value or "anthropic_version" in value or (isinstance(model, str) and model.startswith("claude")):
        return True
    tools = value.get("tools")
    if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
        return True
    messages = value.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") in ("tool_use", "tool_result"):
                return True
    return False


def _list(value: Json, name: str) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError.of((name,), "is not a list.")
    return value


def _anthropic(value: Mapping[str, Json], report: Report) -> dict[str, Json]:
    messages: list[Json] = []
    system = value.get("system")
    if system:
        text = joined_parts(system, ("system",), report) if isinstance(system, list) else system
        messages.append({"role": "system", "content": text})
    for index, item in enumerate(_list(value.get("messages"), "messages")):
        messages += _anthropic_message(item, index, report)
    own = ("system", "messages", "tools", "tool_choice", "anthropic_version")
    body: dict[str, Json] = {
        "stop" if name == "stop_sequences" else name: item
        for name, item in value.items()
        if name not in (*own, *_ANTHROPIC_ONLY)
    }
    for name in _ANTHROPIC_ONLY:
        if name in value:
            report.left_out(name, "it belongs to the Anthropic API")
    if _has_key(dict(value), "cache_control"):
        report.left_out("cache_control", "Electron caches prefixes by itself")
    tools = [_anthropic_tool(tool, index, report) for index, tool in enumerate(_list(value.get("tools"), "tools"))]
    if any(tools):
        body["tools"] = [tool for tool in tools if tool]
    return {**body, **_anthropic_choice(value.get("tool_choice"), report), "messages": messages}


_ANTHROPIC_ONLY = ("thinking", "metadata", "top_k", "service_tier", "container", "mcp_servers", "context_management")
_BLOCKS = ("tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use")


def _has_key(value: Json, key: str) -> bool:
    if isinstance(value, dict):
        return key in value or any(
            _has_key(one, key) for name, one in value.items() if name not in ("input", "input_schema")
        )
    return isinstance(value, list) and any(_has_key(one, key) for one in value)


def _anthropic_choice(choice: Json, report: Report) -> dict[str, Json]:
    if not isinstance(choice, dict):
        return {}
    kind, body = choice.get("type"), dict[str, Json]()
    if kind == "tool":
        body["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in ("auto", "any", "none"):
        body["tool_choice"] = "required" if kind == "any" else kind
    else:
        report.left_out("tool_choice", f"its type {kind} is not known")
    if choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False
    return body


def _anthropic_message(item: Json, index: int, report: Report) -> list[Json]:
    if not isinstance(item, dict):
        raise InputError.of(("messages", index), "is not an object.")
    role, content = item.get("role"), item.get("content")
    if not isinstance(content, list):
        return [{"role": role, "content": content}]
    texts: list[Json] = []
    for position, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else ""
        if isinstance(kind, str) and (kind in _BLOCKS[2:] or kind.endswith("_tool_result")):
            report.left_out(f"messages[{index}].content[{position}] ({kind})", "chat completions have no such part")
        elif kind not in _BLOCKS:
            texts.append(part)
    calls: list[Json] = [
        {
            "id": part.get("id"),
            "type": "function",
            "function": {"name": part.get("name"), "arguments": json.dumps(part.get("input"), ensure_ascii=False)},
        }
        for part in content
        if isinstance(part, dict) and part.get("type") == "tool_use"
    ]
    found: list[Json] = [
        {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": _result_text(part, index, report)}
        for part in content
        if isinstance(part, dict) and part.get("type") == "tool_result"
    ]
    text = joined_parts(texts, ("messages", index, "content"), report) if texts else None
    if calls:
        found.append({"role": role, "content": text, "tool_calls": calls})
    elif text is not None:
        found.append({"role": role, "content": text})
    return found


def _result_text(part: Mapping[str, Json], index: int, report: Report) -> Json:
    content = part.get("content", "")
    if part.get("is_error"):
        report.left_out(f"is_error of the result of {part.get('tool_use_id')}", "chat completions have no such field")
    return joined_parts(content, ("messages", index, "content"), report) if isinstance(content, list) else content


def _anthropic_tool(tool: Json, index: int, report: Report) -> Json:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind not in (None, "custom"):
        report.left_out(f"The tool of type {kind}", "Anthropic's server runs it")
        return None
    if not isinstance(tool, dict) or "input_schema" not in tool:
        raise InputError.of(("tools", index), "is not a tool with an input_schema.")
    function: dict[str, Json] = {name: part for name, part in tool.items() if name in ("name", "description")}
    return {"type": "function", "function": {**function, "parameters": tool["input_schema"]}}


def _langfuse(value: Mapping[str, Json], report: Report) -> dict[str, Json]:
    prompt = value["prompt"]
    messages: list[Json] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _list(prompt, "prompt")
    placeholders = [
        item
        for item in messages
        if isinstance(item, dict) and item.get("type") == "placeholder" and "content" not in item
    ]
    for item in placeholders:
        assert isinstance(item, dict)
        report.left_out(f"The placeholder {item.get('name')}", "it stands for messages")
    kept: list[Json] = [
        {name: part for name, part in item.items() if name != "type"} if isinstance(item, dict) else item
        for item in messages
        if item not in placeholders
    ]
    config = value.get("config")
    settings = config if isinstance(config, dict) else {}
    return {**settings, "messages": kept}


_MESSAGES, _TOOLS = "gen_ai.input.messages", "gen_ai.tool.definitions"


def genai_attributes(value: Mapping[str, Json]) -> dict[str, Json] | None:
    """Return the `gen_ai.*` attributes of an OpenTelemetry span or log record, with those of its events; None if it
    has no input messages.

    Attributes are an object, or a list of `key` and `value` as in OTLP. Older spans have an event for each message.
    """
    events = value.get("events")
    rows = [value, *(event for event in (events if isinstance(events, list) else ()) if isinstance(event, dict))]
    found: dict[str, Json] = {name: item for name, item in value.items() if name.startswith("gen_ai.")}
    messages: list[Json] = []
    for row in rows:
        fields = {**_otlp(row.get("attributes")), **_otlp(row.get("body"))}
        found.update((name, item) for name, item in fields.items() if name.startswith("gen_ai."))
        if (kind := re.fullmatch(r"gen_ai\.(system|user|assistant|tool)\.message", str(row.get("name")))) is not None:
            names = ("role", "content", "tool_calls", "id")
            message = {name: fields.get(name, fields.get(f"gen_ai.{name}")) for name in names}
            message["tool_call_id"] = message.pop("id")
            kept = {name: item for name, item in message.items() if item is not None}
            messages.append({"role": kind[1], "content": None, **kept})
    if messages:
        found.setdefault(_MESSAGES, messages)
    return found if _MESSAGES in found else None


def _otlp(value: Json) -> dict[str, Json]:
    if isinstance(value, dict) and isinstance(value.get("kvlistValue"), dict):
        return _otlp(_plain(value))
    if isinstance(value, list):
        return {str(one.get("key")): _plain(one.get("value")) for one in value if isinstance(one, dict)}
    return value if isinstance(value, dict) else {}


def _plain(value: Json) -> Json:
    """Return a value of OTLP's JSON, such as {"stringValue": "a"}, without its type; whole numbers are in strings."""
    if not isinstance(value, dict) or len(value) != 1 or not next(iter(value)).endswith("Value"):
        return value
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(str(inner))
    items = inner.get("values") if isinstance(inner, dict) else None
    if kind == "kvlistValue":
        return {**_otlp(items)}
    return [_plain(one) for one in items] if isinstance(items, list) else inner


def _genai(attributes: Mapping[str, Json], report: Report) -> dict[str, Json]:
    messages: list[Json] = []
    system = _parsed(attributes.get("gen_ai.system_instructions"))
    if system:
        messages.append({"role": "system", "content": _genai_text(system, report)})
    for index, item in enumerate(_list(_parsed(attributes[_MESSAGES]), _MESSAGES)):
        if not isinstance(item, dict):
            raise InputError.of((_MESSAGES, index), "is not an object.")
        messages += _genai_message(item, report)
    body: dict[str, Json] = {"model": attributes.get("gen_ai.request.model"), "messages": messages}
    if isinstance(tools := _parsed(attributes.get(_TOOLS)), list) and tools:
        body["tools"] = [tool for item in tools if (tool := _responses_tool(item, report)) is not None]
    return body


def _genai_message(item: Mapping[str, Json], report: Report) -> list[Json]:
    parts = item.get("parts")
    if not isinstance(parts, list):
        return [dict(item)]
    found: list[Json] = []
    calls: list[Json] = []
    texts: list[Json] = []
    for part in (one for one in parts if isinstance(one, dict)):
        if part.get("type") == "tool_call":
            given = part.get("arguments")
            arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            function: Json = {"name": part.get("name"), "arguments": arguments}
            calls.append({"id": part.get("id"), "type": "function", "function": function})
        elif part.get("type") == "tool_call_response":
            given = part.get("response", part.get("result"))
            content = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            found.append({"role": "tool", "tool_call_id": part.get("id"), "content": content})
        else:
            texts.append(part)
    if calls or texts:
        text = _genai_text(texts, report) if texts else None
        found.append({"role": item.get("role"), "content": text, **({"tool_calls": calls} if calls else {})})
    return found


def _genai_text(parts: Json, report: Report) -> str:
    """Join parts: OpenTelemetry has their text in `content`."""
    rows = parts if isinstance(parts, list) else [parts]
    return joined_parts(
        [{**one, "text": one["content"]} if isinstance(one, dict) and "content" in one else one for one in rows],
        (_MESSAGES,),
        report,
    )


def _parsed(value: Json) -> Json:
    """Return an attribute: spans have a string of JSON where a structure is not supported."""
    if not isinstance(value, str):
        return value
    try:
        parsed: Json = loads(value)
    except ValueError:
        return value
    return parsed


def _observation(value: Mapping[str, Json]) -> dict[str, Json]:
    """Return the request that Langfuse has recorded: its `input` is a body, the messages or one text."""
    given, settings = value["input"], value.get("modelParameters")
    messages: Json = [{"role": "user", "content": given}] if isinstance(given, str) else given
    body = given if isinstance(given, dict) else {"messages": messages}
    return {"model": value.get("model"), **(settings if isinstance(settings, dict) else {}), **body}
