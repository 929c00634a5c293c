"""One keep-alive client for all requests of a session. Nothing here raises for expected trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playground.client.endpoint import Endpoint
from playground.client.errors import exposed_key_trouble, key_trouble
from playground.client.events import AnyEvent, AttemptFailed, AttemptStarted, Trouble
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


class Connection:
    """Keeps connections alive between requests: a cold TLS handshake is paid only once (electron-api.md, Endpoint)."""

    def __init__(self, timeouts: Timeouts = Timeouts()) -> None:
        self._timeouts = timeouts
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._making = asyncio.Lock()

    async def warm(self) -> None:
        """Import httpx and make the client off the event loop: on it, the first request would stall it for 170 ms.

        Raises nothing: what is wrong with this machine's settings is told by the request that meets it.
        """
        await self._client(loopback=True)

    async def _client(self, *, loopback: bool) -> httpx.AsyncClient | Trouble:
        async with self._making:
            if loopback not in self._clients:
                try:
                    self._clients[loopback] = await asyncio.to_thread(_make_client, self._timeouts, loopback)
                except Exception as error:  # a stale SSL_CERT_FILE raises FileNotFoundError, a wrong one SSLError
                    from playground.client.network import setup_trouble

                    return setup_trouble(error)
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
        if isinstance(client, Trouble):
            yield AttemptFailed(clock(), client)
            return
        # Imported here, as httpx is: after the first paint.
        from playground.client.exchange import Exchange

        exchange = Exchange(client, endpoint, key, request, clock, self._timeouts.idle)
        async with aclosing(exchange.events()) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


def _refused(endpoint: Endpoint, key: str | None) -> Trouble | None:
    if key is None:
        return None
    if not key or " " in key or not key.isascii() or not key.isprintable():
        return key_trouble()
    return exposed_key_trouble(endpoint.base_url) if exposes_key(endpoint.base_url) else None


def _make_client(timeouts: Timeouts, loopback: bool) -> httpx.AsyncClient:
    # Imported here, in a thread: these imports take longer than a few frames.
    import anyio._backends._asyncio  # noqa: F401
    import httpcore  # noqa: F401
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeouts.first_byte, connect=timeouts.connect, write=timeouts.write),
        # How many requests are in flight is the plan's matter, not the pool's: it never makes one wait.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=300),
        follow_redirects=False,
        # A proxy has no business with this machine's own servers.
        trust_env=not loopback,
    )
