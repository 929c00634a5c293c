"""Results of tool calls: mocks by tool and argument pattern, stored as JSON, and the execution of one call."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from playground.prompt.document import Json, ToolCall
from playground.prompt.field_errors import FieldError, FieldReader, InputError, Path
from playground.prompt.json_text import JsonFault, read_json
from playground.tools.schema import check_arguments

ReplyKind: TypeAlias = Literal["fixed", "template", "error", "ask", "http", "mcp"]
KINDS: tuple[ReplyKind, ...] = get_args(ReplyKind)
"""fixed: this text · template: this text with {{argument}} in place · error: an error with this message ·
ask: the user types the result · http: what an address on this machine answers · mcp: what the tool of that name on a
tool server returns."""

MOST_DELAY_MS = 600_000.0
"""Ten minutes: longer than any caller waits."""


class FixedDelay(Struct, frozen=True, tag="fixed", tag_field="kind"):
    ms: float = 0.0

    def draw(self, chance: random.Random) -> float:
        return self.ms


class UniformDelay(Struct, frozen=True, tag="uniform", tag_field="kind"):
    """A delay between `low_ms` and `high_ms`, uniformly distributed."""

    low_ms: float
    high_ms: float

    def draw(self, chance: random.Random) -> float:
        return chance.uniform(self.low_ms, self.high_ms)


class NormalDelay(Struct, frozen=True, tag="normal", tag_field="kind"):
    """A normally distributed delay, clamped to 0 and MOST_DELAY_MS."""

    mean_ms: float
    deviation_ms: float

    def draw(self, chance: random.Random) -> float:
        return min(max(chance.gauss(self.mean_ms, self.deviation_ms), 0.0), MOST_DELAY_MS)


Delay: TypeAlias = FixedDelay | UniformDelay | NormalDelay
AT_ONCE = FixedDelay()


class MockReply(Struct, frozen=True, omit_defaults=True):
    """One reply. `text`: the result, the template, the error's message, the question to the user, the address,
    or the tool server."""

    kind: ReplyKind
    text: str = ""
    delay: Delay = AT_ONCE


ASK = MockReply("ask")


class Case(Struct, frozen=True):
    """Returns `reply` if all of `when` matches.

    Keys are paths into the arguments (`customer.id`, `items.0`). A text value is a pattern with * and ?, matched
    case-sensitively against the argument as text; other values are compared for equality.
    """

    when: Mapping[str, Json]
    reply: MockReply

    def fits(self, arguments: Mapping[str, Json]) -> bool:
        return all(_fits(pattern, argument(arguments, path)) for path, pattern in self.when.items())


class ToolMock(Struct, frozen=True, omit_defaults=True):
    """A tool's replies: the first matching case, else `otherwise`."""

    otherwise: MockReply = ASK
    cases: tuple[Case, ...] = ()

    def reply(self, arguments: Mapping[str, Json]) -> MockReply:
        return next((case.reply for case in self.cases if case.fits(arguments)), self.otherwise)


class ToolMocks(Struct, frozen=True):
    """Mocks of a prompt by tool name; a tool without one asks the user. The same `seed` gives the same delays."""

    tools: Mapping[str, ToolMock] = field(default_factory=dict)
    seed: int = 0

    def reply(self, name: str, arguments: Mapping[str, Json]) -> MockReply:
        return self.tools.get(name, ToolMock()).reply(arguments)

    def delay_s(self, name: str, reply: MockReply, nth: int) -> float:
        """Return the delay of the `nth` call of a tool (from 0) in seconds, independent of other calls."""
        return reply.delay.draw(random.Random(f"{self.seed}/{name}/{nth}")) / 1000


def all_replies(book: ToolMocks) -> list[MockReply]:
    mocks = book.tools.values()
    return [reply for mock in mocks for reply in (mock.otherwise, *(case.reply for case in mock.cases))]


def with_replies(book: ToolMocks, change: Callable[[MockReply], MockReply]) -> ToolMocks:

    def changed(mock: ToolMock) -> ToolMock:
        return ToolMock(change(mock.otherwise), tuple(Case(case.when, change(case.reply)) for case in mock.cases))

    return replace(book, tools={name: changed(mock) for name, mock in book.tools.items()})


