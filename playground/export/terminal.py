"""Escaping of control characters, so that text of servers and files cannot control a terminal or reorder a line."""

from __future__ import annotations

import re
import sys
import unicodedata
from contextlib import suppress
from typing import IO

# U+200C and U+200D are left out: they join letters and emoji, and change no order.
_UNSAFE = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    r"\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_CHARACTER = re.compile(rf"[{_UNSAFE}]")


def visible(text: str) -> str:
    r"""Replace control, bidi and invisible characters in `text` by escapes (\x1b, \u202e). Line feeds and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _CHARACTER.sub(lambda found: _escape(found.group()), text.replace("\r\n", "\n"))


def visible_line(text: str) -> str:
    """Escape like `visible`, for an id or a one-line message: also line feeds, tabs, joiners and unusual spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char == " " or (char.isprintable() and unicodedata.category(char) != "Cf") else _escape(char)
        for char in visible(text)
    )


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fenced(text: str, language: str = "") -> str:
    """Return a code block of Markdown with a fence longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def markdown_line(text: str) -> str:
    """Return a text as one line of Markdown without markup. Mask keys first: an escape would divide one."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else char for char in visible_line(text))


def for_stream(text: str, stream: IO[str]) -> str:
    """Return `text` for a stream: escaped by `visible` for a terminal, unchanged for a file or pipe."""
    return visible(text) if stream.isatty() else text


def print_line(text: str) -> None:
    """Print a line to standard output; a character that its encoding lacks is replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def print_error(message: str) -> None:
    """Print a message to standard error, with the program's name, always with visible control characters."""
    text = f"electron-playground: {visible(message)}"
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True)


def print_task_error(name: str, error: BaseException) -> None:
    """Print that a task failed, unless standard error is closed."""
    with suppress(OSError):
        print_error(f"{name} failed: {type(error).__name__}")
