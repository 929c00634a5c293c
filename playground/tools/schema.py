"""Checks against JSON Schema, by the jsonschema library: tool definitions, and the arguments of tool calls.

A check is bounded: processor time, Python's recursion limit, MAX_ERRORS errors. References to other documents are never
fetched. A check of a value that reaches a bound has no verdict: `ArgumentCheck.unchecked` says why.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from msgspec import Struct

from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, Path
from playground.prompt.json_text import JsonFault, read_json

MAX_ERRORS = 20
TIME_LIMIT_S = 0.1
"""Seconds of processor time of one check of a value: other programs do not shorten it. During the search of a pattern,
the time of all threads counts."""
_SCHEMA_TIME_LIMIT_S = 0.5
"""The same for a schema, whose result is kept. 150 parameters take 0.06 to 0.1 s."""
_MAX_CHOICES = 8
_TYPE_NAMES = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_DEADLINE: ContextVar[float] = ContextVar("deadline")


class _TimeLimitError(Exception):
    pass


class ArgumentCheck(Struct, frozen=True):
    """The errors of a call's arguments. `unchecked` says why there is no verdict; it is empty if there is one."""

    errors: tuple[FieldError, ...] = ()
    unchecked: str = ""


def preload() -> None:
    """Import the library, which takes 0.2 s: for a worker thread after the first paint."""
    check_schema({})
    check_arguments("{}", {"pattern": ""})


def check_arguments(arguments: str, schema: Json) -> ArgumentCheck:
    """Check whole arguments against the function's `parameters` (None: any object).

    An error's path is inside the arguments: ("customer", "id"), or () for the arguments themselves.
    """
    value = read_json(arguments)
    if isinstance(value, JsonFault):
        return ArgumentCheck((FieldError((), f"not JSON at {value}", offset=value.offset),))
    if not isinstance(value, dict):
        return ArgumentCheck((FieldError((), f"should be an object, is {_type_name(value)}"),))
    return ArgumentCheck() if schema is None else check_value(value, schema)


def check_value(value: Json, schema: Json) -> ArgumentCheck:
    """Check any JSON value against a schema. An error's path is inside the value."""
    if check_schema(schema):
        return ArgumentCheck(unchecked="the tool's parameters are not a valid JSON schema")
    try:
        errors = _argument_errors(value, cast("Mapping[str, Any]", schema))
    except _TimeLimitError:
        return ArgumentCheck(unchecked=f"the check took longer than {TIME_LIMIT_S:g} s")
    except RecursionError:
        return ArgumentCheck(unchecked="the schema is nested too deeply, or refers to itself without end")
    except Exception as error:  # the library raises many types for a $ref that cannot be resolved
        if not _is_reference_error(error):
            raise
        return ArgumentCheck(unchecked="a $ref leads to no schema in the tool's parameters")
    return ArgumentCheck(errors)


def schemas_by_name(tools: Json) -> dict[str, Json]:
    """Return each function's `parameters` by its name, from a request's `tools`; None if a function has none."""
    found: dict[str, Json] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(name := function.get("name"), str):
            found[name] = function.get("parameters")
    return found


def check_schema(schema: Json, path: Path = ()) -> tuple[FieldError, ...]:
    """Return the errors of a schema under JSON Schema 2020-12, or the draft that it names. Paths are inside it."""
    try:
        text = json.dumps(schema)
    except (ValueError, RecursionError):
        return (FieldError(path, _TOO_DEEP),)
    try:
        errors = _schema_errors(text)
    except _TimeLimitError:
        return (FieldError(path, f"was not checked within {_SCHEMA_TIME_LIMIT_S:g} s."),)
    return tuple(FieldError((*path, *error.path), error.message, error.hint) for error in errors)


def check_parameters(schema: Json, path: Path = ()) -> tuple[FieldError, ...]:
    """Like `check_schema`; also requires an object's schema that declares every required property."""
    found = check_schema(schema, path)
    if isinstance(schema, dict) and not found:
        if schema.get("type") != "object":
            return (FieldError((*path, "type"), 'should be "object": a call gives its arguments by name.'),)
        found = tuple(_undeclared(schema, path))
    return found


def _undeclared(schema: Mapping[str, Json], path: Path) -> Iterator[FieldError]:
    """Report required properties that are not declared: valid in JSON Schema, but a mistake in a tool."""
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for index, name in enumerate(required if isinstance(required, list) else ()):
        if name not in known:
            yield FieldError((*path, "required", index), f"{_as_json(name)} is not among the properties.")


def pattern_error(pattern: str) -> str:
    """Return why `pattern` is not a regular expression; empty if it is one."""
    compiled = _compiled(pattern)
    return compiled if isinstance(compiled, str) else ""


def matches_within_limit(pattern: str, text: str) -> bool:
    """Return whether a regular expression is found in the text; False if the search takes longer than the limit."""
    try:
        with _time_limit():
            return _matches(pattern, text)
    except _TimeLimitError:
        return False


# Schemas


