"""Spans in a real backend: Arize Phoenix shows the tokens of a request, cached ones included.

Optional: `python -m venv p && p/bin/pip install arize-phoenix`, then `PHOENIX=p/bin/phoenix python -m tests
tests/telemetry/test_phoenix.py`. Passed with arize-phoenix 20.26.1.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from playground.prompt.document import Document, Message
from playground.simulator.process import SimulatorProcess
from tests.telemetry.test_reporting import send

PHOENIX = os.environ.get("PHOENIX") or shutil.which("phoenix")
START_LIMIT_S, SHOW_LIMIT_S = 300, 60
QUERY = """{ projects { edges { node { spans(first: 10) { edges { node {
  spanKind tokenCountPrompt tokenCountCompletion tokenPromptDetails { cacheRead } } } } } } } }"""

pytestmark = pytest.mark.skipif(PHOENIX is None, reason="needs arize-phoenix; see the module")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[str]:
    """Return the base URL of a running Phoenix with an empty database."""
    assert PHOENIX is not None
    port = _free_port()
    environment = {
        **os.environ,
        "PHOENIX_WORKING_DIR": str(tmp_path),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(_free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (tmp_path / "phoenix.log").open("wb") as log:
        process = subprocess.Popen([PHOENIX, "serve"], env=environment, stdout=log, stderr=log)
    base_url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(base_url):
            assert process.poll() is None, (tmp_path / "phoenix.log").read_text("utf-8", "replace")
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield base_url
    finally:
        process.terminate()
        process.wait(30)


def _answers(base_url: str) -> bool:
    try:
        return bool(urlopen(f"{base_url}/v1/projects", timeout=5).status == 200)
    except (URLError, OSError):
        return False


def _model_spans(base_url: str) -> list[dict[str, Any]]:
    body = json.dumps({"query": QUERY}).encode()
    request = Request(f"{base_url}/graphql", body, {"Content-Type": "application/json"})
    value = json.load(urlopen(request, timeout=30))
    spans = [
        edge["node"] for project in value["data"]["projects"]["edges"] for edge in project["node"]["spans"]["edges"]
    ]
    return [span for span in spans if span["spanKind"] == "llm"]


def test_phoenix_shows_prompt_completion_and_cached_tokens(
    phoenix: str, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    prompt = Document(messages=(Message("system", f"{tmp_path} Be kind. " * 300), Message("user", "Hello")))
    settings = {"otel_collector": f"{phoenix}/v1/traces", "request_lines": True}
    for _ in range(2):
        assert send(simulator, tmp_path, settings, prompt) == []
    usages = [json.loads(line)["usage"] for line in (tmp_path / "requests.jsonl").read_text("utf-8").splitlines()]
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert cached[0] == 0 < cached[1]
    deadline = time.monotonic() + SHOW_LIMIT_S
    while len(spans := _model_spans(phoenix)) < len(usages):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    shown = [
        (span["tokenCountPrompt"], span["tokenCountCompletion"], span["tokenPromptDetails"]["cacheRead"])
        for span in spans
    ]
    reported = zip(
        (usage["prompt_tokens"] for usage in usages), (u["completion_tokens"] for u in usages), cached, strict=True
    )
    assert sorted(shown) == sorted(reported)
