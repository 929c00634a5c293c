"""`check` on recordings of an independent judge: the true figures are those of its own ideal cache."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from playground.cli.check_inputs import read_inputs
from playground.cli.check_losses import SERIOUS_TOKENS
from playground.cli.main import main
from playground.prefix_cache.text_compare import common_prefix

CASES = Path(__file__).parents[1] / "data" / "check_cases"


def _check(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    status = main(["check", str(CASES / f"{name}.jsonl"), "--json"])
    return status, json.loads(capsys.readouterr().out)["varying"]


@pytest.mark.parametrize(
    ("name", "kind", "pointer", "true"),
    [
        ("miss_input_before_template_in_user", "retrieved_text", "/messages/1/content", 2115),
        ("miss_template_behind_retrieved_examples", "retrieved_text", "/messages/1/content", 3525),
        ("miss_transcript_front_trimmed", "history_truncation", "/messages/1/content", 4909),
        ("miss_documents_shuffled_in_system", "reordered_text", "/messages/0/content", 3436),
        ("ab_alternates_shared0of6", "name", "/messages/0/content", 1520),
        ("burst10_own_uuid_2rounds", "uuid", "/messages/0/content", 3763),
        ("fanout4_same_clock_parallel", "time", "/messages/0/content", 2832),
        ("state_eight_keys_indented", "reordered_keys", "/messages/0/content", 1616),
        ("state_eight_keys_shuffled", "reordered_keys", "/messages/0/content", 1632),
        ("plan_in_system_prompt", "text", "/messages/0/content", 6702),
        ("table_in_tool_result", "reordered_text", "/messages/3/content", 8017),
        ("low_price_arguments_alternate", "arguments", "/messages/2/tool_calls/0/function/arguments", 4116),
    ],
)
def test_check_states_the_loss_of_a_judged_recording(
    name: str, kind: str, pointer: str, true: int, capsys: pytest.CaptureFixture[str]
) -> None:
    status, spans = _check(name, capsys)
    assert status == 1
    assert (kind, pointer) in [(one["kind"], one["pointer"]) for one in spans if one["severity"] == "serious"]
    assert sum(one["lost_tokens"] for one in spans) == pytest.approx(true, rel=0.2)


@pytest.mark.parametrize("name", ["alarm_tool_added_once", "alarm_prompt_deployed_once"])
def test_check_single_change_in_a_short_recording_is_a_warning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, spans = _check(name, capsys)
    assert (status, [(one["severity"], one["once"]) for one in spans]) == (0, [("warning", True)])


def test_check_values_that_are_used_again_are_serious_if_they_are_a_state(capsys: pytest.CaptureFixture[str]) -> None:
    status, spans = _check("dates_of_tasks", capsys)
    assert status == 1
    assert sum(one["tokens_per_request"] for one in spans) > 4 * SERIOUS_TOKENS


@pytest.mark.parametrize("name", ["plan_in_system_prompt", "table_in_tool_result"])
def test_check_list_is_one_finding(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(_check(name, capsys)[1]) == 1


def test_check_requests_that_run_at_once_cannot_reuse_what_each_other_computes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _check("burst10_own_uuid_1round", capsys) == (0, [])


def test_check_reports_show_that_running_requests_serve_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (CASES / "fanout4_same_clock_parallel.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        usage = row["response"]["usage"]
        usage["prompt_tokens_details"]["cached_tokens"] = usage["prompt_tokens"] - 30 if number % 4 else 0
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    main(["check", str(path), "--json"])
    (span,) = json.loads(capsys.readouterr().out)["varying"]
    # The first request of each round but the first pays for the prompt behind the time.
    assert span["lost_tokens"] == pytest.approx(2832 / 4, rel=0.1)


def test_check_place_in_a_list_of_parts_is_in_the_text_of_its_part(capsys: pytest.CaptureFixture[str]) -> None:
    _, spans = _check("place_in_content_list", capsys)
    assert [(one["pointer"], one["line"], one["column"]) for one in spans] == [("/messages/0/content/0/text", 1, 13)]


def test_check_recording_with_a_picture_is_checked_like_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check("exit2_one_image_request_of_six", capsys) == (0, [])
    rows = [json.loads(line) for line in (CASES / "exit2_one_image_request_of_six.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        del row["usage"]
        system = row["request"]["messages"][0]
        system["content"] = f"Now: 09:{number:02}:{number * 7:02}\n{system['content']}"
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["check", str(path), "--json"]) == 1
    spans = json.loads(capsys.readouterr().out)["varying"]
    assert [one["pointer"] for one in spans if one["severity"] == "serious"] == ["/messages/0/content"]


def test_check_question_edited_in_front_of_a_long_text_is_no_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = " ".join(f"The account of customer {number} was paid in full before noon." for number in range(40))
    system = {"role": "system", "content": "Answer in one sentence."}
    history: list[dict[str, str]] = [system]
    rows = []
    for turn in range(5):
        question = f"Turn {turn} asks about this: {text[turn * 200 :]}"
        rows += [
            {"messages": [*history, {"role": "user", "content": f"{front}{question}"}]}
            for front in ("Please. ", "Be brief now. ", "")
        ]
        history += [{"role": "user", "content": question}, {"role": "assistant", "content": f"Answer {turn}."}]
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["varying"] == []


def test_check_draft_that_is_refined_line_by_line_is_no_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"Paragraph {number} says that the order of customer {number * 7} is late." for number in range(40)]
    rows = []
    for turn in range(8):
        lines[turn * 2] = f"In version {turn} the warehouse wrote this line again for region {turn * 13}."
        content = "Draft:\n" + "\n".join(lines)
        system = {"role": "system", "content": "Improve the draft."}
        rows.append({"messages": [system, {"role": "user", "content": content}]})
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["varying"] == []


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"find_{name}",
            "description": f"Find every {name} that the customer asks about, also those of earlier years. " * 6,
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    }
    for name in ("order", "invoice", "parcel", "refund", "address", "account", "contract", "voucher", "store", "agent")
]


def _with_tools(
    order: str, times: list[str], minimum: int, count: int = len(TOOLS), rules: int = 30, intro: str = ""
) -> tuple[list[dict[str, Any]], int]:
    """Return the requests of one conversation, and the fresh tokens on a server with blocks of 16 tokens.

    `order`: where its template writes the tools, of which there are `count`. A token has four characters.
    """
    tools = "".join(json.dumps(tool) for tool in TOOLS[:count])
    rows: list[dict[str, Any]] = []
    sent: list[str] = []
    history = ""
    messages: list[dict[str, str]] = []
    for turn, time in enumerate(times):
        system = f"{intro}You answer customers in one sentence. Time: {time}.\n{'Be exact and kind to them. ' * rules}"
        question = f"Question {turn:02}: where is parcel {turn * 37:05}, which was sent last week?"
        messages.append({"role": "user", "content": question})
        history += question
        text = (tools + system if order == "first" else system + tools) + history
        shared = max((common_prefix(text, other) // 64 * 16 for other in sent), default=0)
        cached = shared if shared >= minimum else 0
        usage = {"prompt_tokens": len(text) // 4, "prompt_tokens_details": {"cached_tokens": cached}}
        body = {"messages": [{"role": "system", "content": system}, *messages], "tools": TOOLS[:count]}
        rows.append({"request": body, "response": {"usage": usage}})
        sent.append(text)
        answer = f"Parcel {turn * 37:05} is on its way to the customer."
        messages.append({"role": "assistant", "content": answer})
        history += answer
    usages = [row["response"]["usage"] for row in rows]
    return rows, sum(one["prompt_tokens"] - one["prompt_tokens_details"]["cached_tokens"] for one in usages)


def _checked_rows(
    rows: list[dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any], str]:
    """Return the exit status, the only span, and the text of its finding."""
    path = folder / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    status = main(["check", str(path), "--json"])
    (span,) = json.loads(capsys.readouterr().out)["varying"]
    main(["check", str(path)])
    return status, span, capsys.readouterr().out


CHANGING = [f"09:{turn:02}:{turn * 7 % 60:02}" for turn in range(8)]


@pytest.mark.parametrize("minimum", [0, 1024])
@pytest.mark.parametrize("order", ["first", "behind the system text"])
def test_check_price_of_a_time_in_the_system_text_is_that_of_the_template(
    order: str, minimum: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, fresh = _with_tools(order, CHANGING, minimum)
    _, least = _with_tools(order, CHANGING[:1] * len(CHANGING), minimum)
    status, span, text = _checked_rows(rows, tmp_path, capsys)
    assert (status, span["kind"], span["tools_after_per_request"]) == (1, "time", 0)
    assert span["lost_tokens"] == pytest.approx(fresh - least, rel=0.2)
    assert "If the server writes tools" not in text


@pytest.mark.parametrize("order", ["first", "behind the system text"])
def test_check_price_includes_text_that_was_not_served_because_it_was_below_the_minimum(
    order: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, fresh = _with_tools(order, CHANGING, 1024, count=4, rules=100)
    _, least = _with_tools(order, CHANGING[:1] * len(CHANGING), 1024, count=4, rules=100)
    assert not any(row["response"]["usage"]["prompt_tokens_details"]["cached_tokens"] for row in rows)
    status, span, _ = _checked_rows(rows, tmp_path, capsys)
    assert status == 1
    assert span["lost_tokens"] == pytest.approx(fresh - least, rel=0.2)


def test_check_prompt_that_is_below_the_minimum_also_without_its_time_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    intro = "Never promise what you cannot keep. " * 30
    rows, fresh = _with_tools("first", CHANGING, 1024, count=1, intro=intro)
    assert fresh == _with_tools("first", CHANGING[:1] * len(CHANGING), 1024, count=1, intro=intro)[1]
    status, span, _ = _checked_rows(rows, tmp_path, capsys)
    assert (status, span["lost_tokens"]) == (0, 0)


def test_check_switches_in_the_description_of_a_tool_are_one_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, _ = _with_tools("first", CHANGING[:1] * 8, 0)
    names = ("late_orders", "gift_cards", "refunds", "night_service", "pickup")
    for turn, row in enumerate(rows):
        states = {name: (turn + at) % (at + 2) == 0 for at, name in enumerate(names)}
        tools = json.loads(json.dumps(TOOLS))
        tools[4]["function"]["description"] = f"Finds a store. Switches: {json.dumps(states)}. Ask for the city first."
        row["request"]["tools"] = tools
        del row["response"]
    status, span, _ = _checked_rows(rows, tmp_path, capsys)
    assert (status, span["pointer"]) == (1, "/tools/4")


def test_check_conversations_without_a_system_message_that_share_tools_are_one_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = (
        "Where is my parcel? It was sent on Monday.",
        "Please cancel the contract of my late father, who had the number 4711.",
        "Which of your stores sells blue paint for a fence of wood, and is it open on Sunday?",
    )
    rows = []
    for number, question in enumerate(questions):
        messages = [{"role": "user", "content": question}]
        for turn in range(4):
            tools = json.loads(json.dumps(TOOLS))
            tools[1]["function"]["description"] += f"Today is request {4 * number + turn + 311}."
            rows.append({"request": {"messages": list(messages), "tools": tools}})
            messages.append({"role": "assistant", "content": f"Let me see, {turn}."})
            messages.append({"role": "user", "content": f"And what about the one of {turn + 2019}?"})
    status, span, _ = _checked_rows(rows, tmp_path, capsys)
    assert (status, span["pointer"], span["changed"]) == (1, "/tools/1", len(rows) - 1)


def test_check_pairs_of_examples_in_another_order_are_one_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [
        [
            {"role": "user", "content": f"Which department is responsible for {topic}, and who answers there?"},
            {"role": "assistant", "content": f"The desk for {topic} in room {at + 12}, every day from nine to five."},
        ]
        for at, topic in enumerate(("broken glass", "late trains", "lost keys", "noise at night", "water", "roofs"))
    ]
    system = {"role": "system", "content": "Be exact and kind to all customers. " * 20}
    orders = [(0, 1, 2, 3, 4, 5), (1, 0, 2, 3, 5, 4), (1, 0, 2, 4, 3, 5), (5, 0, 2, 4, 3, 1), (0, 5, 2, 4, 1, 3)]
    rows, turns = [], [{"role": "user", "content": "My neighbour plays the drums. Whom do I ask?"}]
    for number, order in enumerate(orders):
        examples = [message for at in order for message in pairs[at]]
        rows.append({"request": {"messages": [system, *examples, *turns]}})
        turns += [{"role": "assistant", "content": f"The desk for noise, room {number}. " * 8}]
        turns += [{"role": "user", "content": f"And on day {number} of the holidays?"}]
    status, span, _ = _checked_rows(rows, tmp_path, capsys)
    assert (status, span["kind"], span["changed"]) == (1, "reordered_text", 4)


@pytest.mark.parametrize("reports", ["none", "nothing is ever cached"])
def test_check_price_says_what_depends_on_the_template_if_reports_do_not_tell(
    reports: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Every second request repeats the time of the one before.
    rows, _ = _with_tools("first", [CHANGING[turn // 2] for turn in range(8)], 0)
    for row in rows:
        if reports == "none":
            del row["response"]
        else:
            row["response"]["usage"]["prompt_tokens_details"]["cached_tokens"] = 0
    _, span, text = _checked_rows(rows, tmp_path, capsys)
    # Three of eight requests have a new time.
    assert span["tools_after_per_request"] == pytest.approx(len(json.dumps(TOOLS)) / 4 * 3 / 8, rel=0.2)
    assert f"If the server writes tools after the system text, ≈ {span['tools_after_per_request']:,} more" in text
    assert (span["estimated"], "estimates for an unknown tokenizer" in text) == ((reports == "none",) * 2)


RULES = " ".join(f"Rule {number}: answer question {number * 7} with care and name the price." for number in range(60))


def _system(text: str, question: str) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}, {"role": "user", "content": question}]}


@pytest.mark.parametrize("requests", [1, 3])
def test_check_two_drafts_in_a_folder_are_no_program(
    requests: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("a", RULES), ("b", f"Be kind to them. {RULES}")):
        rows = [_system(text, f"Question {name}{number}?") for number in range(requests)]
        path = tmp_path / (f"{name}.json" if requests == 1 else f"{name}.jsonl")
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["check", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["varying"] == []


def test_check_conversation_in_two_files_is_one_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = _system(f"Now: 09:00:01\n{RULES}", "Is it open?")
    second = _system(f"Now: 09:04:27\n{RULES}", "Is it open?")
    second["messages"] += [{"role": "assistant", "content": "It is."}, {"role": "user", "content": "Until when?"}]
    for name, body in (("a", first), ("b", second)):
        (tmp_path / f"{name}.json").write_text(json.dumps(body), "utf-8")
    assert main(["check", str(tmp_path), "--json"]) == 1
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)["varying"]] == ["time"]


def test_check_nonce_in_a_short_system_message_of_its_own_is_one_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for nonce in ("3c6133b76dc2dd45", "350d228a8d2f4299", "a58de5b140b7ddfe", "c93461e6b47f6a6e"):
        body = _system(RULES, "Is it open?")
        body["messages"].insert(0, {"role": "system", "content": f"nonce {nonce}"})
        rows.append(body)
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["check", str(path), "--json"]) == 1
    (span,) = json.loads(capsys.readouterr().out)["varying"]
    assert (span["requests"], span["changed"]) == (4, 3)


@pytest.mark.parametrize(
    ("block", "minimum", "tokens"), [(16, 0, 700), (16, 1024, 700), (1024, 0, 1500), (16, 1024, 1500), (256, 0, 3000)]
)
@pytest.mark.parametrize("usage", [True, False])
def test_check_interval_holds_the_price_of_caches_that_no_report_tells(
    block: int, minimum: int, tokens: int, usage: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No request shares the time, so no token is ever cached. The tokenizer has four and a half characters a token."""
    text = (RULES * 4)[: round(tokens * 4.5)]
    rows = []
    for number in range(6):
        report = {"prompt_tokens": tokens + 8, "prompt_tokens_details": {"cached_tokens": 0}}
        row: dict[str, Any] = {"request": _system(f"{number}{number}:0{number}:12\n{text}", "Is it open?")}
        rows.append({**row, "response": {"usage": report}} if usage else row)
    path = tmp_path / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    main(["check", str(path), "--json"])
    spans = json.loads(capsys.readouterr().out)["varying"]
    true = 5 * (tokens // block * block if tokens >= minimum else 0)
    low, high = (sum(one[end] for one in spans) for end in ("lost_tokens_low", "lost_tokens_high"))
    assert low <= 1.02 * true
    assert high >= 0.98 * true
    assert low <= sum(one["lost_tokens"] for one in spans) <= high
    if usage:
        assert high <= 5 * (tokens + 8)


def test_check_prompts_below_a_possible_minimum_of_which_nothing_was_served_have_no_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "\n".join(f"Rule {number}: answer in one short sentence and name the order." for number in range(10))
    lines = []
    for number in range(12):
        system = f"Now 10:{number * 5:02}:{number * 7 % 60:02}.\n{rules}"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": f"Where is {number * 7919}?"}]
        usage = {"prompt_tokens": 215, "prompt_tokens_details": {"cached_tokens": 0}}
        lines.append(json.dumps({"body": {"model": "electron", "messages": messages}, "usage": usage}))
    path = tmp_path / "short.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert main(["check", str(path), "--json"]) == 0
    (span,) = json.loads(capsys.readouterr().out)["varying"]
    assert (span["lost_tokens"], span["tokens_per_request"], span["lost_tokens_low"]) == (0, 0, 0)
    assert span["lost_tokens_high"] > 0


ASKED = [{"role": "user", "content": "Where is order 7?"}]
CALLED = [
    {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}},
]
PARTS = [
    {"role": "user", "parts": [{"type": "text", "content": "Where is order 7?"}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"id": 7}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "Sent."}]},
]
TURNS = [
    {"role": "system", "content": "Be kind."},
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": CALLED},
    {"role": "tool", "content": "Sent.", "tool_call_id": "c1"},
]
ATTRIBUTES = {
    "gen_ai.request.model": "electron",
    "gen_ai.system_instructions": [{"type": "text", "content": "Be kind."}],
    "gen_ai.input.messages": json.dumps(PARTS),
    "gen_ai.usage.input_tokens": 900,
    "gen_ai.usage.cache_read.input_tokens": 512,
}
EVENTS = [
    {"name": "gen_ai.system.message", "body": {"content": "Be kind."}},
    {"name": "gen_ai.user.message", "attributes": {"content": "Where is order 7?"}},
    {"name": "gen_ai.assistant.message", "body": {"tool_calls": CALLED}},
    {"name": "gen_ai.tool.message", "body": {"id": "c1", "content": "Sent."}},
]
OTLP = [
    {"key": name, "value": {"intValue": str(item)} if isinstance(item, int) else {"stringValue": item}}
    for name, item in ATTRIBUTES.items()
    if isinstance(item, str | int)
]
USAGE = {name: item for name, item in ATTRIBUTES.items() if "usage" in name}
BODY = {"model": "electron", "messages": TURNS}
ANTHROPIC = {"input_tokens": 88, "cache_read_input_tokens": 512, "cache_creation_input_tokens": 300, "output_tokens": 9}
LANGFUSE = {"input": 88, "cache_read_input_tokens": 512, "cache_creation_input_tokens": 300, "output": 9, "total": 909}


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        ({"name": "chat electron", "attributes": ATTRIBUTES}, TURNS),
        ({"attributes": {}, "events": [{"name": "details", "attributes": ATTRIBUTES}]}, TURNS),
        ({"attributes": OTLP}, TURNS[1:]),
        ({"attributes": USAGE, "events": EVENTS}, TURNS),
        ({"body": BODY, "response": {"usage": ANTHROPIC}}, TURNS),
        ({"body": BODY, "usage": {"input_tokens": 900, "input_tokens_details": {"cached_tokens": 512}}}, TURNS),
        ({"traceId": "t", "input": TURNS, "usage": {"input": 88}, "usageDetails": LANGFUSE}, TURNS),
    ],
)
def test_check_reads_the_messages_and_tokens_of_other_tools(
    line: dict[str, Any], messages: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f"{json.dumps(line)}\n{json.dumps(line)}", encoding="utf-8")
    item = read_inputs(argparse.Namespace(file=[str(path)], log=None, data_dir=None), None)[1]
    assert item.body is not None
    assert item.body["messages"] == messages
    assert (item.outcome.usage.prompt, item.outcome.usage.cached) == (900, 512)
