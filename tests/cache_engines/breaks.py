"""Labelled breaks: a prompt is sent until it is cached, then changed in one known place, or lost by the server."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.cache_engines.sessions import Client, Clock, Message, Step
from tests.cache_engines.text import Tool
from tests.cache_engines.words import SCRIPTS, Script

Needs = Literal["plain", "lifetime", "minimum"]
Place = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One break: requests that warm the prompt, then the request to explain.

    `lose` empties the server's cache before the last request. `accept` are the causes that count as right;
    `accept_untrained` are those for a model that has seen nothing else. `place` holds part, index, and for texts the
    line, the column and the first column of the varying value, all from 1 except the index.
    """

    name: str
    steps: tuple[Step, ...]
    accept: tuple[str, ...]
    accept_untrained: tuple[str, ...]
    place: Place | None = None
    needs: Needs = "plain"
    lose: bool = False


def text_place(index: int, before: str, after: str, value_at: int | None = None) -> Place:
    """Return the place in `after` at which it first differs from `before`.

    Columns from the start of the varying value (or the word) to the first differing character are right.
    """
    limit = min(len(before), len(after))
    at = next((at for at in range(limit) if before[at] != after[at]), limit)
    line_start = after.rfind("\n", 0, at) + 1
    start = at if value_at is None else value_at
    if value_at is None:
        while start > line_start and not after[start - 1].isspace():
            start -= 1
    return {
        "part": "message",
        "index": index,
        "line": after.count("\n", 0, at) + 1,
        "column": at - line_start + 1,
        "column_from": max(start, line_start) - line_start + 1,
    }


class Maker:
    """Builds cases from fresh text, so that no case shares a prefix with another."""

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        self.rng = rng
        self.clock = clock
        self.scripts = 0

    def client(self, script: Script = "english") -> Client:
        return Client(self.rng, self.clock, script)

    def next_script(self) -> Script:
        self.scripts += 1
        return SCRIPTS[self.scripts % len(SCRIPTS)]

    def history(self, client: Client, system: str, turns: int) -> list[Message]:
        messages: list[Message] = [{"role": "system", "content": system}]
        for _ in range(turns):
            messages += [client.user(), client.assistant()]
        return [*messages, client.user()]

    def warm(self, client: Client, messages: list[Message], tools: list[Tool] | None = None) -> list[Step]:
        """Return two identical requests; the second one finds the first in the cache."""
        found = []
        for _ in range(2):
            found.append(client.step(messages, tools))
            self.clock.wait(self.rng.uniform(3, 9))
        return found

    def changed(
        self,
        name: str,
        client: Client,
        before: list[Message],
        after: list[Message],
        accept: tuple[str, ...],
        place: Place | None,
        tools: tuple[list[Tool] | None, list[Tool] | None] = (None, None),
    ) -> Case:
        """Return a case in which `before` is warm and `after` is sent; half of them continue the conversation."""
        steps = self.warm(client, before, tools[0])
        if self.rng.random() < 0.5:
            after = [*after, client.assistant(), client.user()]
        steps.append(client.step(after, tools[1]))
        self.clock.wait(self.rng.uniform(20, 60))
        return Case(name, tuple(steps), accept, accept, place)


