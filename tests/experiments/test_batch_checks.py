"""Checks of a batch's answers: each has a result within its time limit, whatever the answer or the schema."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from playground.experiments.batch_checks import parse_check
from playground.prompt.field_errors import InputError

DEEP = '{"a":' * 3000


@pytest.mark.parametrize(
    ("schema", "answer", "passes"),
    [
        ('{"type": "object", "required": ["a"]}', '{"a": 1}', True),
        ('{"type": "object", "required": ["a"]}', "{}", False),
        ('{"type": "object"}', "no JSON", False),
        ('{"type": "object"}', DEEP, False),
        ('{"type": "integer"}', "9" * 5000, False),
        ("true", "[1]", True),
        ('{"$ref": "#/nothing"}', "1", False),
        ('{"$ref": "http://127.0.0.1:9/schema"}', "1", False),
        ('{"$ref": "#"}', "1", False),
        ('{"pattern": "(a+)+$"}', '"' + "a" * 60 + 'b"', False),
    ],
)
def test_schema_check_answer_has_a_result(tmp_path: Path, schema: str, answer: str, passes: bool) -> None:
    path = tmp_path / "s.json"
    path.write_text(schema, "utf-8")
    check = parse_check(f"schema={path}")
    began = time.process_time()
    assert check.passes(answer, None) is passes
    assert time.process_time() - began < 5


@pytest.mark.parametrize("schema", [DEEP, "[]", "5", "", "\x00", '{"type": 5}', '{"pattern": "("}', "9" * 5000])
def test_schema_check_invalid_schema_raises_input_error(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(schema, "utf-8")
    with pytest.raises(InputError):
        parse_check(f"schema={path}")


def test_regex_check_without_end_fails_within_its_time_limit() -> None:
    check = parse_check(r"regex=(x+x+)+y")
    began = time.process_time()
    assert not check.passes("x" * 5000, None)
    assert time.process_time() - began < 5
    assert parse_check(r"regex=(?i)\bhello\d").passes("Hello1", None)
    with pytest.raises(InputError):
        parse_check("regex=(")
