"""A logged request as something to run elsewhere. The key is a variable's name, never its value."""

from __future__ import annotations

import json
import shlex

from playground.runs.record import RequestRecord
from playground.storage.credentials import VARIABLE


def as_curl(record: RequestRecord, body_file: str = "") -> str:
    """A curl command for a POSIX shell; the body is the one that was sent, quoted, or that of a file."""
    body = f"@{body_file}" if body_file else _body(record)
    return " \\\n  ".join(
        (
            f"curl -N {shlex.quote(record.base_url + '/chat/completions')}",
            f'-H "Authorization: Bearer ${VARIABLE}"',
            "-H 'Content-Type: application/json'",
            f"{'--data-binary' if body_file else '--data-raw'} {shlex.quote(body)}",
        )
    )


def as_python(record: RequestRecord) -> str:
    """A script for the openai package. Fields that the package does not know go into `extra_body`."""
    fields = json.loads(record.body)
    known = {name: value for name, value in fields.items() if name in _KNOWN}
    others = {name: value for name, value in fields.items() if name not in _KNOWN}
    arguments = [f"{name}={value!r}" for name, value in known.items()]
    if others:
        arguments.append(f"extra_body={others!r}")
    lines = ",\n    ".join(arguments)
    end = (
        "for chunk in answer:\n"
        "    if chunk.choices and chunk.choices[0].delta.content:\n"
        '        print(chunk.choices[0].delta.content, end="", flush=True)\n'
        if fields.get("stream")
        else "print(answer.choices[0].message.content)\n"
    )
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={record.base_url!r}, api_key=os.environ.get("{VARIABLE}", "none"))\n'
        f"answer = client.chat.completions.create(\n    {lines},\n)\n{end}"
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
    """A script for the httpx package that sends the very bytes that were sent."""
    return (
        "import os\n\nimport httpx\n\n"
        f"body = {record.body!r}\n"
        "headers = {\n"
        f'    "Authorization": "Bearer " + os.environ.get("{VARIABLE}", "none"),\n'
        '    "Content-Type": "application/json",\n'
        "}\n"
        f"url = {record.base_url + '/chat/completions'!r}\n"
        'with httpx.stream("POST", url, content=body, headers=headers, timeout=120) as response:\n'
        '    print("X-Request-Id:", response.headers.get("x-request-id"))\n'
        "    for text in response.iter_text():\n"
        '        print(text, end="", flush=True)\n'
    )


def as_javascript(record: RequestRecord) -> str:
    """A module for Node 18 or later, and for Deno and Bun where they offer `process`."""
    return (
        f"const body = {_javascript_text(_body(record))};\n"
        f"const response = await fetch({_javascript_text(record.base_url + '/chat/completions')}, {{\n"
        '  method: "POST",\n'
        "  headers: {\n"
        f'    Authorization: `Bearer ${{process.env.{VARIABLE} ?? "none"}}`,\n'
        '    "Content-Type": "application/json",\n'
        "  },\n"
        "  body,\n"
        "});\n"
        'console.log("X-Request-Id:", response.headers.get("x-request-id"));\n'
        "const decoder = new TextDecoder();\n"
        "for await (const bytes of response.body) {\n"
        "  process.stdout.write(decoder.decode(bytes, { stream: true }));\n"
        "}\n"
    )


def _javascript_text(text: str) -> str:
    """ASCII only, and no `</script` where someone pastes it into a page."""
    return json.dumps(text, ensure_ascii=True).replace("</", "<\\/")


def _body(record: RequestRecord) -> str:
    return record.body.decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode()
