"""Sessions: what a client sends over time, with the answers, independent of the engine that serves them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.cache_engines.text import Tool, Writer
from tests.cache_engines.words import SCRIPTS, Script

Message = dict[str, Any]
START = 1_795_000_000.0
MINUTE = 60.0


@dataclass
class Step:
    """One request, the message that the model answers with, and server events before the request.

    `restart` empties all caches before the request. `hidden` steps are another program's: served, but not recorded.
    A `status` other than 200 never reaches the model. Without `detailed` the usage omits the cached tokens. `label` is
    set in sessions of labelled breaks.
    """

    at: float
    body: dict[str, Any]
    answer: Message
    restart: bool = False
    hidden: bool = False
    status: int = 200
    detailed: bool = True
    label: dict[str, Any] = field(default_factory=dict)


@dataclass
class Clock:
    """The client's clock."""

    now: float = START

    def wait(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)


class Client:
    """Helpers that every session uses: a writer, a clock and the request body."""

    def __init__(self, rng: random.Random, clock: Clock, script: Script = "english", scale: float = 1.0) -> None:
        self.rng = rng
        self.clock = clock
        self.writer = Writer(rng, script, scale)

    def user(self, text: str | None = None) -> Message:
        return {"role": "user", "content": text if text is not None else self.writer.question()}

    def assistant(self) -> Message:
        return {"role": "assistant", "content": self.writer.answer()}

    def step(self, messages: list[Message], tools: list[Tool] | None = None, answer: Message | None = None) -> Step:
        """Return a step at the present time; the body is a copy."""
        body: dict[str, Any] = {"model": "electron", "messages": copy.deepcopy(messages)}
        if tools:
            body["tools"] = copy.deepcopy(tools)
        return Step(self.clock.now, body, answer if answer is not None else self.assistant())


def conversation(client: Client, system: str, turns: int, tools: list[Tool] | None = None) -> Iterator[Step]:
    """Yield a growing conversation of `turns` user turns; with tools, about a third of the turns call one."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for _ in range(turns):
        messages.append(client.user())
        while tools and client.rng.random() < 0.3:
            call = client.writer.call(client.rng.choice(tools))
            yield client.step(messages, tools, call)
            messages += [call, client.writer.result(call)]
            client.clock.wait(client.rng.uniform(0.4, 2))
        step = client.step(messages, tools)
        yield step
        messages.append(step.answer)
        client.clock.wait(client.rng.uniform(3, 25))


def _calls(client: Client, sentences: int, tools: int, calls: int, turns: int) -> Iterator[Step]:
    system = client.writer.instructions(sentences)
    catalogue = client.writer.tools(max(2, round(tools * min(1.0, client.writer.scale)))) if tools else None
    for _ in range(calls):
        yield from conversation(client, system, turns, catalogue)
        client.clock.wait(client.rng.uniform(5, 90))


def voice(rng: random.Random, scale: float) -> Iterator[Step]:
    """Calls that grow turn by turn under one system prompt."""
    yield from _calls(Client(rng, Clock(), scale=scale), rng.randint(25, 60), 0, 5, 12)


def voice_tools(rng: random.Random, scale: float) -> Iterator[Step]:
    """Calls with tools, some of whose turns are tool calls and results."""
    yield from _calls(Client(rng, Clock(), scale=scale), rng.randint(20, 50), rng.randint(4, 9), 4, 11)


def scripts(rng: random.Random, scale: float) -> Iterator[Step]:
    """Calls in every script in turn, on one endpoint."""
    clock = Clock()
    for script in SCRIPTS:
        yield from _calls(Client(rng, clock, script, scale), rng.randint(10, 25), 0, 1, 9)


def _one_script(script: Script) -> Callable[[random.Random, float], Iterator[Step]]:
    def session(rng: random.Random, scale: float) -> Iterator[Step]:
        yield from _calls(Client(rng, Clock(), script, scale), rng.randint(12, 30), 0, 4, 9)

    return session


def rag(rng: random.Random, scale: float) -> Iterator[Step]:
    """One question per request, with retrieved passages in the system or the user message."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(30)
    library = [client.writer.document() for _ in range(12)]
    in_system = rng.random() < 0.5
    for _ in range(55):
        passages = "\n\n".join(rng.sample(library, rng.randint(2, 5)))
        question = client.writer.question()
        if in_system:
            messages = [{"role": "system", "content": f"{system}\n\n# Context\n{passages}"}, client.user(question)]
        else:
            messages = [{"role": "system", "content": system}, client.user(f"{passages}\n\nQuestion: {question}")]
        yield client.step(messages)
        client.clock.wait(rng.uniform(5, 50))


