"""Sessions of agents with one fault each, the same sessions without it, and what an ideal prefix cache serves of both.

Own rendering, tokenizer and cache: nothing of the program is imported. The tokens that a fault costs a request are its
fresh tokens with the fault minus its fresh tokens without it.
"""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

BLOCK = 16
_TOKEN = re.compile(r"[A-Za-z]{1,6}|\d{1,3}|\s|[^\sA-Za-z0-9]")
_TEXT = (
    "order parcel refund voucher customer invoice delay warranty cup price match policy team answer politely check the "
    "status before you promise a date never guess and escalate to a person if the customer is upset about it again"
)
_WORDS = _TEXT.split()


@dataclass
class Sent:
    """One request: as the faulty client sends it, and as a client without the fault does."""

    body: dict[str, Any]
    fixed: dict[str, Any]
    session: int


@dataclass
class Case:
    """A kind of session. `lost`: tokens that the fault costs; `usage`: reported (prompt, cached) of each request."""

    name: str
    sent: list[Sent]
    usage: list[tuple[int, int]] = field(default_factory=list)
    lost: int = 0
    prompt: int = 0


class IdealCache:
    """Serves the longest prefix of whole blocks that any earlier prompt had."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def send(self, body: dict[str, Any]) -> tuple[int, int]:
        """Return prompt tokens and cached tokens."""
        count, digests = _digests(render(body))
        hits = sum(1 for _ in itertools.takewhile(self._known.__contains__, digests))
        self._known.update(digests)
        return count, min(hits * BLOCK, count - 1)


@cache
def _digests(prompt: str) -> tuple[int, tuple[int, ...]]:
    """Return the number of tokens and a hash of each prefix of whole blocks. Cases share most prompts."""
    tokens = _TOKEN.findall(prompt)
    blocks = (tuple(tokens[at : at + BLOCK]) for at in range(0, len(tokens) - BLOCK + 1, BLOCK))
    digests = itertools.accumulate(blocks, lambda digest, block: hash((digest, *block)), initial=0)
    return len(tokens), tuple(digests)[1:]


def render(body: dict[str, Any]) -> str:
    """Return the prompt as a chat template writes it: tools, then messages."""
    pieces = ["<|tools|>" + json.dumps(body["tools"])] if body.get("tools") else []
    for message in body["messages"]:
        text = f"<|{message['role']}|>{message.get('reasoning_content', '')}{_text(message.get('content'))}"
        for call in message.get("tool_calls", ()):
            text += f"<|call|>{call['id']} {call['function']['name']} {call['function']['arguments']}"
        pieces.append(text + (f" <|id|>{message['tool_call_id']}" if "tool_call_id" in message else ""))
    return "\n".join(pieces) + "\n<|assistant|>"


def _text(content: Any) -> str:
    """Return the text of a content, which may be a list of parts."""
    return "\n".join(part["text"] for part in content) if isinstance(content, list) else content or ""


def measured(name: str, sent: list[Sent]) -> Case:
    """Return a case with its truth."""
    case, with_fault, without = Case(name, sent), IdealCache(), IdealCache()
    for one in sent:
        prompt, cached = with_fault.send(one.body)
        fixed_prompt, fixed_cached = without.send(one.fixed)
        case.usage.append((prompt, cached))
        case.lost += (prompt - cached) - (fixed_prompt - fixed_cached)
        case.prompt += prompt
    return case


def _prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)).capitalize() + "."


@cache
def _system(shop: str = "Fault Forks", seed: int = 1) -> str:
    rng = random.Random(seed)
    rules = (f"## Rule {number}\n{_prose(rng, 60)} {shop} keeps this rule." for number in range(20))
    return "\n\n".join((f"You are the support agent of {shop}.", *rules))


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _time(number: int) -> str:
    return f"2026-11-28T15:{number // 60 % 60:02}:{number % 60:02}.{number * 37 % 1000:03}Z"


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{_prose(random.Random(name), 25)}",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string", "description": "The id."}}},
        },
    }
    for name in ("lookup_order", "search_policy", "create_refund", "send_mail")
]


@dataclass
class Turn:
    """State of a session when it sends a request."""

    number: int
    session: int
    question: int
    step: int
    history: list[dict[str, Any]]
    rng: random.Random


Build = Callable[[Turn], tuple[dict[str, Any], dict[str, Any]]]


def _turns(session: int, questions: int = 3, steps: int = 3) -> Iterator[Turn]:
    """Yield each request of a tool-calling agent: `steps` requests per question."""
    rng = random.Random(1_000 + session)
    history: list[dict[str, Any]] = []
    for question in range(questions):
        history.append({"role": "user", "content": f"Question {session}.{question}: {_prose(rng, 14)}"})
        for step in range(steps):
            yield Turn(0, session, question, step, history, rng)
            if step == steps - 1:
                history.append({"role": "assistant", "content": _prose(rng, 30)})
                break
            call_id = f"call_{rng.getrandbits(60):x}"
            arguments = json.dumps({"order_id": f"A-{rng.randrange(1000, 9999)}", "note": _prose(rng, 6), "deep": True})
            call = {"id": call_id, "type": "function", "function": {"name": "lookup_order", "arguments": arguments}}
            history.append({"role": "assistant", "content": None, "tool_calls": [call]})
            result = json.dumps({"status": "shipped", "details": _prose(rng, 70)})
            history.append({"role": "tool", "tool_call_id": call_id, "content": result})


def _run(build: Build, *, sessions: int = 3, at_once: bool = False) -> list[Sent]:
    """Return the requests of the sessions, one after another or in alternation."""
    sent: list[Sent] = []
    running = [_turns(session) for session in range(sessions)]
    order = list(running)
    while order:
        iterator = order.pop(0)
        turn = next(iterator, None)
        if turn is None:
            continue
        order = [*order, iterator] if at_once else [iterator, *order]
        turn.number = len(sent)
        # A copy: the history grows.
        body, fixed = (pickle.loads(pickle.dumps(one)) for one in build(turn))
        sent.append(Sent(body, fixed, turn.session))
    return sent


def _body(system: str, history: list[dict[str, Any]], tools: Any = None) -> dict[str, Any]:
    offered = TOOLS if tools is None else tools
    return {"model": "electron", "messages": [{"role": "system", "content": system}, *history], "tools": offered}


def _plain(turn: Turn) -> dict[str, Any]:
    return _body(_system(), turn.history)


def _headed(text: Callable[[Turn], str]) -> Build:
    """Return a fault in the system message; the fixed client leaves the value out."""
    return lambda turn: (_body(text(turn), turn.history), _plain(turn))


def _rerun(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    changed = copy.deepcopy(turn.history)
    first = next((message for message in changed if message["role"] == "tool"), None)
    if first is not None:
        first["content"] = f'{{"trace_id": "{_uuid(random.Random(turn.number))}", {first["content"][1:]}'
    return _body(_system(), changed), _plain(turn)


def _rewritten(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    changed = copy.deepcopy(turn.history)
    for message in [one for one in changed if "tool_calls" in one][:-1]:
        function = message["tool_calls"][0]["function"]
        function["arguments"] = json.dumps(json.loads(function["arguments"]), separators=(",", ":"))
    return _body(_system(), changed), _plain(turn)


def _documents(session: int, question: int) -> str:
    return "Use these documents:\n" + _prose(random.Random(f"{session}.{question}"), 150)


def _retrieved_in_front(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    documents = {"role": "system", "content": _documents(turn.session, turn.question)}
    fixed: list[dict[str, Any]] = []
    question = 0
    for message in turn.history:
        if message["role"] == "user":
            fixed.append({"role": "system", "content": _documents(turn.session, question)})
            question += 1
        fixed.append(message)
    return _body(_system(), [documents, *turn.history]), _body(_system(), fixed)


def _retrieved_in_question(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    faulty, fixed = copy.deepcopy(turn.history), copy.deepcopy(turn.history)
    users = [at for at, message in enumerate(faulty) if message["role"] == "user"]
    for question, at in enumerate(users):
        fixed[at]["content"] = f"{_documents(turn.session, question)}\n\n{fixed[at]['content']}"
    faulty[users[-1]]["content"] = fixed[users[-1]]["content"]
    return _body(_system(), faulty), _body(_system(), fixed)


def _window(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    return _body(_system(), turn.history[-6:]), _plain(turn)


def _shuffled(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    tools = list(TOOLS)
    random.Random(turn.number).shuffle(tools)
    return _body(_system(), turn.history, tools), _plain(turn)


def _new_ids(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    text = json.dumps(turn.history)
    for name in set(re.findall(r"call_[0-9a-f]+", text)):
        text = text.replace(name, f"call_{random.Random(name + str(turn.number)).getrandbits(60):015x}")
    return _body(_system(), json.loads(text)), _plain(turn)


def _ages(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every user message begins with its age, which grows."""
    changed = copy.deepcopy(turn.history)
    for at, message in enumerate(changed):
        if message["role"] == "user":
            message["content"] = f"[{turn.number * 7 - at + 20} s ago] {message['content']}"
    return _body(_system(), changed), _plain(turn)


