"""Tickets: contents as chosen in all parts, a list of the removed contents, and no keys."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent
from playground.export.log_files import FORMATS, export
from playground.export.snippets import as_curl, as_httpx, as_javascript, as_python
from playground.export.ticket import CHOICES, Contents, Outline, TicketContents, bundle, ticket, tickets
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.field_errors import InputError
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import StoredRun
from playground.runs.state import fold
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from tests.http_server import QuietHandler, serving
from tests.requestlog.samples import answered, record, refused, stopped

KEY = "sk_planted-0123456789/+AbCdEf"
SECRET = "Meera's balance"
FIELD = "iban_of_customer"


def _tool() -> Tool:
    properties: dict[str, Json] = {FIELD: {"type": "string", "description": "secret words", "enum": ["Nordbank"]}}
    parameters: dict[str, Json] = {"type": "object", "properties": properties, "required": [FIELD]}
    function: dict[str, Json] = {"name": "hidden_tool", "description": "secret words", "parameters": parameters}
    return Tool.of({"type": "function", "function": function})


def _forms() -> list[str]:
    found = [KEY, quote(KEY, safe=""), json.dumps(KEY)[1:-1].replace("/", "\\/")]
    for before in ("", "a", "ab", "Bearer ", "user:"):
        encoded = base64.b64encode((before + KEY).encode()).decode()
        # What is before it and the padding change its ends.
        found += [encoded[12:-6], encoded[12:-6].replace("+", "-").replace("/", "_")]
    return found


PROMPT = Document(tools=(_tool(),), messages=(Message("system", "Be kind."), Message("user", SECRET)))
FAULTS = ("error", "header", "stream", "split", "everywhere", "whole")
OTHERS = [Document(messages=(Message("user", f"{fault} please"),)) for fault in FAULTS]


SPANS: list[bytes] = []
"""What the collector of OpenTelemetry spans was sent."""


def _stream(chunks: Sequence[Json]) -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _split(key: str) -> list[Json]:
    """A character a piece, as text and as a tool call's arguments."""
    pieces: list[Json] = [{"id": "c", "choices": [{"index": 0, "delta": {"content": "It is "}}]}]
    for character in key:
        call: Json = {"index": 0, "id": "t", "function": {"name": "f", "arguments": character}}
        pieces.append({"id": "c", "choices": [{"index": 0, "delta": {"content": character, "tool_calls": [call]}}]})
    return [*pieces, {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def _everywhere(key: str) -> Json:
    call: Json = {"index": 0, "id": key, "function": {"name": key, "arguments": key}}
    token: Json = {"token": key, "logprob": -1, "top_logprobs": [{"token": key, "logprob": -1}]}
    delta: Json = {"role": key, "content": f"It is {key}", "tool_calls": [call], "refusal": key}
    choice: Json = {"index": 0, "delta": delta, "logprobs": {"content": [token]}, "finish_reason": key}
    return {"id": key, "model": key, "object": key, "choices": [choice], "system_fingerprint": key, key: key}


class _Echo(QuietHandler):
    """Repeats the key that it was sent, in every form, wherever a server can."""

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/v1/traces"):
            SPANS.append(data)
            self._answer(200, "", "", "application/x-protobuf")
            return
        body = data.decode()
        key = self.headers["Authorization"].removeprefix("Bearer ")
        forms = " ".join((key, quote(key, safe=""), base64.b64encode(f"Bearer {key}".encode()).decode()))
        choice = {"index": 0, "delta": {"content": f"It is {forms}"}, "finish_reason": "stop"}
        chunk = json.dumps({"id": f"c-{key}", "choices": [choice]})
        if "error please" in body:
            self._answer(500, json.dumps({"error": {"message": f"bad key {forms}", "type": key}}), forms)
        elif "whole please" in body:
            self._answer(200, chunk.replace("delta", "message"), forms)
        elif "split please" in body:
            self._answer(200, _stream(_split(key)), forms, "text/event-stream")
        elif "everywhere please" in body:
            self._answer(200, _stream([_everywhere(key)]), forms, "text/event-stream", key)
        else:
            self._answer(200, f"data: {chunk}\n\ndata: [DONE]\n\n", forms, "text/event-stream")

    def _answer(
        self, status: int, text: str, forms: str, kind: str = "application/json", request_id: str = "req-1"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("X-Request-Id", request_id)
        self.send_header("X-Debug", forms)
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def echo() -> Iterator[str]:
    with serving(_Echo) as address:
        yield f"{address}/v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


def _sent(folder: Path, base_url: str, prompts: Sequence[Document]) -> list[StoredRun]:
    """Everything sent with the key, and logged, exported and told of in every form."""

    async def main() -> list[StoredRun]:
        workspace = AppServices(folder, {"SMALLEST_API_KEY": KEY}, Tasks(lambda *_: None))
        workspace.settings.set("request_lines", True)
        workspace.settings.set("request_lines_contents", True)
        workspace.settings.set("otel_collector", f"{base_url}/traces")
        await workspace.open_log()
        endpoint = Endpoint(id="address", name="Test", base_url=base_url, needs_key=True)
        for prompt in prompts:
            await workspace.sender.send(prompt, endpoint, lambda _: None, explicit=True)
        log = workspace.log
        assert log is not None
        found = await _all(log)
        for kind in FORMATS:
            await export(log, EVERYTHING, folder / f"export.{kind}", kind)
        await workspace.close()
        return found

    return asyncio.run(main())


async def _all(log: RequestLog) -> list[StoredRun]:
    found = [await log.get(row.run_id) for row in await log.page(EVERYTHING)]
    return [stored for stored in found if stored is not None]


def test_a_planted_key_that_comes_back_is_in_nothing_that_is_made(folder: Path, echo: str) -> None:
    SPANS.clear()
    runs = _sent(folder, echo, [PROMPT, *OTHERS, replace(OTHERS[-1], stream=False)])
    assert sum(data.count(b"electron.request_id") for data in SPANS) == len(runs)
    (folder / "spans.bin").write_bytes(b"".join(SPANS))
    assert len(runs) == 8
    assert sum("It is" in run.state().text for run in runs) >= 6
    for choice in CHOICES:
        (folder / f"{choice}.md").write_text(tickets(runs, TicketContents(choice)), "utf-8")
        with zipfile.ZipFile(io.BytesIO(bundle(runs, TicketContents(choice)))) as archive:
            archive.extractall(folder / f"{choice}.zip.d")
    for number, stored in enumerate(runs):
        for form in (as_curl, as_python, as_httpx, as_javascript):
            (folder / f"{form.__name__}-{number}.txt").write_text(form(stored.record), "utf-8")
    made = [path for path in folder.rglob("*") if path.is_file()]
    assert len(made) > 30
    hits = [(path.name, form) for path in made for form in _forms() if form.encode() in path.read_bytes()]
    assert hits == []


@pytest.mark.parametrize("written", [KEY, quote(KEY, safe=""), base64.b64encode(f"Bearer {KEY}".encode()).decode()])
def test_a_prompt_with_the_key_in_it_is_not_sent(folder: Path, echo: str, written: str) -> None:
    with pytest.raises(InputError, match="has this endpoint's API key in it"):
        _sent(folder, echo, [Document(messages=(Message("user", f"my key: {written}"),))])
    assert not [path.name for path in folder.rglob("*") if path.is_file() and written.encode() in path.read_bytes()]


def test_prompt_with_the_key_of_the_variable_or_of_another_endpoint_is_not_sent(tmp_path: Path, echo: str) -> None:
    """Nothing of this endpoint, which takes no key. A word that someone uses as a key of a local server may be sent."""
    random = "sk-4f2aQ91c07bTz3eX8"

    async def main() -> list[str]:
        services = AppServices(tmp_path, {"SMALLEST_API_KEY": KEY}, Tasks(lambda *_: None))
        services.keys.set_session(Endpoint("other", "Other", "https://other.example/v1"), random)
        services.keys.set_session(Endpoint("local", "Local", "http://localhost:1/v1"), "localhost-key")
        keyless = Endpoint("echo", "Echo", echo, needs_key=False)
        outcomes = []
        try:
            for text in (KEY, random, "localhost-key"):
                result = Message("tool", f"the key is {text} !", tool_call_id="c")
                try:
                    await services.sender.send(Document(messages=(result,)), keyless, lambda _sending: None)
                except InputError as refused:
                    outcomes.append(str(refused.problems[0]))
                else:
                    outcomes.append("sent")
        finally:
            await services.close()
        return outcomes

    first, second, third = asyncio.run(main())
    assert "API key of another endpoint" in first
    assert "API key of another endpoint" in second
    assert third == "sent"


@pytest.mark.parametrize("choice", CHOICES)
def test_contents_are_as_chosen_everywhere(folder: Path, simulator: SimulatorProcess, choice: Contents) -> None:
    stored = _sent(folder, simulator.base_url, [PROMPT])[0]
    with zipfile.ZipFile(io.BytesIO(bundle([stored], TicketContents(choice, "ws-77")))) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {name.rpartition("/")[2] for name in files} == {"ticket.md", "request.json", "events.jsonl"}
    answer = stored.state().text
    for name, text in files.items():
        there = [word for word in (SECRET, FIELD, "hidden_tool", "secret words", "Nordbank") if word in text]
        if choice == "included":
            assert SECRET in text or name.endswith("events.jsonl")
        else:
            assert there == [], name
            assert answer[:12] not in text, name
            if name.endswith("events.jsonl"):  # the lengths of tokens may give the completion away
                pieces = [one for one in map(json.loads, text.splitlines()) if one["event"] == "content"]
                assert pieces
                assert all(one.keys() <= {"event", "at"} for one in pieces)
    assert "| workspace | ws-77 |" in files["ticket.md"]
    assert ('"hash"' in files["ticket.md"]) is (choice == "hashed")
    assert ("characters: messages" in files["ticket.md"]) is (choice != "included")


def test_a_text_cannot_end_the_block_that_it_stands_in(folder: Path, simulator: SimulatorProcess) -> None:
    (stored,) = _sent(folder, simulator.base_url, [PROMPT])
    body = json.dumps({"messages": [{"role": "user", "content": "```\n# Not a heading"}]}).encode()
    words = ticket(replace(stored, record=replace(stored.record, body=body)), TicketContents("included"))
    assert "\n# Not a heading" not in words


QUOTED = "The patient Marianne Holloway was born in Köln on a rainy day and has a long äöü history."


@pytest.mark.parametrize(
    "quotation",
    [
        QUOTED,
        QUOTED[10:70],
        QUOTED[31:48],
        json.dumps(QUOTED)[1:-1],
        json.dumps(json.dumps({"content": QUOTED})),
        repr(QUOTED + "\n"),
    ],
    ids=["whole", "60 characters", "17 characters", "escaped", "JSON in JSON", "Python"],
)
@pytest.mark.parametrize("contents", ["hashed", "left out"])
def test_parts_of_the_prompt_in_a_servers_error_are_taken_out(quotation: str, contents: Contents) -> None:
    outline = Outline(contents)
    outline.of({"messages": [{"role": "user", "content": QUOTED * 3}]})
    left = outline.unquoted(f"max_tokens must be at most 4096, not in: {quotation} (param=messages)")
    assert left.startswith("max_tokens must be at most 4096, not in: ")
    assert left.endswith(" (param=messages)")
    assert "Marianne" not in left
    assert "Köln" not in left


SPECIAL = 'Zoë "Ä" \\ö\\ "ü" é\t"è" ñ\\"ß"'


@pytest.mark.parametrize(
    "quotation",
    [
        SPECIAL,
        json.dumps(SPECIAL),
        json.dumps(SPECIAL, ensure_ascii=False),
        json.dumps(json.dumps(SPECIAL)),
        repr(SPECIAL),
    ],
    ids=["as it is", "JSON", "JSON with letters", "JSON in JSON", "Python"],
)
def test_text_that_is_written_differently_in_each_language_is_taken_out_of_a_servers_error(quotation: str) -> None:
    outline = Outline("hashed")
    outline.of({"messages": [{"role": "user", "content": SPECIAL}]})
    left = outline.unquoted(f"not in: {quotation} (param=messages)")
    assert re.fullmatch(
        rf"not in: [\"\\']*\[{len(SPECIAL)} characters of the request\][\"\\']* \(param=messages\)", left
    )


@pytest.mark.parametrize(("events", "stated"), [(refused(401), "—"), (stopped(), "≈ 1,204"), (answered(), "1,204")])
def test_ticket_estimates_input_only_if_the_prompt_was_read(events: list[AnyEvent], stated: str) -> None:
    phase = fold(events).phase
    text = ticket(StoredRun(record(), 1, phase, False, tuple(events)))
    (row,) = [line for line in text.splitlines() if "prompt tokens" in line]
    assert row.split("|")[2].strip() == stated
