"""What opening a connection costs: a cold TCP and TLS handshake is paid per request where none is kept alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_STEPS = frozenset(("connection.connect_tcp", "connection.start_tls", "http_proxy.start_tls", "socks.start_tls"))


class Connecting:
    """Listens to one request by httpcore's trace extension. `took_s` is 0.0 while no connection was opened for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = 0.0
        self.took_s = 0.0

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        """Called by httpcore as each step of a request begins and ends."""
        step, _, moment = event.rpartition(".")
        if step not in _STEPS:
            return
        if moment == "started":
            self._since = self._clock()
        elif moment == "complete":
            self.took_s += self._clock() - self._since