def argument(arguments: Mapping[str, Json], path: str) -> Json | UnsetType:
    """Return the value at a path of names and indices joined by dots; UNSET if there is none: null is a value.

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
            return UNSET
    return value  # type: ignore[return-value]  # a part of JSON is JSON


def _fits(pattern: Json, value: Json | UnsetType) -> bool:
    if value is UNSET:
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


def _not_filled(template: str, arguments: Mapping[str, Json]) -> tuple[FieldError, ...]:
    names = dict.fromkeys(place[1] for place in _PLACE.finditer(template))
    missing = (name for name in names if argument(arguments, name) is UNSET)
    return tuple(FieldError((name,), "is in the template and was no argument of the call.") for name in missing)


def _filled(value: Json, arguments: Mapping[str, Json]) -> Json:
    if isinstance(value, dict):
        return {_filled_text(name, arguments): _filled(item, arguments) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, arguments) for item in value]
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value)
    found = argument(arguments, whole[1]) if whole else UNSET
    return _filled_text(value, arguments) if found is UNSET else found


def _filled_text(template: str, arguments: Mapping[str, Json]) -> str:
    def put(match: re.Match[str]) -> str:
        found = argument(arguments, match[1])
        return match[0] if found is UNSET else as_text(found)

    return _PLACE.sub(put, template)


FORMAT_KEY = "electron_playground_answers"
FORMAT_VERSION = 1
_DELAYS = {"fixed": FixedDelay, "uniform": UniformDelay, "normal": NormalDelay}


def dump(book: ToolMocks) -> str:
    """Return the mocks as indented JSON."""
    value = {FORMAT_KEY: FORMAT_VERSION, **msgspec.to_builtins(book)}
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)


def load(text: str) -> ToolMocks:
    """Parse the text. Raises InputError with every error and its field."""
    value = read_json(text)
    if isinstance(value, JsonFault):
        raise InputError.of((), f"this is not JSON: {value}.", offset=value.offset)
    reader = _Reader()
    book = reader.book(reader.mapping(value, ()))
    reader.check()
    return book


def origin(url: str) -> str:
    """Scheme, host and port of an address on this machine: what consent is given for.

    Raises InputError for other schemes, another machine, and an address with a user name or password.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError.of(("text",), f"is no address: {error}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InputError.of(("text",), "is no HTTP address.", "Write it like http://localhost:8000/balance.")
    if parts.username is not None:
        raise InputError.of(("text",), "carries a user name.", "Leave it out: it would be saved in a file.")
    if not _on_this_machine(host):
        hint = "A tool is called on localhost, 127.0.0.1 or [::1] only."
        raise InputError.of(("text",), f"{host} is not this machine.", hint)
    number = port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{number}"


def consent_key(prompt_id: str, url: str) -> str:
    """Return the key of a consent: one per prompt and origin, never stored in the prompt's file."""
    return f"{prompt_id} {origin(url)}"


def _on_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Reader(FieldReader):
    def book(self, fields: dict[str, Json]) -> ToolMocks:
        version = fields.get(FORMAT_KEY)
        if version != FORMAT_VERSION or isinstance(version, bool):
            hint = "Update Electron Playground." if isinstance(version, int) and version > FORMAT_VERSION else ""
            self.wrong((FORMAT_KEY,), f"should be {FORMAT_VERSION}.", hint)
            return ToolMocks()
        seed = fields.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool):
            self.wrong(("seed",), "should be a whole number.")
            seed = 0
        tools = self.mapping(fields.get("tools", {}), ("tools",))
        return ToolMocks({name: self.tool(item, ("tools", name)) for name, item in tools.items()}, seed)

    def tool(self, value: Json, path: Path) -> ToolMock:
        fields = self.mapping(value, path)
        cases = self.items(fields.get("cases", []), (*path, "cases"))
        return ToolMock(
            self.reply(fields.get("otherwise", {"kind": "ask"}), (*path, "otherwise")),
            tuple(self.case(item, (*path, "cases", index)) for index, item in enumerate(cases)),
        )

    def case(self, value: Json, path: Path) -> Case:
        fields = self.mapping(value, path)
        return Case(
            self.mapping(fields.get("when", {}), (*path, "when")), self.reply(fields.get("reply"), (*path, "reply"))
        )

    def reply(self, value: Json, path: Path) -> MockReply:
        fields = self.mapping(value, path)
        kind = next((known for known in KINDS if known == fields.get("kind")), None)
        if kind is None:
            self.wrong((*path, "kind"), f"should be one of {', '.join(KINDS)}.")
            return ASK
        text = self.text(fields.get("text", ""), (*path, "text"))
        if kind == "http":
            self.address(text, path)
        if kind == "mcp" and not text.strip():
            self.wrong((*path, "text"), "names no tool server.")
        return MockReply(kind, text, self.delay(fields["delay"], (*path, "delay")) if "delay" in fields else AT_ONCE)

    def address(self, text: str, path: Path) -> None:
        try:
            origin(text)
        except InputError as bad:
            for problem in bad.problems:
                self.wrong((*path, *problem.path), problem.message, problem.hint)

    def delay(self, value: Json, path: Path) -> Delay:
        fields = self.mapping(value, path)
        kind = fields.get("kind")
        if not isinstance(kind, str) or kind not in _DELAYS:
            self.wrong((*path, "kind"), f"should be one of {', '.join(_DELAYS)}.")
            return AT_ONCE
        names = _DELAYS[kind].__struct_fields__
        delay: Delay = _DELAYS[kind](*(self.amount(fields.get(name), (*path, name)) for name in names))
        if isinstance(delay, UniformDelay) and delay.low_ms > delay.high_ms:
            self.wrong((*path, "high_ms"), "should not be below low_ms.")
        return delay

    def amount(self, value: Json, path: Path) -> float:
        usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not usable or not 0 <= value <= MOST_DELAY_MS:  # type: ignore[operator]  # a number, by the line above
            self.wrong(path, f"should be a number of milliseconds from 0 to {MOST_DELAY_MS:,.0f}.")
            return 0.0
        return float(value)  # type: ignore[arg-type]


