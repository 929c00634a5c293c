"""Calls of the user's own tools at an HTTP address on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping

from playground.client.urls import is_loopback

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
