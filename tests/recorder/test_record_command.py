"""`record` as a script uses it: a real process between real callers and the simulator."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from playground.cli.record import STILL_WRITING
from playground.requestlog.records import StoredRun
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from tests.faults.cases import _fill_up, _small_disk
from tests.forked_program import SUPPORTED, run_text, start_text
from tests.requestlog.samples import opened

KEY = "sk_planted_0123456789abcdef"
BODY = {"model": "electron", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 6}
HEADERS = {"Authorization": f"Bearer {KEY}"}


class Recording:
    """A running `record` process and its data folder."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self._process = start_text(
            ["record", "--port", "0", "--base-url", base_url, "--json"],
            dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(folder)),
        )
        assert self._process.stdout is not None
        self.base_url: str = json.loads(self._process.stdout.readline())["base_url"]

    def end(self, number: int = signal.SIGTERM) -> str:
        """End the process by a signal. Returns its standard error."""
        self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return errors.replace(f"electron-playground: {STILL_WRITING}\n", "")  # the machine is slow

    def runs(self) -> list[StoredRun]:
        """Return the recorded requests, the oldest first."""

        async def read() -> list[StoredRun]:
            from playground.requestlog.filter import EVERYTHING

            async with opened(self.folder) as log:
                rows = await log.rows_at(EVERYTHING, 0, 1000)
                found = [await log.get(row.run_id) for row in rows]
            return [stored for stored in reversed(found) if stored is not None]

        return asyncio.run(read())


@pytest.fixture
def recording(tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]) -> Iterator[Recording]:
    simulator = make_simulator("--ttft-ms", "5", "--token-ms", "1", "--plan", "none")
    made = Recording(tmp_path / "data", simulator.base_url)
    yield made
    if made._process.poll() is None:
        made._process.kill()
        made._process.communicate()


def post(recording: Recording, body: dict[str, Any], **headers: str) -> httpx.Response:
    url = f"{recording.base_url}/chat/completions"
    return httpx.post(url, json=body, headers={**HEADERS, **headers}, trust_env=False, timeout=30)


def test_record_whole_and_streamed_answers_are_logged_with_usage_and_source(recording: Recording) -> None:
    whole = post(recording, BODY)
    streamed = post(recording, {**BODY, "stream": True, "stream_options": {"include_usage": True}})
    assert recording.end() == ""
    runs = recording.runs()
    states = [stored.state() for stored in runs]
    assert [state.phase for state in states] == ["done", "done"]
    assert [state.request_id for state in states] == [answer.headers["x-request-id"] for answer in (whole, streamed)]
    assert states[0].text == whole.json()["choices"][0]["message"]["content"]
    assert [state.usage.prompt_tokens if state.usage else None for state in states] == [
        whole.json()["usage"]["prompt_tokens"]
    ] * 2
    assert {stored.record.source for stored in runs} == {"recorder"}


@pytest.mark.skipif(not SUPPORTED, reason="commands are forked on Linux only")
def test_recording_process_is_forked_without_a_new_interpreter(recording: Recording) -> None:
    # A new one takes half a second of processor time.
    (child,) = psutil.Process(recording._process.pid).children()
    assert "--recording-process" not in child.cmdline()
    recording.end()


def test_second_ctrl_c_ends_a_recorder_whose_log_is_still_written_without_loss(recording: Recording) -> None:
    post(recording, BODY)
    process = recording._process
    (child,) = psutil.Process(process.pid).children()
    child.suspend()
    post(recording, BODY)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == f"electron-playground: {STILL_WRITING}\n"
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.returncode == -signal.SIGINT
    child.resume()
    process.communicate(timeout=60)  # the recording process has ended, too
    assert [stored.phase for stored in recording.runs()] == ["done", "done"]


def test_record_errors_and_cut_streams_are_logged_as_failed(recording: Recording) -> None:
    refused = post(recording, BODY, **{"X-Simulate": "503"})
    assert refused.status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        post(recording, {**BODY, "stream": True, "max_tokens": 50}, **{"X-Simulate": "cut=3"})
    recording.end(signal.SIGINT)
    states = [stored.state() for stored in recording.runs()]
    assert [(state.phase, state.status) for state in states] == [("failed", 503), ("failed", 200)]
    assert states[1].error is not None
    assert states[1].error.kind == "cut"
    assert states[1].text != ""


