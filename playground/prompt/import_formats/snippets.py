"""curl commands, and programs with a call of an SDK, as prompts. Nothing is executed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from playground.prompt.field_errors import InputError
from playground.prompt.files import OpenedPrompt
from playground.prompt.import_formats.api_bodies import Report, open_json
from playground.prompt.import_formats.call_values import MAX_CHARS, Open, Values
from playground.prompt.import_formats.javascript_calls import javascript_fields
from playground.prompt.import_formats.python_calls import python_fields
from playground.prompt.json_text import loads
from playground.prompt.secret_names import is_secret

_DATA = ("-d", "--data", "--data-raw", "--data-ascii", "--data-binary", "--data-urlencode", "--json")
_OTHER_BODIES = ("-F", "--form", "--form-string", "-T", "--upload-file", "-K", "--config")
_POWERSHELL_OPTIONS = ("-Uri", "-Method", "-Body", "-Headers", "-ContentType")
_SHORT_WITH_VALUE = frozenset("AbcCdDeEFHKmoPQrtTuUwxXyYz")
_OPTIONS = "--header --request --output --user --user-agent --cookie --max-time --connect-timeout --proxy --url"
_WITH_VALUE = frozenset(f"{_OPTIONS} --referer --write-out --cacert --cert --key --retry --retry-delay".split())


def open_curl(text: str, name: str = "") -> OpenedPrompt:
    """Return the document in the body of the first curl command. Raises InputError, also for a body in a file.

    `name`: the file's name, whose ending tells the shell.
    """
    report = Report()
    values = Values(text, report)
    if len(text) > 10 * MAX_CHARS:
        raise InputError.of((), f"the command has more than {10 * MAX_CHARS:,} characters.")
    shell = _Shell(re.sub(r"\A(\s*)\$ ", r"\1", text.rstrip().replace("\r\n", "\n")), values, name)
    words, *others = shell.curl_commands()
    if others:
        more = f"{len(others)} other command{'s' if len(others) > 1 else ''}"
        report.left_out(f"The first curl command was imported. {more}")
    body = ""
    for option, value in _bodies(words, shell.standard_input, report):
        body += ("&" if body and option != "--json" else "") + value
    if not body:
        raise InputError.of((), "the curl command has no body.", "Copy a command with -d or --data.")
    if shell.unjoined:
        report.note(f"For a shell the command ends in line {shell.unjoined}: the options behind it were read, too.")
    if not shell.is_cmd and (in_cmd := re.search(r"%[A-Za-z_]\w*%", body)):
        report.note(f"The text {in_cmd[0]} in line {shell.line} or behind is a variable in cmd: it remains text.")
    opened = _opened(body, values, shell)
    values.note_written(opened.document)
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *report.notes), imported=True)


def _opened(body: str, values: Values, shell: _Shell) -> OpenedPrompt:
    """Return the document in a body, of which parts may be open. Raises InputError."""
    if shell.is_powershell and re.match(r'\s*\{\s*\\"', body):  # Windows PowerShell passes \" as "
        body = re.sub(r'(\\*)\\"', lambda match: match[1][: len(match[1]) // 2] + '"', body)
    try:
        fields = loads(body)
        if next(values.opened(body), None) is not None:
            fields = values.body(fields if isinstance(fields, dict) else {"messages": fields})
            body = json.dumps(fields)
        return open_json(fields, body, is_file=False)
    except InputError:
        raise
    except ValueError as error:
        if isinstance(unknown := next(values.opened(body), None), Open) and unknown == body.strip():
            source = " ".join(unknown.source.split())[:60]
            sentence = f"is {source}, whose value is not known (the curl command in line {shell.line})."
            raise InputError.of(("--data",), sentence, "Paste the body.") from None
        at = getattr(error, "pos", -1)
        beside = (match[0] for match in re.finditer(r"\{\{\w+\}\}", body) if match.start() <= at < match.end())
        if isinstance(unknown := next(values.opened(next(beside, "")), None), Open):
            sentence = f"has {unknown.source[:60]} outside a text, and its value is not known"
            sentence = f"{sentence} (the curl command in line {shell.line})."
            raise InputError.of(("--data",), sentence, "Paste the body.") from None
        raise InputError.of(("--data",), f"is not JSON (the curl command in line {shell.line}): {error}.") from None


def _bodies(words: list[str], standard_input: str | None, report: Report) -> Iterator[tuple[str, str]]:
    """Yield the options that give the body, and their values."""
    rest = iter(words[1:])
    for word in rest:
        if word in ("--next", "-:"):
            report.left_out("The command has several requests. What is behind --next")
            return
        name, given = _option(word)
        if name not in _DATA and name not in _WITH_VALUE and name[1:] not in _SHORT_WITH_VALUE:
            continue
        value = _value_of(name, rest) if given is None else given
        if name in ("-H", "--header", "-u", "--user"):
            _note_secret(value, report)
        if name in _DATA:
            if value == "@-" and name != "--data-raw" and standard_input is not None:
                yield name, standard_input
                continue
            if value.startswith("@") and name != "--data-raw":  # pasting must not read files
                if value == "@-":
                    raise InputError.of(("--data",), "the body is on standard input.", "Paste the body.")
                sentence = f"the body is in the file {Path(value[1:]).name}."
                raise InputError.of(("--data",), sentence, "Open that file, or paste its content.")
            yield name, value


def _option(word: str) -> tuple[str, str | None]:
    """Return an option and the value in the same word. Raises InputError for one without which no body is sent."""
    name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    flag = word if word in ("--get", "--head") else ""
    if re.match(r"-[^-]", word):  # a cluster, such as -sd@-
        end = next((at for at, letter in enumerate(word) if at and letter in _SHORT_WITH_VALUE), len(word))
        name, equals, value = f"-{word[end : end + 1]}", word[end + 1 :], word[end + 1 :]
        flag = next((f"-{letter}" for letter in word[1:end] if letter in "GI"), "")
    if word in _POWERSHELL_OPTIONS:
        raise InputError.of((word,), "belongs to Invoke-WebRequest, not to curl.", "Paste the body.")
    if name in _OTHER_BODIES:
        raise InputError.of((name,), "gives the request another body or options of a file.", "Use -d or --data alone.")
    if flag or name == "--data-urlencode":
        sentence = "sends no body." if flag else "encodes the body, which is no JSON then."
        raise InputError.of((flag or name,), sentence, "Copy a command with -d or --data.")
    return name, value if equals else None


_HERE = re.compile(r"<<(-?)[ \t]*(['\"\\]?)(\w+)['\"]?")
_LINES = (re.compile(r"[^\n]*+\n?"), re.compile(r"(?:[^\\\n]|\\[\s\S])*+\n?"))
"""The lines of a here document; a backslash at the end of one continues it unless the word is quoted."""
_BRACKETS = r"\$\{(?:[^{}\\]|\\.|\{[^{}]*\}){0,999}\}|\$\((?:[^()]|\([^()]*\)){0,999}\)"
_EXPANSION = re.compile(
    rf"\\([$`\"\\\n])|\$(\w+|[$@*#?!-])|\$\{{(\w+)\}}|({_BRACKETS}|`[^`]*`)|(\$[({{\[]|`)", re.ASCII | re.DOTALL
)
_POWERSHELL_EXPANSION = re.compile(rf"{_BRACKETS}|\$(?:\w+:)?\w+|(\$[({{])", re.ASCII | re.DOTALL)
_CMD_EXPANSION = re.compile(r"%(\w+)%|%(\w+:[^%\n]+)%", re.ASCII)
_BATCH_EXPANSION = re.compile(f"%%|{_CMD_EXPANSION.pattern}|%", re.ASCII)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)
_ANSWER = re.compile(r"^([ \t]*)(?:(?:export|local)[ \t]+)?\w+=\"?\$\((?=\s*curl\s)", re.MULTILINE | re.ASCII)
"""The start of `answer=$(curl …)`; the bracket behind it ends a command."""
_SETTING = ("export", "local", "readonly")
_OWN_NAMES = re.compile(
    r"BASH\w*|COMP_\w+|EPOCH\w+|S?RANDOM|SECONDS|LINENO|FUNCNAME|GROUPS|E?UID|PPID|HISTCMD|DIRSTACK|PIPESTATUS|OPT[A-Z]+"
    r"|(?:OLD)?PWD|SHELL\w*|_",
    re.ASCII,
)
"""Names that the shell itself sets: each use has another value, also behind an assignment."""
_NOT_READ = ("$(", "${", "$[", '$"', "<(", ">(")
_HOME = re.compile(r"((?:\w+\+?=)?(?:[^~]*:)?)(~.*)", re.DOTALL | re.ASCII)
_PIECE = re.compile(
    r"(?P<space>[ \t]+|[\\`]\n|\n(?=[ \t]*-))|(?P<end>\n|;|&&|\|\|?|&(?=\s|$)|\)\"?)"
    r"|(?P<here><<-?[ \t]*['\"\\]?\w+['\"]?)|(?P<redirect>\d?>>?(?:&\d)?)"
    r"|\"\$\([ \t]*cat[ \t]*<<(?P<tabs>-?)[ \t]*(?P<mark>['\"\\]?)(?P<word>\w+)['\"]?[ \t]*\n(?P<document>(?:.*?\n)??)"
    r"(?P=word)\n?[ \t]*\)\""
    r"|@'\n(?P<verbatim>.*?)\n'@|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|'(?P<single>[^']*)'"
    rf"|\"(?P<double>(?:[^\"\\$]|\\.|{_BRACKETS}|\$)*+)\"|(?P<open>\$(?:\w+|[$@*#?!-])|{_BRACKETS}|`[^`\n]+`)"
    r"|\\(?P<escape>.)|(?P<plain>[^\s\\'\"$`#;&|<>]+|.)",
    re.DOTALL | re.ASCII,
)


class _Shell:
    """The commands of a shell script as words. Nothing is executed: what the shell would put in becomes a variable."""

    def __init__(self, source: str, values: Values, name: str) -> None:
        self._values = values
        ending, quotes = Path(name).suffix.lower(), re.search(r"\^\s*\n|\"\^\"|\^\"", source)
        is_windows = ending != ".sh" and re.search(r"curl\.exe|`\n|\$env:", source) and not re.search(r"\\\n", source)
        self._is_batch = ending in (".cmd", ".bat")
        self.is_cmd = self._is_batch or (ending != ".ps1" and quotes is not None)
        # A body in double quotes with \" is one of cmd: PowerShell ends the text there.
        self.is_cmd = self.is_cmd or bool(ending != ".ps1" and is_windows and re.search(r'"\s*\{\s*\\"', source))
        self.is_powershell = ending == ".ps1" or bool(is_windows and not self.is_cmd)
        if not (self.is_cmd or self.is_powershell):
            source = _ANSWER.sub(r"\1", source)
        self._operators: frozenset[int] = frozenset()
        if self.is_cmd:
            source, self._operators = _without_carets(source)
        self._source, self._at = source, 0
        self._names: dict[str, str] = {}
        self._once: Counter[str] | None = None  # how often names are set, in a script with functions
        self.standard_input: str | None = None  # of the first curl command
        self.line = self.unjoined = 0  # of that command, and of a line that ends before its options
        self._here: str | None = None

    def curl_commands(self) -> list[list[str]]:
        """Return the words of each curl command. Raises InputError without one."""
        found: list[list[str]] = []
        while self._at < len(self._source):
            start = self._at
            words, unjoined = self._command()
            if words[1:2] == ["{"] and words[0].endswith("()"):  # it runs later
                self._once = Counter(re.findall(r"(?<![\w$])(\w+)\+?=", self._source, re.ASCII))
                self._keep_once()
            if words and (words[0] in _SETTING or all(map(_ASSIGNMENT.match, words))):
                self._set_names(words)
            if words and re.search(r"(^|[/\\])curl(\.exe)?$", words[0]):
                if not found:
                    self.standard_input, self.unjoined = self._here, unjoined
                    self.line = 1 + self._source.count("\n", 0, len(self._source) - len(self._source[start:].lstrip()))
                found.append(words)
        if not found:
            raise InputError.of((), "this is not a curl command.")
        return found

    def _set_names(self, words: list[str]) -> None:
        for word in words:
            if set_name := _ASSIGNMENT.match(word):
                self._spend(len(word))
                if set_name[1] == "IFS":
                    self._refuse("IFS changes how the shell reads values")
                before = self._names.get(set_name[1], "") if set_name[2] else ""
                if not _OWN_NAMES.fullmatch(set_name[1]):
                    self._names[set_name[1]] = before + word[set_name.end() :]
                self._keep_once()

    def _keep_once(self) -> None:
        """Forget the names that a script with functions sets more than once."""
        if self._once is not None:
            self._names = {name: value for name, value in self._names.items() if self._once[name] == 1}

    def _command(self) -> tuple[list[str], int]:
        """Return the words of the next command, and the line that ends before an option of it; 0 for none."""
        words: list[str] = []
        unjoined = 0
        word: str | None = None
        here: re.Match[str] | None = None
        drop = False  # the word is where the output is redirected to
        bare = ""  # the part of the word that is not quoted
        while piece := _PIECE.match(self._source, self._at):
            kind, text = str(piece.lastgroup), piece[str(piece.lastgroup)]
            if kind == "plain" and text == "#" and word is None and not self.is_cmd:
                self._at = (self._source + "\n").index("\n", self._at)
                continue
            if kind == "plain" and text in "'\"":
                raise InputError.of((), "the curl command cannot be read: No closing quotation.", "Copy it whole.")
            self._at = piece.end()
            if kind in ("space", "end", "here", "redirect") and not (self.is_cmd and kind in ("here", "redirect")):
                if word is not None and not drop:
                    words.append(word)
                self._check_braces(bare)
                bare = ""
                drop, word = (kind == "redirect" and "&" not in text) or (drop and word is None), None
                here = _HERE.match(text) if kind == "here" else here
                is_unjoined = kind == "space" and text == "\n"
                unjoined = unjoined or (self._source.count("\n", 0, self._at) if is_unjoined else 0)
                if kind == "end" and not (self.is_cmd and text in (";", "&")):
                    break
                continue
            bare += text if kind == "plain" else "x"
            self._check_operators(piece)
            added = self._text(kind, text, piece)
            if kind == "plain" and "~" in text:
                added = self._with_home(word or "", text)
            self._spend(1 + max(0, len(added) - len(text)))
            if kind == "open" and re.search(r"[\s*?\[]", added) and not _ASSIGNMENT.match(word or ""):
                self._refuse(f"{text} is not quoted, so its value is split into words")
            word = (word or "") + added
        self._check_braces(bare)
        if word is not None and not drop:
            words.append(word)
        self._here = self._here_text(here) if here is not None else None
        return words, unjoined

    def _with_home(self, before: str, text: str) -> str:
        """Return a piece of an assignment with the home directory in it open."""
        home = _HOME.fullmatch(text) if _ASSIGNMENT.match(before + text) else None
        is_home = home is not None and (home[1] or before.endswith("="))
        return home[1] + self._values.open(home[2]) if home is not None and is_home else text

    def _check_operators(self, piece: re.Match[str]) -> None:
        cut = next((at for at in range(*piece.span()) if at in self._operators), None)
        if cut is not None and piece.lastgroup == "double":
            sign = self._source[cut]
            self._refuse(f'cmd takes {sign} for an operator, because \\" closes its quotes: write ^{sign}')

    def _check_braces(self, bare: str) -> None:
        if re.search(r"\{.*(?:,|\.\.).*\}", bare) and not self.is_cmd:
            self._refuse("braces that are not quoted are expanded")

    def _spend(self, steps: int) -> None:
        self._values.spend(self._source.count("\n", 0, self._at) + 1 if steps > MAX_CHARS else 0, steps)

    def _refuse(self, why: str, match: re.Match[str] | None = None) -> NoReturn:
        advice = "Paste the body." if self.is_cmd else "Put the body in single quotes, or paste it."
        raise InputError.of((), f"{self._place(match)}: {why}.", advice)

    def _place(self, match: re.Match[str] | None) -> str:
        """Return the line of the last piece, or of a place in its text."""
        line = self._source.count("\n", 0, self._at) + (self._source[self._at - 1] != "\n")
        return f"line {line - (match.string.count(chr(10), match.end()) if match is not None else 0)}"

    def _text(self, kind: str, text: str, piece: re.Match[str]) -> str:
        if kind == "document":
            return self._document(piece)
        if kind == "verbatim":
            return text if self.is_powershell else self._refuse("@' is not understood")
        if self.is_powershell and kind in ("single", "double", "open", "ansi", "escape"):
            return self._powershell_text(kind, text)
        if self.is_cmd:
            text = (_BATCH_EXPANSION if self._is_batch else _CMD_EXPANSION).sub(self._cmd_value, text)
        elif kind == "plain" and (text == "`" or self._source[self._at - 1 : self._at + 1] in _NOT_READ):
            self._refuse(f"{text} is not understood")
        if kind == "ansi":
            return _unescaped(text)
        if kind == "double":
            return re.sub(r"\\([\"\\])", r"\1", text) if self.is_cmd else self._expanded(text)
        return self._expanded(text) if kind == "open" and not self.is_cmd else text

    def _powershell_text(self, kind: str, text: str) -> str:
        if kind in ("ansi", "escape") or (kind != "single" and re.search(r"[\\`]", text)):
            self._refuse("PowerShell reads \\ and ` in another way than bash")
        start = self._at - len(text) - 2
        is_doubled = kind != "open" and self._source[start - 1] == self._source[start]  # '' is one quote of the text
        if kind != "single":
            text = _POWERSHELL_EXPANSION.sub(self._powershell_value, text)
        return self._source[start] + text if is_doubled else text

    def _powershell_value(self, match: re.Match[str]) -> str:
        if match[1]:
            self._refuse(f"{match[1]} is not understood", match)
        return self._values.open(match[0], self._place(match))

    def _cmd_value(self, match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[0] == "%":
            self._refuse("a batch file reads % as the start of a variable or argument: write %% for the sign")
        key = match[1] if match[1] and not re.fullmatch(r"(?i)random|time|date", match[1]) else None
        return self._values.open(match[0], self._place(match), key=key and key.lower())

    def _expanded(self, text: str, *, is_here: bool = False) -> str:
        """Return a text with its variables and commands open, as the shell replaces them in double quotes."""
        size = 0

        def replaced(match: re.Match[str]) -> str:
            nonlocal size
            if match[1] is not None:
                return match[0] if is_here and match[1] == '"' else match[1].replace("\n", "")
            if match[5]:
                self._refuse(f"{match[5]} is not understood", match)
            name = match[2] or match[3]
            size += len(self._names.get(name, ""))
            if size > MAX_CHARS:
                self._refuse(f"a text has more than {MAX_CHARS:,} characters")
            if name in self._names:
                return self._names[name]
            key = name if name and not _OWN_NAMES.fullmatch(name) else None
            source = name if name and name.isidentifier() else f"${name}" if name else match[4]
            return self._values.open(source, self._place(match), key=key)

        return _EXPANSION.sub(replaced, text)

    def _document(self, piece: re.Match[str]) -> str:
        """Return the text of `"$(cat <<EOF … )"`."""
        text = re.sub(r"^\t+", "", piece["document"], flags=re.MULTILINE) if piece["tabs"] else piece["document"]
        if self.is_powershell or self.is_cmd or piece["word"] in text.split("\n"):
            self._refuse("$(cat << is not understood")
        self._at = piece.end("document") + 1  # lines are counted up to the one behind it
        text = text if piece["mark"] else self._expanded(text, is_here=True)
        self._at = piece.end()
        return text.rstrip("\n")

    def _here_text(self, here: re.Match[str]) -> str:
        """Return the lines up to the word of `<<EOF`, from the next line; the rest of the script follows."""
        lines: list[str] = []
        if self._source[self._at - 1] != "\n":  # `<<EOF | jq .`
            self._at = (self._source + "\n").index("\n", self._at) + 1
        while self._at < len(self._source) and (found := _LINES[not here[2]].match(self._source, self._at)):
            self._at = found.end()
            line = found[0].lstrip("\t") if here[1] else found[0]
            if (line if here[2] else line.replace("\\\n", "")).rstrip("\n") == here[3]:
                break
            lines.append(line)
        text = "".join(lines)
        return text if here[2] else self._expanded(text, is_here=True)


def _without_carets(source: str) -> tuple[str, frozenset[int]]:
    """Return a script of cmd without its escapes, and the places of the operators in it. Each quotation mark opens or
    closes cmd's quotes, also one behind a backslash, which is part of the text for curl."""
    made: list[str] = []
    operators: set[int] = set()
    quoted = False
    signs = re.finditer(r"\^\n\s*|\^.|[\s\S]", source)
    for sign in (match[0] for match in signs):
        if quoted and sign[0] == "^":
            made += sign
            quoted = sign[-1] not in '"\n'
        elif sign[0] == "^" and len(sign) > 1:
            made.append(" " if sign[1] == "\n" else sign[1])
        else:
            if sign in "&|<>" and not quoted:
                operators.add(len(made))
            made.append(sign)
            quoted = (quoted != (sign == '"')) and sign != "\n"
    return "".join(made), frozenset(operators)


