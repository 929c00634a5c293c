"""Sessions on small block caches whose contents are known: forecasts, causes, replicas and corrections."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from msgspec import Struct, field

from playground.prefix_cache.block_size import BlockSizeEstimator
from playground.prefix_cache.cache_profile import GUESS, Property, profile
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.hypotheses import RENDERINGS
from playground.prefix_cache.index import Sent
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.miss_evidence import EarlierRequest, MissKnowledge, OrderEvidence
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.reach import RETENTIONS
from playground.prefix_cache.replay import ReplayResult, TrafficReplay, replay_traffic
from playground.prefix_cache.traffic import TrafficRecord
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json

WORDS = ("order", "stock", "invoice", "courier", "depot", "refund", "cable", "north", "Friday", "price", "reply")


def words(seed: str, count: int) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(count))


def message(role: str, text: str) -> dict[str, Json]:
    return {"role": role, "content": text}


class Blocks(Struct):
    """Caches of a server with replicas: whole blocks of words. `replicas`: the one that answers each request, in a
    circle; `off`: numbers of requests for which the cache is off, `users_off`: users; `slot`: only the newest request
    is kept; `rounding`: reported figures are rounded to multiples of it, to the nearest or `down`; `limit`: no larger
    ones are reported; `results`: the template writes so many of the newest results of tools, and clears older ones;
    `turn`: it leaves out the reasoning of earlier turns; `clock`: it prints the time in this unit of seconds behind the
    first message's text, or in front of it if `clock_first`. `late_s`: a prefix is stored so long after its request;
    `pauses`: seconds between requests, in a circle, instead of `gap_s`."""

    block: int = 16
    minimum: int = 0
    replicas: Sequence[int] = (0,)
    off: Iterable[int] = ()
    stored: dict[int, list[list[str]]] = field(default_factory=dict)
    count: int = 0
    users_off: Sequence[str] = ()
    slot: bool = False
    gap_s: float = 20.0
    rounding: int = 1
    down: bool = False
    limit: int | None = None
    results: int | None = None
    turn: bool = False
    clock: int = 0
    clock_first: bool = False
    late_s: float = 0.0
    pauses: Sequence[float] = ()
    times: list[float] = field(default_factory=list)

    @property
    def now(self) -> float:
        pauses = [self.pauses[at % len(self.pauses)] if self.pauses else self.gap_s for at in range(self.count)]
        return 1e9 + sum(pauses)

    def tokens(self, request: dict[str, Json]) -> list[str]:
        messages: list[dict[str, str]] = request["messages"]  # type: ignore[assignment]
        if self.results is not None:
            older = [at for at, one in enumerate(messages) if one["role"] == "tool"][: -self.results]
            messages = [{**one, "content": "cleared"} if at in older else one for at, one in enumerate(messages)]
        if self.clock:
            text, time = messages[0]["content"], f"Now {self.now // self.clock:.0f}"
            messages = [
                {**messages[0], "content": f"{time} {text}" if self.clock_first else f"{text} {time}"},
                *messages[1:],
            ]
        last = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=0)
        texts = [
            [*one.get("reasoning_content", "").split(), *one["content"].split(" ")]
            if at > last or not self.turn
            else one["content"].split(" ")
            for at, one in enumerate(messages)
        ]
        return [token for one, text in zip(messages, texts, strict=True) for token in ("<", one["role"], *text, ">")]

    def ask(self, request: dict[str, Json], answer: str, reasoning: str = "") -> TrafficRecord:
        tokens, number, now = [*self.tokens(request), "<", "assistant"], self.count, self.now
        cache = self.stored.setdefault(self.replicas[number % len(self.replicas)], [])
        self.times.append(now)
        cached = 0
        if not (off := number in self.off or request.get("user") in self.users_off):
            ready = cache if not self.late_s else cache[: sum(now - at >= self.late_s for at in self.times)]
            shared = max((self.shared(tokens[:-1], other) for other in ready), default=0)
            cached = shared // self.block * self.block
            cached = cached if cached >= self.minimum else 0
            if self.slot:
                cache.clear()
            cache.append([*tokens, *reasoning.split(), *answer.split(" ")])
        self.count += 1
        assert not (off and cached)
        generated = {"role": "assistant", "content": answer, **({"reasoning_content": reasoning} if reasoning else {})}
        cached = (cached // self.rounding if self.down else round(cached / self.rounding)) * self.rounding
        cached = cached if self.limit is None else min(cached, self.limit)
        usage = CacheUsage(len(tokens), cached, len([*reasoning.split(), *answer.split(" ")]) + 1, 0, generated)
        return TrafficRecord(now, request, 200, f"r{number}", usage)

    @staticmethod
    def shared(one: list[str], other: list[str]) -> int:
        pairs = enumerate(zip(one, other, strict=False))
        return next((at for at, (mine, its) in pairs if mine != its), min(len(one), len(other)))


def chat(server: Blocks, turns: int, name: str = "", length: int = 8) -> list[TrafficRecord]:
    """Return a conversation after the same system text as all others."""
    messages: list[Json] = [message("system", words("system", 300))]
    found = []
    for turn in range(turns):
        messages.append(message("user", words(f"question{name}{turn}", length)))
        answer = words(f"answer{name}{turn}", length)
        found.append(server.ask({"model": "m", "messages": list(messages)}, answer))
        messages.append(message("assistant", answer))
    return found


def in_turn(server: Blocks, turns: int, names: str, length: int = 60) -> list[TrafficRecord]:
    """Return conversations that go on in turn, after the same system text."""
    talks: dict[str, list[Json]] = {name: [message("system", words("system", 300))] for name in names}
    found = []
    for turn in range(turns):
        for name, messages in talks.items():
            messages.append(message("user", words(f"question{name}{turn}", length)))
            answer = words(f"answer{name}{turn}", length)
            found.append(server.ask({"model": "m", "messages": list(messages)}, answer))
            messages.append(message("assistant", answer))
    return found


def program(server: Blocks, count: int, users: Sequence[str] = (), length: int = 300) -> list[TrafficRecord]:
    """Return requests of a program: the same text before other questions."""
    found = []
    for number in range(count):
        messages: list[Json] = [message("system", words("system", length))]
        messages.append(message("user", words(f"question{number}", 20)))
        request: dict[str, Json] = {"model": "m", "messages": messages}
        if users:
            request["user"] = users[number % len(users)]
        found.append(server.ask(request, words(f"answer{number}", 12)))
    return found


def replayed(records: Iterable[TrafficRecord]) -> tuple[TrafficReplay, list[ReplayResult]]:
    replay = replay_traffic(records)
    return replay, list(replay)


@pytest.mark.parametrize("behind", [2, 3])
def test_loss_below_64_tokens_is_stated_if_no_block_that_reports_allow_hides_it(behind: int) -> None:
    server = Blocks(replicas=(*(0,) * (10 - behind), 1, *(0,) * (behind - 1), 1))
    _, results = replayed(chat(server, 11, length=8))
    found = results[-1].explanation
    assert found is not None
    assert (found.cause, found.reason) == ("server", "partly_lost")
    assert "replica" in {candidate.code for candidate in found.candidates}


@pytest.mark.parametrize("block", [1, 16, 24, 48, 64, 128])
def test_blocks_that_are_not_known_yet_are_no_loss(block: int) -> None:
    _, results = replayed(chat(Blocks(block), 12, length=16))
    assert [result.explanation for result in results[1:]] == [None] * 11


@pytest.mark.parametrize(
    ("block", "rounding"), [(1, 10), (16, 10), (64, 10), (128, 10), (256, 10), (128, 100), (16, 50)]
)
def test_end_of_a_block_is_no_loss_and_forecast_if_reports_are_rounded(block: int, rounding: int) -> None:
    server = Blocks(block, rounding=rounding)
    _, results = replayed(chat(server, 20, length=40))
    assert "server" not in {result.explanation.cause for result in results if result.explanation}
    near = [
        abs(one.forecast.cached_tokens - one.usage.cached_tokens) <= max(16, rounding)
        for one in results[8:]
        if one.usage and one.usage.cached_tokens is not None
    ]
    assert sum(near) >= len(near) - 2


@pytest.mark.parametrize(("block", "rounding"), [(16, 10), (16, 50), (16, 100), (1, 10), (1, 100), (64, 25)])
@pytest.mark.parametrize("length", [8, 40])
def test_loss_that_rounding_down_explains_is_not_stated(block: int, rounding: int, length: int) -> None:
    server = Blocks(block, rounding=rounding, down=True)
    _, results = replayed(in_turn(server, 14, "ab", length=length))
    stated = [result.explanation.cause for result in results if result.explanation]
    assert stated == ["first", "edited"]


@pytest.mark.parametrize(("block", "length"), [(128, 40), (528, 60)])
def test_large_blocks_behind_rounded_reports_are_no_loss_and_forecast(block: int, length: int) -> None:
    """A hybrid model: 528 tokens are reported as 520, and 1,056 as 1,050."""
    _, results = replayed(in_turn(Blocks(block, rounding=10, down=True), 16, "ab", length=length))
    causes = {result.explanation.cause for result in results[4:] if result.explanation}
    assert not causes - {"unknown"}
    assert not [result.explanation for result in results[24:] if result.explanation]
    reports = [(one.forecast.cached_tokens, one.usage.cached_tokens) for one in results[24:] if one.usage]
    assert sum(abs(forecast - (cached or 0)) <= 32 for forecast, cached in reports) >= len(reports) - 2


def test_loss_of_a_replica_is_stated_though_large_blocks_of_rounded_reports_are_possible() -> None:
    server = Blocks(rounding=100, down=True, replicas=(0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
    _, results = replayed(chat(server, 15, length=70))
    found = results[-1].explanation
    assert found is not None
    assert "replica" in {candidate.code for candidate in found.candidates}


def test_replica_is_a_candidate_after_many_hits() -> None:
    """Requests with the same beginning reach the same replica, unless it is busy."""
    _, results = replayed(chat(Blocks(replicas=(*(0,) * 39, 1)), 40, length=20))
    found = results[-1].explanation
    assert found is not None
    assert "replica" in {candidate.code for candidate in found.candidates}


@pytest.mark.parametrize("down", [False, True])
def test_way_of_rounding_is_known_from_counted_sizes(down: bool) -> None:
    units = BlockSizeEstimator()
    for size in range(600, 1_600, 93):
        whole = size // 16 * 16
        units.learn(whole // 10 * 10 if down else round(whole / 10) * 10, float(size), 0.0)
    assert (units.rounding.below, units.rounding.above) == ((0, 9) if down else (5, 5))
    assert units.likely[0].block == 16


def test_second_conversation_is_new_text_and_not_a_removed_history() -> None:
    server = Blocks()
    _, results = replayed([*chat(server, 4, "a"), *chat(server, 2, "b")])
    found = results[4].explanation
    assert found is not None
    assert (found.cause, found.reason) == ("edited", "new_text")
    assert found.title == "Only the last message is new"


def test_cache_that_is_always_off_is_forecast_to_serve_nothing_after_two_reports() -> None:
    _, results = replayed(program(Blocks(off=range(12)), 12, length=3_000))
    assert [result.forecast.cached_tokens for result in results[3:]] == [0.0] * 9


def test_cache_that_is_off_for_one_user_is_forecast_for_this_user_only() -> None:
    users = ["on", "off"] * 6
    _, results = replayed(program(Blocks(users_off=("off",)), 12, users))
    figures = [result.forecast.cached_tokens for result in results[6:]]
    assert figures[1::2] == [0.0, 0.0, 0.0]
    assert all(figure >= 288 for figure in figures[::2])


def test_cache_that_serves_again_after_it_was_off_is_forecast_to_serve_after_one_report() -> None:
    _, results = replayed(program(Blocks(off=range(5)), 9))
    assert results[5].forecast.cached_tokens == 0.0
    assert all(result.forecast.cached_tokens >= 288 for result in results[7:])


def explained(
    requests: Sequence[TrafficRecord],
) -> tuple[dict[str, MissExplanation | None], dict[str, MissExplanation]]:
    """Return the explanations of requests by run id, and those that later reports corrected."""
    now = 0.0
    forecaster = CacheForecaster(300.0, lambda: now)
    first: dict[str, MissExplanation | None] = {}
    revised: dict[str, MissExplanation] = {}
    for record in requests:
        now = record.at_unix
        view, fields = view_of_fields(record.request), {"model": "m"}
        forecast, prediction = forecaster.predict(view, "e", "m", fields)
        sent = Sent(record.request_id or "", record.request_id, now, view.text, view, fields=fields)
        forecaster.record("e", "m", sent, prediction)
        settled = forecaster.settle("e", "m", sent.run_id, record.usage or CacheUsage(), forecast)
        assert settled is not None
        first[sent.run_id] = settled.explanation
        revised.update(settled.revised)
    return first, revised


def test_explanation_by_a_cache_that_is_off_is_corrected_by_the_first_served_report() -> None:
    first, revised = explained(program(Blocks(off=(1,)), 3))
    before, found = first["r1"], revised["r1"]
    assert before is not None
    assert "switched_off" in {candidate.code for candidate in before.candidates}
    codes = {candidate.code for candidate in found.candidates}
    assert "switched_off" not in codes
    assert "bypassed" in codes
    assert found.revised_by == "r2"
    assert found.sentence.startswith(before.sentence)


def test_explanation_is_corrected_if_a_later_report_shows_that_the_cache_had_the_prefix() -> None:
    first, revised = explained(chat(Blocks(off=(4,)), 6, length=40))
    before, found = first["r4"], revised["r4"]
    assert before is not None
    assert {"restart", "room", "bypassed"} <= {candidate.code for candidate in before.candidates}
    assert found.kept
    assert [candidate.code for candidate in found.candidates] == ["bypassed", "replica", "not_stored"]
    assert found.title != before.title


def test_explanation_stays_if_the_server_may_have_restarted() -> None:
    # A replica that was never used before stands for a cache that was emptied.
    first, revised = explained(chat(Blocks(replicas=(*(0,) * 4, *(1,) * 6)), 7, length=40))
    assert first["r4"] is not None
    assert revised == {}


def test_explanation_stays_if_a_new_turn_leaves_out_reasoning_behind_the_older_request() -> None:
    """The cache was emptied before r3. Of r3, which it stored, r4 has all up to the reasoning behind the end of r2."""
    server = Blocks(turn=True, replicas=(0, 0, 0, 1, 1, 1))
    messages: list[Json] = [message("system", words("system", 300)), message("user", words("question", 40))]
    records = []
    for turn, role in enumerate(("user", "user", "tool", "user", "user")):
        answer, reasoning = words(f"answer{turn}", 40), words(f"reasoning{turn}", 60) if turn == 2 else ""
        records.append(server.ask({"model": "m", "messages": list(messages)}, answer, reasoning))
        made = message("assistant", answer)
        messages += [{**made, "reasoning_content": reasoning} if reasoning else made]
        messages.append(message(role, words(f"next{turn}", 40)))
    first, revised = explained(records)
    assert [None if one.usage is None else one.usage.cached_tokens for one in records][3:] == [0, 512]
    before = first["r3"]
    assert before is not None
    assert "restart" in {candidate.code for candidate in before.candidates}
    assert "r3" not in revised


def test_replicas_in_turn_are_found_if_another_order_of_the_template_explains_them_first() -> None:
    server = Blocks(block=1, replicas=(0, 1, 2), gap_s=40.0)
    tools: list[Json] = [
        {"type": "function", "function": {"name": f"look{number}", "description": words(f"tool{number}", 30)}}
        for number in range(3)
    ]
    records = [
        TrafficRecord(one.at_unix, {**one.request, "tools": tools}, 200, one.request_id, one.usage)
        for one in chat(server, 14, length=60)
    ]
    replay, results = replayed(records)
    profile = replay.summary.profile
    assert profile is not None
    assert profile.replicas.value == 3
    reasons = [result.explanation.reason for result in results[10:] if result.explanation is not None]
    assert "template_moves" not in reasons


@pytest.mark.parametrize(("block", "replicas"), [(128, (0, 1, 2)), (128, (0, 1, 2, 3))])
def test_template_is_not_named_while_replicas_in_turn_explain_most_reports(block: int, replicas: Sequence[int]) -> None:
    _, results = replayed(chat(Blocks(block, replicas=replicas, gap_s=40.0), 14, length=30))
    assert "template_moves" not in {one.explanation.reason for one in results if one.explanation}


def test_replicas_at_random_are_named_in_one_conversation() -> None:
    chance = random.Random(5)
    replay, _ = replayed(chat(Blocks(replicas=[chance.randrange(3) for _ in range(30)], gap_s=40.0), 24, length=60))
    profile = replay.summary.profile
    assert profile is not None
    assert profile.replicas.value is not None
    assert profile.replicas.value > 1


def test_more_fresh_tokens_than_the_new_text_can_have_are_no_new_text() -> None:
    """What was served again and again was taken for the size of the text before the questions."""
    earlier, now = (
        view_of_fields({"messages": [message("system", words("system", 3_000)), message("user", question)]})
        for question in ("Where is crate 7, and when does it leave?", "Which ships are in the harbour tonight?")
    )
    order = OrderEvidence("first", 1.0, lambda _offset: Size(5_020.0, 20.0))
    known = MissKnowledge([order], all_orders=[order], blocks=[(128, 1.0)], block=128, figures=(4_992,))
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(8_500, 4_992), known)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "block_or_partly_lost")


def test_one_breakpoint_behind_the_system_text_is_forecast_after_some_reports() -> None:
    server = Blocks(block=1)
    records = []
    for one in chat(server, 10, length=40):
        usage = one.usage or CacheUsage()
        kept = CacheUsage(usage.prompt_tokens, 303 if usage.cached_tokens else 0, usage.completion_tokens)
        records.append(TrafficRecord(one.at_unix, one.request, 200, one.request_id, kept))
    _, results = replayed(records)
    assert [round(result.forecast.cached_tokens) for result in results[6:]] == [303] * 4


def test_loss_of_conversations_that_share_a_slot_is_stated_in_each_request() -> None:
    _, results = replayed(in_turn(Blocks(block=1, slot=True), 8, "ab"))
    for result in results[4:]:
        found = result.explanation
        assert found is not None
        assert "room" in {candidate.code for candidate in found.candidates}


def call(answer_id: str) -> dict[str, Json]:
    called: Json = {"id": answer_id, "type": "function", "function": {"name": "find", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [called]}


def test_id_that_begins_like_that_of_an_old_answer_is_still_named() -> None:
    """The first answer's id shares one character more with the last prompt than the ids of all requests between."""
    start: list[Json] = [message("system", words("system", 300)), message("user", words("question", 20))]
    records = [
        TrafficRecord(1e9, {"messages": start}, 200, "r0", CacheUsage(327, 0, 12, 0, call("call_a1"))),
    ]
    turns: list[Json] = []
    for number, name in enumerate(("call_b2", "call_c3", "call_d4", "call_e5", "call_a6"), 1):
        tool: Json = {"role": "tool", "tool_call_id": name, "content": words("result", 30)}
        answer = message("assistant", words(f"answer{number}", 30))
        usage = CacheUsage(340 + 70 * number, 330, 30, 0, answer)
        records.append(
            TrafficRecord(1e9 + 20 * number, {"messages": [*start, call(name), tool, *turns]}, 200, f"r{number}", usage)
        )
        turns += [answer, message("user", words(f"more{number}", 30))]
    _, results = replayed(records)
    assert [one.explanation and one.explanation.reason for one in results[2:]] == ["differs"] * 4


