"""An example prompt for each rule, on which the rule has a finding: for the guide, and to send on the simulator.

Rules that need a log, a plan or a batch to speak have none.
"""

from __future__ import annotations

from collections.abc import Mapping

from playground.prompt.document import Document, Json, Message, Tool

_RULES = "\n".join(
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
_AGENT = f"You are Mira, a phone agent of a parcel service.\n{_RULES}"


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
