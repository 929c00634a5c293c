"""Speaking HTTP to a simulator with nothing but the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from playground.simulator.launch import SimulatorProcess

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower-case names) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of every server-sent event."""
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        """Every event but the last, which is [DONE]."""
        assert self.events[-1] == "[DONE]"
        return [json.loads(data) for data in self.events[:-1]]


def request(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> Answer:
    """One exchange; an error status is an answer too."""
    call = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(call, timeout=60) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


def send(simulator: SimulatorProcess, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    """One chat completion; `model` and `messages` are filled in where they are not given."""
    body = {"model": "electron", "messages": HELLO, **fields}
    return request(f"{simulator.base_url}/chat/completions", json.dumps(body).encode(), headers)
