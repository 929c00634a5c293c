"""Checks of a batch's answers: contains, equals, regex, JSON schema, maximum number of completion tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from playground.dataclass import dataclass
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import read_input
from playground.prompt.json_bounds import loads
from playground.tools.schema import check_schema, check_value, matches_within_limit, pattern_error

KINDS = ("contains", "equals", "regex", "schema", "max-tokens")


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """One check. `passes` takes the completion's text and its reported tokens (None: not reported)."""

    name: str
    passes: Callable[[str, int | None], bool]


def parse_check(text: str) -> AnswerCheck:
    """Parse KIND=VALUE. Raises InputError for an unknown kind or an invalid value.

    An answer whose tokens were not reported fails a token limit. An answer for which a regular expression or a schema
    reaches a time limit fails that check.
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
    if error := pattern_error(pattern):
        raise InputError(FieldError(("--check", "regex"), f"{pattern!r} is not a regular expression: {error}."))
    return lambda answer, _tokens: matches_within_limit(pattern, answer)


def _max_tokens(value: str) -> Callable[[str, int | None], bool]:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InputError(FieldError(("--check", "max-tokens"), f"{value!r} is not a number of tokens."))
    limit = int(value)
    return lambda _answer, tokens: tokens is not None and tokens <= limit


def _schema(name: str) -> Callable[[str, int | None], bool]:
    from jsonschema import Draft202012Validator

    try:
        schema = loads(read_input(name, "--check"))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            FieldError(("--check", "schema"), f"{name} is not a JSON schema: {str(error).rstrip('.')}.")
        ) from None
    if errors := check_schema(schema):
        raise InputError(*(FieldError(("--check", "schema", *e.path), e.message, e.hint) for e in errors))
    if isinstance(schema, dict) and not (Draft202012Validator.VALIDATORS.keys() | {"$schema"}) & schema.keys():
        # Any JSON object is a valid schema, and one without keywords accepts every answer.
        raise InputError(FieldError(("--check", "schema"), f"{name} has no keyword of JSON schema."))

    def passes(answer: str, _tokens: int | None) -> bool:
        try:
            checked = check_value(loads(answer), schema)
        except ValueError:
            return False
        return not checked.errors and not checked.unchecked

    return passes
