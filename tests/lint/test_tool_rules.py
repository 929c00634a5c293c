"""Short tool catalogues: texts that are too long, texts that are not, and the shorter version."""

from __future__ import annotations

from typing import Any

import pytest

from playground.lint.language import sentences
from playground.lint.model import Finding
from playground.prompt.document import Document
from tests.lint.corpus import tool
from tests.lint.judge import PRICED, said, system, tools


def catalogue(*definitions: dict[str, Any]) -> Document:
    return system("Be kind.", tools=tools(*definitions), stream=False)


def one(document: Document, rule: str) -> Finding:
    (advice,) = said(document, rule, PRICED)
    return advice


def fixed(document: Document, rule: str) -> dict[str, Any]:
    """The first tool's function after the fix, which silences the rule."""
    advice = one(document, rule)
    assert advice.fix is not None
    assert not said(advice.fix.after, rule)
    function: Any = advice.fix.after.tools[0].definition["function"]
    return dict(function)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Finds a parcel. Use it once.", "Finds a parcel."),
        ("Finds a parcel by no. or name. Use it once.", "Finds a parcel by no. or name."),
        ("पार्सल खोजता है। एक ही बार चलाएँ।", "पार्सल खोजता है।"),
        ("查找包裹。只用一次。", "查找包裹。"),
        ("يبحث عن طرد. استخدمه مرة واحدة.", "يبحث عن طرد."),
        ("Findet ein Paket, z.B. nach Nummer! Nur einmal rufen.", "Findet ein Paket, z.B. nach Nummer!"),
        ("Finds a parcel\nUse it once", "Finds a parcel"),
    ],
)
def test_one_sentence_of_intent_is_kept(text: str, first: str) -> None:
    document = catalogue(tool(text=text))
    assert fixed(document, "tool-description")["description"] == first


@pytest.mark.parametrize(
    "text",
    [
        "Finds a parcel.",
        "Finds a parcel",
        "Finds a parcel via Dr. Rao's index, i.e. by number.",
        "Reads v2.1.3 of node.js docs.",
        "查找包裹。",
        "पार्सल खोजता है।",
        "",
    ],
)
def test_one_sentence_is_enough(text: str) -> None:
    assert not said(catalogue(tool(text=text)), "tool-description")


def test_what_it_saves_decides_how_loud_it_is() -> None:
    short, long = "Finds. Use once.", "Finds. " + "Use it only when the caller names a number. " * 10
    assert one(catalogue(tool(text=short)), "tool-description").severity == "hint"
    loud = one(catalogue(tool(text=long)), "tool-description")
    assert loud.severity == "warning"
    assert loud.dollars == pytest.approx(loud.tokens * 0.10 / 1_000)


def test_a_sentence_that_is_too_long_is_left_to_a_person() -> None:
    assert one(catalogue(tool(text="Finds a parcel " + "by number and city " * 30)), "tool-description").fix is None


def test_a_first_sentence_that_is_too_long_is_no_fix() -> None:
    assert (
        one(catalogue(tool(text="Finds " + "by number and city " * 40 + ". Use it once.")), "tool-description").fix
        is None
    )


def test_long_parameter_descriptions() -> None:
    long = "Parcel number. " + "It stands on the slip that the driver left at the door. " * 5
    document = catalogue(tool(number={"type": "string", "description": long}))
    properties = fixed(document, "tool-parameter-long")["parameters"]["properties"]
    assert properties["number"]["description"] == "Parcel number."
    assert not said(catalogue(tool()), "tool-parameter-long")
    endless = catalogue(tool(number={"type": "string", "description": "The number " + "of the parcel " * 40}))
    assert one(endless, "tool-parameter-long").fix is None


@pytest.mark.parametrize(
    ("text", "rest", "moved"),
    [
        ("Parcel number, e.g. P-1204.", "Parcel number.", "e.g. P-1204"),
        ("The city (for example Pune) of the caller.", "The city of the caller.", "for example Pune"),
        ("City. Example: Pune.", "City.", "Example: Pune."),
        ("Stadt, z. B. Pune", "Stadt", "z. B. Pune"),
        ("शहर, उदाहरण पुणे", "शहर", "उदाहरण पुणे"),
        ("城市（例如浦那）", "城市", "例如浦那"),
        ("Ciudad, por ejemplo Puna.", "Ciudad.", "por ejemplo Puna"),
    ],
)
def test_examples_move_into_the_system_prompt(text: str, rest: str, moved: str) -> None:
    document = catalogue(tool(number={"type": "string", "description": text}))
    advice = one(document, "tool-examples")
    assert advice.severity == "hint"
    assert fixed(document, "tool-examples")["parameters"]["properties"]["number"]["description"] == rest
    assert advice.fix is not None
    assert f"find_parcel.number: {moved}" in (advice.fix.after.messages[0].content or "")