def test_edit_is_not_the_only_cause_if_a_server_that_never_served_anything_served_nothing_before_it() -> None:
    records, server = [], Blocks(off=range(9))
    talk: list[Json] = []
    for number in range(4):
        todo = message("user", words("task", 8) + f"\n\n{number}" + words(f"todo{number}", 90))
        system = message("system", words("system", 400))
        records.append(server.ask({"messages": [system, todo, *talk]}, words(f"answer{number}", 40)))
        talk += [message("assistant", words(f"answer{number}", 40)), message("user", words(f"next{number}", 20))]
    _, results = replayed(records)
    for result in results[1:]:
        found = result.explanation
        assert found is not None
        assert found.cause == "unknown"
        assert "switched_off" in {candidate.code for candidate in found.candidates}


def test_order_of_the_template_that_shares_less_than_was_served_is_not_used() -> None:
    """Of a prompt that goes on, a template that moves text shares 3,000 tokens; 6,480 were served."""
    system, question = message("system", words("system", 200)), message("user", words("question", 6_000))
    answer = message("assistant", words("answer", 40))
    talks: list[list[Json]] = [[system, question], [system, question, answer, question]]
    earlier, now = (view_of_fields({"messages": list(talk)}) for talk in talks)
    orders = [
        OrderEvidence("system_last", 0.75, lambda _offset: Size(3_000.0, 20.0)),
        OrderEvidence("inside", 0.05, lambda _offset: Size(7_300.0, 0.0)),
    ]
    known = MissKnowledge(orders, all_orders=orders, figures=(3_216, 5_568), blocks=[(16, 1.0)])
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(7_400, 6_480), known)
    assert found is not None
    assert (found.cause, found.reason) == ("server", "partly_lost")


