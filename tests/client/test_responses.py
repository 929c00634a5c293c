"""Responses of other servers over real sockets, from bytes to a run's state."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import time
from collections.abc import Callable, Coroutine

import pytest

from playground.client.connection import Connection, Network, Timeouts
from playground.client.events import ContentDelta
from playground.client.response_decoder import RequestId
from playground.client.retry import NO_RETRIES
from playground.client.sse import DEFAULT_LIMITS, ResponseLimits
from playground.runs.state import RunState
from tests.client import servers
from tests.client.servers import Peer, Script, serve
from tests.conformance.talk import Conversation, new, see_through

USUAL = Timeouts()
KEY = "sk_planted_0123456789abcdef"
USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 4}}


def delta(finish: str | None = None, **fields: object) -> dict[str, object]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def data(*values: object) -> bytes:
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


GOOD = data(delta(content="fine"), delta("stop"), {"choices": [], "usage": USAGE})
DONE = data("[DONE]")


def answered(body: bytes, content_type: str = "text/event-stream", extra: str = "", key: str = KEY) -> RunState:
    async def script(peer: Peer) -> None:
        await peer.send(servers.whole(body, content_type, extra=extra))

    return talked(script, key=key).state


def talked(
    script: Script,
    *,
    key: str = KEY,
    timeouts: Timeouts = USUAL,
    limits: ResponseLimits = DEFAULT_LIMITS,
    during: Callable[[Conversation], Coroutine[None, None, None]] | None = None,
) -> Conversation:
    async def main() -> Conversation:
        async with serve(script) as server:
            connection = Connection(timeouts, limits=limits)
            conversation = new(connection, server.base_url, key=key, retries=NO_RETRIES)
            async with asyncio.TaskGroup() as group:
                group.create_task(see_through(conversation))
                if during is not None:
                    group.create_task(during(conversation))
            await connection.aclose()
            return conversation

    return asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'event: ping\ndata: {"type":"ping"}\n\n' + GOOD + DONE, id="ping first"),
        pytest.param(b'event: tool.progress\ndata: {"status":"running"}\n\n' + GOOD + DONE, id="progress first"),
        pytest.param(data("ping", "") + GOOD + DONE, id="ping that is no JSON"),
        pytest.param(b": OPENROUTER PROCESSING\n\n" + GOOD + DONE, id="comment"),
        pytest.param(GOOD + b"data: [DONE] \n\n", id="space after DONE"),
        pytest.param(GOOD + b"data:  [DONE]\n\n", id="space before DONE"),
        pytest.param(GOOD + b"event: done\ndata: {}\n\n" + DONE, id="done event"),
        pytest.param(GOOD.rstrip(b"\n"), id="no end of the last line"),
        pytest.param(GOOD.replace(b"\n", b"\r"), id="CR"),
        pytest.param(b"foo: bar\nid: 1\n" + GOOD + DONE, id="unknown field"),
    ],
)
@pytest.mark.parametrize(
    "content_type",
    ["text/event-stream", "text/plain; charset=utf-8", "application/json", "", "text/event-stream, text/event-stream"],
)
def test_stream_odd_but_legal_is_read(body: bytes, content_type: str) -> None:
    state = answered(body, content_type)
    assert (state.phase, state.text) == ("done", "fine")
    assert state.usage is not None
    assert state.usage.cached_tokens == 4


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("end", [b"", b"\n\n" + DONE])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/plain"])
def test_whole_completion_under_any_content_type_is_read(content_type: str, end: bytes, indent: int | None) -> None:
    if end and content_type != "text/event-stream":
        return
    message = {"role": "assistant", "content": "Hi"}
    whole = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    state = answered(json.dumps(whole, indent=indent).encode() + end, content_type)
    assert (state.phase, state.text, state.finish_reason) == ("done", "Hi", "stop")


def test_json_lines_are_read() -> None:
    lines = [delta(content="a"), delta(content="b"), delta("stop")]
    body = "\n".join(map(json.dumps, lines)).encode()
    for content_type in ("application/x-ndjson", "text/event-stream"):
        assert answered(body, content_type).text == "ab"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(b'error: {"code":400,"message":"overloaded"}\n\n', id="llama.cpp's field"),
        pytest.param(b'event: error\ndata: {"message":"overloaded"}\n\n', id="error event"),
        pytest.param(b"event: error\ndata: overloaded\n\n", id="error event without JSON"),
        pytest.param(b'{"error":{"message":"overloaded"}}\n\n', id="JSON without a field"),
        pytest.param(data({"error": {"message": "overloaded"}}), id="envelope"),
        pytest.param(data({"detail": "overloaded"}), id="FastAPI"),
        pytest.param(data({"choices": [{"index": 0, "delta": {}, "error": {"message": "overloaded"}}]}), id="choice"),
        pytest.param(data({"message": "overloaded"}), id="message alone, and no finish_reason"),
    ],
)
@pytest.mark.parametrize("end", [b"", DONE])
@pytest.mark.parametrize("before", [b"", data(delta(content="half"))])
def test_error_inside_a_stream_fails_with_its_message(error: bytes, before: bytes, end: bytes) -> None:
    if error.startswith(b'data: {"message"') and not (before and end):
        return
    state = answered(before + error + end)
    assert state.phase == "failed"
    assert state.error is not None
    assert "overloaded" in state.error.detail
    assert state.text == ("half" if before else "")


@pytest.mark.parametrize(
    "body", [DONE, data(delta()) + DONE, data(delta(role="assistant")) + DONE, data("nothing") + DONE]
)
def test_stream_without_an_answer_fails(body: bytes) -> None:
    state = answered(body)
    assert state.error is not None
    assert (state.phase, state.error.kind) == ("failed", "protocol")


@pytest.mark.parametrize("field", ["reasoning_content", "refusal"])
def test_answer_of_reasoning_or_refusal_alone_is_kept(field: str) -> None:
    state = answered(data(delta(**{field: "let me think"}), delta("length")) + DONE)
    assert state.phase == "done"
    assert state.reasoning + state.refusal == "let me think"
    assert state.ttft_s is not None
    assert state.first_content_at is None


@pytest.mark.parametrize("deep", ["[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000])
def test_deep_json_after_a_chunk_fails_and_keeps_the_text(deep: str) -> None:
    state = answered(data(delta(content="fine")) + data(deep) + DONE)
    assert (state.phase, state.text) == ("failed", "fine")
    assert state.error is not None
    assert state.error.kind == "protocol"
    assert "base URL" not in state.error.advice


def test_broken_chunk_after_a_chunk_gives_no_advice_about_the_base_url() -> None:
    state = answered(data(delta(content="fine"), '{"choices":[{'))
    assert state.error is not None
    assert (state.error.kind, state.text) == ("protocol", "fine")
    assert "base URL" not in state.error.advice


ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)


@pytest.mark.parametrize(
    "spelled", [KEY, ESCAPED, ESCAPED.upper().replace("\\U", "\\u"), ESCAPED.replace("\\u", "\\\\u")]
)
def test_key_echoed_in_any_field_is_nowhere(spelled: str) -> None:
    call = {"index": 0, "id": "KEY", "function": {"name": "KEY", "arguments": '{"k":"KEY"}'}}
    chunk = {
        **delta("KEY", content="KEY", reasoning="KEY", refusal="KEY", tool_calls=[call]),
        "id": "KEY",
        "model": "KEY",
    }
    body = json.dumps({**chunk, "KEY": "KEY", "unknown": ["KEY"]}).replace("KEY", spelled)
    for content_type in ("text/event-stream", "application/json"):
        sent = f"data: {body}\n\n" if content_type == "text/event-stream" else body
        state = answered(sent.encode(), content_type, extra=f"X-Other: {spelled}\r\nX-{KEY}: 1\r\n")
        assert state.phase == "done"
        assert_nowhere(state)


@pytest.mark.parametrize("field", ["content", "reasoning_content", "refusal", "arguments", "token"])
@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize("escape", ["", "json", "double"])
def test_key_echoed_in_pieces_is_nowhere(field: str, size: int, escape: str) -> None:
    pieces = [KEY[start : start + size] for start in range(0, len(KEY), size)]
    if escape == "double":  # the text itself spells the escapes, as arguments do that are JSON
        pieces = ["".join(f"\\u{ord(character):04x}" for character in piece) for piece in pieces]
    chunks = [json.dumps(echo(field, piece)) for piece in ("my ", *pieces, " ok")]
    if escape == "json":
        chunks = [chunk.replace("s", "\\u0073", 1) if '"s' in chunk else chunk for chunk in chunks]
    state = answered(data(*chunks, delta("stop")) + DONE)
    assert state.phase == "done"
    assert_nowhere(state)


def echo(field: str, piece: str) -> dict[str, object]:
    if field == "arguments":
        return delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": piece}}])
    chunk = delta(**{"content" if field == "token" else field: piece})
    if field == "token":
        choice = {"index": 0, "delta": {"content": piece}, "logprobs": {"content": [{"token": piece, "logprob": -1.0}]}}
        chunk["choices"] = [choice]
    return chunk


def assert_nowhere(state: RunState) -> None:
    texts = [state.text, state.reasoning, state.refusal, repr(state)]
    texts += [text for call in state.tool_calls.values() for text in (call.arguments, call.name, call.id)]
    texts.append("".join(token.token for token in state.probabilities))
    texts.append("".join(map(raw_text, state.raw)))
    for text in texts:
        plain = text
        for _ in range(3):
            plain = plain.replace("\\\\u", "\\u")
        for character in set(KEY):
            plain = plain.replace(f"\\u{ord(character):04x}", character)
        assert KEY not in plain


def raw_text(raw: object) -> str:
    """The joined texts of a raw event's choice, as an import reads them."""
    choice = json.loads(raw.data)["choices"][0]  # type: ignore[attr-defined]
    message = choice["delta"] if "delta" in choice else choice["message"]
    calls = message.get("tool_calls") or []
    arguments = "".join(call["function"].get("arguments") or "" for call in calls)
    names = ("content", "reasoning_content", "refusal")
    return "".join(message.get(name) or "" for name in names) + arguments


