"""Execution of exported scripts: a real server records that they send the same request."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest
from msgspec.structs import replace

from playground.export.snippets import SCRIPTS, as_curl, as_httpx, as_javascript, as_python, key_variable
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.files import dump
from playground.prompt.request import to_request
from playground.runs.record import RequestRecord

pytestmark = pytest.mark.exhaustive

HOSTILE = '\'; touch /tmp/owned; echo "$HOME" `id` $(id) \\ \n\u2028 नमस्ते 🙂 </script> ${x} @file'
ANSWER = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.bodies: list[bytes] = []
        self.keys: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.send_header("X-Request-Id", "req-1")
        self.send_header("llm_provider-x-request-id", "behind-9")
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    yield made
    made.shutdown()
    made.server_close()


def _record(server: _Server) -> RequestRecord:
    function: dict[str, Json] = {"name": "look", "description": HOSTILE, "parameters": {"type": "object"}}
    document = Document(
        tools=(Tool.of({"type": "function", "function": function}),),
        messages=(Message("system", "@file"), Message("user", HOSTILE)),
        parameters={"max_tokens": 20, "top_k": 3, "temperature": 0.5},
    )
    request = to_request(document, "electron")
    return RequestRecord(
        run_id="run",
        endpoint_id="e",
        endpoint_name="E",
        endpoint_kind="other",
        base_url=f"http://127.0.0.1:{server.server_address[1]}/v1",
        model="electron",
        started_utc=datetime.now(UTC),
        body=request.body,
        document=dump(document),
    )


def _shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def _python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def _node(script: str) -> list[str]:
    return ["node", "--input-type=module", "-e", script]


FORMS = [(as_curl, _shell, "curl"), (as_httpx, _python, ""), (as_python, _python, ""), (as_javascript, _node, "node")]


@pytest.mark.parametrize(("form", "runner", "program"), FORMS)
def test_it_sends_the_same_body_with_the_key_of_the_environment(
    server: _Server, form: Callable[[RequestRecord], str], runner: Callable[[str], list[str]], program: str
) -> None:
    if program and shutil.which(program) is None:
        pytest.skip(f"no {program} on this machine")
    record = _record(server)
    done = subprocess.run(
        runner(form(record)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "API_KEY": "sk_test", "SMALLEST_API_KEY": "sk_vendor"},
    )
    assert done.returncode == 0, done.stderr
    assert "Hi" in done.stdout
    assert all(id_ in done.stdout + done.stderr for id_ in ("req-1", "behind-9"))
    (body,) = server.bodies
    assert server.keys == ["Bearer sk_test"]
    if form is as_python:
        # The package writes the body itself: its fields are the same, their order is its own.
        assert json.loads(body) == json.loads(record.body)
    else:
        assert body == record.body


def test_a_body_that_begins_with_an_at_sign_is_no_file(server: _Server) -> None:
    record = replace(_record(server), body=b"@/etc/passwd")
    assert "--data-raw" in as_curl(record)


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and a shell")
@pytest.mark.parametrize("text", ["long " * 60_000, "BODY\nBODY_ 'quoted' $HOME `id` \u2028" + "x" * 200_000])
def test_curl_body_over_128_kib_runs_and_sends_the_same_bytes(server: _Server, text: str) -> None:
    record = _record(server)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
    command = as_curl(replace(record, body=body))
    done = subprocess.run(["bash"], input=command.encode(), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert server.bodies == [body]
    assert b"X-Request-Id: req-1" in done.stderr


@pytest.mark.parametrize(
    ("base_url", "kind", "variable"),
    [
        ("https://api.smallest.ai/waves/v1", "electron", "SMALLEST_API_KEY"),
        ("http://127.0.0.1:8788/waves/v1", "other", "API_KEY"),
        ("https://api.openai.com/v1", "other", "OPENAI_API_KEY"),
        ("https://openrouter.ai/api/v1", "other", "OPENROUTER_API_KEY"),
        ("https://llm.example.org/v1", "other", "API_KEY"),
        ("https://api.smallest.ai.example.org/v1", "other", "API_KEY"),
    ],
)
def test_scripts_read_the_vendors_key_for_its_own_address_only(
    server: _Server, base_url: str, kind: Literal["electron", "other"], variable: str
) -> None:
    record = replace(_record(server), base_url=base_url, endpoint_kind=kind)
    assert key_variable(record) == variable
    for name, script in SCRIPTS.items():
        text = script(record)
        # The vendor's own package reads its variable itself.
        assert name == "smallestai" or variable in text
        assert name == "smallestai" or variable == "SMALLEST_API_KEY" or "SMALLEST_API_KEY" not in text
