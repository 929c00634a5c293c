"""Masking of keys from stored requests and imported files in all exports."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from playground.client.events import (
    Alternative,
    AnyEvent,
    ContentDelta,
    RawEvent,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
)
from playground.client.redact import MASK
from playground.export import har
from playground.export.har import from_har
from playground.export.jsonl import from_line, to_line
from playground.export.log_files import to_row
from playground.export.masking import masked_events, masked_run
from playground.export.snippets import as_curl, as_httpx, as_javascript, as_python
from playground.export.ticket import TicketContents, bundle, ticket
from playground.requestlog.records import StoredRun
from playground.runs.state import fold
from tests.requestlog.samples import answered, called, record

INCLUDED = TicketContents("included")
KEY = "sk_live_0123456789abcdef"
HAR = {
    "log": {
        "version": "1.2",
        "entries": [
            {
                "startedDateTime": "2026-11-27T10:00:00Z",
                "time": 5,
                "request": {
                    "method": "POST",
                    "url": f"https://api.example/v1/chat/completions?api_key={KEY}",
                    "headers": [{"name": "Authorization", "value": f"Bearer {KEY}"}],
                    "postData": {
                        "text": json.dumps({"messages": [{"role": "user", "content": f"key {KEY}"}], "user": KEY})
                    },
                },
                "response": {
                    "status": 200,
                    "headers": [{"name": "x-request-id", "value": f"r-{KEY}"}, {"name": f"x-{KEY}", "value": "v"}],
                    "content": {
                        "mimeType": "application/json",
                        "text": json.dumps(
                            {"id": KEY, "choices": [{"message": {"content": KEY}, "finish_reason": KEY}]}
                        ),
                    },
                },
            }
        ],
    }
}


def stored(events: list[AnyEvent]) -> StoredRun:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"my key {KEY}"}]}).encode()
    made = replace(record(body=body, endpoint=KEY), base_url=f"https://host.test/{KEY}", model=KEY, conversation=KEY)
    return StoredRun(made, 1, "done", False, tuple(events), tags=(KEY,), comment=KEY, explanation={KEY: [KEY]})


def exits(run: StoredRun) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(bundle([run], INCLUDED))) as archive:
        zipped = "".join(archive.read(name).decode() for name in archive.namelist())
    return {
        "jsonl": to_line(run),
        "csv": to_row(run),
        "har": "".join(har.to_entries(run)),
        "ticket": ticket(run, INCLUDED),
        "hashed ticket": ticket(run),
        "zip": zipped,
        **{each.__name__: each(run.record) for each in (as_curl, as_httpx, as_javascript, as_python)},
    }


@pytest.mark.parametrize("where", exits(stored(answered())))
def test_exit_key_anywhere_in_a_stored_run_is_masked(where: str) -> None:
    run = stored(answered(text=f"the key {KEY}", request_id=f"id-{KEY}", reason=KEY))
    assert KEY not in exits(run)[where]


def test_exit_key_in_one_character_pieces_is_masked_in_text_and_raw_events() -> None:
    pieces: list[AnyEvent] = []
    for n, char in enumerate(f"a {KEY} b"):
        pieces += [RawEvent(1 + n / 100, json.dumps({"d": char})), ContentDelta(1 + n / 100, char)]
    events = [*answered()[:3], *pieces, *answered()[-3:]]
    masked = masked_events(events)
    assert fold(masked).text == "a sk_\u2026 b"
    raw = [json.loads(event.data) for event in masked if isinstance(event, RawEvent) and '"d"' in event.data]
    assert "".join(one["d"] for one in raw) == "a sk_\u2026 b"
    assert len(masked) == len(events)


def test_exit_text_beside_a_key_in_pieces_stays_in_its_event() -> None:
    pieces = '{"q": "sk_yqw8CVqf', "85kk6i6gHmK2Xx", 'QqlQc1Y9SI and you"', ', "n": 3}'
    events: list[AnyEvent] = []
    for at, piece in enumerate(pieces, 1):
        call = {"index": 0, "id": "c" * (at == 1), "function": {"arguments": piece}}
        token = {"token": piece, "logprob": -0.5, "bytes": [*piece.encode()], "top_logprobs": [{"token": piece}]}
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "logprobs": {"content": [token]}}
        raw = json.dumps({"id": "cmpl-1", "created": 1790000000, "choices": [choice]})
        tokens = TokenProbabilities(at, (TokenProbability(piece, -0.5, (Alternative(piece, -0.5),)),))
        events += [RawEvent(at, raw), ToolCallDelta(at, 0, None, None, piece), tokens]
    shown = [f'{{"q": "{MASK}', "", ' and you"', pieces[-1]]
    masked = masked_events(events)
    raw_events = [json.loads(one.data) for one in masked if isinstance(one, RawEvent)]
    choices = [one["choices"][0] for one in raw_events]
    assert [one["delta"]["tool_calls"][0]["function"]["arguments"] for one in choices] == shown
    tokens_shown = [one["logprobs"]["content"][0] for one in choices]
    assert [one["token"] for one in tokens_shown] == shown
    assert [one["bytes"] for one in tokens_shown] == [[], [], [], [*pieces[-1].encode()]]
    assert [one["top_logprobs"] for one in tokens_shown] == [[], [], [], [{"token": pieces[-1]}]]
    assert {(one["id"], one["created"]) for one in raw_events} == {("cmpl-1", 1790000000)}
    assert masked[-3:] == tuple(events[-3:])
    found = [one.tokens[0] for one in masked if isinstance(one, TokenProbabilities)]
    assert [one.token for one in found] == shown
    assert [len(one.alternatives) for one in found] == [0, 0, 0, 1]


def test_exit_key_split_over_tool_arguments_is_masked() -> None:
    events = [
        *called()[:2],
        ToolCallDelta(0.3, 0, "c", "f", '{"k": "sk_live_01234'),
        ToolCallDelta(0.4, 0, None, None, '56789abcdef"}'),
    ]
    assert fold(masked_events(events)).tool_calls[0].arguments == '{"k": "sk_\u2026"}'


GENERATED, OTHER = "3f9a8b7c6d5e4f3a2b1c0d9e", "Qm7RzT4vKp2LxW9cYb5NdH8s"


@pytest.mark.parametrize("content", [f"sk-{GENERATED}", f"a {GENERATED}"])
def test_exit_piece_that_begins_inside_a_word_is_unchanged_and_a_key_behind_it_is_masked(content: str) -> None:
    pieces = "a di", content, "/x and sk-", OTHER, f" sk-{OTHER}"
    events: list[AnyEvent] = []
    for at, piece in enumerate(pieces, 1):
        chunk = {"id": f"sk-{OTHER[::-1]}", "choices": [{"index": 1, "delta": {"content": piece}}]}
        events += [RawEvent(at, json.dumps(chunk)), ContentDelta(at, piece)]
    run = StoredRun(record(), 1, "done", False, (*answered()[:3], *events, *answered()[-3:]))
    masked = masked_run(run)
    keys = f"/x and {MASK}", "", f" {MASK}"
    assert tuple(one.text for one in masked.events if isinstance(one, ContentDelta)) == (*pieces[:2], *keys)
    raw = [json.loads(one.data) for one in masked.events if isinstance(one, RawEvent) and one.data[:1] == "{"]
    assert [one["choices"][0]["delta"]["content"] for one in raw] == [*pieces[:2], *keys]
    assert {one["id"] for one in raw} == {MASK}
    for name, text in exits(run).items():
        if name in ("jsonl", "har", "ticket", "zip"):
            assert (content in text, OTHER in text, OTHER[::-1] in text) == (True, False, False)


@pytest.mark.parametrize(
    "fields", [{"api_keys": ["AbC9dEf8GhI7"]}, {"headers": [{"name": "X-Api-Key", "value": "AbC9dEf8GhI7"}]}]
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_exit_secret_of_a_parameter_and_its_echo_are_masked(fields: dict[str, object], mark: bytes) -> None:
    body = mark + json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()
    document = json.dumps({"messages": [], "parameters": fields})
    made = replace(record(body=body), document=document)
    run = StoredRun(made, 1, "done", False, tuple(answered(text="I got AbC9dEf8GhI7")))
    masked = masked_run(run)
    shown = masked.record.body.decode() + masked.record.document + masked.state().text + str(masked.events)
    assert "AbC9dEf8GhI7" not in shown
    assert json.loads(masked.record.body.removeprefix(mark))["messages"] == [{"role": "user", "content": "hi"}]


def test_masked_run_without_a_key_is_unchanged() -> None:
    run = StoredRun(record(), 1, "done", False, tuple(answered("From nine \\u0041 to 100 % five")))
    assert masked_run(run) == run


def test_import_of_a_har_masks_body_document_headers_and_address() -> None:
    (run,) = from_har(HAR).runs
    text = repr(run)
    assert KEY not in text
    assert "sk_\u2026" in run.record.document
    assert b"sk_\xe2\x80\xa6" in run.record.body


def test_import_of_jsonl_masks_a_key() -> None:
    line = to_line(stored(answered())).replace("From", KEY)
    assert KEY not in repr(from_line(line))


def test_import_of_a_har_skips_unreadable_entries_and_counts_them_by_reason() -> None:
    good = HAR["log"]["entries"][0]
    assert isinstance(good, dict)
    bodiless = {**good, "request": {**good["request"], "postData": {}}}
    cut = {**good, "request": {**good["request"], "postData": {"text": "{cut"}}}
    entries = from_har({"log": {"entries": [bodiless, good, cut, bodiless, {"request": {"method": "GET"}}]}})
    assert len(entries.runs) == 1
    assert sorted(entries.skipped.values()) == [1, 2]


def test_import_of_a_har_has_no_time_to_first_token_and_keeps_the_duration() -> None:
    (run,) = from_har(HAR).runs
    state = fold(run.events)
    assert (state.ttft_s, state.tokens_per_s, state.ended_at) == (None, None, 0.005)
    assert run.record.started_utc == datetime(2026, 11, 27, 10, tzinfo=UTC)


@pytest.mark.parametrize("cell", ["=1+1", " =1+1", "\n=1+1", "\t@x", "\r\n+1", "\uff1d1", "-2"])
def test_csv_cell_that_is_a_formula_gets_an_apostrophe(cell: str) -> None:
    run = replace(stored(answered()), comment=cell)
    (row,) = csv.reader(io.StringIO(to_row(run), newline=""))
    assert row[-3] == f"'{cell}"
