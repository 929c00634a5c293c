"""Endpoints: base URL with its validation and origin, model, limits, rates. Keys are in the credential store only."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from playground.prompt.field_errors import InputError

if TYPE_CHECKING:
    from playground.client.events import Usage


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
    if any(mark in url for mark in "?#;"):
        raise _bad("the base URL has a query, fragment or parameter.", "Leave out everything from ?, # or ; on.")
    path = parts.path.rstrip("/").removesuffix(_COMPLETIONS).rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(':')}{path}"


def refuse_key(name: str, text: str) -> None:
    """Raise InputError if `text` has an API key in it: the field is stored and displayed."""
    if _KEY.search(text):
        raise InputError.of(
            (name,), f"the {_LABELS[name]} has an API key in it.", "Take it out; the key has its own field."
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
    if not _BARE_HOST.match(url) or "://" in url or "@" in url:
        return _EXAMPLE
    # Imported here: a wrong address is rare.
    from playground.prompt.secret_values import masked_address

    guess = f"http://{url}"
    try:
        scheme = "http" if is_loopback(guess) else "https"
    except ValueError:
        return _EXAMPLE
    return f"Is it {masked_address(f'{scheme}://{url}')}?"


def _bad(message: str, hint: str = _EXAMPLE) -> InputError:
    return InputError.of(("base_url",), message, hint)


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


ELECTRON_BASE_URL = "https://api.smallest.ai/waves/v1"
SIMULATOR_ID = "simulator"
ELECTRON_ID = "electron"


PER = 1_000_000
"""Tokens that a rate is for."""


class Rates(Struct, frozen=True):
    """Dollars per million tokens; None is not priced (displayed as such, never as 0)."""

    fresh: float | None = None
    cached: float | None = None
    output: float | None = None
    source: str = ""

    def input_cost(self, fresh: float, cached: float) -> float | None:
        """Return the dollars for so many fresh and cached tokens; None unless both rates are set."""
        if self.fresh is None or self.cached is None:
            return None
        return (fresh * self.fresh + cached * self.cached) / PER

    def saved(self, tokens: float) -> float | None:
        """Return the dollars by which so many tokens cost less if they are cached; None unless both rates are set."""
        return None if self.fresh is None or self.cached is None else tokens * (self.fresh - self.cached) / PER


PUBLISHED_RATES = Rates(0.40, 0.10, None, "the vendor's published API schema")
"""electron-api.md, Prefix caching: input rates from the published schema; no output rate is published."""


class PlanLimits(Struct, frozen=True):
    """An account's limits; None means no known limit."""

    name: str
    requests_per_minute: int | None
    in_flight: int | None


PLANS: dict[str, PlanLimits] = {
    "standard": PlanLimits("Standard", 10, 3),
    "enterprise": PlanLimits("Enterprise", 200, 20),
    "none": PlanLimits("No limits", None, None),
}
"""electron-api.md, Plan limits."""


ContextSource: TypeAlias = Literal["", "documented", "set", "models", "learned"]
CONTEXT_SOURCES: dict[ContextSource, str] = {
    "documented": "documented by the vendor",
    "set": "set by you",
    "models": "reported by GET /models",
    "learned": "learned from a refusal",
}
"""Sources of a context length, as text."""


class Endpoint(Struct, frozen=True):
    """One OpenAI-compatible server. `id` is stable and names its key in the credential store."""

    id: str
    name: str
    base_url: str
    model: str = "electron"
    kind: Literal["simulator", "electron", "other"] = "other"
    needs_key: bool = True
    plan: PlanLimits = PLANS["none"]
    rates: Rates = Rates()
    context_tokens: int | None = None
    """Most tokens of input and output together; None: not known, and not checked."""
    context_source: ContextSource = ""
    """Where `context_tokens` is from; empty in files of older versions."""


class Cost(Struct, frozen=True):
    """Dollars; None if the rate is not set or the tokens were not reported.

    `saved` is the difference to the cost of the cached tokens at the rate of fresh ones.
    """

    fresh: float | None = None
    cached: float | None = None
    output: float | None = None
    saved: float | None = None

    @property
    def input(self) -> float | None:
        """Return the cost of fresh and cached input."""
        return None if self.fresh is None or self.cached is None else self.fresh + self.cached

    @property
    def total(self) -> float | None:
        """Return the cost of input and output."""
        return None if self.input is None or self.output is None else self.input + self.output


@lru_cache(4096)
def cost(usage: Usage | None, rates: Rates) -> Cost:
    """Return the cost of one request. Counts that contradict each other have none.

    Cached: the Recorder adds up 2,000 rows, once as a whole and once by program, several times per second.
    """
    if usage is None or usage.contradicts:
        return Cost()
    return Cost(
        fresh=price(usage.fresh_tokens, rates.fresh),
        cached=price(usage.cached_tokens, rates.cached),
        # A total above its parts has output that is not counted in them, such as reasoning.
        output=None if usage.parts_left_out > 0 else price(usage.completion_tokens, rates.output),
        saved=None if usage.cached_tokens is None else rates.saved(usage.cached_tokens),
    )


def price(tokens: float | None, rate: float | None) -> float | None:
    """Return the dollars for tokens at a rate; None if either is not known."""
    return None if tokens is None or rate is None else tokens * rate / PER
