"""Variables: their places, their values in the text, and the map back to the template."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from playground.prompt.document import SHORT_CHARS, Message, _long_places, names, places, render

TEXT = st.text(st.sampled_from("ab{}é\U0001f600 \n"), max_size=20)


def test_places_and_names_in_order() -> None:
    template = "{{caller_name}} asks {{ question }} {{caller_name}} {{नाम}} {{1no}} {{a-b}} {{ }}"
    assert [template[p.start : p.end] for p in places(template)] == [
        "{{caller_name}}",
        "{{ question }}",
        "{{caller_name}}",
        "{{नाम}}",
    ]
    assert names([Message("user", template)]) == ("caller_name", "question", "नाम")


def test_a_value_is_not_read_again() -> None:
    assert render("{{a}}{{b}}", {"a": "{{b}}", "b": "x"}).text == "{{b}}x"


def test_a_missing_value_stays_as_typed() -> None:
    assert render("hi {{a}}", {}).text == "hi {{a}}"


@given(TEXT, TEXT, TEXT, TEXT)
def test_every_place_leads_back(head: str, value: str, middle: str, tail: str) -> None:
    template = f"{head}{{{{v}}}}{middle}{{{{w}}}}{tail}"
    rendered = render(template, {"v": value, "w": "W"})
    for index in range(len(rendered.text) + 1):
        place = rendered.to_template(index)
        inside = [(s, e, ts) for s, e, ts, _ in rendered.cuts if s <= index < e]
        if inside:
            assert place == inside[0][2]
        elif index < len(rendered.text):
            assert template[place] == rendered.text[index] or any(index == cut[0] for cut in rendered.cuts)
    places_back = [rendered.to_template(index) for index in range(len(rendered.text) + 1)]
    assert places_back == sorted(places_back)


def test_places_long_templates_do_not_stay_in_memory() -> None:
    text = "{{name}}" + "x" * SHORT_CHARS
    for number in range(100):
        assert places(f"{text}{number}")[0].name == "name"
    assert _long_places.cache_info().currsize <= 32
