"""Request bodies with what the guide has to say of each: built from clean prompts, one or more flaws, and near misses.

Every body is realistic JSON as a team would post it. A *flaw* is planted and labelled with the rule that must
speak; a *decoy* looks like a flaw and is none: nothing above a hint may be said of it.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.lint.words import WORDS, Words

Body = dict[str, Any]
Change = Callable[[Body, Words], str | None]
"""Changes a body in place. Answers with the rule that must speak, or None if it does not apply to this language."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One body. `expected` are the rules that must speak; others may speak as hints only."""

    name: str
    body: Body
    expected: frozenset[str]


def tool(name: str = "find_parcel", text: str = "Finds a parcel by its number.", **properties: Any) -> Body:
    """One tool in the shape that the guide asks for."""
    given = properties or {"number": {"type": "string", "description": "Parcel number."}}
    schema = {"type": "object", "properties": given, "required": list(given)}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}


def clean(words: Words, *, spoken: bool) -> Body:
    """A body that follows the guide."""
    system = f"{words.agent}\n{words.wait}" if spoken else words.clerk
    body: Body = {
        "model": "electron",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": words.question}],
        "max_tokens": 256,
        "temperature": 0.3,
    }
    if spoken:
        body |= {"stream": True, "stream_options": {"include_usage": True}, "tools": [tool()]}
    return body


def _say(body: Body, line: str) -> None:
    body["messages"][0]["content"] += f"\n{line}"


def _rules(body: Body, words: Words, times: int) -> None:
    # Long stable text without a word that any rule looks for.
    _say(body, "\n".join(f"{number}. {words.answer}" for number in range(1, times + 1)))


def no_usage(body: Body, words: Words) -> str | None:
    body["stream"] = True
    body.pop("stream_options", None)
    return "usage-off"


def empty_tools(body: Body, words: Words) -> str | None:
    body["tools"] = []
    return "empty-tools"


def no_filler(body: Body, words: Words) -> str | None:
    body["messages"][0]["content"] = words.agent
    body |= {"stream": True, "stream_options": {"include_usage": True}, "tools": [tool()]}
    return "no-filler"


def variable_first(body: Body, words: Words) -> str | None:
    _rules(body, words, 40)
    body["messages"][0]["content"] = "{{caller_name}}\n\n" + body["messages"][0]["content"]
    return "prefix-order"


def clock_first(body: Body, words: Words) -> str | None:
    _rules(body, words, 40)
    body["messages"][0]["content"] = "Current time: 2026-08-14 10:22:31\n\n" + body["messages"][0]["content"]
    return "prefix-order"


def session_first(body: Body, words: Words) -> str | None:
    _rules(body, words, 40)
    line = "Session id: 9db74058-2421-4c0e-8d7a-5d1f0c9e7b11"
    body["messages"][0]["content"] = f"{line}\n\n" + body["messages"][0]["content"]
    return "prefix-order"


def placeholder_left(body: Body, words: Words) -> str | None:
    _say(body, "{company_name} · <caller_name>")
    return "placeholder-unfilled"


def json_in_words(body: Body, words: Words) -> str | None:
    _say(body, words.json)
    return "json-not-set"


def json_unsaid(body: Body, words: Words) -> str | None:
    body["response_format"] = {"type": "json_object"}
    return "json-not-said"


def seed_fixture(body: Body, words: Words) -> str | None:
    body |= {"seed": 7, "user": "golden-test-parcels"}
    return "seed-in-fixture"


def long_description(body: Body, words: Words) -> str | None:
    text = "Finds a parcel by its number. " + "Use it when the caller names a number and not for anything else. " * 8
    body["tools"] = [tool(text=text.strip())]
    return "tool-description"


def example_in_tool(body: Body, words: Words) -> str | None:
    body["tools"] = [tool(number={"type": "string", "description": "Parcel number, e.g. P-1204-77."})]
    return "tool-examples"


def bare_parameter(body: Body, words: Words) -> str | None:
    body["tools"] = [tool(number={"type": "string"})]
    return "tool-undescribed"


