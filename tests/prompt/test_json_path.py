"""Position of a value in a JSON text."""

from __future__ import annotations

import pytest

from playground.prompt.field_errors import Path
from playground.prompt.json_text import span_at

TEXT = ' {"a" : [1, {"b\\"" : "x]", "c":null}, []],\n"d": {"e":  -2.5e3 }, "a": {"f": true} }'


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), TEXT.strip()),
        (("d",), '{"e":  -2.5e3 }'),
        (("d", "e"), "-2.5e3"),
        (("a", "f"), "true"),
        (("d", "missing"), "{"),
        (("d", 3), "{"),
        (("d", "e", "further"), "-"),
    ],
)
def test_the_value_or_what_should_have_it(path: Path, value: str) -> None:
    start, end = span_at(TEXT, path)
    assert TEXT[start:end] == value


def test_items_of_lists_and_escaped_names() -> None:
    text = '[[], {"b\\"" : "x]"}, 7]'
    spans = [span_at(text, path) for path in ((1, 'b"'), (2,), (3,), (0, 0))]
    assert [text[start:end] for start, end in spans] == ['"x]"', "7", "[", "["]
