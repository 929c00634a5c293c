"""Addresses of tool servers: a command line on this machine, or an HTTP address."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

from playground.prompt.field_errors import FieldError, InputError

EXAMPLES = "Write a command such as python my_server.py, or an address such as http://localhost:8000/mcp."


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A local program that is started and used over its standard input and output."""

    command: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """A server that is used over HTTP."""

    url: str


def read_address(text: str) -> CommandLine | Address:
    """Parse a typed address. A command line is split like a shell does, without running one. Raises InputError."""
    text = text.strip()
    if not text:
        raise InputError(FieldError(("server",), "names no tool server.", EXAMPLES))
    if "://" in text.split(maxsplit=1)[0]:
        return Address(_checked(text))
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(FieldError(("server",), f"this command line cannot be read: {error}.", EXAMPLES)) from None
    return CommandLine(words[0], tuple(words[1:]))


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        # Reading the port validates it.
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise InputError(FieldError(("server",), "this is no HTTP address.", EXAMPLES))
    if parts.username is not None:
        raise InputError(FieldError(("server",), "the address has a user name in it.", "Leave it out."))
    return url
