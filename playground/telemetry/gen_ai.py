"""OpenTelemetry attributes of a request, in the semantic conventions for generative AI and HTTP. Pure.

The names are those of `opentelemetry-semantic-conventions` (a test compares them); that package is optional.
"""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import urlsplit

from playground.agent.conversation import Result
from playground.client.redact import redact
from playground.runs.run import Run
from playground.runs.state import Attempt

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
COMPLETIONS = "/chat/completions"
Attribute: TypeAlias = str | int | float | bool | tuple[str, ...]
_PROVIDERS = {
    "smallest.ai": "smallest_ai",
    "openai.com": "openai",
    "azure.com": "azure.ai.openai",
    "anthropic.com": "anthropic",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
    "cohere.com": "cohere",
    "googleapis.com": "gcp.gemini",
    "openrouter.ai": "openrouter",
    "together.xyz": "together_ai",
    "moonshot.ai": "moonshot_ai",
}
"""Provider names by host name suffix; the first twelve names are those of the conventions."""
_NUMBERS = {
    "max_tokens": ("gen_ai.request.max_tokens", int),
    "max_completion_tokens": ("gen_ai.request.max_tokens", int),
    "seed": ("gen_ai.request.seed", int),
    "temperature": ("gen_ai.request.temperature", float),
    "top_p": ("gen_ai.request.top_p", float),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", float),
    "presence_penalty": ("gen_ai.request.presence_penalty", float),
}
"""Request parameters and their types; the conventions define temperature and similar ones as doubles."""


def provider(run: Run) -> str:
    """Return who serves the endpoint: a known provider, else the host's name."""
    if run.endpoint.kind == "simulator":
        return "electron_simulator"
    host = urlsplit(run.endpoint.base_url).hostname or "unknown"
    known = (name for domain, name in _PROVIDERS.items() if host == domain or host.endswith(f".{domain}"))
    return next(known, host)


def span_attributes(run: Run) -> dict[str, Attribute]:
    """Return the attributes of a request's span, without unreported values."""
    state, usage = run.state, run.state.usage
    found: dict[str, Attribute | None] = {
        **_common(run),
        "gen_ai.request.stream": run.request.stream,
        "gen_ai.request.stop_sequences": _stop_sequences(run),
        "gen_ai.output.type": _output_type(run),
        "gen_ai.conversation.id": run.conversation,
        "gen_ai.response.id": state.body_id,
        "gen_ai.response.model": state.response_model,
        "gen_ai.response.finish_reasons": (state.finish_reason,) if state.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": state.ttft_s,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "electron.run_id": run.id,
        "electron.request_id": state.request_id,
        "electron.phase": state.phase,
        "electron.simulated": run.endpoint.kind == "simulator",
        **_numbers(run),
    }
    return _known(found)


def tool_attributes(conversation: str, result: Result) -> dict[str, Attribute]:
    """Return the attributes of an executed tool call, without its arguments and result."""
    return _known({
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": result.name,
        "gen_ai.tool.call.id": result.call_id,
        "gen_ai.tool.type": "function",
        "gen_ai.conversation.id": conversation,
    })  # fmt: skip


def metric_attributes(run: Run) -> dict[str, Attribute]:
    """Return the attributes of a request's metrics: few values, no ids."""
    return _known({**_common(run), "gen_ai.response.model": run.state.response_model, "error.type": error_type(run)})


def attempt_attributes(run: Run, attempt: Attempt) -> dict[str, Attribute]:
    """Return the attributes of one HTTP exchange."""
    found: dict[str, Attribute | None] = {
        "http.request.method": "POST",
        "url.full": run.endpoint.base_url + COMPLETIONS,
        "http.response.status_code": attempt.status,
        "http.request.resend_count": attempt.number - 1 or None,
        "http.response.header.x-request-id": (attempt.request_id,) if attempt.request_id else None,
        **_server(run),
    }
    return _known(found)


def error_type(run: Run) -> str | None:
    """Return the server's or the client's error type; None if the request did not fail."""
    error = run.state.trouble
    return None if error is None else str(error.error_type or error.kind)


def _common(run: Run) -> dict[str, Attribute | None]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider(run),
        "gen_ai.request.model": run.request.model,
        **_server(run),
    }


def _server(run: Run) -> dict[str, Attribute | None]:
    parts = urlsplit(run.endpoint.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname, "server.port": port}


def _numbers(run: Run) -> dict[str, Attribute | None]:
    found: dict[str, Attribute | None] = {}
    for name, (attribute, kind) in _NUMBERS.items():
        value = run.document.parameters.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[attribute] = kind(value)
    return found


def _stop_sequences(run: Run) -> tuple[str, ...] | None:
    stop = run.document.parameters.get("stop")
    if isinstance(stop, str):
        return (stop,)
    if isinstance(stop, list | tuple) and stop and all(isinstance(text, str) for text in stop):
        return tuple(str(text) for text in stop)
    return None


def _output_type(run: Run) -> str:
    wanted = run.document.parameters.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    return "json" if kind in ("json_object", "json_schema") else "text"


def _known(found: dict[str, Attribute | None]) -> dict[str, Attribute]:
    """Leave out unknown attributes, and mask keys once more."""
    return {name: _masked(value) for name, value in found.items() if value is not None}


def _masked(value: Attribute) -> Attribute:
    if isinstance(value, str):
        return redact(value, None)
    if isinstance(value, tuple):
        return tuple(redact(text, None) for text in value)
    return value
