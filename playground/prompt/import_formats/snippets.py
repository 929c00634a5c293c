"""curl commands, and programs with a call of an SDK, as prompts. Nothing is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from playground.prompt.field_errors import InputError
from playground.prompt.files import OpenedPrompt
from playground.prompt.import_formats.api_bodies import Report, open_json
from playground.prompt.import_formats.call_values import MAX_CHARS, Values
from playground.prompt.import_formats.javascript_calls import javascript_fields
from playground.prompt.import_formats.python_calls import python_fields
from playground.prompt.json_text import loads
from playground.prompt.secret_names import is_secret

_DATA = ("-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--data-urlencode", "--json")
_OPTIONS = (
    "-H --header -X --request -o --output -u --user -A --user-agent -b --cookie -m --max-time --connect-timeout -x"
)
_WITH_VALUE = frozenset(f"{_OPTIONS} --proxy --url -e --referer -w --write-out --cacert --retry".split())


def open_curl(text: str) -> OpenedPrompt:
    """Return the document in the body of the first curl command. Raises InputError, also for a body in a file."""
    report = Report()
    values = Values(text, report)
    shell = _Shell(text.strip().removeprefix("$ ").replace("\r\n", "\n"), values)
    words, *others = shell.curl_commands()
    if others:
        more = f"{len(others)} other command{'s' if len(others) > 1 else ''}"
        report.left_out(f"The first curl command was imported. {more}")
    body = ""
    for option, value in _bodies(words, shell.standard_input, report):
        body += ("&" if body and option != "--json" else "") + value
    if not body:
        raise InputError.of((), "the curl command has no body.", "Copy a command with -d or --data.")
    try:
        fields = loads(body)
        if next(values.opened(body), None) is not None:
            fields = values.body(fields if isinstance(fields, dict) else {"messages": fields})
            body = json.dumps(fields)
        opened = open_json(fields, body, is_file=False)
    except InputError:
        raise
    except ValueError as error:
        raise InputError.of(("--data",), f"is not JSON: {error}.") from None
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *report.notes), imported=True)


def _bodies(words: list[str], standard_input: str | None, report: Report) -> Iterator[tuple[str, str]]:
    """Yield the options that give the body, and their values."""
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
            _note_secret(value, report)
        if name in _DATA:
            if value == "@-" and name != "--data-raw" and standard_input is not None:
                yield name, standard_input
                continue
            if value.startswith("@") and name != "--data-raw":  # pasting must not read files
                sentence = f"the body is in the file {Path(value[1:]).name}."
                raise InputError.of(("--data",), sentence, "Open that file, or paste its content.")
            yield name, value


_HERE = re.compile(r"<<(-?)[ \t]*(['\"\\]?)(\w+)['\"]?")
_EXPANSION = re.compile(
    r"\\([$`\"\\\n])|\$(\w+)|\$\{(\w+)\}|(\$\{[^}]*\}|\$\((?:[^()]|\([^()]*\)){0,999}\)|`[^`]*`)", re.ASCII
)
_PIECE = re.compile(
    r"(?P<space>[ \t]+|[\\`]\n|\n(?=[ \t]*-))|(?P<end>\n|;|&&|\|\|?|&(?=\s|$))|(?P<here><<-?[ \t]*['\"\\]?\w+['\"]?)"
    r"|(?P<redirect>\d?>>?(?:&\d)?)|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|'(?P<single>[^']*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\""
    r"|(?P<open>\$\w+|\$\{[^}]*\}|\$\((?:[^()]|\([^()]*\)){0,999}\)|`[^`\n]+`)|\\(?P<escape>.)|(?P<plain>[^\s\\'\"$`#;&|<>]+|.)",
    re.DOTALL | re.ASCII,
)


class _Shell:
    """The commands of a shell script as words. Nothing is executed: what the shell would put in becomes a variable."""

    def __init__(self, source: str, values: Values) -> None:
        self._values = values
        self._is_cmd = re.search(r"\^\s*\n|\"\^\"|\^\"", source) is not None
        if self._is_cmd:
            source = re.sub(r"\^(.)", r"\1", re.sub(r"\^\n\s*", " ", source))
        self._source, self._at = source, 0
        self._names: dict[str, str] = {}
        self.standard_input: str | None = None  # of the first curl command
        self._here: str | None = None

    def curl_commands(self) -> list[list[str]]:
        """Return the words of each curl command. Raises InputError without one."""
        found: list[list[str]] = []
        while self._at < len(self._source):
            words = self._command()
            given = [word.partition("=") for word in words if words[0] == "export" or len(words) == 1]
            self._names |= {
                name: value
                for name, equals, value in given
                if equals and len(re.findall(rf"(?<![\w$]){re.escape(name)}\+?=", self._source, re.ASCII)) == 1
            }
            if words and re.search(r"(^|[/\\])curl(\.exe)?$", words[0]):
                self.standard_input = self.standard_input if found else self._here
                found.append(words)
        if not found:
            raise InputError.of((), "this is not a curl command.")
        return found

    def _command(self) -> list[str]:
        words: list[str] = []
        word: str | None = None
        here: re.Match[str] | None = None
        drop = False
        while piece := _PIECE.match(self._source, self._at):
            kind, text = str(piece.lastgroup), piece[str(piece.lastgroup)]
            if kind == "plain" and text == "#" and word is None and not self._is_cmd:
                self._at = (self._source + "\n").index("\n", self._at)
                continue
            if kind == "plain" and text in "'\"":
                raise InputError.of((), "the curl command cannot be read: No closing quotation.", "Copy it whole.")
            self._at = piece.end()
            if kind in ("space", "end", "here", "redirect") and not (self._is_cmd and kind in ("here", "redirect")):
                if word is not None and not drop:
                    words.append(word)
                drop, word = (kind == "redirect" and "&" not in text) or (drop and word is None), None
                here = _HERE.match(text) if kind == "here" else here
                if kind == "end" and not (self._is_cmd and text in (";", "&")):
                    break
                continue
            word = (word or "") + self._text(kind, text)
        if word is not None and not drop:
            words.append(word)
        self._here = self._here_text(here) if here is not None else None
        return words

    def _text(self, kind: str, text: str) -> str:
        if kind == "ansi":
            return _unescaped(text)
        if kind == "double":
            return re.sub(r"\\([\"\\])", r"\1", text) if self._is_cmd else self._expanded(text)
        return self._expanded(text) if kind == "open" and not self._is_cmd else text

    def _expanded(self, text: str) -> str:
        """Return a text with its variables and commands open, as the shell replaces them in double quotes."""

        def replaced(match: re.Match[str]) -> str:
            if match[1] is not None:
                return match[1].replace("\n", "")
            name = match[2] or match[3]
            return self._names[name] if name in self._names else self._values.open(name or match[4])

        return _EXPANSION.sub(replaced, text)

    def _here_text(self, here: re.Match[str]) -> str:
        """Return the lines up to the word of `<<EOF`, from the next line; the rest of the script follows."""
        lines: list[str] = []
        if self._source[self._at - 1] != "\n":  # `<<EOF | jq .`
            self._at = (self._source + "\n").index("\n", self._at) + 1
        rest = self._source[self._at :].splitlines(keepends=True)
        for index, line in enumerate(rest):
            if (line.strip() if here[1] else line.rstrip("\n")) == here[3]:
                self._at += sum(map(len, rest[: index + 1]))
                break
            lines.append(line.lstrip("\t") if here[1] else line)
        text = "".join(lines)
        return text if here[2] else self._expanded(text)


def _unescaped(text: str) -> str:
    simple = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\"}

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return chr(int(code[1:], 16)) if code[0] in "uUx" and len(code) > 1 else simple.get(code, code)

    plain = re.sub(
        r"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,6}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", character, text, flags=re.DOTALL
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _value_of(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise InputError.of((option,), "has no value.", "Copy the command whole.")
    return value


def _note_secret(header: str, report: Report) -> None:
    name, colon, _ = header.partition(":")
    if (colon and is_secret(name.strip())) or re.search(r"\bsk[-_]\w", header):
        report.note("The API key in the command was not imported. Set it for the endpoint.")


def open_snippet(text: str) -> OpenedPrompt:
    """Return the document in the arguments of the first SDK call. Names become `{{variables}}`. Raises InputError."""
    if len(text) > MAX_CHARS:
        raise InputError.of((), f"the snippet has more than {MAX_CHARS:,} characters.")
    report = Report()
    try:
        try:
            fields = python_fields(text, report)
        except SyntaxError:
            fields = javascript_fields(text, report)
    except RecursionError:
        raise InputError.of((), "the snippet is nested too deeply.") from None
    opened = open_json(fields, json.dumps(fields), is_file=False)
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *report.notes), imported=True)