@pytest.mark.parametrize(("block", "length"), [(1, 18), (16, 30), (32, 30)])
def test_loss_of_less_than_64_tokens_is_stated_although_no_figure_was_reported_before(block: int, length: int) -> None:
    """368 of 404 counted tokens, say, are whole blocks of 8 and 16, and of no larger small block."""
    _, results = replayed(chat(Blocks(block, replicas=(0, 1, 0)), 3, length=length))
    found = results[2].explanation
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "block_or_partly_lost")
    assert "replica" in {candidate.code for candidate in found.candidates}


@pytest.mark.parametrize("block", [16, 64, 256, 512])
def test_first_figures_of_a_server_that_lost_nothing_are_no_loss(block: int) -> None:
    _, results = replayed(chat(Blocks(block), 3, length=260))
    assert [result.explanation for result in results[1:]] == [None] * 2


def other_rules(number: int, name: str, cached: int) -> TrafficRecord:
    """Return a request with the same tools as all others and a system text of its own."""
    tools: list[Json] = [
        {"type": "function", "function": {"name": f"look{one}", "description": words(f"tool{one}", 90)}}
        for one in range(3)
    ]
    messages: list[Json] = [message("system", words(name, 200)), message("user", words(f"question{name}", 20))]
    usage = CacheUsage(560, cached, 12, 0, message("assistant", "Yes."))
    return TrafficRecord(1e9 + 10 * number, {"tools": tools, "messages": messages}, 200, f"{number}{name}", usage)


