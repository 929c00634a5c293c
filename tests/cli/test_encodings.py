"""Files and responses in UTF-16 and UTF-32, with and without a byte-order mark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked_program import run_text
from tests.http_server import QuietHandler, serving

ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
TEXT = "Grüße 👋"


class _Server(QuietHandler):
    """Answers with the last message, in the encoding that the path names; `error` in the path: as an error."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        failed = "error" in self.path
        message = {"role": "assistant", "content": text}
        answer = {"choices": [{"message": message, "finish_reason": "stop"}]}
        value = {"error": {"message": text}} if failed else answer
        data = json.dumps(value, ensure_ascii=False).encode(self.path.split("/")[1])
        self.send_response(400 if failed else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[str]:
    with serving(_Server) as address:
        yield address


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_prompts_rows_responses_and_imports_are_read(encoding: str, server: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home")}
    prompt, rows, curl = tmp_path / "p.json", tmp_path / "r.csv", tmp_path / "c.sh"
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "{{q}}"}]})
    prompt.write_bytes(body.encode(encoding))
    rows.write_bytes(f"q\r\n{TEXT}\r\n".encode(encoding))
    curl.write_bytes(f"curl http://h.test/v1/chat/completions -d '{body.replace('{{q}}', TEXT)}'".encode(encoding))
    address = ["--base-url", f"{server}/{encoding}/v1"]

    sent = run_text(["send", str(prompt), "--var", f"q={TEXT}", *address], environment)
    assert (sent.returncode, sent.stdout) == (0, f"{TEXT}\n"), sent.stderr
    refused = run_text(
        ["send", str(prompt), "--var", f"q={TEXT}", "--base-url", f"{server}/{encoding}/error"], environment
    )
    assert refused.returncode == 1
    assert TEXT in refused.stderr
    batch = run_text(["batch", str(prompt), "--data", str(rows), *address], environment)
    assert json.loads(batch.stdout)["text"] == TEXT, batch.stderr
    converted = run_text(["convert", str(curl)], environment)
    assert json.loads(converted.stdout)["messages"][0]["content"] == TEXT, converted.stderr

    for suffix in ("jsonl", "har"):
        export = tmp_path / f"x.{suffix}"
        assert run_text(["log", "export", "-o", str(export)], environment).returncode == 0
        export.write_bytes(export.read_text("utf-8").encode(encoding))
        other = {**environment, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / suffix)}
        imported = run_text(["log", "import", str(export)], other)
        assert imported.returncode == 0, imported.stderr
        listed = run_text(["log", "list", "--json"], other).stdout.splitlines()
        assert [json.loads(line)["answer"] for line in listed].count(TEXT) == 2


@pytest.mark.parametrize("suffix", ["json", "csv", "jsonl"])
def test_damaged_wide_text_is_refused_with_the_name_of_the_file(suffix: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home")}
    path, good = tmp_path / f"bad.{suffix}", tmp_path / "good.json"
    good.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
    path.write_bytes('{"q": "x"}\n'.encode("utf-16")[:-1])
    command = ["convert", str(path)] if suffix == "json" else ["batch", str(good), "--data", str(path), "--dry-run"]
    done = run_text(command, environment)
    assert done.returncode == 2
    assert path.name in done.stderr
    assert "Save it as UTF-8" in done.stderr
