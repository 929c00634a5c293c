"""The adviser answers for every prompt, and gives the same answer each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.client.endpoint import PUBLISHED_RATES
from playground.client.retry import RetryPolicy
from playground.lint.engine import advise
from playground.lint.prompt_facts import LintContext, PastRequest, PromptHistory
from playground.prompt.document import Document, Json, Tool
from tests.prefix_cache.prompts import DOCUMENTS, ODD

pytestmark = pytest.mark.exhaustive

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 99_999), st.floats(-3, 9), st.text(ODD, max_size=9))
ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(("type", "function", "name", "properties", "items", "enum")), inner, max_size=3
        ),
    ),
    max_leaves=8,
)
NAMES = (
    "max_tokens",
    "temperature",
    "seed",
    "stop",
    "tool_choice",
    "response_format",
    "user",
    "modalities",
    "audio",
    "n",
)
TOOLS = st.lists(
    st.dictionaries(st.sampled_from(("type", "function")), ANY_JSON, max_size=2).map(Tool.of), max_size=3
).map(tuple)
COUNTS = st.one_of(st.none(), st.integers(0, 40_000))
PAST = st.builds(
    PastRequest,
    at=st.floats(0, 5_000),
    status=COUNTS,
    prompt_tokens=COUNTS,
    cached_tokens=COUNTS,
    completion_tokens=COUNTS,
    max_tokens=COUNTS,
    finish_reason=st.sampled_from(("stop", "length", "tool_calls", None)),
    answer=st.one_of(st.text(ODD, max_size=9), st.just("So it is. <END>")),
    text=st.one_of(st.none(), st.text(ODD, max_size=9)),
    connect_s=st.one_of(st.none(), st.floats(0, 2)),
)
SETTINGS = st.builds(
    LintContext,
    rates=st.just(PUBLISHED_RATES),
    history=st.builds(
        PromptHistory, requests=st.lists(PAST, max_size=30).map(tuple), tools_offered_in=st.integers(0, 99)
    ),
    retries=st.one_of(st.none(), st.builds(RetryPolicy, attempts=st.integers(0, 50))),
    fixture=st.booleans(),
)


@settings(max_examples=120, deadline=None)
@given(DOCUMENTS, TOOLS, st.dictionaries(st.sampled_from(NAMES), ANY_JSON, max_size=4), SETTINGS)
def test_any_prompt_in_any_setting(
    document: Document, tools: tuple[Tool, ...], parameters: dict[str, Json], setting: LintContext
) -> None:
    whole = replace(document, tools=(*document.tools, *tools), parameters=parameters)
    found = advise(whole, setting)
    assert found == advise(whole, setting)
    for advice in found:
        for item in advice.evidence:
            assert item.text
        if advice.fix is not None:
            assert advice.fix.after != whole
            assert advice.key not in {other.key for other in advise(advice.fix.after, setting)}, advice.key
