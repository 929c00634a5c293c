"""Selection of the proxy for a request from the environment, as curl and other clients do it.

httpx's own selection fails for every request if NO_PROXY has an IPv6 entry (`::1/128`) or if a variable that the
request does not need has an unknown scheme (`ALL_PROXY=socks://…`). This one looks only at the variables that apply.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

_HAS_SYSTEM_PROXY: bool = sys.platform in ("darwin", "win32")
_SCHEMES = {"socks": "socks5h", "socks5": "socks5", "socks5h": "socks5h", "http": "http", "https": "https"}


class Proxy(Struct, frozen=True):
    """A proxy for a request. `url` may contain a password; `address`, for display, does not. `source`: its variable."""

    url: str
    source: str

    @property
    def address(self) -> str:
        """Return scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class ProxyError(ValueError):
    """The variable that applies to a request names no usable proxy."""


def proxy_for(base_url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL; None to connect directly. Raises ProxyError.

    HTTPS_PROXY or HTTP_PROXY by the URL's scheme, else ALL_PROXY; lower-case names first. NO_PROXY excepts hosts.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if excepted(host, port, _value(environ, "no_proxy")[1]):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        source, value = _value(environ, name)
        if value:
            return Proxy(_usable(source, value), source)
    return _system_proxy(parts.scheme, host)


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the name of the variable in the environment and its value; lower case first."""
    for spelled in (name, name.upper()):
        if value := environ.get(spelled, "").strip():
            return spelled, value
    return name.upper(), ""


def _usable(source: str, value: str) -> str:
    url = value if "://" in value else f"http://{value}"
    # Imported on first use, as in the whole package.
    import httpx

    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0 and httpx.URL(url).host
    except (ValueError, httpx.InvalidURL):
        usable = None
    scheme = _SCHEMES.get(urlsplit(url).scheme if usable else "")
    if scheme is None:
        raise ProxyError(f"{source} is not the address of an http, https or socks5 proxy.")
    return f"{scheme}://{url.partition('://')[2]}"


def _system_proxy(scheme: str, host: str) -> Proxy | None:
    """Return the proxy in the settings of macOS or Windows, used only if no variable is set."""
    if not _HAS_SYSTEM_PROXY:
        return None
    # Imported here: with email and http.client, which it imports, it takes 30 ms of the start.
    from urllib.request import getproxies, getproxies_environment, proxy_bypass

    if getproxies_environment():
        return None
    value = getproxies().get(scheme)
    source = "The system's proxy setting"
    return None if not value or proxy_bypass(host) else Proxy(_usable(source, value), source)


def excepted(host: str, port: int, no_proxy: str) -> bool:
    """Return whether NO_PROXY excepts a host: names with subdomains, addresses, networks, each with an optional port.

    Other entries are ignored.
    """
    host = host.rstrip(".").lower()
    address = _address(host)
    for entry in re.split(r"[\s,;]+", no_proxy.lower()):
        if entry == "*" or (entry and _matches(entry, host, port, address)):
            return True
    return False


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _matches(entry: str, host: str, port: int, address: _Address | None) -> bool:
    entry = entry.partition("://")[2] or entry
    bracketed = re.fullmatch(r"\[([^\]]+)\](/\d+)?(?::(\d+))?", entry)
    if bracketed:
        name, wanted = bracketed[1] + (bracketed[2] or ""), bracketed[3]
    elif entry.count(":") == 1:
        name, _, wanted = entry.partition(":")
    else:
        name, wanted = entry, None
    if wanted and wanted != str(port):
        return False
    if address is not None:
        return _in_network(name, address)
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _in_network(name: str, address: _Address) -> bool:
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address in network or (mapped is not None and mapped in network)


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