_TOO_DEEP = "is nested too deeply to be checked."
_COUNT, _NUMBER, _TEXT = "should be a whole number, at least 0.", "should be a number.", "should be text."
_SCHEMAS, _BY_NAME = "should be a list of at least one schema.", "should be an object of schemas by name."
_EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains"), _COUNT
    ),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(("title", "description", "$ref", "$schema", "$id", "$comment", "format", "pattern"), _TEXT),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _SCHEMAS),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"), _BY_NAME),
    "multipleOf": "should be a number above 0.",
    "uniqueItems": "should be true or false.",
    "required": "should be a list of names, each once.",
    "enum": "should be a list of at least one value.",
    "type": f"should be one of {', '.join(_TYPE_NAMES)}, or a list of them, each once.",
}


@lru_cache(maxsize=512)
def _schema_errors(text: str) -> tuple[FieldError, ...]:
    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        return (FieldError((), "should be an object, as a schema is."),)
    try:
        validator = _validator_class(schema)
        meta = validator(validator.META_SCHEMA, registry=_registry())
        found: dict[Path, str] = {}
        with _time_limit(_SCHEMA_TIME_LIMIT_S):
            for error in islice(meta.iter_errors(schema), MAX_ERRORS):
                path, message = _schema_error(error)
                found.setdefault(path, message)
            _check_rest(schema, (), found)
    except RecursionError:
        return (FieldError((), _TOO_DEEP),)
    in_order = sorted(found.items(), key=lambda item: _position(schema, item[0]))
    return tuple(FieldError(path, message) for path, message in in_order)


def _position(schema: Json, path: Path) -> tuple[int, ...]:
    """Return a sort key that orders paths by their position in the text."""
    found: list[int] = []
    value = schema
    for step in path:
        if isinstance(value, dict) and isinstance(step, str) and step in value:
            found.append(list(value).index(step))
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            found.append(step)
            value = value[step]
    return tuple(found)


def _schema_error(error: Any) -> tuple[Path, str]:
    """Return the position and the text of an error of the metaschema."""
    path: Path = tuple(error.absolute_path)
    if error.validator == "type" and set(error.validator_value) == {"object", "boolean"}:
        return path, "should be an object, as a schema is."
    steps = path
    while steps and isinstance(steps[-1], int):
        steps = steps[:-1]
    keyword = str(steps[-1]) if steps else ""
    return steps, _EXPECTED.get(keyword, f"is not valid: {error.message[:120]}.")


