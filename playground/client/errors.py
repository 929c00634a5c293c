"""Errors for the user, with advice: meaning of an error response, of none, or of one that is no completion."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from playground import asset
from playground.client import error_body
from playground.client.error_body import TooLong, too_long
from playground.client.events import ApiError
from playground.client.redact import redact, redact_error
from playground.client.stream_masking import redact_body

STATUSES = msgspec.json.decode(asset("statuses.json").read_bytes(), type=dict[int, tuple[str, str]])
"""Title and advice by status (electron-api.md, Errors)."""
NAMED_FIELD = "Correct the named field; the same request gets the same answer."
NO_RETRY_AFTER = "The server did not say how long to wait (no Retry-After); a few seconds usually do."
MAX_BODY_CHARS = 65_536
MAX_SHOWN = 200
"""Maximum number of displayed characters of a response that is not a chat completion."""


NO_KEY_TITLE = "No key was sent"
NO_KEY_ADVICE = "This server wants a key. Add one to this endpoint."
QUOTA_TITLE = "The quota is used up"
QUOTA_ADVICE = "Waiting does not help. Look at the plan and the balance in the provider's console."
_QUOTA_CODE = re.compile(
    r"insufficient_(quota|balance|funds|credits)|quota_exceeded|exceeded_current_quota_error|credits_exhausted"
    r"|billing_(hard_limit_reached|not_active)|payment_required",
    re.IGNORECASE,
)
_QUOTA_TEXT = re.compile(
    r"exceeded your current quota|insufficient (balance|quota|credits?|funds)|out of credits|your plan and billing",
    re.IGNORECASE,
)


def http_error(
    status: int, headers: Mapping[str, str], body: str, key: str | None, *, key_sent: bool | None = None
) -> ApiError:
    """Return the error for an error status.

    headers: by lower-case name. body: the received part. key: masked in all texts. key_sent: None if unknown.
    """
    # Masked before it is cut, so that no part of a key is left at the end.
    body = redact_body(body, key)[:MAX_BODY_CHARS]
    envelope = error_body.parse(body)
    wait_s = retry_after_s(headers.get("retry-after"))
    if (ms := headers.get("retry-after-ms")) and wait_s is None:
        wait_s = retry_after_s(ms)
        wait_s = None if wait_s is None else wait_s / 1000
    length = _context_length(status, envelope)
    error = ApiError(
        "http",
        _title(status),
        "\n".join(envelope.lines) or f"The server answered {status} without an explanation.",
        _shorten(length) or _advice(status, headers, wait_s, envelope.names_a_field),
        status=status,
        error_type=envelope.type,
        details=envelope.details,
        body_request_id=envelope.request_id,
        retry_after_s=wait_s,
        body=body,
        code=envelope.code,
        context_length=length.limit if length else None,
    )
    if status in (401, 403) and key_sent is False:
        # The server's words may be about a wrong key.
        detail = f"The server answered: {error.detail}" if envelope.lines else error.detail
        error = replace(error, title=NO_KEY_TITLE, detail=detail, advice=NO_KEY_ADVICE)
    elif is_quota(error):
        error = replace(error, title=QUOTA_TITLE, advice=QUOTA_ADVICE)
    return redact_error(error, key)


def is_quota(error: ApiError) -> bool:
    """Return whether a request was refused for lack of quota or credit, so that waiting does not help."""
    if error.status not in (402, 403, 429):
        return False
    if any(word and _QUOTA_CODE.fullmatch(word) for word in (error.error_type, error.code)):
        return True
    return error.retry_after_s is None and _QUOTA_TEXT.search(error.detail) is not None


def stream_error(body: str, key: str | None) -> ApiError:
    """Return the error for an error object inside a 200 response."""
    body = redact(body, key)[:MAX_BODY_CHARS]
    envelope = error_body.parse(body)
    length = _context_length(400, envelope)
    error = ApiError(
        "stream_error",
        "The server ended its answer with an error",
        "\n".join(envelope.lines) or "The server gave no explanation.",
        _shorten(length) or "Text received before the error remains. Send again, or give the request_id to support.",
        error_type=envelope.type,
        details=envelope.details,
        body_request_id=envelope.request_id,
        body=body,
        code=envelope.code,
        context_length=length.limit if length else None,
    )
    return redact_error(error, key)


def without_request_id(error: ApiError) -> ApiError:
    """Return the error without the advice to give the request_id to support, for a response without one."""
    return replace(error, advice=_REQUEST_ID_ADVICE.sub(".", error.advice))


_REQUEST_ID_ADVICE = re.compile(r",? or give the request_id to support\.?")


def _title(status: int) -> str:
    if 300 <= status < 400:
        return "The server points to another address"
    title, _ = STATUSES.get(status, ("The server failed" if status >= 500 else "The request failed", ""))
    return title


def _advice(status: int, headers: Mapping[str, str], wait_s: float | None, names_a_field: bool) -> str:
    if 300 <= status < 400:
        target = headers.get("location", "another address")
        return f"It redirects to {target}. Nothing was sent there; change the base URL if that is right."
    if status in (400, 422) and names_a_field:
        return NAMED_FIELD
    _, advice = STATUSES.get(
        status, ("", "Send again later, or give the request_id to support." if status >= 500 else "")
    )
    if wait_s is not None:
        return f"The server asks to wait {math.ceil(wait_s)} s (Retry-After). {advice}".rstrip()
    return f"{advice} {NO_RETRY_AFTER}" if status == 429 else advice


def _context_length(status: int, envelope: error_body.Envelope) -> TooLong | None:
    """Return the token counts of a refusal for length; None if it is another refusal or has no counts."""
    if status not in (400, 413, 422):
        return None
    found = next((found for line in envelope.lines if (found := too_long(line)) is not None), None)
    if envelope.context_length is not None:
        wanted = envelope.prompt_tokens or (found.wanted if found else None)
        return TooLong(envelope.context_length, wanted, found.output if found else None)
    return found


def _shorten(length: TooLong | None) -> str:
    """Return advice with the server's count of excess tokens; "" if unknown."""
    if length is None or length.over is None:
        return ""
    tokens = "token" if length.over == 1 else "tokens"
    return (
        f"{length.over:,} {tokens} over: {length.wanted:,} asked for, {length.limit:,} fit. "
        f"Shorten the prompt{'.' if length.output == 0 else ', or lower max_tokens if it is set.'}"
    )


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Parse Retry-After, a number or an HTTP date, to seconds from now (at least 0); None if it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, now or datetime.now(UTC))
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _until(date: str, now: datetime) -> float | None:
    # Imported here: few responses need it, and startup does not.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def cut_error(rest: str = "") -> ApiError:
    """Return the error for a stream that ended early. `rest`: the received part of an event that was not complete."""
    return ApiError(
        "cut",
        "The stream was cut",
        "The connection ended before the answer did.",
        "The received text remains; its cost is unknown.",
        body=rest[:MAX_BODY_CHARS],
    )


