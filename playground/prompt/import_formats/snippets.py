"""curl commands, and programs with a call of an SDK, as prompts. Nothing is executed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from playground.prompt.field_errors import InputError
from playground.prompt.files import OpenedPrompt
from playground.prompt.import_formats.api_bodies import Report, open_json
from playground.prompt.import_formats.call_values import MAX_CHARS
from playground.prompt.import_formats.javascript_calls import javascript_fields
from playground.prompt.import_formats.python_calls import python_fields
from playground.prompt.json_text import loads
from playground.prompt.secret_names import is_secret

_DATA = ("-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--data-urlencode", "--json")
_OPTIONS = (
    "-H --header -X --request -o --output -u --user -A --user-agent -b --cookie -m --max-time --connect-timeout -x"
)
_WITH_VALUE = frozenset(f"{_OPTIONS} --proxy --url -e --referer -w --write-out --cacert --retry".split())
_ANSI_C = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)


def open_curl(text: str) -> OpenedPrompt:
    """Return the document in the body of a curl command. Raises InputError, also for a body in a file."""
    notes: list[str] = []
    bodies = list(_bodies(_words(text), notes))
    if not bodies:
        raise InputError.of((), "the curl command has no body.", "Copy a command with -d or --data.")
    body = "&".join(bodies)
    try:
        opened = open_json(loads(body), body, is_file=False)
    except InputError:
        raise
    except ValueError as error:
        raise InputError.of(("--data",), f"is not JSON: {error}.") from None
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *notes), imported=True)


def _bodies(words: list[str], notes: list[str]) -> Iterator[str]:
    """Yield the values of the options that give the body."""
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name.startswith("-d") and name not in _DATA:
            name, equals, value = "-d", "=", name[2:]
        if name not in _DATA and name not in _WITH_VALUE:
            continue
        if not equals:
            value = _value_of(name, rest)
        if name in ("-H", "--header", "-u", "--user"):
            _note_secret(value, notes)
        if name in _DATA:
            if value.startswith("@") and name != "--data-raw":  # pasting must not read files
                sentence = f"the body is in the file {Path(value[1:]).name}."
                raise InputError.of(("--data",), sentence, "Open that file, or paste its content.")
            yield value


def _words(text: str) -> list[str]:
    source = text.strip().removeprefix("$ ").replace("\r\n", "\n")
    if re.search(r"\^\s*\n|\"\^\"|\^\"", source):
        source = re.sub(r"\^\n\s*", " ", source)
        source = re.sub(r"\^(.)", r"\1", source)
    source = re.sub(r"[\\`]\n", " ", source)
    source = _ANSI_C.sub(lambda match: shlex.quote(_unescaped(match[1])), source)
    try:
        words = shlex.split(source)
    except ValueError as error:
        raise InputError.of((), f"the curl command cannot be read: {error}.", "Copy it whole.") from None
    if not words or not re.search(r"(^|[/\\])curl(\.exe)?$", words[0]):
        raise InputError.of((), "this is not a curl command.")
    return words


def _unescaped(text: str) -> str:
    simple = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\", "0": "\0"}

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] in "uUx" and len(code) > 1 else simple.get(code, code)

    plain = re.sub(r"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,6}|x[0-9a-fA-F]{1,2}|.)", character, text, flags=re.DOTALL)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _value_of(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise InputError.of((option,), "has no value.", "Copy the command whole.")
    return value


def _note_secret(header: str, notes: list[str]) -> None:
    name, colon, _ = header.partition(":")
    if (colon and is_secret(name.strip())) or re.search(r"\bsk[-_]\w", header):
        sentence = "The API key in the command was not imported. Set it for the endpoint."
        if sentence not in notes:
            notes.append(sentence)


def open_snippet(text: str) -> OpenedPrompt:
    """Return the document in the arguments of the first SDK call. Names become `{{variables}}`. Raises InputError."""
    if len(text) > MAX_CHARS:
        raise InputError.of((), f"the snippet has more than {MAX_CHARS:,} characters.")
    report = Report()
    try:
        fields = python_fields(text, report)
    except SyntaxError:
        fields = javascript_fields(text, report)
    except RecursionError:
        raise InputError.of((), "the snippet is nested too deeply.") from None
    opened = open_json(fields, json.dumps(fields), is_file=False)
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *report.notes), imported=True)
