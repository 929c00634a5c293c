"""All rules. A new one is one file and one line here."""

from __future__ import annotations

from playground.advice.model import Rule
from playground.advice.rules import (
    chains,
    concurrency,
    connections,
    empty_tools,
    filler,
    fixtures,
    growth,
    hit_rate,
    json_mode,
    language_kept,
    limits,
    output_cap,
    prefix_order,
    products,
    request_ids,
    retries,
    tool_catalogue,
    tool_texts,
    usage_switch,
)

RULES: tuple[Rule, ...] = (
    limits.REFUSED,
    limits.CONTEXT,
    prefix_order.RULE,
    usage_switch.RULE,
    filler.RULE,
    concurrency.RULE,
    retries.RULE,
    request_ids.RULE,
    tool_catalogue.SIZE,
    tool_texts.DESCRIPTIONS,
    tool_texts.LONG_PARAMETERS,
    tool_texts.UNDESCRIBED,
    tool_texts.EXAMPLES,
    tool_catalogue.REPEATED_SCHEMAS,
    tool_catalogue.UNUSED,
    empty_tools.RULE,
    fixtures.RULE,
    output_cap.CAP,
    output_cap.CUT,
    output_cap.STOP,
    chains.LIMIT,
    chains.ROUNDS,
    hit_rate.RULE,
    connections.RULE,
    growth.RULE,
    json_mode.NOT_SET,
    json_mode.NOT_SAID,
    language_kept.RULE,
    products.RULE,
)


def rule_named(name: str) -> Rule:
    """A rule by its name. Raises KeyError where there is none."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}
