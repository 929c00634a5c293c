# ruff: noqa: E501  # files of one line are written as one line
"""Import files of every format, valid, odd and hostile: each opens, or is refused with the place of the error."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from playground.prompt.field_errors import InputError
from playground.prompt.import_formats import open_any_bytes

U = {"role": "user", "content": "Q"}
IMG = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
J = json.dumps


def curl(body: object) -> str:
    return "curl https://x/v1/chat/completions -d '" + J(body) + "'"


B = {"messages": [U]}
CASES: dict[str, tuple[str, str | bytes, int | str]] = {
    "curl.valid": ("a.sh", curl(B), 1),
    "curl.json_option": ("a.sh", "curl https://x --json '" + J(B) + "'", 1),
    "curl.many_headers_attached_data": (
        "a.sh",
        "curl -sS -X POST https://x -H a:b -H 'c: d' --data-raw='" + J(B) + "'",
        1,
    ),
    "curl.double_quotes": (
        "a.sh",
        'curl https://x -d "{\\"messages\\":[{\\"role\\":\\"user\\",\\"content\\":\\"Q\\"}]}"',
        1,
    ),
    "curl.cmd_caret": (
        "a.bat",
        'curl.exe ^"https://x^" ^\r\n -d ^"{^\\^"messages^\\^":[{^\\^"role^\\^":^\\^"user^\\^",^\\^"content^\\^":^\\^"Q^\\^"}]}^"',
        1,
    ),
    "github.field_twice": (
        "a.prompt.yml",
        "messages:\n  - role: user\n    content: a\n    content: b\n",
        "line 4: the field content is given twice",
    ),
    "curl.dollar_prompt": ("", "$ " + curl(B), 1),
    "curl.ansi_c_escape": (
        "a.sh",
        'curl https://x --data-raw $\'{"messages":[{"role":"user","content":"Q\\u0021"}]}\'',
        1,
    ),
    "curl.file_reference": ("a.sh", "curl https://x -d @/etc/passwd", "--data"),
    "curl.no_body": ("a.sh", "curl https://x -H 'a: b'", "-d or --data"),
    "curl.unclosed_quote": ("a.sh", 'curl https://x -d \'{"messages":', "No closing quotation"),
    "curl.option_without_value": ("a.sh", "curl https://x -d", "-d"),
    "curl.not_json": ("a.sh", "curl https://x -d 'a=b'", "--data: is not JSON"),
    "curl.image": ("a.sh", curl({"messages": [IMG]}), "messages[0].content[0]"),
    "curl.command_substitution": ("a.sh", 'curl https://x -d "$(cat /etc/passwd)"', "--data"),
    "python.valid": (
        "a.py",
        'client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Q"}])',
        1,
    ),
    "python.raw_response": (
        "a.py",
        'client.chat.completions.with_raw_response.create(messages=[{"role": "user", "content": "Q"}])',
        1,
    ),
    "python.smallestai": (
        "a.py",
        'client.waves.electron.complete(model="electron", messages=[{"role": "user", "content": "Q"}], request_options={"additional_body_parameters": {"top_k": 1}})',
        1,
    ),
    "python.anthropic": (
        "a.py",
        'client.messages.create(model="claude-3", max_tokens=5, system="S", messages=[{"role": "user", "content": "Q"}])',
        2,
    ),
    "python.f_string": (
        "a.py",
        'client.chat.completions.create(messages=[{"role": "user", "content": f"Hi {name}"}])',
        1,
    ),
    "python.call_is_not_run": (
        "a.py",
        'client.chat.completions.create(messages=[{"role": "user", "content": os.system("touch /tmp/electron-playground-import-ran")}])',
        1,
    ),
    "python.deep": (
        "a.py",
        "client.chat.completions.create(messages=" + "[" * 200 + "]" * 200 + ")",
        "line 1: the call is neither Python nor JavaScript",
    ),
    "python.self_reference": (
        "a.py",
        "m = m + m\nclient.chat.completions.create(messages=m)",
        "line 1: the snippet is nested",
    ),
    "python.no_messages": ("a.py", 'client.chat.completions.create(model="m")', "it has none (the call in line 1)"),
    "python.bomb": (
        "a.py",
        'a = "x" * 10\n'
        + "".join(f"a{i} = a{i - 1} + a{i - 1}\n" for i in range(1, 40)).replace("a0", "a")
        + 'client.chat.completions.create(messages=[{"role": "user", "content": a39}])',
        "line 12: the snippet is nested too deeply",
    ),
    "python.doubling_names": (
        "a.py",
        "a0 = ['x']\n"
        + "".join(f"a{i} = a{i - 1} + a{i - 1}\n" for i in range(1, 28))
        + "client.chat.completions.create(messages=a27)",
        "line 4: the values are too large",
    ),
    "js.valid": (
        "a.js",
        "await client.chat.completions.create({model: 'm', messages: [{role: 'user', content: 'Q'}]})",
        1,
    ),
    "js.template_literal": (
        "a.ts",
        "client.chat.completions.create({messages: [{role: 'user', content: `Hi ${user.name}`}],})",
        1,
    ),
    "js.comments_and_trailing_commas": (
        "a.js",
        "client.chat.completions.create({/*a*/ messages: [ // b\n {role: 'user', content: 'Q',},],})",
        1,
    ),
    "js.unclosed": ("a.js", "client.chat.completions.create({messages: [{role: 'user'", "line 1 is not understood"),
    "js.deep": ("a.js", "client.chat.completions.create({messages: " + "[" * 5000, "line 1 is not understood"),
    "js.templates": (
        "a.js",
        "${`" * 100_000 + "c.chat.completions.create({messages: [q]})",
        "line 1 is not understood",
    ),
    "js.many_changes": (
        "a.js",
        "let q = 0;" + "q = 1;" * 80_000 + "c.chat.completions.create({messages: [q]})",
        "more than 60,000 parts",
    ),
    "python.many_appends": (
        "a.py",
        "m = []\n" + 'm.append({"role": "user", "content": "Q"})\n' * 2_000 + "c.chat.completions.create(messages=m)",
        2_000,
    ),
    "js.getter": (
        "a.js",
        "client.chat.completions.create({get messages() { return fetch('x') }})",
        "is not in the program (line 1)",
    ),
    "body.valid": ("a.json", J({**B, "model": "electron"}), 1),
    "body.byte_order_mark": ("a.json", b"\xef\xbb\xbf" + J(B).encode(), 1),
    "body.content_parts": (
        "a.json",
        J({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}),
        1,
    ),
    "body.image": ("a.json", J({"messages": [U, IMG]}), "messages[1].content[0]"),
    "body.bad_role": ("a.json", J({"messages": [{"role": "root", "content": "x"}]}), "messages[0].role"),
    "body.messages_object": ("a.json", J({"messages": {"a": 1}}), "messages"),
    "body.cut": ("a.json", J(B)[:-3], "line 1, column 46"),
    "body.nan": ("a.json", '{"messages": [{"role":"user","content":"Q"}], "temperature": NaN}', "NaN"),
    "body.deep": ("a.json", '{"messages":' + "[" * 3000 + "]" * 3000 + "}", "100 levels"),
    "body.not_utf8": ("a.json", b'{"messages": [{"role":"user","content":"\xff"}]}', "byte 40"),
    "body.utf16": ("a.json", J(B).encode("utf-16"), 1),
    "body.lone_surrogate": ("a.json", '{"messages": [{"role":"user","content":"\\ud800"}]}', 1),
    "responses.string_input": ("a.json", J({"model": "m", "input": "Q"}), 1),
    "responses.items": (
        "a.json",
        J({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Q"}]}], "instructions": "S"}),
        2,
    ),
    "responses.unknown_item": ("a.json", J({"input": [{"type": "computer_call"}]}), "input[0]"),
    "responses.input_image": (
        "a.json",
        J({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
        "input[0].content[0]",
    ),
    "responses.input_number": ("a.json", J({"input": 7}), "input"),
    "list.valid": ("a.json", J([U]), 1),
    "list.empty": ("a.json", "[]", "messages"),
    "list.of_texts": ("a.json", '["a"]', "messages[0]"),
    "batch.valid": (
        "a.jsonl",
        "\n".join(J({"custom_id": f"r{i}", "url": "/v1/chat/completions", "body": B}) for i in range(3)),
        1,
    ),
    "batch.embeddings": ("a.jsonl", J({"custom_id": "r", "url": "/v1/embeddings", "body": {"input": "x"}}), "url"),
    "batch.second_line_bad": ("a.jsonl", J({"custom_id": "r", "body": B}) + "\n{bad}", 1),
    "anthropic.valid": ("a.json", J({"model": "claude-3", "system": "S", "max_tokens": 9, "messages": [U]}), 2),
    "anthropic.tool_result": (
        "a.json",
        J(
            {
                "anthropic_version": "x",
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}
                ],
            }
        ),
        1,
    ),
    "anthropic.image": (
        "a.json",
        J({"system": "S", "messages": [{"role": "user", "content": [{"type": "image"}]}]}),
        "messages[0].content[0]",
    ),
    "anthropic.tool_without_schema": (
        "a.json",
        J({"system": "S", "messages": [U], "tools": [{"name": "x"}]}),
        "tools[0]",
    ),
    "github.valid": (
        "a.prompt.yml",
        "name: n\nmodel: electron\nmodelParameters:\n  maxTokens: 5\nmessages:\n  - role: user\n    content: Q\ntestData:\n  - q: 1\n",
        1,
    ),
    "github.dates_and_yes": ("a.prompt.yml", "messages:\n  - role: user\n    content: 2026-01-01\n", 1),
    "github.alias_bomb": ("a.prompt.yml", "a: &a [x,x]\nb: &b [*a,*a]\nmessages: []\n", "line 2"),
    "github.python_tag": (
        "a.prompt.yml",
        "messages: !!python/object/apply:os.system ['touch /tmp/electron-playground-import-ran']\n",
        "line 1, column 11",
    ),
    "github.tab": ("a.prompt.yml", "messages:\n\t- role: user\n", "line 2, column 1"),
    "github.no_messages": ("a.prompt.yml", "messages: []\n", "messages"),
    "github.parameters_list": (
        "a.prompt.yml",
        "modelParameters: [1]\nmessages:\n  - role: user\n    content: Q\n",
        "modelParameters",
    ),
    "prompty.valid": (
        "a.prompty",
        "---\nname: n\nmodel:\n  api: chat\n  parameters:\n    temperature: 0.1\nsample:\n  q: v\n---\nsystem:\nS\n\nuser:\n{{q}}\n",
        2,
    ),
    "prompty.no_end": ("a.prompty", "---\nname: n\nsystem:\nS\n", "line 5"),
    "prompty.template_tags": ("a.prompty", "---\nname: n\n---\nuser:\n{% for x in y %}{{x}}{% endfor %}\n", 1),
    "prompty.front_matter_list": ("a.prompty", "---\n- a\n---\nuser:\nQ\n", "front matter"),
    "prompty.parameters_text": ("a.prompty", "---\nmodel:\n  parameters: hot\n---\nuser:\nQ\n", "model.parameters"),
    "dotprompt.valid": (
        "a.prompt",
        '---\nmodel: m\nconfig:\n  temperature: 0.3\ninput:\n  default:\n    q: v\n---\n{{role "system"}}S{{role "user"}}{{q}}\n',
        2,
    ),
    "dotprompt.media": ("a.prompt", '---\nmodel: m\n---\n{{role "user"}}{{media url=x}}Q\n', 1),
    "dotprompt.unknown_role": ("a.prompt", '---\nmodel: m\n---\n{{role "root"}}x\n', "messages[0].role"),
    "promptfoo.valid": ("a.yaml", "prompts:\n  - 'Hi {{name}}'\ntests:\n  - vars:\n      name: A\n", 1),
    "promptfoo.json_messages": ("a.yaml", 'prompts:\n  - \'[{"role": "user", "content": "Q"}]\'\n', 1),
    "promptfoo.file": ("a.yaml", "prompts:\n  - file:///etc/passwd\n", "prompts[0]"),
    "promptfoo.number": ("a.yaml", "prompts: 7\n", "prompts[0]"),
    "langfuse.chat": ("a.json", J({"name": "n", "prompt": [U], "config": {"temperature": 0.5}}), 1),
    "langfuse.text": ("a.json", J({"prompt": "Hi {{name}}"}), 1),
    "langfuse.placeholder_only": ("a.json", J({"prompt": [{"type": "placeholder", "name": "history"}]}), "messages"),
    "langfuse.bad_message": ("a.json", J({"prompt": [7]}), "messages[0]"),
    "har": ("a.har", J({"log": {"entries": []}}), "HAR"),
    "prompt.newer_version": (
        "a.prompt.json",
        J({"electron_playground_prompt": 99, "messages": [U]}),
        "electron_playground_prompt",
    ),
    "text.plain": ("a.txt", "Hello", "known prompt format"),
    "text.empty": ("a.json", "", "known prompt format"),
}


RAN = Path("/tmp/electron-playground-import-ran")


def test_cases_are_at_least_sixty() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_import_file_opens_or_names_the_place(name: str) -> None:
    file, text, expected = CASES[name]
    began = time.process_time()
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if isinstance(expected, int):
        assert len(open_any_bytes(data, file).document.messages) == expected
    else:
        with pytest.raises(InputError) as error:
            open_any_bytes(data, file)
        assert expected in str(error.value.problems[0])
    assert time.process_time() - began < 5  # none can occupy the window's worker
    assert not RAN.exists()
