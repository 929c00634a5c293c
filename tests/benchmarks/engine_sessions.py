"""Sessions that `record_engines` sends to an engine: generators of request bodies that receive the answers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

Body = dict[str, Any]
Message = dict[str, Any]

TEXTS: dict[str, Any] = json.loads(Path(__file__).with_name("engine_texts.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Step:
    """A request, and the pause before it in seconds."""

    body: Body
    pause_s: float = 0.0


Session = Generator[Step, Message, None]


def answers(kind: str) -> list[str]:
    """Return the texts that the model learns to write; only the model of `voice_own_calls` calls tools."""
    spoken = TEXTS["voice_answers"]
    pairs = [f"{first} {second}" for first, second in pairwise(spoken)]
    if kind == "voice_own_calls":
        return [*spoken, *TEXTS["tool_calls"] * 8]
    texts = [*spoken, *pairs, *TEXTS["rag_answers"], *TEXTS["json_answers"]]
    return texts + [text for language in TEXTS["languages"].values() for text in language["answers"]]


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


class Sampling:
    """Varied values of the parameters that do not change the prompt."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def body(self, messages: list[Message], tools: list[Any] | None = None, max_tokens: int = 60) -> Body:
        """Return a request with a random limit, temperature and streaming."""
        body: Body = {
            "messages": [dict(message) for message in messages],
            "max_tokens": self._rng.randint(8, max_tokens),
            "temperature": self._rng.choice((0, 0.7, 0.7, 1.0)),
        }
        if tools:
            body["tools"] = tools
        if self._rng.random() < 0.4:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


def voice(rng: random.Random) -> Session:
    """Three telephone calls that grow turn by turn."""
    sampling = Sampling(rng)
    for call in TEXTS["calls"]:
        messages = [_message("system", TEXTS["voice_system"])]
        for turn in call:
            messages.append(_message("user", turn))
            answer = yield Step(sampling.body(messages), rng.uniform(0.2, 1.5))
            messages.append(_message("assistant", answer.get("content") or ""))


def voice_tools(rng: random.Random) -> Session:
    """Telephone calls with tools; every third turn calls one, and its result is sent with the next request."""
    sampling = Sampling(rng)
    tools = TEXTS["voice_tools"]
    number = 0
    for call in TEXTS["calls"]:
        messages = [_message("system", TEXTS["clinic_system"])]
        for index, turn in enumerate(call[:8]):
            messages.append(_message("user", turn))
            answer = yield Step(sampling.body(messages, tools), rng.uniform(0.2, 1.0))
            if index % 3 == 1:
                number += 1
                messages += tool_exchange(rng, number)
                answer = yield Step(sampling.body(messages, tools), rng.uniform(0.1, 0.4))
            messages.append(_message("assistant", answer.get("content") or ""))


ARGUMENTS = (
    ("check_line", {"deep": False}),
    ("restart_router", {"wait_seconds": 30}),
    ("find_visits", {"day": "thursday", "part": "morning"}),
    ("explain_bill", {"month": 1}),
)


