"""A completion in JSON mode: displayed, checked, and its error marked."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from playground.client.events import ContentDelta, Finished
from playground.runs.record import Asked
from playground.runs.state import RunState
from playground.ui.panes.response.pane import JSON, ResponsePane
from playground.ui.panes.response.raw_tabs import COMING, WHOLE
from tests.ui import runs_on_show as runs

AS_JSON = Asked(json=True)


@pytest.fixture
def pane(qtbot: QtBot) -> ResponsePane:
    """A pane on the screen, its JSON tab in front."""
    pane = ResponsePane()
    qtbot.addWidget(pane)
    pane.resize(560, 500)
    pane.show()
    qtbot.waitExposed(pane)
    pane.show_tab(JSON)
    return pane


def _marked(pane: ResponsePane) -> list[str]:
    return [selection.cursor.selectedText() for selection in pane.json_tab.text.extraSelections()]


def test_a_good_answer_is_said_to_be_one(pane: ResponsePane) -> None:
    pane.show_state(runs.done('{"city": "Delhi"}'), asked=AS_JSON)
    assert pane.json_tab.what.text() == "✓ The answer is a JSON object, as asked"
    assert pane.json_tab.text.exact_text == '{"city": "Delhi"}'
    assert _marked(pane) == []
    assert not pane.json_tab.place.isVisible()
    assert pane.tabs.tabText(JSON) == "JSON"


def test_a_broken_answer_says_where_and_marks_it(pane: ResponsePane) -> None:
    pane.show_state(runs.done('{"न": "🙂",\r\n "city" §"Delhi"}'), asked=AS_JSON)
    assert pane.json_tab.what.text() == "✗ Not JSON: line 2, column 9: expecting ':' delimiter"
    assert _marked(pane) == ["§"]
    assert pane.json_tab.place.isVisible()
    assert pane.tabs.tabText(JSON) == "JSON ✗"


def test_the_mark_is_right_where_long_lines_are_broken_for_display(pane: ResponsePane) -> None:
    pane.show_state(runs.done('{"a": "' + "x" * 9_000 + '" § }'), asked=AS_JSON)
    assert _marked(pane) == ["§"]


def test_an_answer_cut_at_the_limit_says_so(pane: ResponsePane) -> None:
    events = [*runs.sent(), ContentDelta(0.2, '{"a": [1'), Finished(0.3, "length"), *runs.ending("length")]
    pane.show_state(runs.grown(RunState(), events), asked=AS_JSON)
    assert pane.json_tab.what.text() == (
        "✗ Not JSON: line 1, column 9: the text ends before the JSON does · cut at the token limit "
        "(finish_reason length)"
    )
    assert _marked(pane) == ["1"]


def test_an_array_is_not_what_was_asked(pane: ResponsePane) -> None:
    pane.show_state(runs.done("[1]"), asked=AS_JSON)
    assert pane.json_tab.what.text().startswith("✗ JSON, but not an object")


def test_nothing_is_judged_before_it_is_whole(pane: ResponsePane) -> None:
    pane.show_state(runs.streaming('{"a": '), asked=AS_JSON)
    assert pane.json_tab.what.text() == COMING
    assert _marked(pane) == []


def test_the_whole_response_is_one_click_away(pane: ResponsePane) -> None:
    pane.show_state(runs.done("{oops}"), asked=AS_JSON)
    assert pane.json_tab.switch.text() == WHOLE
    pane.json_tab.switch.click()
    assert '"cached_tokens": 1152' in pane.json_tab.text.exact_text
    assert _marked(pane) == []
    pane.json_tab.switch.click()
    assert pane.json_tab.text.exact_text == "{oops}"
    assert _marked(pane) == ["o"]


def test_without_the_wish_for_json_nothing_is_judged(pane: ResponsePane) -> None:
    for asked in (None, Asked()):
        pane.show_state(runs.done("Hello"), asked=asked)
        assert pane.json_tab.what.text().startswith("Put together from")
        assert not pane.json_tab.switch.isVisible()
        assert pane.tabs.tabText(JSON) == "JSON"


def test_a_filler_before_a_call_is_no_answer(pane: ResponsePane) -> None:
    pane.show_state(runs.calling(), asked=AS_JSON)
    assert pane.json_tab.what.text().startswith("Put together from")


def test_one_run_after_another_with_the_same_fault(pane: ResponsePane) -> None:
    for _ in range(2):
        pane.show_state(runs.done("{oops}"), asked=AS_JSON)
        assert _marked(pane) == ["o"]
