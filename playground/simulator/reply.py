"""Simulated answers: recognisable as such, and equal for the same request and seed."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from playground import asset
from playground.simulator.engine import pieces


@dataclass(frozen=True)
class Sentences:
    """Sentences of one language. `space` is the separator between them; `fillers` precede calls."""

    greeting: str
    simulated: str
    asked: str
    from_tool: str
    middle: Sequence[str]
    closing: Sequence[str]
    fillers: Sequence[str]
    space: str = " "


@cache
def _phrases(language: str) -> Sentences:
    rows = json.loads(asset("phrases/simulator.json").read_text("utf-8"))
    return Sentences(**rows[language])


DEFAULT_MAX_TOKENS = 4096


@dataclass
class Call:
    """A tool call of the answer."""

    id: str
    name: str
    arguments: str


@dataclass
class SimulatedReply:
    """A whole answer, before it is streamed."""

    tokens: list[str]
    calls: list[Call] = field(default_factory=list)
    finish_reason: str = "stop"

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def completion_tokens(self) -> int:
        """Return the number of tokens of the text and of the calls."""
        return len(self.tokens) + sum(
            len(pieces(call.name)) + len(pieces(call.arguments)) + CALL_TOKENS for call in self.calls
        )


def compose(fields: Mapping[str, Any]) -> SimulatedReply:
    """Return the answer to a valid request."""
    chance = random.Random(_seed(fields))
    question = _last(fields["messages"], "user")
    phrases = _phrases(_language(question))
    wanted = _wanted_tools(fields, question)
    if wanted:
        return _calling(fields, wanted, question, phrases.fillers, chance)
    if (fields.get("response_format") or {}).get("type") == "json_object":
        return _limited(fields, _json_answer(question))
    return _limited(fields, _answer(fields["messages"], question, phrases, chance))


def _seed(fields: Mapping[str, Any]) -> int:
    same = {key: fields.get(key) for key in ("messages", "tools", "tool_choice", "seed", "response_format")}
    text = json.dumps(same, sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _last(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    for message in reversed(messages):
        if message["role"] == role:
            return message.get("content") or ""
    return ""


_SCRIPTS = (
    ("hindi", re.compile(r"[\u0900-\u097f]")),
    ("tamil", re.compile(r"[\u0b80-\u0bff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff]")),
    ("hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("japanese", re.compile(r"[\u3040-\u30ff]")),
    ("chinese", re.compile(r"[\u3400-\u9fff]")),
    ("korean", re.compile(r"[\uac00-\ud7ff]")),
    ("spanish", re.compile(r"[¿¡ñ]|\b(qué|cómo|por favor|mi factura)\b", re.IGNORECASE)),
)


def _language(question: str) -> str:
    found = [(len(pattern.findall(question)), name) for name, pattern in _SCRIPTS]
    count, name = max(found, key=lambda pair: pair[0])
    return name if count else "english"


_NAMED = re.compile(r"^([^\W\d_][^\n:{}]{0,38}?)\s+(?:asks|says|sagt|pregunta)\s*:", re.MULTILINE)


def _answer(messages: Sequence[Mapping[str, Any]], question: str, phrases: Sentences, chance: random.Random) -> str:
    named = _NAMED.search(question)
    asked = " ".join(question[named.end() :].split() if named else question.split())
    if len(asked) > 90:
        asked = asked[:88].rsplit(" ", 1)[0] + "…"
    parts = [phrases.greeting.format(name=f" {named[1].split()[0]}" if named else "")]
    parts.append(phrases.simulated)
    if messages[-1]["role"] == "tool":
        parts.append(phrases.from_tool.format(result=" ".join((messages[-1].get("content") or "").split())[:200]))
    elif asked:
        parts.append(phrases.asked.format(question=asked))
    parts += chance.sample(phrases.middle, 3)
    parts.append(chance.choice(phrases.closing))
    return phrases.space.join(part for part in parts if part)


def _json_answer(question: str) -> str:
    value = {"simulated": True, "answer": "This is a simulated answer in JSON mode.", "question": question[:200]}
    return json.dumps(value, ensure_ascii=False, indent=1)


def _limited(fields: Mapping[str, Any], text: str) -> SimulatedReply:
    stop = fields.get("stop")
    ends = [text.find(word) for word in ([stop] if isinstance(stop, str) else stop or ()) if word]
    found = [end for end in ends if end >= 0]
    tokens = pieces(text[: min(found)] if found else text)
    limit = fields.get("max_tokens") or DEFAULT_MAX_TOKENS
    if len(tokens) > limit:
        return SimulatedReply(tokens[:limit], finish_reason="length")
    return SimulatedReply(tokens)


def _wanted_tools(fields: Mapping[str, Any], question: str) -> list[Mapping[str, Any]]:
    """Return the functions to call: the requested one, or those whose names match the question; none to answer with
    text.
    """
    choice, functions = fields.get("tool_choice") or "auto", [tool["function"] for tool in fields.get("tools") or ()]
    if not functions or choice == "none":
        return []
    if isinstance(choice, dict):
        return [next(function for function in functions if function["name"] == choice["function"]["name"])]
    if fields["messages"][-1]["role"] == "tool":
        return []
    asked = _words(question)
    best = max(functions, key=lambda function: len(asked & _tool_words(function)))
    if choice != "required" and not asked & _tool_words(best):
        return []
    if fields.get("parallel_tool_calls") is False:
        return [best]
    return [best, *_beside(best, functions, asked)]


def _beside(
    best: Mapping[str, Any], functions: Sequence[Mapping[str, Any]], asked: frozenset[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield further functions to call in the same turn: each name matches a word of the question that no earlier one
    matches.
    """
    said = _tool_words(best)
    for function in functions:
        if asked & _words(function["name"].replace("_", " ")) - said:
            yield function
            said |= _tool_words(function)


