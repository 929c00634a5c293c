"""Edits of fields that some chat templates render and others leave out."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.cache_engines.sessions import Client, Clock, Message, Step


@dataclass(frozen=True)
class FieldEdit:
    """An edit of one message: `change` edits a copy of the messages in place, `message` is the index of the first one
    that differs. Conversations begin with system, user, assistant with a tool call, tool, assistant, user."""

    name: str
    message: int
    change: Callable[[list[Message]], None]


def _user_name(messages: list[Message]) -> None:
    messages[1]["name"] = "Marta"


def _tool_name(messages: list[Message]) -> None:
    messages[3]["name"] = "another_tool"


def _call_ids(messages: list[Message]) -> None:
    messages[2]["tool_calls"][0]["id"] = messages[3]["tool_call_id"] = "call_9f8e7d6c5b4a"


def _reasoning(messages: list[Message]) -> None:
    messages[2]["reasoning_content"] = "The caller needs the order first."


def _reasoning_gone(messages: list[Message]) -> None:
    del messages[4]["reasoning_content"]


def _spelling(messages: list[Message]) -> None:
    function = messages[2]["tool_calls"][0]["function"]
    function["arguments"] = json.dumps(json.loads(function["arguments"]), ensure_ascii=False, separators=(",", ":"))


def _array(messages: list[Message]) -> None:
    messages[1]["content"] = [{"type": "text", "text": messages[1]["content"]}]


def _cache_mark(messages: list[Message]) -> None:
    part = {"type": "text", "text": messages[1]["content"], "cache_control": {"type": "ephemeral"}}
    messages[1]["content"] = [part]


EDITS = (
    FieldEdit("name of a user", 1, _user_name),
    FieldEdit("name of a tool message", 3, _tool_name),
    FieldEdit("ids of a tool call", 2, _call_ids),
    FieldEdit("reasoning", 2, _reasoning),
    FieldEdit("reasoning left out", 4, _reasoning_gone),
    FieldEdit("spelling of arguments", 2, _spelling),
    FieldEdit("text as an array", 1, _array),
    FieldEdit("array with a cache mark", 1, _cache_mark),
)


def conversation(client: Client) -> list[Message]:
    """Return a conversation whose tool call has reasoning, a name and arguments with spaces, with long messages."""
    writer = client.writer
    tools = writer.tools(3)
    call = writer.call(tools[0])
    call["content"] = None
    call["reasoning_content"] = writer.sentences(2)
    call["tool_calls"][0]["function"]["arguments"] = json.dumps({"order_id": 4711, "note": writer.sentences(3)})
    result = {**writer.result(call), "name": tools[0]["function"]["name"]}
    result["content"] += writer.sentences(20)
    answer = {**client.assistant(), "reasoning_content": writer.sentences(2)}
    answer["content"] = writer.sentences(15)
    return [
        {"role": "system", "content": writer.instructions(20)},
        {"role": "user", "name": "Anna", "content": writer.sentences(4)},
        call,
        result,
        answer,
        client.user(),
    ]


def edited(edit: FieldEdit, seed: int, rounds: int = 1) -> Iterator[Step]:
    """Yield conversations that are sent twice, then with the edit and another question."""
    client = Client(random.Random(f"{edit.name}:{seed}"), Clock())
    for _ in range(rounds):
        messages = conversation(client)
        for _ in range(2):
            yield client.step(messages)
            client.clock.wait(4)
        after = [*copy.deepcopy(messages[:-1]), client.user()]
        edit.change(after)
        yield client.step(after)
        client.clock.wait(30)