def test_edit_behind_tools_is_not_the_only_cause_until_reports_exclude_a_template_that_writes_the_tools_first() -> None:
    """Nothing of "b" was served. Only a template with the tools behind the system text excludes a loss: it shows when
    the same happens again although all is served that is sent again."""
    requests = [("a", 0), ("a", 544), ("b", 0), ("a", 544), ("c", 0), ("b", 544), ("d", 0)]
    _, results = replayed(other_rules(number, *one) for number, one in enumerate(requests))
    first, later = results[2].explanation, results[6].explanation
    assert first is not None
    assert later is not None
    assert (first.cause, first.reason) == ("edited", "edit_and_perhaps_lost")
    assert first.position is not None
    assert {"restart", "replica"} <= {candidate.code for candidate in first.candidates}
    assert "if its template writes the tools or the system text there" in first.sentence
    assert (later.cause, later.reason, later.candidates) == ("edited", "differs", ())


def test_edit_that_the_server_may_have_lost_more_than_is_not_corrected_by_a_later_report() -> None:
    """The first conversation goes on: that the cache had it says nothing of a request with other system text."""
    _, revised = explained([other_rules(number, *one) for number, one in enumerate([("a", 0), ("b", 0), ("a", 544)])])
    assert revised == {}


def test_user_who_differs_is_no_proof_that_the_server_keeps_users_apart() -> None:
    """The second user reached another replica."""
    _, results = replayed(program(Blocks(replicas=(0, 1)), 2, ("anna", "ben")))
    found = results[1].explanation
    assert found is not None
    assert found.cause == "parameters"
    assert {"bypassed", "replica", "restart"} & {candidate.code for candidate in found.candidates}


