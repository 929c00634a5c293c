"""Position of syntax errors in JSON."""

from __future__ import annotations

import pytest

from playground.prompt.json_text import JsonFault, read_json


@pytest.mark.parametrize("text", ['{"a": [1, "NaN", null]}', " 1 ", '"x"'])
def test_json_is_read(text: str) -> None:
    assert not isinstance(read_json(text), JsonFault)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b" 2}', "line 2, column 6: expecting ':' delimiter"),
        ('{"a": "म" x}', "line 1, column 11: expecting ',' delimiter"),
        ('{"a": 1} and more', "line 1, column 10: more text follows the end of the JSON"),
        ('{"a": "half', "line 1, column 12: the text ends before the JSON does"),
        ('{"a": 1\n', "line 1, column 8: the text ends before the JSON does"),
        ('\n```json\n{"a": 1}\n```', "line 2, column 1: the JSON is inside a code fence"),
        ('{"\\"NaN": NaN}', "line 1, column 11: NaN is not a number in JSON"),
        ("", "line 1, column 1: the text is empty"),
        ("[" * 100_000, "line 1, column 1: the JSON is nested more than 100 levels deep"),
        ("9" * 5_000, "line 1, column 1: the JSON has a number of more than 300 digits"),
    ],
)
def test_the_fault_is_placed(text: str, said: str) -> None:
    fault = read_json(text)
    assert isinstance(fault, JsonFault)
    assert str(fault) == said
