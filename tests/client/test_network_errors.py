"""Errors below HTTP: names, certificates, proxies, stale connections, unusable files; and when settings apply."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from playground.client.connection import Connection, Network, ProxyError, Timeouts
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, ApiError, AttemptFailed, Completed
from playground.client.network_errors import network_error, setup_error
from playground.prompt.document import Document, Message
from playground.prompt.request import Request, to_request
from playground.simulator.process import SimulatorProcess
from tests.client import servers
from tests.client.servers import Peer, serve

REQUEST = Request(b'{"model":"m","messages":[],"stream":true}', "m", True)
HOST = "https://host.example/v1"


async def _exchange(connection: Connection, base_url: str) -> list[AnyEvent]:
    endpoint = Endpoint(id="e", name="E", base_url=base_url)
    return [event async for event in connection.stream(endpoint, None, REQUEST, float)]


def _error(base_url: str) -> ApiError:
    async def main() -> AnyEvent:
        connection = Connection()
        try:
            return (await _exchange(connection, base_url))[-1]
        finally:
            await connection.aclose()

    last = asyncio.run(main())
    assert isinstance(last, AttemptFailed)
    assert last.request_id is None
    return last.error


def test_a_name_that_no_server_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = _error(HOST)
    assert (error.kind, error.title) == ("connect", "The host was not found")
    assert HOST in error.detail


def test_https_to_a_server_that_speaks_http() -> None:
    async def main() -> AnyEvent:
        # What a web server sends that was not spoken to in its own protocol.
        async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        listening = await asyncio.start_server(plain, "127.0.0.1", 0)
        connection = Connection()
        port = listening.sockets[0].getsockname()[1]
        try:
            return (await _exchange(connection, f"https://127.0.0.1:{port}/v1"))[-1]
        finally:
            await connection.aclose()
            listening.close()

    last = asyncio.run(main())
    assert isinstance(last, AttemptFailed)
    assert (last.error.kind, last.error.title) == ("tls", "No secure connection was established")
    assert "http://" in last.error.advice


def test_a_certificate_that_is_not_trusted() -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "self-signed certificate"
    raised = httpx.ConnectError("failed")
    raised.__cause__ = OSError("below")
    raised.__cause__.__context__ = cause
    error = network_error(raised, HOST, begun=False)
    assert error.kind == "tls"
    assert "certificate was not accepted" in error.title
    assert "self-signed" in error.detail


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (httpx.ConnectTimeout(""), "timeout", "No connection"),
        (httpx.WriteTimeout(""), "timeout", "could not be sent"),
        (httpx.ReadTimeout(""), "timeout", "No answer"),
        (httpx.ProxyError("407"), "connect", "proxy"),
        (httpx.ConnectError("refused"), "connect", "No server"),
        (httpx.ReadError("reset"), "protocol", "hung up"),
        (httpx.WriteError("reset"), "connect", "could not be sent"),
        (httpx.InvalidURL("odd host"), "connect", "could not be sent"),
        (OSError("too many open files"), "connect", "could not be sent"),
    ],
)
def test_before_headers(raised: Exception, kind: str, words: str) -> None:
    error = network_error(raised, HOST, begun=False)
    assert error.kind == kind
    assert words in error.title
    assert HOST in error.detail
    assert error.advice


@pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.RemoteProtocolError("incomplete chunked read")])
def test_after_headers_it_is_a_cut(error: Exception) -> None:
    assert network_error(error, HOST, begun=True).kind == "cut"


def test_settings_that_keep_a_client_from_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    assert "odd" in setup_error(ValueError("odd")).detail
    assert "all_proxy" in setup_error(ProxyError("all_proxy is not an address")).detail


async def test_a_connection_that_the_server_closed_while_idle_is_made_anew() -> None:
    answer = servers.head() + servers.says("a") + servers.DONE + servers.LAST

    async def script(peer: Peer) -> None:
        await peer.send(answer)
        peer.hang_up()

    async with serve(script) as server:
        connection = Connection()
        for count in (1, 2):
            events = await _exchange(connection, server.base_url)
            assert isinstance(events[-1], Completed)
            await asyncio.wait_for(server.all_left.wait(), 10)
            assert server.connections == count
        await connection.aclose()


def _request() -> Request:
    return to_request(Document(messages=(Message("user", "hello"),)), "electron")


async def _all(connection: Connection, endpoint: Endpoint) -> list[AnyEvent]:
    return [event async for event in connection.stream(endpoint, None, _request(), lambda: 0.0)]


async def test_a_certificate_file_that_is_none_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "certificates.pem"
    file.write_text("not a certificate")
    connection = Connection(ca_file=str(file))
    events = await _all(connection, Endpoint("e", "E", "https://127.255.0.1.example:1/v1", needs_key=False))
    await connection.aclose()
    last = events[-1]
    assert isinstance(last, AttemptFailed)
    assert last.error.kind == "setup"
    assert str(file) in last.error.detail
    assert "Settings" in last.error.advice


async def test_other_settings_hold_from_the_next_request_on(simulator: SimulatorProcess) -> None:
    endpoint = Endpoint("s", "Simulator", simulator.base_url, needs_key=False)
    connection = Connection()
    first = connection.stream(endpoint, None, _request(), lambda: 0.0)
    begun = [await anext(first), await anext(first)]
    connection.use(Network(Timeouts(connect=3.0)))
    second = await _all(connection, endpoint)
    rest = [event async for event in first]
    await connection.aclose()
    assert begun
    assert isinstance(second[-1], Completed)
    assert isinstance(rest[-1], Completed)
