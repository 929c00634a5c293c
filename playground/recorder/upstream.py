"""Connections to the recorded endpoint: plain, TLS or through an HTTP proxy, kept alive between requests."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from playground.client.connection import Proxy, ProxyError, proxy_for
from playground.client.endpoint import is_loopback
from playground.recorder.wire import HttpError, Wire, encode_head, parse_response

CONNECT_S = 10.0
IDLE_S = 4.0
"""An idle connection is not used again after this time: common servers close theirs after 5 s."""
MAX_IDLE = 32


class UpstreamError(Exception):
    """The endpoint could not be reached, or broke off (`is_reached`). The message is a sentence for the caller."""

    def __init__(self, message: str, *, is_reached: bool = False) -> None:
        super().__init__(message)
        self.is_reached = is_reached


class Origin(Struct, frozen=True):
    """Scheme, host and port of an endpoint."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, base_url: str) -> Origin:
        """Return the origin of a base URL. Raises ValueError if it has no host or an invalid port."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is not an http or https URL")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    def is_same(self, other: Origin) -> bool:
        """Return whether both are the same server; all names of this machine's loopback address are one host."""
        hosts = {"localhost" if is_loopback(f"//{one.bracketed_host}") else one.host for one in (self, other)}
        return len(hosts) == 1 and (self.scheme, self.port) == (other.scheme, other.port)

    @property
    def bracketed_host(self) -> str:
        """Return the host in the form of a URL: IPv6 addresses in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """Return `host[:port]` as a Host header has it; the port is omitted if it is the scheme's default."""
        default = 443 if self.scheme == "https" else 80
        return self.bracketed_host if self.port == default else f"{self.bracketed_host}:{self.port}"


class UpstreamConnection(Wire):
    """One connection to the endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.reused = False
        self.reusable = False
        """Whether the exchange is complete and both sides keep the connection open."""
        self.idle_since = 0.0
        self.target_prefix = b""
        """Goes in front of the path of each request: scheme and authority if an HTTP proxy takes the requests."""
        self.proxy_lines: list[bytes] = []
        """Header lines for that proxy."""
        self.is_tunnel = False
        """Whether each direction ends alone."""

    def eof_received(self) -> bool:
        """Let the transport close, except a tunnel's. TLS connections cannot be half open."""
        super().eof_received()
        return self.is_tunnel and self.transport.can_write_eof()

    def close(self) -> None:
        """Close the socket at once; unsent data is dropped."""
        self.reusable = False
        self.abort()


class Upstream:
    """The endpoint, with a pool of idle connections."""

    def __init__(self, base_url: str) -> None:
        self.origin, self._base_url = Origin.of(base_url), base_url
        self._tls = ssl.create_default_context() if self.origin.scheme == "https" else None
        self._idle: list[UpstreamConnection] = []

    async def acquire(self, *, fresh: bool = False) -> UpstreamConnection:
        """Return an idle connection, or open one. `fresh`: never an idle one. Raises UpstreamError."""
        while self._idle and not fresh:
            connection = self._idle.pop()
            if time.monotonic() - connection.idle_since < IDLE_S and not connection.closed:
                connection.reused = True
                return connection
            connection.close()
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._open()
        except TimeoutError:
            what = "a TLS connection" if self._tls else "a connection"
            raise UpstreamError(f"{self.origin.authority} did not complete {what} in {CONNECT_S:.0f} s.") from None
        except ssl.SSLError as error:
            raise UpstreamError(f"The TLS handshake with {self.origin.authority} failed: {error.reason}.") from None
        except OSError as error:
            detail = error.strerror or str(error)
            raise UpstreamError(f"{self.origin.authority} cannot be reached: {detail}.") from None

    def release(self, connection: UpstreamConnection) -> None:
        """Return a connection to the pool after a complete exchange; it stays open if both sides allow it."""
        if connection.reusable and not connection.closed and len(self._idle) < MAX_IDLE:
            connection.reusable, connection.idle_since = False, time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _open(self) -> UpstreamConnection:
        proxy = self._proxy()
        if proxy is not None:
            return await self._open_proxy(proxy)
        name = self.origin.host if self._tls else None
        host, port = self.origin.host, self.origin.port
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            UpstreamConnection, host, port, ssl=self._tls, server_hostname=name
        )
        return connection

    def _proxy(self) -> Proxy | None:
        """Return the proxy, chosen as for the program's own requests. Raises OSError for one of no use."""
        if is_loopback(self._base_url):
            return None
        try:
            return proxy_for(self._base_url, os.environ)
        except ProxyError as error:
            raise OSError(str(error)) from None

    async def _open_proxy(self, proxy: Proxy) -> UpstreamConnection:
        """Connect to an HTTP proxy. It takes requests for plain http itself, and opens a tunnel for https."""
        parts = urlsplit(proxy.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OSError(
                f"{proxy.source} names {proxy.address}, and the Recorder uses no SOCKS proxies: set "
                f"{self.origin.scheme.upper()}_PROXY to an HTTP proxy, or list {self.origin.host} in NO_PROXY"
            )
        loop = asyncio.get_running_loop()
        tls = True if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        _, connection = await loop.create_connection(UpstreamConnection, parts.hostname, port, ssl=tls)
        lines = []
        if parts.username:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            lines.append(b"Proxy-Authorization: Basic " + b64encode(user.encode()))
        if self._tls is None:
            connection.target_prefix, connection.proxy_lines = b"http://" + self.origin.authority.encode(), lines
            return connection
        target = f"{self.origin.bracketed_host}:{self.origin.port}".encode()
        connection.write(encode_head(b"CONNECT %b HTTP/1.1" % target, (b"Host: " + target, *lines)))
        try:
            answer = await connection.read_head()
            status = parse_response(answer).status if answer else 0
        except HttpError:
            status = 0
        if not 200 <= status < 300:
            connection.close()
            raise OSError(f"the proxy {parts.hostname} refused the connection ({status or 'no answer'})")
        transport = await loop.start_tls(connection.transport, connection, self._tls, server_hostname=self.origin.host)
        assert transport is not None
        connection.transport = transport
        return connection
