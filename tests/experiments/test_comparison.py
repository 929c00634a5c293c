"""Plan, prefix, differences and report of a comparison; its exports."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from playground.client.endpoint import Endpoint, Rates
from playground.experiments.comparison import (
    CACHE_STARTS,
    LETTERS,
    ORDERS,
    CacheStart,
    ComparedColumn,
    ComparisonReport,
    Looked,
    Order,
    Piece,
    Prefix,
    RunFigures,
    Step,
    Variant,
    cold_document,
    cost_texts,
    expected_cached,
    kind_of,
    log_tags,
    order_text,
    plan,
    prefix_text,
    prefixes,
    read_tags,
    run_plan,
    spread,
    start_warnings,
    summary,
    text_changes,
    without_marker,
)
from playground.export.pages import export_comparison, table_text
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prompt.document import Document, Message
from playground.ui.panes.prompt.axis_paint import axes_of

SYSTEM = (
    "You are the agent of a phone company.\nQuote prices in rupees.\n" + "Be brief and kind to every caller.\n" * 60
)
PROMPT = Document(
    name="base",
    messages=(Message("system", SYSTEM), Message("user", "{{question}}")),
    variables={"question": "Why is my bill higher?"},
    parameters={"max_tokens": 20},
)
ENDPOINT = Endpoint("e", "Bench", "http://127.0.0.1:1/v1", rates=Rates(0.40, 0.10, None))


def edited(old: str, new: str) -> Document:
    return PROMPT.with_message(0, replace(PROMPT.messages[0], content=SYSTEM.replace(old, new, 1)))


def looked(document: Document, endpoint: Endpoint = ENDPOINT, reported: int | None = None) -> Looked:
    forecaster = CacheForecaster()
    return Looked(
        Variant(document, endpoint),
        forecaster.look(document, endpoint.id, endpoint.model),
        forecaster.counter(endpoint.id, endpoint.model),
        16,
        reported,
    )


@pytest.mark.parametrize(
    ("order", "start", "expected"),
    [
        ("together", "as_is", ["A B", "A B"]),
        ("forward", "as_is", ["A", "B", "A", "B"]),
        ("backward", "cold", ["B", "A", "B", "A"]),
        ("together", "warm", ["a b", "A B", "A B"]),
        ("forward", "warm", ["a", "b", "A", "B", "A", "B"]),
    ],
)
def test_plan_order_and_start_return_groups(order: str, start: str, expected: list[str]) -> None:
    groups = plan(2, 2, order, start)  # type: ignore[arg-type]
    letters = [[LETTERS[s.column].lower() if s.warm_up else LETTERS[s.column] for s in group] for group in groups]
    assert [" ".join(group) for group in letters] == expected


def test_run_plan_group_waits_for_the_one_before() -> None:
    happened: list[str] = []

    async def send(step: Step) -> None:
        happened.append(f"+{step.column}")
        await asyncio.sleep(0)
        happened.append(f"-{step.column}")

    asyncio.run(run_plan(plan(2, 1, "forward", "as_is"), send))
    assert happened == ["+0", "-0", "+1", "-1"]
    happened.clear()
    asyncio.run(run_plan(plan(2, 1, "together", "as_is"), send))
    assert happened == ["+0", "+1", "-0", "-1"]


def test_prefix_edited_line_is_named_and_priced() -> None:
    first, other = prefixes([looked(PROMPT, reported=1000), looked(edited("in rupees", "briefly"), reported=990)])
    assert first.same
    assert first.place == ""
    assert not other.same
    assert other.place == "system, line 2"
    assert 0 < other.shared < 30 < other.stable < 990
    assert first.total == 1000
    assert other.cost_once == pytest.approx((other.stable - other.shared) * 0.3 / 1e6)
    assert first.warm_cached % 16 == 0
    cached = first.warm_cached
    assert first.cost_per_1000 == pytest.approx((cached * 0.1 + (1000 - cached) * 0.4) / 1000)


@pytest.mark.parametrize("question", ["{{question}}", "The caller asks: {{question}} Answer in Hindi."])
@pytest.mark.parametrize("reported", [None, 1000])
def test_prefix_has_the_stable_tokens_that_the_editor_displays(question: str, reported: int | None) -> None:
    user = len(PROMPT.messages) - 1
    column = looked(PROMPT.with_message(user, replace(PROMPT.messages[user], content=question)), reported=reported)
    (found,) = prefixes([column])
    assert found.stable == axes_of(column.forecast, reported).stable_tokens


def test_prefix_parameter_or_variable_value_does_not_change_it() -> None:
    other = replace(PROMPT, parameters={"temperature": 0.2}, variables={"question": "When?"})
    _, found = prefixes([looked(PROMPT), looked(other)])
    assert found.same
    assert found.fresh_once == 0
    assert prefix_text(1, found) == "same prefix as A: cached once A was answered"


def test_prefix_other_model_and_no_rates_are_unknown_costs() -> None:
    elsewhere = replace(ENDPOINT, model="electron-2", rates=Rates())
    first, other = prefixes([looked(PROMPT), looked(PROMPT, elsewhere)])
    assert other.other_cache == "model"
    assert other.fresh_once == other.stable
    assert other.cost_once is None
    assert "—" in next(iter(cost_texts([first, other])))


def test_prefix_example_of_the_design_has_its_costs() -> None:
    rates = Rates(0.40, 0.10, None)
    a = Prefix(1281, 1257, 1257, 1248, rates=rates)
    b = Prefix(1272, 1248, 176, 1248, "system, line 7", same=False, rates=rates)
    assert next(iter(cost_texts([a, b]))) == (
        "Changing from A to B costs ≈ 1,072 fresh tokens once (≈ $0.000322); after that B is warm too while its prefix "
        "stays the same: ≈ $0.134 per 1,000 requests (A: ≈ $0.138)."
    )


def test_cold_document_marker_is_removed_again() -> None:
    cold = cold_document(PROMPT, "0123456789ab")
    assert (cold.messages[0].content or "").startswith("[comparison 0123456789ab]\nYou are")
    assert without_marker(cold) == PROMPT
    assert without_marker(PROMPT) == PROMPT
    assert without_marker(Document()) == Document()


def test_log_tags_are_read_back_and_warm_ups_are_left_out() -> None:
    assert read_tags(log_tags("ab12", Step(2))) == ("ab12", 2)
    assert read_tags(log_tags("ab12", Step(2, warm_up=True))) is None
    for tags in ([], ["comparison:x"], ["column:A"], ["comparison:x", "column:"], ["comparison:x", "column:AB"]):
        assert read_tags(tags) is None, tags


def test_text_changes_words_add_up_to_both_texts() -> None:
    before, after = "Your bill is higher, because of roaming.", "Your bill rose because of two roaming days."
    pieces = text_changes(before, after)
    assert "".join(piece.text for piece in pieces if piece.sign != "gone") == after
    assert "".join(piece.text for piece in pieces if piece.sign != "come") == before
    assert Piece("come", "rose") in pieces
    assert text_changes("a big red house", "a small old house") == (
        Piece("same", "a "),
        Piece("gone", "big red"),
        Piece("come", "small old"),
        Piece("same", " house"),
    )


def test_text_changes_json_ignores_order_and_spacing() -> None:
    pieces = text_changes('{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1}')
    assert {piece.sign for piece in pieces} == {"same"}
    signs = [piece for piece in text_changes('{"a":1,"b":2}', '{"b":3,"a":1}') if piece.sign != "same"]
    assert signs == [Piece("gone", '  "b": 2\n'), Piece("come", '  "b": 3\n')]


@pytest.mark.parametrize("size", [30_000, 300_000])
def test_text_changes_long_texts_are_bounded_and_complete(size: int) -> None:
    before, after = "word " * size, "word " * (size - 1) + "other"
    pieces = text_changes(before, after)
    assert "".join(piece.text for piece in pieces if piece.sign != "gone") == after


def test_spread_unknown_values_are_left_out() -> None:
    found = spread([3.0, None, 1.0, 2.0])
    assert found is not None
    assert (found.n, found.median, found.low, found.high) == (3, 2.0, 1.0, 3.0)
    assert spread([None]) is None


def run(text: str, cached: int | None = 100, ttft: float | None = 0.1, number: int = 1) -> RunFigures:
    return RunFigures(
        run_id=f"r{number}",
        phase="done",
        request_id=f"id-{number}",
        status=200,
        finish_reason="stop",
        text=text,
        prompt_tokens=1000 if cached is not None else None,
        cached_tokens=cached,
        ttft_s=ttft,
        forecast_cached=96.0,
        forecast_prompt=990.0,
    )


def report_of(*columns: ComparedColumn, **fields: object) -> ComparisonReport:
    return replace(ComparisonReport("ab12cd34", columns), **fields)


def test_summary_several_runs_have_distribution_and_weighted_share() -> None:
    a = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", 100, 0.1), run("y", 900, 0.3)))
    b = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", None, None),))
    rows = dict(summary(report_of(a, b)))
    assert rows["Served from cache"] == ["1,000 of 2,000 in 2 runs · 50.0 %", "—"]
    assert rows["Time to first token"] == ["200 ms (100 ms to 300 ms, n 2)", "—"]
    assert rows["Answers"] == ["2 different of 2", "1 different of 1"]
    assert rows["Input cost · per 1,000 when warm"] == ["— · —", "— · —"]
    assert rows["Forecast of cached tokens"] == ["≈ 96", "≈ 96"]


def test_summary_difference_below_a_millisecond_is_no_difference() -> None:
    a = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", ttft=0.1242),))
    b = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", ttft=0.1239),))
    assert dict(summary(report_of(a, b)))["Time to first token"] == ["124 ms", "124 ms (± 0 ms)"]


def test_summary_difference_is_that_of_the_displayed_values() -> None:
    a = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", ttft=0.2394),))
    b = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", ttft=0.2196),))
    assert dict(summary(report_of(a, b)))["Time to first token"] == ["239 ms", "220 ms (−19 ms)"]


def test_summary_every_row_of_a_column_without_runs_is_unknown_beside_a_failed_one() -> None:
    bad = replace(run("", None, None, 2), phase="failed", status=429, forecast_cached=None)
    timed = replace(run("x"), total_s=2.0, tokens_per_s=40.0, completion_tokens=80, input_cost=0.004)
    slower = replace(run("x", ttft=0.35), total_s=3.0, tokens_per_s=30.0, completion_tokens=1_200, input_cost=0.002)
    a = ComparedColumn(Variant(PROMPT, ENDPOINT), (timed, bad))
    b = ComparedColumn(Variant(PROMPT, ENDPOINT), (slower,))
    nothing = ComparedColumn(Variant(PROMPT, ENDPOINT))
    failed = ComparedColumn(Variant(PROMPT, ENDPOINT), (replace(bad, status=None),))
    assert dict(summary(report_of(a, b, nothing, failed))) == {
        "Served from cache": ["100 of 1,000 · 10.0 %", "100 of 1,000 · 10.0 %", "—", "—"],
        "Forecast of cached tokens": ["—", "≈ 96", "—", "—"],
        "Time to first token": ["100 ms", "350 ms (+250 ms)", "—", "—"],
        "Total": ["2.0 s", "3.0 s", "—", "—"],
        "Output speed": ["40.0 tok/s", "30.0 tok/s", "—", "—"],
        "Output tokens": ["80", "1,200", "—", "—"],
        "Input cost · per 1,000 when warm": ["$0.00400 · —", "$0.00200 · —", "— · —", "— · —"],
        "Status": ["429, 1 of 2 failed", "200", "—", "—"],
        "Answers": ["1 different of 1", "1 different of 1", "—", "—"],
    }
    assert [name for name, _ in summary(report_of(b, nothing))][-2:] == [
        "Output tokens",
        "Input cost · per 1,000 when warm",
    ]


def test_summary_states_the_wait_for_a_slot_that_is_in_the_total() -> None:
    waited = ComparedColumn(Variant(PROMPT, ENDPOINT), (replace(run("x"), total_s=40.5, waited_s=39.2),))
    sent = ComparedColumn(Variant(PROMPT, ENDPOINT), (replace(run("x"), total_s=1.3, waited_s=0.0),))
    rows = dict(summary(report_of(waited, sent)))
    assert rows["Total"] == ["40.5 s", "1.3 s"]
    assert rows["Waiting to be sent, in the total"] == ["39.2 s", "0 ms"]
    assert "Waiting to be sent, in the total" not in dict(summary(report_of(sent)))


def test_start_warnings_reported_figures_contradict_the_start() -> None:
    column = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", 16),))
    assert len(list(start_warnings(report_of(column, start="cold")))) == 1
    assert list(start_warnings(report_of(column, start="warm"))) == []
    cold = ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x", 0),))
    assert len(list(start_warnings(report_of(column, cold, start="warm")))) == 1


def test_kind_of_names_every_difference() -> None:
    first = Variant(PROMPT, ENDPOINT)
    assert kind_of(first, first) == "baseline"
    other = Variant(replace(edited("rupees", "INR"), parameters={}), replace(ENDPOINT, id="f"))
    assert kind_of(other, first) == "prompt edited · parameter changed · other endpoint"
    assert kind_of(Variant(PROMPT, ENDPOINT), first) == "same as A"


class Tags(HTMLParser):
    """Collects the names of the elements and every attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