def tool_exchange(rng: random.Random, number: int) -> list[Message]:
    """Return an assistant message with a tool call, and the message with its result."""
    choice = rng.randrange(len(ARGUMENTS))
    name, arguments = ARGUMENTS[choice]
    function = {"name": name, "arguments": json.dumps(arguments)}
    call_id = f"call{number:05d}"
    return [
        {"role": "assistant", "content": "", "tool_calls": [{"id": call_id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call_id, "content": TEXTS["tool_results"][choice]},
    ]


def voice_own_calls(rng: random.Random) -> Session:
    """Telephone calls in which the model calls tools, at times because it must; its calls are sent back."""
    sampling = Sampling(rng)
    tools = TEXTS["voice_tools"]
    for call in TEXTS["calls"]:
        messages = [_message("system", TEXTS["clinic_system"])]
        for index, turn in enumerate(call[:8]):
            messages.append(_message("user", turn))
            body = sampling.body(messages, tools)
            body["max_tokens"] += 30
            if index % 3 == 1:
                body |= {"tool_choice": "required", "max_tokens": 100, "temperature": 1.0}
            answer = yield Step(body, rng.uniform(0.1, 0.5))
            messages.append(sent_back(answer))
            if messages[-1].get("tool_calls"):
                for made in messages[-1]["tool_calls"]:
                    result = rng.choice(TEXTS["tool_results"])
                    messages.append({"role": "tool", "tool_call_id": made["id"], "content": result})
                answer = yield Step(sampling.body(messages, tools), rng.uniform(0.1, 0.4))
                messages.append(sent_back(answer))


def sent_back(answer: Message) -> Message:
    """Return an answer as the client sends it in the next request, without tool calls that were cut off."""
    message = _message("assistant", answer.get("content") or "")
    calls = [call for call in answer.get("tool_calls") or () if is_json(call["function"]["arguments"])]
    return message | ({"tool_calls": calls} if calls else {})


def is_json(text: str) -> bool:
    """Return whether a text is complete JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def rag(rng: random.Random) -> Session:
    """Questions with changing articles, first in the user message and then in the system message; some follow-ups."""
    sampling = Sampling(rng)
    head = " ".join(rng.sample(TEXTS["sentences"], 12))
    for number in range(30):
        articles = "\n\n".join(rng.sample(TEXTS["articles"], rng.randint(3, 8)))
        question = rng.choice(TEXTS["questions"])
        if number < 16:
            system, user = head, f"Articles:\n{articles}\n\nQuestion: {question}"
        else:
            system, user = f"{head}\n\nArticles:\n{articles}", question
        messages = [_message("system", system), _message("user", user)]
        answer = yield Step(sampling.body(messages), rng.uniform(0.0, 0.4))
        if rng.random() < 0.3:
            messages += [_message("assistant", answer.get("content") or ""), _message("user", "Where does it say so?")]
            yield Step(sampling.body(messages), rng.uniform(0.0, 0.4))


def iteration(rng: random.Random) -> Session:
    """A prompt that its author edits: a sentence is changed, inserted, moved or removed between the requests."""
    sampling = Sampling(rng)
    sentences = rng.sample(TEXTS["sentences"], 22)
    spare = [text for text in TEXTS["sentences"] if text not in sentences]
    question = "My parcel has not moved since Monday, the number is AB 1203 4471. What now?"
    for number in range(36):
        place = rng.choice((rng.randrange(len(sentences)), len(sentences) - 1 - rng.randrange(4)))
        kind = rng.choice(("repeat", "word", "insert", "remove", "move", "question"))
        if kind == "word":
            sentences[place] = sentences[place].replace(" the ", " your ", 1).replace(".", f", rule {number}.", 1)
        elif kind == "insert":
            sentences.insert(place, rng.choice(spare))
        elif kind == "remove" and len(sentences) > 16:
            sentences.pop(place)
        elif kind == "move":
            sentences.append(sentences.pop(place))
        elif kind == "question":
            question = rng.choice(TEXTS["questions"])
        messages = [_message("system", "\n".join(f"- {text}" for text in sentences)), _message("user", question)]
        yield Step(sampling.body(messages), rng.uniform(0.0, 0.6))


def tools_changed(rng: random.Random) -> Session:
    """A conversation whose tools are added, removed, reordered and reworded between the requests."""
    sampling = Sampling(rng)
    tools: list[Any] = json.loads(json.dumps(TEXTS["voice_tools"][:3]))
    spare: list[Any] = json.loads(json.dumps([TEXTS["voice_tools"][3], *TEXTS["more_tools"]]))
    messages = [_message("system", TEXTS["clinic_system"])]
    for number in range(36):
        if number % 9 == 0:
            messages = messages[:1]
        messages.append(_message("user", rng.choice(TEXTS["questions"])))
        tools = changed_tools(
            rng, rng.choice(("same", "same", "add", "remove", "reorder", "reword", "parameter")), tools, spare
        )
        answer = yield Step(sampling.body(messages, tools), rng.uniform(0.0, 0.5))
        messages.append(_message("assistant", answer.get("content") or ""))


def changed_tools(rng: random.Random, kind: str, tools: list[Any], spare: list[Any]) -> list[Any]:
    """Return `tools` with one change of the given kind; `spare` holds the tools that are not offered."""
    tools = json.loads(json.dumps(tools))
    if kind == "add" and spare:
        tools.insert(rng.choice((0, len(tools), len(tools))), spare.pop(0))
    elif kind == "remove" and len(tools) > 2:
        spare.append(tools.pop(rng.randrange(len(tools))))
    elif kind == "reorder":
        rng.shuffle(tools)
    elif kind in ("reword", "parameter"):
        function = rng.choice(tools)["function"]
        if kind == "reword":
            function["description"] = function["description"].removesuffix(".") + rng.choice((" today.", " now.", "."))
        else:
            function["parameters"]["properties"][f"note_{rng.randrange(9)}"] = {"type": "string", "maxLength": 40}
    return tools


def _turn(rng: random.Random, sampling: Sampling, messages: list[Message], most: int) -> Session:
    """Ask the next question of a conversation, which begins again after `most` messages."""
    if len(messages) > most:
        del messages[1:]
    messages.append(_message("user", rng.choice(TEXTS["questions"])))
    answer = yield Step(sampling.body(messages), rng.uniform(0.0, 0.5))
    messages.append(_message("assistant", answer.get("content") or ""))


def alternating(rng: random.Random) -> Session:
    """Three assistants that take turns: A B A B, then A A B C in a random order, each with its own conversation."""
    sampling = Sampling(rng)
    heads = [TEXTS["voice_system"], TEXTS["clinic_system"], TEXTS["travel_system"]]
    open_calls: list[list[Message]] = [[_message("system", head)] for head in heads]
    for number in range(38):
        index = number % 2 if number < 14 else rng.choice((0, 0, 1, 2))
        yield from _turn(rng, sampling, open_calls[index], 10)


def crowd(rng: random.Random) -> Session:
    """Five assistants with long instructions; the next request is most often from one of the last two."""
    sampling = Sampling(rng)
    heads = [TEXTS["voice_system"], TEXTS["clinic_system"], TEXTS["travel_system"]]
    heads += [" ".join(rng.sample(TEXTS["sentences"], 14)) for _ in range(2)]
    calls = [[_message("system", "\n\n".join((head, *rng.sample(TEXTS["articles"], 6))))] for head in heads]
    recent = [0, 1]
    for _ in range(60):
        index = rng.choice(recent) if rng.random() < 0.7 else rng.randrange(len(calls))
        recent = [index, *(one for one in recent if one != index)][:2]
        yield from _turn(rng, sampling, calls[index], 14)


def scripts(rng: random.Random) -> Session:
    """Short conversations in seven languages, one after the other and then mixed."""
    sampling = Sampling(rng)
    languages = list(TEXTS["languages"].values())
    for language in languages * 2:
        messages = [_message("system", language["system"] + "\n\n" + TEXTS["clinic_system"])]
        for turn in language["turns"][: rng.randint(2, 4)]:
            messages.append(_message("user", turn))
            answer = yield Step(sampling.body(messages), rng.uniform(0.0, 0.6))
            messages.append(_message("assistant", answer.get("content") or rng.choice(language["answers"])))


def code_json(rng: random.Random) -> Session:
    """Reviews of code: the same rules, other files, the last review sent along, JSON data in the messages."""
    sampling = Sampling(rng)
    examples = json.dumps(
        [{"code": code, "review": review} for code, review in zip(TEXTS["code"], TEXTS["json_answers"], strict=False)],
        indent=2,
    )
    messages: list[Message] = []
    for number in range(36):
        if number % 6 == 0:
            system = TEXTS["code_system"] + ("\n\nExamples:\n" + examples if number >= 18 else "")
            messages = [_message("system", system)]
        code = rng.choice(TEXTS["code"])
        meta = json.dumps({"file": f"service/{rng.choice('abcd')}.py", "revision": rng.randint(100, 999)})
        messages.append(_message("user", f"{meta}\n```python\n{code}```"))
        answer = yield Step(sampling.body(messages), rng.uniform(0.0, 0.5))
        messages.append(_message("assistant", answer.get("content") or "{}"))


SESSIONS: dict[str, Callable[[random.Random], Session]] = {
    "voice": voice,
    "voice_tools": voice_tools,
    "voice_own_calls": voice_own_calls,
    "rag": rag,
    "iteration": iteration,
    "tools_changed": tools_changed,
    "alternating": alternating,
    "crowd": crowd,
    "scripts": scripts,
    "code_json": code_json,
}


def run(kind: str, send: Callable[[Step], Message]) -> Iterator[Message]:
    """Send every step of a session and yield the answers; each kind has a fixed random seed."""
    session = SESSIONS[kind](random.Random(f"{kind}-13"))
    try:
        step = next(session)
        while True:
            answer = send(step)
            yield answer
            step = session.send(answer)
    except StopIteration:
        return
