"""Proxies, certificates and kept connections as the environment and servers have them, on real sockets."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from playground.client.connection import KEEP_ALIVE_S, Connection, Proxy, ProxyError, excepted, proxy_for
from playground.client.events import AttemptStarted, RetryScheduled
from playground.client.models import ModelInfo, parse_models
from playground.client.retry import NO_RETRIES
from playground.runs.state import RunState
from tests.client import servers
from tests.client.servers import Peer, Script, serve
from tests.conformance.talk import new, see_through

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
ANSWER = servers.head() + servers.says("Hi") + servers.ENDS + servers.DONE + servers.LAST


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def answer(peer: Peer) -> None:
    await peer.send(ANSWER)


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("*", "api.smallest.ai", True),
        ("smallest.ai", "api.smallest.ai", True),
        (".smallest.ai", "api.smallest.ai", True),
        ("*.smallest.ai", "api.smallest.ai", True),
        ("API.smallest.ai", "api.smallest.ai", True),
        ("api.smallest.ai:443", "api.smallest.ai", True),
        ("api.smallest.ai:8443", "api.smallest.ai", False),
        ("allest.ai", "api.smallest.ai", False),
        ("localhost,::1/128", "api.smallest.ai", False),
        ("localhost,[::1]", "api.smallest.ai", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("fd00::/8", "fd12::1", True),
        ("[fd12::1]:443", "fd12::1", True),
        ("fd12::1", "fd12::1", True),
        ("10.0.0.0/99, //, :::, %", "10.1.2.3", False),
        ("", "10.1.2.3", False),
    ],
)
def test_excepted_entries_of_every_form(no_proxy: str, host: str, expected: bool) -> None:
    assert excepted(host, 443, no_proxy) is expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, Proxy("http://p:1", "HTTPS_PROXY")),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "http://q:1"}, Proxy("http://p:1", "https_proxy")),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "socks://q:1"}, Proxy("http://p:1", "HTTPS_PROXY")),
        ({"ALL_PROXY": "socks://q:1/"}, Proxy("socks5h://q:1/", "ALL_PROXY")),
        ({"all_proxy": "socks5://u:p@q:1"}, Proxy("socks5://u:p@q:1", "all_proxy")),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "::1/128,smallest.ai"}, None),
    ],
)
def test_proxy_for_uses_the_variables_that_apply(environ: dict[str, str], expected: Proxy | None) -> None:
    assert proxy_for("https://api.smallest.ai/waves/v1", environ) == expected


@pytest.mark.parametrize("value", ["ftp://p:1", "http://", "http://p:port", "://", "\u202e", "http://[::1"])
def test_proxy_for_unusable_address_names_its_variable(value: str) -> None:
    with pytest.raises(ProxyError, match="ALL_PROXY"):
        proxy_for("https://api.smallest.ai/waves/v1", {"ALL_PROXY": value})


def test_proxy_address_has_no_password() -> None:
    assert Proxy("http://user:secret@p:1/", "HTTP_PROXY").address == "http://p:1"


async def sent(base_url: str, ca_file: str = "") -> RunState:
    connection = Connection(ca_file=ca_file)
    try:
        return (await see_through(new(connection, base_url, key=None, retries=NO_RETRIES))).state
    finally:
        await connection.aclose()


def elsewhere(server: servers.Server) -> str:
    """The server under an address that is this machine but not taken for loopback: proxies apply to it."""
    return server.base_url.replace("127.0.0.1", "127.1")


@pytest.mark.parametrize("value", ["localhost,127.0.0.0/8,::1/128", "[::1]", "::1/128"])
def test_ipv6_in_no_proxy_blocks_no_request(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NO_PROXY", value)

    async def main() -> str:
        async with serve(answer) as server:
            return (await sent(elsewhere(server))).phase

    assert asyncio.run(main()) == "done"


def test_proxy_gets_the_request_and_an_unneeded_one_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[str, str]:
        async with serve(answer) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
            monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9/")
            state = await sent("http://model.example/v1")
            return state.phase, proxy.requests[0].line

    assert asyncio.run(main()) == ("done", "POST http://model.example/v1/chat/completions HTTP/1.1")


def test_socks_proxy_carries_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[str, bytes]:
        async with (
            serve(answer) as server,
            socks(int(server.base_url.rsplit(":", 1)[1].split("/")[0])) as (port, asked),
        ):
            monkeypatch.setenv("ALL_PROXY", f"socks://127.0.0.1:{port}/")
            state = await sent("http://model.example/v1")
            return state.phase, bytes(asked)

    phase, asked = asyncio.run(main())
    assert phase == "done"
    assert b"model.example" in asked


@asynccontextmanager
async def socks(target_port: int) -> AsyncIterator[tuple[int, bytearray]]:
    """A SOCKS5 proxy that connects everything to one port of this machine and keeps the requested names."""
    asked = bytearray()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = await reader.readexactly(2)
        await reader.readexactly(greeting[1])
        writer.write(b"\x05\x00")
        head = await reader.readexactly(5)
        asked.extend(await reader.readexactly(head[4] + 2))
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        there, back = await asyncio.open_connection("127.0.0.1", target_port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
    writer.close()


def test_dead_proxy_is_named_and_its_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    error = asyncio.run(sent("http://model.example/v1")).error
    assert error is not None
    assert error.kind == "connect"
    assert "127.0.0.1:9" in error.detail
    assert "HTTP_PROXY" in error.advice
    assert "secret" not in repr(error)


@pytest.mark.parametrize(
    "reply", [b"garbage\r\n\r\n", b"SSH-2.0-x\r\n", b"", b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_without_an_http_answer_is_named(monkeypatch: pytest.MonkeyPatch, reply: bytes, scheme: str) -> None:
    async def proxied() -> RunState:
        async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            writer.close()

        listening = await asyncio.start_server(odd, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            monkeypatch.setenv(f"{scheme}_proxy", f"http://user:secret@127.0.0.1:{port}")
            return await sent(f"{scheme}://model.example/v1")

    error = asyncio.run(proxied()).error
    assert error is not None
    if not (scheme == "http" and reply.startswith(b"HTTP")):  # that is an answer
        assert f"{scheme}_proxy" in error.detail
    assert "secret" not in repr(error)


def test_proxy_of_an_unknown_kind_is_a_setup_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:9")
    error = asyncio.run(sent("http://model.example/v1")).error
    assert error is not None
    assert error.kind == "setup"
    assert "ALL_PROXY" in error.detail
    assert "SSL_CERT_FILE" not in repr(error)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    common = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *common, "-keyout", "ca.key", "-out", "ca.pem", "-days", "9", "-subj", "/CN=Test CA")
    openssl("req", *common, "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=localhost")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9", "-extfile", "ext")
    openssl("x509", "-req", "-in", "s.csr", *signing, "-out", "s.pem")
    return folder


@pytest.mark.parametrize("way", ["ca_file", "SSL_CERT_FILE", "none"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_extra_certificates_count_on_loopback(
    certificates: Path, host: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "SSL_CERT_FILE":
        monkeypatch.setenv(way, str(certificates / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "s.pem", certificates / "s.key")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async def main() -> RunState:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        try:
            ca_file = str(certificates / "ca.pem") if way == "ca_file" else ""
            return await sent(f"https://{host}:{port}/v1", ca_file)
        finally:
            server.close()

    state = asyncio.run(main())
    assert state.phase == ("failed" if way == "none" else "done")
    assert (state.error.kind if state.error else None) == ("tls" if way == "none" else None)


def closing_at(number: int, how: str) -> Script:
    """A server that closes its connection at request `number`, with no byte of an answer or after a part of one."""
    served = 0

    async def script(peer: Peer) -> None:
        nonlocal served
        served += 1
        if served != number:
            await peer.send(ANSWER)
        elif how == "reset":
            peer.reset()
        else:
            if how == "headers":
                await peer.send(servers.head())
            peer.hang_up()

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_reused_connection_closed_without_a_byte_is_retried_once_and_visibly(how: str) -> None:
    async with serve(closing_at(2, how)) as server:
        connection = Connection()
        for expected in (["done"], ["done", "retried"]):
            conversation = new(connection, server.base_url, retries=NO_RETRIES)
            await see_through(conversation)
            assert conversation.state.phase == "done"
            assert len(conversation.state.attempts) == len(expected)
            assert sum(isinstance(event, AttemptStarted) for event in conversation.heard) == len(expected)
        retries = [event for event in conversation.heard if isinstance(event, RetryScheduled)]
        assert [(event.attempt, event.wait_s) for event in retries] == [(2, 0.0)]
        assert len(server.requests) == 3
        assert server.connections == 2
        await connection.aclose()


async def test_new_connection_closed_without_a_byte_is_not_retried() -> None:
    async with serve(closing_at(1, "close")) as server:
        state = await sent(server.base_url)
        assert (state.phase, len(server.requests)) == ("failed", 1)


async def test_reused_connection_cut_after_headers_is_not_retried() -> None:
    async with serve(closing_at(2, "headers")) as server:
        connection = Connection()
        await see_through(new(connection, server.base_url, retries=NO_RETRIES))
        state = (await see_through(new(connection, server.base_url, retries=NO_RETRIES))).state
        assert (state.phase, len(server.requests)) == ("failed", 2)
        assert state.error is not None
        assert state.error.kind == "cut"
        await connection.aclose()


async def test_stale_failure_leaves_other_requests_of_the_pool_alone() -> None:
    """The pool with the stale connections is given up, not the requests that are in flight in it."""
    served, release = 0, asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal served
        served += 1
        if served == 2:
            await peer.send(servers.head() + servers.says("slow"))
            await release.wait()
            await peer.send(servers.ENDS + servers.DONE + servers.LAST)
        elif served == 4:
            peer.hang_up()
        else:
            await peer.send(ANSWER)

    async with serve(script) as server:
        connection = Connection()
        await see_through(new(connection, server.base_url, retries=NO_RETRIES))
        slow = new(connection, server.base_url, retries=NO_RETRIES)
        async with asyncio.TaskGroup() as group:
            group.create_task(see_through(slow))
            await slow.content.wait()
            for _ in range(2):
                other = await see_through(new(connection, server.base_url, retries=NO_RETRIES))
                assert other.state.phase == "done"
            release.set()
        assert slow.state.phase == "done"
        assert slow.state.text == "slow"
        await connection.aclose()


def test_keep_alive_is_shorter_than_common_servers() -> None:
    assert KEEP_ALIVE_S < 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"object":"list","data":[{"id":"a"},{"id":"b","context_length":8192}]}', [("a", None), ("b", 8192)]),
        ('{"data":[{"id":"a","max_model_len":4096}]}', [("a", 4096)]),
        ('{"data":[{"id":"a","context_window":131072}]}', [("a", 131072)]),
        ('{"data":[{"id":"a","meta":{"n_ctx_train":32768}}]}', [("a", 32768)]),
        ('{"models":[{"name":"a","model":"a:latest"}]}', [("a:latest", None)]),
        ('[{"id":"a"},"b",7,{"id":""},{"id":"a"}]', [("a", None), ("b", None)]),
        ('{"data":[]}', []),
    ],
)
def test_parse_models_shapes_of_servers(text: str, expected: list[tuple[str, int | None]]) -> None:
    assert [(model.id, model.context_length) for model in parse_models(text)] == expected


@pytest.mark.parametrize("text", ["", "{}", "7", '{"data":{}}', "[" * 5_000, "<html>"])
def test_parse_models_other_bodies_raise_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        parse_models(text)


async def test_models_over_a_socket_with_key_and_masked() -> None:
    key = "sk_models_0123456789"

    async def script(peer: Peer) -> None:
        assert peer.line == "GET /v1/models HTTP/1.1"
        assert peer.headers["authorization"] == f"Bearer {key}"
        await peer.send(servers.whole(f'{{"data":[{{"id":"m"}},{{"id":"{key}"}}]}}'.encode()))

    async with serve(script) as server:
        connection = Connection()
        found = await connection.models(server.endpoint, key)
        assert found == (ModelInfo("m"), ModelInfo("sk_…"))
        await connection.aclose()


@pytest.mark.parametrize(
    ("status", "detail"),
    # Without a key the detail would seem to be about a key that was sent.
    [("404 No", "no models here"), ("401 No", "The server answered: no models here")],
)
async def test_models_refused_is_an_error_value(status: str, detail: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.whole(b'{"error":{"message":"no models here"}}', status=status))

    async with serve(script) as server:
        connection = Connection()
        found = await connection.models(server.endpoint, None)
        assert not isinstance(found, tuple)
        assert (found.status, found.detail) == (int(status[:3]), detail)
        await connection.aclose()