def test_record_gzip_request_body_is_forwarded_and_understood(recording: Recording) -> None:
    url = f"{recording.base_url}/chat/completions"
    headers = {**HEADERS, "Content-Encoding": "gzip", "Content-Type": "application/json"}
    httpx.post(url, content=gzip.compress(json.dumps(BODY).encode()), headers=headers, trust_env=False)
    recording.end()
    (stored,) = recording.runs()
    assert json.loads(stored.record.body)["messages"] == BODY["messages"]


def test_record_turns_of_one_conversation_share_its_id(recording: Recording) -> None:
    messages = [{"role": "user", "content": "hello"}]
    for turn in range(3):
        answer = post(recording, {**BODY, "messages": messages}).json()["choices"][0]["message"]
        messages += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": f"turn {turn}"}]
    post(recording, {**BODY, "messages": [{"role": "user", "content": "another"}]})
    recording.end()
    conversations = [stored.record.conversation for stored in recording.runs()]
    assert conversations[0] == conversations[1] == conversations[2] is not None
    assert conversations[3] not in (None, conversations[0])


def test_record_planted_key_is_nowhere_on_disk_or_in_the_output(recording: Recording) -> None:
    echo = {**BODY, "messages": [{"role": "user", "content": f"my key is {KEY}"}], "user": KEY}
    post(recording, echo)
    post(recording, {**echo, "stream": True})
    post(recording, {"model": KEY, "messages": 7})
    errors = recording.end()
    assert KEY not in errors
    for file in recording.folder.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
    assert len(recording.runs()) == 3


def test_record_other_paths_are_forwarded_and_not_logged(recording: Recording) -> None:
    answer = httpx.get(f"{recording.base_url}/no-such-path", headers=HEADERS, trust_env=False)
    assert answer.status_code == 404
    assert "x-electron-playground" not in answer.headers
    recording.end()
    assert recording.runs() == []


def test_record_body_that_is_no_json_is_forwarded_and_reported(recording: Recording) -> None:
    url = f"{recording.base_url}/chat/completions"
    answer = httpx.post(url, content=b"not json", headers=HEADERS, trust_env=False)
    assert answer.status_code == 400
    assert "not a JSON object" in recording.end()


def test_record_port_in_use_ends_with_a_sentence(recording: Recording) -> None:
    port = recording.base_url.split(":")[2].split("/")[0]
    done = run_text(
        ["record", "--port", port, "--base-url", "http://127.0.0.1:1/v1"],
        dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(recording.folder / "other")),
        timeout=60,
    )
    assert done.returncode == 2
    assert port in done.stderr


def test_record_second_identical_request_has_forecast_and_explanations(recording: Recording) -> None:
    user = {"role": "user", "content": "hello"}
    long = {**BODY, "messages": [{"role": "system", "content": "Be kind to callers. " * 80}, user]}
    post(recording, long)
    post(recording, long)
    text = "Be kind to callers. " * 40 + "Today. " + "Be kind to callers. " * 40
    changed = {**long, "messages": [{"role": "system", "content": text}, user]}
    post(recording, changed)
    recording.end()
    first, second, third = recording.runs()
    assert [stored.state().phase for stored in (first, second, third)] == ["done"] * 3, third.events
    assert second.record.forecast is not None
    assert second.state().usage is not None
    assert first.explanation is not None
    assert isinstance(third.explanation, dict)
    assert third.explanation["kind"] == "differs", third.explanation
    assert third.explanation["message"] == 0


@contextmanager
def _record(folder: Path, base_url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["record", "--port", "0", "--base-url", base_url, "--json"]
    environment = dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(folder))
    with start_text([*command, *arguments], environment) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    value: dict[str, str] = json.loads(process.stdout.readline())
    return value


def _send(base_url: str) -> int:
    url = f"{base_url}/chat/completions"
    return httpx.post(url, json=BODY, headers=HEADERS, trust_env=False, timeout=30).status_code


