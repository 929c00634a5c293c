"""Prompt files of other tools, scripts and pages: read back, run by their own programs, hostile contents."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from playground.cli.main import main
from playground.client.events import Completed, ContentDelta
from playground.export.pages import as_html, as_markdown
from playground.export.snippets import WRITERS, as_powershell, as_prompt_yml, as_prompty, as_smallestai, left_out
from playground.prompt.document import Document, Message, Tool
from playground.prompt.import_formats import open_any
from playground.requestlog.records import StoredRun
from playground.runs.record import RequestRecord
from tests.requestlog.samples import record as sample_record

ODD = "yes\n  indented: [1]\n\ttab  \n# no comment\n- 'quotes' \"both\" {{name}} \\ \u2028 भाषा \U0001f600 \x07"
DOCUMENT = Document(
    "no",
    messages=(Message("system", ODD), Message("user", "null"), Message("assistant", ""), Message("user", "{{q}}")),
    variables={"name": "on", "q": "1\n2: x"},
    parameters={"temperature": 0.2, "max_tokens": 64, "top_p": 0.5, "stop": ["a", "no"], "seed": 7},
)


def test_as_prompt_yml_odd_texts_read_back_equal() -> None:
    text = as_prompt_yml(DOCUMENT, "electron")
    after = open_any(text, "x.prompt.yml").document
    assert (after.name, after.messages, after.variables, after.parameters) == (
        DOCUMENT.name,
        DOCUMENT.messages,
        DOCUMENT.variables,
        DOCUMENT.parameters,
    )
    assert left_out(DOCUMENT, text, "x.prompt.yml") == ()


def test_as_prompty_plain_texts_read_back_equal() -> None:
    document = Document("n", messages=(Message("system", "a\n\n  b"), Message("user", "{{q}}")), variables={"q": "1"})
    text = as_prompty(document)
    after = open_any(text, "x.prompty").document
    assert (after.messages, dict(after.variables)) == (document.messages, {"q": "1"})
    assert left_out(document, text, "x.prompty") == ()


@pytest.mark.parametrize("ending", WRITERS)
def test_left_out_tools_and_calls_are_named(ending: str) -> None:
    tool = Tool.of({"type": "function", "function": {"name": "f"}})
    document = Document(tools=(tool,), messages=(Message("tool", "r", tool_call_id="c"), Message("user", "q")))
    lost = left_out(document, WRITERS[ending](document, ""), f"x{ending}")
    assert len(lost) >= 2


def test_left_out_prompty_role_line_in_a_message_is_named() -> None:
    document = Document(messages=(Message("system", "Example:\nuser:\nhi"), Message("user", " q ")))
    assert "Read back differently" in " ".join(left_out(document, as_prompty(document), "x.prompty"))


def record(body: dict[str, object], base_url: str = "https://api.smallest.ai/waves/v1") -> RequestRecord:
    made = sample_record()
    return RequestRecord(
        **{
            **{n: getattr(made, n) for n in made.__struct_fields__},
            "body": json.dumps(body).encode(),
            "base_url": base_url,
        }
    )


BODY: dict[str, object] = {
    "model": "electron",
    "messages": [{"role": "user", "content": 'it\'s ‘quoted’ "x" $env:A `n\nline'}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.1,
    "top_k": 3,
}


def test_as_powershell_quotes_every_single_quote_twice() -> None:
    text = as_powershell(record(BODY))
    literal = re.search(r"FullName, '(.*)'\)\n", text, re.DOTALL)
    assert literal is not None
    inside = re.sub("(['\u2018\u2019\u201a\u201b])\\1", r"\1", literal[1])
    assert json.loads(inside) == BODY
    assert "$env:SMALLEST_API_KEY" in text


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="needs PowerShell")
def test_as_powershell_is_parsed_by_powershell(tmp_path: Path) -> None:
    script = tmp_path / "x.ps1"
    script.write_text(as_powershell(record(BODY)), "utf-8")
    command = (
        f"$e=$null;[void][Management.Automation.Language.Parser]::ParseFile('{script}',[ref]$null,[ref]$e);$e.Count"
    )
    done = subprocess.run(["pwsh", "-NoProfile", "-Command", command], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "0"


@pytest.mark.parametrize("base_url", ["https://api.smallest.ai/waves/v1", "http://127.0.0.1:9/v1"])
def test_as_smallestai_is_python_without_stream(base_url: str) -> None:
    text = as_smallestai(record(BODY, base_url))
    compile(text, "script", "exec")
    assert "stream" not in text.split("complete(")[1].split("print")[0]
    assert "additional_body_parameters" in text
    opened = open_any(text).document
    assert opened.messages[0].content == 'it\'s ‘quoted’ "x" $env:A `n\nline'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=y> &lt; ``` </style> sk_0123456789abcdefghij \u202e\x1b[2J"


def stored() -> StoredRun:
    made = record({"model": HOSTILE, "messages": [{"role": HOSTILE, "content": HOSTILE}, 7, {"content": [HOSTILE]}]})
    return StoredRun(made, 1, "done", False, (ContentDelta(0.1, HOSTILE), Completed(0.2, saw_done=True)))


def test_as_html_hostile_contents_stay_text() -> None:
    text, parser = as_html(stored()), _Tags()
    parser.feed(text)
    assert set(parser.tags) <= set("html head meta title style body h1 h2 table tr th td pre".split())  # noqa: SIM905
    assert set(parser.attributes) <= {"lang", "charset", "http-equiv", "content", "name"}
    assert "sk_0123456789" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "https://" not in text.split("<style>")[0]


def test_as_markdown_hostile_contents_stay_in_their_fence() -> None:
    text = as_markdown(stored())
    fence = re.findall(r"^(`{3,})$", text, re.MULTILINE)
    assert "`" * 4 in fence
    assert "sk_0123456789" not in text
    assert "\x1b" not in text


def test_convert_command_curl_to_yml_reports_what_changed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "x.sh", tmp_path / "x.prompt.yml"
    source.write_text(
        """curl u -H 'Authorization: Bearer k' -d '{"model":"gpt-9","messages":[{"role":"user","content":"hi"}]}'"""
    )
    assert main(["convert", str(source), "-o", str(out)]) == 0
    assert open_any(out.read_text(), out.name).document.messages[0].content == "hi"
    errors = capfd.readouterr().err
    assert "gpt-9" in errors
    assert "API key" in errors


@pytest.mark.parametrize(
    ("to", "key"), [("prompt", '"electron_playground_prompt"'), ("body", '"model"'), ("prompty", "user:")]
)
def test_convert_command_writes_each_format(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], to: str, key: str
) -> None:
    source = tmp_path / "x.json"
    source.write_text('{"model":"electron","messages":[{"role":"user","content":"hi"}]}')
    assert main(["convert", str(source), "--to", to]) == 0
    assert key in capfd.readouterr().out


@pytest.mark.parametrize("stream", ["", '"stream":true,'])
def test_convert_command_keeps_stream_of_a_command_or_body(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], stream: str
) -> None:
    body = f'{{{stream}"messages":[{{"role":"user","content":"hi"}}]}}'
    for name, text in (("x.json", body), ("x.sh", f"curl https://a.example -d '{body}'")):
        (tmp_path / name).write_text(text)
        assert main(["convert", str(tmp_path / name), "--to", "body"]) == 0
        assert ("stream" in json.loads(capfd.readouterr().out)) is bool(stream)


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": False, "include_obfuscation": False}])
def test_convert_command_keeps_options_of_the_stream(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: dict[str, bool]
) -> None:
    body = {"model": "electron", "stream": True, "stream_options": options}
    body |= {"messages": [{"role": "user", "content": "hi"}]}
    call = ", ".join(f"{name}={value!r}" for name, value in body.items())
    texts = {"x.json": json.dumps(body), "x.py": f"client.chat.completions.create({call})\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert main(["convert", str(tmp_path / name), "--to", "body"]) == 0
        assert json.loads(capfd.readouterr().out) == body


@pytest.mark.parametrize(("name", "status"), [("x.foo", 2), ("x.yml", 2), ("x", 0), ("x.PROMPTY", 0)])
def test_convert_command_unknown_ending_names_the_known_ones(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, status: int
) -> None:
    source, out = tmp_path / "x.json", tmp_path / name
    source.write_text('{"model":"electron","messages":[{"role":"user","content":"hi"}]}')
    assert main(["convert", str(source), "-o", str(out)]) == status
    assert out.exists() == (status == 0)
    assert (".prompt.yml, .prompty, .prompt.json, .json" in capfd.readouterr().err) == (status == 2)


def test_convert_command_bad_input_names_the_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "x.json"
    source.write_text('{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}')
    assert main(["convert", str(source)]) == 2
    assert "messages[0].content" in capfd.readouterr().err
    assert sys.stdout is not None