def unreadable_error(coding: str) -> ApiError:
    """Return the error for a response in a content coding that is not read."""
    return ApiError(
        "protocol",
        "The response cannot be read",
        f"It has the content coding {coding}; only gzip and deflate are read.",
        "Let the request accept gzip, and the endpoint send it. The Recorder forwards such a response unchanged.",
    )


def unpack_error() -> ApiError:
    """Return the error for compressed data that is damaged."""
    return ApiError(
        "protocol",
        "The response cannot be unpacked",
        "Its content coding is damaged.",
        "The received text remains. Check that the base URL is that of an OpenAI-compatible server.",
    )


def cut_call_error(reason: str | None = None) -> ApiError:
    """Return the error for a response that ended inside a tool call. `reason`: its finish_reason."""
    ending = f"with finish_reason {reason}" if reason else "without finish_reason"
    return ApiError(
        "cut",
        "The tool call was cut",
        f"The answer ended {ending}, and the arguments of a tool call are not complete JSON.",
        f"{'Raise max_tokens, then send' if reason == 'length' else 'Send'} again. The call was not run; the received "
        "part remains.",
    )


def empty_error(body: str = "") -> ApiError:
    """Return the error for a response without text and finish_reason or message. `body`: text that was no chunk."""
    shown = body.strip()
    return ApiError(
        "protocol",
        "The server sent an empty answer",
        f"The server sent: {shown[:MAX_SHOWN]}" if shown else "There was no text and no tool call.",
        "Send again, or give the request_id to support.",
        body=body[:MAX_BODY_CHARS],
    )


def not_a_chunk(data: str, content_type: str = "", *, begun: bool = False) -> ApiError:
    """Return the error for data that is not a chat completion. `begun`: chunks had come, so the URL is right."""
    start = data.strip()[:MAX_SHOWN]
    named = f"The server answered with {content_type}: " if content_type else "The server sent: "
    if begun:
        title, advice = "The stream has an event that cannot be read", "The received text remains. Send again."
    else:
        title = "The response is not a chat completion"
        advice = "Check that the base URL is that of an OpenAI-compatible server."
    detail = f"{named}{start}" if start or content_type else "The server sent an empty answer."
    return ApiError("protocol", title, detail, advice, body=data[:MAX_BODY_CHARS])


def second_answer_error() -> ApiError:
    """Return the error for a response with two whole completions."""
    return ApiError("protocol", "The response has two answers", "One was expected.", "The first remains. Send again.")


def bounds_error(error: Exception) -> ApiError:
    """Return the error for a response that exceeds a bound: bytes, events, or size and depth of its JSON."""
    return ApiError("protocol", "The response is too large", str(error), "The received text remains.")


def turn_error(limit_s: float) -> ApiError:
    """Return the error for a turn that took longer than the voice limit."""
    return ApiError(
        "timeout",
        "The turn took too long",
        f"The voice limit of {limit_s:g} s was reached: a caller would have heard silence.",
        "The received text remains. Change or switch off the limit under Settings.",
    )


def key_error() -> ApiError:
    """Return the error for a key that cannot be sent in a header."""
    return ApiError(
        "key",
        "The key cannot be sent",
        "It is empty, or contains a space, a quotation mark, a backslash or a character not allowed in HTTP headers. "
        "Nothing was sent.",
        "Paste the key alone, without quotation marks, as the key of this endpoint.",
    )


def exposed_key_error(base_url: str) -> ApiError:
    """Return the error for a key that would be sent unencrypted to another machine."""
    return ApiError(
        "key",
        "The key was not sent",
        f"{base_url} is plain http on another machine: the network could read the key. Nothing was sent.",
        "Use https, or switch off “needs a key” for this endpoint.",
    )
