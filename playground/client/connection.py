"""Keep-alive HTTP connections for all requests of a session, and the proxy of a request, as curl selects it.

Expected failures are returned or yielded, not raised. httpx's own selection of a proxy fails for every request if
NO_PROXY has an IPv6 entry (`::1/128`) or if a variable that the request does not need has an unknown scheme
(`ALL_PROXY=socks://…`). This one looks only at the variables that apply.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct, field

from playground.client.endpoint import Endpoint, exposes_key, is_loopback
from playground.client.events import AnyEvent, ApiError, AttemptFailed, AttemptStarted
from playground.client.sse import DEFAULT_LIMITS, ResponseLimits
from playground.prompt.request import Request

if TYPE_CHECKING:
    import httpx

    from playground.client.models import ModelInfo

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


LONGEST_S = 60.0
MOST_BYTES = 1_000_000


class LocalToolError(Exception):
    """The address returned no result. The message is for the user and the model."""


async def post_arguments(url: str, arguments: Mapping[str, object]) -> str:
    """POST the arguments as JSON and return the body of a 2xx response. Raises LocalToolError.

    Calls only addresses on this machine; follows no redirect, uses no proxy and sends no key.
    """
    if not is_loopback(url):
        raise LocalToolError(f"{url} is not on this machine, and was not called.")
    # Imported on first use, as in the whole package.
    import httpx

    try:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=LONGEST_S) as client,
            client.stream("POST", url, json=dict(arguments)) as response,
        ):
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise LocalToolError(f"{url} answered with more than {MOST_BYTES // 1000:,} kB.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise LocalToolError(f"{url} could not be called: {str(error) or type(error).__name__}.") from None
    text = body.decode("utf-8", "replace")
    if not response.is_success:
        raise LocalToolError(f"{url} answered with {response.status_code}: {text[:200]}")
    return text or json.dumps(None)


Clock = Callable[[], float]
KEEP_ALIVE_S = 4.0
"""Idle connections are closed after this time: before common servers close theirs (uvicorn and Node: 5 s)."""
_NOT_IN_A_KEY = frozenset(" \"'`\\<>")


class Timeouts(Struct, frozen=True):
    """Seconds. `first_byte`: maximum wait for headers, and for the first byte after them (a slow model's thinking
    included). `idle`: maximum wait between two reads of a body.
    """

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 60.0
    write: float = 30.0


DEFAULT_TIMEOUTS = Timeouts()


class Network(Struct, frozen=True):
    """Network settings. `ca_file`: a PEM file of certificates trusted in addition to the system's; "": none.

    Proxies come from the environment (HTTPS_PROXY and so on); loopback addresses are connected directly.
    """

    timeouts: Timeouts = DEFAULT_TIMEOUTS
    ca_file: str = ""
    limits: ResponseLimits = DEFAULT_LIMITS


class _Pool(Struct):
    """An httpx client. A retired one accepts no new requests, and closes after its last request in flight."""

    client: httpx.AsyncClient
    in_flight: int = 0
    retired: bool = False


class _Route(Struct, frozen=True):
    """The requests that share a pool: plain or TLS, directly or through one proxy."""

    secure: bool
    proxy: Proxy | None = field(default=None)


class Connection:
    """Keeps connections open between requests, to avoid repeated TLS handshakes (electron-api.md, Endpoint)."""

    def __init__(
        self, timeouts: Timeouts = DEFAULT_TIMEOUTS, ca_file: str = "", limits: ResponseLimits = DEFAULT_LIMITS
    ):
        self._network = Network(timeouts, ca_file, limits)
        self._pools: dict[_Route, _Pool] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._creating = asyncio.Lock()

    def use(self, network: Network) -> None:
        """Apply other settings to all requests from now on; requests in flight continue as they began."""
        if network != self._network:
            self._network = network
            for route in list(self._pools):
                self._retire(route)

    async def warm(self) -> None:
        """Import httpx and create a client off the event loop: on it, the first request would block it for 170 ms.

        Never raises: faulty settings of this machine are reported by the request that needs them.
        """
        await self._pool("http://localhost")

    async def _pool(self, base_url: str) -> _Pool | ApiError:
        try:
            route = _route(base_url)
        except ProxyError as error:
            from playground.client.network_errors import setup_error

            return setup_error(error)
        async with self._creating:
            pool = self._pools.get(route)
            if pool is None:
                created = await asyncio.to_thread(_create_client, self._network, route)
                if isinstance(created, ApiError):
                    return created
                pool = self._pools[route] = _Pool(created)
            return pool

    def _retire(self, route: _Route) -> None:
        pool = self._pools.pop(route)
        pool.retired = True
        self._close_if_unused(pool)

    def _close_if_unused(self, pool: _Pool) -> None:
        if pool.retired and pool.in_flight == 0:
            closing = asyncio.get_running_loop().create_task(pool.client.aclose(), name="close connections")
            self._retired.add(closing)
            closing.add_done_callback(self._retired.discard)

    @asynccontextmanager
    async def _in_flight(self, pool: _Pool) -> AsyncIterator[None]:
        pool.in_flight += 1
        try:
            yield
        finally:
            pool.in_flight -= 1
            self._close_if_unused(pool)

    async def stream(
        self, endpoint: Endpoint, key: str | None, request: Request, clock: Clock, attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]:
        """Send once and yield the events; the last one is Completed or AttemptFailed.

        `clock` returns seconds since the run began. Closing the generator, or cancelling the task that iterates it,
        closes the connection at once. The key is sent to this endpoint's URL only: redirects are not followed.
        """
        yield AttemptStarted(clock(), attempt)
        pool = _refused(endpoint, key) or await self._pool(endpoint.base_url)
        if isinstance(pool, ApiError):
            yield AttemptFailed(clock(), pool)
            return
        # Imported here, after the first paint, like httpx.
        from playground.client.exchange import Exchange

        route, network = _route(endpoint.base_url), self._network
        exchange = Exchange(
            pool.client, endpoint, key, request, clock, network.timeouts, network.limits, proxy=route.proxy
        )
        async with self._in_flight(pool), aclosing(exchange.reads()) as reads:
            async for events in reads:
                if exchange.stale and self._pools.get(route) is pool:
                    # The other idle connections to that server are probably closed too: the retry opens a new one.
                    self._retire(route)
                for event in events:
                    yield event

    async def models(self, endpoint: Endpoint, key: str | None) -> tuple[ModelInfo, ...] | ApiError:
        """Return the models that an endpoint offers (`GET /models`), or the error."""
        pool = _refused(endpoint, key) or await self._pool(endpoint.base_url)
        if isinstance(pool, ApiError):
            return pool
        from playground.client.models import fetch_models

        async with self._in_flight(pool):
            return await fetch_models(pool.client, endpoint, key, _route(endpoint.base_url).proxy)

    async def client_for(self, base_url: str) -> httpx.AsyncClient | ApiError:
        """Return the client for an address, for the vendor's other services, or the error that prevents one."""
        pool = await self._pool(base_url)
        return pool if isinstance(pool, ApiError) else pool.client

    async def aclose(self) -> None:
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.client.aclose()
        if self._retired:
            await asyncio.wait(self._retired)


