"""Opens text in any supported format: the format is recognized by the content, and by the file's name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from playground.prompt.field_errors import InputError
from playground.prompt.files import MAX_FILE_BYTES, OpenedPrompt, file_text, parse
from playground.prompt.import_formats.api_bodies import open_json, open_json_lines
from playground.prompt.import_formats.call_values import CALL, CALL_ENDS
from playground.prompt.import_formats.snippets import open_curl, open_snippet
from playground.prompt.import_formats.yaml_files import open_yaml
from playground.prompt.json_text import JsonBoundsError, json_lines, loads
from playground.prompt.secret_names import LEAST_CHARS, MASK, is_placeholder
from playground.prompt.secret_values import addresses_in, has_digit, of_field

ACCEPTED = (
    "Accepted: a prompt file, a request body, a list of messages, a curl command, Python or JavaScript with an SDK "
    "call, OpenAI batch lines, and the formats of Anthropic, Langfuse, GitHub Models, Prompty, dotprompt and promptfoo."
)
_BEFORE_CURL = (
    r"(?:[ \t]*(?:#[^\n]*+|set(?:[ \t]+[-+]?\w++)++|:[ \t]+\"?\$\{\w++:?\?[^}\n]*+\}\"?|"
    r"(?:function[ \t]+)?(?!curl\b)\w++[ \t]*\(\)[ \t]*\{(?=[ \t]*\n)|"
    r"(?:(?:export|local|readonly)[ \t]+)?(?!\w++=\"?\$\(\s*curl\s)"
    r"[A-Za-z_]\w*\+?=(?:'[^']*+'|\"(?:[^\"\\]|\\[\s\S])*+\"|[^\s;'\"])*+|)"
    r"[ \t]*+(?:#[^\n]*+)?+[;\n])*+\s*+"
)
_CURL = re.compile(
    _BEFORE_CURL + r"(?:\$\s+)?(?:(?:(?:export|local)[ \t]+)?\w+=\"?\$\(\s*)?(?:\S*[/\\])?curl(?:\.exe)?\s"
)
"""A curl command; comments and variables that are set may be before it."""
_COMPLETIONS = re.compile(r"\bchat\s*(?:\??\.|:\s*\{)\s*completions\b")
"""A part of a client, which may be called by another name."""
_YAML_NAMES = (".yml", ".yaml", ".prompty", ".prompt")


def import_kind(text: str) -> str:
    """Return what pasted text appears to be ("curl command"); empty for plain text. Reads little of it."""
    start = text[:MAX_FILE_BYTES].lstrip("\ufeff \t\r\n")
    if _CURL.match(start):
        return "curl command"
    if start.startswith(("{", "[")) and re.search(r'"(?:messages|input|prompt|role)"\s*:', start):
        return "request in JSON"
    # The words first: in 2 MB of other text the expression takes 90 ms.
    if any(word in start for word in CALL_ENDS) and CALL.search(start):
        return "SDK call"
    if _posts(start):
        return "request in a program"
    if start.startswith("---\n") or re.match(r"(?:messages|prompts|name|model)\s*:.*\n", start):
        return "prompt file in YAML" if re.search(r"^(?:messages|prompts|model|inputs|config)\s*:", start, re.M) else ""
    return ""


def _posts(text: str) -> bool:
    """Whether a program may send a prompt without an SDK."""
    return (
        "/chat/completions" in text
        and re.search(r"\b(?:fetch|axios|\w*Request)\(|\.(?:post|request|stream)\(", text) is not None
    )


_SECRET = re.compile(
    r"""((?:authorization\s*["']?\s*[:=]\s*["']?(?:f["'])?(?:bearer\s+|basic\s+)?|(?:x-)?api[-_]?key\s*["']?\s*[:=]\s*["']?))"""
    r"""([^\s"'`$\\{}(),^]{8,})""",
    re.IGNORECASE,
)


_QUOTED = r"""(?:'([^'\n]+)'|"([^"\n]+)"|([^\s"']+))"""
_HEADER_OPTION = re.compile(rf"(?<!\S)(?:-H\s*|--header[\s=]+){_QUOTED}")
_SHELL_STRING = r"""\\.|\$'[^'\\]*(?:\\.[^'\\]*)*'|'[^']*'|"[^"\\]*(?:\\.[^"\\]*)*\""""
_USER_OPTION = re.compile(
    rf"(?<!\S)(?:-[uU]\s*|--(?:user|proxy-user|(oauth2-bearer))[\s=]+){_QUOTED}|{_SHELL_STRING}", re.DOTALL
)
"""Strings match too, without groups: `sort -u names.txt` in a body is no option of the command."""
_COOKIE_OPTION = re.compile(rf"(?<!\S)(?:-b\s*|--cookie[\s=]+){_QUOTED}")
_HEADER_FIELD = re.compile(
    r"""["']((?:[A-Za-z0-9]+-)+[A-Za-z0-9]+|cookie)["']\s*:\s*f?["']((?:bearer\s+|basic\s+)?)([^\s"'$\\{}]{8,})""", re.I
)


def mask_secrets(text: str) -> str:
    """Replace keys, cookies and passwords in the headers, options and addresses of a command or program.

    Each is replaced everywhere in the text, also in a body that repeats it. Names of variables are kept.
    """
    secrets = set(_secrets(text))
    text = _SECRET.sub(lambda match: match[0] if _is_code(match[2]) else match[1] + MASK, text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= LEAST_CHARS and not _is_code(secret) and not is_placeholder(secret) and "$" not in secret:
            text = text.replace(secret, MASK)
    return text


def _secrets(text: str) -> Iterator[str]:
    for found in _HEADER_OPTION.finditer(text):
        name, _, value = "".join(filter(None, found.groups())).partition(":")
        yield from of_field(name.strip(), value.strip())
    for found in _USER_OPTION.finditer(text):
        bearer, *values = found.groups()
        value = "".join(filter(None, values))
        user, colon, password = value.partition(":")
        if bearer or colon:
            yield value
            yield password or user
        elif has_digit(user):  # some servers take a key as the user's name
            yield user
    for found in _COOKIE_OPTION.finditer(text):
        yield from of_field("cookie", "".join(filter(None, found.groups())))
    for found in _HEADER_FIELD.finditer(text):
        if has_digit(found[3]):
            yield from of_field(found[1], found[3])
    for secret in addresses_in(text):
        yield from secret.values


def _is_code(value: str) -> bool:
    return bool(re.match(r"(?:os|process|env|config|settings|import)\b[.\[]|[A-Z][A-Z0-9_]+$", value))


def open_any_bytes(data: bytes, name: str = "") -> OpenedPrompt:
    """As `open_any`, for a file's bytes in UTF-8, UTF-16 or UTF-32."""
    return open_any(file_text(data, name or "the file"), name)


def open_any(text: str, name: str = "") -> OpenedPrompt:
    """Return the document in `text`, with notes about changes and omissions. Raises InputError.

    `name`: the file's name; empty for pasted text.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")) and not name.lower().endswith(_YAML_NAMES):
        return _json(text.lstrip("\ufeff"))
    if _CURL.match(start):
        return open_curl(mask_secrets(text.lstrip("\ufeff")), name)
    if name.lower().endswith(_YAML_NAMES) or start.startswith("---"):
        return open_yaml(text, name)
    if CALL.search(text) or _COMPLETIONS.search(text) or _posts(text):
        return open_snippet(mask_secrets(text))
    if re.search(r"^(?:messages|prompts)\s*:", text, re.MULTILINE):
        return open_yaml(text, name)
    if re.search(r"^(?:[^\n#]*[\s|;&(])?curl(?:\.exe)?[ \t]+(?:[-\\$]|['\"]?https?:)", start, re.MULTILINE):
        before = re.match(_BEFORE_CURL, start)
        line = text[: len(text) - len(start) + (before.end() if before else 0)].count("\n") + 1
        read = mask_secrets(text.splitlines()[line - 1].strip())[:60]
        why = f"before curl, only comments and simple assignments, one in a line, are read, not {read}"
        if text.split("\n")[line - 1].endswith("\r"):
            why = "it ends in CR LF, and for a shell the CR belongs to the value"
        raise InputError.of((), f"line {line}: {why}.", "Paste the curl command alone.")
    raise InputError.of((), "this is no known prompt format.", ACCEPTED)


def _json(text: str) -> OpenedPrompt:
    try:
        value = loads(text, max_bytes=MAX_FILE_BYTES)
    except JsonBoundsError as error:
        raise InputError.of((), str(error)) from None
    except json.JSONDecodeError:
        lines = [line for line in json_lines(text) if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            return open_json_lines(lines)
        return parse(text)  # raises InputError with the position
    return open_json(value, text)
