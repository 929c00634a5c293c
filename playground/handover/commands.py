"""A logged request as something to run elsewhere. The key is a variable's name, never its value."""

from __future__ import annotations

import json
import shlex

from playground.keystore import VARIABLE
from playground.requestlog.records import RunRecord


def as_curl(record: RunRecord) -> str:
    """A curl command for a POSIX shell; the body is the one that was sent, quoted."""
    body = record.body.decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode()
    return " \\\n  ".join(
        (
            f"curl -N {shlex.quote(record.base_url + '/chat/completions')}",
            f'-H "Authorization: Bearer ${VARIABLE}"',
            "-H 'Content-Type: application/json'",
            f"--data-binary {shlex.quote(body)}",
        )
    )


def as_python(record: RunRecord) -> str:
    """A script for the openai package."""
    fields = json.loads(record.body)
    arguments = ",\n    ".join(f"{name}={value!r}" for name, value in fields.items() if name.isidentifier())
    stream = bool(fields.get("stream"))
    end = (
        "for chunk in answer:\n"
        "    if chunk.choices and chunk.choices[0].delta.content:\n"
        '        print(chunk.choices[0].delta.content, end="", flush=True)\n'
        if stream
        else "print(answer.choices[0].message.content)\n"
    )
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={record.base_url!r}, api_key=os.environ.get("{VARIABLE}", "none"))\n'
        f"answer = client.chat.completions.create(\n    {arguments},\n)\n{end}"
    )