def edit_text(rng: random.Random, writer: Writer, text: str) -> str:
    """Return `text` with one small change, as a developer makes while improving a prompt."""
    lines = text.split("\n")
    at = rng.choice([index for index, line in enumerate(lines) if line.strip()])
    words = lines[at].split(" ")
    word = rng.randrange(len(words))
    kind = rng.random()
    if kind < 0.35:
        words[word] = writer.word()
    elif kind < 0.6:
        words.insert(word, writer.word())
    elif kind < 0.8 and len(words) > 2:
        del words[word]
    else:
        words.append(writer.sentence())
    lines[at] = " ".join(words)
    return "\n".join(lines)


def iteration(rng: random.Random, scale: float) -> Iterator[Step]:
    """A developer edits the system prompt and sends the same questions again."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(rng.randint(40, 80))
    questions = [client.user() for _ in range(3)]
    for _ in range(55):
        if rng.random() < 0.7:
            system = edit_text(rng, client.writer, system)
        yield client.step([{"role": "system", "content": system}, rng.choice(questions)])
        client.clock.wait(rng.uniform(8, 120))


def tools_changed(rng: random.Random, scale: float) -> Iterator[Step]:
    """Tools are added, removed, reordered and reworded between requests of short conversations."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(30)
    tools = client.writer.tools(6)
    spare = [client.writer.tool(f"extra_{index}") for index in range(20)]
    for _ in range(20):
        change = rng.random()
        if change < 0.25:
            tools = [*tools, spare.pop()]
        elif change < 0.4 and len(tools) > 3:
            tools = tools[: rng.randrange(len(tools))] + tools[1:][-2:]
        elif change < 0.6:
            tools = rng.sample(tools, len(tools))
        elif change < 0.8:
            tools = copy.deepcopy(tools)
            rng.choice(tools)["function"]["description"] = client.writer.sentence(6, 14)
        yield from conversation(client, system, rng.randint(1, 4), tools)
        client.clock.wait(rng.uniform(5, 60))


def alternating(rng: random.Random, scale: float) -> Iterator[Step]:
    """Two or three prompts in turn, each with fresh questions."""
    client = Client(rng, Clock(), scale=scale)
    systems = [client.writer.instructions(rng.randint(15, 60)) for _ in range(rng.randint(2, 3))]
    for index in range(55):
        system = systems[index % len(systems)]
        yield client.step([{"role": "system", "content": system}, client.user()])
        client.clock.wait(rng.uniform(2, 30))


def code(rng: random.Random, scale: float) -> Iterator[Step]:
    """Questions about a growing source file."""
    client = Client(rng, Clock(), scale=scale)
    source = client.writer.code(rng.randint(8, 14))
    for _ in range(6):
        messages = [
            {"role": "system", "content": client.writer.instructions(6)},
            client.user(f"```python\n{source}\n```\n\n{client.writer.question()}"),
        ]
        for _ in range(8):
            answer = {
                "role": "assistant",
                "content": f"{client.writer.answer()}\n\n```python\n{client.writer.code(1)}\n```",
            }
            yield client.step(messages, answer=answer)
            messages += [answer, client.user()]
            client.clock.wait(rng.uniform(10, 90))
        source += "\n\n\n" + client.writer.code(1)


def json_documents(rng: random.Random, scale: float) -> Iterator[Step]:
    """Extraction from JSON documents under one system prompt, with JSON answers."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(15) + "\n\nExample:\n" + client.writer.data(6)
    for _ in range(55):
        answer = {"role": "assistant", "content": client.writer.data(rng.randint(1, 3))}
        messages = [{"role": "system", "content": system}, client.user(client.writer.data(rng.randint(2, 8)))]
        yield client.step(messages, answer=answer)
        client.clock.wait(rng.uniform(4, 40))


def mixed_day(rng: random.Random, scale: float) -> Iterator[Step]:
    """A working day: calls, questions and edits with breaks of 6 to 60 minutes between them."""
    clock = Clock()
    client = Client(rng, clock, scale=scale)
    other = Client(rng, clock, rng.choice(SCRIPTS), scale)
    system, second = client.writer.instructions(45), other.writer.instructions(18)
    tools = client.writer.tools(5)
    for _ in range(22):
        kind = rng.random()
        if kind < 0.4:
            yield from conversation(client, system, rng.randint(3, 8), tools)
        elif kind < 0.65:
            yield from conversation(other, second, rng.randint(2, 7))
        elif kind < 0.85:
            for _ in range(rng.randint(2, 5)):
                yield client.step([{"role": "system", "content": system}, client.user()], tools)
                clock.wait(rng.uniform(5, 60))
        else:
            system = edit_text(rng, client.writer, system)
        if rng.random() < 0.45:
            clock.wait(rng.uniform(6, 60) * MINUTE)


def restarts(rng: random.Random, scale: float) -> Iterator[Step]:
    """Calls during which the server restarts twice, with empty caches."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(40)
    for number in range(7):
        steps = list(conversation(client, system, 9))
        # One restart while the model calibrates and one afterwards: neither can be foreseen.
        steps[rng.randrange(len(steps))].restart = number in (1, 4)
        yield from steps
        client.clock.wait(rng.uniform(5, 60))


