"""Capture of one exchange from its pieces, in any order a server sends them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence

import pytest

from playground.client import content_coding
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent
from playground.export.pages import as_markdown
from playground.export.ticket import Outline
from playground.prompt.files import parse
from playground.recorder.capture import SEVERAL_KEYS, Capture, CapturedExchange, Conversations
from playground.recorder.proxy import ExchangeOutcome
from playground.recorder.wire import RawHeaders, is_recorded
from playground.requestlog.records import StoredRun
from playground.runs.record import RequestRecord
from playground.runs.state import RunState, fold
from playground.runs.summary import warnings, wire_choices

TARGET = "/v1/chat/completions"
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}'
ANSWER = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}'
HEADERS = [(b"content-type", b"application/json")]


class Sink:
    """Keeps records, events and reasons."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.events: list[AnyEvent] = []
        self.reasons: list[str] = []
        self.ended = 0
        self.fails = False

    def begin(self, record: RequestRecord) -> None:
        if self.fails:
            raise RuntimeError("a fault")
        self.records.append(record)

    def event(self, run_id: str, event: AnyEvent) -> None:
        self.events.append(event)

    def end(self, run_id: str) -> None:
        self.ended += 1

    def skipped(self, reason: str) -> None:
        self.reasons.append(reason)

    report = skipped

    @property
    def state(self) -> RunState:
        return fold(self.events)


class Unlimited:
    def count(self, endpoint: Endpoint) -> object:
        return lambda: None

    def hold(self, endpoint: Endpoint, hold_s: float) -> None:
        raise AssertionError(hold_s)


def exchange(sink: Sink) -> CapturedExchange:
    capture = Capture(Endpoint("e", "E", "http://127.0.0.1:9/v1"), sink, Unlimited())  # type: ignore[arg-type]
    return CapturedExchange(capture, "run-1", 1_800_000_000.0, "POST", TARGET, [])


def captured(status: int, headers: RawHeaders, pieces: Sequence[bytes], outcome: ExchangeOutcome = "complete") -> Sink:
    """Return the sink after a whole request, a response and its end."""
    sink = Sink()
    seen = exchange(sink)
    seen.request_data(BODY)
    seen.request_end()
    seen.response_head(0.1, status, headers)
    for piece in pieces:
        seen.response_data(0.2, piece)
    seen.end(0.3, outcome, "")
    return sink


def test_response_before_the_end_of_the_request_is_recorded_with_it() -> None:
    sink = Sink()
    seen = exchange(sink)
    seen.request_data(BODY[:10])
    seen.response_head(0.1, 200, HEADERS)
    seen.response_data(0.2, ANSWER)
    assert sink.records == []
    seen.request_data(BODY[10:])
    seen.request_end()
    seen.end(0.3, "complete", "")
    assert [record.body for record in sink.records] == [BODY]
    assert (sink.state.phase, sink.state.text, sink.ended, sink.reasons) == ("done", "Hi", 1, [])


@pytest.mark.parametrize("escaped", [True, False])
def test_document_has_a_text_as_the_body_writes_it_so_that_the_log_stores_it_once(escaped: bool) -> None:
    text, sink = "Grüße, 云 und 😀", Sink()
    seen = exchange(sink)
    fields = {"model": "m", "messages": [{"role": "user", "content": text}]}
    seen.request_data(json.dumps(fields, ensure_ascii=escaped).encode())
    seen.request_end()
    document = sink.records[0].document
    assert json.dumps(text, ensure_ascii=escaped) in document
    assert parse(document).document.messages[0].content == text


