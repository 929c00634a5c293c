"""Responses with status 200 that are no answer, or only a part of one: failed in every list of results."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import IncompleteRead
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from playground.cli import NOT_LOGGED, STOPPED
from playground.client.endpoint import Endpoint
from playground.prompt.document import Document, Message
from playground.requestlog.store import FILE_NAME
from playground.simulator.process import SimulatorProcess
from tests.agent.dialogue import Dialogue, play
from tests.forked_program import run_text, start_text
from tests.http_server import QuietHandler, serving


def _event(value: object) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _finish(reason: str = "stop") -> str:
    return _event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


def _call(arguments: str, name: str | None = "transfer") -> str:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    call = (
        {"index": 0, "id": "call_1", "type": "function", "function": function}
        if name
        else {"index": 0} | {"function": function}
    )
    return _event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})


def _choice(index: int, **fields: object) -> str:
    return _event({"choices": [{"index": index, **fields}]})


def _usage(prompt: object, output: object, total: object, cached: object, **more: object) -> str:
    fields = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}
    return _event({"choices": [], "usage": {**fields, "prompt_tokens_details": {"cached_tokens": cached}, **more}})


def _reasoning(tokens: int) -> dict[str, object]:
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


TEXT = _event({"choices": [{"index": 0, "delta": {"content": "hi"}}]})
DONE = "data: [DONE]\n\n"
ERROR = _event({"error": {"message": "out of memory", "code": 500}})
USAGE = _event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})
_UNNAMED = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "", "arguments": "{}"}}
WORD = "sk-3f9a8b7c6d5e4f3a2b1c0d9e"
LOGIN = "<!DOCTYPE html><html><body>Sign in</body></html>"
FAILED = {
    "no end": TEXT,
    "usage and no end": TEXT + USAGE,
    "error after text": TEXT + ERROR,
    "error after text, and an end": TEXT + ERROR + DONE,
    "error after the finish": TEXT + _finish() + ERROR + DONE,
    "error as an event": TEXT + "event: error\n" + ERROR,
    "error as text": TEXT + _event({"error": "boom"}) + DONE,
    "finished by an error": TEXT + _finish("error") + DONE,
    "message after text": TEXT + _event({"message": "internal error"}) + DONE,
    "empty choices": _event({"choices": []}) + DONE,
    "only usage": USAGE + DONE,
    "only an end": DONE,
    "nothing": "",
    "login page": LOGIN,
    "login page after text": TEXT + LOGIN,
    "other choice only": _event({"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}) + DONE,
    "cut call and an end": _call('{"amount": 1') + DONE,
    "cut call in pieces": _call("") + _call('{"amount": ', None) + DONE,
    "call without arguments": _call("") + DONE,
    "text, cut call, usage": TEXT + _call('{"amount": 1') + USAGE + DONE,
    "whole call, cut call": _call("{}") + _call('{"amount": 1', "other") + DONE,
    "cut call after the finish": TEXT + _finish() + _call('{"amount": 1') + DONE,
    "cut call after the finish, no end": TEXT + _finish() + _call('{"amount": 1'),
    "cut call, no end": _call('{"amount": 1'),
    "cut call by length": _call('{"amount": 1') + _finish("length") + USAGE + DONE,
    "cut call called finished": _call('{"amount": "1') + _finish("tool_calls") + DONE,
    "cut call, stop and no end": _call('{"amount": [1') + _finish(),
    "cut call between whole calls": _call("{}") + _call('{"a":', "b") + _call("{}", "c") + _finish("tool_calls") + DONE,
    "two whole bodies": 2 * (json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}) + "\n"),
    "two whole bodies in events": 2 * _event({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}),
    "whole body without a message": json.dumps({"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]}),
    "text in place of a chunk": TEXT + _event("x") + TEXT + _finish() + DONE,
    "list in place of a chunk": TEXT + _event([1, 2]) + TEXT + _finish() + DONE,
    "cut call, whole body by length": json.dumps(
        {
            "choices": [
                {
                    "finish_reason": "length",
                    "message": {"tool_calls": [{"id": "c", "function": {"name": "transfer", "arguments": '{"a": 1'}}]},
                }
            ]
        }
    ),
    "cut call, whole body": json.dumps(
        {
            "choices": [
                {
                    "message": {
                        "tool_calls": [
                            {
                                "id": "c",
                                "type": "function",
                                "function": {"name": "transfer", "arguments": '{"amount": 1'},
                            }
                        ]
                    }
                }
            ]
        }
    ),
}
ANSWERED = {
    "calls in reverse order": "".join(
        _event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "id": name, **function}]}}]})
        for index, name, function in (
            (1, "b", {"type": "function", "function": {"name": "second", "arguments": "{}"}}),
            (0, "a", {"type": "function", "function": {"name": "first", "arguments": "{}"}}),
        )
    )
    + _finish("tool_calls")
    + DONE,
    "whole": TEXT + _finish() + USAGE + DONE,
    "finish twice": TEXT + _finish() + _finish() + DONE,
    "finish and no end": TEXT + _finish(),
    "end and no finish": TEXT + DONE,
    "text after the finish": _finish() + TEXT + DONE,
    "whole call and no finish": _call('{"amount": ') + _call("1}", None) + DONE,
    "text cut by length": TEXT + _finish("length") + DONE,
    "a word in two pieces": _choice(0, delta={"content": "di"})
    + _choice(0, delta={"content": WORD})
    + _finish()
    + DONE,
    "closed arguments that are no JSON": _call('{"amount": }') + _finish("tool_calls") + DONE,
    "text in a bracket": _call("[see the note") + _finish("tool_calls") + DONE,
    "finished by a call that is missing": TEXT + _finish("tool_calls") + DONE,
    "call without parameters": _call("") + _finish("tool_calls") + DONE,
    "reasoning after the finish": TEXT + _finish() + _choice(0, delta={"reasoning_content": "more"}) + DONE,
    "call after the finish": TEXT + _finish() + _call("{}") + DONE,
    "cut call of a further choice": TEXT
    + _choice(1, delta={"tool_calls": [{**_UNNAMED, "function": {"name": "f", "arguments": '{"a":"'}}]})
    + _choice(1, delta={}, finish_reason="tool_calls")
    + _finish()
    + DONE,
    "arguments that are broken JSON": _call('{"a" 1}}') + _finish("tool_calls") + DONE,
    "arguments that are a list": _call("[1]") + _finish("tool_calls") + DONE,
    "two calls of one id": _call("{}")
    + _call("{}", "g").replace('"index": 0, "id"', '"index": 1, "id"')
    + _finish("tool_calls")
    + DONE,
    "half of a character": _choice(0, delta={"content": "a\ud83d b"}) + _finish() + DONE,
    "bytes that are no text": TEXT + _finish() + DONE,
    "more cached than input": TEXT + _finish() + _usage(10, 5, 15, 50) + DONE,
    "total below its parts": TEXT + _finish() + _usage(10, 5, 14, 0) + DONE,
    "negative usage": TEXT + _finish() + _usage(-10, 5, -5, 0) + DONE,
    "total of a fraction": TEXT + _finish() + _usage(10, 5, 15.5, 0) + DONE,
    "total that is a text": TEXT + _finish() + _usage(10, 5, "15 in all", 0) + DONE,
    "count that is a list": TEXT + _finish() + _usage([10], 5, 15, 0) + DONE,
    "total above its parts": TEXT + _finish() + _usage(10, 5, 99, 0) + DONE,
    "reasoning above the output": TEXT + _finish() + _usage(10, 5, 15, 0, **_reasoning(9)) + DONE,
    "negative reasoning": TEXT + _finish() + _usage(10, 5, 15, 0, **_reasoning(-9)) + DONE,
    "total with the reasoning of xAI": TEXT + _finish() + _usage(10, 5, 99, 0, **_reasoning(84)) + DONE,
    "total with thinking": TEXT
    + _finish()
    + _usage(10, 5, 99, 0).replace('{"choices"', '{"model": "gemini-3", "choices"')
    + DONE,
    "pings that are JSON": TEXT + "".join(map(_event, (None, 7, "ping", []))) + _finish() + DONE,
    "whole body as a stream": json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}),
    "two streams": 2 * (TEXT + _finish() + USAGE + DONE),
    "two streams, one end": 2 * (TEXT + _finish() + USAGE) + DONE,
    "error after the end": TEXT + _finish() + DONE + ERROR,
    "login page after the end": TEXT + _finish() + DONE + f"data: {LOGIN}\n\n",
    "text after the end, without its empty line": TEXT + _finish() + DONE + TEXT.rstrip(),
    "call with an empty name": TEXT + _choice(0, delta={"tool_calls": [_UNNAMED]}) + _finish("tool_calls") + DONE,
    "finished by a function call that is missing": TEXT + _finish("function_call") + DONE,
    "further choice without a finish": TEXT + _choice(1, delta={"content": "b"}) + _finish() + DONE,
    "further choice cut": TEXT + _choice(1, delta={"content": "b"}, finish_reason="length") + _finish() + DONE,
    "text after a further finish": TEXT
    + _choice(1, delta={"content": "b"}, finish_reason="stop")
    + _choice(1, delta={"content": "c"})
    + _finish()
    + DONE,
    "filter, usage, comments": TEXT
    + _event({"choices": [], "prompt_filter_results": []})
    + _finish()
    + _choice(0, content_filter_offsets={"check_offset": 1}, content_filter_results={}, finish_reason=None)
    + _choice(0, delta={"role": "assistant", "content": ""}, finish_reason=None)
    + USAGE
    + DONE
    + ": keep-alive\n\n"
    + DONE
    + 'event: ping\ndata: {"type": "ping"}\n\n: ping\n\n'
    + USAGE,
    "finish in each chunk": 3 * _choice(0, delta={"content": "a"}, finish_reason="stop") + _finish() + USAGE + DONE,
    "finish in each chunk of two kinds": _choice(0, delta={"reasoning_content": "a"}, finish_reason="stop")
    + _choice(
        0, delta={"tool_calls": [{**_UNNAMED, "function": {"name": "f", "arguments": "{}"}}]}, finish_reason="stop"
    )
    + 2 * _choice(1, delta={"content": "b"}, finish_reason="stop")
    + DONE,
    "two whole choices": TEXT
    + _choice(1, delta={"content": "b"}, finish_reason="stop")
    + _choice(0, delta={"content": " more"}, finish_reason="stop")
    + DONE,
    "text in a chunk of its own after a finish": 2 * _choice(0, delta={"content": "a"}, finish_reason="stop")
    + TEXT
    + DONE,
}
# The model has finished, and the transfer is cut: headers, and the part of the body that is sent.
_PACKED = gzip.compress((TEXT + _finish()).encode(), mtime=0)
_ENDED = gzip.compress((TEXT + _finish() + DONE).encode(), mtime=0)
_JSON = {"Content-Type": "application/json"}
_WHOLE = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()
CUT_TRANSFERS = {
    "cut length": ({"Content-Length": "500"}, (TEXT + _finish()).encode()),
    "cut chunk": ({"Transfer-Encoding": "chunked"}, b"900\r\n" + (TEXT + _finish()).encode()),
    "cut gzip": ({"Content-Encoding": "gzip"}, _PACKED[:-9]),
    "cut gzip of a whole body": ({"Content-Encoding": "gzip", **_JSON}, gzip.compress(_WHOLE, mtime=0)[:-4]),
    "cut length after the end": ({"Content-Length": "500"}, (TEXT + _finish() + DONE).encode()),
    "cut chunk after the end": (
        {"Transfer-Encoding": "chunked"},
        b"%x\r\n%b\r\n" % (len(TEXT + _finish() + DONE), (TEXT + _finish() + DONE).encode()),
    ),
    "cut gzip after the end": ({"Content-Encoding": "gzip"}, _ENDED[:-6]),
    "cut length of a whole body": ({"Content-Length": "500", **_JSON}, _WHOLE),
}
# Its checksum shows that the text was changed.
_DAMAGED = {
    name: ({"Content-Encoding": "gzip"}, packed[:-8] + bytes(8))
    for name, packed in (("damaged gzip", _PACKED), ("damaged gzip after the end", _ENDED))
}
FAILED |= dict.fromkeys(_DAMAGED, "")
ANSWERED |= dict.fromkeys(CUT_TRANSFERS, "")
WARNED = dict.fromkeys(("end and no finish", "whole call and no finish"), "no_finish_reason")
WARNED |= dict.fromkeys(("finish and no end", *CUT_TRANSFERS), "cut_transfer") | {"text cut by length": "length"}
WARNED |= dict.fromkeys(
    ("finished by a call that is missing", "finished by a function call that is missing"), "no_tool_call"
)
WARNED |= dict.fromkeys(
    (
        "text after the finish",
        "text in a chunk of its own after a finish",
        "reasoning after the finish",
        "call after the finish",
        "two streams, one end",
        "text after a further finish",
    ),
    "text_after_finish",
)
WARNED |= dict.fromkeys((name for name in ANSWERED if "after the end" in name and "cut" not in name), "more_after_done")
WARNED |= {"two streams": "more_after_done", "call with an empty name": "unnamed_tool_call"}
WARNED |= dict.fromkeys(
    (
        "cut call of a further choice",
        "arguments that are broken JSON",
        "arguments that are a list",
        "closed arguments that are no JSON",
        "text in a bracket",
    ),
    "bad_arguments",
)
WARNED |= {"two calls of one id": "repeated_call_id", "half of a character": "replaced_text"}
WARNED |= {"bytes that are no text": "replaced_text"}
WARNED |= dict.fromkeys(
    (
        "more cached than input",
        "total below its parts",
        "negative usage",
        "total of a fraction",
        "total that is a text",
        "count that is a list",
        "total above its parts",
        "reasoning above the output",
        "negative reasoning",
    ),
    "wrong_usage",
)
WARNED |= {"further choice without a finish": "no_finish_reason", "further choice cut": "length"}
ALL = FAILED | ANSWERED
PHASES = dict.fromkeys(FAILED, "failed") | dict.fromkeys(ANSWERED, "done")


class _Answer(QuietHandler):
    before: Callable[[], object] = staticmethod(lambda: None)

    def do_POST(self) -> None:
        self.before()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["messages"][-1]["content"]
        # An agent sends the result of a call, which gets an answer.
        headers, sent = (CUT_TRANSFERS | _DAMAGED).get(name, ({}, ALL.get(name, ALL["whole"]).encode()))
        sent = sent.replace(b"hi", b"\xff\xfe\xc3") if name == "bytes that are no text" else sent
        self.send_response(200)
        kind = "text/html" if name == "login page" else "text/event-stream"
        for pair in {"Content-Type": kind, "Connection": "close", **headers}.items():
            self.send_header(*pair)
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = True


@pytest.fixture
def base_url() -> Iterator[str]:
    with serving(_Answer) as address:
        yield f"{address}/v1"


def _body(question: str) -> str:
    return json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": question}]})


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(folder / "home")}


def test_batch_rows_are_failed(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(_body("{{question}}"))
    for names, status in ((list(ALL), 1), (list(ANSWERED), 0)):
        data, out = tmp_path / f"{status}.csv", tmp_path / f"{status}.jsonl"
        with data.open("w", newline="") as file:
            csv.writer(file).writerows([("question",), *((name,) for name in names)])
        command = ["batch", str(tmp_path / "p.json"), "--data", str(data), "--base-url", base_url, "-o", str(out)]
        done = run_text(command, _environment(tmp_path))
        assert done.returncode == status, done.stderr
        rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        phases = {row["variables"]["question"]: row["phase"] for row in rows}
        assert phases == {name: PHASES[name] for name in names}
        kinds = {row["variables"]["question"]: [one["kind"] for one in row["warnings"]] for row in rows}
        assert kinds == {name: [WARNED[name]] if name in WARNED else [] for name in names}
        assert f"{len(WARNED)} answers" in done.stderr
        assert all((row["error"] is None) == (row["phase"] == "done") for row in rows)


def test_recorded_rows_are_failed(base_url: str, tmp_path: Path) -> None:
    command = ["record", "--port", "0", "--base-url", base_url, "--json"]
    process = start_text(command, _environment(tmp_path))
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["base_url"] + "/chat/completions"
    for name in ALL:
        with (
            urlopen(Request(address, _body(name).encode(), {"Content-Type": "application/json"})) as answer,
            suppress(IncompleteRead),
        ):
            answer.read()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    listed = run_text(["log", "list", "--json", "--limit", "100"], _environment(tmp_path)).stdout.splitlines()
    rows = sorted((json.loads(line) for line in listed), key=lambda row: str(row["started_utc"]))
    assert [(row["phase"], row["error"] is None) for row in rows] == [
        (PHASES[name], PHASES[name] == "done") for name in ALL
    ]
    assert {name for name, row in zip(ALL, rows, strict=True) if row["warning"]} == set(WARNED)


def test_agent_loop_is_failed(base_url: str, simulator: SimulatorProcess) -> None:
    for name, phase in PHASES.items():
        dialogue = Dialogue(simulator, Document(messages=(Message("user", name),)))
        dialogue.endpoint = Endpoint("e", "E", base_url, needs_key=False)
        ended = play(dialogue)
        assert (ended.reason == "failed", bool(ended.error)) == ((phase == "failed"),) * 2, (name, ended)


def test_cut_call_is_not_run_and_not_called_finished(
    base_url: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    for name in (name for name in FAILED if "cut call" in name):
        dialogue = Dialogue(simulator, Document(messages=(Message("user", name),)))
        dialogue.endpoint = Endpoint("e", "E", base_url, needs_key=False)
        assert play(dialogue).reason == "failed"
        assert all(not turn.calls for turn in dialogue.chain.conversation.turns.values()), name
        (tmp_path / "p.json").write_text(_body(name))
        done = run_text(["send", str(tmp_path / "p.json"), "--base-url", base_url], _environment(tmp_path))
        assert (done.returncode, "was cut" in done.stderr) == (1, True), (name, done.stderr)


def test_send_calls_are_printed_in_the_order_of_their_indexes(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(_body("calls in reverse order"))
    done = run_text(["send", str(tmp_path / "p.json"), "--base-url", base_url], _environment(tmp_path))
    assert (done.returncode, done.stdout) == (0, "first({})\nsecond({})\n")


def test_send_text_cut_by_length_is_noted(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(_body("text cut by length"))
    done = run_text(["send", str(tmp_path / "p.json"), "--base-url", base_url], _environment(tmp_path))
    assert (done.returncode, done.stdout) == (0, "hi\n")
    assert "cut at max_tokens (finish_reason length)" in done.stderr


def test_send_and_export_show_a_word_of_two_pieces_unchanged(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(_body("a word in two pieces"))
    done = run_text(["send", str(tmp_path / "p.json"), "--base-url", base_url], _environment(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"di{WORD}\n")
    for name in ("a.jsonl", "a.har"):
        assert run_text(["log", "export", "-o", str(tmp_path / name)], _environment(tmp_path)).returncode == 0
        assert WORD in (tmp_path / name).read_text("utf-8"), name


@pytest.mark.parametrize(
    "name",
    ["whole", "filter, usage, comments", "two streams", "end and no finish", "finish and no end", *CUT_TRANSFERS],
)
def test_send_says_that_an_answer_may_be_cut(base_url: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "b.json").write_text(json.dumps({"messages": [{"role": "user", "content": name}]}), "utf-8")
    command = ["send", str(tmp_path / "b.json"), "--base-url", base_url]
    as_json, as_text = (run_text([*command, *more], _environment(tmp_path)) for more in (["--json"], []))
    fields = json.loads(as_json.stdout)
    assert (as_json.returncode, fields["text"], fields["error"]) == (0, "hi", None)
    assert [one["kind"] for one in fields["warnings"]] == ([WARNED[name]] if name in WARNED else [])
    assert (as_text.returncode, as_text.stdout) == (0, "hi\n")
    assert all(one["message"] in as_text.stderr for one in fields["warnings"])
    assert len(as_text.stderr.splitlines()) == 1 + len(fields["warnings"])


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_send_signal_while_another_program_holds_the_log_ends_the_wait(
    base_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "p.json").write_text(_body("whole"))
    command = ["send", str(tmp_path / "p.json"), "--base-url", base_url, "--json"]
    assert run_text(command, _environment(tmp_path)).returncode == 0
    with (
        closing(sqlite3.connect(tmp_path / "home" / FILE_NAME, isolation_level=None, check_same_thread=False)) as other,
        _holding(other),
    ):
        process = start_text(command, _environment(tmp_path))
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline())
        assert process.poll() is None, "the answer is written before the wait"
        process.send_signal(number)
        _, errors = process.communicate(timeout=55)  # the wait without a signal is longer
    assert (process.returncode, answer["text"], "Traceback" in errors) == (NOT_LOGGED, "hi", False), errors


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(None, 0), (signal.SIGINT, NOT_LOGGED), (signal.SIGTERM, NOT_LOGGED)])
def test_batch_waits_for_the_log_that_another_program_holds(
    base_url: str, tmp_path: Path, number: signal.Signals | None, status: int
) -> None:
    (tmp_path / "p.json").write_text(_body("{{name}}"))
    (tmp_path / "rows.csv").write_text("name\nwhole\n")
    assert run_text(["log", "list"], _environment(tmp_path)).returncode == 0
    command = ["batch", str(tmp_path / "p.json"), "--data", str(tmp_path / "rows.csv"), "--base-url", base_url]
    with (
        closing(sqlite3.connect(tmp_path / "home" / FILE_NAME, isolation_level=None, check_same_thread=False)) as other,
        _holding(other),
    ):
        process = start_text([*command, "-o", str(tmp_path / "out.jsonl")], _environment(tmp_path))
        assert process.stderr is not None
        said = ""
        while "1 of 1 row answered" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        assert process.poll() is None, "it waits"
        if number is None:
            other.execute("ROLLBACK")
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=55)  # the wait without a signal is longer
    assert (process.returncode, "Traceback" in errors) == (status, False), errors
    listed = run_text(["log", "list", "--json"], _environment(tmp_path))
    phases = [json.loads(line)["phase"] for line in listed.stdout.splitlines()]
    assert ("done" in phases) == (status == 0), phases


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("signals", [1, 2])
def test_batch_that_was_stopped_waits_less_for_the_log(base_url: str, tmp_path: Path, signals: int) -> None:
    (tmp_path / "p.json").write_text(_body("{{name}}"))
    (tmp_path / "rows.csv").write_text("name\n" + "whole\n" * 500)
    assert run_text(["log", "list"], _environment(tmp_path)).returncode == 0
    command = ["batch", str(tmp_path / "p.json"), "--data", str(tmp_path / "rows.csv"), "--base-url", base_url]
    with (
        closing(sqlite3.connect(tmp_path / "home" / FILE_NAME, isolation_level=None, check_same_thread=False)) as other,
        _holding(other),
    ):
        process = start_text(command, _environment(tmp_path))
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["phase"] == "done"
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)  # else the system joins them
        _, errors = process.communicate(timeout=45)  # the wait is longer
    assert (process.returncode, "Traceback" in errors) == (STOPPED, False), errors


@contextmanager
def _holding(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold a log from the next request on."""
    _Answer.before = staticmethod(lambda: connection.in_transaction or connection.execute("BEGIN IMMEDIATE"))
    try:
        yield
    finally:
        _Answer.before = staticmethod(lambda: None)
