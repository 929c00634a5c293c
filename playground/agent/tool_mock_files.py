"""Tool mocks as JSON. Invalid values are refused with their field."""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Mapping
from urllib.parse import urlsplit

from playground.agent.tool_mocks import (
    AT_ONCE,
    KINDS,
    MOST_DELAY_MS,
    Case,
    Delay,
    FixedDelay,
    MockReply,
    NormalDelay,
    ToolMock,
    ToolMocks,
    UniformDelay,
)
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.tools.json_position import JsonFault, read_json

FORMAT_KEY = "electron_playground_answers"
FORMAT_VERSION = 1
_DELAYS: Mapping[str, tuple[str, ...]] = {
    "fixed": ("ms",),
    "uniform": ("low_ms", "high_ms"),
    "normal": ("mean_ms", "deviation_ms"),
}


def dump(book: ToolMocks) -> str:
    """Return the mocks as indented JSON."""
    tools: dict[str, Json] = {name: _tool_fields(answer) for name, answer in book.tools.items()}
    value = {FORMAT_KEY: FORMAT_VERSION, "seed": book.seed, "tools": tools}
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)


def load(text: str) -> ToolMocks:
    """Parse the text. Raises InputError with every error and its field."""
    value = read_json(text)
    if isinstance(value, JsonFault):
        raise InputError(FieldError((), f"this is not JSON: {value}.", offset=value.offset))
    reader = _Reader()
    book = reader.book(reader.mapping(value, ()))
    if reader.problems:
        raise InputError(*reader.problems)
    return book


def origin(url: str) -> str:
    """Scheme, host and port of an address on this machine: what consent is given for.

    Raises InputError for other schemes, another machine, and an address with a user name or password.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError(FieldError(("text",), f"is no address: {error}.")) from None
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(FieldError(("text",), "is no HTTP address.", "Write it like http://localhost:8000/balance."))
    if parts.username is not None:
        raise InputError(FieldError(("text",), "carries a user name.", "Leave it out: it would be saved in a file."))
    if not _on_this_machine(host):
        hint = "A tool is called on localhost, 127.0.0.1 or [::1] only."
        raise InputError(FieldError(("text",), f"{host} is not this machine.", hint))
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


def _tool_fields(answer: ToolMock) -> Json:
    fields: dict[str, Json] = {"otherwise": _reply_fields(answer.otherwise)}
    if answer.cases:
        fields["cases"] = [{"when": dict(case.when), "reply": _reply_fields(case.reply)} for case in answer.cases]
    return fields


def _reply_fields(reply: MockReply) -> Json:
    fields: dict[str, Json] = {"kind": reply.kind}
    if reply.text:
        fields["text"] = reply.text
    if reply.delay != AT_ONCE:
        fields["delay"] = _delay_fields(reply.delay)
    return fields


def _delay_fields(delay: Delay) -> Json:
    match delay:
        case FixedDelay():
            return {"kind": "fixed", "ms": delay.ms}
        case UniformDelay():
            return {"kind": "uniform", "low_ms": delay.low_ms, "high_ms": delay.high_ms}
        case NormalDelay():
            return {"kind": "normal", "mean_ms": delay.mean_ms, "deviation_ms": delay.deviation_ms}


class _Reader:
    """Reads fields and collects errors, so that the user sees all of them at once."""

    def __init__(self) -> None:
        self.problems: list[FieldError] = []

    def wrong(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(FieldError(path, message, hint))

    def mapping(self, value: Json, path: Path) -> dict[str, Json]:
        if isinstance(value, dict):
            return value
        self.wrong(path, "should be an object.")
        return {}

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
        cases = fields.get("cases", [])
        if not isinstance(cases, list):
            self.wrong((*path, "cases"), "should be a list.")
            cases = []
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
            return MockReply()
        text = fields.get("text", "")
        if not isinstance(text, str):
            self.wrong((*path, "text"), "should be text.")
            text = ""
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
        numbers = [self.amount(fields.get(name), (*path, name)) for name in _DELAYS[kind]]
        if kind == "fixed":
            return FixedDelay(numbers[0])
        if kind == "normal":
            return NormalDelay(*numbers)
        if numbers[0] > numbers[1]:
            self.wrong((*path, "high_ms"), "should not be below low_ms.")
        return UniformDelay(*numbers)

    def amount(self, value: Json, path: Path) -> float:
        usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not usable or not 0 <= value <= MOST_DELAY_MS:  # type: ignore[operator]  # a number, by the line above
            self.wrong(path, f"should be a number of milliseconds from 0 to {MOST_DELAY_MS:,.0f}.")
            return 0.0
        return float(value)  # type: ignore[arg-type]
