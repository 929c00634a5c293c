"""`simulator` command: start, stop, refused options."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from tests.forked_program import run_text, start_text

LIMIT_S = 60


def test_says_when_it_is_ready_and_stops_cleanly() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with start_text(["simulator", "--json"]) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["base_url"].startswith("http://127.0.0.1:")
            process.send_signal(number)
            _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
        assert errors == ""


def test_ends_with_its_parent() -> None:
    with start_text(["simulator", "--json", "--stop-with-stdin"]) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(LIMIT_S) == 0


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_text(["simulator", "--port", port], os.environ, timeout=LIMIT_S)
    assert done.returncode == 2
    assert port in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("option", ["--port=x", "--block-size=0", "--cache-ttl=-1", "--plan=gold", "--token-ms=nan"])
def test_an_option_that_makes_no_sense(option: str) -> None:
    done = run_text(["simulator", option], {**os.environ, "COLUMNS": "200"}, timeout=LIMIT_S)
    assert done.returncode == 2
    assert option.split("=", maxsplit=1)[0] in done.stderr
