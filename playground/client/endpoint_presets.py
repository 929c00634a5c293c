"""Known OpenAI-compatible servers and their differences, as data."""

from __future__ import annotations

from dataclasses import dataclass

from playground.client.endpoint import ELECTRON_BASE_URL


@dataclass(frozen=True, slots=True)
class EndpointPreset:
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


PRESETS: tuple[EndpointPreset, ...] = (
    EndpointPreset(
        "electron",
        "Electron (Smallest AI)",
        ELECTRON_BASE_URL,
        model="electron",
        key_variable="SMALLEST_API_KEY",
        models=False,
        context_length=32_768,
    ),
    EndpointPreset("openai", "OpenAI", "https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
    EndpointPreset(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        request_id_header="x-generation-id",
    ),
    EndpointPreset(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com/v1",
        model="deepseek-chat",
        key_variable="DEEPSEEK_API_KEY",
        request_id_header="x-ds-trace-id",
        cached_tokens_field="prompt_cache_hit_tokens",
    ),
    EndpointPreset("groq", "Groq", "https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
    EndpointPreset(
        "together",
        "Together AI",
        "https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        cached_tokens_field="cached_tokens",
    ),
    EndpointPreset(
        "litellm",
        "LiteLLM proxy",
        "http://localhost:4000/v1",
        key_variable="LITELLM_API_KEY",
        request_id_header="llm_provider-x-request-id",
    ),
    EndpointPreset(
        "llamacpp",
        "llama.cpp server",
        "http://localhost:8080/v1",
        request_id_header="",
        cached_tokens_field="timings.cache_n",
    ),
    EndpointPreset("vllm", "vLLM", "http://localhost:8000/v1"),
    EndpointPreset("sglang", "SGLang", "http://localhost:30000/v1", request_id_header=""),
    EndpointPreset("ollama", "Ollama", "http://localhost:11434/v1", request_id_header="", cached_tokens_field=""),
    EndpointPreset("lmstudio", "LM Studio", "http://localhost:1234/v1", request_id_header="", cached_tokens_field=""),
)
"""Defaults of each server's documentation as of November 2026; users change them in the endpoint form."""


def preset_for(base_url: str) -> EndpointPreset | None:
    """Return the preset with this base URL; None if there is none."""
    return next((preset for preset in PRESETS if preset.base_url == base_url), None)