def _check_rest(schema: Json, path: Path, found: dict[Path, str]) -> None:
    """Add what the metaschema does not say: an empty enum, and patterns that are not regular expressions."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            _check_rest(item, (*path, index), found)
    if not isinstance(schema, dict):
        return
    if schema.get("enum") == []:
        found.setdefault((*path, "enum"), _EXPECTED["enum"])
    _check_patterns(schema, path, found)
    for name, item in schema.items():
        # A property may be called `enum`: it is inside `properties` then.
        if name in _BY_NAME_KEYWORDS and isinstance(item, dict):
            for key, part in item.items():
                _check_rest(part, (*path, name, key), found)
        elif name not in ("enum", "const", "default", "examples"):
            _check_rest(item, (*path, name), found)


def _check_patterns(schema: Mapping[str, Json], path: Path, found: dict[Path, str]) -> None:
    by_pattern = schema.get("patternProperties")
    patterns = [(schema.get("pattern"), "pattern")]
    patterns += [(name, "patternProperties") for name in (by_pattern if isinstance(by_pattern, dict) else ())]
    for pattern, keyword in patterns:
        if isinstance(pattern, str) and isinstance(error := _compiled(pattern), str):
            found.setdefault((*path, keyword), f"is not a regular expression: {error}.")


_BY_NAME_KEYWORDS = tuple(keyword for keyword, text in _EXPECTED.items() if text == _BY_NAME)


# Arguments


def _argument_errors(value: Json, schema: Mapping[str, Any]) -> tuple[FieldError, ...]:
    validator = _validator_class(schema)(schema, registry=_registry())
    found: dict[Path, tuple[bool, list[str]]] = {}
    with _time_limit():
        for error in islice(validator.iter_errors(value), MAX_ERRORS):
            path: Path = tuple(error.absolute_path)
            is_type, messages = found.setdefault(path, (False, []))
            if error.validator == "type":
                # Other errors of a value of another type say nothing new.
                found[path] = True, [_argument_error(error)]
            elif not is_type:
                messages.append(_argument_error(error))
    return tuple(FieldError(path, message) for path, (_, messages) in found.items() for message in messages)


def _argument_error(error: Any) -> str:
    expected = error.validator_value
    match error.validator:
        case "type":
            names = expected if isinstance(expected, list) else [expected]
            return f"should be {' or '.join(_TYPE_NAMES[name] for name in names)}, is {_type_name(error.instance)}"
        case "enum":
            return f"should be one of {_listed(expected)}"
        case "const":
            return f"should be {_listed([expected])}"
        case "anyOf" | "oneOf":
            fits = "more than one" if error.message.endswith("is valid under each of") or not error.context else "none"
            return f"fits {fits} of the {len(expected)} alternatives of {error.validator}"
        case "required" | "additionalProperties" | "uniqueItems":
            return str(error.message)
        case validator:
            text = _LIMITS.get(validator)
            return text.format(_listed([expected])) if text else f"does not fit {validator} {_listed([expected])[:80]}"


_LIMITS: Mapping[str, str] = {
    "minimum": "should be at least {}",
    "maximum": "should be at most {}",
    "exclusiveMinimum": "should be more than {}",
    "exclusiveMaximum": "should be less than {}",
    "multipleOf": "should be a multiple of {}",
    "minLength": "should have at least {} characters",
    "maxLength": "should have at most {} characters",
    "minItems": "should have at least {} items",
    "maxItems": "should have at most {} items",
    "minProperties": "should have at least {} properties",
    "maxProperties": "should have at most {} properties",
    "pattern": "should match {}",
}


def _type_name(value: Json) -> str:
    types: dict[type, str] = {bool: "boolean", str: "string", list: "array", dict: "object", type(None): "null"}
    return _TYPE_NAMES[types.get(type(value), "number")]


def _listed(choices: list[Json]) -> str:
    texts = [_as_json(choice) for choice in choices[:_MAX_CHOICES]]
    return ", ".join(texts) + (", …" if len(choices) > _MAX_CHOICES else "")


def _as_json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


# The library, bounded


class _time_limit:  # noqa: N801 - used like a function
    def __init__(self, limit_s: float = TIME_LIMIT_S) -> None:
        self._limit_s = limit_s

    def __enter__(self) -> None:
        self._token = _DEADLINE.set(time.thread_time() + self._limit_s)

    def __exit__(self, *_: object) -> None:
        _DEADLINE.reset(self._token)


def _check_time() -> float:
    """Return the seconds that are left. Raises _TimeLimitError if none are."""
    left_s = _DEADLINE.get() - time.thread_time()
    if left_s <= 0:
        raise _TimeLimitError
    return left_s


def _registry() -> Any:
    """Return the schemas of JSON Schema itself. Nothing else can be fetched."""
    from jsonschema_specifications import REGISTRY

    return REGISTRY


def _is_reference_error(error: Exception) -> bool:
    from jsonschema.exceptions import _WrappedReferencingError
    from referencing.exceptions import Unresolvable

    return isinstance(error, Unresolvable | _WrappedReferencingError)


def _validator_class(schema: Mapping[str, Any] | bool) -> Any:
    # Both libraries are imported before the time limit begins.
    import regex  # noqa: F401
    from jsonschema.validators import Draft202012Validator, validator_for

    if isinstance(schema, dict) and isinstance(schema.get("$schema"), str):
        return _bounded(validator_for(schema, default=Draft202012Validator))
    return _bounded(Draft202012Validator)


@lru_cache(maxsize=8)
def _bounded(validator_class: Any) -> Any:
    from jsonschema.validators import extend

    own = {
        "required": _required,
        "additionalProperties": _additional_properties,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "uniqueItems": _unique_items,
    }
    keywords = {**validator_class.VALIDATORS, **own}
    return extend(validator_class, {name: _timed(function) for name, function in keywords.items()})


def _timed(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _check_time()
        for error in keyword(validator, value, instance, schema) or ():
            _check_time()
            yield error

    return check


def _error(message: str, path: tuple[str, ...] = ()) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message, path=path)


def _required(_validator: Any, names: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    for name in names if isinstance(instance, dict) else ():
        if name not in instance:
            yield _error("is required and missing", (name,))


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", {})
    for name, item in instance.items():
        if name in schema.get("properties", {}) or any(_matches(pattern, name) for pattern in patterns):
            continue
        if value is False:
            yield _error("is not among the tool's parameters", (name,))
        else:
            yield from validator.descend(item, value, path=name)


def _pattern(_validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield _error("does not match")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    for pattern, part in patterns.items() if isinstance(instance, dict) else ():
        for name, item in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(item, part, path=name, schema_path=pattern)


def _unique_items(_validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if unique and isinstance(instance, list):
        # Linear in the list's length; the library compares each item with each.
        seen = {json.dumps(_with_whole_numbers(item), sort_keys=True) for item in instance}
        if len(seen) < len(instance):
            yield _error("should have no two equal items")


def _with_whole_numbers(value: Any) -> Any:
    """In JSON 1.0 equals 1, and true does not."""
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_whole_numbers(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _matches(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    if isinstance(compiled, str):
        return True
    try:
        return compiled.search(text, timeout=_check_time()) is not None
    except TimeoutError:
        raise _TimeLimitError from None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    """Return the compiled pattern, or why it is not a regular expression.

    The `regex` library has the properties of ECMAScript's expressions (`\\\\p{L}`, `(?<name>…)`) and a time limit.
    """
    import regex

    translated = re.sub(r"\\u\{([0-9A-Fa-f]{1,6})\}", lambda m: f"\\U{int(m[1], 16):08x}", pattern)
    translated = re.sub(r"\\k<([^>]*)>", r"(?P=\1)", translated)
    try:
        return regex.compile(translated)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        return str(error)[:120]
