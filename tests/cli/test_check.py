"""`check` as a team's CI uses it: a real process, exit statuses, JSON, no log unless told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.cli.main import main
from playground.prompt.document import Document, Message
from playground.prompt.files import dump
from playground.requestlog.log import RequestLog
from playground.simulator.process import SimulatorProcess
from tests.forked_program import run_text

LIMIT_S = 120
LONG = "Give one fact at a time, and be kind to the caller. " * 200
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The program, with the data folder that a user would have in the environment."""

    def call(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(tmp_path / "home"), "PYTHONUTF8": "1"}
        environment.pop("SMALLEST_API_KEY", None)
        return run_text(arguments, environment, text or "")

    return call


def _file(folder: Path, body: Any, name: str = "prompt.json") -> str:
    path = folder / name
    path.write_text(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False), "utf-8")
    return str(path)


def _body(text: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Hello"}]
    return {"model": "electron", "messages": messages, "max_tokens": 100, **fields}


def test_check_without_log_does_not_import_the_log(tmp_path: Path) -> None:
    """Its import takes 20 ms of the command's start."""
    code = (
        "import sys; from playground.cli.main import main; main(['check', sys.argv[1]]);"
        "sys.exit('sqlite3' in sys.modules)"
    )
    path = _file(tmp_path, _body("Be brief."))
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert "prompt.json" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_a_good_prompt_passes_in_silence_and_no_folder_is_made(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body("Be kind.")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("0 serious, 0 warning, 0 hint")
    assert not (tmp_path / "home").exists()


def test_serious_advice_fails_and_names_the_place(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body(f"The caller is {{{{name}}}}. {LONG}")), "--rates", "0.40,0.10")
    assert done.returncode == 1
    assert "serious" in done.stdout
    assert "messages[0].content:14-22" in done.stdout
    assert "$" in done.stdout
    ignored = run("check", _file(tmp_path, _body(f"The caller is {{{{name}}}}. {LONG}")), "--ignore", "prefix-order")
    assert ignored.returncode == 0


def test_warnings_do_not_fail(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body("Reply with JSON only.")))
    assert done.returncode == 0
    assert "json-not-set" in done.stdout


def test_advice_without_a_log_says_nothing_of_a_log(run: Run, tmp_path: Path) -> None:
    body = _body("Be kind.")
    del body["max_tokens"]
    done = run("check", _file(tmp_path, body))
    assert "0 completions of this prompt are known, and 20 are needed." in done.stdout
    assert "the log" not in done.stdout


def test_json_has_everything_and_unknown_is_null(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body(f"The caller is {{{{name}}}}. {LONG}", tools=[])), "--json")
    assert done.returncode == 1
    value = json.loads(done.stdout)
    assert value["serious"] == 2
    by_rule = {item["rule"]: item for item in value["advice"]}
    order = by_rule["prefix-order"]
    (place,) = order["places"]
    assert (place["path"], place["start"], place["end"]) == (["messages", 0, "content"], 14, 22)
    assert (place["pointer"], place["line"], place["column"]) == ("/messages/0/content", 1, 15)
    assert order["source"]["section"] == "Prefix caching"
    assert order["fix"]
    money = next(item for item in order["evidence"] if item["unit"] == "dollars")
    assert (money["value"], money["basis"]) == (None, "unknown")
    assert by_rule["empty-tools"]["severity"] == "serious"


def test_a_prompt_file_is_judged_as_this_program_sends_it(run: Run, tmp_path: Path) -> None:
    document = Document(messages=(Message("user", "Hallo"),), parameters={"max_tokens": 9})
    assert json.loads(run("check", _file(tmp_path, dump(document)), "--json").stdout)["advice"] == []
    foreign = {"messages": [{"role": "user", "content": "Hallo"}], "max_tokens": 9, "stream": True}
    (only,) = json.loads(run("check", "-", "--json", text=json.dumps(foreign)).stdout)["advice"]
    assert only["rule"] == "usage-off"


def test_a_fixture_may_be_named(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, _body("Be kind.", seed=7))
    assert "seed-in-fixture" not in run("check", file).stdout
    assert "seed-in-fixture" in run("check", file, "--fixture").stdout


@pytest.mark.parametrize(
    ("content", "arguments", "word"),
    [
        ("not json", (), "format"),
        ("[]", (), "messages"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', (), "role"),
        ('{"messages": []}', ("--rates", "cheap"), "--rates"),
        ('{"messages": []}', ("--rates", "-1,2"), "--rates"),
        ('{"messages": []}', ("--ignore", "no-such-rule"), "no-such-rule"),
    ],
)
def test_bad_input_is_two(run: Run, tmp_path: Path, content: str, arguments: tuple[str, ...], word: str) -> None:
    done = run("check", _file(tmp_path, content), *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "none.json")).returncode == 2


