"""What a program lost, beside an ideal prefix cache that also keeps what the server generated."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest

from playground.prefix_cache.found_spans import PromptUsage
from playground.prefix_cache.losses import ProgramLosses, program_losses
from playground.prompt.document import Json

Body = dict[str, Any]
Sent = list[tuple[Body, str]]
"""Request bodies, each with the text of the answer as it is in the history of the next one."""
_TOKEN = re.compile(r"[^\W\d_]{1,5}|\d{1,3}|\s+|[^\w\s]|_")
_WORDS = ["ledger", "customer", "invoice", "refund", "shipping", "policy", "checks", "every", "order", "before", "noon"]


def _text(rng: random.Random, sentences: int) -> str:
    return " ".join(" ".join(rng.choices(_WORDS, k=10)).capitalize() + "." for _ in range(sentences))


def _rendered(message: dict[str, Any]) -> str:
    calls = "".join(json.dumps(call["function"]) for call in message.get("tool_calls") or ())
    return f"<{message['role']}>{message.get('content') or ''}{calls}<end>"


def _served(sent: Sent, *, answers: bool = True) -> list[PromptUsage]:
    """Return what an ideal cache reports. `answers`: it also keeps what it generates."""
    known: set[int] = set()
    usage = []
    for body, answer in sent:
        prompt = json.dumps(body.get("tools", [])) + "".join(map(_rendered, body["messages"])) + "<assistant>"
        hits, prefix, keys = 0, 0, []
        tokens = _TOKEN.findall(prompt)
        for token in [*tokens, *_TOKEN.findall(answer.removeprefix("<assistant>") if answers else "")]:
            prefix = hash((prefix, token))
            keys.append(prefix)
        while hits < len(tokens) - 1 and keys[hits] in known:
            hits += 1
        known.update(keys)
        usage.append(PromptUsage(len(tokens), hits))
    return usage


def _losses(sent: Sent, usage: list[PromptUsage]) -> ProgramLosses:
    return program_losses([body for body, _ in sent], range(len(sent)), dict(enumerate(usage)))


def _fresh(usage: list[PromptUsage]) -> int:
    return sum(one.fresh or 0 for one in usage)


def _agent(rng: random.Random, turns: int = 8, tools: int = 0) -> Sent:
    """Return three sessions of tool calls, one request of each in turn."""
    system = {"role": "system", "content": "\n".join(f"{at}. {_text(rng, 1)}" for at in range(20))}
    keys = ("query", "path", "limit", "city", "reason")
    definitions = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "parameters": {"type": "object", "properties": {key: {"description": _text(rng, 1)} for key in keys}},
            },
        }
        for number in range(tools)
    ]
    histories: list[list[dict[str, Any]]] = [[system, {"role": "user", "content": _text(rng, 2)}] for _ in range(3)]
    sent: Sent = []
    for turn in range(turns):
        for number, history in enumerate(histories):
            arguments = json.dumps({"query": _text(rng, 1), "limit": turn, "note": _text(rng, 2)})
            call = {"id": f"call_{number}_{turn}", "type": "function"}
            call["function"] = {"name": "tool_0", "arguments": arguments}  # type: ignore[assignment]
            answer = {"role": "assistant", "content": _text(rng, 4), "tool_calls": [call]}
            body: Body = {"model": "m", "messages": deepcopy(history)}
            if definitions:
                body["tools"] = deepcopy(definitions)
            sent.append((body, _rendered(answer)))
            history += [answer, {"role": "tool", "tool_call_id": call["id"], "content": _text(rng, 2)}]
    return sent


def _alternating_rule(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng)
    sent = deepcopy(fixed)
    for body, _ in sent:
        if rng.random() < 0.5:
            system = body["messages"][0]
            system["content"] = system["content"].replace("\n2. ", "\n2. Always be brief. ")
    return sent, fixed


def _rewritten_arguments(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng)
    sent = deepcopy(fixed)
    for at, (body, _) in enumerate(sent):
        for message in body["messages"] if at // 3 % 2 else ():
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), indent=1)
    return sent, fixed


def _three_spellings(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng)[::3]
    sent = deepcopy(fixed)
    spellings: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"sort_keys": True, "indent": 1}]
    for at, (body, _) in enumerate(sent):
        for call in (call for message in body["messages"] for call in message.get("tool_calls", ())):
            call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), **spellings[at % 3])
    return sent, fixed


def _keys_of_tools(rng: random.Random) -> tuple[Sent, Sent]:
    fixed = _agent(rng, tools=6)
    sent = deepcopy(fixed)
    for body, _ in sent:
        for tool in body["tools"]:
            pairs = list(tool["function"]["parameters"]["properties"].items())
            rng.shuffle(pairs)
            tool["function"]["parameters"]["properties"] = dict(pairs)
    return sent, fixed


def _shuffled_examples(rng: random.Random) -> tuple[Sent, Sent]:
    system = {"role": "system", "content": _text(rng, 10)}
    pairs = [
        [{"role": "user", "content": _text(rng, 3)}, {"role": "assistant", "content": _text(rng, 1)}] for _ in range(12)
    ]
    sent: Sent = []
    fixed: Sent = []
    for _ in range(20):
        question = {"role": "user", "content": _text(rng, 2)}
        for rows, order in ((sent, rng.sample(pairs, 12)), (fixed, pairs)):
            messages = [system, *(message for pair in order for message in pair), question]
            rows.append(({"model": "m", "messages": messages}, ""))
    return sent, fixed


def _shuffled(value: Any, rng: random.Random) -> Any:
    """Return JSON with the members of all objects in a random order."""
    if not isinstance(value, dict):
        return value
    return {key: _shuffled(value[key], rng) for key in rng.sample(list(value), len(value))}


def _state(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(["plan", "risk", "owner", "notes", "area", "cause", "stock", "scope", "due"], 7)
    return {
        name: _state(rng, depth - 1) if depth and at % 3 == 1 else rng.choice((_text(rng, 1), rng.randint(1, 9999)))
        for at, name in enumerate(names)
    }


def _shuffled_state(indent: int | None, depth: int) -> Callable[[random.Random], tuple[Sent, Sent]]:
    """Return a leak: a state in the system message is written in another order in each request, with the time."""

    def leak(rng: random.Random) -> tuple[Sent, Sent]:
        state = _state(rng, depth)

        def versions(number: int) -> tuple[str, str]:
            timed = {**state, "now": f"2026-03-02T09:{number:02}:{rng.randint(10, 59)}"}
            return json.dumps(_shuffled(timed, rng), indent=indent), json.dumps(state, indent=indent)

        return _in_system(rng, versions)

    return leak


def _in_system(rng: random.Random, versions: Callable[[int], tuple[str, str]]) -> tuple[Sent, Sent]:
    """Return sessions with a text in front of the rules. `versions`: that of a request with and without the fault."""
    fixed = _agent(rng)
    sent = deepcopy(fixed)
    for number, pair in enumerate(zip(sent, fixed, strict=True)):
        for (body, _), text in zip(pair, versions(number), strict=True):
            body["messages"][0]["content"] = f"State:\n```json\n{text}\n```\n{body['messages'][0]['content']}"
    return sent, fixed


def _shuffled_customers(rng: random.Random) -> tuple[Sent, Sent]:
    """Each session has the record of its customer in the system message, in another order in each request."""
    records = [{name: _text(rng, 1) for name in ("plan", "risk", "owner", "notes", "area", "cause")} for _ in range(3)]
    return _in_system(
        rng, lambda number: (json.dumps(_shuffled(records[number % 3], rng)), json.dumps(records[number % 3]))
    )


def _shuffled_lines(rng: random.Random) -> tuple[Sent, Sent]:
    """A catalogue of one object per line, each of them in another order."""
    rows = [{name: _text(rng, 1) for name in ("item", "price", "shelf")} for _ in range(80)]
    return _in_system(
        rng, lambda _: ("\n".join(json.dumps(_shuffled(row, rng)) for row in rows), "\n".join(map(json.dumps, rows)))
    )


def _shuffled_growing_state(rng: random.Random) -> tuple[Sent, Sent]:
    """A state in another order has a list that grows, and now and then one more member."""
    state = {name: _text(rng, 1) for name in ("plan", "risk", "owner", "notes", "area", "cause")}

    def versions(number: int) -> tuple[str, str]:
        more = {"alert": _text(rng, 1)} if rng.random() < 0.3 else {}
        return json.dumps(_shuffled({**state, **more, "log": list(range(number))}, rng)), json.dumps(state)

    return _in_system(rng, versions)


def _shuffled_memory(rng: random.Random) -> tuple[Sent, Sent]:
    """A memory gets one more member in each request, and is written in another order each time."""
    members = {f"fact_{rng.randrange(10**6)}": _text(rng, 1) for _ in range(12)}

    def versions(number: int) -> tuple[str, str]:
        known = dict(list(members.items())[: 3 + number])
        return json.dumps(_shuffled(known, rng)), json.dumps(members)

    return _in_system(rng, versions)


def _shuffled_results(rng: random.Random) -> tuple[Sent, Sent]:
    """Results of tools are written again in each request, with their age and in another order."""
    fixed = _agent(rng)
    for body, _ in fixed:
        for message in body["messages"]:
            if message["role"] == "tool":
                message["content"] = json.dumps(_state(random.Random(message["content"]), 2), indent=2)
    sent = deepcopy(fixed)
    for body, _ in sent:
        for message in body["messages"]:
            if message["role"] == "tool":
                value = {**json.loads(message["content"]), "age_s": rng.randint(100, 99999)}
                message["content"] = json.dumps(_shuffled(value, rng), indent=2)
    return sent, fixed


def _shuffled_bodies(rng: random.Random) -> tuple[Sent, Sent]:
    """Results of tools have the body of a response as a string of JSON in another order."""
    fixed = _agent(rng)
    for body, _ in fixed:
        for message in body["messages"]:
            if message["role"] == "tool":
                state = json.dumps(_state(random.Random(message["content"]), 0))
                message["content"] = json.dumps({"status": 200, "body": state})
    sent = deepcopy(fixed)
    for body, _ in sent:
        for message in body["messages"]:
            if message["role"] == "tool":
                state = json.loads(json.loads(message["content"])["body"])
                message["content"] = json.dumps({"status": 200, "body": json.dumps(_shuffled(state, rng))})
    return sent, fixed


_LEAKS: dict[str, tuple[Callable[[random.Random], tuple[Sent, Sent]], set[str]]] = {
    "a rule that alternates in a conversation": (_alternating_rule, {"text", "retrieved_text", "name"}),
    "arguments rewritten in every second request": (_rewritten_arguments, {"arguments"}),
    "arguments in three spellings, one of them with sorted keys": (_three_spellings, {"arguments"}),
    "keys of several tools in another order": (_keys_of_tools, {"reordered_keys"}),
    "shuffled examples": (_shuffled_examples, {"reordered_text"}),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", _LEAKS)
def test_lost_tokens_are_what_an_ideal_cache_would_have_served(name: str, seed: int) -> None:
    leak, kinds = _LEAKS[name]
    sent, fixed = leak(random.Random(f"{name} {seed}"))
    usage = _served(sent)
    losses = _losses(sent, usage)
    assert losses.lost == pytest.approx(_fresh(usage) - _fresh(_served(fixed)), rel=0.12)
    assert {span.kind for span in losses.spans if span.lost_tokens > 100} <= kinds
    for index, row in losses.paid.items():
        assert sum(row.values()) <= (usage[index].fresh or 0) + 1e-6


def test_keys_of_several_tools_in_another_order_are_one_finding() -> None:
    sent, _ = _keys_of_tools(random.Random(1))
    (span,) = _losses(sent, _served(sent)).spans
    assert (span.kind, span.places, span.path, span.index) == ("reordered_keys", 6, (), 0)
    first = json.dumps(sent[0][0]["tools"][0])
    assert first[: span.start].endswith('"properties": {')
    assert span.samples[0] == first[span.start :]


def test_members_in_front_of_the_first_moved_one_are_not_part_of_the_finding() -> None:
    rng = random.Random(1)
    texts = [_text(rng, 1) for _ in range(8)]
    rows = []
    for number in range(6):
        moved = rng.sample([(f"key_{at}", text) for at, text in enumerate(texts)], len(texts))
        state = json.dumps({"shop": "Velo", "now": f"09:{number:02}:{rng.randint(10, 59)}", **dict(moved)})
        rules = {"role": "system", "content": f"State: {state}\n{_text(random.Random(2), 20)}"}
        rows.append(({"messages": [rules, {"role": "user", "content": _text(rng, 1)}]}, ""))
    first = rows[0][0]["messages"][0]["content"]
    time, keys = _losses(rows, _served(rows)).spans
    assert (time.kind, keys.kind) == ("time", "reordered_keys")
    assert first[time.start :].startswith("09:00:")
    assert first[keys.start :].startswith('"key_')
    assert keys.lost_tokens > 100 * time.lost_tokens


def _assert_one_reordered_text(sent: Sent, fixed: Sent, *, within: float) -> None:
    """Assert that the only finding costs what an ideal cache would have served of the requests without the fault."""
    usage = _served(sent, answers=False)
    (span,) = _losses(sent, usage).spans
    assert span.kind == "reordered_text"
    assert span.lost_tokens == pytest.approx(_fresh(usage) - _fresh(_served(fixed, answers=False)), rel=within)


def test_lines_in_another_order_with_a_new_time_are_one_finding() -> None:
    rng = random.Random(3)
    state = {name: _text(rng, 1) for name in ("plan", "risk", "owner", "notes", "area", "cause")}

    def versions(number: int) -> tuple[str, str]:
        shuffled = _shuffled({**state, "now": f"09:{number:02}:{rng.randint(10, 59)}"}, rng)
        one, other = ("\n".join(f"{key}: {text}" for key, text in row.items()) for row in (shuffled, state))
        return one, other

    _assert_one_reordered_text(*_in_system(rng, versions), within=0.05)


def _record(form: str, at: int, text: str, value: str) -> str:
    return {
        "xml": f'<document id="{at}">\n<checked>{value}</checked>\n<text>{text}</text>\n</document>',
        "markdown": f"## Rule {text[:20]}\n\n{text} *Checked: {value}*",
        "list": f"- {text} (checked {value})",
    }[form]


def _shuffled_records(rng: random.Random, form: str) -> Callable[[int], tuple[str, str]]:
    texts = [_text(rng, 3) for _ in range(6)]

    def rendered(order: Sequence[int], number: int) -> str:
        separator = "\n\n" if form == "markdown" else "\n"
        return separator.join(_record(form, at, texts[at], f"2026-{number + 1:02}-{at + 10}") for at in order)

    return lambda number: (rendered(rng.sample(range(6), 6), number), rendered(range(6), 0))


@pytest.mark.parametrize("form", ["xml", "markdown", "list"])
def test_records_in_another_order_with_a_new_value_in_each_are_one_finding(form: str) -> None:
    rng = random.Random(7)
    _assert_one_reordered_text(*_in_system(rng, _shuffled_records(rng, form)), within=0.2)


@pytest.mark.parametrize("form", ["xml", "markdown", "list"])
def test_records_in_another_order_in_a_user_message_are_one_finding(form: str) -> None:
    rng = random.Random(7)
    versions = _shuffled_records(rng, form)
    rules = {"role": "system", "content": _text(rng, 5)}
    rows: tuple[Sent, Sent] = ([], [])
    for number in range(8):
        question = f"\n\n{_text(random.Random(f'question {number}'), 1)}"
        for row, records in zip(rows, versions(number), strict=True):
            row.append(({"messages": [rules, {"role": "user", "content": records + question}]}, ""))
    _assert_one_reordered_text(*rows, within=0.2)


@pytest.mark.parametrize("form", ["xml", "markdown", "list"])
def test_records_in_another_order_in_an_earlier_turn_are_one_finding(form: str) -> None:
    rng = random.Random(7)
    versions = _shuffled_records(rng, form)
    turns: list[dict[str, Any]] = []
    rows: tuple[Sent, Sent] = ([], [])
    for number in range(8):
        turns.append({"role": "user", "content": _text(rng, 1)})
        for row, records in zip(rows, versions(number), strict=True):
            system, first = ({"role": role, "content": records} for role in ("system", "user"))
            system["content"] = "Answer in one sentence."
            row.append(({"messages": [system, first, {"role": "assistant", "content": "I have read it."}, *turns]}, ""))
        turns.append({"role": "assistant", "content": _text(rng, 2)})
    _assert_one_reordered_text(*rows, within=0.2)


def test_documents_of_which_one_is_repeated_in_another_order_are_one_finding() -> None:
    rng = random.Random(5)
    documents = [_text(rng, 2) for _ in range(5)]
    documents.append(documents[2])

    def versions(_: int) -> tuple[str, str]:
        return "\n\n".join(rng.sample(documents, len(documents))), "\n\n".join(documents)

    _assert_one_reordered_text(*_in_system(rng, versions), within=0.1)


def test_order_that_changed_once_is_not_the_reason_of_what_a_time_costs() -> None:
    rng = random.Random(1)
    state = {name: _text(rng, 1) for name in ("plan", "risk", "owner", "notes")}
    rows = []
    for number in range(10):
        names = sorted(state) if number < 5 else list(state)
        text = json.dumps({**{name: state[name] for name in names}, "now": f"09:{number:02}:{rng.randint(10, 59)}"})
        rules = {"role": "system", "content": f"State: {text}\n{_text(random.Random(2), 20)}"}
        rows.append(({"messages": [rules, {"role": "user", "content": _text(rng, 1)}]}, ""))
    assert "reordered_keys" not in {span.kind for span in _losses(rows, _served(rows)).spans}


def test_list_of_short_steps_that_are_marked_as_done_is_one_finding() -> None:
    rng = random.Random(4)
    sent: Sent = []
    fixed: Sent = []
    rules = _text(rng, 25)
    for _ in range(3):
        steps = ["".join(rng.sample("核对发票联系客户打印标签", 4)) for _ in range(7)]
        history: list[dict[str, Any]] = [{"role": "user", "content": _text(rng, 2)}]
        for done in range(8):
            for rows, marked in ((sent, done), (fixed, 0)):
                plan = "\n".join(f"- [{'x' if at < marked else ' '}] {step}" for at, step in enumerate(steps))
                system = {"role": "system", "content": f"Plan:\n{plan}\n\n{rules}"}
                rows.append(({"messages": [system, *history]}, ""))
            history += [{"role": "assistant", "content": _text(rng, 2)}, {"role": "user", "content": "Go on."}]
    usage = _served(sent, answers=False)
    losses = _losses(sent, usage)
    assert len(losses.spans) == 1
    assert losses.lost == pytest.approx(_fresh(usage) - _fresh(_served(fixed, answers=False)), rel=0.1)


_SHUFFLED: dict[str, Callable[[random.Random], tuple[Sent, Sent]]] = {
    "state": _shuffled_state(None, 0),
    "indented state": _shuffled_state(2, 0),
    "nested state": _shuffled_state(None, 2),
    "nested, indented state": _shuffled_state(4, 2),
    "record of a customer": _shuffled_customers,
    "objects in lines": _shuffled_lines,
    "state that grows": _shuffled_growing_state,
    "memory that grows": _shuffled_memory,
    "results of tools": _shuffled_results,
    "bodies in results of tools": _shuffled_bodies,
}


@pytest.mark.parametrize("name", _SHUFFLED)
def test_object_in_another_order_with_a_new_value_is_one_finding(name: str) -> None:
    sent, fixed = _SHUFFLED[name](random.Random(f"{name} 0"))
    usage = _served(sent, answers=False)
    losses = _losses(sent, usage)
    true = _fresh(usage) - _fresh(_served(fixed, answers=False))
    (keys,) = [span for span in losses.spans if span.kind == "reordered_keys"]
    assert keys.lost_tokens == pytest.approx(true, rel=0.05)
    assert losses.lost == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_lost_answers_do_not_count_if_the_server_keeps_only_prompts(seed: int) -> None:
    sent, fixed = _alternating_rule(random.Random(seed))
    usage = _served(sent, answers=False)
    true = _fresh(usage) - _fresh(_served(fixed, answers=False))
    assert _losses(sent, usage).lost == pytest.approx(true, rel=0.12)


@pytest.mark.parametrize("answers", [True, False])
def test_sessions_without_a_leak_lose_nothing(answers: bool) -> None:
    sent = _agent(random.Random(1), tools=3)
    losses = _losses(sent, _served(sent, answers=answers))
    assert (losses.lost, losses.spans) == (0, ())


def _with_minimum(usage: list[PromptUsage], minimum: int) -> list[PromptUsage]:
    """Return the reports of a server that serves no prefix below a minimum."""
    return [PromptUsage(one.prompt, one.cached if (one.cached or 0) >= minimum else 0) for one in usage]


@pytest.mark.parametrize("in_front", ["time", "documents"])
def test_minimum_is_found_in_few_reports_without_cached_tokens(in_front: str) -> None:
    rng = random.Random(f"minimum {in_front}")
    rules = "\n".join(f"{at}. {_text(rng, 1)}" for at in range(20 if in_front == "time" else 31))
    sent: Sent = []
    fixed: Sent = []
    history: list[dict[str, Any]] = []
    for turn in range(24 if in_front == "time" else 12):
        if in_front == "time" and turn % 6 == 0:
            history = []
        answer = f"<assistant>{_text(rng, 3)}<end>"
        history.append({"role": "user", "content": _text(rng, 2)})
        # One request has the time of the one before: the only one that shares more than a few tokens.
        value = (
            f"It is 10:{turn - (turn == 1):02}." if in_front == "time" else "\n".join(_text(rng, 1) for _ in range(9))
        )
        for found, text in ((sent, value), (fixed, "It is 10:00.")):
            system = f"{text}\n{rules}" if in_front == "time" else rules
            first = [] if in_front == "time" else [{"role": "user", "content": text if found is sent else "None."}]
            body: Body = {"messages": [{"role": "system", "content": system}, *first, *deepcopy(history)]}
            found.append((body, answer))
        history.append({"role": "assistant", "content": answer.removeprefix("<assistant>").removesuffix("<end>")})
    usage = _with_minimum(_served(sent), 1024)
    truth = _fresh(usage) - _fresh(_with_minimum(_served(fixed), 1024))
    losses = _losses(sent, usage)
    short = [index for index, one in enumerate(usage) if (one.prompt or 0) < 900]
    assert sum(sum(losses.paid.get(index, {}).values()) for index in short) == 0
    assert losses.lost == pytest.approx(truth, rel=0.2 if in_front == "documents" else 0.4)


def test_few_orders_of_keys_that_are_used_again_are_no_programs() -> None:
    rng = random.Random("orders")
    rules = "\n".join(f"{at}. {_text(rng, 1)}" for at in range(24))
    entries = [(f"key_{at}", _text(rng, 1)) for at in range(8)]
    orders = [rng.sample(entries, 8) for _ in range(6)]
    sent: Sent = []
    for at in range(16):
        system = f"Profile: {json.dumps(dict(orders[at * at % 23 % 6]))}\n{rules}"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": f"{_text(rng, 1)} {at}?"}]
        sent.append(({"messages": messages}, ""))
    (span,) = _losses(sent, _served(sent)).spans
    assert (span.kind, span.recurring) == ("reordered_keys", False)


@pytest.mark.parametrize(
    ("line", "usual"),
    [
        ("يراجع المدير عنوان التسليم خلال خمسة أيام عمل وفقًا للقواعد.", (16, 24)),
        ("Müşteri genellikle teslimat adresini kontrol etmelidir, ürün kodunu değiştiremez.", (19, 31)),
    ],
)
def test_price_without_usage_is_that_of_usual_tokenizers_for_the_script(line: str, usual: tuple[int, int]) -> None:
    rules = "\n".join([line] * 60)
    bodies: list[dict[str, Json]] = [{"messages": [{"role": "system", "content": f"{at}\n{rules}"}]} for at in range(5)]
    losses = program_losses(bodies, range(5))
    assert usual[0] * 60 <= losses.lost / 4 <= usual[1] * 60
