"""HTTP client for a simulator, with the standard library only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from playground.simulator.process import SimulatorProcess

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Answer:
    """Response with status, headers (lower-case names) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """Return the data of every server-sent event."""
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        """Return every event but the last, which is [DONE]."""
        assert self.events[-1] == "[DONE]"
        return [json.loads(data) for data in self.events[:-1]]


def request(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> Answer:
    """Run one exchange; error statuses are returned, not raised."""
    call = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(call, timeout=60) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


def send(simulator: SimulatorProcess, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    """Request a chat completion; missing `model` and `messages` get default values."""
    body = {"model": "electron", "messages": HELLO, **fields}
    return request(f"{simulator.base_url}/chat/completions", json.dumps(body).encode(), headers)
