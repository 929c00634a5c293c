"""A copied curl command, as bash, PowerShell or cmd quote it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import OpenedPrompt
from playground.prompt.import_formats.api_bodies import open_json
from playground.prompt.json_bounds import loads

_DATA = ("-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--data-urlencode", "--json")
_OPTIONS = (
    "-H --header -X --request -o --output -u --user -A --user-agent -b --cookie -m --max-time --connect-timeout -x"
)
_WITH_VALUE = frozenset(f"{_OPTIONS} --proxy --url -e --referer -w --write-out --cacert --retry".split())
_ANSI_C = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)

ReadFile = Callable[[str], str]


def refuse_files(name: str) -> str:
    """Refuse to read the file that a pasted command names: pasting must not read files."""
    raise InputError(
        FieldError(("--data",), f"the body is in the file {Path(name).name}.", "Open that file, or paste its content.")
    )


def open_curl(text: str, read_file: ReadFile = refuse_files) -> OpenedPrompt:
    """Return the document in the body of a curl command. Raises InputError.

    Args:
        read_file: returns the text of a file that `@file` names.
    """
    words = _words(text)
    bodies: list[str] = []
    notes: list[str] = []
    position = 1
    while position < len(words):
        word = words[position]
        name, equals, attached = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in _DATA or (name.startswith("-d") and not name.startswith("--")):
            if name not in _DATA:
                value = name[2:]
            elif equals:
                value = attached
            else:
                position += 1
                value = _at(words, position, name)
            bodies.append(_body(value, raw=name == "--data-raw", read_file=read_file))
        elif name in _WITH_VALUE and not equals:
            position += 1
            if name in ("-H", "--header", "-u", "--user"):
                _note_secret(_at(words, position, name), notes)
        position += 1
    if not bodies:
        raise InputError(FieldError((), "the curl command has no body.", "Copy a command with -d or --data."))
    body = "&".join(bodies)
    try:
        opened = open_json(loads(body), body, is_file=False)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(FieldError(("--data",), f"is not JSON: {error}.")) from None
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *notes), imported=True)


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
        raise InputError(FieldError((), f"the curl command cannot be read: {error}.", "Copy it whole.")) from None
    if not words or not re.search(r"(^|[/\\])curl(\.exe)?$", words[0]):
        raise InputError(FieldError((), "this is not a curl command."))
    return words


def _unescaped(text: str) -> str:
    simple = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\", "0": "\0"}

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] in "uUx" and len(code) > 1 else simple.get(code, code)

    plain = re.sub(r"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,6}|x[0-9a-fA-F]{1,2}|.)", character, text, flags=re.DOTALL)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _at(words: list[str], position: int, option: str) -> str:
    if position >= len(words):
        raise InputError(FieldError((option,), "has no value.", "Copy the command whole."))
    return words[position]


def _body(value: str, *, raw: bool, read_file: ReadFile) -> str:
    return read_file(value[1:]) if value.startswith("@") and not raw else value


def _note_secret(header: str, notes: list[str]) -> None:
    if re.match(r"(?i)\s*(authorization|x-api-key|api-key|cookie)\s*:", header) or re.search(r"\bsk[-_]\w", header):
        sentence = "The API key in the command was not imported. Set it for the endpoint."
        if sentence not in notes:
            notes.append(sentence)