def test_the_log_is_read_only_when_told(run: Run, tmp_path: Path, simulator: SimulatorProcess) -> None:
    schema = {"type": "object", "properties": {}}
    offered = {"type": "function", "function": {"name": "idle", "description": "Does nothing.", "parameters": schema}}
    body = _body("You answer letters. Be kind and exact.", tools=[offered], stream=True)
    body["stream_options"] = {"include_usage": True}
    del body["max_tokens"]
    file = _file(tmp_path, body)
    for _ in range(2):
        assert run("send", file, "--base-url", simulator.base_url).returncode == 0
    alone = json.loads(run("check", file, "--json").stdout)
    told = json.loads(run("check", file, "--json", "--log").stdout)
    named = json.loads(run("check", file, "--json", "--data-dir", str(tmp_path / "home")).stdout)
    assert _known(alone) == 0
    assert _known(told) == _known(named) == 2


def test_check_log_of_several_files_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Path] = []
    really_open = RequestLog.open

    async def open_and_count(folder: Path, *, reading: bool = False) -> RequestLog:
        opened.append(folder)
        return await really_open(folder, reading=reading)

    monkeypatch.setattr(RequestLog, "open", open_and_count)
    files = [_file(tmp_path, _body(f"Be kind to caller {number}."), f"{number}.json") for number in range(3)]
    assert main(["check", *files, "--json", "--data-dir", str(tmp_path / "home")]) == 0
    assert opened == [tmp_path / "home"]
    assert json.loads(capsys.readouterr().out)["serious"] == 0


def _known(value: dict[str, Any]) -> int:
    (cap,) = (item for item in value["advice"] if item["rule"] == "output-cap")
    return int(cap["evidence"][0]["value"])


def test_several_bodies_with_a_literal_name_in_front_are_serious(run: Run, tmp_path: Path) -> None:
    stable = "Answer billing questions briefly and politely. " * 120
    files = []
    for number, name in enumerate(("Asha Rao", "Ben Okafor", "Chen Wei")):
        body = {
            "model": "electron",
            "messages": [{"role": "system", "content": f"You are talking to {name}. {stable}"}],
        }
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(body), "utf-8")
        files.append(str(path))
    done = run("check", *files, "--json", "--rates", "0.40,0.10")
    assert done.returncode == 1, done.stderr
    value = json.loads(done.stdout)
    assert [file["file"] for file in value["files"]] == files
    (span,) = value["varying"]
    assert (span["kind"], span["part"], span["index"]) == ("name", "message", 0)
    assert span["tokens_behind"] > 500
    assert span["dollars_per_1000_requests"] > 0


def test_lines_of_identical_bodies_have_no_varying_span(run: Run, tmp_path: Path) -> None:
    body = {"messages": [{"role": "system", "content": "Be brief. " * 100}, {"role": "user", "content": "hi"}]}
    path = tmp_path / "bodies.jsonl"
    path.write_text("\n".join(json.dumps({"request": body}) for _ in range(3)), "utf-8")
    done = run("check", str(path), "--json")
    value = json.loads(done.stdout)
    assert len(value["files"]) == 3
    assert value["varying"] == []


RULES = "Answer billing questions briefly and politely. Never promise a refund. " * 70
"""≈ 1,000 tokens."""


def _prompt(system: str, question: str = "{{question}}") -> str:
    return dump(Document(messages=(Message("system", system), Message("user", question)), parameters={"max_tokens": 9}))


