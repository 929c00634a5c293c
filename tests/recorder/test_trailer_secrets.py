"""Credentials in the trailer of a recorded request, and in data files and proxies of commands: in no file or output."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked_program import start_text
from tests.recorder.test_secrets import Echo, Outputs, forms, serve

SECRET = "c4kYt9Zq7/Lm2+Xk9T"


@pytest.fixture
def server() -> Iterator[tuple[Echo, int]]:
    echo = Echo(secret="x")
    server = serve(echo)
    yield echo, server.server_address[1]
    server.shutdown()
    server.server_close()


def _environment(folder: Path, **more: str) -> dict[str, str]:
    names = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    store = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", "ELECTRON_PLAYGROUND_HOME": str(folder)}
    return {**names, **store, **more}


def _with_secret(outputs: Outputs) -> list[str]:
    return [name for name, data in outputs.found.items() if any(form in data for form in forms(SECRET))]


def test_trailer_of_a_recorded_request_is_not_stored(tmp_path: Path) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Say it"}]}).encode()
    answer = json.dumps({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}).encode()
    received = b""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = f"http://127.0.0.1:{upstream.getsockname()[1]}/v1"
        command = ["record", "--port", "0", "--base-url", address, "--json", "--data-dir", str(tmp_path)]
        process = start_text(command, _environment(tmp_path))
        assert process.stdout is not None
        base_url = json.loads(process.stdout.readline())["base_url"]
        host, port = base_url.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), 30) as caller:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
            caller.sendall(
                f"{head}Trailer: X-Api-Key\r\nConnection: close\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n"
            )
            caller.sendall(f"X-Api-Key: {SECRET}\r\n\r\n".encode())
            theirs, _ = upstream.accept()
            with theirs:
                theirs.settimeout(30)
                while b"\r\n0\r\n" not in received or not received.endswith(b"\r\n\r\n"):
                    piece = theirs.recv(65_536)
                    assert piece
                    received += piece
                length = f"Content-Length: {len(answer)}\r\n".encode()
                theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + length + b"\r\n" + answer)
                while caller.recv(65_536):
                    pass
        process.send_signal(signal.SIGTERM)
        outputs = Outputs()
        outputs.found["record"] = "".join(process.communicate(timeout=120)).encode()
    outputs.add_folder("data", tmp_path)
    listed = outputs.command("log", "list", "--json", environment=_environment(tmp_path))
    outputs.command("log", "export", "-o", "-", "--format", "jsonl", environment=_environment(tmp_path))
    assert len(listed.splitlines()) == 1
    assert _with_secret(outputs) == []


def test_column_of_keys_that_no_variable_uses_is_not_stored(server: tuple[Echo, int], tmp_path: Path) -> None:
    prompt, data, home = tmp_path / "p.json", tmp_path / "d.csv", tmp_path / "home"
    prompt.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "{{question}}"}]}))
    data.write_text(f"question,api_key\nhow?,{SECRET}\nwhy?,{SECRET}\n")
    address, outputs = f"http://127.0.0.1:{server[1]}/v1", Outputs()
    out = home / "out.jsonl"
    home.mkdir()
    command = ["batch", str(prompt), "--data", str(data), "--base-url", address]
    outputs.command(*command, "-o", str(out), environment=_environment(home))
    outputs.command(*command, environment=_environment(home))
    outputs.command(*command, "--dry-run", environment=_environment(home))
    assert len(out.read_text().splitlines()) == 2
    outputs.add_folder("data", home)
    assert _with_secret(outputs) == []


def test_password_of_a_proxy_is_in_no_output_of_a_failed_batch(tmp_path: Path) -> None:
    prompt, data, home = tmp_path / "p.json", tmp_path / "d.csv", tmp_path / "home"
    prompt.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "{{question}}"}]}))
    data.write_text("question\nhow?\n")
    home.mkdir()
    password = SECRET.replace("/", "%2F").replace("+", "%2B")
    environment = _environment(
        home, http_proxy=f"http://me:{password}@127.0.0.1:9", https_proxy=f"http://me:{password}@["
    )
    outputs = Outputs()
    for address in ("http://h.test/v1", "https://h.test/v1"):
        outputs.command("batch", str(prompt), "--data", str(data), "--base-url", address, environment=environment)
        outputs.command("send", str(prompt), "--base-url", address, "--json", environment=environment)
    outputs.command("log", "export", "-o", "-", "--format", "har", environment=environment)
    outputs.add_folder("data", home)
    assert any(b"failed" in data for data in outputs.found.values())
    assert _with_secret(outputs) == []
