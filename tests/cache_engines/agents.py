"""Sessions of agents that call tools, several at once on one endpoint, as frameworks send them."""

from __future__ import annotations

import copy
import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.cache_engines.sessions import Client, Clock, Message, Step
from tests.cache_engines.text import Tool

Spelling = Literal["compact", "spaced", "indented"]
Reasoning = Literal["none", "sent", "dropped"]
SEPARATORS: dict[Spelling, dict[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "indented": {"indent": 2},
}


@dataclass(frozen=True)
class AgentKind:
    """How a framework and its model write tool calls.

    `spelling`: of the arguments that the API returns. `reasoning`: the message has it and it is sent back; or it is
    left out of the history when the next user message comes. `new_ids`: ids of calls are made anew for each request.
    `parallel`: some messages have two calls. `respelled`: the history has the arguments in JSON without spaces.
    """

    spelling: Spelling = "compact"
    reasoning: Reasoning = "none"
    new_ids: bool = False
    parallel: bool = False
    respelled: bool = False


def calls(client: Client, tools: list[Tool], kind: AgentKind) -> Message:
    """Return a message of the assistant with tool calls."""
    found: list[dict[str, Any]] = []
    message: Message = {}
    for tool in client.rng.sample(tools, 2 if kind.parallel and client.rng.random() < 0.3 else 1):
        message = client.writer.call(tool)
        call = message["tool_calls"][0]
        arguments = json.loads(call["function"]["arguments"])
        if client.rng.random() < 0.5:
            arguments["note"] = client.writer.sentences(client.rng.randint(1, 4))
        call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False, **SEPARATORS[kind.spelling])
        found.append(call)
    message["tool_calls"] = found
    return message


def history(messages: list[Message], kind: AgentKind, rng: random.Random) -> list[Message]:
    """Return the messages as the framework sends them."""
    found = copy.deepcopy(messages)
    last_user = max(at for at, one in enumerate(found) if one["role"] == "user")
    renamed: dict[str, str] = {}
    for at, message in enumerate(found):
        if kind.reasoning == "dropped" and at < last_user:
            message.pop("reasoning_content", None)
        for call in message.get("tool_calls") or ():
            if kind.new_ids:
                renamed[call["id"]] = call["id"] = f"call_{rng.getrandbits(48):012x}"
            if kind.respelled:
                arguments = json.loads(call["function"]["arguments"])
                call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    if kind.new_ids:
        ids = iter(call["id"] for one in found for call in one.get("tool_calls") or ())
        for message in found:
            if message["role"] == "tool":
                message["tool_call_id"] = next(ids)
    return found


def agent(client: Client, kind: AgentKind, system: str, tools: list[Tool], turns: int) -> Iterator[Step]:
    """Yield one conversation: user messages, some with up to three rounds of tool calls before the answer."""
    messages: list[Message] = [{"role": "system", "content": system}]
    for _ in range(turns):
        messages.append(client.user())
        rounds = client.rng.choice((0, 1, 1, 2, 3))
        for left in range(rounds, -1, -1):
            answer = calls(client, tools, kind) if left else client.assistant()
            if kind.reasoning != "none":
                answer["reasoning_content"] = client.writer.sentences(client.rng.randint(1, 3))
            yield client.step(history(messages, kind, client.rng), tools, answer)
            messages.append(answer)
            for call in answer.get("tool_calls") or ():
                one = {"tool_calls": [call]}
                messages.append(client.writer.result(one))
                messages[-1]["content"] += client.writer.sentences(client.rng.randint(0, 5))
            client.clock.wait(client.rng.uniform(0.5, 6))
        client.clock.wait(client.rng.uniform(3, 25))


def _conversations(client: Client, kind: AgentKind, system: str, tools: list[Tool]) -> Iterator[Step]:
    for _ in range(3):
        yield from agent(client, kind, system, tools, 4)
        client.clock.wait(client.rng.uniform(5, 40))


def agents(kind: AgentKind, seed: int, at_once: int = 5) -> list[Step]:
    """Return the requests of several agents in the order in which they are sent. Some share their system text."""
    rng = random.Random(f"agents:{kind}:{seed}")
    first = Client(rng, Clock())
    prompts = [
        (first.writer.instructions(rng.randint(15, 40)), first.writer.tools(rng.randint(3, 8))) for _ in range(3)
    ]
    runs = []
    for number in range(at_once):
        client = Client(random.Random(f"{seed}:{number}"), Clock())
        client.clock.wait(rng.uniform(0, 20))
        runs.append(_conversations(client, kind, *prompts[number % len(prompts)]))
    return list(heapq.merge(*runs, key=lambda step: step.at))