@pytest.mark.parametrize(("count", "possible"), [(6, True), (10, False)])
def test_replica_is_a_candidate_until_twice_as_many_requests_as_replicas_were_served_nothing(
    count: int, possible: bool
) -> None:
    """Each replica serves nothing of its first request, and again after an edit; a cache that is off never serves."""
    server = Blocks(off=range(10)) if count == 10 else Blocks(replicas=range(8))
    _, results = replayed(chat(server, count, length=600))
    found = results[-1].explanation
    assert found is not None
    codes = {candidate.code for candidate in found.candidates}
    assert "switched_off" in codes
    assert ("replica" in codes) == possible


def test_minimum_is_a_candidate_as_long_as_all_that_was_served_is_longer() -> None:
    """A server with blocks of 784 tokens: the second conversation is shorter than what it served of the first."""
    _, results = replayed([*chat(Blocks(784), 8, "a", 60), *chat(Blocks(784), 4, "b", 60)])
    found = results[-1].explanation
    assert found is not None
    assert "minimum" in {candidate.code for candidate in found.candidates}


def test_minimum_is_the_cause_though_the_only_figure_may_be_a_large_block() -> None:
    """A first conversation reaches 1,024 tokens once; a second one stays below."""
    server = Blocks(128, minimum=1_024)
    _, results = replayed([*chat(server, 6, "a", 70), *chat(server, 9, "b", 12)])
    figures = [one.usage.cached_tokens for one in results if one.usage and one.usage.cached_tokens]
    assert set(figures) == {1_024}
    found = results[-1].explanation
    assert found is not None
    assert (found.cause, found.candidates) == ("minimum", ())


