"""Export of a prompt with tools as a Python script with a tool-calling loop."""

from __future__ import annotations

import json

from playground.agent.tool_mocks import ToolMocks
from playground.export.masking import masked_text
from playground.prompt.document import Document
from playground.prompt.request import to_request
from playground.storage.credentials import VARIABLE


def as_loop(document: Document, book: ToolMocks, base_url: str, model: str, limit: int) -> str:
    """Return a script for the openai package. Each tool is a function to complete; one with a mock result returns it.

    Raises InputError if a variable has no value or the prompt has no message.
    """
    fields = json.loads(to_request(document, model).body)
    messages, tools = fields.pop("messages"), fields.pop("tools", [])
    settings = {name: value for name, value in fields.items() if name not in ("model", "stream", "stream_options")}
    names = [tool.name for tool in document.tools if tool.name.isidentifier()]
    return masked_text(
        _SCRIPT.format(
            base_url=base_url,
            variable=VARIABLE,
            tools=json.dumps(tools, ensure_ascii=True, indent=4),
            messages=json.dumps(messages, ensure_ascii=True, indent=4),
            functions="\n\n".join(_function(name, book) for name in names) or "# The prompt has no tools.",
            table=", ".join(f'"{name}": {name}' for name in names),
            settings=_settings(settings),
            model=model,
            limit=limit,
        )
    )


def _function(name: str, book: ToolMocks) -> str:
    reply = book.tools[name].otherwise if name in book.tools else None
    body = f"return {reply.text!r}" if reply is not None and reply.kind == "fixed" else "raise NotImplementedError"
    return f"def {name}(**arguments: object) -> str:\n    {body}"


def _settings(settings: dict[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in settings.items() if name.isidentifier())


_SCRIPT = """import json
import os

from openai import OpenAI

client = OpenAI(base_url={base_url!r}, api_key=os.environ.get("{variable}", "none"))
true, false, null = True, False, None  # as in JSON
tools = {tools}
messages = {messages}


{functions}


functions = {{{table}}}
for _ in range({limit}):
    answer = client.chat.completions.create(
        model={model!r}, messages=messages, **({{"tools": tools}} if tools else {{}}){settings}
    )
    message = answer.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    if message.content:
        print(message.content)
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        try:
            result = functions[call.function.name](**json.loads(call.function.arguments))
        except Exception as error:
            result = json.dumps({{"error": str(error) or type(error).__name__}})
        messages.append({{"role": "tool", "tool_call_id": call.id, "content": result}})
"""