@pytest.mark.parametrize(
    ("keys", "added", "reported"),
    [
        ((b"k1", b"k1", b""), None, 0),
        ((b"k1", b"k2", b"k3", b"k1"), None, 1),
        ((b"k1", b"", b"k2"), None, 1),
        ((b"k1", b"k2"), "the Recorder's", 0),
    ],
)
def test_a_second_api_key_is_reported_once_unless_the_recorder_sends_its_own(
    keys: Sequence[bytes], added: str | None, reported: int
) -> None:
    sink = Sink()
    capture = Capture(Endpoint("e", "E", "http://127.0.0.1:9/v1"), sink, Unlimited(), added)  # type: ignore[arg-type]
    for number, key in enumerate(keys):
        headers = [(b"Authorization", b"Bearer " + key)] if key else []
        seen = CapturedExchange(capture, f"run-{number}", 1_800_000_000.0, "POST", TARGET, headers)
        seen.request_data(BODY)
        seen.request_end()
    assert len(sink.records) == len(keys)
    assert sink.reasons == [SEVERAL_KEYS] * reported


STREAM = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
STREAM_HEADERS = [(b"content-type", b"text/event-stream")]


@pytest.mark.parametrize("outcome", ["complete", "caller_gone", "upstream_cut"])
def test_error_in_a_stream_fails_the_request_whoever_closes_the_connection(outcome: ExchangeOutcome) -> None:
    sink = captured(
        200,
        STREAM_HEADERS,
        [STREAM + b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'],
        outcome,
    )
    assert (sink.state.phase, sink.state.text, sink.ended) == ("failed", "Hi", 1)
    assert sink.state.error is not None
    assert "overloaded" in sink.state.error.detail


@pytest.mark.parametrize(("outcome", "phase"), [("killed", "streaming"), ("not_recorded", "failed")])
def test_end_of_the_recording_is_no_stop_by_the_caller(outcome: ExchangeOutcome, phase: str) -> None:
    sink = captured(200, STREAM_HEADERS, [STREAM], outcome)
    assert (sink.state.phase, sink.state.text, sink.ended) == (phase, "Hi", 1)


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [("complete", []), ("caller_gone", []), ("killed", []), ("not_recorded", []), ("upstream_cut", ["cut_transfer"])],
)
@pytest.mark.parametrize(
    ("rest", "more"), [(b"", False), (b": ping\n\ndata: [DONE]\n\n", False), (STREAM, True), (STREAM[:-2], True)]
)
def test_what_follows_the_end_of_a_stream_is_a_warning(
    outcome: ExchangeOutcome, kinds: list[str], rest: bytes, more: bool
) -> None:
    sink = Sink()
    seen = exchange(sink)
    seen.request_data(BODY)
    seen.request_end()
    seen.response_head(0.1, 200, STREAM_HEADERS)
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    seen.response_data(0.2, STREAM + end)
    seen.response_data(0.3, rest)
    seen.end(0.9, outcome, "")
    assert (sink.state.phase, sink.state.text, sink.state.ended_at) == ("done", "Hi", 0.2)
    assert [one.kind for one in warnings(sink.state)] == [*kinds, *["more_after_done"] * more]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_error_body_in_another_encoding_is_read_as_by_this_programs_own_requests(encoding: str) -> None:
    sink = Sink()
    seen = exchange(sink)
    seen.request_data(BODY)
    seen.request_end()
    seen.response_head(0.1, 400, HEADERS)
    seen.response_data(0.2, '{"error": {"message": "too long", "code": "length"}}'.encode(encoding))
    seen.end(0.3, "complete", "")
    assert sink.state.error is not None
    assert (sink.state.error.detail, sink.state.error.code) == ("too long", "length")


@pytest.mark.parametrize(("wait_s", "is_same"), [(59.0, True), (61.0, False)])
def test_conversation_of_a_failed_request_is_kept_for_a_minute(wait_s: float, is_same: bool) -> None:
    conversations, messages = Conversations(), [{"role": "user", "content": "Hello"}]
    first = conversations.assign(messages, BODY, 0.0)
    conversations.fail(BODY, first, 5.0)
    assert (conversations.assign(messages, BODY, 5.0 + wait_s) == first) is is_same
    assert conversations.assign(messages, BODY, 6.0 + wait_s) != first


