"""All rules. A new one is one file and one line here."""

from __future__ import annotations

from playground.advice.model import Rule
from playground.advice.rules import empty_tools, limits, usage_switch

RULES: tuple[Rule, ...] = (
    limits.REFUSED,
    limits.CONTEXT,
    empty_tools.RULE,
    usage_switch.RULE,
)


def rule_named(name: str) -> Rule:
    """A rule by its name. Raises KeyError where there is none."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}
