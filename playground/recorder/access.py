"""Which requests the Recorder accepts: from programs on this machine, never from web pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from msgspec import Struct

LOOPBACK_NAMES = frozenset(("127.0.0.1", "localhost", "[::1]"))

Headers = Sequence[tuple[bytes, bytes]]


class AccessRefusal(Struct, frozen=True):
    """A request that is answered by the Recorder itself."""

    status: int
    message: str


class AccessPolicy(Struct, frozen=True):
    """Accept requests whose path begins with `base_path`, after `token` if there is one.

    `base_path` is the path of the endpoint's base URL, without a trailing slash ("/waves/v1", or "").
    `token` is a path segment that the caller must know; empty: none is required.
    """

    base_path: str = ""
    token: str = ""

    @property
    def public_path(self) -> str:
        """Return the path that callers use as base."""
        return f"/{self.token}{self.base_path}" if self.token else self.base_path

    def check(self, target: bytes, headers: Headers) -> AccessRefusal | None:
        """Return why a request is refused, or None.

        A web page that reaches this address by DNS rebinding has another `Host`; a page that calls it directly has an
        `Origin` or `Sec-Fetch-Site` header, which programs do not send.
        """
        values = {name.lower(): value.decode("latin-1") for name, value in headers}
        # Without one: HTTP/1.0, which no browser sends.
        if b"host" in values and _host_name(values[b"host"]) not in LOOPBACK_NAMES:
            return AccessRefusal(403, "The Host header does not name this machine's loopback address.")
        if b"origin" in values or values.get(b"sec-fetch-site", "none") != "none":
            return AccessRefusal(403, "The Recorder does not accept requests from web pages.")
        path = target.split(b"?", 1)[0].decode("latin-1")
        base = self.public_path
        # The server may resolve dot segments, which then lead out of the base path.
        is_above = any(segment in (".", "..") for segment in re.split(r"[/\\]", unquote(path)))
        if is_above or (path != base and not path.startswith(base + "/")):
            # The token must not be in the response.
            where = f"{self.base_path or '/'}, after the token of the base URL" if self.token else base or "/"
            return AccessRefusal(404, f"The Recorder forwards paths under {where} only.")
        return None

    def upstream_target(self, target: bytes) -> bytes:
        """Return the path and query to request upstream: the caller's, without the token."""
        return target[len(self.token) + 1 :] if self.token else target


def _host_name(host: str) -> str:
    """Return the name in a Host header, lower case, without its port."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[: name.find("]") + 1]
    return name.partition(":")[0]
