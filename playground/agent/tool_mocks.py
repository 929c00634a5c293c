"""What a tool call returns while playing: replies by tool and by argument pattern, their text, and their delay."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

from playground.prompt.document import Json

ReplyKind: TypeAlias = Literal["fixed", "template", "error", "ask", "http", "mcp"]
KINDS: tuple[ReplyKind, ...] = get_args(ReplyKind)
"""fixed: this text · template: this text with {{argument}} in place · error: an error with this message ·
ask: the user types the result · http: what an address on this machine answers · mcp: what the tool of that name on a
tool server returns."""

MOST_DELAY_MS = 600_000.0
"""Ten minutes: longer than any caller waits."""


@dataclass(frozen=True, slots=True)
class FixedDelay:
    """Always `ms` milliseconds."""

    ms: float = 0.0

    def draw(self, chance: random.Random) -> float:
        """Milliseconds."""
        return self.ms


@dataclass(frozen=True, slots=True)
class UniformDelay:
    """Anything from `low_ms` to `high_ms`, all equally likely."""

    low_ms: float
    high_ms: float

    def draw(self, chance: random.Random) -> float:
        """Milliseconds."""
        return chance.uniform(self.low_ms, self.high_ms)


@dataclass(frozen=True, slots=True)
class NormalDelay:
    """Normally distributed, clamped to 0 and MOST_DELAY_MS."""

    mean_ms: float
    deviation_ms: float

    def draw(self, chance: random.Random) -> float:
        """Milliseconds."""
        return min(max(chance.gauss(self.mean_ms, self.deviation_ms), 0.0), MOST_DELAY_MS)


Delay: TypeAlias = FixedDelay | UniformDelay | NormalDelay
AT_ONCE = FixedDelay()


@dataclass(frozen=True, slots=True)
class MockReply:
    """One reply. `text`: the result, the template, the error's message, the question to the user, the address,
    or the tool server."""

    kind: ReplyKind = "ask"
    text: str = ""
    delay: Delay = AT_ONCE


ASK = MockReply()


@dataclass(frozen=True, slots=True)
class Case:
    """`reply` where all of `when` holds.

    Its keys are paths into the arguments (`customer.id`, `items.0`). A text is a pattern with * and ?, and is matched
    against the value as text, upper and lower case apart; any other value is matched by being equal.
    """

    when: Mapping[str, Json]
    reply: MockReply

    def fits(self, arguments: Mapping[str, Json]) -> bool:
        """Whether these arguments are the ones meant."""
        return all(_fits(pattern, argument(arguments, path)) for path, pattern in self.when.items())


@dataclass(frozen=True, slots=True)
class ToolMock:
    """A tool's replies: the first case that fits, else `otherwise`."""

    otherwise: MockReply = ASK
    cases: tuple[Case, ...] = ()

    def reply(self, arguments: Mapping[str, Json]) -> MockReply:
        """The reply to these arguments."""
        return next((case.reply for case in self.cases if case.fits(arguments)), self.otherwise)


@dataclass(frozen=True, slots=True)
class ToolMocks:
    """A prompt's answers, by the tool's name; a tool that is not in it asks. Same `seed`, same delays."""

    tools: Mapping[str, ToolMock] = field(default_factory=dict)
    seed: int = 0

    def reply(self, name: str, arguments: Mapping[str, Json]) -> MockReply:
        """The reply to a call."""
        return self.tools.get(name, ToolMock()).reply(arguments)

    def delay_s(self, name: str, reply: MockReply, nth: int) -> float:
        """Seconds that the `nth` call of a tool (from 0) takes, whatever else is called beside it."""
        return reply.delay.draw(random.Random(f"{self.seed}/{name}/{nth}")) / 1000


class _Absent:
    """What stands for an argument that is not there: null is one that is."""


ABSENT = _Absent()


def argument(arguments: Mapping[str, Json], path: str) -> Json | _Absent:
    """The value at a path of names and list places, joined by dots, or ABSENT.

    An argument whose own name has the dots is found first.
    """
    if path in arguments:
        return arguments[path]
    value: object = arguments
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value  # type: ignore[return-value]  # a part of JSON is JSON


def _fits(pattern: Json, value: Json | _Absent) -> bool:
    if isinstance(value, _Absent):
        return False
    if isinstance(pattern, str):
        return fnmatchcase(as_text(value), pattern)
    # In Python True equals 1; in JSON it does not.
    return isinstance(pattern, bool) == isinstance(value, bool) and pattern == value


def as_text(value: Json) -> str:
    """Return text unchanged, other values as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_PLACE = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")


def fill(template: str, arguments: Mapping[str, Json]) -> str:
    """The template with the arguments in place. A missing argument's placeholder stays in the text.

    A template that is JSON stays JSON: values replace placeholders in its strings, and a string that is nothing but one
    `{{argument}}` becomes that argument with its type.
    """
    if "{{" not in template:
        return template
    try:
        value: Json = json.loads(template)
    except (ValueError, RecursionError):
        return _filled_text(template, arguments)
    return json.dumps(_filled(value, arguments), ensure_ascii=False)


def _filled(value: Json, arguments: Mapping[str, Json]) -> Json:
    if isinstance(value, dict):
        return {_filled_text(name, arguments): _filled(item, arguments) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, arguments) for item in value]
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value)
    found = argument(arguments, whole[1]) if whole else ABSENT
    return _filled_text(value, arguments) if isinstance(found, _Absent) else found


def _filled_text(template: str, arguments: Mapping[str, Json]) -> str:
    def put(match: re.Match[str]) -> str:
        found = argument(arguments, match[1])
        return match[0] if isinstance(found, _Absent) else as_text(found)

    return _PLACE.sub(put, template)
