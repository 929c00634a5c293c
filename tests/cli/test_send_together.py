"""Several `send` processes started together on one data folder: the plan's requests per minute hold for all of them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playground.client.endpoint import Endpoint, PlanLimits
from playground.services import AppServices
from playground.tasks import Tasks
from tests.forked_program import start_text

PROCESSES, PER_MINUTE = 12, 10
COMPLETION = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
}


@dataclass
class Arrivals:
    """Unix times at which requests arrived."""

    times: list[float] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)


def serve(arrivals: Arrivals) -> ThreadingHTTPServer:
    """Serve the same completion to every request on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrivals.times.append(time.time())
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(COMPLETION).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if len(arrivals.times) >= PER_MINUTE:
                arrivals.enough.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def add_endpoint(folder: Path, base_url: str) -> None:
    """Store an endpoint with the plan's limit in a data folder."""

    async def store() -> None:
        services = AppServices(folder, {}, Tasks(lambda name, error: None))
        plan = PlanLimits("Test", PER_MINUTE, None)
        services.endpoints.add(Endpoint("", "Together", base_url, "m", needs_key=False, plan=plan))
        await services.close()

    folder.mkdir()
    asyncio.run(store())


def test_send_processes_started_together_stay_within_the_plan(tmp_path: Path) -> None:
    arrivals = Arrivals()
    server = serve(arrivals)
    folder = tmp_path / "data"
    add_endpoint(folder, f"http://127.0.0.1:{server.server_address[1]}/v1")
    prompt = tmp_path / "prompt.json"
    prompt.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
    arguments = ["send", str(prompt), "--endpoint", "Together", "--data-dir", str(folder)]
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    processes = [start_text(arguments, environment) for _ in range(PROCESSES)]
    try:
        assert arrivals.enough.wait(50)
        while sum(process.poll() is not None for process in processes) < PER_MINUTE:
            assert time.time() - arrivals.times[0] < 50
            time.sleep(0.05)  # no event tells that one of several processes has ended
        waiting = [process for process in processes if process.returncode is None]
        assert len(waiting) == PROCESSES - PER_MINUTE
        # Both are ready to send, and say that they wait.
        for process in waiting:
            assert process.stderr is not None
            assert "ait" in process.stderr.readline()
        assert len(arrivals.times) == PER_MINUTE
        assert sorted(process.returncode for process in processes if process not in waiting) == [0] * PER_MINUTE
        assert max(arrivals.times) - min(arrivals.times) < 60
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        server.shutdown()
        server.server_close()