HOSTILE = "<script>alert(1)</script><img src=http://x.invalid/a onerror=alert(2)> ```\n# head\n```` \u202e sk-"
KEY = "sk_live_0123456789abcdefghij"


def hostile_report() -> ComparisonReport:
    document = replace(edited("in rupees", HOSTILE), name=HOSTILE, variables={"question": HOSTILE + KEY})
    a, b = f"{HOSTILE} {KEY}", f"other {KEY[:12]}ZZZZ{KEY[12:]}"
    return report_of(
        ComparedColumn(Variant(document, replace(ENDPOINT, name=HOSTILE)), (run(a),)),
        ComparedColumn(Variant(PROMPT, ENDPOINT), (run(b, number=2),), changes=text_changes(a, b)),
    )


def test_export_html_hostile_texts_are_escaped_and_keys_masked() -> None:
    page = export_comparison(hostile_report(), "html")
    tags = Tags(page)
    assert not tags.names & {"script", "img", "link", "iframe", "object"}
    assert not tags.attributes & {"src", "href", "onerror", "onload"}
    assert "default-src 'none'" in page
    assert "\u202e" not in page
    assert not re.search("0123456789|bcdefghij|ZZZZ", page)
    assert "id-2" in page


def test_export_markdown_fence_is_longer_than_any_in_the_answer() -> None:
    text = export_comparison(hostile_report(), "markdown")
    assert "`````\n" in text
    assert not re.search("0123456789|bcdefghij|ZZZZ", text)
    outside = re.sub(r"(`{3,})\w*\n.*?\n\1", "", text, flags=re.DOTALL)
    assert "<script" not in outside.replace("\\<", "")


