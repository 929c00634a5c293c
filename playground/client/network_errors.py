"""Conversion of httpx errors, and of faulty settings of this machine, to errors for the user."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

import httpx

from playground.client.connection import Proxy, ProxyError
from playground.client.errors import cut_error
from playground.client.events import ApiError

_CHECK_SERVER = "Check that the base URL is that of an OpenAI-compatible server."
_CERTIFICATE_SETTINGS = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def network_error(error: Exception, base_url: str, *, begun: bool, proxy: Proxy | None = None) -> ApiError:
    """Return the error for an httpx error. `begun`: headers had come. `proxy`: the request's proxy, if it had one."""
    if isinstance(error, httpx.TimeoutException):
        return stalled_error() if begun else _timeout(error, base_url, proxy)
    if begun:
        return cut_error()
    if proxy is not None and (found := _proxy_error(error, proxy)) is not None:
        return found
    if isinstance(error, httpx.ProxyError):
        return ApiError("connect", "The proxy did not let the request through", f"{base_url}: {error}", "Check it.")
    if isinstance(error, httpx.ConnectError):
        return _connect(error, base_url)
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return ApiError("protocol", "The server does not speak HTTP", f"{base_url}: {error}.", _CHECK_SERVER)
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return ApiError(
            "protocol", "The server hung up without an answer", f"{base_url}: {_words_of(error)}", _CHECK_SERVER
        )
    return ApiError("connect", "The request could not be sent", f"{base_url}: {error}", "Check the base URL.")


def _words_of(error: Exception) -> str:
    """Return the text of an error, or of its cause: a reset connection has none."""
    causes = (error, error.__cause__, error.__context__)
    return next((str(each) for each in causes if each is not None and str(each)), "the connection was reset")


def stalled_error() -> ApiError:
    """Return the error for a response that stalled after its headers."""
    return ApiError(
        "timeout",
        "The stream stalled",
        "Nothing came for longer than the time-out allows.",
        "The received text remains. Send again, or give the request_id to support.",
    )


def _timeout(error: httpx.TimeoutException, base_url: str, proxy: Proxy | None) -> ApiError:
    through = f" (through the proxy {proxy.address} of {proxy.source})" if proxy else ""
    if isinstance(error, httpx.ConnectTimeout):
        advice = f"Check {proxy.source} and the network." if proxy else "Check the address and the network."
        return ApiError("timeout", "No connection in time", f"{base_url} did not answer{through}.", advice)
    if isinstance(error, httpx.WriteTimeout):
        return ApiError(
            "timeout", "The request could not be sent in time", f"{base_url} did not take it{through}.", "Send again."
        )
    return ApiError(
        "timeout", "No answer in time", f"{base_url} took the request but did not answer{through}.", "Send again."
    )


def _proxy_error(raised: Exception, proxy: Proxy) -> ApiError | None:
    """Return the error if the proxy failed or may have failed; None if the server behind it failed."""
    if isinstance(raised, httpx.ProxyError):
        return _error_of_proxy("The proxy did not let the request through", f"answered: {raised}", proxy)
    if isinstance(raised, httpx.RemoteProtocolError | httpx.ReadError):
        text = f"or the server behind it did not answer in HTTP: {raised}"
        return _error_of_proxy("No answer came through the proxy", text, proxy)
    if not isinstance(raised, httpx.ConnectError):
        return None
    for cause in _causes(raised):
        if isinstance(cause, ssl.SSLError):
            return None
        if isinstance(cause, socket.gaierror):
            return _error_of_proxy("The proxy was not found", f"has no address: {cause.strerror}", proxy)
    return _error_of_proxy("The proxy does not answer", "accepts no connection", proxy)


def _error_of_proxy(title: str, text: str, proxy: Proxy) -> ApiError:
    advice = f"Correct or unset {proxy.source}, or add the server to NO_PROXY."
    return ApiError("connect", title, f"{proxy.address} (from {proxy.source}) {text}.", advice)


def _connect(error: httpx.ConnectError, base_url: str) -> ApiError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            title = "The server's certificate was not accepted"
            detail = f"{base_url}: {cause.verify_message.rstrip('.')}."
            return ApiError("tls", title, detail, "Check the address, the clock and the extra certificates.")
        if isinstance(cause, ssl.SSLError):
            advice = "If the server speaks plain http (as local ones do), begin the base URL with http://."
            return ApiError("tls", "No secure connection was established", f"{base_url}: {_text(cause)}.", advice)
        if isinstance(cause, socket.gaierror):
            return ApiError(
                "connect",
                "The host was not found",
                f"{base_url} has no address: {cause.strerror}.",
                "Check the base URL and the network.",
            )
    return ApiError(
        "connect",
        "No server at this address",
        f"Nothing answers at {base_url}: is the server running?",
        "Start it, or check the address and the port.",
    )


def _text(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all of its causes; anyio groups the errors of a host's several addresses."""
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


def setup_error(error: Exception, ca_file: str = "") -> ApiError:
    """Return the error for settings with which no connection can be made: a proxy, or a certificate file."""
    if isinstance(error, ProxyError):
        detail = f"{error} Nothing was sent."
        return ApiError("setup", "This machine's settings are in the way", detail, "Correct the variable or unset it.")
    if ca_file and not _usable(ca_file):
        detail = f"The certificate file {ca_file} cannot be used ({error}); nothing was sent."
        return ApiError("setup", "A setting is in the way", detail, "Correct it under Settings, or leave it empty.")
    named = next((name for name in _CERTIFICATE_SETTINGS if os.environ.get(name)), None)
    if isinstance(error, OSError) and named is not None:
        detail = f"{named} names {os.environ[named]}, which cannot be used; nothing was sent."
        return ApiError("setup", "This machine's settings are in the way", detail, "Correct it or unset it.")
    return ApiError("setup", "This machine's settings are in the way", f"{error}; nothing was sent.", "")


def _usable(ca_file: str) -> bool:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError:  # ssl.SSLError is one
        return False
    return True
