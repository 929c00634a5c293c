"""The list of all rules, and an example prompt for each: for the guide, and to send on the simulator.

A new rule is one file and one line here. Rules that need a log, a plan or a batch to speak have no example.
"""

from __future__ import annotations

from collections.abc import Mapping

from playground.lint.model import LintRule
from playground.lint.rules import limits, message_texts, prefix_order, products, requests, tool_catalogue
from playground.prompt.document import Document, Json, Message, Tool

RULES: tuple[LintRule, ...] = (
    limits.REFUSED,
    limits.CONTEXT,
    prefix_order.ORDER,
    message_texts.PLACEHOLDERS,
    limits.USAGE,
    requests.FILLER,
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
    requests.LIMIT,
    requests.ROUNDS,
    prefix_order.HIT_RATE,
    requests.CONNECTIONS,
    limits.CONTEXT_GROWTH,
    message_texts.NOT_SET,
    message_texts.NOT_SAID,
    products.LANGUAGE,
    products.PRODUCTS,
)


def rule_named(name: str) -> LintRule:
    """Return a rule by its name. Raises KeyError if the name is unknown."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}


_MANNERS = "\n".join(
    f"{number}. {rule}"
    for number, rule in enumerate(
        (
            "Speak in short sentences that sound well on the phone.",
            "Give one fact at a time, and wait for the caller.",
            "Never promise a date that no tool has given you.",
            "Say amounts in words, with the currency after them.",
            "Spell reference numbers out in groups of three.",
            "If the caller is upset, say first that you have understood why.",
            "If you are not sure, ask one question that can be answered with yes or no.",
            "Hand over to a person when the caller asks for one twice.",
        ),
        1,
    )
)
_AGENT = f"You are Mira, a phone agent of a parcel service.\n{_MANNERS}"


def _tool(name: str, description: str, **properties: Json) -> Tool:
    parameters: Json = {"type": "object", "properties": dict(properties), "required": list(properties)}
    function: Json = {"name": name, "description": description, "parameters": parameters}
    return Tool.of({"type": "function", "function": function})


def _ask(system: str, question: str = "Where is my parcel?", *tools: Tool, **parameters: Json) -> Document:
    return Document(
        tools=tools,
        messages=(Message("system", system), Message("user", question)),
        parameters={"max_tokens": 200, **parameters},
    )


_NUMBER: Json = {"type": "string", "description": "The parcel's number."}
_UNNAMED: Json = {"type": "string"}
_TRACK = _tool("track_parcel", "Tells where a parcel is.", number=_NUMBER)
_WORDY = _tool(
    "track_parcel",
    "Tells where a parcel is. You should call this whenever the caller wants to know where a parcel is. It returns the "
    "depot, the van and the time. For example: track_parcel(number='JD0042') returns 'out for delivery'. Never call it "
    "twice with the same number, because the answer does not change within a minute.",
    number=_NUMBER,
)

EXAMPLES: Mapping[str, Document] = {
    "prefix-order": Document(
        messages=(
            Message("system", f"The caller is {{{{caller_name}}}}.\n{_AGENT}"),
            Message("user", "{{question}}"),
        ),
        variables={"caller_name": "Asha", "question": "Where is my parcel?"},
        parameters={"max_tokens": 200},
    ),
    "usage-off": Document(
        messages=(Message("system", _AGENT), Message("user", "Where is my parcel?")),
        parameters={"max_tokens": 200},
        include_usage=False,
    ),
    "no-filler": _ask(_AGENT, "Where is parcel JD0042?", _TRACK),
    "tool-description": _ask(_AGENT, "Where is parcel JD0042?", _WORDY),
    "tool-examples": _ask(_AGENT, "Where is parcel JD0042?", _WORDY),
    "tool-undescribed": _ask(
        _AGENT, "Where is parcel JD0042?", _tool("track_parcel", "Tells where a parcel is.", number=_UNNAMED)
    ),
    "output-cap": Document(messages=(Message("system", _AGENT), Message("user", "Where is my parcel?"))),
    "json-not-set": _ask("Answer only with a JSON object: the keys are city and street.", "I live in Pune, MG Road."),
    "json-not-said": _ask(
        "Name the city and the street.", "I live in Pune, MG Road.", response_format={"type": "json_object"}
    ),
    "other-product": _ask("You help.", "Please transcribe this audio recording for me: call-0042.wav"),
}
"""By the rule's name."""
