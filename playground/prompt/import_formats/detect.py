"""Opens text in any supported format: the format is recognised by the content, and by the file's name."""

from __future__ import annotations

import json
import re

from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import MAX_FILE_BYTES, OpenedPrompt, parse
from playground.prompt.import_formats.api_bodies import open_json, open_json_lines
from playground.prompt.import_formats.snippets import CALL, CALL_ENDS, ReadFile, open_curl, open_snippet, refuse_files
from playground.prompt.import_formats.yaml_files import open_yaml
from playground.prompt.json_bounds import JsonBoundsError, json_lines, loads

ACCEPTED = (
    "Accepted: a prompt file, a request body, a list of messages, a curl command, Python or JavaScript with an SDK "
    "call, OpenAI batch lines, and the formats of Anthropic, Langfuse, GitHub Models, Prompty, dotprompt and promptfoo."
)
_CURL = re.compile(r"(?:\$\s+)?(?:\S*[/\\])?curl(?:\.exe)?\s")
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
    if start.startswith("---\n") or re.match(r"(?:messages|prompts|name|model)\s*:.*\n", start):
        return "prompt file in YAML" if re.search(r"^(?:messages|prompts|model|inputs|config)\s*:", start, re.M) else ""
    return ""


_SECRET = re.compile(
    r"""((?:authorization\s*["']?\s*[:=]\s*["']?(?:f["'])?(?:bearer\s+|basic\s+)?|(?:x-)?api[-_]?key\s*["']?\s*[:=]\s*["']?))"""
    r"""([^\s"'`$\\{}(),^]{8,})""",
    re.IGNORECASE,
)


def mask_secrets(text: str, mask: str) -> str:
    """Replace values of authorization headers and `api_key` arguments; names of variables are kept."""
    return _SECRET.sub(lambda match: match[0] if _is_code(match[2]) else match[1] + mask, text)


def _is_code(value: str) -> bool:
    return bool(re.match(r"(?:os|process|env|config|settings|import)\b[.\[]|[A-Z][A-Z0-9_]+$", value))


def open_any_bytes(data: bytes, name: str = "") -> OpenedPrompt:
    """As `open_any`, for a file's bytes in UTF-8."""
    if len(data) > MAX_FILE_BYTES:
        raise InputError(FieldError((), f"the file has {len(data):,} bytes; the limit is {MAX_FILE_BYTES:,}."))
    try:
        return open_any(data.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        raise InputError(
            FieldError((), f"the file is not UTF-8 text (byte {error.start:,}).", "Save it as UTF-8 and open it again.")
        ) from None


def open_any(text: str, name: str = "", read_file: ReadFile = refuse_files) -> OpenedPrompt:
    """Return the document in `text`, with notes about changes and omissions. Raises InputError.

    Args:
        name: the file's name; empty for pasted text.
        read_file: reads a file that a curl command names; pasted commands do not read files.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")) and not name.lower().endswith(_YAML_NAMES):
        return _json(text.lstrip("\ufeff"))
    if _CURL.match(start):
        return open_curl(start, read_file)
    if name.lower().endswith(_YAML_NAMES) or start.startswith("---"):
        return open_yaml(text, name)
    if CALL.search(text):
        return open_snippet(text)
    if re.search(r"^(?:messages|prompts)\s*:", text, re.MULTILINE):
        return open_yaml(text, name)
    raise InputError(FieldError((), "this is no known prompt format.", ACCEPTED))


def _json(text: str) -> OpenedPrompt:
    try:
        value = loads(text, max_bytes=MAX_FILE_BYTES)
    except JsonBoundsError as error:
        raise InputError(FieldError((), str(error))) from None
    except json.JSONDecodeError:
        lines = [line for line in json_lines(text) if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
            return open_json_lines(lines)
        return parse(text)  # raises InputError with the position
    return open_json(value, text)
