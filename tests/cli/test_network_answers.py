"""Connections that end without an answer: each gets a sentence that says what happened and what to do."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from tests.forked_program import run_text


def _reset(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _wants_password(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    connection.close()


def _send(answer: Callable[[socket.socket], None], folder: Path, *, proxy: bool) -> str:
    prompt = folder / "p.json"
    prompt.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=lambda: answer(server.accept()[0]), daemon=True).start()
        environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(folder / "home")}
        if proxy:
            environment["HTTP_PROXY"] = f"http://me:Zq01hunter@{address}"
        base_url = "http://h.invalid/v1" if proxy else f"http://{address}/v1"
        done = run_text(["send", str(prompt), "--base-url", base_url], environment)
    assert done.returncode == 1
    assert "Zq01hunter" not in done.stderr
    return done.stderr


def test_reset_connection_is_named(tmp_path: Path) -> None:
    shown = _send(_reset, tmp_path, proxy=False)
    assert "hung up without an answer" in shown
    assert "reset" in shown or "disconnected" in shown
    assert ": . " not in shown


def test_proxy_that_wants_a_password_is_named_with_its_variable(tmp_path: Path) -> None:
    shown = _send(_wants_password, tmp_path, proxy=True)
    assert "The proxy wants a user and password" in shown
    assert "HTTP_PROXY" in shown


def _two_choices(connection: socket.socket) -> None:
    connection.recv(65_536)
    choices = [
        {"index": index, "message": {"content": text}, "finish_reason": "stop"}
        for index, text in enumerate(("Namaste from Pune.", "Salaam from Quetta."))
    ]
    body = json.dumps({"choices": choices}).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
    connection.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
    connection.close()


def test_further_choice_is_announced_by_send_and_found_in_the_log(tmp_path: Path) -> None:
    prompt = tmp_path / "p.json"
    prompt.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}))
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home")}
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _two_choices(server.accept()[0]), daemon=True).start()
        base_url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        sent = run_text(["send", str(prompt), "--base-url", base_url], environment)
    assert (sent.returncode, sent.stdout) == (0, "Namaste from Pune.\n")
    assert "1 further choice" in sent.stderr
    assert "Quetta" in run_text(["log", "show", sent.stderr.split("log show ")[1].split("”")[0]], environment).stdout
    for text, rows in (("Quetta", 1), ("Pune", 1), ("Lahore", 0)):
        assert len(run_text(["log", text, "--json"], environment).stdout.splitlines()) == rows