def test_raw_events_of_text_that_only_begins_like_the_key_join_to_the_same_text() -> None:
    text = f"{KEY[:9]} is a prefix"
    state = answered(data(*(delta(content=character) for character in text), delta("stop")) + DONE)
    assert state.text == text
    assert "".join(map(raw_text, state.raw)) == text


def test_request_ids_of_two_headers_stay_apart_with_their_sources() -> None:
    extra = "X-Request-Id: req-2\r\nRequest-Id: gateway\r\nllm_provider-x-request-id: behind\r\n"
    state = answered(GOOD + DONE, extra=extra)
    assert state.request_id == servers.REQUEST_ID
    assert state.attempts[0].request_ids == (
        RequestId("x-request-id", servers.REQUEST_ID),
        RequestId("x-request-id", "req-2"),
        RequestId("request-id", "gateway"),
        RequestId("llm_provider-x-request-id", "behind"),
    )


def test_request_id_of_a_gateway_alone_is_the_request_id() -> None:
    async def script(peer: Peer) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nRequest-Id: gateway\r\nContent-Length: %d\r\n\r\n"
        )
        await peer.send(head % len(GOOD + DONE) + GOOD + DONE)

    assert talked(script).state.request_id == "gateway"


def test_advice_without_a_request_id_does_not_mention_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    error = talked(script).state.error
    assert error is not None
    assert "request_id" not in error.advice