def _unescaped(text: str) -> str:
    simple = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
    simple |= {sign: sign for sign in "\\'\"?"}  # all others keep their backslash

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "01234567" or (code[0] == "x" and len(code) > 1):  # a byte
            byte = int(code, 8) & 0xFF if code[0] != "x" else int(code[1:], 16)
            return chr(byte if byte < 0x80 else 0xDC00 + byte)
        if code[0] in "uU" and len(code) > 1:
            return chr(int(code[1:], 16))
        return simple.get(code, f"\\{code}")

    plain = re.sub(
        r"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,6}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", character, text, flags=re.DOTALL
    )
    plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if re.search("[\udc80-\udcff]", plain):
        plain = plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return plain


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
    values = Values(text, report)
    try:
        try:
            fields = python_fields(text, values, report)
        except InputError:
            raise
        except (SyntaxError, ValueError) as error:
            fields = javascript_fields(text, values, report, getattr(error, "lineno", None) or 0)
    except InputError:
        raise
    except (RecursionError, MemoryError):  # the parser of Python has a stack of its own
        raise InputError.of((), "the snippet is nested too deeply.") from None
    except (IndexError, ValueError):
        raise InputError.of((), "the snippet cannot be read.", "Copy the call whole.") from None
    opened = open_json(fields, json.dumps(fields), is_file=False)
    values.note_written(opened.document)
    return OpenedPrompt(opened.document, opened.format, (*opened.notes, *report.notes), imported=True)
