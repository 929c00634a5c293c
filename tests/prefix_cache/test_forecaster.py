"""The desk: endpoints and models apart, reports taken in, the cache's beginning minded."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from playground.agent.service import EXAMPLE
from playground.prefix_cache import forecaster, sent_requests
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.miss_evidence import EarlierRequest, MissKnowledge, OrderEvidence
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.view import CacheView, view_of_document, view_of_fields
from playground.prompt.document import Document, Json, Message
from playground.prompt.files import sample_document
from tests.prefix_cache.prompts import ENDPOINT, MODEL, NOW, RULES, agent, desk, sent


def explained(room: CacheForecaster, document: Document, usage: CacheUsage) -> MissExplanation:
    """Return the explanation of a report for a new request."""
    seen = view_of_document(document)
    forecast = room.forecast(seen.view, ENDPOINT, MODEL)
    room.record(ENDPOINT, MODEL, sent(document, "new", NOW))
    settled = room.settle(ENDPOINT, MODEL, "new", usage, forecast, seen)
    assert settled is not None
    assert settled.explanation is not None
    return settled.explanation


def test_endpoints_and_models_are_apart() -> None:
    room = desk(sent(agent()))
    assert room.look(agent(), ENDPOINT, MODEL).forecast.cached_tokens > 0
    assert room.look(agent(), "elsewhere", MODEL).forecast.cached_tokens == 0
    assert room.look(agent(), ENDPOINT, "another").forecast.cached_tokens == 0


def test_a_report_is_kept_and_found() -> None:
    room = desk(sent(agent()))
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0))
    found = room.sent("9db74058")
    assert found is not None
    assert (found.prompt_tokens, found.cached_tokens) == (640, 0)
    assert room.sent("unheard of") is None


def test_a_report_of_an_unknown_run_changes_nothing() -> None:
    room = desk()
    room.settle(ENDPOINT, MODEL, "unheard of", CacheUsage(640, 0))
    assert room.look(agent(), ENDPOINT, MODEL).forecast.cached_tokens == 0


def test_what_was_not_reported_teaches_nothing() -> None:
    room = desk(sent(agent()))
    before = room.look(agent(), ENDPOINT, MODEL).forecast.prompt_tokens
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage())
    assert room.look(agent(), ENDPOINT, MODEL).forecast.prompt_tokens == before


def test_reports_teach_prompts_that_share_nothing() -> None:
    room = desk()
    fresh = Document(messages=(Message("system", "Answer in rhymes about the weather. " * 50),))
    before = room.look(fresh, ENDPOINT, MODEL).forecast.prompt_tokens
    for number in range(6):
        run_id = f"run {number}"
        room.record(ENDPOINT, MODEL, sent(agent(question="When? " * number), run_id))
        estimate = room.look(agent(question="When? " * number), "untaught", MODEL).forecast.prompt_tokens
        room.settle(ENDPOINT, MODEL, run_id, CacheUsage(round(estimate * 1.4), 0))
    assert room.look(fresh, ENDPOINT, MODEL).forecast.prompt_tokens == pytest.approx(before * 1.4, rel=0.1)


def test_the_lifetime_is_the_last_use() -> None:
    old, used_again = sent(agent(question="One?"), "old", NOW - 290), sent(agent(question="Two?"), "newer", NOW - 10)
    found = desk(old, used_again, lifetime_s=60).look(agent(question="Three?"), ENDPOINT, MODEL)
    assert found.forecast.run_id == "newer"
    assert found.zones.message_zones[:3] == ("warm", "warm", "warm")


def test_before_the_cache_began_nothing_is_warm() -> None:
    prompt_forecast = desk(sent(agent())).look(agent(), ENDPOINT, MODEL, since=NOW - 1)
    assert prompt_forecast.zones.warm_tokens == 0
    assert prompt_forecast.forecast.cached_tokens == 0


def test_a_prompt_that_shares_less_than_one_block_was_never_warm() -> None:
    def short(text: str) -> Document:
        return Document(messages=(Message("system", text), Message("user", "Where is my parcel?")))

    room = desk(sent(short("You are one."), at=NOW - 200), lifetime_s=60)
    room.set_lifetime_s = 60
    other = room.look(short("Be two and kind."), ENDPOINT, MODEL)
    assert other.forecast.run_id is not None
    assert other.clock.cold_since_unix is None
    long = desk(sent(agent(), at=NOW - 200), lifetime_s=60)
    long.set_lifetime_s = 60
    assert long.look(agent(), ENDPOINT, MODEL).clock.cold_since_unix == pytest.approx(NOW - 140)


def test_a_request_without_a_report_is_not_called_lost() -> None:
    room, document = desk(), agent()
    room.forecast(view_of_document(document).view, ENDPOINT, MODEL)
    room.record(ENDPOINT, MODEL, sent(document, "new", NOW))
    cache = room.model(ENDPOINT, MODEL)
    prediction = cache.predictor.predict(view_of_document(document).view, NOW, {})
    related = cache.compared_with(prediction)
    assert cache.pending("new") is not None
    basis = forecaster._basis(cache, prediction, None, related)
    room.settle(ENDPOINT, MODEL, "new", CacheUsage())
    assert forecaster._basis(cache, prediction, None, related) != basis


def test_a_prompt_of_one_space_and_of_nothing() -> None:
    for document in (Document(), Document(messages=(Message("user", " "),)), Document(messages=(Message("user", ""),))):
        prompt_forecast = desk(sent(agent())).look(document, ENDPOINT, MODEL)
        assert prompt_forecast.forecast.cached_tokens == 0


def test_a_version_is_known_by_its_lines_though_its_first_and_its_last_differ() -> None:
    rules = "\n".join(f"Rule {number}: be kind and brief." for number in range(60))

    def dated(day: int, question: str) -> Document:
        return Document(messages=(Message("system", f"Today is 2026-11-{day}.\n{rules}"), Message("user", question)))

    made = desk(sent(dated(13, "Where is it?"), tokens=700))
    boundary = made.look(dated(14, "When does it come?"), ENDPOINT, MODEL).zones.boundary
    assert boundary.kind == "differs"
    assert boundary.offset == len("Today is 2026-11-1")


def _turns(answer: str = "On its way.") -> tuple[CacheView, CacheView]:
    """Return a prompt with one tool, and the same one user message later."""
    tool: Json = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    asked: list[Json] = [{"role": "system", "content": "Be patient."}, {"role": "user", "content": "Where is it?"}]
    more: list[Json] = [{"role": "assistant", "content": answer}, {"role": "user", "content": "When?"}]
    earlier, now = (view_of_fields({"tools": [tool], "messages": rows}) for rows in (asked, [*asked, *more]))
    return earlier, now


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [([(16, 0.5), (128, 0.2), (64, 0.1), (32, 0.1)], None), ([], "block_or_partly_lost")],
    ids=["unknown", "16"],
)
def test_explain_miss_continued_conversation_and_improbable_order_names_no_template(
    blocks: list[tuple[int, float]], reason: str | None
) -> None:
    earlier, now = _turns()
    orders = [
        OrderEvidence("first", 0.4, lambda _offset: Size(1_401.0, 1.3)),
        OrderEvidence("before_last_user", 0.12, lambda _offset: Size(988.0, 65.0)),
    ]
    # 1,280 is what a server with blocks of 128 serves of 1,401 tokens.
    usage = CacheUsage(1_459, 1_280)
    known = MissKnowledge(orders, blocks=blocks)
    why = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), usage, known)
    assert (why and why.reason) == reason


def test_explain_miss_history_replaced_points_at_the_character_where_the_messages_part() -> None:
    def body(*turns: str) -> CacheView:
        messages: list[Json] = [{"role": "system", "content": "Be patient."}]
        messages += [{"role": "user", "content": text} for text in turns]
        return view_of_fields({"messages": messages})

    earlier, now = (
        body("Where is\nit, the parcel for my sister?", "A", "B", "C"),
        body("Where is\nthe invoice of last month that you sent?"),
    )
    orders = [OrderEvidence("first", 1.0, lambda _offset: Size(900.0, 2.0))]
    known = MissKnowledge(orders)
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(1_000, 896), known)
    assert found is not None
    assert found.position is not None
    assert (found.cause, found.position.line, found.position.column) == ("edited", 2, 1)


@pytest.mark.parametrize(
    ("minimum", "size", "cause"),
    [(None, 310.0, "unknown"), (1_024, 310.0, "time"), (None, 1_600.0, "unknown"), (None, 4_600.0, "server")],
)
def test_explain_miss_short_prefix_before_a_varying_value_is_not_called_the_servers_fault(
    minimum: int | None, size: float, cause: str
) -> None:
    def body(time: str) -> CacheView:
        system, question = f"Be patient. It is {time} here. Follow the rules.", "Where is it?"
        messages: list[Json] = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        return view_of_fields({"messages": messages})

    known = MissKnowledge([OrderEvidence("first", 1.0, lambda _offset: Size(size, 2.0))], minimum=minimum)
    earlier = EarlierRequest(body("12:27:26"), None, "id", 10.0)
    found = explain_miss(body("12:27:49"), None, earlier, CacheUsage(8_200, 0), known)
    assert found is not None
    assert found.cause == cause
    assert ("12:27:49" in found.sentence) == (cause != "server")


def test_explain_miss_tools_that_the_template_moves_are_the_server_not_the_prompt() -> None:
    earlier, now = _turns()
    orders = [OrderEvidence("before_last_user", 0.9, lambda _offset: Size(988.0, 2.0))]
    usage = CacheUsage(1_459, 976)
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), usage, MissKnowledge(orders))
    assert found is not None
    assert (found.cause, found.position) == ("server", None)


def test_explain_miss_continued_conversation_below_a_minimum_is_the_server_not_the_prompt() -> None:
    earlier, now = _turns()
    orders = [
        OrderEvidence("first", 0.3, lambda _offset: Size(900.0, 9.0)),
        OrderEvidence("system_last", 0.6, lambda _offset: Size(4.0, 1.0)),
    ]
    known = MissKnowledge(orders)
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(1_000, 0), known)
    assert found is not None
    assert found.cause == "server"


def test_explain_miss_prompt_that_only_improbable_templates_would_change_is_compared_as_sent() -> None:
    """The tools may move in two ways, neither of which is probable enough to be named."""
    earlier, now = _turns()
    orders = [
        OrderEvidence("before_last_user", 0.45, lambda _offset: Size(60.0, 2.0)),
        OrderEvidence("system_last", 0.45, lambda _offset: Size(4.0, 1.0)),
    ]
    plain = OrderEvidence("inside", 0.001, lambda _offset: Size(1_401.0, 2.0))
    known = MissKnowledge(orders, minimum=256, all_orders=[*orders, plain], figures=(1_024,))
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(1_459, 0), known)
    assert found is not None
    assert (found.cause, found.reason) == ("server", "lost")


def test_settle_request_that_continues_a_running_one_is_not_compared_with_another_conversation() -> None:
    room = desk(sent(agent(question="Another call?"), "other"))
    first = agent(question="Where is it?")
    more = (Message("assistant", "On its way."), Message("user", "When?"))
    second = Document(messages=(*first.messages, *more), variables=first.variables)
    forecast, prediction = room.predict(view_of_document(second).view, ENDPOINT, MODEL)
    room.record(ENDPOINT, MODEL, sent(first, "first", NOW - 1))  # its head arrives after the second was sent
    room.record(ENDPOINT, MODEL, sent(second, "second", NOW), prediction)
    settled = room.settle(ENDPOINT, MODEL, "second", CacheUsage(660, 592), forecast)
    assert settled is not None
    assert settled.explanation is None


KIND = "Be kind. " * 90


@pytest.mark.parametrize(
    ("before", "after", "last"),
    [
        ([("system", KIND), ("user", "Question 1?")], ["", "Question 2?"], True),
        (
            [("system", "It is 14:05. " + "Be kind. " * 90), ("user", "Why?")],
            ["It is 14:06. " + "Be kind. " * 90, ""],
            False,
        ),
        ([("user", f"Question 1? {KIND}")], [f"Question 2? {KIND}"], False),
    ],
    ids=["last of two", "first of two", "only message"],
)
def test_explain_miss_notes_a_prefix_that_ends_in_the_last_of_several_messages(
    before: list[tuple[str, str]], after: list[str], last: bool
) -> None:
    rows: list[Json] = [{"role": role, "content": text} for role, text in before]
    others: list[Json] = [
        {"role": role, "content": new or text} for (role, text), new in zip(before, after, strict=True)
    ]
    earlier, now = view_of_fields({"messages": rows}), view_of_fields({"messages": others})
    orders = [OrderEvidence("first", 1.0, lambda _offset: Size(300.0, 2.0))]
    found = explain_miss(
        now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(310, 288), MissKnowledge(orders)
    )
    assert found is not None
    assert found.last is last


def test_settle_many_long_answers_keeps_the_newest_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_requests, "MAX_ANSWER_CHARS", 1_000)
    room = desk()
    for number in range(20):
        run_id = f"run {number}"
        room.record(ENDPOINT, MODEL, sent(agent(question=f"When {number}?"), run_id))
        message = {"role": "assistant", "content": f"{number} " * 100}
        room.settle(ENDPOINT, MODEL, run_id, CacheUsage(640, 0, 100, message=message))
    cache = room.model(ENDPOINT, MODEL)
    kept = [number for number in range(20) if cache.requests.answer_of(f"run {number}")]
    assert kept == list(range(20 - len(kept), 20))
    assert 1 <= sum(len(cache.requests.answer_of(f"run {number}")) for number in kept) <= 1_000


def test_look_edited_before_the_first_variable_forecasts_new_values_as_the_same() -> None:
    document = agent(question="Where? " * 200)
    forecaster = desk(sent(document, tokens=1000))
    edited = Document(messages=(Message("system", "New"), *document.messages[1:]))
    found = forecaster.look(edited, ENDPOINT, MODEL)
    assert found.new_values == found.forecast
    found = forecaster.look(document, ENDPOINT, MODEL)
    assert found.new_values.cached_tokens < found.forecast.cached_tokens


@pytest.mark.parametrize(
    ("messages", "cause"),
    [
        ((Message("user", "x"),), "first"),
        ((Message("user", "What is a rhyme?"), Message("assistant", "A sound."), Message("user", "One?")), "first"),
        (agent().messages[1:], "removed"),
        ((Message("system", "Today."), *agent().messages), "added"),
    ],
    ids=["one word", "another conversation", "first message removed", "message inserted"],
)
def test_explanation_of_a_prompt_without_a_message_of_an_earlier_one_names_no_change(
    messages: tuple[Message, ...], cause: str
) -> None:
    room = desk(sent(agent(), "old"))
    document = Document(messages=messages, variables=agent().variables)
    found = explained(room, document, CacheUsage(900, 0))
    assert found.cause == cause


@pytest.mark.parametrize(
    "rule",
    [
        "Be brief and kind, and read out no lists. ",
        "संक्षिप्त और विनम्र रहें, और सूचियाँ न पढ़ें। ",
        "请简短而友好，不要朗读列表。",
        "كن موجزًا ولطيفًا؛ لا تقرأ القوائم. ",
    ],
    ids=["English", "Hindi", "Chinese", "Arabic"],
)
def test_explanation_of_a_time_in_a_prompt_of_one_line_names_it_although_the_question_changed_too(rule: str) -> None:
    def prompt(minute: int) -> Document:
        rules = "".join(f"{number}: {rule}" for number in range(60))
        system = f"You are Mira. It is 14:{minute:02}. {rules}"
        return Document(messages=(Message("system", system), Message("user", f"Question number {minute}")))

    room = desk(sent(prompt(5), "old"))
    found = explained(room, prompt(16), CacheUsage(1100, 0))
    assert found.cause == "time"
    assert found.position is not None
    assert (found.position.index, found.after) == (0, "14:16")


def test_explanation_of_tokens_that_another_prompt_shares_claims_no_foreign_program() -> None:
    beginning = "You are Mira, the voice agent of a parcel service in the north of India. "
    room = desk(sent(Document(messages=(Message("system", beginning + RULES),)), "old"))
    document = Document(messages=(Message("system", beginning + "Answer in rhymes about the weather. " * 90),))
    found = explained(room, document, CacheUsage(700, 16))
    assert (found.kind, found.cause) == ("first", "first")


def test_a_prompt_is_explained_by_the_same_one_of_a_comparison_and_not_by_a_batch_row_that_shares_less() -> None:
    room, same, tokens = desk(), agent(caller="Priya"), 700
    served = tokens // 128 * 128
    for number, (document, tag) in enumerate(((same, "experiment"), (agent(caller="Ken"), ""), (same, ""))):
        one = replace(sent(document, f"run {number}", NOW - 40 + 10 * number), tag=tag)
        room.record(ENDPOINT, MODEL, one)
        settled = room.settle(ENDPOINT, MODEL, one.run_id, CacheUsage(tokens, served if number else 0))
    assert settled is not None
    assert settled.explanation is None


def test_explanation_of_an_unlike_prompt_names_no_message_if_more_was_served_than_messages_share() -> None:
    # 32 tokens are those of the beginning of the two tools, which are in front of the messages on this server.
    first = sample_document("acme-billing-agent").with_variable("account", "AC-10442")
    room = desk()
    room.record(ENDPOINT, MODEL, sent(first, "old", NOW - 10))
    room.settle(ENDPOINT, MODEL, "old", CacheUsage(399, 0))
    found = explained(room, EXAMPLE, CacheUsage(129, 32))
    assert (found.cause, found.reason) == ("first", "first_beside_other")


def test_method_on_one_thread_waits_for_another_thread_to_leave_a_method() -> None:
    room = desk(sent(agent()))
    settling = threading.Thread(target=room.settle, args=(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0)))
    waits = []

    def clock() -> float:  # in the middle of `look`
        room._clock = lambda: NOW  # for `settle`
        settling.start()
        settling.join(0.2)
        waits.append(settling.is_alive())
        return NOW

    room._clock = clock
    before = room.changes
    room.look(agent(), ENDPOINT, MODEL)
    settling.join()
    assert waits == [True]
    assert room.changes == before + 1
