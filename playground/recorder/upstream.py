"""Connections to the recorded endpoint: plain, TLS or through an HTTP proxy, kept alive between requests."""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

CONNECT_S = 10.0
IDLE_S = 4.0
"""An idle connection is not used again after this time: common servers close theirs after 5 s."""
MAX_IDLE = 32
READ_BYTES = 65_536


class UpstreamError(Exception):
    """The endpoint could not be reached, or broke off. The message is a sentence for the caller."""


@dataclass(frozen=True, slots=True)
class Origin:
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

    @property
    def authority(self) -> str:
        """Return `host[:port]` as a Host header has it; the port is omitted if it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Return whether the host is on this machine; such hosts are never reached through a proxy."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


class UpstreamConnection:
    """One HTTP/1.1 connection to the endpoint. `http` frames one request and the head of its response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.CLIENT)
        self.reused = False
        self.reusable = False
        """Whether the exchange is complete and both sides keep the connection open."""
        self.idle_since = 0.0

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """Return the next event of the response's head. Raises h11.RemoteProtocolError or OSError if it breaks off."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(READ_BYTES))
        return event  # type: ignore[return-value]  # NEED_DATA is excluded by the loop

    def received(self) -> tuple[bytes, bool]:
        """Return the bytes received after the head, and whether the endpoint has closed the connection."""
        return self.http.trailing_data

    def send(self, event: h11.Event) -> None:
        """Write an event of the request. Raises h11.LocalProtocolError if it is not valid HTTP."""
        data = self.http.send(event)
        if data:
            self.writer.write(data)

    def start_next_cycle(self) -> None:
        """Make the connection ready for another request; both sides have ended this one."""
        self.http = h11.Connection(h11.CLIENT)
        self.reusable = False
        self.idle_since = time.monotonic()

    def close(self) -> None:
        """Close the socket at once; unsent data is dropped."""
        self.writer.transport.abort()


class Upstream:
    """The endpoint, with a pool of idle connections.

    `tls` is used for https; None builds one from the system's trust store.
    """

    def __init__(self, base_url: str, tls: ssl.SSLContext | None = None) -> None:
        self.origin = Origin.of(base_url)
        self._tls = (tls or ssl.create_default_context()) if self.origin.scheme == "https" else None
        self._idle: list[UpstreamConnection] = []

    async def acquire(self, *, fresh: bool = False) -> UpstreamConnection:
        """Return an idle connection, or open one. `fresh`: never an idle one. Raises UpstreamError."""
        while self._idle and not fresh:
            connection = self._idle.pop()
            alive = time.monotonic() - connection.idle_since < IDLE_S and not connection.reader.at_eof()
            if alive and not connection.writer.is_closing():
                connection.reused = True
                return connection
            connection.close()
        try:
            async with asyncio.timeout(CONNECT_S):
                return UpstreamConnection(*await self._open())
        except TimeoutError:
            raise UpstreamError(f"{self.origin.authority} did not accept a connection in {CONNECT_S:.0f} s.") from None
        except ssl.SSLError as error:
            raise UpstreamError(f"The TLS handshake with {self.origin.authority} failed: {error.reason}.") from None
        except OSError as error:
            detail = error.strerror or str(error)
            raise UpstreamError(f"{self.origin.authority} cannot be reached: {detail}.") from None

    def release(self, connection: UpstreamConnection) -> None:
        """Return a connection to the pool after a complete exchange; it stays open if both sides allow it."""
        if connection.reusable and len(self._idle) < MAX_IDLE:
            connection.start_next_cycle()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        proxy = self._proxy()
        if proxy is None:
            name = self.origin.host if self._tls else None
            return await asyncio.open_connection(
                self.origin.host, self.origin.port, ssl=self._tls, server_hostname=name
            )
        return await self._open_tunnel(proxy)

    def _proxy(self) -> str | None:
        if self.origin.is_loopback or urllib.request.proxy_bypass(self.origin.host):
            return None
        proxies = urllib.request.getproxies()
        return proxies.get(self.origin.scheme) or proxies.get("all")

    async def _open_tunnel(self, proxy: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a CONNECT tunnel through an HTTP proxy, also for plain http: the request then passes unchanged."""
        parts = urlsplit(proxy)
        if parts.scheme not in ("", "http", "https") or not parts.hostname:
            raise OSError(f"the proxy {parts.scheme}://… is not an HTTP proxy")
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 80, ssl=True if parts.scheme == "https" else None
        )
        target = f"{self.origin.host}:{self.origin.port}"
        headers = [("Host", target)]
        if parts.username:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.append(("Proxy-Authorization", f"Basic {b64encode(user.encode()).decode()}"))
        handshake = UpstreamConnection(reader, writer)
        handshake.send(h11.Request(method="CONNECT", target=target, headers=headers))
        handshake.send(h11.EndOfMessage())
        answer = await handshake.next_event()
        if not isinstance(answer, h11.Response) or not 200 <= answer.status_code < 300:
            handshake.close()
            status = answer.status_code if isinstance(answer, h11.Response) else "no answer"
            raise OSError(f"the proxy {parts.hostname} refused the connection ({status})")
        if self._tls:
            await writer.start_tls(self._tls, server_hostname=self.origin.host)
        return reader, writer