def _baseline(run: Run, tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run("check", str(tmp_path / "prompts"), "--baseline", str(tmp_path / "base.json"), "--json", *arguments)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def _of_rule(value: dict[str, Any], rule: str = "prefix-baseline") -> list[dict[str, Any]]:
    files = value.get("files", [value])
    return [found for file in files for found in file["findings"] if found["rule"] == rule]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    _file(folder, _prompt(RULES + "Today is {{date}}."), "one.json")
    return folder


def test_baseline_is_small_sorted_and_has_no_contents(run: Run, tmp_path: Path, prompts: Path) -> None:
    _file(prompts, _prompt("Be kind. " + RULES), "another.json")
    assert _baseline(run, tmp_path, "--update-baseline")[0] == 0
    text = (tmp_path / "base.json").read_text("utf-8")
    assert "refund" not in text
    assert len(text) < 4_000
    entries = json.loads(text)["prompts"]
    assert list(entries) == ["prompts/another.json", "prompts/one.json"]
    assert 800 < entries["prompts/one.json"]["tokens"] < 1_200
    assert _baseline(run, tmp_path) == (0, _baseline(run, tmp_path)[1])
    assert _of_rule(_baseline(run, tmp_path, "--update-baseline")[1]) == []
    assert (tmp_path / "base.json").read_text("utf-8") == text


def test_baseline_in_a_folder_is_no_prompt_also_without_its_option(run: Run, prompts: Path) -> None:
    base = str(prompts / "baseline.json")
    assert run("check", str(prompts), "--baseline", base, "--update-baseline").returncode == 0
    assert run("check", str(prompts), "--baseline", base).returncode == 0
    done = run("check", str(prompts), "--json")
    assert done.returncode == 0, done.stderr
    assert "one.json" in done.stdout
    assert "baseline.json" not in done.stdout


def test_baseline_variable_moved_to_front_fails_and_names_the_character(
    run: Run, tmp_path: Path, prompts: Path
) -> None:
    _baseline(run, tmp_path, "--update-baseline")
    _file(prompts, _prompt("You are kind.\nToday is {{date}}. " + RULES), "one.json")
    status, value = _baseline(run, tmp_path, "--ignore", "prefix-order", "--rates", "0.4,0.1")
    (found,) = _of_rule(value)
    assert (status, found["severity"], found["key"]) == (1, "serious", "prefix-baseline:stable")
    (place,) = found["places"]
    assert (place["pointer"], place["start"], place["line"], place["column"]) == ("/messages/0/content", 23, 2, 10)
    per_request, per_1000, dollars = (fact["value"] for fact in found["evidence"])
    assert 800 < per_request < 1_200
    assert per_1000 == 1_000 * per_request
    assert dollars == pytest.approx(per_request * 0.3 / 1_000)


def test_baseline_edit_behind_the_boundary_passes(run: Run, tmp_path: Path, prompts: Path) -> None:
    _baseline(run, tmp_path, "--update-baseline")
    _file(prompts, _prompt(RULES + "Today is {{date}}. Be very kind.", "Please: {{question}}"), "one.json")
    status, value = _baseline(run, tmp_path, "--fail-on", "hint", "--ignore", "prefix-order", "--ignore", "output-cap")
    assert (status, _of_rule(value)) == (0, [])


def test_baseline_edited_stable_text_is_noted_and_passes(run: Run, tmp_path: Path, prompts: Path) -> None:
    _baseline(run, tmp_path, "--update-baseline")
    _file(prompts, _prompt(RULES[:700] + "NEVER " + RULES[700:] + "Today is {{date}}."), "one.json")
    status, value = _baseline(run, tmp_path)
    (found,) = _of_rule(value)
    assert (status, found["key"], found["places"][0]["start"]) == (0, "prefix-baseline:edited", 512)


def test_baseline_prompt_that_no_longer_shares_with_another_fails(run: Run, tmp_path: Path, prompts: Path) -> None:
    _file(prompts, _prompt(RULES + "Answer in German."), "two.json")
    _baseline(run, tmp_path, "--update-baseline")
    _file(prompts, _prompt("Hello. " + RULES + "Answer in German."), "two.json")
    status, value = _baseline(run, tmp_path)
    shared = [found for found in _of_rule(value) if found["key"] == "prefix-baseline:shared"]
    assert status == 1
    assert len(shared) == 2
    assert {found["places"][0]["start"] for found in shared} == {0}


def test_baseline_new_and_removed_prompts_are_reported_and_pass(run: Run, tmp_path: Path, prompts: Path) -> None:
    _baseline(run, tmp_path, "--update-baseline")
    (prompts / "one.json").rename(prompts / "renamed.json")
    status, value = _baseline(run, tmp_path, "--fail-on", "hint", "--ignore", "prefix-order")
    assert [found["key"] for found in _of_rule(value)] == ["prefix-baseline:new"]
    assert [found["key"] for found in value["baseline"]] == ["prefix-baseline:removed"]
    assert status == 0
    _baseline(run, tmp_path, "--update-baseline")
    assert list(json.loads((tmp_path / "base.json").read_text("utf-8"))["prompts"]) == ["prompts/renamed.json"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "--baseline"),
        ("{}", "electron_playground_prefixes"),
        ('{"electron_playground_prefixes": 1, "prompts": []}', "--baseline.prompts"),
        ('{"electron_playground_prefixes": 1, "prompts": {"a": {"tokens": "x"}}}', "a.tokens"),
    ],
)
def test_baseline_invalid_file_names_the_field(run: Run, tmp_path: Path, prompts: Path, text: str, field: str) -> None:
    _file(tmp_path, text, "base.json")
    done = run("check", str(prompts), "--baseline", str(tmp_path / "base.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert field in done.stderr


def _leaking(number: int) -> dict[str, Any]:
    return _body(f"Session {number:05d}\n2026-11-27T10:00:{number:02d}Z.\n{RULES}", stream=True)


def test_fail_on_decides_the_exit_status(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, _body("Reply with JSON only."))
    assert [run("check", file, "--fail-on", level).returncode for level in ("serious", "warning", "hint")] == [0, 1, 1]


def test_per_request_timestamp_in_front_of_852_tokens_is_serious(run: Run, tmp_path: Path) -> None:
    done = run(
        "check", _file(tmp_path, _body(f"It is 2026-11-27T10:00:00Z. {'Be kind to everyone. ' * 170}")), "--json"
    )
    assert done.returncode == 1
    assert [found["severity"] for found in _of_rule(json.loads(done.stdout), "prefix-order")] == ["serious"]


def test_unfilled_placeholder_in_a_body_is_found(run: Run, tmp_path: Path) -> None:
    value = json.loads(run("check", _file(tmp_path, _body("Be kind to {{ name }}.")), "--json").stdout)
    (found,) = _of_rule(value, "placeholder-unfilled")
    assert (found["places"][0]["start"], found["places"][0]["end"]) == (11, 21)


def test_placeholder_that_all_requests_of_a_program_have_is_one_finding(run: Run, tmp_path: Path) -> None:
    bodies = [_body("Be kind to {{ name }}.") | {"seed": number} for number in range(5)]
    bodies.append(_body("Be kind to {{ place }}."))
    lines = "\n".join(json.dumps({"body": json.dumps(body)}) for body in bodies)
    other = json.dumps({"body": json.dumps(_body("Be kind to {{ name }}. " + "Another program. " * 60))})
    files = [_file(tmp_path, lines, "a.jsonl"), _file(tmp_path, other, "b.jsonl")]
    value = json.loads(run("check", *files, "--json").stdout)
    found = [one["places"][0]["end"] - one["places"][0]["start"] for one in _of_rule(value, "placeholder-unfilled")]
    assert sorted(found) == [len("{{ name }}"), len("{{ name }}"), len("{{ place }}")]


def test_placeholder_in_user_messages_counts_if_most_of_a_program_have_it(run: Run, tmp_path: Path) -> None:
    questions = ["Where is my parcel?", "Can I pay later?", "Is there a discount?", "Who can repair my lamp?"]
    for front, found in (("Customer: {customer}\n", 1), ("", 0)):
        messages = [f"{front}{question}" for question in questions]
        messages[1] += " My template says Customer: {customer}, and {{ name }}."
        bodies = [
            {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": message}]}
            for message in messages
        ]
        file = _file(tmp_path, "\n".join(json.dumps({"body": body}) for body in bodies), "recorded.jsonl")
        value = json.loads(run("check", file, "--json").stdout)
        assert len(_of_rule(value, "placeholder-unfilled")) == found


def _har(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"request": {"method": "POST", "postData": {"text": json.dumps(body)}}} for body in bodies]
    return {"log": {"version": "1.2", "entries": [{"request": {"method": "GET"}}, *entries]}}


@pytest.mark.parametrize("form", ["har", "lines", "stdin"])
def test_recorded_bodies_report_spans_and_what_the_second_costs(run: Run, tmp_path: Path, form: str) -> None:
    bodies = [_leaking(number) for number in range(6)]
    lines = "\n".join(json.dumps({"body": json.dumps(body)}) for body in bodies)
    if form == "stdin":
        done = run("check", "-", "--json", "--rates", "0.4,0.1", text=lines)
    else:
        content, name = (_har(bodies), "a.har") if form == "har" else (lines, "a.jsonl")
        done = run("check", _file(tmp_path, content, name), "--json", "--rates", "0.4,0.1")
    assert done.returncode == 1, done.stderr
    first, second = json.loads(done.stdout)["varying"]
    assert (first["kind"], second["kind"], first["behind"], second["behind"]) == ("counter", "time", None, 0)
    assert first["rewrite"] == "move_behind_stable_text"
    # Fixing the first alone saves the few tokens up to the second.
    assert first["tokens_per_request"] < 16
    assert first["tokens_held_per_request"] > 800
    assert first["severity"] == second["severity"] == "serious"
    assert second["tokens_per_request"] > 800
    assert second["dollars_per_1000_requests"] > 0.2
    assert (first["pointer"], first["start"]) == ("/messages/0/content", 8)


def test_requests_of_the_log_are_checked_by_a_filter(run: Run, tmp_path: Path, simulator: SimulatorProcess) -> None:
    for number in range(3):
        sent = run("send", "-", "--base-url", simulator.base_url, text=json.dumps(_leaking(number)))
        assert sent.returncode == 0, sent.stderr
    done = run("check", "--log", "since:1h", "--json")
    value = json.loads(done.stdout)
    assert (done.returncode, len(value["files"]), value["varying"][0]["kind"]) == (1, 3, "counter")
    assert run("check", "--log", "status:429").returncode == 2
    assert run("check").returncode == 2


def test_sarif_has_the_required_fields_and_the_place_in_the_file(run: Run, tmp_path: Path) -> None:
    text = json.dumps(_body(f"\u00e9\n\U0001f600 It is 2026-11-27T10:00:00Z. {RULES}"), indent=1)
    done = run("check", _file(tmp_path, text, "a b,é.json"), "--format", "sarif")
    value = json.loads(done.stdout)
    (found_run,) = value["runs"]
    driver = found_run["tool"]["driver"]
    assert (value["version"], driver["name"]) == ("2.1.0", "electron-playground")
    assert value["$schema"].endswith("sarif-2.1.0.json")
    for result in found_run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
    (result,) = (result for result in found_run["results"] if result["ruleId"] == "prefix-order")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("a%20b%2C%C3%A9.json")
    region = place["region"]
    line = text.splitlines()[region["startLine"] - 1]
    assert line[region["startColumn"] - 1 :].startswith("2026-11-27T10:00:00Z")


def test_github_annotations_are_escaped_and_name_file_and_line(run: Run, tmp_path: Path) -> None:
    bodies = [_body(f"Session 50%\n{name}: go. {RULES}") for name in ("Asha Rao", "Ben Okafor", "Chen Wei")]
    file = _file(tmp_path, "\n".join(map(json.dumps, bodies)), "a,b.jsonl")
    done = run("check", file, "--format", "github")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(line.startswith(("::error file=", "::warning file=", "::notice file=")) for line in lines)
    (span,) = (line for line in lines if "Varies between requests" in line)
    assert f"file={tmp_path}/a%2Cb.jsonl,line=1,col=" in span
    assert "title=Varies between requests%3A name::" in span


def test_a_million_messages_are_refused_by_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = '{"role":"user","content":"x"}'
    file = _file(tmp_path, '{"messages":[' + ",".join([message] * 1_000_000) + "]}")
    began = time.process_time()  # not the clock: other programs may have the processor
    assert main(["check", str(file)]) == 2
    assert "messages" in capsys.readouterr().err
    assert time.process_time() - began < 30


def test_baseline_reworded_stable_text_is_a_note_that_can_be_ignored(run: Run, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.json"
    arguments = ("check", str(prompt), "--baseline", str(tmp_path / "base.json"), "--fail-on", "hint")
    prompt.write_text(json.dumps(_body(LONG)), "utf-8")
    assert run(*arguments, "--update-baseline").returncode == 0
    prompt.write_text(json.dumps(_body(f"X{LONG[1:]}")), "utf-8")
    done = run(*arguments)
    assert done.returncode == 0
    assert "note: " in done.stdout
    assert done.stdout.strip().endswith("0 hint, 1 note")
    assert "note: " not in run(*arguments, "--ignore", "prefix-baseline:edited").stdout


def test_varying_span_can_be_ignored_by_its_name(run: Run, tmp_path: Path) -> None:
    lines = [json.dumps(_body(f"Caller {number}{number}. {LONG}")) for number in range(3)]
    file = _file(tmp_path, "\n".join(lines), "requests.jsonl")
    done = run("check", file)
    assert done.returncode == 1
    keys = set(re.findall(r"varying-span:[a-z_]+", done.stdout))
    assert keys
    ignored = [option for key in sorted(keys) for option in ("--ignore", key)]
    assert "varying-span" not in run("check", file, *ignored).stdout


def test_update_of_a_baseline_keeps_programs_of_standard_input_and_of_the_log(run: Run, tmp_path: Path) -> None:
    base, lines = tmp_path / "base.json", "\n".join(json.dumps(_body(LONG, seed=at)) for at in range(3))
    update = ("--baseline", str(base), "--update-baseline")
    assert run("check", "-", *update, text=lines).returncode == 0
    stored = json.loads(base.read_text("utf-8"))
    ((name, entry),) = stored["prompts"].items()
    assert name.startswith("-#")
    stored["prompts"]["log#1"] = entry
    base.write_text(json.dumps(stored), "utf-8")
    prompt = _file(tmp_path, json.dumps(_body(LONG)), "prompt.json")
    assert run("check", prompt, *update).returncode == 0
    assert set(json.loads(base.read_text("utf-8"))["prompts"]) == {name, "log#1", "prompt.json"}
    assert "is in the baseline, but not a file" not in run("check", prompt, "--baseline", str(base)).stdout


def _dated(number: int) -> tuple[str, str]:
    return f"Now 2026-11-30 10:0{number}:07. {LONG}", f"Question {number} about order {number * 7919}?"


def _chat(system: str, user: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"model": "electron", "max_tokens": 9, "messages": messages}


OTHER_APIS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "chat": _chat,
    "anthropic": lambda system, user: {
        "model": "claude-x",
        "max_tokens": 9,
        "system": system,
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {}}, {"type": "text", "text": user}]},
        ],
    },
    "responses": lambda system, user: {
        "model": "gpt-x",
        "instructions": system,
        "input": [{"role": "user", "content": user}, {"type": "reasoning", "summary": []}],
    },
    "observation": lambda system, user: {
        "type": "GENERATION",
        "traceId": user,
        "startTime": "2026-11-30T10:00:00Z",
        "model": "electron",
        "input": _chat(system, user)["messages"],
        "usage": {"input": 900, "output": 3},
    },
}