def test_record_line_of_a_failed_request_has_the_reason(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    simulator = make_simulator("--ttft-ms", "5", "--token-ms", "1", "--plan", "none")
    environment = dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(tmp_path))
    with start_text(["record", "--port", "0", "--base-url", simulator.base_url], environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Recording to the log")
        url = f"{process.stdout.readline().split()[-1]}/chat/completions"
        headers = {**HEADERS, "X-Simulate": "cut=3"}
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(url, json={**BODY, "stream": True}, headers=headers, trust_env=False, timeout=30)
        line = process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert line.startswith("200 failed  request_id ")
    assert line.endswith("  The stream was cut")


def test_record_stop_with_stdin_ends_when_the_parent_closes_it(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    with _record(tmp_path / "data", make_simulator("--plan", "none").base_url, "--stop-with-stdin") as process:
        assert _send(_line(process)["base_url"]) == 200
        assert process.poll() is None
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_record_endpoint_that_is_down_is_logged_as_failed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    recording = Recording(folder, "http://127.0.0.1:9/v1")
    assert post(recording, BODY).status_code == 502
    recording.end()
    (stored,) = recording.runs()
    assert json.loads(stored.record.body) == BODY
    error = stored.state().error
    assert error is not None
    assert (stored.state().phase, error.kind) == ("failed", "connect")


def test_record_address_of_the_recorder_itself_is_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run_text(
        ["record", "--port", str(port), "--base-url", f"http://localhost:{port}/v1"],
        dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(tmp_path)),
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--base-url: this is the address of the Recorder itself" in done.stderr


def test_record_killed_forwarding_process_loses_no_finished_request(recording: Recording) -> None:
    answers = [post(recording, {**BODY, "user": str(number)}) for number in range(5)]
    recording._process.kill()
    recording._process.communicate(timeout=60)  # standard error stays open until the recording process has ended
    states = [stored.state() for stored in recording.runs()]
    assert [state.request_id for state in states] == [answer.headers["x-request-id"] for answer in answers]
    assert [state.phase for state in states] == ["done"] * 5


@pytest.mark.parametrize(("is_killed", "phase"), [(True, "interrupted"), (False, "stopped")])
def test_record_open_stream_is_interrupted_by_a_kill_and_stopped_by_its_caller(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess], is_killed: bool, phase: str
) -> None:
    simulator = make_simulator("--ttft-ms", "5", "--token-ms", "200", "--plan", "none")
    recording = Recording(tmp_path / "data", simulator.base_url)
    body = {**BODY, "stream": True, "max_tokens": 500}
    url = f"{recording.base_url}/chat/completions"
    with httpx.stream("POST", url, json=body, headers=HEADERS, trust_env=False, timeout=30) as response:
        lines = response.iter_lines()
        for _ in range(4):  # the first ones may wait to be passed on with others: see feed.FLUSH_S
            next(line for line in lines if '"content":' in line)
        if is_killed:
            recording._process.kill()
    if is_killed:
        recording._process.communicate(timeout=60)
    else:
        recording.end()
    (stored,) = recording.runs()
    state = stored.state()
    assert (stored.phase, state.phase, state.status, state.error) == (phase, phase, 200, None)
    assert state.request_id == response.headers["x-request-id"]
    assert state.ended_at is not None


def test_record_first_turn_sent_again_after_a_failure_stays_in_its_conversation(recording: Recording) -> None:
    post(recording, BODY, **{"X-Simulate": "503"})
    post(recording, BODY)
    post(recording, BODY)
    recording.end()
    first, again, other = (stored.record.conversation for stored in recording.runs())
    assert first == again
    assert other not in (None, first)


@pytest.mark.parametrize("command", ["", "log list", "send", "check"])
def test_record_both_processes_killed_finished_requests_are_in_the_log_after_the_next_start(
    recording: Recording, command: str
) -> None:
    answers = [post(recording, {**BODY, "user": str(number)}) for number in range(3)]
    forwarding = psutil.Process(recording._process.pid)
    (child,) = forwarding.children()
    child.suspend()  # it writes nothing more
    answers.append(post(recording, {**BODY, "user": "3"}))
    forwarding.kill()
    child.kill()
    recording._process.communicate(timeout=60)
    environment = dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(recording.folder))
    if command == "log list":
        listed = run_text(["log", "list", "--json"], environment).stdout.splitlines()
        assert [json.loads(line)["request_id"] for line in listed] == [
            answer.headers["x-request-id"] for answer in reversed(answers)
        ]
    elif command == "send":
        (recording.folder / "p.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}', "utf-8")
        run_text(["send", str(recording.folder / "p.json"), "--base-url", "http://127.0.0.1:9/v1"], environment)
    elif command == "check":
        assert "4 checked" in run_text(["check", "--log", "source:recorder"], environment).stdout
    else:
        services = AppServices(recording.folder, os.environ, Tasks(lambda _name, _error: None))
        asyncio.run(services.recover_recordings())
    runs = [stored for stored in recording.runs() if stored.record.source == "recorder"]
    states = {stored.state().request_id: stored.state().phase for stored in runs}
    assert states == {answer.headers["x-request-id"]: "done" for answer in answers}
    assert not list((recording.folder / "recorder-spool").iterdir())


def test_record_429_holds_the_endpoint_for_own_requests_and_not_for_the_caller(recording: Recording) -> None:
    assert post(recording, BODY, **{"X-Simulate": "429=60"}).status_code == 429
    assert post(recording, BODY).status_code == 200
    answered_at = time.time()
    recording.end()
    (record,) = json.loads((recording.folder / "gate.json").read_bytes()).values()
    assert record["held_until"] > answered_at


def test_record_forwarded_requests_count_against_the_shared_plan(recording: Recording) -> None:
    assert post(recording, BODY).status_code == 200
    assert post(recording, {**BODY, "stream": True}).status_code == 200
    assert recording.end() == ""
    (record,) = json.loads((recording.folder / "gate.json").read_bytes()).values()
    assert (len(record["starts"]), record["flights"]) == (2, {})


def test_record_locked_log_forwards_and_reports_what_is_not_recorded(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    folder = tmp_path / "data"
    with _record(folder, make_simulator("--plan", "none").base_url) as process:
        base_url = _line(process)["base_url"]
        with closing(sqlite3.connect(folder / "request-log.sqlite3", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            assert _send(base_url) == 200
            assert time.monotonic() - began < 5
            assert process.stderr is not None
            problem = process.stderr.readline()
            assert "request log" in problem
            lock.execute("ROLLBACK")
        assert _send(base_url) == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_record_request_that_a_full_disk_kept_out_of_the_log_is_written_by_the_next_start(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    with _small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("a tmpfs cannot be mounted")
        base_url = make_simulator("--plan", "none").base_url
        Recording(disk / "data", base_url).end()
        (tmp_path / "spool").mkdir()
        (disk / "data" / "recorder-spool").rmdir()
        (disk / "data" / "recorder-spool").symlink_to(tmp_path / "spool")
        made = Recording(disk / "data", base_url)
        _fill_up(disk, 0)
        assert post(made, BODY).status_code == 200
        errors = made.end()
        assert "disk is full" in errors
        assert "its spool" not in errors
        (disk / "filler").unlink()
        assert made.runs() == []
        services = AppServices(made.folder, os.environ, Tasks(lambda _name, _error: None))
        asyncio.run(services.recover_recordings())
        assert [stored.state().phase for stored in made.runs()] == ["done"]
        assert not list((made.folder / "recorder-spool").iterdir())


def test_record_log_that_cannot_be_opened_forwards_and_reports_it(
    tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]
) -> None:
    folder = tmp_path / "data"
    (folder / "request-log.sqlite3" / "inside").mkdir(parents=True)
    with _record(folder, make_simulator("--plan", "none").base_url) as process:
        assert _send(_line(process)["base_url"]) == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert "nothing is recorded" in errors
        assert process.returncode == 0


@pytest.mark.parametrize("depth", [1_000, 3_000])
def test_record_deeply_nested_body_is_reported_and_the_connection_stays(recording: Recording, depth: int) -> None:
    url = f"{recording.base_url}/chat/completions"
    nested = b'{"model": "electron", "messages": [], "metadata": %s%s}' % (b"[" * depth, b"]" * depth)
    with httpx.Client(headers=HEADERS, trust_env=False, timeout=30) as client:
        assert client.post(url, content=nested).status_code == 400
        assert client.post(url, json=BODY).status_code == 200
    errors = recording.end()
    assert "Traceback" not in errors
    assert "done" in [stored.state().phase for stored in recording.runs()]
