"""One recorded exchange as the events and the record that the request log stores.

Chat completions are understood; every other path is forwarded only. The caller's key is masked in everything kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from playground.client.content_coding import MAX_BODY_BYTES, Decompressor
from playground.client.credentials import credentials, stored_headers
from playground.client.endpoint import Endpoint
from playground.client.errors import cut_error, http_error, unreadable_error
from playground.client.events import AnyEvent, ApiError, AttemptFailed, AttemptStarted, HeadersReceived, Stopped
from playground.client.redact import redact, redact_error
from playground.client.response_decoder import ResponseDecoder, request_ids
from playground.client.retry import endpoint_hold_s
from playground.prefix_cache.program_groups import RETRY_S
from playground.prompt.document import Document, Json, Message
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, parse_value
from playground.prompt.json_text import as_utf8, loads
from playground.recorder.feed_messages import caller_credentials, encoding_of
from playground.recorder.proxy import ExchangeOutcome
from playground.recorder.wire import RawHeaders, is_recorded
from playground.runs.record import RequestRecord

if TYPE_CHECKING:
    from playground.recorder.recording import Recording
    from playground.runs.shared_rate_limiter import SharedRateLimiter

REMEMBERED = 20_000
"""Requests that can be continued; the oldest are forgotten first."""
MAX_FAILED = 1_000
"""Failed requests that can be sent again; the oldest are forgotten first."""


class Conversations:
    """Assigns conversation ids. One per Recorder."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, str] = OrderedDict()
        self._failed: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """Conversation and end of the newest failed request with each body, until it is sent again."""

    def assign(self, messages: Sequence[object], body: bytes, at_unix: float) -> str:
        """Return the id of the conversation that a request continues, or a new one.

        A request continues the earlier request whose messages are the longest beginning of its own, if these include a
        message of the user. Identical requests are separate conversations, unless they continue one, or are sent again
        within RETRY_S seconds of a failure.
        """
        chain = _digests(messages)
        found, failed_unix = self._failed.pop(_digest(body), (None, 0.0))
        if at_unix > failed_unix + RETRY_S:
            found = None
        if found is None:
            found = next((self._ids[digest] for digest in reversed(chain[:-1]) if digest in self._ids), None)
        conversation = found or uuid.uuid4().hex[:12]
        self._keep(chain, messages, conversation)
        return conversation

    def remember(self, messages: Sequence[object], conversation: str) -> None:
        """Let later requests continue a request of the log."""
        self._keep(_digests(messages), messages, conversation)

    def fail(self, body: bytes, conversation: str, at_unix: float) -> None:
        """Let the same body, if it is sent again soon, belong to the conversation of a request that failed."""
        self._failed[_digest(body)] = conversation, at_unix
        self._failed.move_to_end(_digest(body))
        while len(self._failed) > MAX_FAILED:
            self._failed.popitem(last=False)

    def _keep(self, chain: Sequence[bytes], messages: Sequence[object], conversation: str) -> None:
        if chain and any(_role(message) == "user" for message in messages):
            self._ids[chain[-1]] = conversation
            self._ids.move_to_end(chain[-1])
            while len(self._ids) > REMEMBERED:
                self._ids.popitem(last=False)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _digests(messages: Sequence[object]) -> list[bytes]:
    """Return the digest of each beginning of the list, the shortest first."""
    digest = hashlib.blake2b(digest_size=16)
    chain = []
    for message in messages:
        digest.update(json.dumps(message, sort_keys=True).encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
        chain.append(digest.digest())
    return chain


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None


MAX_ERROR_BYTES = 65_536
_KEY_HEADERS = frozenset((b"authorization", b"x-api-key", b"api-key"))
SEVERAL_KEYS = (
    "Requests come with more than one API key. If the server has a cache for each key, a change of key looks like a "
    "loss of cached tokens: give each key its own Recorder and its own endpoint."
)


class Capture:
    """What all captured exchanges of a Recorder share.

    Args:
        endpoint: the endpoint that requests are forwarded to.
        key: the key that the Recorder adds itself, if it does; masked like the caller's.
        limits: counts each forwarded POST; after a 429, holds this program's own requests back. None: not a live one.
    """

    def __init__(
        self, endpoint: Endpoint, sink: Recording, limits: SharedRateLimiter | None, key: str | None = None
    ) -> None:
        self.endpoint, self.sink, self.limits = endpoint, sink, limits
        self.key = credentials(endpoint.base_url, (), key)
        self.conversations = Conversations()
        self._adds_key, self._salt = key is not None, os.urandom(16)
        self._api_keys: set[bytes] = set()
        """Hashes of the first two API keys; the user is told of the second one, and others are not kept."""

    def note_api_key(self, headers: RawHeaders) -> None:
        """Report once that requests are forwarded with different API keys."""
        key = b"".join(value for name, value in headers if name.lower() in _KEY_HEADERS)
        if self._adds_key or not key or len(self._api_keys) > 1:
            return
        self._api_keys.add(hashlib.blake2b(key, key=self._salt).digest())
        if len(self._api_keys) > 1:
            self.sink.report(SEVERAL_KEYS)


class CapturedExchange:
    """One exchange. Times are seconds since its start. `run_id` is the id of its record."""

    def __init__(
        self, capture: Capture, run_id: str, started_unix: float, method: str, target: str, headers: RawHeaders
    ) -> None:
        self._capture, self._sink = capture, capture.sink
        self._key = caller_credentials(target, headers, capture.key)
        self._head = target, headers
        self._run_id = run_id
        self._started_utc = datetime.fromtimestamp(started_unix, UTC)
        is_post = method == "POST"
        self._recorded = is_recorded(method, target)
        self._on_end = capture.limits.count(capture.endpoint) if is_post and capture.limits else lambda: None
        self._request = Decompressor(encoding_of(headers))
        self._body = bytearray()
        self._record: RequestRecord | None = None
        self._begun = self._ended = self._request_ended = False
        self._is_whole = True
        self.is_cut = False
        """Whether the forwarding process was killed before the request had arrived whole: nothing is recorded here."""
        self._early: list[Callable[[], None]] = []
        """What came of the response before the end of the request."""
        self.last_at = 0.0
        """When the newest piece of the response arrived."""
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._response = Decompressor("")
        self._decoder: ResponseDecoder | None = None
        self._error_body = bytearray()

    @property
    def is_logged(self) -> bool:
        """Return whether the exchange has a row in the log."""
        return self._recorded and self._begun

    def request_data(self, data: bytes) -> None:
        """Keep a piece of the request body, decompressed."""
        if not self._recorded or self._begun:
            return
        self._body += self._request.feed(data)
        if len(self._body) > MAX_BODY_BYTES:
            self._recorded, self._body = False, bytearray()
            self._sink.skipped(f"A request body has more than {MAX_BODY_BYTES:,} bytes.")

    def request_end(self) -> None:
        """Begin the record: it is on disk long before the response has ended."""
        self._request_ended = True
        self._begin()
        early, self._early = self._early, []
        for step in early:
            step()

    def response_head(self, at: float, status: int, headers: RawHeaders) -> None:
        """Record the head, after the end of the request."""
        if not self._request_ended:
            self._early.append(lambda: self.response_head(at, status, headers))
            return
        self._status, self.last_at = status, at
        if not self._begin():
            return
        pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
        shown = self._headers = stored_headers(pairs, self._key)
        found = request_ids(shown)
        kind = next((value for name, value in shown if name == "content-type"), "")
        self._response = Decompressor(encoding_of(headers))
        if 200 <= status < 300:
            self._decoder = ResponseDecoder(kind.split(";", 1)[0].strip().lower(), self._key)
        self._emit(HeadersReceived(at, status, found[0].value if found else None, kind, shown))

    def response_data(self, at: float, data: bytes) -> None:
        """Decode a piece of the response body, after the end of the request."""
        if not self._request_ended:
            self._early.append(lambda: self.response_data(at, data))
            return
        self.last_at = at
        if not (self._recorded and self._begun):
            return
        plain = self._response.feed(data)
        if self._decoder is None:
            self._error_body += plain[: MAX_ERROR_BYTES - len(self._error_body)]
            return
        for event in self._decoder.feed(plain, at):
            self._emit(event)

    def end(self, at: float, outcome: ExchangeOutcome, detail: str) -> None:
        """End the record; later calls have no effect."""
        if self._ended:
            return
        self._ended = True
        self._on_end()
        if not self._request_ended:
            self._is_whole, self.is_cut = False, outcome == "killed"
            self.request_end()
            self.is_cut &= not self.is_logged
        if not self._begin():
            return
        for event in self._last_events(at, outcome, detail):
            self._emit(event)
            if isinstance(event, AttemptFailed):
                self._hold(event.error)
            if isinstance(event, AttemptFailed | Stopped):
                self._fail(at)
        self._sink.end(self._run_id)

    def _fail(self, at: float) -> None:
        """Let the same request, sent again soon, belong to the same conversation."""
        record = self._record
        if record is not None and record.conversation is not None:
            self._capture.conversations.fail(record.body, record.conversation, self._started_utc.timestamp() + at)

    def abandon(self) -> None:
        """End the record here: the rest of the exchange cannot be understood."""
        if not self._ended:
            self._ended = True
            self._on_end()
            if self.is_logged:
                self._sink.end(self._run_id)

    def _hold(self, error: ApiError) -> None:
        """Hold this program's own requests back after a 429. The recorded program decides for itself."""
        if self._capture.limits is not None and (hold_s := endpoint_hold_s(error)):
            self._capture.limits.hold(self._capture.endpoint, hold_s)

    def _last_events(self, at: float, outcome: ExchangeOutcome, detail: str) -> list[AnyEvent]:
        """Return the events that the end of an exchange adds."""
        decoder = self._decoder
        if decoder is not None and decoder.error is not None:  # clients close when they read the error
            return [self._failed(at, decoder.error)]
        if decoder is not None and decoder.done and outcome in ("killed", "not_recorded", "caller_gone"):
            return decoder.broken(at)  # clients close when they read [DONE]
        match outcome:
            case "killed" | "not_recorded" | "caller_gone":
                events = [*decoder.broken(at)] if decoder is not None else []
                if outcome == "not_recorded":
                    title = "The rest of the response was forwarded and is not recorded"
                    events.append(self._failed(at, ApiError("protocol", title, detail)))
                return [*events, Stopped(at)] if outcome == "caller_gone" else events
            case "upstream_unreachable":
                error = ApiError("connect", "The endpoint could not be reached", detail, "Try again.")
                return [self._failed(at, error)]
            case "upstream_invalid":
                error = ApiError("connect", "The endpoint sent no valid response", detail, "Try again.")
                return [self._failed(at, error)]
        if decoder is None:
            return [self._failed(at, cut_error() if outcome == "upstream_cut" else self._http_error())]
        events = decoder.broken(at, cut_error()) if outcome == "upstream_cut" else decoder.end(at, self._response)
        return [*events, self._failed(at, decoder.error)] if decoder.error is not None else events

    def _http_error(self) -> ApiError:
        """Return the error of a response without status 2xx."""
        text = as_utf8(bytes(self._error_body)).decode("utf-8-sig", "replace")
        error = http_error(self._status, dict(self._headers), text, self._key)
        if not self._response.unreadable:
            return error
        why = unreadable_error(self._response.unreadable)
        return replace(error, detail=f"{error.detail} {why.title}. {why.detail}".strip(), advice=why.advice)

    def _failed(self, at: float, error: ApiError) -> AttemptFailed:
        found = request_ids(self._headers)
        return AttemptFailed(at, redact_error(error, self._key), found[0].value if found else None)

    def _emit(self, event: AnyEvent) -> None:
        self._sink.event(self._run_id, event)

    def _begin(self) -> bool:
        """Begin the record if it has not begun. Returns whether the exchange is recorded."""
        if not self._recorded or self._begun:
            return self._recorded
        body, self._body = bytes(self._body), bytearray()
        self._key = caller_credentials(*self._head, self._capture.key, body)
        text = redact(body.decode("utf-8", "surrogateescape"), self._key)
        fields = _fields(text)
        if fields is None:
            self._recorded = False
            if self.is_cut:
                return False
            what = "is not a JSON object" if self._is_whole else "did not arrive whole"
            if self._request.unreadable:
                what = f"has the content coding {self._request.unreadable}, which cannot be read"
            self._sink.skipped(f"A request body {what}.")
            return False
        messages = fields.get("messages")
        model = fields.get("model")
        text_body = text.encode("utf-8", "surrogateescape")
        record = self._record = RequestRecord(
            run_id=self._run_id,
            endpoint_id=self._capture.endpoint.id,
            endpoint_name=self._capture.endpoint.name,
            endpoint_kind=self._capture.endpoint.kind,
            base_url=self._capture.endpoint.base_url,
            model=model if isinstance(model, str) else "",
            started_utc=self._started_utc,
            body=text_body,
            # Escaped like the body: the log keeps a text that both have once.
            document=dump(document_of(fields), ascii_only=text.isascii()),
            rates=self._capture.endpoint.rates,
            source="recorder",
            conversation=self._capture.conversations.assign(
                messages if isinstance(messages, list) else (), text_body, self._started_utc.timestamp()
            ),
        )
        self._sink.begin(record)
        self._begun = True
        self._capture.note_api_key(self._head[1])
        self._emit(AttemptStarted(0.0, 1))
        return True


def _fields(text: str) -> dict[str, Json] | None:
    try:
        value = loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def document_of(fields: dict[str, Json]) -> Document:
    """Return a request body as a document, so that it opens in the editor.

    The log keeps the exact body. What a document cannot hold is approximated: role `developer` becomes `system`, parts
    of type text are joined, other parts become their JSON text.
    """
    try:
        return parse_value(fields).document
    except InputError:
        pass
    messages = fields.get("messages")
    simple: list[Json] = [_plain_message(message) for message in messages] if isinstance(messages, list) else []
    try:
        return parse_value({**fields, "messages": simple}).document
    except InputError:
        return Document(messages=tuple(Message("user", json.dumps(message, ensure_ascii=False)) for message in simple))


def _plain_message(message: Json) -> dict[str, Json]:
    if not isinstance(message, dict):
        return {"role": "user", "content": json.dumps(message, ensure_ascii=False)}
    known = ("system", "user", "assistant", "tool")
    role = message.get("role")
    content = message.get("content")
    return {
        **message,
        "role": role if role in known else "system" if role == "developer" else "user",
        "content": _joined(content) if isinstance(content, list) else content,
    }


def _joined(parts: list[Json]) -> str:
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        texts.append(text if isinstance(text, str) else json.dumps(part, ensure_ascii=False))
    return "".join(texts)
