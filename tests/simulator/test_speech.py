"""The simulated speech service over a real socket: frames as documented, its own envelope, one request at a time."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from playground.simulator.process import SimulatorProcess


def post(base_url: str, path: str, fields: Any, key: str | None = None) -> tuple[int, bytes, Any]:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"{base_url}{path}", json.dumps(fields).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def test_frames_are_as_documented(simulator: SimulatorProcess) -> None:
    text = "Hello there, how are you today?"
    fields = {"text": text, "voice_id": "magnus", "sample_rate": 8000}
    status, body, headers = post(simulator.base_url, "/tts/live", fields)
    assert status == 200
    assert headers["X-Request-Id"]
    blocks = body.decode().strip().split("\n\n")
    assert all(block.startswith("event: audio\ndata: ") for block in blocks)
    frames = [json.loads(block.partition("data: ")[2]) for block in blocks]
    assert frames[-1] == {"status": "200", "done": True}
    assert all(frame["done"] is False and frame["status"] == "206" for frame in frames[:-1])
    pcm = b"".join(base64.b64decode(frame["audio"]) for frame in frames[:-1])
    assert len(pcm) / 2 / 8000 == pytest.approx(len(text) / 15, abs=0.01)


def test_a_whole_answer_is_a_wav_file(simulator: SimulatorProcess) -> None:
    status, body, headers = post(simulator.base_url, "/tts", {"text": "Hello there.", "voice_id": "magnus", "speed": 2})
    assert (status, headers["Content-Type"]) == (200, "audio/wav")
    with wave.open(io.BytesIO(body)) as file:
        assert file.getframerate() == 24000
        assert file.getnframes() / 24000 == pytest.approx(12 / 15 / 2, abs=0.01)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ([], "not an object"),
        ({"voice_id": "magnus"}, "text is required"),
        ({"text": " ", "voice_id": "magnus"}, "text is required"),
        ({"text": "a"}, "voice_id is required"),
        ({"text": "a", "voice_id": "m", "sample_rate": 1}, "sample_rate"),
        ({"text": "a", "voice_id": "m", "speed": 3}, "speed"),
        ({"text": "a", "voice_id": "m", "speed": True}, "speed"),
        ({"text": "a", "voice_id": "m", "output_format": "ogg"}, "output_format"),
    ],
)
def test_a_wrong_request_has_the_services_own_envelope(simulator: SimulatorProcess, fields: Any, word: str) -> None:
    status, body, headers = post(simulator.base_url, "/tts/live", fields)
    told = json.loads(body)
    assert status == 400
    assert set(told) == {"error", "message"}
    assert word in told["message"]
    assert headers["X-Request-Id"]


def test_one_request_at_a_time_and_the_right_key(make_simulator: Callable[..., SimulatorProcess]) -> None:
    strict = make_simulator("--api-key", "sk_right_0123456789")
    fields = {"text": "Hello there, " * 20, "voice_id": "magnus"}
    assert post(strict.base_url, "/tts/live", fields)[0] == 401
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(post, strict.base_url, "/tts", fields, "sk_right_0123456789") for _ in range(2)]
        assert sorted(job.result()[0] for job in jobs) == [200, 429]