def _refused(endpoint: Endpoint, key: str | None) -> ApiError | None:
    if key is None:
        return None
    from playground.client.errors import exposed_key_error, key_error  # compiles patterns: not before the first request

    if not key or not _NOT_IN_A_KEY.isdisjoint(key) or not key.isascii() or not key.isprintable():
        return key_error()
    return exposed_key_error(endpoint.base_url) if exposes_key(endpoint.base_url) else None


def _route(base_url: str) -> _Route:
    """Return the pool of connections for a URL. Raises ProxyError."""
    proxy = None if is_loopback(base_url) else proxy_for(base_url, os.environ)
    return _Route(urlsplit(base_url).scheme == "https", proxy)


def _create_client(network: Network, route: _Route) -> httpx.AsyncClient | ApiError:
    """Create a client in a worker thread: the imports and the certificates take longer than a few frames."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import anyio
    import httpcore  # noqa: F401
    import httpx

    from playground.client.network_errors import setup_error

    anyio.run(_load_backend)
    timeouts = network.timeouts
    try:
        context = _context(network.ca_file, route)
        proxy = (
            None if route.proxy is None else httpx.Proxy(route.proxy.url, ssl_context=_proxy_context(context, route))
        )
        return httpx.AsyncClient(
            verify=context,
            timeout=httpx.Timeout(timeouts.first_byte, connect=timeouts.connect, write=timeouts.write),
            # The rate limiter, not the pool, limits the requests in flight.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_S),
            follow_redirects=False,
            # No cookie is stored: a request has only the headers that are displayed.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,  # proxy_for and _context read the environment
            proxy=proxy,
        )
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:  # ssl.SSLError is an OSError
        return setup_error(error, network.ca_file)


async def _load_backend() -> None:
    """Run an event loop in this thread, so that anyio imports its asyncio backend before the first request."""


def _proxy_context(context: ssl.SSLContext, route: _Route) -> ssl.SSLContext | None:
    return context if route.proxy is not None and route.proxy.url.startswith("https://") else None


def _context(ca_file: str, route: _Route) -> ssl.SSLContext:
    """Return the TLS settings for a route: the system's certificates, certifi's, and those of `ca_file`.

    SSL_CERT_FILE (in place of certifi) and SSL_CERT_DIR are honoured. Without TLS an empty context, which trusts no
    server, saves the time to load them. Raises OSError (ssl.SSLError is one) if a file cannot be used.
    """
    if not route.secure and (route.proxy is None or not route.proxy.url.startswith("https://")):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    import certifi

    context = _system_context()
    context.load_verify_locations(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
    if directory := os.environ.get("SSL_CERT_DIR"):
        context.load_verify_locations(capath=directory)
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    if ca_file or os.environ.get("SSL_CERT_FILE"):
        # Python 3.13 adds a check that certificates of self-made authorities often fail; earlier versions do not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def trusted_certificates(ca_file: str) -> int:
    """Return how many authorities an https connection trusts. Raises OSError if a file cannot be used."""
    return _context(ca_file, _Route(True)).cert_store_stats()["x509_ca"]


_SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
)


def _system_context() -> ssl.SSLContext:
    """Return a context that trusts the system's certificates."""
    if sys.platform in ("darwin", "win32"):
        # Uses the system's verifier, which knows certificates that an administrator has added.
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    if ssl.get_default_verify_paths().cafile is None:
        # An OpenSSL built for another system, as in a bundle, looks in a folder that does not exist.
        for path in _SYSTEM_CERTIFICATES:
            with suppress(OSError):
                context.load_verify_locations(cafile=path)
                break
    return context