def test_request_that_did_not_arrive_whole_is_reported_once() -> None:
    sink = Sink()
    seen = exchange(sink)
    seen.request_data(BODY[:10])
    seen.response_head(0.1, 429, HEADERS)
    seen.end(0.2, "complete", "")
    assert (len(sink.reasons), sink.records, sink.ended) == (1, [], 0)


def test_fault_before_the_record_has_begun_leaves_nothing_open() -> None:
    sink = Sink()
    sink.fails = True
    seen = exchange(sink)
    seen.request_data(BODY)
    with pytest.raises(RuntimeError):
        seen.request_end()
    assert not seen.is_logged
    seen.abandon()
    assert sink.ended == 0


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_gzip_of_several_members_is_decoded(size: int) -> None:
    packed = gzip.compress(ANSWER[:40]) + gzip.compress(ANSWER[40:])
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    sink = captured(200, [*HEADERS, (b"content-encoding", b"gzip")], pieces)
    assert (sink.state.phase, sink.state.text) == ("done", "Hi")


def test_gzip_that_unpacks_to_more_than_the_bound_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_coding, "MAX_BODY_BYTES", 10_000)
    unpacked = content_coding.Decompressor("gzip")
    assert len(unpacked.feed(gzip.compress(bytes(1_000_000)))) == 10_001
    assert unpacked.feed(b"more") == b""


@pytest.mark.parametrize(
    ("method", "target", "recorded"),
    [
        ("POST", TARGET, True),
        ("POST", f"{TARGET}?a=1", True),
        ("POST", f"{TARGET}/", True),
        ("GET", TARGET, False),
        ("POST", "/v1/speech", False),
    ],
)
def test_is_recorded_only_chat_completions(method: str, target: str, recorded: bool) -> None:
    assert is_recorded(method, target) is recorded


_CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"secret":1}'}}


def _choices(stream: bool) -> bytes:
    part = "delta" if stream else "message"
    text, call = "content", "tool_calls"
    pieces: list[tuple[int, dict[str, object], str | None]] = [(0, {text: "Hi"}, "stop")]
    if stream:
        begin = {**_CALL, "function": {"name": "find", "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": '{"secret":1}'}}
        pieces += [(1, {text: "He"}, None), (1, {text: "llo"}, "length"), (2, {call: [begin]}, None)]
        pieces += [(2, {call: [rest]}, None), (2, {}, "tool_calls")]
    else:
        pieces += [(1, {text: "Hello"}, "length"), (2, {call: [_CALL]}, "tool_calls")]
    choices = [{"index": index, part: piece, "finish_reason": reason} for index, piece, reason in pieces]
    if not stream:
        return json.dumps({"choices": choices}).encode()
    return b"".join(b"data: %b\n\n" % json.dumps({"choices": [one]}).encode() for one in choices) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("stream", [True, False])
def test_choices_after_the_first_are_read_from_the_events_with_calls_and_finish_reasons(stream: bool) -> None:
    sink = captured(200, STREAM_HEADERS if stream else HEADERS, [_choices(stream)])
    assert (sink.state.phase, sink.state.text, sink.state.finish_reason) == ("done", "Hi", "stop")
    one, two = wire_choices(sink.state)
    assert one == {"index": 1, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "length"}
    call = {name: value for name, value in _CALL.items() if name != "index"}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert two == {"index": 2, "message": message, "finish_reason": "tool_calls"}
    outline = json.dumps(Outline("hashed").of({"further_choices": [one, two]}))
    assert '"finish_reason": "tool_calls"' in outline
    assert "secret" not in outline
    page = as_markdown(StoredRun(sink.records[0], 1, "done", marked=False, events=sink.events))
    assert "Choice 1 (length)" in page
    assert "Tool call find of choice 2" in page


@pytest.mark.parametrize("status", [200, 500])
def test_coding_that_cannot_be_read_is_named_also_in_an_error(status: int) -> None:
    sink = captured(status, [*HEADERS, (b"Content-Encoding", b"zstd")], [b"\x28\xb5\x2f\xfdxxxx"])
    assert sink.state.error is not None
    assert "zstd" in sink.state.error.detail
    assert sink.state.status == status
