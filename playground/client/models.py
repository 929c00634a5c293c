"""Known OpenAI-compatible servers with their differences, and the models of an endpoint (`GET /models`)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx
import msgspec
from msgspec import Struct

from playground import __version__, asset
from playground.client import tolerant_json
from playground.client.chunks import whole_text
from playground.client.connection import Proxy
from playground.client.credentials import credentials
from playground.client.endpoint import Endpoint
from playground.client.errors import http_error, not_a_chunk
from playground.client.events import ApiError
from playground.client.network_errors import network_error
from playground.client.redact import redact_error
from playground.client.stream_masking import redact_body
from playground.client.tolerant_json import count


class EndpointPreset(Struct, frozen=True):
    """A server that an endpoint can be made from.

    key_variable: the customary environment variable of its key; "" if it needs none. request_id_header: in lower case;
    "" if it sends none. cached_tokens_field: the field inside `usage` (unless it names another object); "" if it
    reports none. models: whether it answers `GET /models`. context_length: if all of its models have the same.
    """

    id: str
    name: str
    base_url: str
    model: str = ""
    key_variable: str = ""
    request_id_header: str = "x-request-id"
    cached_tokens_field: str = "prompt_tokens_details.cached_tokens"
    models: bool = True
    context_length: int | None = None

    @property
    def needs_key(self) -> bool:
        """Whether the server wants a key."""
        return bool(self.key_variable)


PRESETS = msgspec.json.decode(asset("servers.json").read_bytes(), type=tuple[EndpointPreset, ...])
"""Defaults of each server's documentation as of November 2026; users change them in the endpoint form."""


def preset_for(base_url: str) -> EndpointPreset | None:
    """Return the preset with this base URL; None if there is none."""
    return next((preset for preset in PRESETS if preset.base_url == base_url), None)


MAX_BYTES = 8 * 1024 * 1024
MAX_MODELS = 10_000
TOTAL_S = 30.0
_LENGTH_FIELDS = (
    "context_length",  # OpenRouter, Together, DeepSeek
    "max_model_len",  # vLLM, SGLang
    "context_window",  # Groq
    "max_context_length",  # LM Studio
    "loaded_context_length",
    "max_input_tokens",  # LiteLLM
    "n_ctx",  # llama.cpp
    "n_ctx_train",
)


class ModelInfo(Struct, frozen=True):
    """A model that an endpoint offers. `context_length` in tokens; None if the server does not give it."""

    id: str
    context_length: int | None = None


async def fetch_models(
    client: httpx.AsyncClient, endpoint: Endpoint, key: str | None, proxy: Proxy | None
) -> tuple[ModelInfo, ...] | ApiError:
    """Return the endpoint's models in the server's order, or the error. The key is masked in both."""
    url = endpoint.base_url.rstrip("/") + "/models"
    headers = {"Accept": "application/json", "User-Agent": f"electron-playground/{__version__}"}
    masked = credentials(endpoint.base_url, (), key)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    try:
        async with asyncio.timeout(TOTAL_S), client.stream("GET", url, headers=headers) as response:
            body = bytearray()
            async with aclosing(response.aiter_bytes()) as received:  # type: ignore[type-var]  # it is a generator
                async for piece in received:
                    body += piece
                    if len(body) > MAX_BYTES:
                        break
    except TimeoutError:
        return network_error(httpx.ReadTimeout("models"), endpoint.base_url, begun=False, proxy=proxy)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        found = network_error(error, endpoint.base_url, begun=False, proxy=proxy)
        return redact_error(found, masked)
    text = redact_body(body.decode("utf-8-sig", "replace"), masked)
    if not response.is_success:
        return http_error(response.status_code, response.headers, text, masked, key_sent=key is not None)
    try:
        return parse_models(text)
    except ValueError:
        return not_a_chunk(text)


def parse_models(text: str) -> tuple[ModelInfo, ...]:
    """Parse {"data": [{"id"}]}, {"models": [{"name"}]} or a bare list. Raises ValueError if it is none of these."""
    value = tolerant_json.loads(text)
    if isinstance(value, dict):
        value = next((value[name] for name in ("data", "models") if isinstance(value.get(name), list)), None)
    if not isinstance(value, list):
        raise ValueError("no list of models")
    models: dict[str, ModelInfo] = {}
    for item in value[:MAX_MODELS]:
        fields = {"id": item} if isinstance(item, str) else item
        if not isinstance(fields, dict):
            continue
        id = next((id for name in ("id", "model", "name") if isinstance(id := fields.get(name), str) and id), None)
        if id is not None:
            models.setdefault(id, ModelInfo(whole_text(id), _context_length(fields)))
    return tuple(models.values())


def _context_length(fields: dict[str, object]) -> int | None:
    places = [fields, *(fields.get(name) for name in ("meta", "model_info", "top_provider", "limits"))]
    for place in places:
        if isinstance(place, dict):
            found = next((length for name in _LENGTH_FIELDS if (length := count(place.get(name)))), None)
            if found:
                return found
    return None
