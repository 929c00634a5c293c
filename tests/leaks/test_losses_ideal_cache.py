"""What a program lost, beside an ideal prefix cache that also keeps what the server generated."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from playground.prefix_cache.losses import ProgramLosses, PromptUsage, program_losses

Body = dict[str, Any]
Sent = list[tuple[Body, str]]
"""Request bodies, each with the text of the answer as it is in the history of the next one."""
_TOKEN = re.compile(r"[^\W\d_]{1,5}|\d{1,3}|\s+|[^\w\s]|_")
_WORDS = ["ledger", "customer", "invoice", "refund", "shipping", "policy", "checks", "every", "order", "before", "noon"]


def _text(rng: random.Random, sentences: int) -> str:
    return " ".join(" ".join(rng.choices(_WORDS, k=10)).capitalize() + "." for _ in range(sentences))


def _rendered(message: dict[str, Any]) -> str:
    calls = "".join(json.dumps(call["function"]) for call in message.get("tool_calls") or ())
    return f"<{message['role']}>{message.get('content') or ''}{calls}<end>"


def _served(sent: Sent, *, answers: bool = True) -> list[PromptUsage]:
    """Return what an ideal cache reports. `answers`: it also keeps what it generates."""
    known: set[int] = set()
    usage = []
    for body, answer in sent:
        prompt = json.dumps(body.get("tools", [])) + "".join(map(_rendered, body["messages"])) + "<assistant>"
        hits, prefix, keys = 0, 0, []
        tokens = _TOKEN.findall(prompt)
        for token in [*tokens, *_TOKEN.findall(answer.removeprefix("<assistant>") if answers else "")]:
            prefix = hash((prefix, token))
            keys.append(prefix)
        while hits < len(tokens) - 1 and keys[hits] in known:
            hits += 1
        known.update(keys)
        usage.append(PromptUsage(len(tokens), hits))
    return usage


def _losses(sent: Sent, usage: list[PromptUsage]) -> ProgramLosses:
    return program_losses([body for body, _ in sent], range(len(sent)), dict(enumerate(usage)))


def _fresh(usage: list[PromptUsage]) -> int:
    return sum(one.fresh or 0 for one in usage)


def _agent(rng: random.Random, turns: int = 8, tools: int = 0) -> Sent:
    """Return three sessions of tool calls, one request of each in turn."""
    system = {"role": "system", "content": "\n".join(f"{at}. {_text(rng, 1)}" for at in range(20))}
    keys = ("query", "path", "limit", "city", "reason")
    definitions = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "parameters": {"type": "object", "properties": {key: {"description": _text(rng, 1)} for key in keys}},
            },
        }
        for number in range(tools)
    ]
    histories: list[list[dict[str, Any]]] = [[system, {"role": "user", "content": _text(rng, 2)}] for _ in range(3)]
    sent: Sent = []
    for turn in range(turns):
        for number, history in enumerate(histories):
            arguments = json.dumps({"query": _text(rng, 1), "limit": turn, "note": _text(rng, 2)})
            call = {"id": f"call_{number}_{turn}", "type": "function"}
            call["function"] = {"name": "tool_0", "arguments": arguments}  # type: ignore[assignment]
            answer = {"role": "assistant", "content": _text(rng, 4), "tool_calls": [call]}
            body: Body = {"model": "m", "messages": deepcopy(history)}
            if definitions:
                body["tools"] = deepcopy(definitions)
            sent.append((body, _rendered(answer)))
            history += [answer, {"role": "tool", "tool_call_id": call["id"], "content": _text(rng, 2)}]
    return sent


def _alternating_rule(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng)
    sent = deepcopy(fixed)
    for body, _ in sent:
        if rng.random() < 0.5:
            system = body["messages"][0]
            system["content"] = system["content"].replace("\n2. ", "\n2. Always be brief. ")
    return sent, fixed


def _rewritten_arguments(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng)
    sent = deepcopy(fixed)
    for at, (body, _) in enumerate(sent):
        for message in body["messages"] if at // 3 % 2 else ():
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), indent=1)
    return sent, fixed


def _keys_of_tools(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng, tools=6)
    sent = deepcopy(fixed)
    for body, _ in sent:
        for tool in body["tools"]:
            pairs = list(tool["function"]["parameters"]["properties"].items())
            rng.shuffle(pairs)
            tool["function"]["parameters"]["properties"] = dict(pairs)
    return sent, fixed


def _shuffled_examples(rng: random.Random) -> tuple[Sent, Sent]:
    system = {"role": "system", "content": _text(rng, 10)}
    pairs = [
        [{"role": "user", "content": _text(rng, 3)}, {"role": "assistant", "content": _text(rng, 1)}] for _ in range(12)
    ]
    sent: Sent = []
    fixed: Sent = []
    for _ in range(20):
        question = {"role": "user", "content": _text(rng, 2)}
        for rows, order in ((sent, rng.sample(pairs, 12)), (fixed, pairs)):
            messages = [system, *(message for pair in order for message in pair), question]
            rows.append(({"model": "m", "messages": messages}, ""))
    return sent, fixed


_LEAKS: dict[str, tuple[Callable[[random.Random], tuple[Sent, Sent]], set[str]]] = {
    "a rule that alternates in a conversation": (_alternating_rule, {"text", "retrieved_text", "name"}),
    "arguments rewritten in every second request": (_rewritten_arguments, {"arguments"}),
    "keys of several tools in another order": (_keys_of_tools, {"reordered_keys"}),
    "shuffled examples": (_shuffled_examples, {"reordered_text"}),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", _LEAKS)
def test_lost_tokens_are_what_an_ideal_cache_would_have_served(name: str, seed: int) -> None:
    leak, kinds = _LEAKS[name]
    sent, fixed = leak(random.Random(f"{name} {seed}"))
    usage = _served(sent)
    losses = _losses(sent, usage)
    assert losses.lost == pytest.approx(_fresh(usage) - _fresh(_served(fixed)), rel=0.12)
    assert {span.kind for span in losses.spans if span.lost_tokens > 100} <= kinds
    for index, row in losses.paid.items():
        assert sum(row.values()) <= (usage[index].fresh or 0) + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_lost_answers_do_not_count_if_the_server_keeps_only_prompts(seed: int) -> None:
    sent, fixed = _alternating_rule(random.Random(seed))
    usage = _served(sent, answers=False)
    true = _fresh(usage) - _fresh(_served(fixed, answers=False))
    assert _losses(sent, usage).lost == pytest.approx(true, rel=0.12)


@pytest.mark.parametrize("answers", [True, False])
def test_sessions_without_a_leak_lose_nothing(answers: bool) -> None:
    sent = _agent(random.Random(1), tools=3)
    losses = _losses(sent, _served(sent, answers=answers))
    assert (losses.lost, losses.spans) == (0, ())