def test_report_that_is_the_largest_one_again_for_longer_prompts_may_be_limited() -> None:
    _, results = replayed(chat(Blocks(limit=512), 16, length=60))
    at_limit = [one.explanation for one in results if one.usage and one.usage.cached_tokens == 512]
    reasons = [None if one is None else one.reason for one in at_limit]
    assert len(reasons) >= 8
    assert set(reasons[3:]) == {"limit_or_lost"}
    assert all(
        one is not None and one.cause == "unknown" and "at most 512 tokens" in one.sentence for one in at_limit[3:]
    )
    assert {one.forecast.cached_tokens for one in results[-3:]} == {512.0}


def test_limit_between_two_blocks_is_forecast() -> None:
    """Of at most 1,000 tokens a server with blocks of 64 serves 960; 1,024 is the next state of servers that keep
    states."""
    _, results = replayed(program(Blocks(64, limit=960), 12, length=1_700))
    assert {one.forecast.cached_tokens for one in results[-5:]} == {960.0}


def test_limit_is_forecast_for_prompts_of_several_lengths() -> None:
    server, short = Blocks(limit=1_000), message("system", words("system", 600))
    long: list[Json] = [short, message("user", words("document", 1_000))]
    asked: list[list[Json]] = [[short] if at in (2, 3, 10, 13, 15) else long for at in range(20)]
    records = [
        server.ask({"model": "m", "messages": [*one, message("user", words(f"question{at}", 40))]}, "Yes.")
        for at, one in enumerate(asked)
    ]
    _, results = replayed(records)
    assert [one.forecast.cached_tokens for one in results[11:]] == [
        one.usage.cached_tokens if one.usage else None for one in results[11:]
    ]
    found = [one.explanation for one in results[1:] if one.usage and one.usage.cached_tokens == 1_000]
    assert all(one is not None and one.cause in ("server", "unknown") for one in found)
    assert "more_than_shared" not in {one.explanation.reason for one in results if one.explanation}


def test_first_report_of_a_usual_limit_may_be_limited() -> None:
    _, results = replayed(chat(Blocks(limit=1_024), 14, length=60))
    first = next(one.explanation for one in results if one.explanation and one.explanation.kind != "first")
    assert (first.cause, first.reason) == ("unknown", "limit_or_lost")
    assert "limit" not in {one.code for one in first.candidates}
    assert "longer prompts had before" not in first.sentence


def test_loss_after_a_larger_report_is_no_limit() -> None:
    server = Blocks(replicas=(*(0,) * 9, 1, *(0,) * 5), limit=None)
    _, results = replayed(chat(server, 14, length=60))
    assert "limit_or_lost" not in {one.explanation.reason for one in results if one.explanation}


@pytest.mark.parametrize(("figures", "sure"), [((1_584, 2_112), False), ((1_584, 2_112, 2_128), True)])
def test_block_is_a_guess_while_all_figures_are_multiples_of_a_larger_one(figures: tuple[int, ...], sure: bool) -> None:
    units = BlockSizeEstimator()
    for figure in figures * 6:
        units.learn(figure, figure + 8.0, 4.0)
    assert (units.block.value, units.block.confidence >= 0.7) == (16, sure)


@pytest.mark.parametrize(
    ("unserved", "sure"), [((300.0, 310.0), False), ((700.0, 710.0), False), ((900.0, 910.0), True)]
)
def test_minimum_is_a_guess_until_a_prefix_just_below_it_was_not_served(
    unserved: tuple[float, ...], sure: bool
) -> None:
    """Of 300 tokens none are served below any minimum from 512 on, of 700 below any from 768 on."""
    units = BlockSizeEstimator()
    for size in unserved * 4:
        units.learn(0, size, 2.0, 0.97)
    for figure in (1_040, 1_072, 1_104, 1_200):
        units.learn(figure, figure + 8.0, 4.0)
    assert (units.minimum.value, units.minimum.confidence >= 0.7) == (1_024, sure)


