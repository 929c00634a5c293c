"""The spool: ended exchanges survive the death of all processes, without the key, and are logged once."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import resource
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from playground.cli.recording_process import recover_spools
from playground.client.content_coding import Decompressor
from playground.client.endpoint import Endpoint
from playground.recorder import spool as spool_module
from playground.recorder.feed_messages import (
    Begin,
    End,
    ExchangeMessage,
    RequestData,
    RequestEnd,
    ResponseData,
    ResponseStart,
    Setup,
    frame,
    masked_exchange,
)
from playground.recorder.spool import FOLDER, Spool, orphans
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.records import StoredRun
from tests.requestlog.samples import opened

KEY = "pk.planted/0123456789"
BODY = json.dumps({"model": "electron", "messages": [{"role": "user", "content": f"my key is {KEY}"}]}).encode()
ANSWER = json.dumps(
    {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": f"echo {KEY}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1},
    }
).encode()
PLAIN_BODY, PLAIN_ANSWER = BODY.replace(KEY.encode(), b"none"), ANSWER.replace(KEY.encode(), b"nothing")


def setup_of(folder: Path) -> Setup:
    return Setup(str(folder), Endpoint("test", "Test", "http://127.0.0.1:9/v1"), KEY)


def frames_of(
    exchange: str, body: bytes = PLAIN_BODY, pieces: tuple[bytes, ...] = (PLAIN_ANSWER,), *, encoding: bytes = b""
) -> list[bytes]:
    """Return the frames of a whole exchange; `encoding` is the Content-Encoding of both bodies."""
    headers = [(b"Content-Encoding", encoding)] if encoding else []
    sent = [(b"Authorization", f"Bearer {KEY}".encode()), (b"X-Other", KEY.encode()), *headers]
    messages: list[ExchangeMessage] = [
        Begin(exchange, 1_700_000_000.5, "POST", f"/v1/chat/completions?key={KEY}", sent),
        RequestData(exchange, body),
        RequestEnd(exchange),
        ResponseStart(
            exchange, 0.1, 200, [(b"X-Request-Id", f"r-{exchange}".encode()), (b"X-K", KEY.encode()), *headers]
        ),
        *(ResponseData(exchange, 0.2 + number / 10, data) for number, data in enumerate(pieces)),
        End(exchange, 0.9, "complete", ""),
    ]
    return [frame(message) for message in messages]


def killed(spool: Spool) -> None:
    """Leave the files of a spool as SIGKILL does: the system releases the lock, nothing is removed."""
    assert spool._lock is not None
    spool._lock.release()
    spool._close_file()


def segments(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("*.spool"))


def logged(folder: Path) -> list[StoredRun]:
    async def read() -> list[StoredRun]:
        async with opened(folder) as log:
            await log.recovered()
            found = [await log.get(row.run_id) for row in await log.page(EVERYTHING)]
        return [run for run in found if run is not None]

    return asyncio.run(read())


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the system refuse writes beyond a file size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("is_compressed", [False, True])
def test_spool_takes_no_body_whose_search_for_keys_would_delay_others(tmp_path: Path, is_compressed: bool) -> None:
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    encoding, packed = (b"gzip", gzip.compress) if is_compressed else (b"", bytes)
    for size in (1_000_000, 3_000_000):
        body = b'{"messages": [{"role": "user", "content": "' + b"a" * size + b'"}]}'
        frames = frames_of("a", packed(body), (packed(PLAIN_ANSWER),), encoding=encoding)
        assert spool.add("a", frames) == (size == 1_000_000)
    spool.close()


def split_stream(text: str) -> bytes:
    """Return a stream in which each event has one character of `text`, in content and in tool arguments."""
    events: list[dict[str, Any]] = []
    for character in text:
        call = {"index": 1, "function": {"arguments": character}}
        events.append({"id": "c", "choices": [{"index": 0, "delta": {"content": character, "tool_calls": [call]}}]})
    if events:
        events[-1]["choices"][0]["finish_reason"] = "tool_calls"
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def contents(stream: bytes) -> tuple[str, str]:
    """Return the content and the tool arguments of a stream."""
    deltas = [
        json.loads(line[6:])["choices"][0]["delta"] for line in stream.decode().splitlines() if line[:7] == "data: {"
    ]
    return (
        "".join(delta["content"] for delta in deltas),
        "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas),
    )


@pytest.mark.parametrize(
    ("body", "pieces", "encoding"),
    [
        (BODY, (ANSWER,), b""),
        (BODY, (ANSWER[:70], ANSWER[70:90], ANSWER[90:]), b""),
        (BODY.replace(b"/", b"\\/"), (ANSWER.replace(b"p", b"\\u0070"),), b""),
        (gzip.compress(BODY), (gzip.compress(ANSWER)[:40], gzip.compress(ANSWER)[40:]), b"gzip"),
    ],
)
def test_spool_key_in_bodies_heads_and_target_is_masked_in_the_file(
    tmp_path: Path, body: bytes, pieces: tuple[bytes, ...], encoding: bytes
) -> None:
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    assert spool.add("a", frames_of("a", body, pieces, encoding=encoding))
    killed(spool)
    (path,) = segments(tmp_path)
    assert KEY.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    (orphan,) = orphans(tmp_path)
    (messages,) = orphan.exchanges
    answer = json.loads(b"".join(one.data for one in messages if isinstance(one, ResponseData)))
    assert answer["choices"][0]["message"]["content"] == "echo sk_…"
    sent = json.loads(b"".join(one.data for one in messages if isinstance(one, RequestData)))
    assert sent["messages"][0]["content"] == "my key is sk_…"
    orphan.release()


def test_spool_key_split_over_events_is_masked_and_other_streams_keep_their_pieces(tmp_path: Path) -> None:
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    clean = split_stream("no key here")
    assert spool.add("a", frames_of("a", PLAIN_BODY, (split_stream(f"it is {KEY}."),)))
    assert spool.add("b", frames_of("b", PLAIN_BODY, (clean[:99], clean[99:])))
    killed(spool)
    (orphan,) = orphans(tmp_path)
    first, second = ([one.data for one in some if isinstance(one, ResponseData)] for some in orphan.exchanges)
    assert contents(first[0]) == ("it is pk.sk_….", "it is pk.sk_….")
    assert second == [clean[:99], clean[99:]]
    orphan.release()


def test_spool_exchanges_in_the_log_are_dropped_and_the_file_is_small_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 4_000)
    monkeypatch.setattr(spool_module, "MAX_BYTES", 12_000)
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    added = [number for number in range(40) if spool.add(str(number), frames_of(str(number)))]
    assert 10 < len(added) < 40
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 12_000
    spool.drop([str(number) for number in added[1:]])
    assert len(segments(tmp_path)) == 2
    assert spool.add("later", frames_of("later"))
    spool.drop(["0", "later"])
    assert spool.add("last", frames_of("last"))
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 2_000
    spool.drop(["last"])
    spool.close()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_spool_damaged_records_are_skipped_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    for name in "abc":
        assert spool.add(name, frames_of(name))
    killed(spool)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"r-b")] ^= 0xFF
    path.write_bytes(bytes(data) + data[:30])
    (orphan,) = orphans(tmp_path)
    assert [messages[0].exchange for messages in orphan.exchanges] == ["a", "c"]
    assert orphan.damaged == 2
    orphan.release()


def test_spool_full_disk_is_reported_once_and_later_exchanges_are_spooled(tmp_path: Path) -> None:
    problems: list[str] = []
    spool = Spool(tmp_path, setup_of(tmp_path), problems.append)
    assert spool.open()
    assert spool.add("a", frames_of("a"))
    size = segments(tmp_path)[0].stat().st_size
    with file_size_limit(size + 100):
        assert [spool.add(name, frames_of(name)) for name in "bc"] == [False, False]
    assert len(problems) == 1
    assert segments(tmp_path)[0].stat().st_size == size
    assert spool.add("d", frames_of("d"))
    killed(spool)
    (orphan,) = orphans(tmp_path)
    assert ([messages[0].exchange for messages in orphan.exchanges], orphan.damaged) == (["a", "d"], 0)
    orphan.release()


def test_spool_of_a_running_recorder_is_not_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    assert spool.add("a", frames_of("a"))
    assert list(orphans(tmp_path)) == []
    spool.drop(["a"])
    spool.close()


def test_recover_spools_exchanges_of_a_killed_recorder_are_logged_once(tmp_path: Path) -> None:
    for _ in range(2):  # the second time as if the first recovery had been killed before it removed the files
        spool = Spool(tmp_path, setup_of(tmp_path))
        assert spool.open()
        assert spool.add("a", frames_of("a", BODY, (ANSWER,)))
        assert spool.add("b", frames_of("b", PLAIN_BODY, (split_stream("hello"),)))
        assert spool.add("c", frames_of("c", b"not JSON"))
        killed(spool)
        assert recover_spools(tmp_path) == 0
        assert not list((tmp_path / FOLDER).glob("*.spool"))
        runs = {run.record.run_id: run for run in logged(tmp_path)}
        assert sorted(runs) == ["a", "b"]
        states = {run_id: run.state() for run_id, run in runs.items()}
        assert [states[one].phase for one in "ab"] == ["done", "done"]
        assert [states[one].text for one in "ab"] == ["echo sk_…", "hello"]
        assert states["a"].request_id == "r-a"
        assert runs["a"].record.started_utc.timestamp() == 1_700_000_000.5
        assert runs["a"].record.source == "recorder"
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_recover_spools_open_exchange_has_its_newest_state_and_never_less_than_the_log(tmp_path: Path) -> None:
    stream = split_stream("hello")
    events = [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    for counts in ((1, 2), (0,), (1,)):
        spool = Spool(tmp_path, setup_of(tmp_path))
        assert spool.open()
        for count in counts:
            frames = frames_of("a", PLAIN_BODY, tuple(events[:count]))
            assert spool.add("a", [*frames[:-1], frame(End("a", 0.9, "killed", ""))], is_open=True)
        killed(spool)
        assert recover_spools(tmp_path) == 0
        assert [(run.state().phase, run.state().text) for run in logged(tmp_path)] == [("interrupted", "he")]
    spool = Spool(tmp_path, setup_of(tmp_path))
    assert spool.open()
    frames = frames_of("a", PLAIN_BODY, (stream,))
    assert spool.add("a", [*frames[:-1], frame(End("a", 0.9, "killed", ""))], is_open=True)
    assert spool.add("a", frames)
    killed(spool)
    assert recover_spools(tmp_path) == 0
    assert [(run.state().phase, run.state().text) for run in logged(tmp_path)] == [("done", "hello")]


CREDENTIALS = (
    "Authorization: Bearer KEY",
    "authorization: Token  KEY",
    "Authorization: KEY",
    "Authorization: Token token=KEY",
    "Authorization: Bearer KEY, Bearer another-1234",
    "Authorization: \tBearer\tKEY",
    "Authorization: KEY trailing words",
    "Authorization: Basic BASE64",
    "X-Api-Key:  KEY ",
    "api-key: KEY",
    "X-Goog-Api-Key: KEY",
    "Ocp-Apim-Subscription-Key: KEY",
    "X-Auth-Token: KEY",
    "Proxy-Authorization: Bearer KEY",
    "Cookie: theme=dark; session=KEY",
)


@pytest.mark.parametrize("line", CREDENTIALS)
@pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/chat/completions?access_token=KEY"])
def test_every_credential_of_a_request_is_masked(line: str, target: str) -> None:
    key = "pk.planted/0123456789"
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    name, _, value = line.replace("KEY", key).replace("BASE64", basic).partition(": ")
    headers = [(b"Authorization", b"Bearer first-of-two-1234"), (name.encode(), value.encode())]
    begin = Begin("a", 0.0, "POST", target.replace("KEY", key), headers)
    masked = masked_exchange([begin, RequestData("a", b'{"messages":[{"content":"' + key.encode() + b'"}]}')], None)
    assert key.encode() not in b"".join(map(frame, masked))


def test_words_of_a_request_without_credentials_are_not_masked() -> None:
    headers = [
        (b"Idempotency-Key", b"order-20261128"),
        (b"X-Token-Limit", b"4096"),
        (b"Content-Type", b"application/json"),
    ]
    begin = Begin("a", 0.0, "POST", "/v1/chat/completions?stream=true", headers)
    body = RequestData("a", b'{"messages":[{"content":"order-20261128 with 4096 tokens in application/json"}]}')
    assert body in masked_exchange([begin, body], None)


@pytest.mark.parametrize("length", [4, 12, 20])
@pytest.mark.parametrize("stream", [False, True])
def test_beginning_of_a_key_at_the_end_of_a_cut_response_is_masked(length: int, stream: bool) -> None:
    key = "pk.planted/0123456789"
    begin = Begin("a", 0.0, "POST", "/v1/chat/completions", [(b"Authorization", f"Bearer {key}".encode())])
    part = split_stream(f"it is {key[:length]}") if stream else f'{{"text": "it is {key[:length]}'.encode()
    cut: list[ExchangeMessage] = [
        ResponseData("a", 0.2, part.removesuffix(b"data: [DONE]\n\n")),
        End("a", 0.3, "upstream_cut", ""),
    ]
    masked = b"".join(map(frame, masked_exchange([begin, *cut], None)))
    shown = length == 4 and stream  # so few characters are no key
    assert (b"sk_" in masked, b"it is pk." in masked) == (not shown, False)
    assert key[:8].encode() not in masked


@pytest.mark.parametrize("stream", [False, True])
def test_key_in_two_long_pieces_in_a_response_is_masked(stream: bool) -> None:
    key = "Zx81PqLm55TrWq9bKd7Yv3Nc"
    begin = Begin("a", 0.0, "POST", "/v1/chat/completions", [(b"Authorization", f"Bearer {key}".encode())])
    chunks = [json.dumps({"choices": [{"index": 1, "delta": {"x": piece}}]}) for piece in (key[:14], key[14:])]
    body = "".join(f"data: {chunk}\n\n" for chunk in chunks) if stream else json.dumps({"x": [key[:14], key[14:]]})
    response: list[ExchangeMessage] = [ResponseData("a", 0.2, body.encode()), End("a", 0.3, "complete", "")]
    masked = b"".join(map(frame, masked_exchange([begin, *response], None)))
    assert "sk_…".encode() in masked
    assert not [at for at in range(len(key) - 7) if key[at : at + 8].encode() in masked]


@pytest.mark.parametrize("depth", [90, 150, 3_000])
def test_key_split_over_events_beside_a_deeply_nested_one_is_masked(depth: int) -> None:
    key = "pk.planted/0123456789"
    nested = b'data: {"choices": [], "note": %s%s}\n\n' % (b"[" * depth, b"]" * depth)
    request = RequestData("a", b'{"messages": [], "metadata": %s%s}' % (b"[" * depth, b"]" * depth))
    begin = Begin("a", 0.0, "POST", "/v1/chat/completions", [(b"Authorization", f"Bearer {key}".encode())])
    data = ResponseData("a", 0.2, nested + split_stream(f"it is {key}."))
    masked = b"".join(map(frame, masked_exchange([begin, request, data, End("a", 0.3, "complete", "")], None)))
    assert b"sk_" in masked
    assert "".join(re.findall('"content": ?"(.*?)"', masked.decode("utf-8", "replace"))) == "it is pk.sk_…."


def test_piece_of_a_stream_that_begins_inside_a_word_is_unchanged() -> None:
    begin = Begin("a", 0.0, "POST", "/v1/chat/completions", [(b"Authorization", f"Bearer {KEY}".encode())])
    stream = split_stream("a di").removesuffix(b"data: [DONE]\n\n") + (
        b'data: {"choices": [{"delta": {"content": "sk-3f9a8b7c6d5e4f3a2b1c0d9e"}}]}\n\n'
    )
    data = ResponseData("a", 0.2, stream)
    assert data in masked_exchange([begin, data, End("a", 0.3, "complete", "")], None)


WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("shown", ['{"error": "wrong key: KEY"}', "wrong key: KEY, sk_another0123456789"])
def test_key_in_utf_16_or_utf_32_is_masked(encoding: str, shown: str) -> None:
    key = "pk.planted/0123456789"
    secret = "Zq01hunterX8kd93LpQv01"
    begin = Begin("a", 0.0, "POST", "/v1/chat/completions", [(b"Authorization", f"Bearer {key}".encode())])
    request = RequestData("a", json.dumps({"messages": [], "api_key": secret}).encode(encoding))
    data = ResponseData("a", 0.2, shown.replace("KEY", f"{key} {secret}").encode(encoding))
    masked = b"".join(map(frame, masked_exchange([begin, request, data, End("a", 0.3, "complete", "")], None)))
    plain = masked.replace(b"\0", b"")
    assert b"messages" in plain
    assert b"wrong" in plain
    assert not [text for text in (key, secret, "another0123") if text.encode() in plain]


def test_deflate_without_the_header_of_zlib_is_read() -> None:
    packed = zlib.compressobj(wbits=-15)
    data = packed.compress(PLAIN_ANSWER) + packed.flush()
    body = Decompressor("deflate")
    assert b"".join(body.feed(data[at : at + 7]) for at in range(0, len(data), 7)) == PLAIN_ANSWER
