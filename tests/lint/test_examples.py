"""Examples of the guide: each triggers its own rule, is valid for the server, and can be sent."""

from __future__ import annotations

import pytest

from playground.lint.engine import advise
from playground.lint.examples import EXAMPLES
from playground.lint.rules.registry import rule_named
from playground.prompt.limits import check
from playground.prompt.request import to_request


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_rule_speaks(name: str) -> None:
    assert rule_named(name).reason
    assert name in {advice.rule for advice in advise(EXAMPLES[name])}


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_can_be_sent(name: str) -> None:
    assert not any(finding.refused for finding in check(EXAMPLES[name]))
    assert to_request(EXAMPLES[name], "electron").body
