"""The cache lab in the window: its cost before, its findings after, stopped and gone on with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.cli.selftest import UiDriver
from playground.client.endpoint import PLANS, Endpoint, Rates
from playground.experiments.lab import plan_lifetime, plan_repeats
from playground.prompt.document import Document, Message
from playground.requestlog.filter import EVERYTHING
from playground.ui.dialogs.cache_lab import CacheLabDialog, cost_words
from playground.ui.dialogs.repeat import RepeatDialog
from playground.ui.session import Session
from playground.ui.widgets.figure_row import Chart, Series, figure, round_up

Story = Callable[..., None]


def _lab(session: Session) -> CacheLabDialog:
    return session.window.program.cache_lab(session.window.requests)


async def test_it_runs_is_stopped_goes_on_and_is_in_the_log(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    lab = _lab(session)
    assert "28 requests" in lab.cost.text()
    lab.use_plan(plan_repeats(8))
    lab.go.click()
    await hand.until(lambda: lab.bar.value() >= 3, "three readings")
    lab.go.click()
    await hand.until(lambda: not lab.running, "the stop")
    assert lab.progress is not None
    taken = len(lab.progress.readings)
    assert 3 <= taken < 8
    lab.close()
    other = _lab(session)
    await hand.until(lambda: other.bar.value() == taken, "the saved progress")
    assert other.go.text() == "Resume"
    other.go.click()
    await hand.until(lambda: not other.running and other.bar.value() == 8, "the rest")
    assert "7 of 7 requests" in other.said.text()
    assert "request: 8 points, from 0 to " in other.chart.accessibleDescription()
    log = session.workspace.log
    assert log is not None
    assert (await log.count(EVERYTHING)).n >= 8
    rows = await log.page(EVERYTHING)
    ended = [(row.finish_reason, row.warning) for row in rows if row.phase == "done"]
    assert ended
    assert set(ended) == {("length", "")}  # max_tokens 1 is the lab's own
    file = tmp_path / "lab.csv"
    await other.save_to(str(file))
    assert len(file.read_text("utf-8").splitlines()) == 9
    kept = (tmp_path / "data" / "cache_lab.json").read_text("utf-8")
    assert json.loads(kept)["experiment"] == "repeats"
    other.close()


@pytest.mark.parametrize("kind", ["lab", "repeat"])
async def test_a_request_that_waits_for_the_plan_counts_its_seconds(
    session: Session, hand: UiDriver, kind: str
) -> None:
    endpoints, window = session.workspace.endpoints, session.window
    endpoints.change(replace(endpoints.get("simulator"), plan=replace(PLANS["standard"], requests_per_minute=2)))
    page: CacheLabDialog | RepeatDialog
    if kind == "lab":
        page = _lab(session)
        page.use_plan(plan_repeats(4))
    else:
        page = window.program.repeat_dialog(window.prompt, window.requests)
    page.go.click()
    await hand.until(page.waits.isVisible, "the wait")
    assert re.fullmatch(r"Queued, next to be sent, about (\d+ s|1 min)", page.waits.text())
    page.go.click()
    await hand.until(lambda: not page.running, "the stop")
    assert not page.waits.isVisible()


async def test_a_lifetime_that_was_found_is_used_in_forecasts(session: Session) -> None:
    lab = _lab(session)
    lab.lifetime_found.emit(120.4)
    assert session.workspace.settings.number("cache_lifetime_s") == 120
    assert session.workspace.sender.forecaster.lifetime_s == 120
    lab.close()


def test_the_cost_is_said_with_what_is_not_known() -> None:
    endpoint = Endpoint("e", "E", "http://127.0.0.1:9/v1", plan=PLANS["standard"], rates=Rates(0.4, 0.1))
    repeats, lifetime = plan_repeats(20), plan_lifetime((900.0,))
    assert "within Standard's limits" in cost_words(repeats, repeats.tokens, endpoint)
    assert "about 65.0 s" in cost_words(repeats, repeats.tokens, endpoint)
    without_rates = cost_words(lifetime, lifetime.tokens, Endpoint("e", "E", "http://127.0.0.1:9/v1"))
    assert "cost unknown" in without_rates
    assert "15 min" in without_rates


@pytest.mark.parametrize(("value", "end"), [(0, 1), (1, 1), (3, 4), (17, 20), (410, 500), (0.03, 0.04), (812, 1000)])
def test_axes_end_at_round_numbers(value: float, end: float) -> None:
    assert round_up(value) == pytest.approx(end)


def test_the_chart_says_what_it_draws(qtbot: object) -> None:
    chart = Chart("What was measured", lambda work, _name: work.close())
    chart.show_series([Series("warm", ((1.0, 20.0), (2.0, 30.0)), "warm_edge")], "prompt number", "ms")
    assert chart.accessibleDescription() == "ms over prompt number. warm: 2 points, from 20 to 30"
    assert figure(0.25) == "0.25"


async def test_the_past_is_replayed_and_leads_to_the_request(session: Session, hand: UiDriver) -> None:
    window = session.window
    rules = "\n".join(f"Rule {number}: be kind and brief on the phone." for number in range(80))
    for day in (11, 12, 13):
        text = f"Today is 2026-11-{day}.\n{rules}"
        messages = (Message("system", text), Message("user", "Hi"))
        window.prompt.set_document(Document(messages=messages, parameters={"max_tokens": 3}), undoable=True)
        window.requests.send_or_stop()
        await hand.until(lambda: not window.requests.running, "an answer")
    dialog = window.program.replay_dialog(window.requests)
    await hand.until(lambda: dialog.found is not None, "the replay")
    assert "3 requests" in dialog.said.text()
    assert dialog.table.rowCount() == 1
    item = dialog.table.item(0, 0)
    assert item is not None
    assert item.text() == "Date · message 1"
    dialog.table.cellActivated.emit(0, 0)
    dialog.line.setText("status:")
    dialog.run()
    await hand.until(dialog.go.isEnabled, "the refusal")
    assert "status" in dialog.said.text()
    dialog.close()