ResultKind: TypeAlias = Literal[
    "answered", "error", "bad_json", "wrong_arguments", "unknown_tool", "failed", "running", "stopped"
]
"""answered · error: configured in the mock · bad_json, wrong_arguments, unknown_tool: the call is invalid, and the
model gets the reason · failed: no result (no consent, no connection, no reply by the user) · running: not returned
yet · stopped: not returned when the loop was stopped. The last two are not sent.
"""


class ToolOutcome(Struct, frozen=True):
    """A result as sent to the model. `problems`: errors of the call's arguments, with paths inside them."""

    kind: ResultKind
    text: str
    problems: tuple[FieldError, ...] = ()


class ToolExecutionError(Exception):
    """Raised by `ask` or `fetch` if there is no result; the user and the model receive the message."""


class Question(Struct, frozen=True):
    """A call that waits for the user. `hint`: the mock's text for the user."""

    call: ToolCall
    arguments: Mapping[str, Json]
    hint: str = ""


Ask: TypeAlias = Callable[[Question], Awaitable[str]]
Fetch: TypeAlias = Callable[[str, Mapping[str, Json]], Awaitable[str]]
"""Posts the arguments as JSON to an address that `allowed` has accepted, and returns the body of the response."""


Serve: TypeAlias = Callable[[str, str, Mapping[str, Json]], Awaitable[str]]
"""Calls a tool of a tool server: (server, tool, arguments). Asks for consent itself."""


class ToolExecutor:
    """Answers calls from one book.

    `allowed` returns whether the user lets this prompt call an address, and asks them if necessary. It is called
    before every `fetch`; without it no address is called.
    """

    def __init__(
        self,
        book: ToolMocks,
        ask: Ask,
        *,
        fetch: Fetch | None = None,
        allowed: Callable[[str], Awaitable[bool]] | None = None,
        serve: Serve | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._book, self._ask, self._fetch, self._allowed, self._sleep = book, ask, fetch, allowed, sleep
        self._serve = serve

    async def answer(self, call: ToolCall, schemas: Mapping[str, Json], nth: int) -> ToolOutcome:
        """Return the outcome of a call.

        `schemas`: parameters by tool name. `nth`: index among the calls of that tool, from 0.
        """
        wrong = judge(call, schemas)
        if wrong is not None:
            return wrong
        arguments: dict[str, Json] = json.loads(call.arguments)
        reply = self._book.reply(call.name, arguments)
        delay_s = self._book.delay_s(call.name, reply, nth)
        if delay_s > 0:
            await self._sleep(delay_s)
        try:
            return await self._outcome(reply, call, arguments)
        except ToolExecutionError as failure:
            return ToolOutcome("failed", error_text(str(failure)))

    async def _outcome(self, reply: MockReply, call: ToolCall, arguments: Mapping[str, Json]) -> ToolOutcome:
        match reply.kind:
            case "fixed":
                return ToolOutcome("answered", reply.text)
            case "template":
                return ToolOutcome("answered", fill(reply.text, arguments), _not_filled(reply.text, arguments))
            case "error":
                return ToolOutcome("error", error_text(fill(reply.text, arguments) or "The tool failed."))
            case "ask":
                return ToolOutcome("answered", await self._ask(Question(call, arguments, reply.text)))
            case "http":
                return ToolOutcome("answered", await self._fetched(reply.text, arguments))

            case "mcp":
                return ToolOutcome("answered", await self._served(reply.text, call.name, arguments))

    async def _served(self, server: str, name: str, arguments: Mapping[str, Json]) -> str:
        if self._serve is None:
            raise ToolExecutionError(f"{name} was not called: no tool servers here.")
        return await self._serve(server, name, arguments)

    async def _fetched(self, url: str, arguments: Mapping[str, Json]) -> str:
        if self._fetch is None or self._allowed is None or not await self._allowed(url):
            raise ToolExecutionError(f"{url} was not called: there is no consent for it.")
        return await self._fetch(url, arguments)


def judge(call: ToolCall, schemas: Mapping[str, Json]) -> ToolOutcome | None:
    """Return the error of an invalid call, for the model; None for a valid call."""
    if call.name not in schemas:
        known = ", ".join(schemas) or "there are none"
        return ToolOutcome("unknown_tool", error_text(f"There is no tool {call.name!r}. Tools: {known}."))
    problems = check_arguments(call.arguments, schemas[call.name]).errors
    if not problems:
        return None
    words = "; ".join(str(problem) for problem in problems)
    kind: ResultKind = "bad_json" if isinstance(read_json(call.arguments), JsonFault) else "wrong_arguments"
    return ToolOutcome(kind, error_text(f"The arguments of {call.name} are wrong: {words}."), problems)


def error_text(message: str) -> str:
    """Return an error as sent to the model: one JSON object."""
    return json.dumps({"error": message}, ensure_ascii=False)
