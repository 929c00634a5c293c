"""All rules. A new one is one file and one line here."""

from __future__ import annotations

from playground.lint.model import Rule
from playground.lint.rules import (
    agent_loop,
    filler,
    fixtures,
    hit_rate,
    json_mode,
    language_kept,
    limits,
    output_cap,
    placeholders,
    prefix_order,
    products,
    requests,
    tool_catalogue,
    tool_texts,
    usage_switch,
)

RULES: tuple[Rule, ...] = (
    limits.REFUSED,
    limits.CONTEXT,
    prefix_order.RULE,
    placeholders.RULE,
    usage_switch.RULE,
    filler.RULE,
    requests.CONCURRENCY,
    requests.RETRIES,
    requests.REQUEST_IDS,
    tool_catalogue.SIZE,
    tool_texts.DESCRIPTIONS,
    tool_texts.LONG_PARAMETERS,
    tool_texts.UNDESCRIBED,
    tool_texts.EXAMPLES,
    tool_catalogue.REPEATED_SCHEMAS,
    tool_catalogue.UNUSED,
    tool_catalogue.RULE,
    fixtures.RULE,
    output_cap.CAP,
    output_cap.CUT,
    output_cap.STOP,
    agent_loop.LIMIT,
    agent_loop.ROUNDS,
    hit_rate.RULE,
    requests.CONNECTIONS,
    limits.RULE,
    json_mode.NOT_SET,
    json_mode.NOT_SAID,
    language_kept.RULE,
    products.RULE,
)


def rule_named(name: str) -> Rule:
    """Return a rule by its name. Raises KeyError if the name is unknown."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}
