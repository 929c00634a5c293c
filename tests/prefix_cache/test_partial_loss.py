"""An edit behind which the server lost a part, or of which only an improbable order of the template knows."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.miss_evidence import EarlierRequest, Expected, MissKnowledge, OrderEvidence
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.view import CacheView, Order, view_of_fields

RULES = "You are a clerk of the harbour office. Name the crate, the shelf and the ship. " * 40
EXAMPLE = "Crate 7 is on shelf 3. " * 60


def session(question: str, answer: str = "On shelf 3.") -> CacheView:
    """Return a prompt with rules, an example with its answer, and a question."""
    roles = ("system", RULES), ("user", EXAMPLE), ("assistant", answer), ("user", question)
    return view_of_fields({"messages": [{"role": role, "content": text} for role, text in roles]})


def evidence(order: Order, weight: float, longest: float, error: float = 1.0) -> OrderEvidence:
    """Return an order in which four code points are a token."""
    return OrderEvidence(order, weight, lambda offset: Size(offset / 4, error), longest=Size(longest, error))


def known(figures: tuple[int, ...], error: float = 1.0) -> MissKnowledge:
    """Return knowledge of a server with blocks of 16 tokens that has reported these figures."""
    orders = [evidence("inside", 1.0, 1_160.0, error)]
    return MissKnowledge(orders, all_orders=orders, figures=figures, blocks=[(16, 1.0)], longest=1_160.0)


def asked(found: MissKnowledge, cached: int, answer: str = "On shelf 3.") -> MissExplanation:
    """Explain a report for another question, ≈ 1,158 tokens behind the beginning, or for another answer before it."""
    earlier = EarlierRequest(session("Which crate?"), None, "id", 10.0, prompt_tokens=1_170)
    why = explain_miss(session("And which ship?", answer), None, earlier, CacheUsage(1_175, cached), found)
    assert why is not None
    return why


@pytest.mark.parametrize(
    ("cached", "cause", "reason"),
    [
        (1_152, "edited", "new_text"),
        (1_136, "edited", "new_text"),
        (1_104, "unknown", "edit_or_partly_lost"),
        (1_008, "server", "partly_lost"),
    ],
)
def test_explain_miss_edit_is_named_only_if_all_blocks_before_it_were_served(
    cached: int, cause: str, reason: str
) -> None:
    why = asked(known((1_152, 1_136, 880)), cached)
    assert (why.cause, why.reason) == (cause, reason)


def test_explain_miss_edit_is_named_if_the_size_before_it_is_an_estimate_that_may_be_too_large() -> None:
    assert asked(known((1_136, 880), error=12.0), 1_104).reason == "new_text"


@pytest.mark.parametrize(("figures", "reason"), [((768,), "block_or_partly_lost"), ((528, 1_584), "new_text")])
def test_explain_miss_large_block_explains_a_report_only_if_several_figures_are_multiples_of_it(
    figures: tuple[int, ...], reason: str
) -> None:
    """768 and 960 are multiples of 192 by chance in one of twelve servers; 1,056 with 528 and 1,584 hardly."""
    found = known(figures)
    cached = 960 if figures == (768,) else 1_056
    found = replace(found, orders=[evidence("inside", 1.0, 1_160.0, 20.0)])
    assert asked(found, cached).reason == reason


def test_block_of_528_tokens_explains_nine_blocks_of_which_all_figures_are_multiples() -> None:
    assert known((3_168, 4_224)).whole_blocks(4_752, Size(4_987.0, 1.0))
    assert not known((3_168, 4_224, 4_240)).whole_blocks(4_752, Size(4_987.0, 1.0))


def doubtful(weight: float, cached: int) -> MissExplanation:
    """Explain a report for another answer in the history. A template that puts system text behind the history shares
    only the example before it (≈ 350 tokens), others the rules, too; the order that puts it behind has this weight."""
    orders = [evidence("system_last", weight, 360.0), evidence("inside", 1 - weight, 1_160.0)]
    orders.sort(key=lambda one: -one.weight)
    found = MissKnowledge(orders, all_orders=orders, figures=(1_072, 336), blocks=[(16, 1.0)], longest=1_160.0)
    return asked(found, cached, answer="On shelf 4.")


@pytest.mark.parametrize(
    ("weight", "cached", "reason"), [(0.69, 336, "order_or_lost"), (0.95, 336, "differs"), (0.69, 1_136, "differs")]
)
def test_explain_miss_edit_that_only_a_moving_order_explains_is_named_if_reports_prove_the_order(
    weight: float, cached: int, reason: str
) -> None:
    why = doubtful(weight, cached)
    assert why.reason == reason
    assert (why.cause == "unknown") == (reason == "order_or_lost")
    if why.cause == "unknown":
        assert why.place is None
        assert "1,160 tokens" in why.sentence


def test_explain_miss_restart_beside_an_edit_is_no_proof_of_an_order_however_probable() -> None:
    """Nothing was served: a cache that was emptied explains that in every order."""
    assert doubtful(0.95, 0).cause != "edited"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("And which ship?", "new_text"),
        ("Which crate is it? Answer in one sentence, with the number of the shelf. Thanks.", "differs"),
    ],
)
def test_explain_miss_new_question_is_told_from_an_edit_inside_the_last_message(question: str, reason: str) -> None:
    then = session("Which crates are there? Answer in one sentence, with the number of the shelf. Thanks.")
    earlier = EarlierRequest(then, None, "id", 10.0, prompt_tokens=1_190)
    why = explain_miss(session(question), None, earlier, CacheUsage(1_180, 1_152), known((1_152,)))
    assert why is not None
    assert (why.kind, why.cause, why.reason) == ("differs", "edited", reason)
    assert why.position is not None
    assert why.position.index == 3
    assert ("Everything before the new text was served" in why.sentence) == (reason == "new_text")
    assert (why.title == "Only the last message is new") == (reason == "new_text")


@pytest.mark.parametrize(("error", "cause"), [(256 / 12**0.5, "server"), (90.0, "number")])
def test_explain_miss_number_is_not_blamed_if_the_text_before_it_was_served_in_one_large_block(
    error: float, cause: str
) -> None:
    """A report of 256 in blocks of 256 says that the beginning has 256 to 511 tokens; a mere estimate says less."""
    then, now = (session("Which crate?", f"On shelf {number}.") for number in (10, 12))
    order = OrderEvidence("inside", 1.0, lambda _: Size(384.0, error), longest=Size(384.0, error))
    found = MissKnowledge(
        [order], 256, all_orders=[order], figures=(512, 256), blocks=[(256, 0.6), (128, 0.4)], longest=384.0
    )
    why = explain_miss(now, None, EarlierRequest(then, None, "id", 10.0, prompt_tokens=530), CacheUsage(530, 0), found)
    assert (None if why is None else why.cause) == cause


def test_edit_that_explains_the_report_in_an_improbable_order_is_not_called_a_loss() -> None:
    """The probable order has the edit of the rules behind the example, the other one in front of it."""
    orders = [evidence("system_last", 0.9, 760.0), evidence("first", 0.05, 410.0)]
    found = MissKnowledge(orders, all_orders=orders, figures=(1_072, 336), blocks=[(16, 1.0)], longest=760.0)
    rules = RULES[:1_600] + "X" + RULES[1_601:]
    roles = ("system", rules), ("user", EXAMPLE), ("assistant", "On shelf 3."), ("user", "And which ship?")
    now = view_of_fields({"messages": [{"role": role, "content": text} for role, text in roles]})
    earlier = EarlierRequest(session("Which crate?"), None, "id", 10.0, prompt_tokens=1_170)
    why = explain_miss(now, None, earlier, CacheUsage(1_175, 400), found)
    assert why is not None
    assert (why.cause, why.reason) == ("unknown", "order_or_lost")
    assert why.position is not None
    assert why.position.index == 0


@pytest.mark.parametrize(("forecast", "cause"), [(424.0, None), (1_160.0, "server")])
def test_report_that_is_the_forecast_of_the_own_model_is_no_loss(forecast: float, cause: str | None) -> None:
    found = replace(known((1_072, 416)), expected=[Expected(0.9, Size(forecast, 1.0), less=False)])
    one, other = ({"model": name} for name in ("m-a", "m-b"))
    now = session("And which ship?")
    earlier = EarlierRequest(now, one, "id", 10.0, prompt_tokens=1_170, own_fields=other)
    why = explain_miss(now, other, earlier, CacheUsage(1_175, 416), found)
    assert (None if why is None else why.cause) == cause
