"""Checks of a batch's answers: contains, equals, regex, JSON schema, maximum number of completion tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from playground.prompt.field_errors import FieldError, InputError

KINDS = ("contains", "equals", "regex", "schema", "max-tokens")


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """One check. `passes` takes the completion's text and its reported tokens (None: not reported)."""

    name: str
    passes: Callable[[str, int | None], bool]


def parse_check(text: str) -> AnswerCheck:
    """Parse KIND=VALUE. Raises InputError for an unknown kind or an invalid value.

    An answer whose tokens were not reported fails a token limit.
    """
    kind, equals, value = text.partition("=")
    if not equals or kind not in KINDS:
        raise InputError(FieldError(("--check",), f"{text!r} is not KIND=VALUE.", f"Kinds: {', '.join(KINDS)}."))
    makers: dict[str, Callable[[str], Callable[[str, int | None], bool]]] = {
        "contains": lambda wanted: lambda answer, _tokens: wanted in answer,
        "equals": lambda wanted: lambda answer, _tokens: answer.strip() == wanted.strip(),
        "regex": _regex,
        "schema": _schema,
        "max-tokens": _max_tokens,
    }
    return AnswerCheck(text, makers[kind](value))


def run_checks(checks: Sequence[AnswerCheck], answer: str, completion_tokens: int | None) -> dict[str, bool]:
    """Return the result of each check by its name."""
    return {check.name: check.passes(answer, completion_tokens) for check in checks}


def _regex(pattern: str) -> Callable[[str, int | None], bool]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(
            FieldError(("--check", "regex"), f"{pattern!r} is not a regular expression: {error}.")
        ) from None
    return lambda answer, _tokens: compiled.search(answer) is not None


def _max_tokens(value: str) -> Callable[[str, int | None], bool]:
    if not value.isdecimal():
        raise InputError(FieldError(("--check", "max-tokens"), f"{value!r} is not a number of tokens."))
    limit = int(value)
    return lambda _answer, tokens: tokens is not None and tokens <= limit


def _schema(name: str) -> Callable[[str, int | None], bool]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        schema = json.loads(Path(name).read_text("utf-8"))
        Draft202012Validator.check_schema(schema)
        if isinstance(schema, dict) and not (Draft202012Validator.VALIDATORS.keys() | {"$schema"}) & schema.keys():
            # Any JSON object is a valid schema, and one without keywords accepts every answer.
            raise ValueError("it has no keyword of JSON schema")
    except (OSError, ValueError, RecursionError, SchemaError) as error:
        reason = getattr(error, "message", None) or str(error)
        raise InputError(FieldError(("--check", "schema"), f"{name} is not a JSON schema: {reason}.")) from None
    validator = Draft202012Validator(schema)

    def passes(answer: str, _tokens: int | None) -> bool:
        try:
            return bool(validator.is_valid(json.loads(answer)))
        except (ValueError, RecursionError):
            return False

    return passes
