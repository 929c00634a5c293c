"""`check` on recorded sessions of agents, against what an independent ideal cache says that each fault costs."""

from __future__ import annotations

import json
import random
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.cli.check_losses import SERIOUS_TOKENS
from playground.cli.main import main
from tests.leaks.agent_truth import BLOCK, Case, Sent, _body, _run, _system, _time, _uuid, cases, measured

CASES = {case.name: case for case in cases()}
EXPECTED: dict[str, list[tuple[str, str]]] = {
    "plain": [],
    "edited question": [],
    "time in front": [("time", "/messages/0/content")],
    "time in the middle": [("time", "/messages/0/content")],
    "time in one session": [("time", "/messages/0/content")],
    "two values": [("uuid", "/messages/0/content"), ("time", "/messages/0/content")],
    "session id": [("uuid", "/messages/0/content")],
    "session id, at once": [("uuid", "/messages/0/content")],
    "tool result changes": [("uuid", "/messages/3/content")],
    "tool result dropped": [("retrieved_text", "/messages/3/content")],
    "arguments rewritten": [("arguments", "/messages/2/tool_calls/0/function/arguments")],
    "documents in front": [("retrieved_text", "/messages/1/content")],
    "documents in the question": [("retrieved_text", "/messages/1/content")],
    "window of history": [("history_truncation", "/messages/1")],
    "order of tools": [("reordered_tools", "/tools/0")],
    "new call ids": [("call_ids", "/messages/2/tool_calls/0/id")],
    "ages of messages": [("number", "/messages/1/content")],
    "counter in a tool": [("number", "/tools/1")],
    "lists of parts": [("uuid", "/messages/3/content/0/text")],
    "no system message": [("time", "/messages/0/content")],
    "spaces cut": [("whitespace", "/messages/1/content")],
    "reasoning dropped": [("retrieved_text", "/messages/2")],
    "growing memory": [("retrieved_text", "/messages/0/content")],
    "summary": [("history_truncation", "/messages/1/content")],
    "plan": [("retrieved_text", "/messages/0/content")],
    "results cut later": [("retrieved_text", "/messages/3/content")],
    "parameters": [],
    "fallback model": [],
    "members in another order": [("reordered_keys", "/messages/1/content")],
    "sub-agents": [],
    "tenants": [("name", "/messages/0/content")],
}
"""Kind and place of each finding."""
Check = Callable[..., Any]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run `check` on lines or a file, and return what it prints; JSON as a value."""

    def call(content: Any, *arguments: str, name: str = "recorded.jsonl", status: int | None = None) -> Any:
        path = tmp_path / name
        if isinstance(content, list):
            content = "\n".join(json.dumps(line) for line in content)
        path.write_text(content, "utf-8")
        found = main(["check", str(path), *(arguments or ("--json",))])
        assert status is None or found == status
        text = capsys.readouterr().out
        return json.loads(text) if "--json" in arguments or not arguments or "sarif" in arguments else text

    return call


def reported(prompt: int, cached: int) -> dict[str, Any]:
    """Return a usage as the API reports it."""
    return {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}}


def lines(case: Case, *, usage: bool = True) -> list[dict[str, Any]]:
    """Return the recording of a case."""
    pairs = zip(case.sent, case.usage, strict=True)
    return [{"body": one.body, **({"usage": reported(*count)} if usage else {})} for one, count in pairs]


@pytest.mark.parametrize("name", EXPECTED)
def test_check_of_an_agent_states_the_tokens_that_its_fault_costs(check: Check, name: str) -> None:
    case = CASES[name]
    found = check(lines(case))["varying"]
    assert [(span["kind"], span["pointer"]) for span in found] == EXPECTED[name]
    lost, count = sum(span["lost_tokens"] for span in found), len(case.sent)
    # The cache serves whole blocks: a request may differ by one.
    assert abs(lost - case.lost) <= 0.05 * case.lost + BLOCK * count
    assert lost <= sum(prompt - cached for prompt, cached in case.usage)
    for span in found:
        assert span["tokens_per_request"] == pytest.approx(span["lost_tokens"] / count, abs=1)


@pytest.mark.parametrize("name", [name for name, found in EXPECTED.items() if found])
def test_check_without_reports_estimates_the_share_of_the_prompt_that_is_lost(check: Check, name: str) -> None:
    case = CASES[name]
    value = check(lines(case, usage=False))
    if name == "reasoning dropped":  # most servers leave it out by themselves: only a report tells
        assert value["varying"] == []
        return
    assert [span["kind"] for span in value["varying"]] == [kind for kind, _ in EXPECTED[name]]
    # Estimates of another vocabulary: the tokens of the report's are not known.
    ratio = sum(len(json.dumps(one.body["messages"])) for one in case.sent) / 4 / case.prompt
    lost, most = (sum(span[name] for span in value["varying"]) for name in ("lost_tokens", "lost_tokens_high"))
    # The price of a span in a tool is that of a server that writes the tools behind the system text: never too high.
    lost += sum(span["tools_first_per_request"] for span in value["varying"]) * len(case.sent)
    assert lost / ratio == pytest.approx(case.lost, rel=0.25, abs=BLOCK * len(case.sent))
    assert case.lost < most / ratio


def test_check_findings_never_cost_more_than_the_fresh_tokens_that_were_reported(check: Check) -> None:
    case = CASES["two values"]
    usage = [(prompt, prompt - 40) for prompt, _ in case.usage]
    recorded = [{"body": one.body, "usage": reported(*count)} for one, count in zip(case.sent, usage, strict=True)]
    lost = [span["lost_tokens"] for span in check(recorded)["varying"]]
    assert sum(lost) <= 40 * len(case.sent)


def test_check_two_values_the_second_costs_what_remains_once_the_first_is_fixed(check: Check) -> None:
    both = CASES["two values"]
    only = measured(
        "second alone",
        _run(lambda turn: (_body(_middle(turn.number), turn.history), _body(_system(), turn.history))),
    )
    first, second = check(lines(both))["varying"]
    assert (first["behind"], second["behind"]) == (None, 0)
    assert second["lost_tokens"] == pytest.approx(only.lost, rel=0.05)
    assert first["lost_tokens"] == pytest.approx(both.lost - only.lost, rel=0.05)


def test_check_cheap_values_of_one_message_are_serious_together(check: Check) -> None:
    rules = [f"Rule {number}: answer in one short sentence and name the order." for number in range(40)]

    def body(number: int) -> dict[str, Any]:
        weather = "rain" if number // 4 % 2 else "sun"
        system = [f"Revision {number // 5 + 7}.", *rules[:20], f"Weather: {weather}.", *rules[20:]]
        return _body("\n".join(system), [{"role": "user", "content": f"Where is order {number * 7919}?"}])

    found = check([{"body": body(number)} for number in range(16)])["varying"]
    assert [span["severity"] for span in found] == ["serious", "serious"]
    assert all(span["tokens_per_request"] < SERIOUS_TOKENS for span in found)


def _middle(number: int) -> str:
    return _system().replace("## Rule 9", f"(It is {_time(number)[11:19]}.)\n\n## Rule 9")


def test_check_place_is_the_first_character_that_changes(check: Check) -> None:
    case = CASES["tool result changes"]
    (span,) = check(lines(case))["varying"]
    number = int(span["request"].rpartition(":")[2]) - 1
    text = case.sent[number].body["messages"][3]["content"]
    assert text[span["start"] : span["end"]] in span["samples"]
    assert (span["line"], span["column"]) == (1, span["start"] + 1)
    assert span["history"]
    assert span["fix"].startswith("store the text when it is first sent")


def test_check_text_names_field_tokens_and_fix(check: Check) -> None:
    text = check(lines(CASES["arguments rewritten"]), "--rates", "0.40,0.10", status=1)
    (title,) = (line for line in text.splitlines() if "varying-span" in line)
    assert title.startswith("serious: An earlier turn is sent in another way: arguments (messages[2].tool_calls[0].fun")
    assert "line 1, column 13" in title
    assert "Fix: store the arguments as the model wrote them" in text
    assert "fresh because of it, per request: ≈ 15" in text
    assert "lost in 1,000 requests: ≈ $0.0457" in text


def test_check_sarif_and_github_point_to_the_character_in_the_recording(check: Check, tmp_path: Path) -> None:
    case = CASES["tool result changes"]
    value = check(lines(case), "--format", "sarif", status=1)
    (result,) = (one for one in value["runs"][0]["results"] if one["ruleId"] == "varying-span")
    place = result["locations"][0]["physicalLocation"]["region"]
    line = (tmp_path / "recorded.jsonl").read_text("utf-8").splitlines()[place["startLine"] - 1]
    sample = result["message"]["text"].partition("column 15). ")[2].split(", ")[1].strip("“”")[:36]
    assert line[place["startColumn"] - 1 :].startswith(sample)
    assert result["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "/messages/3/content"}]
    text = check(lines(case), "--format", "github", status=1)
    (note,) = (one for one in text.splitlines() if "An earlier turn" in one)
    assert note.startswith("::error file=")
    assert f"line={place['startLine']},col={place['startColumn']}," in note


def test_check_history_faults_fail_the_gate(check: Check) -> None:
    for name in ("tool result changes", "documents in front", "window of history", "new call ids", "ages of messages"):
        check(lines(CASES[name]), status=1)
    for name in ("plain", "edited question"):
        check(lines(CASES[name]), status=0)


def test_check_sessions_at_once_are_one_program_and_only_their_first_requests_pay(check: Check) -> None:
    case = CASES["session id, at once"]
    (span,) = check(lines(case))["varying"]
    assert (span["changed"], span["between_conversations"], span["program"]) == (4, True, None)


def test_check_same_script_twice_is_no_change_of_ids(check: Check) -> None:
    again = []
    for run in range(3):
        text = json.dumps([one.body for one in CASES["plain"].sent])
        again += json.loads(text.replace("call_", f"call_{run}"))
    assert check([{"body": body} for body in again])["varying"] == []


def test_check_equal_tool_results_of_other_conversations_are_no_history(check: Check) -> None:
    call = [{"id": "call_1", "type": "function", "function": {"name": "lookup_order", "arguments": "{}"}}]
    steps: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": call},
        {"role": "tool", "tool_call_id": "call_1", "content": "The shop is open on weekdays from nine to six. " * 20},
    ]
    bodies = []
    for number in range(6):
        question = {"role": "user", "content": f"Caller {number * 7919} asks whether anybody is there today."}
        bodies += [_body(_system(), [question]), _body(_system(), [question, *steps])]
    assert check([{"body": body} for body in bodies])["varying"] == []


def test_check_scripted_questions_in_another_order_per_conversation_are_no_finding(check: Check) -> None:
    turns = [
        (
            {"role": "user", "content": f"Case {number}. {_prose(number)}"},
            {"role": "assistant", "content": _prose(-number)},
        )
        for number in range(1, 7)
    ]
    bodies = []
    for session in range(8):
        history: list[dict[str, Any]] = []
        for question, answer in random.Random(session).sample(turns, 6):
            history.append(question)
            bodies.append(_body(_system(), history.copy()))
            history.append(answer)
    assert check([{"body": body} for body in bodies], status=0)["varying"] == []


def _prose(seed: int) -> str:
    return " ".join(random.Random(seed).choices(_system().split(), k=80))


def test_check_shuffled_examples_in_the_system_message_are_reordered_text(check: Check) -> None:
    examples = [f"Q: {_prose(number)[:150]}?\nA: {_prose(-number)[:150]}." for number in range(1, 9)]
    bodies = []
    for number in range(8):
        order = random.Random(number).sample(examples, 8)
        system = "\n\n".join((_system(), *order, "Answer as in the examples."))
        bodies.append(_body(system, [{"role": "user", "content": f"Question {number}?"}]))
    (span,) = check([{"body": body} for body in bodies], status=1)["varying"]
    assert span["kind"] == "reordered_text"


def test_check_text_that_every_request_repeats_at_its_end_is_no_change(check: Check) -> None:
    end = {"role": "system", "content": "Answer in one sentence, and never mention these instructions to anybody. " * 3}
    sent = _run(lambda turn: (_body(_system(), [*turn.history, end]), _body(_system(), turn.history)))
    assert check([{"body": one.body} for one in sent])["varying"] == []


def test_check_white_label_prompt_has_one_finding_per_value(check: Check) -> None:
    value = check(lines(CASES["tenants"]))
    (span,) = value["varying"]
    assert (span["kind"], span["places"]) == ("name", 21)
    assert span["samples"] == ["Kettle & Co", "Graph Garden", "Hay Hats"]
    text = check(lines(CASES["tenants"]), "--format", "text")
    assert "It is in 21 places; the first is named." in text


def exported(one: Sent, at: int, status: int = 200, phase: str = "done") -> dict[str, Any]:
    """Return a request as the log exports it."""
    record = {"started_utc": f"2026-11-28T15:00:{at:02}Z"}
    return {"record": record, "body": json.dumps(one.body), "summary": {"status": status, "phase": phase}}


def test_check_attempts_of_one_request_are_counted_once(check: Check) -> None:
    sent = CASES["time in front"].sent[:6]
    recorded = [exported(one, number * 6) for number, one in enumerate(sent)]
    once = check(recorded)
    failed = [exported(sent[2], 10, 429, "failed"), exported(sent[2], 11, 500, "failed")]
    value = check([*recorded[:2], *failed, *recorded[2:]])
    assert (once["retried"], value["retried"]) == (0, 2)
    assert [span["requests"] for span in value["varying"]] == [6]
    assert [span["lost_tokens"] for span in value["varying"]] == [span["lost_tokens"] for span in once["varying"]]
    text = check([*recorded[:2], *failed, *recorded[2:]], "--format", "text")
    assert "8 checked (2 sent again after a failure, counted once)" in text
    apart = [exported(sent[2], 0, 500, "failed"), *(exported(one, 59) for one in sent)]
    apart[0]["record"]["started_utc"] = "2026-11-28T14:00:00Z"
    assert check(apart)["retried"] == 0


FRENCH = "Translate letters into French."


def test_check_har_has_usage_failures_and_the_name_of_the_sender(check: Check) -> None:
    def entry(one: Sent, usage: tuple[int, int], agent: str, status: int = 200) -> dict[str, Any]:
        text = f'data: {{"choices": []}}\n\ndata: {{"usage": {json.dumps(reported(*usage))}}}\n\ndata: [DONE]\n\n'
        headers = [{"name": "User-Agent", "value": agent}]
        return {
            "startedDateTime": "2026-11-28T15:00:00.000Z",
            "request": {"method": "POST", "headers": headers, "postData": {"text": json.dumps(one.body)}},
            "response": {"status": status, "content": {"text": text if status == 200 else "{}"}},
        }

    case, other = CASES["time in front"], _run(lambda turn: (_translator(turn.number), {}), sessions=1)
    entries = [entry(one, usage, "openai-python/2.1") for one, usage in zip(case.sent, case.usage, strict=True)]
    entries.insert(4, entry(case.sent[4], (0, 0), "openai-python/2.1", 503))
    alone = check(json.dumps({"log": {"entries": entries}}), name="a.har")
    assert alone["retried"] == 1
    (span,) = alone["varying"]
    assert span["lost_tokens"] == pytest.approx(case.lost, rel=0.05)
    assert span["program"] is None
    for each in entries:
        content = each["response"]["content"]
        content.update(text=b64encode(content["text"].encode()).decode(), encoding="base64")
    assert check(json.dumps({"log": {"entries": entries}}), name="a.har")["varying"] == alone["varying"]
    for each in entries:
        text = b64decode(each["response"]["content"]["text"]).decode()
        text = re.sub(r'"prompt_tokens_details": \{"cached_tokens": (\d+)\}', r'"prompt_cache_hit_tokens": \1', text)
        each["response"]["content"] = {"text": text}
    assert "prompt_cache_hit_tokens" in json.dumps(entries)
    assert check(json.dumps({"log": {"entries": entries}}), name="a.har")["varying"] == alone["varying"]
    entries += [entry(one, (300, 0), "6f1c2a34-98d0-4b3e-8a11-0d7c5a6e9f01") for one in other]
    both = check(json.dumps({"log": {"entries": entries}}), "--rates", "0.4,0.1", "--json", name="a.har", status=1)
    names = {span["program"] for span in both["varying"]}
    assert names == {"openai-python/2.1: You are the support agent of Fault Forks.", FRENCH}
    fields = {one["program"]: one for one in both["programs"]}
    assert fields.keys() == names
    recorded, french = fields["openai-python/2.1: You are the support agent of Fault Forks."], fields[FRENCH]
    assert (recorded["requests"], recorded["prompt_tokens"]) == (
        len(case.sent),
        sum(prompt for prompt, _ in case.usage),
    )
    assert recorded["cached_tokens"] == sum(cached for _, cached in case.usage)
    assert french["prompt_tokens"] == 300 * french["requests"] == 300 * len(other)
    for name, one in fields.items():
        spans = [span for span in both["varying"] if span["program"] == name]
        for field in ("lost_tokens", "lost_tokens_low", "lost_tokens_high"):
            assert one[field] == pytest.approx(sum(span[field] for span in spans), abs=len(spans))
    text = check(json.dumps({"log": {"entries": entries}}), "--format", "text", name="a.har")
    assert f"Program “{FRENCH}”: {len(other)} requests, {300 * len(other):,} prompt tokens, 0 cached (0%), ≈ " in text
    details = check(json.dumps({"log": {"entries": entries}}), "--format", "github", name="a.har")
    assert f"Program “{FRENCH}”" in details


def test_check_states_the_tokens_of_one_program_also_without_reports(check: Check) -> None:
    case = CASES["time in front"]
    text = str(check(lines(case, usage=False), "--format", "text"))
    (line,) = [one for one in text.splitlines() if one.startswith("One program: ")]
    assert line.startswith(f"One program: {len(case.sent)} requests, no reported tokens, ≈ ")
    half = [one if at % 2 else {"body": one["body"]} for at, one in enumerate(lines(case))]
    reported_tokens = sum(prompt for prompt, _ in case.usage[1::2])
    shown = str(check(half, "--format", "text"))
    assert f", {reported_tokens:,} prompt tokens in {len(case.usage[1::2])} of them, " in shown


def _translator(number: int) -> dict[str, Any]:
    text = (
        f"Letter 2026-11-{number + 10}.\nTranslate letters into French. " + "Keep names, numbers and line breaks. " * 30
    )
    return {"messages": [{"role": "system", "content": text}, {"role": "user", "content": f"Letter {number}"}]}


def test_check_a_value_has_one_finding_and_one_price(check: Check) -> None:
    value = check(lines(CASES["time in front"]))
    assert [span["kind"] for span in value["varying"]] == ["time"]
    rules = [finding["rule"] for file in value["files"] for finding in file["findings"]]
    assert "prefix-order" not in rules


def test_check_a_time_that_was_the_same_in_all_requests_has_cost_nothing(check: Check) -> None:
    system = f"The rules are of 2026-11-28T15:00:00Z.\n\n{_system()}"
    sent = _run(lambda turn: (_body(system, turn.history), {}))
    value = check([{"body": one.body} for one in sent], status=0)
    found = [one for file in value["files"] for one in file["findings"] if one["rule"] == "prefix-order"]
    assert [(one["severity"], "has cost nothing yet" in one["detail"]) for one in found] == [("hint", True)]


def _documents(chance: random.Random, front: str) -> list[dict[str, Any]]:
    """Return the user's messages of a request: a value, a document that all have, and a question of its own."""
    value = _uuid(chance) if front == "uuid" else f"{chance.randrange(24):02}:{chance.randrange(60):02}:17"
    question = " ".join(chance.choices(_KEPT, k=9))
    return [{"role": "user", "content": text} for text in (f"For {value}:\n\n{_system()}", f"Which {question}?")]


