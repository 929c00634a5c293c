"""Checks of answers: what passes, which values are refused, and a result within a time limit for any answer."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from playground.experiments.batch_rows import parse_check, run_checks
from playground.prompt.field_errors import InputError


@pytest.mark.parametrize(
    ("check", "answer", "tokens", "passes"),
    [
        ("contains=kind", "be kind", None, True),
        ("contains=kind", "be Kind", None, False),
        ("equals= yes ", "yes\n", None, True),
        ("regex=^y.s$", "yes", None, True),
        ("regex=^y.s$", "yes!", None, False),
        ("max-tokens=5", "", 5, True),
        ("max-tokens=5", "", 6, False),
        ("max-tokens=5", "", None, False),
    ],
)
def test_run_checks_each_kind(check: str, answer: str, tokens: int | None, passes: bool) -> None:
    assert run_checks([parse_check(check)], answer, tokens) == {check: passes}


@pytest.mark.parametrize(
    "check", ["contains", "like=x", "regex=(", "max-tokens=-1", "max-tokens=many", "schema=absent"]
)
def test_parse_check_invalid_value_is_refused(check: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_check(check)
    assert refused.value.problems[0].path[0] == "--check"


@pytest.mark.parametrize("content", ["{", "[]", '"text"', '{"type": 3}', '{"version": 1, "endpoints": []}', "{}"])
def test_parse_check_file_that_is_no_schema_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "store.json"
    file.write_text(content, "utf-8")
    with pytest.raises(InputError) as refused:
        parse_check(f"schema={file}")
    assert refused.value.problems[0].path[:2] == ("--check", "schema")


@pytest.mark.parametrize("schema", [{"type": "object"}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}])
def test_parse_check_schema_tests_json_answers(tmp_path: Path, schema: dict[str, object]) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema), "utf-8")
    check = parse_check(f"schema={file}")
    assert check.passes('{"a": 1}', None)
    assert not check.passes("[1]", None)
    assert not check.passes("no JSON", None)


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


@pytest.mark.parametrize("limit", ["", "-1", "1.5", "x", "9" * 5000])
def test_max_tokens_check_that_is_no_number_raises_input_error(limit: str) -> None:
    with pytest.raises(InputError):
        parse_check(f"max-tokens={limit}")


def test_regex_check_without_end_fails_within_its_time_limit() -> None:
    check = parse_check(r"regex=(x+x+)+y")
    began = time.process_time()
    assert not check.passes("x" * 5000, None)
    assert time.process_time() - began < 5
    assert parse_check(r"regex=(?i)\bhello\d").passes("Hello1", None)
    with pytest.raises(InputError):
        parse_check("regex=(")