def _counted_tool(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    tools = copy.deepcopy(TOOLS)
    tools[1]["function"]["description"] = f"Used {turn.number} times. {tools[1]['function']['description']}"  # type: ignore[index]
    return _body(_system(), turn.history, tools), _plain(turn)


SHOPS = ("Kettle & Co", "Graph Garden", "Hay Hats")


def _tenants(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    return _body(_system(SHOPS[turn.session % 3]), turn.history), _body(_system("the shop"), turn.history)


def _dropped_result(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results of tools of earlier questions are replaced by a short note."""
    changed = copy.deepcopy(turn.history)
    last = max(at for at, message in enumerate(changed) if message["role"] == "user")
    for message in changed[:last]:
        if message["role"] == "tool":
            message["content"] = "[removed]"
    return _body(_system(), changed), _plain(turn)


def _parts(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Contents are lists of text parts, and the first tool result changes."""
    bodies = copy.deepcopy(_rerun(turn))
    for body in bodies:
        for message in body["messages"]:
            if message.get("content"):
                message["content"] = [{"type": "text", "text": message["content"]}]
    return bodies


def _without_system(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rules are in the first user message, behind the time."""
    faulty, fixed = copy.deepcopy(turn.history), copy.deepcopy(turn.history)
    first = fixed[0]["content"]
    fixed[0]["content"] = f"{_system()}\n\n{first}"
    faulty[0]["content"] = f"It is {_time(turn.number)}.\n\n{_system()}\n\n{first}"
    return tuple({"messages": history, "tools": TOOLS} for history in (faulty, fixed))  # type: ignore[return-value]


def _trimmed(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Questions end in spaces until the next question is asked."""
    faulty, fixed = copy.deepcopy(turn.history), copy.deepcopy(turn.history)
    users = [at for at, message in enumerate(faulty) if message["role"] == "user"]
    for at in users:
        fixed[at]["content"] += "   "
    faulty[users[-1]]["content"] += "   "
    return _body(_system(), faulty), _body(_system(), fixed)


def _reasoned(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reasoning is sent back until the next question is asked."""
    faulty, fixed = copy.deepcopy(turn.history), copy.deepcopy(turn.history)
    last = max(at for at, message in enumerate(faulty) if message["role"] == "user")
    for at, message in enumerate(fixed):
        if "tool_calls" in message:
            message["reasoning_content"] = _prose(random.Random(f"{turn.session}.{at}"), 60)
            if at > last:
                faulty[at]["reasoning_content"] = message["reasoning_content"]
    return _body(_system(), faulty), _body(_system(), fixed)


def _memory(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts about the customer are added in the middle of the system message, one per question."""
    facts = "".join(f"- {_prose(random.Random(f'{turn.session}.{at}'), 12)}\n" for at in range(turn.question + 1))
    system = _system().replace("## Rule 9", f"Known facts:\n{facts}\n## Rule 9")
    return _body(system, turn.history), _plain(turn)


def _summary(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """From the third question on, the first one is a summary, which is written again in each request."""
    if turn.question < 2:
        return _plain(turn), _plain(turn)
    second = [at for at, message in enumerate(turn.history) if message["role"] == "user"][1]
    summary = {"role": "system", "content": f"Summary: {_prose(random.Random(turn.number), 40)}"}
    return _body(_system(), [summary, *turn.history[second:]]), _plain(turn)


def _plan(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A list of steps in the middle of the system message, of which more are done in each request."""
    steps = [_prose(random.Random(f"{turn.session}.{at}"), 8) for at in range(9)]
    done = turn.question * 3 + turn.step
    plan = "\n".join(f"[{'x' if at < done else ' '}] {step}" for at, step in enumerate(steps))
    return _body(_system().replace("## Rule 9", f"Plan:\n{plan}\n\n## Rule 9"), turn.history), _plain(turn)


def _cut_later(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results of tools are cut to their beginning, except in the newest one."""
    changed = copy.deepcopy(turn.history)
    for message in [one for one in changed if one["role"] == "tool"][:-1]:
        message["content"] = f"{message['content'][:120]} [cut]"
    return _body(_system(), changed), _plain(turn)


def _toggled(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Other parameters change, and no text of the prompt."""
    fields = {
        "tool_choice": ("auto", "none")[turn.number % 2],
        "response_format": {"type": ("text", "json_object")[turn.step % 2]},
    }
    return {**_plain(turn), **fields}, _plain(turn)


def _fallback(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Now and then another model answers."""
    body = {**_plain(turn), "model": "electron-small" if turn.number % 5 == 4 else "electron"}
    return body, _plain(turn)


def _state(turn: Turn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A JSON object in the first user message has its members in another order in each request."""
    state = {name: _prose(random.Random(name), 12) for name in ("plan", "risk", "owner", "notes", "area", "cause")}
    order = list(state)
    random.Random(turn.number).shuffle(order)
    bodies = []
    for names in (order, list(state)):
        history = copy.deepcopy(turn.history)
        text = json.dumps({name: state[name] for name in names})
        history[0]["content"] = f"State: {text}\n\n{history[0]['content']}"
        bodies.append(_body(_system(), history))
    return bodies[0], bodies[1]


def _sub_agents() -> list[Sent]:
    """An agent and, after each of its requests, a sub-agent with its own prompt and a task of its own."""
    sent = []
    for one in _run(lambda turn: (_plain(turn), _plain(turn))):
        sent.append(one)
        number = len(sent)
        task = {"role": "user", "content": f"Task {number}: {_prose(random.Random(number), 30)}"}
        body = _body(_prose(random.Random(9), 300), [task], TOOLS[:1])
        sent.append(Sent(body, body, one.session))
    return sent


def _edited_questions() -> list[Sent]:
    """The last question is edited and sent again, and then another conversation begins."""
    bodies = []
    for session in range(4):
        for attempt in range(3):
            rng = random.Random(session)
            history = [{"role": "user", "content": _prose(rng, 20)}, {"role": "assistant", "content": _prose(rng, 40)}]
            history.append({"role": "user", "content": f"{_prose(random.Random(f'{session}.{attempt}'), 12)}"})
            bodies.append(_body(_system(), history))
    return [Sent(body, body, 0) for body in bodies]


@cache
def cases() -> tuple[Case, ...]:
    """Return all kinds of sessions with their truth. Computed once: it takes a second."""
    ids = [_uuid(random.Random(session)) for session in range(9)]
    in_one = _headed(lambda t: (f"Now: {_time(t.number)}\n\n" if t.session == 1 else "") + _system())
    kinds: dict[str, list[Sent]] = {
        "plain": _run(lambda turn: (_plain(turn), _plain(turn))),
        "edited question": _edited_questions(),
        "time in front": _run(_headed(lambda t: f"Current time: {_time(t.number)}\n\n{_system()}")),
        "time in the middle": _run(
            _headed(lambda t: _system().replace("## Rule 9", f"(It is {_time(t.number)[11:19]}.)\n\n## Rule 9"))
        ),
        "time in one session": _run(in_one),
        "two values": _run(
            _headed(
                lambda t: f"Request {_uuid(random.Random(t.number))}\n\n{_system()}".replace(
                    "## Rule 9", f"(It is {_time(t.number)[11:19]}.)\n\n## Rule 9"
                )
            )
        ),
        "session id": _run(_headed(lambda t: f"Session: {ids[t.session]}\n\n{_system()}")),
        "session id, at once": _run(
            _headed(lambda t: f"Session: {ids[t.session]}\n\n{_system()}"), sessions=5, at_once=True
        ),
        "tool result changes": _run(_rerun),
        "tool result dropped": _run(_dropped_result),
        "arguments rewritten": _run(_rewritten),
        "documents in front": _run(_retrieved_in_front),
        "documents in the question": _run(_retrieved_in_question),
        "window of history": _run(_window),
        "order of tools": _run(_shuffled),
        "new call ids": _run(_new_ids),
        "ages of messages": _run(_ages),
        "counter in a tool": _run(_counted_tool),
        "lists of parts": _run(_parts),
        "no system message": _run(_without_system),
        "spaces cut": _run(_trimmed),
        "reasoning dropped": _run(_reasoned),
        "growing memory": _run(_memory),
        "summary": _run(_summary),
        "plan": _run(_plan),
        "results cut later": _run(_cut_later),
        "parameters": _run(_toggled),
        "fallback model": _run(_fallback),
        "members in another order": _run(_state),
        "sub-agents": _sub_agents(),
        "tenants": _run(_tenants, sessions=6, at_once=True),
    }
    return tuple(measured(name, sent) for name, sent in kinds.items())


if __name__ == "__main__":
    for case in cases():
        count = len(case.sent)
        lost, prompt = case.lost / count, case.prompt / count
        print(f"{case.name:28} {count:3} requests, {lost:7.0f} of {prompt:6.0f} tokens lost each")
