"""Servers that find only ends of requests or saved states again: the forecast ends there."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.learned_state import restore, state_of
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.reach import KINDS, KeptPoints, PointKind
from playground.prefix_cache.replay import ReplayResult, replay_traffic
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.traffic import TrafficRecord, usage_of
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json
from tests.prefix_cache.test_round_robin import sentence


def replayed(served: Callable[[int, int], int]) -> list[ReplayResult]:
    """Replay twelve questions about one long text, each sent with its answer and a further question. A token is four
    characters. `served`: by the tokens shared with any request, and the longest whole request."""
    rng = random.Random(7)
    rules, records = sentence(rng, 900), []
    held: list[str] = []
    for number in range(12):
        question, answer = sentence(rng, 12), sentence(rng, 20)
        messages: list[Json] = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
        more: list[Json] = [{"role": "assistant", "content": answer}, {"role": "user", "content": sentence(rng, 9)}]
        for turn, sent in enumerate((messages, [*messages, *more])):
            body: dict[str, Json] = {"model": "m", "messages": sent}
            text = view_of_fields(body).text
            shared = max((common_prefix(text, one) for one in held), default=0) // 4
            whole = max((len(one) for one in held if text.startswith(one)), default=0) // 4
            held.append(text)
            usage: dict[str, Json] = {
                "prompt_tokens": len(text) // 4,
                "completion_tokens": len(answer) // 4,
                "prompt_tokens_details": {"cached_tokens": served(shared, whole) // 16 * 16},
            }
            message: dict[str, Json] = {"role": "assistant", "content": answer if turn == 0 else "Yes."}
            at = 1_000.0 + 30 * number + 9 * turn
            records.append(TrafficRecord(at, body, 200, f"r{number}.{turn}", usage_of(usage, message)))
    return list(replay_traffic(records))


@pytest.mark.parametrize(
    "served",
    [
        lambda shared, whole: max(shared // 512 * 512, whole),
        lambda _shared, whole: whole,
        lambda shared, _whole: shared,
    ],
    ids=["states", "requests", "any beginning"],
)
def test_forecast_ends_where_the_server_keeps_a_state(served: Callable[[int, int], int]) -> None:
    found = replayed(served)[8:]
    apart = [abs(one.forecast.cached_tokens - (one.usage.cached_tokens or 0)) for one in found if one.usage is not None]
    assert max(apart) <= 16


def points(**tokens: float) -> dict[PointKind, Size]:
    return {kind: Size(tokens.get(kind, 0.0), 0.0) for kind in KINDS}


def test_kind_of_points_is_stored_and_ends_with_reports_of_any_beginning() -> None:
    model, other = EndpointCacheModel(300.0), EndpointCacheModel(300.0)
    for _ in range(3):
        assert model.learned.kept_points.kind is None
        model.learned.kept_points.add(512, points(states_512=512.0, requests=300.0), Size(900.0, 1.0), 16)
    restore(other.learned, state_of("", "", model.learned))
    assert other.learned.kept_points.kind == model.learned.kept_points.kind == "states_512"
    for shared in (900, 940, 980):
        other.learned.kept_points.add(shared, points(states_512=512.0), Size(float(shared), 1.0), 16)
    assert other.learned.kept_points.kind is None


def test_reports_that_are_neither_a_point_nor_all_that_is_shared_tell_nothing() -> None:
    kept = KeptPoints()
    for _ in range(9):
        kept.add(128, points(states_512=512.0, requests=300.0), Size(900.0, 1.0), 16)
        kept.add(512, points(states_512=512.0), Size(520.0, 1.0), 16)
    assert kept.kind is None


@pytest.mark.parametrize(("figures", "proved"), [((512, 1_024, 1_536), "states_512"), ((512, 512, 512, 512), None)])
def test_kind_is_proved_by_different_figures_only(figures: tuple[int, ...], proved: str | None) -> None:
    """A server that keeps only what is in use serves the same start again and again."""
    kept = KeptPoints()
    for figure in figures:
        kept.add(figure, points(states_512=float(figure)), Size(figure + 300.0, 1.0), 16)
    assert kept.kind == "states_512"
    assert kept.proved == proved


def test_limit_is_possible_once_prompts_that_share_as_much_had_the_largest_report_twice() -> None:
    kept, found = KeptPoints(), []
    for cached in (2_048, 2_048, 704, 2_048, 2_432):
        shared = Size(704.0 if cached == 704 else 2_452.0, 1.0)
        size = shared if not kept.largest else Size(min(shared.tokens, kept.largest), 0.0)
        kept.add(cached, points(limit=size.tokens), shared, 64)
        found.append(kept.limit)
    assert found == [0, 2_048, 2_048, 2_048, 0]