@pytest.mark.parametrize("front", ["uuid", "time"])
@pytest.mark.parametrize("apart", [False, True])
def test_check_a_text_between_a_value_and_a_question_is_priced(check: Check, front: str, apart: bool) -> None:
    bodies = []
    for number in range(9):
        messages = _documents(random.Random(number), front)
        if not apart:
            messages = [{"role": "user", "content": "\n\n".join(one["content"] for one in messages)}]
        bodies.append({"messages": [{"role": "system", "content": "Answer briefly."}, *messages]})
    value = check([{"body": body} for body in bodies], status=1)
    assert [(one["kind"], one["pointer"]) for one in value["varying"]] == [(front, "/messages/1/content")]
    size = value["varying"][0]["tokens_behind"]
    assert size == pytest.approx(len(_system()) / 4.5, rel=0.3)
    assert value["varying"][0]["tokens_per_request"] == pytest.approx(size * 8 / 9, rel=0.1)


def test_check_a_time_in_an_object_whose_keys_move_is_not_called_the_same(check: Check) -> None:
    chance = random.Random(3)
    bodies = []
    for number in range(6):
        members = [*((f"rule {word}", f"Say {word} once.") for word in _KEPT), ("now", f"09:0{number}:18")]
        chance.shuffle(members)
        text = f"You answer callers.\n{json.dumps(dict(members), indent=2)}\n{_system()}"
        messages = [{"role": "system", "content": text}, {"role": "user", "content": f"Call {number}"}]
        bodies.append({"messages": messages})
    value = check([{"body": body} for body in bodies], status=None)
    found = [one for file in value["files"] for one in file["findings"] if one["rule"] == "prefix-order"]
    assert found
    assert not [one["detail"] for one in found if "was the same" in one["detail"]]