def _insert_line(rng: random.Random, system: str, line: str) -> tuple[str, int]:
    """Insert `line` among the first lines of `system`. Returns the text and the offset of the line."""
    lines = system.split("\n")
    at = rng.choice([index for index, text in enumerate(lines[: max(3, len(lines) // 4)]) if text.strip()])
    lines.insert(at + 1, line)
    return "\n".join(lines), sum(len(text) + 1 for text in lines[: at + 1])


def edited(maker: Maker, number: int) -> Case:
    """A word is replaced, inserted or deleted in the system text or in an old user message."""
    client = maker.client(maker.next_script() if number % 2 else "english")
    messages = maker.history(client, client.writer.instructions(30), 2)
    index = 0 if number % 4 else 1
    if index:
        messages[1]["content"] = client.writer.sentences(8)
        messages[0]["content"] = client.writer.instructions(14)
        messages[2]["content"] = client.writer.sentences(30)
    after = copy.deepcopy(messages)
    before_text = str(messages[index]["content"])
    words = before_text.split(" ")
    at = maker.rng.randrange(1, max(2, len(words) // 3))
    # A number that changes would be another cause.
    while any(letter.isdigit() for letter in words[at]):
        at += 1
    if number % 3 == 0:
        words[at] = "zebra" + words[at]
    elif number % 3 == 1:
        words.insert(at, "tangerine")
    else:
        words[at] = "quarterly"
    after[index]["content"] = " ".join(words)
    place = text_place(index, before_text, str(after[index]["content"]))
    return maker.changed("edited", client, messages, after, ("edited",), place)


def spacing(maker: Maker, number: int) -> Case:
    """White space, letter case, line ends or an unseen character differ."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(30), 1)
    text = str(messages[0]["content"])
    after = copy.deepcopy(messages)
    at = text.index(" ", maker.rng.randrange(20, len(text) // 4))
    letter = next(index for index in range(at, len(text)) if text[index].isalpha() and text[index].islower())
    changes = (
        text[:at] + "  " + text[at + 1 :],
        text[:letter] + text[letter].upper() + text[letter + 1 :],
        text.replace("\n", "\r\n"),
        text[:at] + "\t" + text[at + 1 :],
        text[:at] + "\u00a0" + text[at + 1 :],
        text[:at] + "\u200b" + text[at:],
        text.replace("\n\n", "\n", 1),
        " " + text,
    )
    after[0]["content"] = changes[number % len(changes)]
    place = text_place(0, text, str(after[0]["content"]))
    return maker.changed("spacing", client, messages, after, ("spacing",), place)


Values = tuple[str, str, str]
DATES: tuple[Values, ...] = (
    ("Today is {}.", "26 November 2026", "27 November 2026"),
    ("Current date: {}", "2026-11-26", "2026-11-27"),
    ("Date: {}", "11/26/2026", "11/27/2026"),
    ("Today's date is {}.", "Thursday, November 26, 2026", "Friday, November 27, 2026"),
    ("Hoy es {}.", "26 de noviembre de 2026", "27 de noviembre de 2026"),
    ("आज की तारीख {} है।", "26 नवंबर 2026", "27 नवंबर 2026"),
    ("今天是{}。", "2026年11月26日", "2026年11月27日"),
    ("Heute ist der {}.", "26. November 2026", "27. November 2026"),
    ("இன்றைய தேதி {}.", "26 நவம்பர் 2026", "27 நவம்பர் 2026"),
    ("تاريخ اليوم {}.", "26 نوفمبر 2026", "27 نوفمبر 2026"),
)
TIMES: tuple[Values, ...] = (
    ("Current time: {}", "14:05:09", "14:06:41"),
    ("The time is {} now.", "9:14 AM", "9:17 AM"),
    ("Local time {}.", "18:20", "18:25"),
    ("now={}", "2026-11-27T10:15:02Z", "2026-11-27T10:15:48Z"),
    ("Es ist {} Uhr.", "14:05", "14:09"),
    ("समय: {}", "16:42", "16:44"),
    ("Time of call: {}", "03:12 pm", "03:19 pm"),
    ("Clock: {}", "23:59:01", "23:59:32"),
)
IDENTIFIERS: tuple[Values, ...] = (
    ("Session: {}", "3f2b8c1e-9a44-4d7b-8e21-0c5f6a7b8d90", "b71d04aa-52e3-4c19-9f60-7e8d1c2b3a45"),
    ("request_id={}", "0d9c7a52-1b3e-4f88-a6d1-5e2f4c6b8a70", "7c1e5b90-4d2a-4e63-b8f7-9a0c2d4e6f18"),
    ("Trace {} follows.", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "00f067aa-0ba9-42b7-9c11-1b7a3c5d9e02"),
    ("Conversation id: {}", "9E107D9D-372B-4682-BD81-D8E9F0A1B2C3", "E4D909C2-90D0-4B1C-A068-FFADDF22CBD0"),
)
NUMBERS: tuple[Values, ...] = (
    ("You have handled {} calls so far.", "4471", "4472"),
    ("Queue position: {}", "17", "18"),
    ("Balance: {} points", "12,408", "12,391"),
    ("Attempt {} of this campaign.", "3", "4"),
    ("Kundennummer {}.", "88213", "90554"),
    ("कतार में {} ग्राहक हैं।", "52", "61"),
)
NAMES: tuple[Values, ...] = (
    ("Customer name: {}", "Martha Ellison", "Tom Abara"),
    ("You are speaking with {} today.", "Siobhan Keane", "Victor Lindqvist"),
    ("Caller: {}", "Priya Raman", "Arjun Mehta"),
    ("Cliente: {}", "Lucía Fernández", "Iñigo Urrutia"),
    ("ग्राहक का नाम: {}", "अनिता देशमुख", "राजेश कुमार"),
    ("客户姓名：{}", "陈晓明", "刘洋"),
    ("The customer's name is {}.", "Fatima Noor", "Kwame Mensah"),
    ("User: {}", "Chidi Okonkwo", "Helga Brandt"),
)
VARIABLES: tuple[Values, ...] = (
    ("Account tier: {}", "Gold", "Platinum"),
    ("Region: {}", "north-west", "midlands"),
    ("Language of the caller: {}", "Marathi", "Bengali"),
    ("Plan: {}", "Family Unlimited", "Student Basic"),
)


def _value(name: str, values: tuple[Values, ...], accept: tuple[str, ...]) -> Callable[[Maker, int], Case]:
    """Return a maker of cases in which a value in the system text differs from the last request's."""

    def make(maker: Maker, number: int) -> Case:
        client = maker.client()
        sentence, old, new = values[number % len(values)]
        line = client.writer.word().capitalize() + ": " + sentence if number >= len(values) else sentence
        mark = "\x00"
        system, at = _insert_line(maker.rng, client.writer.instructions(30), line.format(mark))
        messages = maker.history(client, system.replace(mark, old), 1)
        after = copy.deepcopy(messages)
        after[0]["content"] = system.replace(mark, new)
        value_at = at + line.index("{}")
        place = text_place(0, str(messages[0]["content"]), str(after[0]["content"]), value_at)
        return maker.changed(name, client, messages, after, accept, place)

    return make


def order(maker: Maker, number: int) -> Case:
    """Two messages change places."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(12), 4)
    for message in messages[1:]:
        message["content"] = client.writer.sentences(5)
    after = copy.deepcopy(messages)
    first = (1, 1, 3, 3)[number % 4]
    second = (3, 5, 5, 7)[number % 4]
    after[first], after[second] = after[second], after[first]
    return maker.changed("order", client, messages, after, ("order",), _index("message", first))


def removed(maker: Maker, number: int) -> Case:
    """The oldest turns are dropped from the history."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(12), 6)
    for message in messages[1:]:
        message["content"] = client.writer.sentences(4)
    count = 2 * (1 + number % 3)
    after = [messages[0], *copy.deepcopy(messages[1 + count :])]
    return maker.changed("removed", client, messages, after, ("removed",), _index("message", 1))


def added(maker: Maker, number: int) -> Case:
    """A message is inserted after the system text or inside the history."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(12), 5)
    for message in messages[1:]:
        message["content"] = client.writer.sentences(4)
    at = (1, 3, 1, 5)[number % 4]
    role = "system" if number % 2 else "user"
    after = copy.deepcopy(messages)
    after.insert(at, {"role": role, "content": client.writer.sentences(2)})
    return maker.changed("added", client, messages, after, ("added",), _index("message", at))


def _index(part: str, index: int) -> Place:
    return {"part": part, "index": index}


def tools(maker: Maker, number: int) -> Case:
    """Tools are added, removed, reordered, reworded, dropped or given for the first time."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(20), 1)
    before = client.writer.tools(6)
    after = copy.deepcopy(before)
    at = number // 8 % 4 + 1
    kind = number % 8
    if kind == 0:
        after.insert(at, client.writer.tool("extra_lookup"))
    elif kind == 1:
        del after[at]
    elif kind == 2:
        after[at], after[at + 1] = after[at + 1], after[at]
    elif kind == 3:
        after[at]["function"]["description"] = client.writer.sentence(8, 14)
    elif kind == 4:
        properties = after[at]["function"]["parameters"]["properties"]
        properties[next(iter(properties))]["description"] = client.writer.sentence(5, 9)
    elif kind == 5:
        after[at]["function"]["name"] += "_v2"
    elif kind == 6:
        at, after = 0, []
    else:
        at, before = 0, []
    place = _index("tool", at)
    return maker.changed("tools", client, messages, messages, ("tools",), place, (before, after))


def parameters(maker: Maker, number: int) -> Case:
    """The model or the response format differs."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(25), 1)
    case = maker.changed("parameters", client, messages, messages, ("parameters",), None)
    body = case.steps[-1].body
    if number % 2:
        body["response_format"] = {"type": "json_object"}
    else:
        body["model"] = "electron-mini"
    return case


def first(maker: Maker, number: int) -> Case:
    """A prompt that shares nothing with any earlier one."""
    client = maker.client(maker.next_script())
    step = client.step(maker.history(client, client.writer.instructions(25), number % 3))
    maker.clock.wait(30)
    return Case("first", (step,), ("first",), ("first",))


def server(maker: Maker, number: int) -> Case:
    """Identical bytes are missed shortly after a hit: the server has lost them."""
    client = maker.client(maker.next_script() if number % 2 else "english")
    catalogue = client.writer.tools(4) if number % 3 == 0 else None
    messages = maker.history(client, client.writer.instructions(25), number % 4)
    steps = maker.warm(client, messages, catalogue)
    steps.append(client.step(messages, catalogue))
    maker.clock.wait(30)
    accept = ("server", "unknown")
    return Case("server", tuple(steps), accept, accept, lose=True)


def idle(maker: Maker, number: int) -> Case:
    """Identical bytes are missed after the lifetime."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(25), number % 3)
    steps = maker.warm(client, messages)
    maker.clock.wait(60 * (20, 35, 60, 45)[number % 4])
    steps.append(client.step(messages))
    maker.clock.wait(30)
    return Case("idle", tuple(steps), ("idle",), ("idle", "server", "unknown"), needs="lifetime")


def minimum(maker: Maker, number: int) -> Case:
    """Identical bytes are missed because the prompt is shorter than the server caches."""
    client = maker.client()
    messages = maker.history(client, client.writer.instructions(8 + number), 0)
    steps = maker.warm(client, messages)
    steps.append(client.step(messages))
    maker.clock.wait(30)
    accept = ("minimum", "server", "unknown")
    return Case("minimum", tuple(steps), ("minimum",), accept, needs="minimum")


KINDS: tuple[tuple[Callable[[Maker, int], Case], int], ...] = (
    (edited, 14),
    (spacing, 10),
    (_value("date", DATES, ("date",)), 10),
    (_value("time", TIMES, ("time",)), 8),
    (_value("uuid", IDENTIFIERS, ("uuid",)), 6),
    (_value("number", NUMBERS, ("number",)), 8),
    (_value("name", NAMES, ("name", "variable")), 8),
    (_value("variable", VARIABLES, ("variable", "name", "edited")), 4),
    (order, 8),
    (removed, 8),
    (added, 8),
    (tools, 24),
    (parameters, 8),
    (first, 8),
    (server, 12),
    (idle, 8),
    (minimum, 6),
)


def cases(seed: int, needs: Needs, clock: Clock) -> Iterator[Case]:
    """Yield every case that `needs` such a server; time continues on `clock`."""
    rng = random.Random(f"breaks:{seed}:{needs}")
    maker = Maker(rng, clock)
    wanted = {"idle": "lifetime", "minimum": "minimum"}
    for make, count in KINDS:
        if wanted.get(make.__name__, "plain") == needs:
            for number in range(count):
                yield make(maker, number)
