"""`seed` is best effort: a fixture wants temperature 0."""

from __future__ import annotations

import re
from collections.abc import Iterator

from playground.lint.edits import with_parameter
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts

_FIXTURE = re.compile(
    r"(?<![^\W_])(?:fixtures?|tests?|golden|snapshots?|regression|evals?|baseline|reproduc\w*|ci)(?![^\W_])",
    re.IGNORECASE,
)
"""Matches the name of a prompt that is a fixture; `latest` and `contest` are not fixtures."""


DEFAULT = 1.0


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    temperature = facts.parameter("temperature")
    hot = float(temperature) if isinstance(temperature, int | float) else None
    if facts.parameter("seed") is None or hot == 0 or not _is_fixture(facts):
        return
    yield Finding(
        "warning",
        "The fixture relies on seed",
        "seed is best effort: deployments, batching and updates change the answer. With temperature 0 it changes far "
        "less. Run the drift check to see whether it still changes.",
        evidence=(
            Evidence("temperature", hot, "count", "counted")
            if hot is not None
            else Evidence("temperature if none is sent", DEFAULT, "count", "counted"),
        ),
        places=(FindingPlace(("seed",)), FindingPlace(("temperature",))),
        fix=Fix("Set temperature to 0", with_parameter(facts.document, "temperature", 0)),
    )


def _is_fixture(facts: PromptFacts) -> bool:
    user = facts.parameter("user")
    names = (facts.document.name, user if isinstance(user, str) else "")
    return facts.setting.fixture or any(_FIXTURE.search(name) for name in names)


RULE = LintRule(
    "seed-in-fixture",
    "Make fixtures with temperature 0, not with a seed",
    "The vendor does not guarantee equal answers for equal seeds, so a test that needs them fails without a change.",
    GuideSource("Request fields", "seed is best effort only; for test fixtures prefer temperature 0."),
    _speak,
)
