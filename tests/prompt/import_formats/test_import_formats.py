"""Prompts of other tools: valid, odd and hostile inputs of each format."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from playground.prompt.field_errors import InputError
from playground.prompt.import_formats import open_any, open_any_bytes

HI = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {{name}}"}]
BODY = {"model": "electron", "messages": HI, "temperature": 0.2}


def shown(text: str, name: str = "") -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in open_any(text, name).document.messages]


PLAIN = [("system", "Be brief."), ("user", "Hi {{name}}")]

CURL_BASH = """curl https://api.smallest.ai/waves/v1/chat/completions \\
  -H "Authorization: Bearer sk_secret_1234567890" -H 'Content-Type: application/json' \\
  -d '{"model": "electron", "messages": [{"role": "user", "content": "It'\\''s \\u00e9"}]}'"""
CURL_CHROME = (
    "curl 'https://x.example/v1/chat/completions' --compressed -X POST --data-raw "
    '$\'{"messages":[{"role":"user","content":"line\\\\nnext \\u0021 don\\\'t"}]}\''
)
CURL_CMD = (
    'curl "https://x.example/v1/chat/completions" ^\n  -H "content-type: application/json" ^\n'
    '  --data-raw "{\\"messages\\":[{\\"role\\":\\"user\\",\\"content\\":\\"hi\\"}]}"'
)
PYTHON = """
from openai import OpenAI
client = OpenAI(api_key="sk-should-not-matter")
SYSTEM = "You are " + "kind."
history = [{"role": "user", "content": f"My name is {user.name}."}]
stream = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "system", "content": SYSTEM}] + history,
    temperature=-0.0, max_tokens=64, stream=True, extra_headers={"X": "1"}, extra_body={"top_k": 3},
)
"""
JAVASCRIPT = """
const completion = await client.chat.completions.create({
  model: 'gpt-4o', // comment
  messages: [
    { role: "system", content: `Hello ${user.name}, ` + 'it\\u2019s "fine"' },
    ...history,
    { 'role': 'user', content },
  ],
  temperature: 0.5, stream: true, /* done */
});
"""
RESPONSES = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ],
    "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}, {"type": "web_search"}],
    "max_output_tokens": 50,
    "store": True,
}
ANTHROPIC = {
    "model": "claude-x",
    "system": [{"type": "text", "text": "Be brief."}],
    "max_tokens": 99,
    "stop_sequences": ["END"],
    "messages": [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "t1", "name": "w", "input": {"a": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sunny"}]},
    ],
    "tools": [{"name": "w", "description": "Weather", "input_schema": {"type": "object"}}],
}
GITHUB = """
name: greet
model: openai/gpt-4o-mini
modelParameters: {temperature: 0.3, maxTokens: 20, odd: 1}
messages:
  - role: system
    content: Be brief.
  - role: user
    content: "Hi {{name}}"
testData:
  - name: Asha
    expected: "Hello"
evaluators: []
"""
PROMPTY = """---
name: greet
model:
  api: chat
  configuration: {type: azure_openai}
  parameters: {temperature: 0.1, max_tokens: 30}
sample: {name: Asha}
---
system:
Be brief.

user:
Hi {{name}}
"""
DOTPROMPT = """---
model: googleai/gemini-flash
config: {temperature: 0.4, maxOutputTokens: 40, topK: 3}
input: {schema: {name: string}, default: {name: Asha}}
---
{{role "system"}}
Be brief.
{{role "user"}}
Hi {{name}}
"""
PROMPTFOO = """
prompts:
  - '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {{name}}"}]'
  - other
providers: [openai:gpt-4o]
tests:
  - vars: {name: Asha}
"""
LANGFUSE = {"type": "chat", "name": "greet", "version": 3, "prompt": [*HI, {"type": "placeholder", "name": "history"}]}
BATCH = "\n".join(
    json.dumps({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": BODY}) for n in range(3)
)

SAME: dict[str, tuple[str, str]] = {
    "request body": (json.dumps(BODY), ""),
    "request body with byte-order mark": ("\ufeff" + json.dumps(BODY), "x.json"),
    "bare messages": (json.dumps(HI), ""),
    "batch lines": (BATCH, "x.jsonl"),
    "batch line": (BATCH.splitlines()[0], ""),
    "langfuse": (json.dumps(LANGFUSE), ""),
    "github models": (GITHUB, "greet.prompt.yml"),
    "github models pasted": (GITHUB, ""),
    "prompty": (PROMPTY, "greet.prompty"),
    "prompty pasted": (PROMPTY, ""),
    "dotprompt": (DOTPROMPT, "greet.prompt"),
    "promptfoo": (PROMPTFOO, "promptfooconfig.yaml"),
    "curl": ("curl http://x/v1/chat/completions -d '" + json.dumps(BODY) + "'", ""),
    "curl with prompt sign": ("$ curl http://x -d '" + json.dumps(BODY) + "'", ""),
    "curl --data=": ("curl http://x --data='" + json.dumps(BODY) + "'", ""),
    "curl.exe": ("C:/bin/curl.exe http://x -d '" + json.dumps(BODY) + "'", ""),
    "python": (f"client.chat.completions.create(**{BODY!r})", ""),
    "smallestai sdk": (f"client.waves.electron.complete(messages={HI!r})", ""),
    "javascript": (f"await openai.chat.completions.create({json.dumps(BODY)})", ""),
}


@pytest.mark.parametrize("case", SAME)
def test_open_any_same_prompt_in_each_format_gives_the_same_messages(case: str) -> None:
    assert shown(*SAME[case]) == PLAIN


@pytest.mark.parametrize("case", ["github models", "prompty", "dotprompt", "promptfoo"])
def test_open_any_sample_values_become_variables(case: str) -> None:
    assert open_any(*SAME[case]).document.variables == {"name": "Asha"}


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        (GITHUB, "a.prompt.yml", {"temperature": 0.3, "max_tokens": 20}),
        (PROMPTY, "a.prompty", {"temperature": 0.1, "max_tokens": 30}),
        (DOTPROMPT, "a.prompt", {"temperature": 0.4, "max_tokens": 40}),
        (json.dumps(ANTHROPIC), "", {"max_tokens": 99, "stop": ["END"]}),
        (json.dumps(RESPONSES), "", {"max_tokens": 50}),
    ],
)
def test_open_any_parameters_take_the_names_of_chat_completions(
    text: str, name: str, parameters: dict[str, Any]
) -> None:
    assert dict(open_any(text, name).document.parameters) == parameters


def test_open_curl_bash_quotes_are_resolved_and_the_key_is_dropped() -> None:
    opened = open_any(CURL_BASH)
    assert opened.document.messages[0].content == "It's é"
    assert "sk_secret" not in repr(opened)
    assert any("API key" in note for note in opened.notes)


def test_open_curl_ansi_c_quotes_are_resolved() -> None:
    assert shown(CURL_CHROME) == [("user", "line\nnext ! don't")]


def test_open_curl_windows_carets_are_resolved() -> None:
    assert shown(CURL_CMD) == [("user", "hi")]


def in_quotes(content: str) -> str:
    return (
        'curl https://h/v1/chat/completions -d "{\\"messages\\":[{\\"role\\":\\"user\\",\\"content\\":\\"'
        + content
        + '\\"}]}"'
    )


USER_U = """'{"messages": [{"role": "user", "content": "U"}]}'"""
SHELL: dict[str, tuple[str, str, str]] = {
    "escaped dollar": (in_quotes(r"price \$5 \`x\`"), "price $5 `x`", ""),
    "variables": (in_quotes("Hi $USER_NAME and ${CITY}"), "Hi {{USER_NAME}} and {{CITY}}", "USER_NAME"),
    "commands": (in_quotes("$(id -u) `date`"), "{{id_u}} {{date}}", "$(id -u)"),
    "variable that is set": ("NAME=Ann; " + in_quotes("Hi $NAME"), "Hi Ann", ""),
    "variable that is set twice": ("N=A; N=B; " + in_quotes("Hi $N"), "Hi B", ""),
    "body in a variable": (f'BODY={USER_U}\ncurl https://h -d "$BODY"', "U", ""),
    "between quotes": (
        """curl https://h -d '{"messages": [{"role": "user", "content": "'"$Q"'"}]}'""",
        "{{Q}}",
        "The expression Q",
    ),
    "here document": (
        "curl https://h -d @- <<'EOF'\n" + '{"messages": [{"role": "user", "content": "$A `id`"}]}\nEOF\necho done',
        "$A `id`",
        "",
    ),
    "here document with variables": (
        "curl https://h -d @- <<EOF | jq .\n" + '{"messages": [{"role": "user", "content": "$A \\$B"}]}\nEOF',
        "{{A}} $B",
        "The expression A",
    ),
    "comment, export": (f"#!/bin/sh\n# test\nexport KEY=abc; curl https://h -d {USER_U} # end", "U", ""),
    "output": (f"curl -s https://h -d {USER_U} 2>&1 | jq -r .x > out.txt", "U", ""),
    "two commands": (f"curl https://h -d {USER_U}\ncurl https://h -d '[]'", "U", "1 other command was left out"),
}


@pytest.mark.parametrize("case", SHELL)
def test_open_curl_shell_script_gives_what_the_command_sends_or_names_the_rest(case: str) -> None:
    text, content, note = SHELL[case]
    opened = open_any(text)
    assert [message.content for message in opened.document.messages] == [content]
    assert note in " ".join(opened.notes)
    assert note or not opened.notes


def test_open_snippet_python_literals_concatenation_and_f_strings() -> None:
    opened = open_any(PYTHON)
    document = opened.document
    assert [(m.role, m.content) for m in document.messages] == [
        ("system", "You are kind."),
        ("user", "My name is {{user_name}}."),
    ]
    assert document.parameters == {"temperature": 0, "max_tokens": 64, "top_k": 3}
    assert any("gpt-4o" in note for note in opened.notes)
    assert any("extra_headers" in note for note in opened.notes)


def test_open_snippet_javascript_templates_spread_and_shorthand() -> None:
    opened = open_any(JAVASCRIPT)
    assert [(m.role, m.content) for m in opened.document.messages] == [
        ("system", 'Hello {{user_name}}, it’s "fine"'),
        ("user", "{{content}}"),
    ]
    assert any("history" in note for note in opened.notes)


def test_open_snippet_code_is_never_executed() -> None:
    text = "client.chat.completions.create(messages=[{'role': 'user', 'content': os.system('false')}])"
    (content,) = [message.content for message in open_any(text).document.messages]
    assert content == "{{os_system_false}}"


def test_open_responses_calls_and_tools_are_converted() -> None:
    opened = open_any(json.dumps(RESPONSES))
    roles = [message.role for message in opened.document.messages]
    assert roles == ["system", "user", "assistant", "tool"]
    assert opened.document.messages[2].tool_calls[0].id == "c1"
    assert [tool.name for tool in opened.document.tools] == ["weather"]
    assert any("web_search" in note for note in opened.notes)
    assert any("store" in note for note in opened.notes)


def test_open_anthropic_tool_use_and_results_are_converted() -> None:
    opened = open_any(json.dumps(ANTHROPIC))
    messages = opened.document.messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[2].content == "Looking."
    assert json.loads(messages[2].tool_calls[0].arguments) == {"a": 1}
    assert messages[3].tool_call_id == "t1"
    assert opened.document.tools[0].name == "w"


def test_open_any_developer_role_and_text_parts_are_converted_and_reported() -> None:
    body = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"},
        ]
    }
    opened = open_any(f"curl http://x -d '{json.dumps(body)}'")
    assert opened.document.messages[0].role == "system"
    assert opened.document.messages[0].content == "a\nb"
    assert len(opened.notes) == 2
    kept = open_any(json.dumps(body))
    assert kept.document.messages[0].role == "developer"
    assert kept.document.messages[0].content == "a\nb"