def repeated_schema(body: Body, words: Words) -> str | None:
    fields = ("street", "house", "city", "district", "state", "country", "postcode", "landmark")
    address = {
        "type": "object",
        "description": "Address.",
        "properties": {name: {"type": "string", "description": f"The {name} of the address."} for name in fields},
    }
    body["tools"] = [tool(name, "Changes a delivery.", address=address) for name in ("move", "ship", "fetch", "bill")]
    return "tool-repeated"


def big_catalogue(body: Body, words: Words) -> str | None:
    body["tools"] = [tool(f"find_{number}", "Finds one kind of thing by its number.") for number in range(48)]
    return "tool-catalogue"


def no_cap(body: Body, words: Words) -> str | None:
    del body["max_tokens"]
    return "output-cap"


def refused(body: Body, words: Words) -> str | None:
    body["n"] = 3
    return "refused"


def too_long(body: Body, words: Words) -> str | None:
    body["max_tokens"] = 32_768
    return "context-full"


def circle(body: Body, words: Words) -> str | None:
    body["tools"] = [tool()]
    for number in range(4):
        call = {"id": f"call_{number}", "type": "function"}
        call["function"] = {"name": "find_parcel", "arguments": '{"number":"P-1"}'}  # type: ignore[assignment]
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": '{"error": "busy"}'},
        ]
    return "chain-rounds"


def full_talk(body: Body, words: Words) -> str | None:
    for _ in range(96):
        body["messages"] += [
            {"role": "assistant", "content": words.answer},
            {"role": "user", "content": words.question},
        ]
    return "history-grows"


def switched(body: Body, words: Words) -> str | None:
    other = WORDS[0] if words.code != "en" else WORDS[5]
    body["messages"] += [{"role": "assistant", "content": other.answer}, {"role": "user", "content": words.question}]
    return "language-kept"


def audio_asked(body: Body, words: Words) -> str | None:
    if not words.audio or "tools" in body:
        return None
    body["messages"][-1]["content"] = words.audio
    return "other-product"


def audio_field(body: Body, words: Words) -> str | None:
    body["modalities"] = ["text", "audio"]
    return "other-product"


FLAWS: tuple[Change, ...] = (
    *(
        no_usage,
        empty_tools,
        no_filler,
        variable_first,
        clock_first,
        session_first,
        placeholder_left,
        json_in_words,
        json_unsaid,
    ),
    *(seed_fixture, long_description, example_in_tool, bare_parameter, repeated_schema, big_catalogue, no_cap),
    *(refused, too_long, circle, full_talk, switched, audio_asked, audio_field),
)


def variable_last(body: Body, words: Words) -> None:
    body["messages"][-1]["content"] += "\n{{question}}"


def variable_ends_system(body: Body, words: Words) -> None:
    _rules(body, words, 30)
    _say(body, "{{caller_name}} · {{plan}}")


def json_forbidden(body: Body, words: Words) -> None:
    _say(body, words.no_json)


def json_file(body: Body, words: Words) -> None:
    _say(body, words.file)


def json_from_tool(body: Body, words: Words) -> None:
    _say(body, "The find_parcel tool returns JSON with a status field.")


def json_array(body: Body, words: Words) -> None:
    body["messages"][-1]["content"] += " Return a JSON array of strings."


def json_mode_said(body: Body, words: Words) -> None:
    _say(body, words.json)
    body["response_format"] = {"type": "json_object"}


def seed_cold(body: Body, words: Words) -> None:
    body |= {"seed": 7, "temperature": 0, "user": "golden-test"}


def seed_of_a_contest(body: Body, words: Words) -> None:
    body |= {"seed": 7, "user": "latest-contest"}


def date_of_a_policy(body: Body, words: Words) -> None:
    _say(body, "The policy holds from 2024-01-01 on. Timestamps look like 2024-01-01T00:00:00Z.")
    _rules(body, words, 30)


def opening_hours(body: Body, words: Words) -> None:
    _say(body, "The office is open from 9:00 to 18:30.")
    _rules(body, words, 30)