_COMMON = frozenset(
    re.findall(r"\w+", "the and for with from that this what when how your you are can has have was not get its an of")
)


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in re.findall(r"[^\W_]{3,}", text.lower()) if word not in _COMMON)


def _tool_words(function: Mapping[str, Any]) -> frozenset[str]:
    return _words(f"{function['name']} {function.get('description', '')}".replace("_", " "))


def _calling(
    fields: Mapping[str, Any],
    functions: Sequence[Mapping[str, Any]],
    question: str,
    fillers: Sequence[str],
    chance: random.Random,
) -> SimulatedReply:
    calls = [_call(function, question, chance) for function in functions]
    filler = chance.choice(fillers) if _asks_for_filler(fields["messages"]) else ""
    return _cut(fields, SimulatedReply(pieces(filler), calls, "tool_calls"))


CALL_TOKENS = 4
"""Tokens of a call in addition to its name and arguments."""


def _cut(fields: Mapping[str, Any], reply: SimulatedReply) -> SimulatedReply:
    """Return the reply within max_tokens: a call that does not fit has incomplete arguments, later ones are missing."""
    limit = fields.get("max_tokens") or DEFAULT_MAX_TOKENS
    if reply.completion_tokens <= limit:
        return reply
    left = limit - len(reply.tokens)
    calls: list[Call] = []
    for call in reply.calls:
        left -= CALL_TOKENS + len(pieces(call.name))
        if left < 0:
            break
        arguments = pieces(call.arguments)
        calls.append(Call(call.id, call.name, "".join(arguments[:left])))
        left -= len(arguments)
        if left < 0:
            break
    return SimulatedReply(reply.tokens[:limit], calls, "length")


def _call(function: Mapping[str, Any], question: str, chance: random.Random) -> Call:
    arguments = json.dumps(_arguments(function, question), ensure_ascii=False)
    return Call(f"call_{chance.getrandbits(48):012x}", function["name"], arguments)


def _asks_for_filler(messages: Sequence[Mapping[str, Any]]) -> bool:
    system = " ".join((message.get("content") or "") for message in messages if message["role"] == "system").lower()
    return "acknowledge" in system or "before using any tool" in system or "filler" in system


def _arguments(function: Mapping[str, Any], question: str) -> dict[str, Any]:
    schema = function.get("parameters")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {
        name: _argument(name, spec if isinstance(spec, dict) else {}, question) for name, spec in properties.items()
    }


def _argument(name: str, spec: Mapping[str, Any], question: str) -> Any:
    choices = spec.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    kind = spec.get("type")
    if kind in ("integer", "number"):
        number = re.search(r"(?<!\d)\d{1,15}(?!\d)", question)
        return int(number[0]) if number else 1
    if kind == "boolean":
        return True
    if kind == "array":
        return []
    if kind == "object":
        return {}
    code = re.search(r"\b[A-Z]{2,}-?\d+\b", question)
    return (
        code[0] if code and ("id" in name or "account" in name or "number" in name) else " ".join(question.split())[:60]
    )
