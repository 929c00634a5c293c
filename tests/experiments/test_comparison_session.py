"""Values that the columns of a comparison share."""

from __future__ import annotations

from typing import cast

from playground.client.endpoint import Endpoint
from playground.experiments.comparison import Variant
from playground.experiments.comparison_session import ColumnSlot, ComparisonSession
from playground.prompt.document import Document, Message
from playground.runs.service import RequestService

ENDPOINT = Endpoint("e", "E", "http://127.0.0.1:1/v1")


def slot(text: str, **variables: str) -> ColumnSlot:
    return ColumnSlot(Variant(Document(messages=(Message("user", text),), variables=variables), ENDPOINT))


def test_collect_values_takes_the_first_columns_value_keeps_known_ones_and_drops_unused_ones() -> None:
    session = ComparisonSession(cast("RequestService", None), lambda: None)
    session.slots = [slot("{{a}} {{b}}", a="1"), slot("{{a}} {{c}} {{d}}", a="2", c="", d="4", unused="5")]
    session.collect_values()
    assert session.values == {"a": "1", "b": None, "c": "", "d": "4"}
    assert session.known_values() == {"a": "1", "c": "", "d": "4"}
    session.values["a"] = "typed"
    session.slots.pop(0)
    session.collect_values()
    assert session.values == {"a": "typed", "c": "", "d": "4"}
