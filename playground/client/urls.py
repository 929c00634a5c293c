"""Validation of base URLs, and the origin to which a key belongs."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from playground.prompt.field_errors import FieldError, InputError

_EXAMPLE = "Give one such as https://api.smallest.ai/waves/v1 or http://127.0.0.1:8080/v1."
_COMPLETIONS = "/chat/completions"
_KEY = re.compile(r"\bsk[_-](?=[A-Za-z_\-]{0,200}[0-9])[A-Za-z0-9_\-]{16,}")
"""Narrower than the pattern that is masked: a path such as sk-learn-server is no key."""
_LABELS = {"base_url": "base URL", "name": "name", "model": "model"}
_BARE_HOST = re.compile(r"[\w.\-\[\]:]+(/|$)")


def check_base_url(text: str) -> str:
    """Return the normalized base URL: no space around it, no slash or /chat/completions at its end, scheme and host in
    lower case. Raises InputError.
    """
    url = text.strip()
    parts = _split(url)
    if parts.scheme not in ("http", "https") or "://" not in url:
        raise _bad("the base URL begins with neither http:// nor https://.", _meant(url))
    if any(character.isspace() or not character.isprintable() for character in url):
        raise _bad("the base URL has a space or a character that cannot be seen in it.")
    if parts.username is not None or parts.password is not None:
        raise _bad("the base URL has a user name or password in it.", "Leave them out; the key has its own field.")
    if not parts.hostname:
        raise _bad("the base URL names no host.")
    if not _is_host_name(parts.hostname):
        raise _bad("the base URL's host is not a valid name.")
    if "?" in url or "#" in url:
        raise _bad("the base URL has a query or fragment.", "Leave out everything from ? or # on.")
    path = parts.path.rstrip("/").removesuffix(_COMPLETIONS).rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(':')}{path}"


def refuse_key(name: str, text: str) -> None:
    """Raise InputError if `text` has an API key in it: the field is stored and displayed."""
    if _KEY.search(text):
        raise InputError(
            FieldError((name,), f"the {_LABELS[name]} has an API key in it.", "Take it out; the key has its own field.")
        )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _bad("the base URL is not a URL.") from error
    try:
        # Reading the port validates it.
        if parts.port == 0:
            raise ValueError("port 0")
    except ValueError as error:
        if parts.scheme in ("http", "https"):
            raise _bad("the base URL's port is not a number from 1 to 65535.") from error
    return parts


def _is_host_name(host: str) -> bool:
    if host.isascii() and "xn--" not in host:
        return True
    import httpx  # not for the first frame

    try:
        return bool(httpx.URL(f"http://{host}").host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def _meant(url: str) -> str:
    """Return the address with a scheme, as a hint, if only the scheme seems to be missing."""
    if not _BARE_HOST.match(url):
        return _EXAMPLE
    guess = f"http://{url}"
    try:
        scheme = "http" if is_loopback(guess) else "https"
    except ValueError:
        return _EXAMPLE
    return f"Is it {scheme}://{url}?"


def _bad(message: str, hint: str = _EXAMPLE) -> InputError:
    return InputError(FieldError(("base_url",), message, hint))


def origin(base_url: str) -> str:
    """Return scheme, host and port, to which a key belongs."""
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = (parts.hostname or "").lower()
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(base_url: str) -> bool:
    """Return whether the URL's host is this machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def exposes_key(base_url: str) -> bool:
    """Return whether a key would be sent unencrypted: plain http to another machine."""
    return urlsplit(base_url).scheme == "http" and not is_loopback(base_url)