def test_table_text_has_a_line_per_figure() -> None:
    lines = table_text(report_of(ComparedColumn(Variant(PROMPT, ENDPOINT), (run("x"),)))).splitlines()
    assert lines[0] == "\tA · base"
    assert lines[1] == "Served from cache\t100 of 1,000 · 10.0 %"


def test_expected_cached_together_columns_do_not_warm_each_other() -> None:
    columns = [looked(PROMPT), looked(edited("in rupees", "briefly"))]
    assert expected_cached(columns, "together", "as_is") == (0.0, 0.0)


@pytest.mark.parametrize(("order", "warmed"), [("forward", 1), ("backward", 0)])
def test_expected_cached_one_after_another_the_later_column_is_served_the_shared_prefix(
    order: Order, warmed: int
) -> None:
    columns = [looked(PROMPT), looked(PROMPT)]
    found = expected_cached(columns, order, "as_is")
    total = columns[0].forecast.zones.total_tokens
    assert found[1 - warmed] == 0
    assert total - 17 <= found[warmed] < total
    assert found[warmed] % 16 == 0


def test_expected_cached_other_model_is_not_warmed() -> None:
    columns = [looked(PROMPT), looked(PROMPT, replace(ENDPOINT, model="other"))]
    assert expected_cached(columns, "forward", "as_is") == (0.0, 0.0)


def test_expected_cached_forced_start_is_nothing_or_everything() -> None:
    columns = [looked(PROMPT), looked(edited("in rupees", "briefly"))]
    assert expected_cached(columns, "together", "cold") == (0.0, 0.0)
    assert all(tokens > 0 for tokens in expected_cached(columns, "together", "warm"))


@pytest.mark.parametrize("start", ["as_is", "cold", "warm"])
@pytest.mark.parametrize("order", ["together", "forward", "backward"])
def test_order_text_every_choice_has_another_sentence(order: Order, start: CacheStart) -> None:
    assert order_text(order, start, 1) == ""
    others = {
        order_text(other, kind, 3) for other in ORDERS for kind in CACHE_STARTS if (other, kind) != (order, start)
    }
    assert (order_text(order, start, 3) in others) == (start != "as_is"), "a forced start does not depend on the order"
