"""Checks of completions: what passes, and which values are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playground.experiments.batch_checks import parse_check, run_checks
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
    assert refused.value.problems[0].path == ("--check", "schema")


@pytest.mark.parametrize("schema", [{"type": "object"}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}])
def test_parse_check_schema_tests_json_answers(tmp_path: Path, schema: dict[str, object]) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema), "utf-8")
    check = parse_check(f"schema={file}")
    assert check.passes('{"a": 1}', None)
    assert not check.passes("[1]", None)
    assert not check.passes("no JSON", None)
