"""Mock results of tool calls: replies by tool and argument pattern, with delays."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

from playground.dataclass import dataclass
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
    """A constant delay."""

    ms: float = 0.0

    def draw(self, chance: random.Random) -> float:
        """Return the delay in milliseconds."""
        return self.ms


@dataclass(frozen=True, slots=True)
class UniformDelay:
    """A delay between `low_ms` and `high_ms`, uniformly distributed."""

    low_ms: float
    high_ms: float

    def draw(self, chance: random.Random) -> float:
        """Return the delay in milliseconds."""
        return chance.uniform(self.low_ms, self.high_ms)


@dataclass(frozen=True, slots=True)
class NormalDelay:
    """A normally distributed delay, clamped to 0 and MOST_DELAY_MS."""

    mean_ms: float
    deviation_ms: float

    def draw(self, chance: random.Random) -> float:
        """Return the delay in milliseconds."""
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
    """Returns `reply` if all of `when` matches.

    Keys are paths into the arguments (`customer.id`, `items.0`). A text value is a pattern with * and ?, matched
    case-sensitively against the argument as text; other values are compared for equality.
    """

    when: Mapping[str, Json]
    reply: MockReply

    def fits(self, arguments: Mapping[str, Json]) -> bool:
        """Return whether these arguments match."""
        return all(_fits(pattern, argument(arguments, path)) for path, pattern in self.when.items())


@dataclass(frozen=True, slots=True)
class ToolMock:
    """A tool's replies: the first matching case, else `otherwise`."""

    otherwise: MockReply = ASK
    cases: tuple[Case, ...] = ()

    def reply(self, arguments: Mapping[str, Json]) -> MockReply:
        """Return the reply to these arguments."""
        return next((case.reply for case in self.cases if case.fits(arguments)), self.otherwise)


@dataclass(frozen=True, slots=True)
class ToolMocks:
    """Mocks of a prompt by tool name; a tool without one asks the user. The same `seed` gives the same delays."""

    tools: Mapping[str, ToolMock] = field(default_factory=dict)
    seed: int = 0

    def reply(self, name: str, arguments: Mapping[str, Json]) -> MockReply:
        """Return the reply to a call."""
        return self.tools.get(name, ToolMock()).reply(arguments)

    def delay_s(self, name: str, reply: MockReply, nth: int) -> float:
        """Return the delay of the `nth` call of a tool (from 0) in seconds, independent of other calls."""
        return reply.delay.draw(random.Random(f"{self.seed}/{name}/{nth}")) / 1000


class _Absent:
    """Marks a missing argument; null is not missing."""


ABSENT = _Absent()


def argument(arguments: Mapping[str, Json], path: str) -> Json | _Absent:
    """Return the value at a path of names and indices joined by dots, or ABSENT.

    An argument whose name contains the dots has precedence.
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
    """Return the template with the arguments inserted.

    The placeholder of a missing argument stays in the text. A JSON template stays JSON: values replace placeholders in
    its strings, and a string that consists of one `{{argument}}` becomes that argument with its type.
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
