"""Requests of one program: their heads are alike, or their conversations go on with either head."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from playground.prefix_cache.program_groups import Body, families


def _prompt(subject: str) -> dict[str, Any]:
    rules = "\n".join(f"{subject} rule {number} is about {subject.lower()} {number * 7}." for number in range(20))
    return {"role": "system", "content": rules}


def _turn(number: int) -> list[dict[str, Any]]:
    question = {"role": "user", "content": f"Question {number}?"}
    return [question, {"role": "assistant", "content": f"Answer {number}."}]


def _conversation(prompts: Sequence[dict[str, Any]]) -> list[Body]:
    turns = [_turn(number) for number in range(len(prompts))]
    return [
        {"messages": [prompt, *(message for turn in turns[:number] for message in turn), turns[number][0]]}
        for number, prompt in enumerate(prompts)
    ]


def test_families_of_a_conversation_that_goes_on_with_either_prompt_are_one() -> None:
    one, other = _prompt("Harbour"), _prompt("Garden")
    assert families(_conversation([one, other, one, other, one])) == [[0, 1, 2, 3, 4]]


def test_families_of_a_conversation_that_is_handed_over_are_two() -> None:
    one, other = _prompt("Harbour"), _prompt("Garden")
    assert families(_conversation([one, one, one, other, other])) == [[0, 1, 2], [3, 4]]


def test_families_of_a_router_and_an_assistant_with_one_history_are_two() -> None:
    router, assistant = _prompt("Harbour"), _prompt("Garden")
    bodies = [
        body for pair in zip(_conversation([router] * 5), _conversation([assistant] * 5), strict=True) for body in pair
    ]
    assert families(bodies) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_families_of_independent_requests_with_two_prompts_are_two() -> None:
    prompts = [_prompt(("Harbour", "Garden")[number % 2]) for number in range(6)]
    bodies: list[Body] = [{"messages": [prompt, _turn(number)[0]]} for number, prompt in enumerate(prompts)]
    assert families(bodies) == [[0, 2, 4], [1, 3, 5]]


def _prose(rng: random.Random, words: int) -> str:
    return " ".join("".join(rng.choices("aeiklmnorstu", k=rng.randint(3, 8))) for _ in range(words))


def _asked(prompts: Sequence[str]) -> list[Body]:
    return [
        {"messages": [{"role": "system", "content": prompt}, _turn(number)[0]]} for number, prompt in enumerate(prompts)
    ]


def test_families_of_prose_that_is_mostly_written_again_in_each_request_are_one() -> None:
    rng = random.Random(1)
    stable = _prose(rng, 30)
    assert families(_asked([f"{stable} {_prose(rng, 70)}" for _ in range(5)])) == [[0, 1, 2, 3, 4]]


def test_families_of_two_programs_with_the_same_introduction_are_two() -> None:
    rng = random.Random(1)
    introduction = _prose(rng, 30)
    prompts = [f"{introduction} {_prose(rng, 70)}" for _ in range(2)]
    assert families(_asked(prompts * 3)) == [[0, 2, 4], [1, 3, 5]]


def test_families_of_a_plan_whose_tasks_all_change_are_one() -> None:
    rng = random.Random(1)
    introduction, tasks = _prose(rng, 40), [_prose(rng, 4) for _ in range(8)]
    plans = ["\n".join(f"- {task}: {number}{at} %" for at, task in enumerate(tasks)) for number in range(6)]
    assert families(_asked([f"{introduction}\n{plan}" for plan in plans])) == [[0, 1, 2, 3, 4, 5]]


def prose_of_one_domain(seed: int, count: int = 40) -> str:
    """Return sentences with words of one domain, one per line."""
    draw = random.Random(seed)
    parts = (
        ("The customer", "The reviewer", "The warehouse", "A manager", "A clerk"),
        ("must confirm", "will forward", "cannot change", "usually checks"),
        ("the delivery address", "the serial number", "all open tickets", "the tax form", "the shipping label"),
        ("within five working days", "after a phone call", "before the end of the day", "when the system asks"),
    )
    return "\n".join(f"{' '.join(draw.choice(row) for row in parts)}." for _ in range(count))


def test_families_of_prompts_with_the_words_of_one_domain_are_two() -> None:
    one, other = ({"role": "system", "content": prose_of_one_domain(seed)} for seed in (1, 2))
    assert families(_conversation([one, one, one, other, other])) == [[0, 1, 2], [3, 4]]


def test_families_of_a_prompt_with_a_value_in_each_line_are_one() -> None:
    states = ("open", "done", "waiting", "refused")
    rules = prose_of_one_domain(1).splitlines()
    versions = ["\n".join(f"[{states[(at + n) % 4]}] {line}" for at, line in enumerate(rules)) for n in range(2)]
    bodies: list[Body] = [{"messages": [{"role": "system", "content": one}, *_turn(0)]} for one in versions]
    assert families(bodies) == [[0, 1]]


def test_families_of_an_orchestrator_and_a_worker_with_the_same_headings_are_two() -> None:
    rng = random.Random(11)
    heads = []
    for role in ("orchestrator", "research worker"):
        parts = "\n\n".join(f"## {name}\n{_prose(rng, 60)}" for name in ("Role", "Rules", "Tools", "Style"))
        heads.append(f"You are the {role} of Nordwind Logistics.\n\n{parts}")
    assert families(_asked([heads[number % 2] for number in range(6)])) == [[0, 2, 4], [1, 3, 5]]
