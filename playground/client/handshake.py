"""A connection that is given up while it is being made closes its socket.

httpcore closes it where TLS (or a SOCKS proxy) fails, but not where the wait for it is cancelled: a stop in the middle
of a handshake would leave the server with an open connection until the garbage is collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpcore

_GIVEN_UP = (".start_tls.failed", ".setup_socks5_connection.failed")


class Handshake:
    """Watches one request's connection being made, through httpcore's `trace` extension."""

    def __init__(self) -> None:
        self._stream: httpcore.AsyncNetworkStream | None = None

    @property
    def extensions(self) -> dict[str, Any]:
        """What a request must carry to be watched."""
        return {"trace": self._traced}

    async def _traced(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
        elif name.endswith(_GIVEN_UP) and self._stream is not None:
            await self._stream.aclose()
