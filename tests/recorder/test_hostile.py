"""A hostile server behind the real `record` command: nothing is lost, and no failure is called a success."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked_program import run, start_text

TEXT = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
).encode()
SSE = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'


def whole(body: bytes, *lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((status, b"Content-Type: application/json", *lines, length, b"", body))


def chunked(body: bytes, extension: bytes = b"") -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n%x%b\r\n%b\r\n" % (len(body), extension, body)


TWICE = gzip.compress(gzip.compress(TEXT))
CODED = gzip.compress(zlib.compress(TEXT))
JSON, STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n",
)
NOT_READ = "The response cannot be read"
CASES: dict[str, tuple[bytes, str, str]] = {
    "plain": (whole(TEXT), "done", "hi"),
    "gzip twice": (whole(TWICE, b"Content-Encoding: gzip, gzip"), "done", "hi"),
    "codings in two fields": (whole(CODED, b"Content-Encoding: deflate", b"Content-Encoding: gzip"), "done", "hi"),
    "identity": (whole(TEXT, b"Content-Encoding: identity"), "done", "hi"),
    "br": (
        whole(b"\x0b\x02\x80hi\x03", b"Content-Encoding: br"),
        "failed",
        NOT_READ,
    ),
    "zstd stream": (
        STREAM + b"Content-Encoding: zstd\r\n" + chunked(b"\x28\xb5\x2f\xfdxxxx") + b"0\r\n\r\n",
        "failed",
        NOT_READ,
    ),
    "chunk extension and trailer": (JSON + chunked(TEXT, b';a="b;c"') + b"0\r\nX-Trailer: 1\r\n\r\n", "done", "hi"),
    "http 1.0": (b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + TEXT, "done", "hi"),
    "switches protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
        "failed",
        "The endpoint sent no valid response",
    ),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "failed",
        "The endpoint sent no valid response",
    ),
    "http 2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "failed", "The endpoint sent no valid response"),
    "nothing": (b"", "failed", "The endpoint sent no valid response"),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole(TEXT), "done", "hi"),
    "stream without its end": (STREAM + chunked(SSE[:40]) + b"0\r\n\r\n", "failed", "The stream was cut"),
    "short": (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + TEXT, "done", "hi"),
    "status 999": (whole(TEXT, status=b"HTTP/1.1 999 Huh"), "failed", "The server failed"),
    "lone surrogate": (whole(TEXT.replace(b"hi", b"\\ud800")), "done", "\ufffd"),
}


@pytest.fixture
def answers() -> Iterator[tuple[int, list[bytes]]]:
    """Serve one of the given answers to each connection, in order, and close it."""
    left: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while left:
            connection, _ = listening.accept()
            with connection:
                received = b""
                while not received.endswith(b"}"):
                    received += connection.recv(65_536)
                connection.sendall(left.pop(0))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass

    left += [answer for answer, _, _ in CASES.values()]
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1], left
    listening.close()


def test_record_hostile_answers_are_all_logged_with_what_happened(
    tmp_path: Path, answers: tuple[int, list[bytes]]
) -> None:
    port, left = answers
    command = ["record", "--port", "0", "--base-url", f"http://127.0.0.1:{port}/v1", "--json"]
    environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "data")}
    process = start_text(command, environment)
    assert process.stdout is not None
    base_url = json.loads(process.stdout.readline())["base_url"]
    for name in CASES:
        body = json.dumps({"messages": [{"role": "user", "content": name}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection(("127.0.0.1", int(base_url.split(":")[2].split("/")[0])), 30) as connection:
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
            received = b""
            while piece := connection.recv(65_536):
                received += piece
        assert b" 101 " not in received
    assert left == []
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert errors == ""
    lines = run(["log", "list", "--json", "--limit", "100"], environment).stdout.splitlines()
    rows = [json.loads(line) for line in reversed(lines)]
    found = {name: (row["phase"], row["trouble"] or row["answer"]) for name, row in zip(CASES, rows, strict=True)}
    assert found == {name: (phase, words) for name, (_, phase, words) in CASES.items()}
