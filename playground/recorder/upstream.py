"""Connections of the Recorder: which callers it accepts, and those to the endpoint, plain, TLS or through an HTTP
proxy, kept alive."""

from __future__ import annotations

import asyncio
import os
import re
import selectors
import ssl
import time
from base64 import b64encode
from collections.abc import Sequence
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

    def reuse(self) -> bool:
        """Return whether an idle connection can take a request: neither its end nor data has arrived. Sets `reused`."""
        if self.closed or not self.is_untouched:
            return False
        with selectors.DefaultSelector() as kernel:  # the event loop may not have read it yet
            kernel.register(self.transport.get_extra_info("socket"), selectors.EVENT_READ)
            self.reused = not kernel.select(0)
        return self.reused

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
            if time.monotonic() - connection.idle_since < IDLE_S and connection.reuse():
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


LOOPBACK_NAMES = frozenset(("127.0.0.1", "localhost", "[::1]"))

Headers = Sequence[tuple[bytes, bytes]]


class AccessRefusal(Struct, frozen=True):
    """A request that is answered by the Recorder itself."""

    status: int
    message: str


class AccessPolicy(Struct, frozen=True):
    """Accept requests whose path begins with `base_path`, after `token` if there is one.

    `base_path` is the path of the endpoint's base URL, without a trailing slash ("/waves/v1", or "").
    `token` is a path segment that the caller must know; empty: none is required.
    """

    base_path: str = ""
    token: str = ""

    @property
    def public_path(self) -> str:
        return f"/{self.token}{self.base_path}" if self.token else self.base_path

    def check(self, target: bytes, headers: Headers) -> AccessRefusal | None:
        """Return why a request is refused, or None.

        A web page that reaches this address by DNS rebinding has another `Host`; a page that calls it directly has an
        `Origin` or `Sec-Fetch-Site` header, which programs do not send.
        """
        values = {name.lower(): value.decode("latin-1") for name, value in headers}
        # Without one: HTTP/1.0, which no browser sends.
        if b"host" in values and _host_name(values[b"host"]) not in LOOPBACK_NAMES:
            return AccessRefusal(403, "The Host header does not name this machine's loopback address.")
        if b"origin" in values or values.get(b"sec-fetch-site", "none") != "none":
            return AccessRefusal(403, "The Recorder does not accept requests from web pages.")
        path = target.split(b"?", 1)[0].decode("latin-1")
        base = self.public_path
        # The server may resolve dot segments, which then lead out of the base path.
        is_above = any(segment in (".", "..") for segment in re.split(r"[/\\]", unquote(path)))
        if is_above or (path != base and not path.startswith(base + "/")):
            # The token must not be in the response.
            where = f"{self.base_path or '/'}, after the token of the base URL" if self.token else base or "/"
            return AccessRefusal(404, f"The Recorder forwards paths under {where} only.")
        return None

    def upstream_target(self, target: bytes) -> bytes:
        """Return the path and query to request upstream: the caller's, without the token."""
        return target[len(self.token) + 1 :] if self.token else target


def _host_name(host: str) -> str:
    """Return the name in a Host header, lower case, without its port."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[: name.find("]") + 1]
    return name.partition(":")[0]