def test_minimum_between_usual_ones_is_not_taken_for_the_smaller_one() -> None:
    units = BlockSizeEstimator()
    for size in (1_371.0, 1_176.0, 1_514.0):
        units.learn(0, size, 2.0, 0.97)
    for figure in (1_537, 1_790, 2_311, 2_903):
        units.learn(figure, float(figure), 2.0)
    assert units.minimum.value == 1_536


def test_request_that_shares_less_than_a_block_does_not_store_text_again() -> None:
    server, text = Blocks(128, replicas=(0, 0, 0, 0, 0, 0, 1)), words("system", 300)
    systems = [text if at != 4 else " ".join(text.split(" ")[:90]) + " X" for at in range(7)]
    asked: list[list[Json]] = [
        [message("system", one), message("user", words(f"{at}", 20))] for at, one in enumerate(systems)
    ]
    _, results = replayed([server.ask({"model": "m", "messages": one}, "Yes.") for one in asked])
    found = results[-1].explanation
    assert found is not None
    assert [one.seconds for one in found.candidates if one.code == "gap" and one.stored] == [120.0]


@pytest.mark.parametrize("minimum", [2_048, 4_096])
def test_prefix_below_the_largest_usual_minimums_may_be_below_one(minimum: int) -> None:
    _, results = replayed(program(Blocks(minimum=minimum), 4, length=minimum - 300))
    for result in results[1:]:
        found = result.explanation
        assert found is not None
        assert found.reason == "short_or_lost" or "minimum" in {one.code for one in found.candidates}


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_results_that_the_template_clears_end_the_prefix(kept: int) -> None:
    """The next message follows each result at once, so that the prefix ends in the newest cleared result."""
    server, system = Blocks(results=kept), message("system", words("system", 300))
    messages: list[Json] = [system, message("user", words("question", 20))]
    records = []
    for turn in range(kept + 9):
        answer = words(f"answer{turn}", 12)
        records.append(server.ask({"model": "m", "messages": list(messages)}, answer))
        messages += [message("assistant", answer), message("tool", words(f"result{turn}", 90))]
    _, results = replayed(records)
    first = results[kept + 1].explanation
    assert first is not None
    assert first.cause in ("server", "unknown")
    cleared = [one.explanation for one in results[kept + 4 :]]
    for at, found in enumerate(cleared, kept + 4):
        assert found is not None
        assert (found.cause, found.reason, found.candidates) == ("server", "template_clears_results", ())
        assert f"message {2 * (at - kept) + 2} (tool)" in found.sentence
    for one in results[kept + 3 :]:
        assert one.usage is not None
        assert one.usage.cached_tokens is not None
        assert abs(one.forecast.cached_tokens - one.usage.cached_tokens) <= 16


def test_template_that_clears_older_results_does_not_explain_a_loss_in_front_of_them() -> None:
    server = Blocks(replicas=(0, 0, 0, 0, 0, 0, 0, 1, 0, 0))
    messages: list[Json] = [message("system", words("system", 300)), message("user", words("question", 200))]
    other = [messages[0], message("user", words("other", 20))]
    texts = [words("document", 90) + " " + words(f"end{number}", 20) for number in range(2)]
    asked = [[messages[0], message("user", text)] for text in texts]
    records = [server.ask({"model": "m", "messages": one}, "Yes.") for one in asked]
    for turn in range(8):
        if turn == 5:
            server.stored[1] = [server.tokens({"messages": other})]
        answer = words(f"answer{turn}", 12)
        records.append(server.ask({"model": "m", "messages": list(messages)}, answer))
        messages += [message("assistant", answer), message("tool", words(f"result{turn}", 90))]
    found = replayed(records)[1][7].explanation
    assert found is not None
    assert found.cause == "server"
    assert "older_rewritten" not in {one.code for one in found.candidates}


def test_place_of_tools_is_a_guess_while_only_reports_of_nothing_speak_against_another_one() -> None:
    """The cache was emptied before each request with another tool."""
    server = Blocks(replicas=(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3), gap_s=40.0)
    records = []
    for number, one in enumerate(chat(server, 12, length=40)):
        tool: dict[str, Json] = {"name": "look", "description": words(f"tool{number // 3}", 30)}
        tools: list[Json] = [{"type": "function", "function": tool}]
        records.append(TrafficRecord(one.at_unix, {**one.request, "tools": tools}, 200, one.request_id, one.usage))
    profile = replayed(records)[0].summary.profile
    assert profile is not None
    assert profile.tools_position.confidence <= 0.65


def test_figures_that_are_rounded_are_a_candidate_if_all_are_whole_larger_blocks() -> None:
    """Figures are whole blocks of 528 tokens, rounded down to hundreds."""
    _, results = replayed(chat(Blocks(528, rounding=100, down=True), 16, length=160))
    found = results[15].explanation
    assert found is not None
    assert "rounding" in {candidate.code for candidate in found.candidates}


