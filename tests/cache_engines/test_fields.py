"""Edits of fields: one that the template leaves out ends no prefix and is not blamed, one that it renders is named."""

from __future__ import annotations

from typing import Any

import pytest

from playground.prefix_cache.difference import IN_THE_PROMPT
from playground.prefix_cache.replay import ReplayResult, replay_traffic
from playground.prefix_cache.traffic import TrafficRecord, usage_of
from tests.cache_engines import traffic
from tests.cache_engines.engines import Engine, EngineConfig
from tests.cache_engines.fields import EDITS, FieldEdit, edited
from tests.cache_engines.model_templates import Family, ModelTemplate
from tests.cache_engines.traffic import Line

FAMILIES: tuple[Family, ...] = ("hermes", "llama31", "deepseek", "kimi", "glm", "qwen3")


def replayed(lines: list[Line]) -> list[ReplayResult]:
    def record(line: Line) -> TrafficRecord:
        response: dict[str, Any] = line["response"]
        usage = usage_of(response["usage"], response["message"])
        return TrafficRecord(line["at"], line["request"], response["status"], response["request_id"], usage)

    return list(replay_traffic(map(record, lines)))


@pytest.mark.parametrize(
    ("edit", "family", "rounds"),
    [
        # Each edit and each family with both lengths.
        pytest.param(edit, family, (1, 4)[(number + at) % 2], id=f"{edit.name}-{family}")
        for number, edit in enumerate(EDITS)
        for at, family in enumerate(FAMILIES)
    ],
)
def test_field_edit_named_exactly_if_the_template_renders_it(edit: FieldEdit, family: Family, rounds: int) -> None:
    config = EngineConfig(family, ModelTemplate(family), "o200k")
    lines = traffic.record(Engine(config), edited(edit, 1, rounds))
    whole, after = lines[-2], lines[-1]
    cached, _ = traffic.reported(after) or (0, 0)
    before, _ = traffic.reported(whole) or (0, 0)
    # Conversations have more than 200 tokens behind each edit, and less than 100 in the last question.
    rendered = cached < before - 150
    found = replayed(lines)[-1].explanation
    if rendered:
        assert found is not None
        if found.reason == "order_or_lost" and rounds == 1:
            # Two requests do not exclude a template with another order: both are named.
            assert f"message {edit.message + 1} " in found.sentence
            return
        assert found.cause in IN_THE_PROMPT
        assert found.position is not None
        assert found.position.index == edit.message
    else:
        assert (
            found is None or found.cause not in IN_THE_PROMPT or found.message == len(after["request"]["messages"]) - 1
        )
