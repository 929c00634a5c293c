"""A secret that arrives anywhere leaves nowhere: each entry has its marker, and all outputs are searched for all."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]
import pytest

from tests.forked_program import run, start_text

HEADERS = {
    "bearer": "Authorization: Bearer MARK",
    "no scheme": "authorization: MARK",
    "token list": 'Authorization: Token token="MARK", realm="r"',
    "basic": "Authorization: Basic BASE64",
    "sigv4": "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261128/x, SignedHeaders=host, Signature=MARK",
    "amz signature": "X-Amz-Signature: MARK",
    "amz token": "X-Amz-Security-Token: MARK",
    "goog key": "X-Goog-Api-Key: MARK",
    "api-key": "api-key: MARK",
    "apikey": "apikey: MARK",
    "azure": "Ocp-Apim-Subscription-Key: MARK",
    "functions": "x-functions-key: MARK",
    "cookie": "Cookie: theme=dark; __Secure-next-auth.session-token=MARK; lang=en",
    "cookie sid": "Cookie: connect.sid=MARK",
    "cookie unnamed": "Cookie: u=MARK",
    "proxy": "Proxy-Authorization: Basic BASE64",
    "auth token": "X-Auth-Token: MARK",
    "private": "PRIVATE-TOKEN: MARK",
    "session": "X-Session-Id: MARK",
    "webhook": "X-Hub-Signature-256: sha256=MARK",
    "jwt": "X-Forwarded-Jwt-Assertion: MARK",
    "custom": "X-Token-Custom: MARK",
    "camel": "X-AccessToken: MARK",
}
QUERIES = {
    "sig": "sig=QUOTED",
    "key": "alt=json&key=QUOTED",
    "access_token": "access_token=QUOTED",
    "amz query": "X-Amz-Signature=QUOTED&X-Amz-Date=20261128",
    "code": "code=QUOTED",
    "client_secret": "client_secret=QUOTED",
    "subscription": "subscription-key=QUOTED",
}
BODIES: dict[str, dict[str, Any]] = {
    "body key": {"api_key": "MARK"},
    "body headers": {"extra_headers": {"Authorization": "Bearer MARK"}},
    "mcp headers": {"tools": [{"type": "mcp", "server_url": "http://h/mcp", "headers": {"X-Api-Key": "MARK"}}]},
    "mcp address": {"tools": [{"type": "mcp", "server_url": "http://h/mcp?token=MARK"}]},
}
ANSWERS = {
    "set-cookie": "Set-Cookie: session=MARK; HttpOnly",
    "answer token": "X-Auth-Token: MARK",
    "answer key": "X-Api-Key: MARK",
    "redirect": "Location: https://h.test/cb?access_token=QUOTED&state=1",
    "redirect user": "Location: https://me:QUOTED@h.test/",
}
ENTRIES = (
    *HEADERS,
    *QUERIES,
    *BODIES,
    *ANSWERS,
    "added key",
    "recorder token",
    "environment key",
    "proxy user",
    "har",
    "curl",
)
MODES = ("json", "stream", "tools", "cut", "error", "escaped", "base64", "quoted", "header", "redirect")
MODES_OF_AN_ENTRY = 3
"""How an entry is read and how an answer is masked are independent: all modes together have all entries."""


def marker(entry: str) -> str:
    """Return a secret of 20 characters that no other text has."""
    return base64.b32encode(blake2b(entry.encode(), digest_size=10).digest()).decode()[:8].lower() + "Zq7/Lm2+Xk9T"


MARKERS = {entry: marker(entry) for entry in ENTRIES}


def filled(text: str, secret: str) -> str:
    """Return a header or query with the secret."""
    basic = base64.b64encode(f"me:{secret}".encode()).decode()
    return text.replace("MARK", secret).replace("BASE64", basic).replace("QUOTED", quote(secret, safe=""))


def forms(secret: str) -> tuple[bytes, ...]:
    """Return the forms in which it is searched."""
    whole = base64.b64encode(secret.encode()).decode().rstrip("=")
    behind = base64.b64encode(b"me:" + secret.encode()).decode().rstrip("=")[:-1]
    texts = (secret, whole[:-1], behind, quote(secret, safe=""), secret.replace("/", "\\/"), secret.encode().hex())
    return tuple(text.encode() for text in texts)


@dataclass
class Echo:
    """What the hostile server repeats next, and in which way."""

    secret: str = ""
    mode: str = "json"
    header: str = ""
    seen: list[str] = field(default_factory=list)


def completion(content: str, **delta: Any) -> bytes:
    message = {"role": "assistant", "content": content, **delta}
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}).encode()


def stream(secret: str) -> Iterator[bytes]:
    for character in f"it is {secret}.":
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": character}}
        delta = {"content": character, "tool_calls": [call]}
        yield b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    yield b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def serve(echo: Echo) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            echo.seen.append(self.path)
            secret, mode = echo.secret, echo.mode
            pieces: list[bytes] = {
                "json": lambda: [completion(f"it is {secret}")],
                "stream": lambda: list(stream(secret)),
                "cut": lambda: list(stream(secret))[:-3],
                "tools": lambda: [completion("", tool_calls=[call_of(secret)])],
                "error": lambda: [json.dumps({"error": {"message": f"bad key {secret}", "type": secret}}).encode()],
                "escaped": lambda: [completion("x").replace(b'"x"', escaped(secret))],
                "base64": lambda: [completion(base64.b64encode(f"me:{secret}".encode()).decode())],
                "quoted": lambda: [completion(quote(secret, safe=""))],
                "header": lambda: [completion("x")],
                "redirect": lambda: [b"moved to " + secret.encode()],
            }[mode]()
            self.send_response({"error": 401, "redirect": 307}.get(mode, 200))
            self.send_header("Content-Type", "text/event-stream" if mode in ("stream", "cut") else "application/json")
            if mode == "header":
                self.send_header("X-Echo", f"you sent {secret}")
                self.send_header("X-Request-Id", secret)
            if mode == "redirect":
                self.send_header("Location", f"https://h.test/?next={quote(secret, safe='')}")
            if echo.header:
                self.send_header(*echo.header.split(": ", 1))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            if mode == "cut":
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def call_of(secret: str) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"k": secret})}}


def escaped(secret: str) -> bytes:
    """Return a JSON string in which each character is an escape."""
    return ('"' + "".join(f"\\u{ord(one):04x}" for one in secret) + '"').encode()


def send(base_url: str, entry: str, mode: str) -> None:
    """Send a raw request with the marker of an entry, and read the whole response."""
    secret = MARKERS[entry]
    host, port = base_url.split("/")[2].split(":")
    line, query = filled(HEADERS.get(entry, ""), secret), filled(QUERIES.get(entry, ""), secret)
    messages = [{"role": "user", "content": f"Say it {mode}: {secret if mode == 'json' else '…'}"}]
    fields = json.loads(json.dumps(BODIES.get(entry, {})).replace("MARK", secret))
    if mode == "stream":
        fields["user"] = secret
    body = json.dumps({"model": "m", "messages": messages, "stream": mode in ("stream", "cut"), **fields}).encode()
    lines = [f"POST /{base_url.split('/', 3)[3]}/chat/completions{'?' if query else ''}{query} HTTP/1.1"]
    lines += [f"Host: {host}", f"Content-Length: {len(body)}", "Connection: close", *filter(None, [line])]
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 "), answer


class Outputs:
    """What was written anywhere, by name."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    def add_folder(self, name: str, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.found[f"{name} {path.relative_to(folder)}"] = path.read_bytes()

    def command(self, *arguments: str, environment: Mapping[str, str]) -> bytes:
        done = run(list(arguments), environment)
        self.found[" ".join(arguments)] = done.stdout + done.stderr
        return done.stdout

    def commands(self, name: str, all_arguments: list[list[str]], environment: Mapping[str, str]) -> None:
        """Run many commands in one process, one after the other."""
        done = run(["-c", COMMANDS], environment, json.dumps(all_arguments).encode())
        assert done.returncode == 0, done.stderr
        self.found[name] = done.stdout + done.stderr


