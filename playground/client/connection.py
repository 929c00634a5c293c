"""One keep-alive client for all requests of a session. Nothing here raises for expected trouble."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playground.client.endpoint import Endpoint
from playground.client.errors import exposed_key_trouble, key_trouble
from playground.client.events import AnyEvent, ApiError, AttemptFailed, AttemptStarted
from playground.client.urls import exposes_key, is_loopback
from playground.prompt.request import Request

if TYPE_CHECKING:
    import httpx

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` is the longest wait for headers and for the first byte after them, a slow model's thinking
    included; `idle` the longest wait within a stream that has begun.
    """

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 60.0
    write: float = 30.0


@dataclass(frozen=True, slots=True)
class Network:
    """How servers are reached. `ca_file`: a PEM file of certificates trusted besides the system's; empty: none.

    Proxies are those of the environment (HTTPS_PROXY and so on).
    """

    timeouts: Timeouts = Timeouts()
    ca_file: str = ""


class Connection:
    """Keeps connections alive between requests: a cold TLS handshake is paid only once (electron-api.md, Endpoint)."""

    def __init__(self, timeouts: Timeouts = Timeouts(), ca_file: str = "") -> None:
        self._network = Network(timeouts, ca_file)
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._retired: list[httpx.AsyncClient] = []
        self._making = asyncio.Lock()

    def use(self, network: Network) -> None:
        """Reach servers this way from now on; what is on its way goes on as it began."""
        if network != self._network:
            self._network = network
            self._retired += self._clients.values()
            self._clients = {}

    async def warm(self) -> None:
        """Import httpx and make the client off the event loop: on it, the first request would stall it for 170 ms.

        Raises nothing: what is wrong with this machine's settings is told by the request that meets it.
        """
        await self._client(loopback=True)

    async def _client(self, *, loopback: bool) -> httpx.AsyncClient | ApiError:
        async with self._making:
            if loopback not in self._clients:
                try:
                    self._clients[loopback] = await asyncio.to_thread(_make_client, self._network, loopback)
                except Exception as error:  # a stale SSL_CERT_FILE raises FileNotFoundError, a wrong one SSLError
                    from playground.client.network_errors import setup_trouble

                    return setup_trouble(error, self._network.ca_file)
            return self._clients[loopback]

    async def stream(
        self, endpoint: Endpoint, key: str | None, request: Request, clock: Clock, attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]:
        """Send once and yield what happens; the last event is Completed or AttemptFailed.

        `clock` gives seconds since the run began. Closing this generator, or cancelling who waits for it, closes the
        connection at once. The key goes to this endpoint's URL only: redirects are not followed.
        """
        yield AttemptStarted(clock(), attempt)
        refused = _refused(endpoint, key)
        client = refused or await self._client(loopback=is_loopback(endpoint.base_url))
        if isinstance(client, ApiError):
            yield AttemptFailed(clock(), client)
            return
        # Imported here, as httpx is: after the first paint.
        from playground.client.exchange import Exchange

        exchange = Exchange(client, endpoint, key, request, clock, self._network.timeouts.idle)
        async with aclosing(exchange.reads()) as reads:
            async for events in reads:
                for event in events:
                    yield event

    async def client_for(self, base_url: str) -> httpx.AsyncClient | ApiError:
        """The client that this address is reached with, for the vendor's other services; or why there is none."""
        return await self._client(loopback=is_loopback(base_url))

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients, self._retired = [*self._clients.values(), *self._retired], {}, []
        for client in clients:
            await client.aclose()


def _refused(endpoint: Endpoint, key: str | None) -> ApiError | None:
    if key is None:
        return None
    if not key or " " in key or not key.isascii() or not key.isprintable():
        return key_trouble()
    return exposed_key_trouble(endpoint.base_url) if exposes_key(endpoint.base_url) else None


def _make_client(network: Network, loopback: bool) -> httpx.AsyncClient:
    # Imported here, in a thread: these imports take longer than a few frames.
    import anyio._backends._asyncio  # noqa: F401
    import httpcore  # noqa: F401
    import httpx

    timeouts = network.timeouts
    return httpx.AsyncClient(
        verify=True if loopback else _trusted(network.ca_file),
        timeout=httpx.Timeout(timeouts.first_byte, connect=timeouts.connect, write=timeouts.write),
        # How many requests are in flight is the plan's matter, not the pool's: it never makes one wait.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=300),
        follow_redirects=False,
        # A proxy has no business with this machine's own servers.
        trust_env=not loopback,
    )


def _trusted(ca_file: str) -> ssl.SSLContext:
    """The system's certificates, certifi's where the system has none to give, and those of `ca_file`.

    Raises OSError, ssl.SSLError where a file cannot be used; SSL_CERT_FILE and SSL_CERT_DIR are honoured.
    """
    import certifi

    context = ssl.create_default_context()
    named = os.environ.get("SSL_CERT_FILE")
    if named:
        context.load_verify_locations(cafile=named)
    else:
        context.load_verify_locations(cafile=certifi.where())
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context
