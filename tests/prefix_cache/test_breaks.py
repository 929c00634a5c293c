"""Every made break is named by the cause that it was made with, at the true first difference."""

from __future__ import annotations

from typing import get_args

import pytest
from playground.prefix_cache.why import explain

from playground.prefix_cache.causes import IN_THE_PROMPT, TITLES, Cause
from playground.prefix_cache.view import view_of_document
from tests.prefix_cache.breaks import BREAKS, MISNAMED, TALK, Break, spoken


@pytest.mark.parametrize("made", BREAKS, ids=lambda made: made.name)
def test_it_is_named(made: Break) -> None:
    found = made.explained()
    assert found is not None
    assert (found.cause == made.cause) == (made.name not in MISNAMED)
    if found.kind in ("differs", "order", "tools"):
        assert found.place == made.place


def test_the_table_is_large_and_covers_every_cause() -> None:
    assert len(BREAKS) >= 60
    assert len(MISNAMED) <= 0.05 * len(BREAKS)
    assert {made.cause for made in BREAKS} == set(get_args(Cause)) - {"unknown"}
    assert set(TITLES) == set(get_args(Cause))


@pytest.mark.parametrize("made", [made for made in BREAKS if made.cause == "server"], ids=lambda made: made.name)
def test_the_prompt_is_not_blamed_for_identical_bytes(made: Break) -> None:
    found = made.explained()
    assert found is not None
    assert found.cause not in IN_THE_PROMPT


def test_what_another_program_sent_is_unknown() -> None:
    now, earlier = (view_of_document(spoken(*TALK, rules=f"{word} " + "rule " * 400)).view for word in ("A", "B"))
    found = explain(now, earlier, cached_tokens=400, prompt_tokens=440, forecast=None)
    assert found is not None
    assert (found.cause, found.kind) == ("unknown", "unknown")
    assert "another request shares more" in found.sentence