def anthropic(**fields: Any) -> str:
    return json.dumps({"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}], **fields})


@pytest.mark.parametrize(
    ("choice", "parameters"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "w"}, {"tool_choice": {"type": "function", "function": {"name": "w"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_open_anthropic_tool_choice_is_converted(choice: dict[str, Any], parameters: dict[str, Any]) -> None:
    opened = open_any(anthropic(tool_choice=choice))
    assert opened.document.parameters == {"max_tokens": 9, **parameters}


CACHED = {"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}
ERROR = {"type": "tool_result", "tool_use_id": "t1", "content": "boom", "is_error": True}
THOUGHT = [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "a"}]
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
YAML_MESSAGES = "messages:\n  - role: user\n    content: q\n"
LEFT_OUT: dict[str, tuple[str, str, list[str | None], str]] = {
    "anthropic cache_control": (anthropic(system=[CACHED]), "", ["S", "q"], "cache_control was left out"),
    "anthropic is_error": (
        anthropic(messages=[{"role": "user", "content": [ERROR]}]),
        "",
        ["boom"],
        "is_error of the result of t1 was left out",
    ),
    "anthropic thinking": (
        anthropic(messages=[{"role": "assistant", "content": THOUGHT}]),
        "",
        ["a"],
        "messages[0].content[0] (thinking) was left out",
    ),
    "anthropic server tool": (
        anthropic(tools=[SEARCH]),
        "",
        ["q"],
        "The tool of type web_search_20250305 was left out",
    ),
    "anthropic service_tier": (anthropic(service_tier="auto"), "", ["q"], "service_tier was left out"),
    "github schema": (
        f"responseFormat: json_schema\njsonSchema: '{{}}'\n{YAML_MESSAGES}",
        "x.prompt.yml",
        ["q"],
        "responseFormat json_schema was left out: Electron has json_object only. jsonSchema was left out.",
    ),
    "github other field": (f"tools: [a]\n{YAML_MESSAGES}", "x.prompt.yml", ["q"], "tools was left out"),
    "prompty parameter in a file": (
        "---\nmodel: {api: chat, parameters: {tools: '${file:t.json}'}}\n---\nuser:\nq\n",
        "x.prompty",
        ["q"],
        "model.parameters.tools was left out: its value is in ${file:t.json}",
    ),
    "prompty filter": (
        "---\nmodel: {api: chat}\n---\nuser:\n{{ q | upper }} {{q}}\n",
        "x.prompty",
        ["{{ q | upper }} {{q}}"],
        "The template tag {{ q | upper }} remains text",
    ),
    "dotprompt media": (
        "---\nmodel: a\n---\n{{media url=photo}} q\n",
        "x.prompt",
        ["{{media url=photo}} q"],
        "The template tag {{media url=photo}} remains text",
    ),
    "dotprompt else": (
        "---\nmodel: a\n---\n{{else}} q\n",
        "x.prompt",
        ["{{else}} q"],
        "The template tag {{else}} became a variable",
    ),
    "dotprompt escaped": (
        "---\nmodel: a\n---\n\\{{name}} q\n",
        "x.prompt",
        ["\\{{name}} q"],
        "The template tag \\{{name}} became a variable",
    ),
    "dotprompt history": (
        '---\nmodel: a\n---\n{{role "system"}}\ns\n{{history}}\n{{role "user"}}\nq\n',
        "x.prompt",
        ["s", "q"],
        "The tag {{history}} was left out",
    ),
    "prompty image": (
        "---\nmodel: {api: chat}\n---\nuser:\nq ![a](b.png)\n",
        "x.prompty",
        ["q ![a](b.png)"],
        "The image b.png remains text",
    ),
    "dotprompt tools, schema": (
        "---\nmodel: a\ntools: [search]\noutput: {format: json, schema: {a: string}}\n---\nq\n",
        "x.prompt",
        ["q"],
        "output.schema was left out. tools was left out.",
    ),
    "promptfoo providers": (
        "prompts: [q]\nproviders: [{id: a, config: {temperature: 0.1, odd: 1}}, b]\ndefaultTest: {vars: {x: y}}\n",
        "x.yaml",
        ["q"],
        "The rest was left out. providers[0].config.odd was left out. defaultTest was left out.",
    ),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_open_any_what_is_not_carried_over_is_named(case: str) -> None:
    text, name, contents, note = LEFT_OUT[case]
    opened = open_any(text, name)
    assert [message.content for message in opened.document.messages] == contents
    assert note in " ".join(opened.notes)


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        (f"responseFormat: json_object\n{YAML_MESSAGES}", "x.prompt.yml", {"response_format": {"type": "json_object"}}),
        ("---\nmodel: a\noutput: {format: json}\n---\nq\n", "x.prompt", {"response_format": {"type": "json_object"}}),
        (
            "prompts: [q]\nproviders: [{id: a, config: {temperature: 0.1, max_tokens: 8}}]\n",
            "x.yaml",
            {"temperature": 0.1, "max_tokens": 8},
        ),
        ("prompts: [q]\nproviders: [{'openai:a': {config: {top_p: 0.5}}}]\n", "x.yaml", {"top_p": 0.5}),
    ],
)
def test_open_yaml_parameters_of_each_format_are_carried_over(text: str, name: str, parameters: dict[str, Any]) -> None:
    opened = open_any(text, name)
    assert opened.document.parameters == parameters
    assert not [note for note in opened.notes if "left out" in note]


HOSTILE: dict[str, tuple[str, str]] = {
    "empty": ("", ""),
    "prose": ("Please write a poem.", ""),
    "image part": (
        json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
        "",
    ),
    "deep json": ('{"messages": ' + "[" * 5000 + "]" * 5000 + "}", ""),
    "messages of another type": ('{"messages": 7}', ""),
    "message of another type": ('[7, "x"]', ""),
    "curl with no messages": ("curl http://x -d '{\"messages\": []}'", ""),
    "json without prompt": ('{"a": 1}', ""),
    "har": ('{"log": {"entries": []}}', ""),
    "cut json": ('{"messages": [{"role": "user"', ""),
    "curl without body": ("curl https://x.example", ""),
    "curl with open quote": ("curl https://x -d '{", ""),
    "curl body in a file": ("curl https://x -d @/etc/passwd", ""),
    "curl body is no json": ("curl https://x -d hello", ""),
    "curl without value": ("curl https://x -d", ""),
    "yaml alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nmessages: [*b, *b]", "x.yml"),
    "yaml python object": ("messages: !!python/object/apply:os.system ['true']", "x.yml"),
    "yaml deep": ("messages: " + "[" * 3000, "x.yml"),
    "yaml deep blocks": ("messages:\n" + "".join(" " * n + "- \n" for n in range(1, 300)), "x.yml"),
    "yaml broken": ("messages: [unclosed", "x.yml"),
    "yaml list": ("- a\n- b", "x.yml"),
    "yaml date as role": ("messages: [{role: 2024-01-01, content: x}]", "x.yml"),
    "front matter list": ("---\n- a\n---\nhi", "x.prompty"),
    "promptfoo file": ("prompts: [file://secret.txt]", "x.yaml"),
    "promptfoo program": ("prompts: ['exec:python p.py']", "x.yaml"),
    "promptfoo text file": ("prompts: [prompts/a.txt]", "x.yaml"),
    "promptfoo empty": ("prompts: []", "x.yaml"),
    "python without call": ("import openai\nprint('chat.completions.create(')", "x.py"),
    "javascript cut": ("client.chat.completions.create({messages: [{role: 'user', content: 'x", ""),
    "javascript deep": ("client.chat.completions.create({a: " + "[" * 500, ""),
    "javascript argument is a name": ("client.chat.completions.create(options) ;;", ""),
    "python deep": ("x.chat.completions.create(messages=" + "[" * 90 + "]" * 90 + ")", ""),
    "anthropic image": (
        json.dumps({"system": "x", "messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}),
        "",
    ),
    "responses unknown item": (json.dumps({"input": [{"type": "item_reference", "id": "x"}]}), ""),
    "responses input of another type": (json.dumps({"input": 7}), ""),
    "batch line of embeddings": (json.dumps({"custom_id": "1", "url": "/v1/embeddings", "body": {}}), ""),
    "batch lines with a bad first": ('{"a"}\n{"messages": []}', "x.jsonl"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_open_any_unusable_input_is_refused_with_a_sentence(case: str) -> None:
    with pytest.raises(InputError) as refused:
        open_any(*HOSTILE[case])
    assert str(refused.value).strip().endswith((".", ")"))


def test_open_any_bytes_not_utf8_is_refused() -> None:
    with pytest.raises(InputError):
        open_any_bytes(b"\xff\xfe{\x00", "x.json")


def curl_with(content: str, options: str = "") -> str:
    body = json.dumps({"messages": [{"role": "user", "content": content}]})
    return f"curl https://api.example.com/v1/chat/completions {options} -d {shlex.quote(body)}"


@pytest.mark.parametrize(
    "content",
    [
        "Explain: sort -u results.txt | wc",
        "Why does it's output differ with python -u training.py?",
        "docker run -u 1000:1000 image",
        "Clone https://alexander@git.example.com/x and ask alexander.",
    ],
)
def test_open_any_options_of_other_commands_in_a_prompt_are_kept(content: str) -> None:
    assert open_any(curl_with(content)).document.messages[0].content == content
    program = f"client.chat.completions.create(model='m', messages=[{{'role': 'user', 'content': {content!r}}}])"
    assert open_any(program).document.messages[0].content == content


@pytest.mark.parametrize(
    ("options", "secret"),
    [
        ("-u admin:hunter2hunter2", "hunter2hunter2"),
        ("-u 'b7xWm2Zq7Lm2:'", "b7xWm2Zq7Lm2"),
        ("--user b7xWm2Zq7Lm2", "b7xWm2Zq7Lm2"),
        ("--oauth2-bearer abcdefghijkl", "abcdefghijkl"),
        ("-x https://b7xWm2Zq7Lm2@proxy.example.com", "b7xWm2Zq7Lm2"),
        ("-x socks5h://bob:b7xWm2Zq7Lm2@proxy.example.com", "b7xWm2Zq7Lm2"),
        ("-x https://bob:hunter2@proxy.example.com", "bob:hunter2"),
    ],
)
def test_open_any_secret_of_an_option_is_masked_in_the_prompt(options: str, secret: str) -> None:
    opened = open_any(curl_with(f"it's {secret}", options))
    assert opened.document.messages[0].content == "it's sk_…"


CMD = r'curl https://x/v1 -d "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}"'


@pytest.mark.parametrize("text", ["R&D", "a > b", "a | b", "100% sure", "arg %1", "%~dp0", "5% and 6%"])
def test_text_that_a_batch_file_reads_in_another_way_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"line 1: (cmd takes|a batch file reads)"):
        open_any(CMD % text, "x.cmd")


@pytest.mark.parametrize(("text", "read"), [("R^&D", "R&D"), ("100%% sure", "100% sure"), ("2^^3", "2^3")])
def test_escapes_of_a_batch_file_are_read(text: str, read: str) -> None:
    assert open_any(CMD % text, "x.cmd").document.messages[0].content == read
