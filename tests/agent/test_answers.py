"""Tool mocks: patterns, templates, delays, and their file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from playground.agent.tool_mocks import (
    ASK,
    Case,
    FixedDelay,
    MockReply,
    NormalDelay,
    Question,
    ToolExecutionError,
    ToolExecutor,
    ToolMock,
    ToolMocks,
    ToolOutcome,
    UniformDelay,
    consent_key,
    dump,
    fill,
    judge,
    load,
    origin,
)
from playground.prompt.document import Json, ToolCall
from playground.prompt.field_errors import InputError

SCHEMAS: dict[str, Json] = {
    "get_balance": {
        "type": "object",
        "properties": {"account": {"type": "string"}, "months": {"type": "integer"}},
        "required": ["account"],
    }
}
BOOK = ToolMocks(
    {
        "get_balance": ToolMock(
            otherwise=MockReply("template", '{"account": "{{account}}", "months": "{{months}}"}', FixedDelay(520)),
            cases=(
                Case({"account": "AC-9*"}, MockReply("error", "No account {{account}}.", UniformDelay(100, 200))),
                Case({"months": 12, "account": "*"}, MockReply("fixed", "a year", NormalDelay(300, 50))),
                Case({"account": "web"}, MockReply("http", "http://localhost:8000/balance")),
            ),
        )
    },
    seed=7,
)


async def _nobody(question: Question) -> str:
    raise ToolExecutionError(f"Nobody answered {question.call.name}.")


def _answer(arguments: str, name: str = "get_balance", **more: object) -> tuple[ToolOutcome, list[float]]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    answerer = ToolExecutor(BOOK, _nobody, sleep=sleep, **more)  # type: ignore[arg-type]  # keywords of the caller's own
    return asyncio.run(answerer.answer(ToolCall("c1", name, arguments), SCHEMAS, 0)), waits


def test_a_template_takes_the_arguments_and_stays_json() -> None:
    outcome, waits = _answer('{"account": "AC-1\\"x", "months": 3}')
    assert outcome.kind == "answered"
    assert json.loads(outcome.text) == {"account": 'AC-1"x', "months": 3}
    assert waits == [0.52]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("Hello {{name}}, {{ age }} and {{gone}}", "Hello Ada, 36 and {{gone}}"),
        ("{{who.0.id}} of {{who}}", '5 of [{"id":5}]'),
        ("{{a.b}}", "dotted"),
        ('{"n": "{{age}}", "t": "is {{age}}", "none": "{{gone}}"}', '{"n": 36, "t": "is 36", "none": "{{gone}}"}'),
        ("plain", "plain"),
    ],
)
def test_filling_a_template(template: str, filled: str) -> None:
    arguments: Mapping[str, Json] = {"name": "Ada", "age": 36, "who": [{"id": 5}], "a.b": "dotted"}
    assert fill(template, arguments) == filled


async def test_placeholder_of_a_template_without_an_argument_is_said() -> None:
    book = ToolMocks({"get": ToolMock(MockReply("template", '{"a": "{{a}}", "b": "{{gone.x}} {{gone.x}}"}'))})
    outcome = await ToolExecutor(book, _nobody).answer(ToolCall("c", "get", '{"a":"1"}'), {"get": {}}, 0)
    assert json.loads(outcome.text) == {"a": "1", "b": "{{gone.x}} {{gone.x}}"}
    assert [problem.path for problem in outcome.problems] == [("gone.x",)]


def test_the_first_case_that_fits_answers() -> None:
    error, waits = _answer('{"account": "AC-91", "months": 12}')
    assert (error.kind, json.loads(error.text)) == ("error", {"error": "No account AC-91."})
    assert 0.1 <= waits[0] <= 0.2
    assert _answer('{"account": "x", "months": 12}')[0].text == "a year"
    assert _answer('{"account": "x", "months": 1}')[0].text == '{"account": "x", "months": 1}'


def test_true_is_not_one() -> None:
    assert not Case({"n": 1}, ASK).fits({"n": True})
    assert Case({"n": 1}, ASK).fits({"n": 1})
    assert not Case({"n": None}, ASK).fits({})
    assert Case({"n": None}, ASK).fits({"n": None})


def test_the_same_seed_gives_the_same_delays_in_any_order() -> None:
    reply = MockReply("fixed", "", NormalDelay(300, 50))
    delays = [BOOK.delay_s("get_balance", reply, nth) for nth in range(200)]
    assert delays == [BOOK.delay_s("get_balance", reply, nth) for nth in reversed(range(200))][::-1]
    assert len(set(delays)) == 200
    assert delays != [ToolMocks(seed=8).delay_s("get_balance", reply, nth) for nth in range(200)]
    assert 0.285 < sum(delays) / 200 < 0.315
    assert min(BOOK.delay_s("t", MockReply("fixed", "", NormalDelay(1, 500)), nth) for nth in range(50)) == 0


@pytest.mark.parametrize(
    ("arguments", "name", "kind", "said"),
    [
        ('{"account": ', "get_balance", "bad_json", "the text ends before the JSON does"),
        ("", "get_balance", "bad_json", "the text is empty"),
        ("null", "get_balance", "wrong_arguments", "should be an object, is null"),
        ('{"months": "3"}', "get_balance", "wrong_arguments", "account: is required and missing"),
        ("{}", "get_weather", "unknown_tool", "Tools: get_balance."),
    ],
)
def test_a_wrong_call_is_told_to_the_model(arguments: str, name: str, kind: str, said: str) -> None:
    outcome, waits = _answer(arguments, name)
    assert (outcome.kind, waits) == (kind, [])
    assert said in json.loads(outcome.text)["error"]
    assert bool(outcome.problems) == (kind != "unknown_tool")


def test_a_call_that_is_right_has_nothing_to_say() -> None:
    assert judge(ToolCall("c", "get_balance", '{"account": "x"}'), SCHEMAS) is None


async def test_ask_me_waits_for_the_person() -> None:
    asked: asyncio.Queue[Question] = asyncio.Queue()
    typed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ask(question: Question) -> str:
        asked.put_nowait(question)
        return await typed

    answering = asyncio.create_task(
        ToolExecutor(ToolMocks(), ask).answer(ToolCall("c", "get_balance", '{"account": "x"}'), SCHEMAS, 0)
    )
    question = await asked.get()
    assert not answering.done()
    assert question.arguments == {"account": "x"}
    typed.set_result("42")
    assert await answering == ToolOutcome("answered", "42")


def test_nobody_answering_is_an_error_that_the_model_sees() -> None:
    answerer = ToolExecutor(ToolMocks(), _nobody)
    outcome = asyncio.run(answerer.answer(ToolCall("c", "get_balance", '{"account": "x"}'), SCHEMAS, 0))
    assert (outcome.kind, json.loads(outcome.text)["error"]) == ("failed", "Nobody answered get_balance.")


@pytest.mark.parametrize("consent", [True, False])
def test_an_address_is_called_after_consent_only(consent: bool) -> None:
    called: list[str] = []

    async def fetch(url: str, arguments: Mapping[str, Json]) -> str:
        called.append(url)
        return f"got {arguments['account']}"

    async def allowed(_url: str) -> bool:
        return consent

    outcome, _ = _answer('{"account": "web"}', fetch=fetch, allowed=allowed)
    assert outcome.kind == ("answered" if consent else "failed")
    assert called == (["http://localhost:8000/balance"] if consent else [])
    without, _ = _answer('{"account": "web"}', fetch=fetch)
    assert (without.kind, len(called)) == ("failed", int(consent))


def test_an_origin_is_on_this_machine() -> None:
    assert origin("http://localhost:8000/a?b") == "http://localhost:8000"
    assert origin("https://127.0.0.1/x") == "https://127.0.0.1:443"
    assert origin("http://[::1]:9/") == "http://[::1]:9"
    assert consent_key("p1", "http://localhost/a") == consent_key("p1", "http://localhost:80/b")
    assert consent_key("p1", "http://localhost/a") != consent_key("p2", "http://localhost/a")
    for url in (
        "http://example.com/",
        "ftp://localhost/",
        "localhost:80",
        "http://me:pw@localhost/",
        "http://[::1",
        "",
    ):
        with pytest.raises(InputError):
            origin(url)


def test_a_book_comes_back_as_it_was_kept() -> None:
    assert load(dump(BOOK)) == BOOK
    assert load(dump(ToolMocks())) == ToolMocks()


def test_what_cannot_be_taken_is_named_with_its_field() -> None:
    tools = {
        "a": {"otherwise": {"kind": "later"}},
        "b": {"otherwise": {"kind": "fixed", "text": 3, "delay": {"kind": "uniform", "low_ms": 9, "high_ms": 2}}},
        "c": {"cases": [{"when": {}, "reply": {"kind": "http", "text": "http://example.com"}}]},
        "d": {"cases": 3, "otherwise": {"kind": "ask", "delay": {"kind": "fixed", "ms": -1}}},
        "e": {"otherwise": {"kind": "ask", "delay": {"kind": "fixed", "ms": True}}},
    }
    with pytest.raises(InputError) as caught:
        load(json.dumps({"electron_playground_answers": 1, "seed": "x", "tools": tools}))
    assert [problem.field for problem in caught.value.problems] == [
        "seed",
        "tools.a.otherwise.kind",
        "tools.b.otherwise.text",
        "tools.b.otherwise.delay.high_ms",
        "tools.c.cases[0].reply.text",
        "tools.d.cases",
        "tools.d.otherwise.delay.ms",
        "tools.e.otherwise.delay.ms",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"electron_playground_answers": 2}', '{"a": NaN}'])
def test_what_is_no_book_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        load(text)
