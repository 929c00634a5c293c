"""What httpx raises, as trouble in words."""

from __future__ import annotations

import os
import ssl

import httpx

from playground.client.errors import cut_trouble
from playground.client.events import Trouble


def network_trouble(error: Exception, base_url: str, *, begun: bool) -> Trouble:
    """The trouble an httpx error is. `begun`: headers had come, so the server was there."""
    if isinstance(error, httpx.TimeoutException):
        return _timeout(error, base_url, begun)
    if isinstance(error, httpx.ConnectError):
        return _connect(error, base_url)
    if begun and isinstance(error, httpx.TransportError):
        return cut_trouble()
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return Trouble(
            "protocol",
            "The server hung up without an answer",
            f"{base_url}: {error}",
            "Check that the base URL is that of an OpenAI-compatible server.",
        )
    return Trouble("connect", "The request could not be sent", f"{base_url}: {error}", "Check the connection.")


def _timeout(error: httpx.TimeoutException, base_url: str, begun: bool) -> Trouble:
    if isinstance(error, httpx.ConnectTimeout):
        return Trouble(
            "timeout", "No connection in time", f"{base_url} did not answer.", "Check the address and the network."
        )
    if begun:
        return Trouble(
            "timeout",
            "The stream stalled",
            "Nothing came for longer than the time-out allows.",
            "The text that came is kept. Send again, or give the request_id to support.",
        )
    return Trouble("timeout", "No answer in time", f"{base_url} took the request but did not answer.", "Send again.")


def _connect(error: httpx.ConnectError, base_url: str) -> Trouble:
    text = str(error)
    if isinstance(error.__context__ and _root(error), ssl.SSLError) or "CERTIFICATE" in text.upper():
        return Trouble(
            "tls",
            "The server's certificate was not accepted",
            f"{base_url}: {text}",
            "Check the address and the clock.",
        )
    if "Name or service" in text or "getaddrinfo" in text or "nodename" in text or "name resolution" in text:
        return Trouble(
            "connect", "The host was not found", f"{base_url} has no address.", "Check the base URL and the network."
        )
    return Trouble(
        "connect", "Nothing answers there", f"{base_url}: {text}", "Is the server running? Check the address."
    )


def _root(error: BaseException) -> BaseException:
    while error.__context__ is not None:
        error = error.__context__
    return error


def setup_trouble(error: Exception) -> Trouble:
    """This machine's own settings keep a client from being made."""
    named = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    where = f"{named[0]} names {os.environ[named[0]]}, which cannot be used" if named else str(error)
    return Trouble(
        "setup", "This machine's settings are in the way", f"{where}; nothing was sent.", "Correct or unset it."
    )