@pytest.mark.parametrize("limits", [ResponseLimits(max_bytes=100_000), ResponseLimits(max_events=1_000)])
def test_response_above_a_limit_fails_and_closes_the_connection(limits: ResponseLimits) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(servers.head())
        try:
            while True:
                await peer.send(servers.says("more"))
        except ConnectionError:
            gone.set()
            raise

    state = talked(script, limits=limits).state
    assert gone.is_set()
    assert state.error is not None
    assert (state.phase, state.error.kind) == ("failed", "protocol")
    assert 3_600 < len(state.text) < 8_000


def test_stream_of_millions_of_events_in_a_few_compressed_bytes_ends_at_the_limit() -> None:
    body = gzip.compress(GOOD + b"data: \n\n" * 8_000_000)
    began = time.process_time()
    state = answered(body, extra="Content-Encoding: gzip\r\n")
    assert time.process_time() - began < 3
    assert (state.phase, state.text) == ("failed", "fine")
    assert state.error is not None
    assert "200,000 events" in state.error.detail


def test_whole_body_above_a_limit_fails() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.head("application/json"))
        await peer.send(servers.chunk(b'{"choices":[{"message":{"content":"'))
        while True:
            await peer.send(servers.chunk(b"x" * 10_000))

    state = talked(script, limits=ResponseLimits(max_bytes=100_000)).state
    assert state.error is not None
    assert state.error.kind == "protocol"


