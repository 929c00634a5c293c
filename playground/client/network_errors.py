"""What httpx raises, as trouble in words."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

import httpx

from playground.client.errors import cut_trouble
from playground.client.events import ApiError

_CHECK_SERVER = "Check that the base URL is that of an OpenAI-compatible server."
_SETTINGS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")


def network_trouble(error: Exception, base_url: str, *, begun: bool) -> ApiError:
    """The trouble an httpx error is. `begun`: headers had come, so the server was there."""
    if isinstance(error, httpx.TimeoutException):
        return stalled_trouble() if begun else _timeout(error, base_url)
    if isinstance(error, httpx.DecodingError):
        return ApiError("protocol", "The response cannot be unpacked", f"{base_url}: {error}", _CHECK_SERVER)
    if begun:
        return cut_trouble()
    if isinstance(error, httpx.ProxyError):
        return ApiError(
            "connect", "The proxy did not let the request through", f"{base_url}: {error}", "Check HTTPS_PROXY."
        )
    if isinstance(error, httpx.ConnectError):
        return _connect(error, base_url)
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return ApiError("protocol", "What answers there is no web server", f"{base_url}: {error}.", _CHECK_SERVER)
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return ApiError("protocol", "The server hung up without an answer", f"{base_url}: {error}", _CHECK_SERVER)
    return ApiError("connect", "The request could not be sent", f"{base_url}: {error}", "Check the base URL.")


def stalled_trouble() -> ApiError:
    """Headers came, and then nothing for too long."""
    return ApiError(
        "timeout",
        "The stream stalled",
        "Nothing came for longer than the time-out allows.",
        "The text that came is kept. Send again, or give the request_id to support.",
    )


def _timeout(error: httpx.TimeoutException, base_url: str) -> ApiError:
    if isinstance(error, httpx.ConnectTimeout):
        return ApiError(
            "timeout", "No connection in time", f"{base_url} did not answer.", "Check the address and the network."
        )
    if isinstance(error, httpx.WriteTimeout):
        return ApiError(
            "timeout", "The request could not be sent in time", f"{base_url} did not take it.", "Send again."
        )
    return ApiError("timeout", "No answer in time", f"{base_url} took the request but did not answer.", "Send again.")


def _connect(error: httpx.ConnectError, base_url: str) -> ApiError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            title = "The server's certificate was not accepted"
            return ApiError("tls", title, f"{base_url}: {cause.verify_message}.", "Check the address and the clock.")
        if isinstance(cause, ssl.SSLError):
            advice = "If the server speaks plain http (as local ones do), begin the base URL with http://."
            return ApiError("tls", "No secure connection came about", f"{base_url}: {_words(cause)}.", advice)
        if isinstance(cause, socket.gaierror):
            return ApiError(
                "connect",
                "The host was not found",
                f"{base_url} has no address: {cause.strerror}.",
                "Check the base URL and the network.",
            )
    return ApiError(
        "connect",
        "Nothing answers there",
        f"Nothing answers at {base_url}: is the server running?",
        "Start it, or check the address and the port.",
    )


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from; anyio groups what several addresses of a host answered."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions


def setup_trouble(error: Exception, ca_file: str = "") -> ApiError:
    """This machine's own settings, or the certificate file of ours, keep a client from being made."""
    if ca_file and not _usable(ca_file):
        detail = f"The certificate file {ca_file} cannot be used ({error}); nothing was sent."
        return ApiError("setup", "A setting is in the way", detail, "Correct it under Settings, or leave it empty.")
    named = [name for name in _SETTINGS if os.environ.get(name)]
    if isinstance(error, OSError) and named and named[0].startswith("SSL_"):
        detail = f"{named[0]} names {os.environ[named[0]]}, which cannot be used; nothing was sent."
        return ApiError("setup", "This machine's settings are in the way", detail, "Correct it or unset it.")
    advice = f"Check {' and '.join(named)}." if named else ""
    return ApiError("setup", "This machine's settings are in the way", f"{error}; nothing was sent.", advice)


def _usable(ca_file: str) -> bool:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError:  # ssl.SSLError is one
        return False
    return True
