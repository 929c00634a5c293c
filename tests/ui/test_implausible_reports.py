"""Reports that cannot be right, from a real server: displayed as reported, named as such, and not learned from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

import pytest

from playground.cli.selftest import UiDriver
from playground.client.endpoint import Endpoint, Rates
from playground.export.ticket import TicketContents, ticket
from playground.prompt.document import Document, Json, Message
from playground.requestlog.filter import EVERYTHING
from playground.runs.metrics import not_plausible
from playground.ui.session import Session
from tests.http_server import QuietHandler, serving
from tests.ui.test_window import _send

RULES = "\n".join(f"Rule {number}: be kind and brief on the phone." for number in range(120))
PROMPT = Document(
    messages=(Message("system", RULES), Message("user", "Hi")), parameters={"max_tokens": 2}, stream=False
)


class Server(QuietHandler):
    usage: ClassVar[str] = "{}"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message: dict[str, Json] = {"role": "assistant", "content": "Hi."}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        data = f'{body[:-1]}, "usage": {self.usage}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def usage(prompt: str, cached: str) -> str:
    details = f'"prompt_tokens_details": {{"cached_tokens": {cached}}}'
    return f'{{"prompt_tokens": {prompt}, "completion_tokens": 2, "total_tokens": 3, {details}}}'


@pytest.fixture
def address() -> Iterator[str]:
    with serving(Server) as found:
        yield f"{found}/v1"


ABSURD = (
    ("1000000000000000", "0", "prompt_tokens 1000000000000000", "not plausible"),
    ("-5", "0", "prompt_tokens -5", "not plausible"),
    ("1300.5", "0", "prompt_tokens 1300.5", "not plausible"),
    ("true", "0", "prompt_tokens true", "not plausible"),
    ("1300", "-7", "cached_tokens -7", "not plausible"),
    ("1300", "5000", "5,000 cached", "cannot be right"),
    ('"12"', "2304", 'prompt_tokens "12"', "not plausible"),
    ("2000000", "0", "2,000,000 in", "cannot be right"),
    ("1", "0", "1 in", "cannot be right"),
)


async def test_absurd_report_is_displayed_and_spoils_no_estimate(
    session: Session, hand: UiDriver, address: str
) -> None:
    window, workspace = session.window, session.workspace
    mine = workspace.endpoints.add(
        Endpoint("", "Mine", address, "m", needs_key=False, rates=Rates(2.0, 1.0, 4.0, source="mine"))
    )
    window.choose_endpoint(mine.id)
    window.prompt.set_document(PROMPT, undoable=True)
    Server.usage = usage("1300", "0")
    await _send(session, hand)
    before = workspace.forecast(PROMPT)
    for prompt, cached, displayed, named in ABSURD:
        Server.usage = usage(prompt, cached)
        await _send(session, hand)
        await _assert_displayed(session, displayed, named)
        after = workspace.forecast(PROMPT)
        assert after.forecast.prompt_tokens == pytest.approx(before.forecast.prompt_tokens, rel=0.01), displayed
        assert after.zones.total_tokens == pytest.approx(before.zones.total_tokens, rel=0.01), displayed
        assert workspace.log is not None
        if displayed not in ("1 in", "2,000,000 in"):
            assert (await workspace.log.totals(EVERYTHING)).compared_prompt_tokens == 1_300, displayed


async def _assert_displayed(session: Session, displayed: str, named: str) -> None:
    window, workspace = session.window, session.workspace
    section = window.inspector.usage
    texts = [section.headline.text(), section.headline.toolTip(), section.note.full_text, section.note.toolTip()]
    texts += [row.value for row in section.rows.values()] + [row.toolTip() for row in section.rows.values()]
    said = " ".join([*texts, window.inspector.why.sentence]).replace("\n", " ")
    assert displayed in said
    assert named in said
    if named == "not plausible":
        assert "displayed as reported" not in said
        assert workspace.log is not None
        stored = await workspace.log.get(window.requests.shown_run_id or "")
        assert stored is not None
        assert not_plausible(displayed) in ticket(stored, TicketContents())
    assert "forecast" not in window.inspector.forecast.rows["reported"].value or displayed in ("1 in", "2,000,000 in")
    assert window.inspector.why._title.text() == "The report cannot be right"