COMMANDS = """
import json, sys
from playground.cli.main import main
for arguments in json.load(sys.stdin):
    assert main(arguments) == 0, arguments
"""


def recorded(folder: Path, echo: Echo, address: str, environment: Mapping[str, str], outputs: Outputs) -> None:
    """Send every entry through a Recorder whose recording process is suspended, then resume it."""
    command = ["record", "--port", "0", "--base-url", address, "--json", "--token", "--add-key"]
    for arguments, entries in ((command[:-2], (*HEADERS, *QUERIES, *BODIES, *ANSWERS)), (command, ("added key",))):
        process = start_text([*arguments, "--data-dir", str(folder)], environment)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.communicate()[1]
        base_url = json.loads(first)["base_url"]
        if "--token" in arguments:
            MARKERS["recorder token"] = base_url.split("/")[3]
        (child,) = psutil.Process(process.pid).children()
        child.suspend()
        try:
            for number, entry in enumerate(entries):
                echo.secret, echo.header = MARKERS[entry], filled(ANSWERS.get(entry, ""), MARKERS[entry])
                modes = [MODES[(number * MODES_OF_AN_ENTRY + at) % len(MODES)] for at in range(MODES_OF_AN_ENTRY)]
                for mode in modes if entry not in ANSWERS else ("header",):
                    if entry in ANSWERS:
                        echo.secret = "x"
                    echo.mode = mode
                    send(base_url, entry, mode)
            outputs.add_folder(f"spool of {entries[0]}", folder / "recorder-spool")
        finally:
            child.resume()
        process.send_signal(signal.SIGTERM)
        outputs.found[f"output of record, {entries[0]}"] = "".join(process.communicate(timeout=120)).encode()