def long_prompts(rng: random.Random, scale: float) -> Iterator[Step]:
    """Conversations over prompts of about 4,000 to 8,000 tokens."""
    client = Client(rng, Clock(), scale=scale)
    for _ in range(4):
        system = client.writer.instructions(round(rng.randint(180, 470) / scale))
        yield from conversation(client, system, 9)
        client.clock.wait(20)


def short_prompts(rng: random.Random, scale: float) -> Iterator[Step]:
    """Prompts of about 200 to 500 tokens, some without a system message."""
    client = Client(rng, Clock(), scale=scale)
    for _ in range(9):
        system = client.writer.instructions(rng.randint(8, 16)) if rng.random() < 0.8 else ""
        yield from conversation(client, system, 6)


def barge_in(rng: random.Random, scale: float) -> Iterator[Step]:
    """Voice calls whose caller interrupts: the history holds only the part of an answer that was spoken."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(25)
    for _ in range(5):
        messages: list[Message] = [{"role": "system", "content": system}]
        for _ in range(11):
            messages.append(client.user())
            step = client.step(messages)
            yield step
            answer = str(step.answer["content"])
            if rng.random() < 0.4:
                words = answer.split(" ")
                answer = " ".join(words[: rng.randint(1, len(words))]) + "…"
            messages.append({"role": "assistant", "content": answer})
            client.clock.wait(rng.uniform(2, 20))


def sliding_window(rng: random.Random, scale: float) -> Iterator[Step]:
    """Long chats of which only the last messages are sent."""
    client = Client(rng, Clock(), scale=scale)
    system = {"role": "system", "content": client.writer.instructions(30)}
    kept = rng.choice((4, 6, 8))
    history: list[Message] = []
    for _ in range(55):
        history.append(client.user())
        start = max(0, len(history) - kept - 1)
        step = client.step([system, *history[start + start % 2 :]])
        yield step
        history.append(step.answer)
        client.clock.wait(rng.uniform(4, 40))


def clock_in_prompt(rng: random.Random, scale: float) -> Iterator[Step]:
    """The time of the request is in the system text, near its head or at its end."""
    client = Client(rng, Clock(), scale=scale)
    lines = client.writer.instructions(40).split("\n")
    for number in range(55):
        at = len(lines) // 8 if number < 30 else len(lines)
        minutes = int(client.clock.now // 60)
        stamp = f"Current time: {minutes // 60 % 24:02}:{minutes % 60:02}"
        system = "\n".join([*lines[:at], stamp, *lines[at:]])
        yield client.step([{"role": "system", "content": system}, client.user()])
        client.clock.wait(rng.uniform(5, 100))


def gaps_in_reports(rng: random.Random, scale: float) -> Iterator[Step]:
    """Calls in which some requests fail and are sent again, and some reports omit the cached tokens."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(30)
    for _ in range(6):
        for step in conversation(client, system, 10):
            if rng.random() < 0.15:
                yield replace(step, status=rng.choice((429, 500, 502, 401)))
                client.clock.wait(2)
                step.at = client.clock.now
            step.detailed = rng.random() > 0.12
            yield step


def other_program(rng: random.Random, scale: float) -> Iterator[Step]:
    """Another program uses the same server: it warms a prompt before the first request, and later sends its own."""
    client = Client(rng, Clock(), scale=scale)
    system = client.writer.instructions(40)
    yield replace(client.step([{"role": "system", "content": system}, client.user()]), hidden=True)
    for number in range(6):
        if number == 3:
            strange = [{"role": "system", "content": client.writer.instructions(50)}, client.user()]
            yield replace(client.step(strange), hidden=True)
        yield from conversation(client, system, 9)


Session = Callable[[random.Random, float], Iterator[Step]]
SESSIONS: dict[str, Session] = {
    "voice": voice,
    "voice_tools": voice_tools,
    "rag": rag,
    "iteration": iteration,
    "tools_changed": tools_changed,
    "alternating": alternating,
    "scripts": scripts,
    "spanish": _one_script("spanish"),
    "hindi": _one_script("hindi"),
    "tamil": _one_script("tamil"),
    "arabic": _one_script("arabic"),
    "han": _one_script("han"),
    "emoji": _one_script("emoji"),
    "code": code,
    "json": json_documents,
    "mixed_day": mixed_day,
    "restarts": restarts,
    "long_prompts": long_prompts,
    "short_prompts": short_prompts,
    "barge_in": barge_in,
    "sliding_window": sliding_window,
    "clock_in_prompt": clock_in_prompt,
    "gaps_in_reports": gaps_in_reports,
    "other_program": other_program,
}


def steps(kind: str, seed: int, scale: float = 1.0) -> list[Step]:
    """Return the steps of a session, the same for the same seed in every process.

    `scale` multiplies the length of the system texts: above 1 for engines that cache only long prompts, below 1 for
    small files.
    """
    return list(SESSIONS[kind](random.Random(f"{kind}:{seed}"), scale))