def abbreviations(body: Body, words: Words) -> None:
    body["tools"] = [tool(text="Finds a parcel via Dr. Rao's index, i.e. by number.")]


def choices(body: Body, words: Words) -> None:
    body["tools"] = [tool(state={"type": "string", "enum": ["open", "lost", "done"]})]


def transcript(body: Body, words: Words) -> None:
    _say(body, "You are given the transcript of the call. The caller's audio was transcribed beforehand.")


def read_aloud(body: Body, words: Words) -> None:
    _say(body, "What you write is converted to speech and read aloud. You cannot send audio files.")


def no_tools_streamed(body: Body, words: Words) -> None:
    body.pop("tools", None)
    body |= {"stream": True, "stream_options": {"include_usage": True}}


def tools_not_streamed(body: Body, words: Words) -> None:
    body["tools"] = [tool()]
    body.pop("stream", None)
    body.pop("stream_options", None)


def two_calls(body: Body, words: Words) -> None:
    body["tools"] = [tool()]
    for number in range(3):
        call = {"id": f"call_{number}", "type": "function"}
        call["function"] = {"name": "find_parcel", "arguments": f'{{"number":"P-{number}"}}'}  # type: ignore[assignment]
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": '{"state": "open"}'},
        ]


def translator(body: Body, words: Words) -> None:
    other = WORDS[0] if words.code != "en" else WORDS[5]
    _say(body, "You translate between the caller and the office.")
    body["messages"] += [{"role": "assistant", "content": other.answer}]


def short_talk(body: Body, words: Words) -> None:
    for _ in range(6):
        body["messages"] += [
            {"role": "assistant", "content": words.answer},
            {"role": "user", "content": words.question},
        ]


DECOYS: tuple[Callable[[Body, Words], None], ...] = (
    *(variable_last, variable_ends_system, json_forbidden, json_file, json_from_tool, json_array, json_mode_said),
    *(seed_cold, seed_of_a_contest, date_of_a_policy, opening_hours, abbreviations, choices, transcript, read_aloud),
    *(no_tools_streamed, tools_not_streamed, two_calls, translator, short_talk),
)


def samples() -> Iterator[Sample]:
    """All of them, the same at every call: clean ones, each flaw and each decoy in each language, and mixtures."""
    for words in WORDS:
        for spoken in (True, False):
            yield Sample(
                f"{words.code} clean {'spoken' if spoken else 'written'}", clean(words, spoken=spoken), frozenset()
            )
        for flaw in FLAWS:
            yield from _flawed(words, (flaw,), spoken=flaw is not audio_asked and words.code != "en")
        for decoy in DECOYS:
            body = clean(words, spoken=decoy is not no_tools_streamed)
            decoy(body, words)
            yield Sample(f"{words.code} decoy {decoy.__name__}", body, frozenset())
    yield from _mixtures()


def _mixtures() -> Iterator[Sample]:
    chance = random.Random(6)
    apart = [flaw for flaw in FLAWS if flaw not in _CLASHING]
    for number in range(60):
        words = WORDS[number % len(WORDS)]
        for sample in _flawed(words, tuple(chance.sample(apart, 3)), spoken=bool(number % 2)):
            chance.choice((variable_last, json_file, read_aloud, opening_hours))(sample.body, words)
            yield sample


_CLASHING: tuple[Change, ...] = (
    *(empty_tools, no_filler, long_description, example_in_tool, bare_parameter, repeated_schema, big_catalogue),
    *(
        audio_asked,
        json_in_words,
        json_unsaid,
        variable_first,
        clock_first,
        session_first,
        placeholder_left,
        full_talk,
        circle,
    ),
    *(too_long, no_cap),
)


def _flawed(words: Words, flaws: tuple[Change, ...], *, spoken: bool) -> Iterator[Sample]:
    body = copy.deepcopy(clean(words, spoken=spoken))
    expected = [flaw(body, words) for flaw in flaws]
    if all(expected):
        name = f"{words.code} {'+'.join(flaw.__name__ for flaw in flaws)}"
        yield Sample(name, json.loads(json.dumps(body)), frozenset(rule for rule in expected if rule))