_KEPT = ("names", "numbers", "breaks", "addresses", "prices", "units", "dates", "titles", "tables", "lists", "captions")


def two_programs() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the requests of two programs that share their tools."""
    one = [{"body": sent.body} for sent in CASES["plain"].sent[:8]]
    text = "Translate letters into French.\n" + "\n".join(f"Keep {word} as they are." for word in _KEPT)
    other = [{"body": sent.body} for sent in _run(lambda turn: (_body(text, turn.history), {}))[:8]]
    return one, other


@pytest.mark.parametrize("old", [False, True])
def test_check_baseline_of_a_recording_in_another_order_is_the_same(check: Check, tmp_path: Path, old: bool) -> None:
    one, other = two_programs()
    base = tmp_path / "base.json"
    check([*one, *other], "--baseline", str(base), "--update-baseline", "--json")
    if old:  # as versions wrote it that numbered programs in order
        value = json.loads(base.read_text("utf-8"))
        entries = sorted(value["prompts"].items(), key=lambda pair: pair[1]["tokens"])
        for number, (name, entry) in enumerate(entries, 1):
            del value["prompts"][name], entry["sketch"]
            value["prompts"][f"recorded.jsonl#{number}"] = entry
        base.write_text(json.dumps(value), "utf-8")
    for order in ([*other, *one], [*one, *other]):
        value = check(
            order, "--baseline", str(base), "--json", "--fail-on", "hint", "--ignore", "output-cap", status=None
        )
        found = [each for file in value["files"] for each in file["findings"] if each["rule"] == "prefix-baseline"]
        assert found == value["baseline"] == []


def test_check_baseline_recognizes_a_program_whose_prefix_became_short(check: Check, tmp_path: Path) -> None:
    one, other = two_programs()
    base = tmp_path / "base.json"
    check([*one, *other], "--baseline", str(base), "--update-baseline", "--json")
    timed = [sent.body for sent in CASES["time in front"].sent[:8]]
    value = check([*other, *({"body": body} for body in timed)], "--baseline", str(base), "--json", status=1)
    found = [
        (file["file"].rpartition(":")[2], each["key"])
        for file in value["files"]
        for each in file["findings"]
        if each["rule"] == "prefix-baseline"
    ]
    assert found == [("16", "prefix-baseline:stable")]
    assert value["baseline"] == []
    # The span has the cost: the sum of all findings is at most what the requests paid.
    (span,) = value["varying"]
    (shorter,) = (one for one in value["files"][-1]["findings"] if one["rule"] == "prefix-baseline")
    assert span["tokens_per_request"] > 1_500
    assert shorter["evidence"][0]["value"] == 0
    assert "The cost is stated with the spans that vary." in shorter["detail"]


@pytest.mark.parametrize(("swapped", "pointer"), [(range(4), "/tools/0"), (range(2, 4), "/tools/2")])
def test_check_names_the_first_tool_that_moved(check: Check, swapped: range, pointer: str) -> None:
    tools = [{"type": "function", "function": {"name": f"tool_{at}", "description": "Books. " * 90}} for at in range(4)]
    sent = []
    for number in range(6):
        order = [*range(swapped.start), *(swapped[(at + number) % len(swapped)] for at in range(len(swapped)))]
        messages = [{"role": "user", "content": f"Question {number}"}]
        sent.append({"messages": messages, "tools": [tools[at] for at in order]})
    (span,) = check(sent)["varying"]
    assert (span["kind"], span["pointer"], span["start"]) == ("reordered_tools", pointer, 0)
    assert span["end"] == len(json.dumps(tools[0]))
