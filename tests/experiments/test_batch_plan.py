"""Rows, order and forecast of a batch."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Literal, cast

import pytest

from playground.client.endpoint import PLANS, Endpoint, Rates
from playground.experiments.batch_plan import (
    STEP_CHARS,
    ServerCache,
    forecast_batch,
    groups,
    make_plan,
    plan_of_shard,
    plan_rows,
    shard,
    without,
)
from playground.experiments.batch_rows import (
    BatchRow,
    column_notes,
    map_columns,
    read_pasted,
    read_rows,
    rows_of_requests,
)
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster, PromptForecast
from playground.prefix_cache.index import Sent
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message
from playground.prompt.field_errors import InputError
from playground.prompt.limits import EMPTY
from playground.runs.service import RequestService

PROMPT = Document(
    messages=(
        Message("system", "You are the agent of {{shop}}. " + "Be kind. " * 200),
        Message("user", "{{question}}"),
    )
)


def rows_of(*values: tuple[str, str]) -> tuple[BatchRow, ...]:
    return tuple(BatchRow(number, {"shop": shop, "question": q}) for number, (shop, q) in enumerate(values))


def mixed(shops: int, each: int, seed: int = 1) -> tuple[BatchRow, ...]:
    values = [(f"shop {s}" + "x" * STEP_CHARS, f"question {n} of {s}") for s in range(shops) for n in range(each)]
    random.Random(seed).shuffle(values)
    return rows_of(*values)


def test_read_rows_csv_with_quotes_and_line_breaks_keeps_values() -> None:
    rows = read_rows(b'\xef\xbb\xbfa,b\r\n"x ""1""\nsecond line",\xe0\xa4\x95\r\n', "data.csv")
    assert [dict(row.values) for row in rows] == [{"a": 'x "1"\nsecond line', "b": "क"}]


def test_read_rows_json_lines_and_arrays_are_equal() -> None:
    lines = read_rows(b'{"a": "x", "n": 1}\n\n{"a": "y", "n": {"z": null}}\n', "data.jsonl")
    array = read_rows(b'[{"a": "x", "n": 1}, {"a": "y", "n": {"z": null}}]', "data.json")
    assert lines == array
    assert lines[1].values == {"a": "y", "n": '{"z": null}'}


def test_read_rows_json_that_is_cut_names_one_place() -> None:
    with pytest.raises(InputError) as caught:
        read_rows(b'{"a": 1}\n{"a": 1}\n{b}\n', "data.jsonl")
    (problem,) = caught.value.problems
    assert problem.message == "line 3, column 2 is not JSON: Expecting property name enclosed in double quotes."


@pytest.mark.parametrize(
    ("data", "name", "line"),
    [
        (b"a,b\n1\n", "d.csv", 2),
        (b"a,a\n1,2\n", "d.csv", 1),
        (b'a\n"x\n', "d.csv", 2),
        (b'{"a": 1}\nnope\n', "d.jsonl", 2),
        (b'{"a": 1}\n[1]\n', "d.jsonl", 2),
        (b"\xff\xfe", "d.csv", None),
        (b"a\n", "d.csv", None),
    ],
)
def test_read_rows_bad_data_names_its_line(data: bytes, name: str, line: int | None) -> None:
    with pytest.raises(InputError) as bad:
        read_rows(data, name)
    (problem,) = bad.value.problems
    assert problem.path == ("data",)
    assert (f"line {line}" in problem.message) == (line is not None)


def test_map_columns_variable_without_column_or_value_is_refused() -> None:
    rows = (BatchRow(0, {"shop": "a"}),)
    with pytest.raises(InputError) as bad:
        map_columns(PROMPT, rows, {})
    assert bad.value.problems[0].path == ("variables", "question")
    assert map_columns(PROMPT.with_variable("question", "hi"), rows, {}) == {"shop": "shop"}
    assert map_columns(PROMPT, (BatchRow(0, {"shop": "a", "q": "b"}),), {"question": "q"}) == {
        "shop": "shop",
        "question": "q",
    }


def test_map_columns_refuses_an_empty_prompt() -> None:
    for empty in (Document(), Document(messages=(Message("system", ""), Message("user", "")))):
        with pytest.raises(InputError) as bad:
            map_columns(empty, (BatchRow(0, {"shop": "a"}),), {})
        assert bad.value.problems[0].message == EMPTY


def test_plan_rows_warm_each_row_waits_for_the_first_row_of_its_prefix() -> None:
    plan = plan_rows(PROMPT, mixed(3, 4), {"shop": "shop", "question": "question"}, "warm")
    shops = [item.row.values["shop"] for item in plan]
    assert [len(list(group)) for _, group in itertools.groupby(shops)] == [4, 4, 4]
    assert [item.after for item in plan] == [None, 0, 0, 0, 0, 4, 4, 4, 0, 8, 8, 8]


def test_plan_rows_warm_is_as_good_as_the_best_order_of_all() -> None:
    columns = {"shop": "shop", "question": "question"}
    rows = mixed(3, 2)
    texts = {item.row.number: "".join(item.parts) for item in plan_rows(PROMPT, rows, columns, "file")}

    def served(order: tuple[int, ...]) -> int:
        return sum(
            max((common_prefix(texts[order[e]], texts[order[n]]) for e in range(n)), default=0)
            for n in range(len(order))
        )

    best = max(served(order) for order in itertools.permutations(range(len(rows))))
    warm = served(tuple(item.row.number for item in plan_rows(PROMPT, rows, columns, "warm")))
    assert warm >= 0.98 * best


@pytest.mark.parametrize("order", ["warm", "file"])
def test_plan_and_forecast_of_no_rows_are_empty(order: Literal["warm", "file"]) -> None:
    planned = plan_rows(PROMPT, (), {"shop": "shop", "question": "question"}, order)
    made = forecast_batch(planned, ServerCache(len), plan=PLANS["standard"], rates=Rates(0.4, 0.1), concurrency=3)
    assert (planned, groups(planned), made.rows) == ((), [], ())
    assert (made.prompt_tokens, made.cached_tokens, made.seconds, made.input_cost) == (0, 0, 0.0, 0.0)
    assert made.cached_share == 0.0


def test_forecast_batch_warm_order_caches_more_than_file_order_when_the_lifetime_is_short() -> None:
    columns = {"shop": "shop", "question": "question"}
    rows = mixed(40, 5)

    def forecast(order: str) -> float:
        plan = plan_rows(PROMPT, rows, columns, "warm" if order == "warm" else "file")
        made = forecast_batch(
            plan,
            ServerCache(lambda text: len(text) / 4, lifetime_s=60),
            plan=PLANS["standard"],
            rates=Rates(fresh=0.4, cached=0.1),
            concurrency=3,
        )
        assert made.seconds >= (len(rows) / 10 - 1) * 60
        assert made.input_cost is not None
        return made.cached_share

    assert forecast("warm") > 0.75
    assert forecast("file") < 0.5


COLUMNS = {"shop": "shop", "question": "question"}


def test_forecast_knows_the_requests_in_the_cache_and_what_reports_have_taught() -> None:
    forecaster, endpoint = CacheForecaster(300.0, lambda: 1_000.0), Endpoint("e", "E", "http://127.0.0.1:1/v1")

    def look(document: Document, endpoint: Endpoint) -> PromptForecast:
        return forecaster.look(document, endpoint.id, endpoint.model, began)

    service = cast(
        "RequestService", SimpleNamespace(forecaster=forecaster, cache_began=lambda _endpoint: began, forecast=look)
    )
    rows = mixed(2, 3)

    def cached() -> float:
        cache = ServerCache.of(service, endpoint, PROMPT)
        return make_plan(PROMPT, rows, COLUMNS, "warm", cache, endpoint, concurrency=1).forecast.cached_share

    began: float | None = None
    first = cached()
    for item in plan_rows(PROMPT, rows, COLUMNS, "file"):
        view = view_of_document(item.document).view
        sent = Sent(f"run-{item.row.number}", None, 900.0, view.text, view)
        forecaster.record(endpoint.id, endpoint.model, sent)
    again = cached()
    assert first < 0.9 < again < 1.0
    began = 950.0  # the server has been restarted since
    assert cached() == first
    began = None
    for number in range(6):
        view = view_of_document(PROMPT.with_variable("shop", f"{number}")).view
        forecaster.record(endpoint.id, endpoint.model, Sent(f"own-{number}", None, 990.0, view.text, view))
        forecaster.settle(endpoint.id, endpoint.model, f"own-{number}", CacheUsage(512, 256 if number else 0))
    assert cached() < again  # blocks of 256 tokens


def test_shard_parts_are_disjoint_complete_and_keep_prefixes_together() -> None:
    rows = mixed(8, 3)
    parts = [shard(plan_rows(PROMPT, rows, COLUMNS, "warm"), k, 4) for k in range(1, 5)]
    assert sorted(row.number for part in parts for row in part) == list(range(24))
    assert {len(part) for part in parts} == {6}
    assert all(len({row.values["shop"] for row in part}) == 2 for part in parts)
    assert plan_of_shard(PLANS["standard"], 4).requests_per_minute == 2
    assert plan_of_shard(PLANS["standard"], 4).in_flight == 1


def test_without_finished_leader_the_next_row_of_its_prefix_leads() -> None:
    plan = plan_rows(PROMPT, mixed(2, 3), COLUMNS, "warm")
    left = without(plan, {plan[0].row.number, plan[3].row.number}, "warm")
    assert [item.after for item in left] == [None, 0, 0, 2]


def test_groups_rows_that_share_most_of_their_prompt_are_one_group() -> None:
    document = Document(messages=(Message("system", "Sheet: {{shop}}"), Message("user", "{{question}}")))
    rows = rows_of(*((f"{shop}" * 400, f"question {n}") for shop in "ab" for n in range(3)))
    assert groups(plan_rows(document, rows, COLUMNS, "warm")) == [0, 0, 0, 1, 1, 1]


def test_read_pasted_formats_are_recognised() -> None:
    expected = ({"a": "x, y", "b": "1"},)
    for text in ('{"a": "x, y", "b": 1}', "a\tb\nx, y\t1\n", 'a,b\n"x, y",1\n', ' [{"a": "x, y", "b": "1"}]'):
        assert tuple(dict(row.values) for row in read_pasted(text)) == expected, text
    with pytest.raises(InputError):
        read_pasted("")


def test_rows_of_requests_have_id_last_message_and_variables() -> None:
    (row,) = rows_of_requests([("r-1", PROMPT.with_variable("question", "why?").with_variable("shop", "A"))])
    assert dict(row.values) == {"request_id": "r-1", "last_user_message": "why?", "question": "why?", "shop": "A"}


def test_plan_rows_many_long_prompts_share_their_fixed_parts() -> None:
    plan = plan_rows(PROMPT, mixed(10, 10), COLUMNS, "warm")
    assert len({id(item.parts[2]) for item in plan}) == 1


def test_column_notes_name_variables_with_the_prompts_value_and_columns_that_are_not_used() -> None:
    document = Document(messages=(Message("user", "{{city}} {{day}}"),), variables={"city": "Pune", "day": ""})
    rows = (BatchRow(0, {"ctiy": "Delhi", "day": "1"}), BatchRow(1, {"ctiy": "Goa"}))
    assert list(column_notes(document, rows, map_columns(document, rows, {}))) == [
        "variables.city: no row has a column for it, so the prompt's value is sent. Columns that are not used: ctiy.",
        "variables.day: 1 row without day: an empty text is sent. Columns that are not used: ctiy.",
    ]
