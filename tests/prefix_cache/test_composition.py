"""What a prompt's tokens are: every message counted once, in the part that it belongs to."""

from __future__ import annotations

from hypothesis import given

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.zones import composition
from playground.prompt.document import Document, Message, Tool
from playground.prompt.limits import CONTEXT_TOKENS
from tests.prefix_cache.prompts import DOCUMENTS

TOOL = Tool.of({"type": "function", "function": {"name": "look_up"}})


@given(DOCUMENTS)
def test_the_parts_are_the_whole(document: Document) -> None:
    zones = CacheForecaster().look(document, "endpoint", "electron").zones
    parts = composition(document, zones, CONTEXT_TOKENS)
    assert abs(parts.prompt - sum(zones.message_tokens) - sum(zones.tool_tokens)) < 1e-6
    assert parts.left == CONTEXT_TOKENS - parts.prompt - parts.max_tokens


def test_each_message_is_in_its_part() -> None:
    messages = (
        Message("system", "Rules. " * 10),
        Message("user", "One"),
        Message("assistant", "Two"),
        Message("user", "Three"),
        Message("assistant", "Four"),
    )
    document = Document(tools=(TOOL,), messages=messages, parameters={"max_tokens": 50})
    zones = CacheForecaster().look(document, "endpoint", "electron").zones
    parts = composition(document, zones, CONTEXT_TOKENS)
    each = zones.message_tokens
    assert parts.system == each[0]
    assert parts.history == each[1] + each[2]
    assert parts.rest == each[3] + each[4]
    assert parts.tools == zones.tool_tokens[0]
    assert parts.max_tokens == 50


def test_without_a_question_all_is_history() -> None:
    document = Document(messages=(Message("assistant", "Hello"),), parameters={"max_tokens": True})
    parts = composition(document, CacheForecaster().look(document, "endpoint", "electron").zones, None)
    assert parts.history > 0
    assert (parts.rest, parts.max_tokens, parts.left) == (0, 0, None)
