"""The list of all rules. A new rule is one file and one line here."""

from __future__ import annotations

from playground.lint.model import Rule
from playground.lint.rules import (
    agent_loop,
    limits,
    message_texts,
    placeholders,
    prefix_order,
    products,
    requests,
    tool_catalogue,
)

RULES: tuple[Rule, ...] = (
    limits.REFUSED,
    limits.CONTEXT,
    prefix_order.ORDER,
    placeholders.PLACEHOLDERS,
    limits.USAGE,
    agent_loop.FILLER,
    requests.CONCURRENCY,
    requests.RETRIES,
    requests.REQUEST_IDS,
    tool_catalogue.SIZE,
    tool_catalogue.DESCRIPTIONS,
    tool_catalogue.LONG_PARAMETERS,
    tool_catalogue.UNDESCRIBED,
    tool_catalogue.EXAMPLES,
    tool_catalogue.REPEATED_SCHEMAS,
    tool_catalogue.UNUSED,
    tool_catalogue.ORDER,
    message_texts.FIXTURES,
    limits.CAP,
    limits.CUT,
    limits.STOP,
    agent_loop.LIMIT,
    agent_loop.ROUNDS,
    prefix_order.HIT_RATE,
    requests.CONNECTIONS,
    limits.CONTEXT_GROWTH,
    message_texts.NOT_SET,
    message_texts.NOT_SAID,
    products.LANGUAGE,
    products.PRODUCTS,
)


def rule_named(name: str) -> Rule:
    """Return a rule by its name. Raises KeyError if the name is unknown."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}
