"""Request ids in response headers: the server's own, and those that gateways add or forward."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

HEADERS = (
    "x-request-id",  # Electron, OpenAI, Groq, Together, vLLM
    "request-id",  # Anthropic, and gateways
    "llm_provider-x-request-id",  # LiteLLM, forwarded from the server behind it
    "llm_provider-request-id",
    "x-ds-trace-id",  # DeepSeek
    "x-litellm-call-id",
    "x-generation-id",  # OpenRouter
    "apim-request-id",  # Azure
)
"""Header names by priority: the first one in a response is its request_id."""


class RequestId(NamedTuple):
    """An id and its header."""

    source: str
    value: str


def request_ids(headers: Iterable[Sequence[str]]) -> tuple[RequestId, ...]:
    """Return all request ids in a response's headers, by the priority of HEADERS, each value once.

    `headers`: pairs of lower-case name and value; a repeated header gives several ids.
    """
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        if name in HEADERS and value.strip():
            by_name.setdefault(name, []).append(value.strip())
    found: dict[str, RequestId] = {}
    for name in HEADERS:
        for value in by_name.get(name, ()):
            found.setdefault(value, RequestId(name, value))
    return tuple(found.values())