def har_of(secret: str) -> str:
    request = {
        "method": "POST",
        "url": f"https://me:{quote(secret, safe='')}@h.test/v1/chat/completions?sig={quote(secret, safe='')}",
        "headers": [{"name": "X-Goog-Api-Key", "value": secret}],
        "cookies": [{"name": "sid", "value": secret}],
        "postData": {"text": json.dumps({"messages": [{"role": "user", "content": f"my key is {secret}"}]})},
    }
    content = {"mimeType": "text/event-stream", "text": b"".join(stream(secret)).decode()}
    answer = {"status": 200, "headers": [{"name": "X-Auth-Token", "value": secret}], "content": content}
    entry = {"startedDateTime": "2026-11-28T10:00:00Z", "request": request, "response": answer, "comment": secret}
    return json.dumps({"log": {"entries": [entry]}})


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Send each marker by its entry, and collect every output."""
    home = tmp_path_factory.mktemp("secrets")
    folder, echo, found = home / "data", Echo(), Outputs()
    server = serve(echo)
    address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    plain = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "ELECTRON_PLAYGROUND_HOME": str(folder),
    }
    try:
        recorded(folder, echo, address, {**plain, "SMALLEST_API_KEY": MARKERS["added key"]}, found)
        prompt = home / "prompt.json"
        prompt.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
        keyed = {**plain, "SMALLEST_API_KEY": MARKERS["environment key"]}
        echo.secret = MARKERS["environment key"]
        for mode in MODES:
            echo.mode, echo.header = mode, ""
            found.command("send", str(prompt), "--base-url", address, environment=keyed)
            found.command("send", str(prompt), "--base-url", address, "--json", environment=keyed)
        proxied = {**plain, "http_proxy": f"http://me:{MARKERS['proxy user']}@127.0.0.1:{server.server_address[1]}"}
        found.command("send", str(prompt), "--base-url", "http://h.test/v1", environment=proxied)
        found.command("doctor", "--json", environment={**proxied, "https_proxy": proxied["http_proxy"]})
        (home / "in.har").write_text(har_of(MARKERS["har"]))
        assert b"1 request imported" in run(["log", "import", str(home / "in.har")], plain).stderr
        curl = home / "in.sh"
        secret = MARKERS["curl"]
        body = json.dumps({"messages": [{"role": "user", "content": f"key {secret}"}]})
        curl.write_text(f"curl https://h.test/v1/chat/completions?sig=x -H 'X-Goog-Api-Key: {secret}' -d '{body}'")
        for kind in ("prompt", "body", "github", "prompty"):
            found.command("convert", str(curl), "--to", kind, environment=plain)
        exported(home, found, plain)
        found.add_folder("data folder", folder)
    finally:
        server.shutdown()
        server.server_close()
    return found


def exported(home: Path, found: Outputs, environment: Mapping[str, str]) -> None:
    for kind in ("jsonl", "csv", "har"):
        assert found.command("log", "export", "", "-o", "-", "--format", kind, environment=environment), kind
    lines = found.command("log", "list", "--json", "--limit", "1000", environment=environment).splitlines()
    assert len(lines) > 100
    found.command("log", "list", "--limit", "1000", environment=environment)
    found.command("check", "--log", "source:recorder", environment=environment)
    chosen = [json.loads(line)["run_id"] for line in lines]
    # One request of each mode as every kind of text; the exports above have all requests.
    chosen = chosen[:: len(MODES) + 1]
    texts = ("curl", "powershell", "python", "httpx", "smallestai", "javascript", "markdown", "html")
    shown = [["log", "show", run_id, *more] for more in ([], *(["--as", form] for form in texts)) for run_id in chosen]
    bundles = {home / f"ticket-{number}.zip": run_id for number, run_id in enumerate(chosen)}
    made = [["log", "ticket", run_id, "--contents", "included", "-o", str(path)] for path, run_id in bundles.items()]
    found.commands("log show, log ticket", [*shown, *made], environment)
    for bundle in bundles:
        with zipfile.ZipFile(bundle) as archive:
            found.found[bundle.name] = b"".join(archive.read(name) for name in archive.namelist())


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", ENTRIES)
def test_secret_of_an_entry_is_in_no_output(entry: str, outputs: Outputs) -> None:
    found = [name for name, data in outputs.found.items() if any(form in data for form in forms(MARKERS[entry]))]
    assert found == []