def test_example_keys_of_the_schema() -> None:
    document = catalogue(tool(number={"type": "string", "description": "Number.", "examples": ["P-1", "P-2"]}))
    function = fixed(document, "tool-examples")
    assert "examples" not in function["parameters"]["properties"]["number"]
    advice = one(document, "tool-examples")
    assert advice.fix is not None
    assert "find_parcel.number: P-1, P-2" in (advice.fix.after.messages[0].content or "")


def test_a_property_that_is_called_example_is_no_example() -> None:
    assert not said(catalogue(tool(example={"type": "string", "description": "Sentence to show."})), "tool-examples")


def test_parameters_without_description() -> None:
    nested = {"type": "object", "properties": {"city": {"type": "string"}}}
    lines = {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}}
    advice = one(catalogue(tool(to=nested, lines=lines)), "tool-undescribed")
    assert advice.detail.startswith("to.city, lines[].sku:")
    assert advice.places[0].path == ("tools", 0, "function", "parameters", "properties", "to", "properties", "city")
    assert one(catalogue(tool(text="")), "tool-undescribed").detail.startswith("the tool itself")


@pytest.mark.parametrize("schema", [{"enum": ["a", "b"]}, {"const": 1}, {"type": "array", "items": {"enum": ["a"]}}])
def test_values_that_speak_for_themselves(schema: dict[str, Any]) -> None:
    assert not said(catalogue(tool(state=schema)), "tool-undescribed")


FIELDS = ("street", "house", "city", "district", "state", "country", "postcode")


def address(words: str = "Where to.") -> dict[str, Any]:
    fields = {name: {"type": "string", "description": f"The {name} it goes to."} for name in FIELDS}
    return {"type": "object", "description": words, "properties": fields}


def test_a_schema_that_stands_in_two_tools() -> None:
    document = catalogue(tool("ship", to=address()), tool("move", to=address("Where from.")))
    advice = one(document, "tool-repeated")
    assert advice.subject == "ship move"
    assert [place.tool for place in advice.places] == ["ship", "move"]
    assert not said(catalogue(tool("ship", to=address())), "tool-repeated")
    other = address()
    other["properties"]["planet"] = {"type": "string", "description": "Planet."}
    assert not said(catalogue(tool("ship", to=address()), tool("move", to=other)), "tool-repeated")


def test_a_small_choice_may_be_repeated() -> None:
    choice = {"enum": ["open", "done"]}
    assert not said(catalogue(tool("a", state=choice), tool("b", state=choice)), "tool-repeated")


def test_the_price_of_the_whole_catalogue() -> None:
    few, many = (catalogue(*(tool(f"find_{n}") for n in range(count))) for count in (3, 60))
    assert not said(few, "tool-catalogue")
    advice = one(many, "tool-catalogue")
    by_label = {item.label: item.value for item in advice.evidence}
    assert by_label["per 1,000 turns at the fresh rate"] == pytest.approx(advice.tokens * 0.4 / 1_000)
    assert by_label["per 1,000 turns at the cached rate"] == pytest.approx(advice.tokens * 0.1 / 1_000)
    assert by_label["per tool"] == pytest.approx(advice.tokens / 60)


@pytest.mark.parametrize(
    "definition", [{}, {"function": 7}, {"function": {"name": "x", "parameters": 3}}, {"function": {}}]
)
def test_odd_definitions_break_nothing(definition: dict[str, Any]) -> None:
    said(catalogue(definition), "tool-description")


def test_a_schema_without_end_is_looked_into_so_far() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "object", "properties": {"x": schema}}
    said(catalogue(tool(x=schema)), "tool-undescribed")


def test_sentences_stand_where_they_are_said_to() -> None:
    text = "  One.  Two!\nThree"
    assert [text[a:b] for a, b in sentences(text)] == ["One.", "Two!", "Three"]
    assert sentences("") == []