def test_stop_under_an_endless_fast_stream_takes_less_than_100_ms_of_processor_time() -> None:
    burst = b"".join(servers.says("more and more text") for _ in range(500))
    measured: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.send(servers.head())
        while True:
            await peer.send(burst)

    async def during(conversation: Conversation) -> None:
        ended = asyncio.Event()
        conversation.run.subscribe(lambda run, _event: ended.set() if run.state.ended else None)
        await conversation.content.wait()
        await asyncio.sleep(0.3)
        asked = time.thread_time()  # not the clock: other programs may have the processor
        conversation.run.stop()
        await ended.wait()
        measured.append(time.thread_time() - asked)

    state = talked(script, during=during).state
    assert state.phase == "stopped"
    assert measured[0] < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000


def test_headers_that_trickle_have_a_total_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.05)

    # Each header is in time for every other limit: without the total limit this would not end.
    timeouts = Timeouts(connect=0.2, first_byte=0.2, idle=5, write=0.2)
    error = talked(script, timeouts=timeouts).state.error
    assert error is not None
    assert error.kind == "timeout"


def test_first_token_of_reasoning_counts_for_speed() -> None:
    reasoned = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(servers.head())
        await peer.send(servers.chunk(data(delta(reasoning_content="hm"))))
        await reasoned.wait()  # a busy machine may read it late
        await asyncio.sleep(0.2)
        await peer.send(servers.chunk(data(delta(content="Hi"), delta("stop"), {"choices": [], "usage": USAGE})))
        await peer.send(servers.DONE + servers.LAST)

    async def during(conversation: Conversation) -> None:
        conversation.run.subscribe(lambda run, _event: reasoned.set() if run.state.first_token_at else None)

    conversation = talked(script, during=during)
    state = conversation.state
    assert state.tokens_per_s is not None
    assert state.tokens_per_s < 3 / 0.19
    assert state.first_content_at is not None
    assert state.first_token_at is not None
    assert state.first_content_at - state.first_token_at > 0.19
    assert [event.text for event in conversation.heard if isinstance(event, ContentDelta)] == ["Hi"]


def test_endpoint_without_a_key_refused_names_the_missing_key() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.whole(b'{"error":{"message":"no"}}', status="401 No"))

    async def main() -> tuple[str, str]:
        async with serve(script) as server:
            connection = Connection()
            titles = []
            for key in (None, KEY):
                conversation = new(connection, server.base_url, key=key, retries=NO_RETRIES)
                await see_through(conversation)
                assert conversation.state.error is not None
                titles.append(conversation.state.error.title)
            await connection.aclose()
            return titles[0], titles[1]

    assert asyncio.run(main()) == ("No key was sent", "The key was not accepted")


def test_limits_are_applied_by_use() -> None:
    async def main() -> str | None:
        async def script(peer: Peer) -> None:
            await peer.send(servers.whole(GOOD + DONE, "text/event-stream"))

        async with serve(script) as server:
            connection = Connection()
            connection.use(Network(limits=ResponseLimits(max_bytes=10)))
            conversation = await see_through(new(connection, server.base_url, retries=NO_RETRIES))
            await connection.aclose()
            return conversation.state.error.kind if conversation.state.error else None

    assert asyncio.run(main()) == "protocol"


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_secret_in_the_path_of_the_base_url_is_masked_in_the_answer_and_the_address_is_used(status: str) -> None:
    secret, paths = "DD1kTz8RvQ2mWn5YpL7sXc3B", []

    async def script(peer: Peer) -> None:
        paths.append(peer.line)
        said = f"no route {secret[:9]}{secret[9:]}"
        pieces = data(*(delta(content=said[at : at + 5]) for at in range(0, len(said), 5)), delta("stop"))
        if status.startswith("2"):
            await peer.send(servers.whole(pieces + DONE, "text/event-stream"))
        else:
            body = json.dumps({"error": {"message": said}}).encode()
            await peer.send(servers.whole(body, status=status, extra=f"x-path: /hooks/{secret}/v1\r\n"))

    async def main() -> RunState:
        async with serve(script) as server:
            connection = Connection(USUAL)
            conversation = new(connection, f"{server.base_url}/hooks/{secret}/v1", key=KEY, retries=NO_RETRIES)
            await see_through(conversation)
            await connection.aclose()
            return conversation.state

    state = asyncio.run(main())
    assert secret in paths[0]
    assert state.phase == ("done" if status.startswith("2") else "failed")
    assert secret not in repr(state)
    assert "sk_\u2026" in (state.text or repr(state.error))