def test_reasoning_that_the_server_keeps_is_no_candidate() -> None:
    """A result of a tool follows each answer, and a new question each second one: no order that leaves it out fits."""
    server, messages = Blocks(replicas=(*(0,) * 12, 1)), [message("system", words("system", 300))]
    records = []
    for turn in range(13):
        messages.append(message("tool" if turn % 2 else "user", words(f"text{turn}", 60)))
        answer, reasoning = words(f"answer{turn}", 30), words(f"reasoning{turn}", 80)
        records.append(server.ask({"model": "m", "messages": list(messages)}, answer, reasoning))
        messages.append({**message("assistant", answer), "reasoning_content": reasoning})
    _, results = replayed(records)
    found = results[-1].explanation
    assert found is not None
    assert found.cause == "server"
    assert "reasoning_left_out" not in {candidate.code for candidate in found.candidates}


PAUSES = (8.0, 13.0, 5.0, 19.0, 11.0, 7.0, 40.0, 3.0, 16.0)


@pytest.mark.parametrize("late_s", [10.0, 20.0])
def test_prefix_that_is_stored_late_is_forecast_and_no_replica(late_s: float) -> None:
    replay, results = replayed(chat(Blocks(late_s=late_s, pauses=PAUSES), 30, length=40))
    assert forecast_in_the_end(results)
    profile = replay.summary.profile
    assert profile is not None
    assert profile.replicas.value is None


@pytest.mark.parametrize("unit", [60, 3600])
@pytest.mark.parametrize("first", [True, False])
def test_time_that_a_template_prints_is_forecast(unit: int, *, first: bool) -> None:
    server = Blocks(clock=unit, clock_first=first, pauses=[unit / 60 * pause for pause in PAUSES])
    assert forecast_in_the_end(replayed(chat(server, 30, length=40))[1])


def forecast_in_the_end(results: Sequence[ReplayResult]) -> bool:
    known = [one.usage.cached_tokens for one in results[20:] if one.usage is not None]
    assert len(set(known)) > 2
    return known == [one.forecast.cached_tokens for one in results[20:]]


def with_reasoning(server: Blocks, turns: int, documents: int) -> list[TrafficRecord]:
    """Return a conversation of answers with reasoning; documents are in the newest question only."""
    messages: list[Json] = [message("system", words("system", 300))]
    found = []
    for turn in range(turns):
        question, answer, reasoning = words(f"question{turn}", 9), words(f"answer{turn}", 30), words(f"why{turn}", 50)
        asked = message("user", f"{words(f'documents{turn}', documents)} {question}" if documents else question)
        found.append(server.ask({"model": "m", "messages": [*messages, asked]}, answer, reasoning))
        generated: Json = {"role": "assistant", "content": answer, "reasoning_content": reasoning}
        messages += [message("user", question), generated]
    return found


def test_reasoning_that_the_template_leaves_out_is_known_from_the_tokens_of_the_prompt() -> None:
    """No prompt parts from an earlier one at the reasoning, as the documents in front of it are gone, too."""
    results = replayed(with_reasoning(Blocks(turn=True), 30, 80))[1][10:]
    served = [one.usage.cached_tokens or 0 for one in results if one.usage is not None]
    assert all(abs(one.forecast.cached_tokens - cached) <= 16 for one, cached in zip(results, served, strict=True))


def test_answers_whose_reasoning_is_left_out_are_not_stated_as_not_cached() -> None:
    replay, _ = replayed(with_reasoning(Blocks(turn=True), 30, 0))
    profile = replay.summary.profile
    assert profile is not None
    assert profile.answers_cached.value is not False or profile.answers_cached.confidence <= 0.65


def test_prompt_that_was_not_served_is_no_evidence_of_a_minimum_if_the_template_prints_the_time() -> None:
    replay, _ = replayed(chat(Blocks(clock=60, clock_first=True, gap_s=70.0), 8))
    assert replay._forecaster.model("", "m").learned.proofs.unserved == 0.0


def learned_of(orders: Sequence[str], excluded: Sequence[str]) -> LearnedParameters:
    """Return what reports have taught that agree with these orders, and exclude these places."""
    learned = LearnedParameters(300.0)
    rows = {one.key: [0.0 if one.order in orders else -17.0] * len(RETENTIONS) for one in RENDERINGS}
    learned.hypotheses.restore(rows, [], 1.0, 9.0, 5, 0)
    learned.proofs.restore([], 0.0, excluded=dict.fromkeys(excluded, 0.0))
    learned.reports = 9
    return learned


def test_template_that_marks_the_last_turn_tells_no_place_of_the_tools() -> None:
    places = ("first", "before_last_user", "after_messages")
    assert profile(learned_of(["last_turn", "last_turn/bare"], places)).tools_position.value is None
    assert profile(learned_of(["inside"], places)).tools_position == Property("inside", 0.85)
    assert profile(learned_of(["first_user"], places)).tools_position == Property("first_user", GUESS)