@pytest.mark.parametrize("kind", OTHER_APIS)
@pytest.mark.parametrize("form", ["lines", "wrapped", "array"])
def test_requests_of_every_api_that_can_be_imported_are_compared(
    run: Run, tmp_path: Path, kind: str, form: str
) -> None:
    """What varies is found at the same place, whichever API the program sends to."""
    rows: list[dict[str, Any]] = [OTHER_APIS[kind](*_dated(number)) for number in range(6)]
    if form == "wrapped":
        rows = [{"request": row} for row in rows]
    text = json.dumps(rows) if form == "array" else "\n".join(map(json.dumps, rows))
    path = _file(tmp_path, text, "sent.json" if form == "array" else "sent.jsonl")
    done = run("check", path, "--json")
    assert done.returncode == 1, done.stderr
    (span,) = json.loads(done.stdout)["varying"]
    assert (span["kind"], span["severity"], span["start"]) == ("time", "serious", 4)
    assert span["pointer"] == "/messages/0/content"
    assert span["lost_tokens"] > 1000
    assert span["request"] == path + ("#" if form == "array" else ":") + "1"
    if kind in ("anthropic", "responses"):
        (line,) = [one for one in run("check", path, "--format", "github").stdout.split("\n") if "Varies" in one]
        at = (text.index(': "Now') + len(': "Now ')) + 1
        assert f"line=1,col={at}" in line


def test_the_system_text_of_an_anthropic_body_is_checked(run: Run, tmp_path: Path) -> None:
    done = run(
        "check",
        _file(tmp_path, OTHER_APIS["anthropic"](*_dated(1)) | {"messages": [{"role": "user", "content": "?"}]}),
        "--json",
    )
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["rule"], finding["places"][0]["start"]) == ("prefix-order", 4)


def test_entries_of_har_are_counted_from_one(run: Run, tmp_path: Path) -> None:
    bodies = [OTHER_APIS["responses"](*_dated(number)) for number in range(3)]
    entries = [
        {"request": {"url": "http://x/v1/responses", "postData": {"text": json.dumps(one)}}, "response": {}}
        for one in bodies
    ]
    path = _file(tmp_path, {"log": {"entries": entries}}, "sent.har")
    value = json.loads(run("check", path, "--json").stdout)
    assert [one["file"] for one in value["files"]] == [f"{path}#{number}" for number in (1, 2, 3)]
    assert [one["kind"] for one in value["varying"]] == ["time"]


def test_check_two_formats_are_refused(run: Run, tmp_path: Path) -> None:
    done = run("check", _file(tmp_path, _body("Be brief.")), "--json", "--format", "sarif")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--json: " in done.stderr
