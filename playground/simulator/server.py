"""HTTP server of the simulator, on aiohttp: routes, authentication, rate limits, stream timing, and speech."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import struct
import time
import uuid
import wave
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from yarl import URL

from playground.simulator import scenarios, wire
from playground.simulator.engine import CacheOptions, Replicas, Template
from playground.simulator.reply import compose
from playground.simulator.scenarios import STATUSES, Fault, Pace, UnknownFault, parse
from playground.simulator.wire import ErrorDetail, context_problem, problems

RATES = (8000, 16000, 24000, 44100)
FORMATS = ("pcm", "mp3", "wav", "ulaw", "alaw")
CHARACTERS_A_SECOND = 15.0
FIRST_AUDIO_S = 0.2
FRAME_S = 0.25
"""Seconds of audio in one frame; frames are sent ten times as fast as they play."""
HZ, LOUDNESS = 220.0, 900


_Respond = Callable[[web.Request, Mapping[str, Any]], Awaitable[web.StreamResponse]]


class SpeechRoutes:
    """`authenticate` raises the account's error; `request_id` returns the id of a request."""

    def __init__(
        self, authenticate: Callable[[web.Request], None], request_id: Callable[[web.Request], str], at_once: int | None
    ) -> None:
        self._authenticate, self._request_id, self._at_once = authenticate, request_id, at_once
        self._busy = 0

    def add_to(self, application: web.Application) -> None:
        application.router.add_post("/waves/v1/tts", self._whole)
        application.router.add_post("/waves/v1/tts/live", self._live)

    async def _whole(self, request: web.Request) -> web.StreamResponse:
        return await self._spoken(request, self._wav)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self._spoken(request, self._stream)

    async def _spoken(self, request: web.Request, respond: _Respond) -> web.StreamResponse:
        """Take a slot and respond to the request's fields, or answer with an error."""
        self._authenticate(request)
        try:
            fields = json.loads(await request.read())
        except (ValueError, RecursionError):
            return self._refused(request, 400, "invalid_request", "The body is not JSON")
        wrong = problem(fields)
        if wrong:
            return self._refused(request, 400, "invalid_request", wrong)
        if self._at_once is not None and self._busy >= self._at_once:
            return self._refused(request, 429, "rate_limit", "One speech request at a time on this account")
        self._busy += 1
        try:
            return await respond(request, fields)
        finally:
            self._busy -= 1

    async def _wav(self, request: web.Request, fields: Mapping[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(FIRST_AUDIO_S)
        audio = as_wav(tone(fields), int(fields.get("sample_rate", 24000)))
        return web.Response(body=audio, content_type="audio/wav", headers=self._headers(request))

    async def _stream(self, request: web.Request, fields: Mapping[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**self._headers(request), "Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(FIRST_AUDIO_S)
        audio, rate = tone(fields), int(fields.get("sample_rate", 24000))
        size = int(rate * FRAME_S) * 2
        for start in range(0, len(audio), size):
            piece = base64.b64encode(audio[start : start + size]).decode("ascii")
            await response.write(_frame({"audio": piece, "done": False, "status": "206"}))
            await asyncio.sleep(FRAME_S / 10)
        await response.write(_frame({"status": "200", "done": True}))
        await response.write_eof()
        return response

    def _refused(self, request: web.Request, status: int, error: str, message: str) -> web.Response:
        """Return the error envelope of this service, which differs from that of chat completions."""
        return web.json_response({"error": error, "message": message}, status=status, headers=self._headers(request))

    def _headers(self, request: web.Request) -> dict[str, str]:
        return {"X-Request-Id": self._request_id(request)}


def problem(fields: object) -> str:
    """Return the errors of a request's fields; empty if it is valid."""
    if not isinstance(fields, dict):
        return "The body is not an object"
    if not isinstance(fields.get("text"), str) or not fields["text"].strip():
        return "text is required"
    if not isinstance(fields.get("voice_id"), str):
        return "voice_id is required"
    if fields.get("sample_rate", 24000) not in RATES:
        return f"sample_rate is one of {', '.join(map(str, RATES))}"
    if fields.get("output_format", "pcm") not in FORMATS:
        return f"output_format is one of {', '.join(FORMATS)}"
    speed = fields.get("speed", 1)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.5 <= speed <= 2:
        return "speed is a number from 0.5 to 2"
    return ""


def tone(fields: Mapping[str, Any]) -> bytes:
    """Return PCM, signed 16 bit, one channel, as long as speaking the text at this speed takes."""
    rate = int(fields.get("sample_rate", 24000))
    samples = int(len(fields["text"]) / CHARACTERS_A_SECOND / float(fields.get("speed", 1)) * rate)
    wave_length = max(round(rate / HZ), 2)
    cycle = [round(LOUDNESS * math.sin(2 * math.pi * place / wave_length)) for place in range(wave_length)]
    whole = struct.pack(f"<{wave_length}h", *cycle)
    return (whole * (samples // wave_length + 1))[: samples * 2]


def as_wav(pcm: bytes, rate: int) -> bytes:
    """Return the same audio as a WAV file."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return held.getvalue()


def _frame(fields: Mapping[str, Any]) -> bytes:
    return f"event: audio\ndata: {json.dumps(fields)}\n\n".encode()


MINUTE_S = 60.0


@dataclass(frozen=True)
class PlanOptions:
    """Limits of the account; None: no limit."""

    requests_per_minute: int | None
    in_flight: int | None


PLANS = {"standard": PlanOptions(10, 3), "enterprise": PlanOptions(200, 20), "none": PlanOptions(None, None)}


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """Raised to answer the request with an error envelope. `retry_after_s`: None if the time is unknown."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        details: Sequence[ErrorDetail] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.details = status, kind, message, details
        self.retry_after_s = retry_after_s


class Limiter:
    """Counts the requests of the server's only account."""

    def __init__(self, plan: PlanOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock = plan, clock
        self._starts: deque[float] = deque()
        self.in_flight = 0

    def enter(self) -> None:
        """Take a slot; raises Refused if none is free. Release every slot with `leave`."""
        now = self._clock()
        while self._starts and self._starts[0] <= now - MINUTE_S:
            self._starts.popleft()
        if self._plan.in_flight is not None and self.in_flight >= self._plan.in_flight:
            raise Refused(
                429, "rate_limit_error", f"Concurrency limit reached: {self._plan.in_flight} requests in flight"
            )
        per_minute = self._plan.requests_per_minute
        if per_minute is not None and len(self._starts) >= per_minute:
            wait_s = self._starts[0] + MINUTE_S - now
            message = f"Rate limit reached: {per_minute} requests a minute"
            raise Refused(429, "rate_limit_error", message, retry_after_s=wait_s)
        self._starts.append(now)
        self.in_flight += 1

    def leave(self) -> None:
        """Release a slot."""
        self.in_flight -= 1


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_BODY_BYTES = 16 * 1024 * 1024
MOST_QUEUED = 10_000
"""Maximum number of faults that one request may queue."""
REQUEST_ID = web.RequestKey("request_id", str)


@dataclass(frozen=True)
class Options:
    """`ttft_ms`: time to first token with a fully cached prompt; each 1,000 uncached tokens add the same time again."""

    api_key: str | None = None
    plan: str = "standard"
    cache: CacheOptions = field(default_factory=CacheOptions)
    template: Template = field(default_factory=Template)
    ttft_ms: float = 180.0
    token_ms: float = 12.0


class Simulator:
    """One simulated account. `clock`: seconds by which the cache forgets."""

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._cache = Replicas(options.cache, clock)
        self._limiter = Limiter(PLANS[options.plan])
        self._faults: deque[Fault] = deque()
        self._served = 0
        self._disconnects = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._envelope])
        application.router.add_post("/waves/v1/chat/completions", self._completions)
        at_once = None if self._options.plan == "none" else 1
        SpeechRoutes(self._authenticate, lambda request: request[REQUEST_ID], at_once).add_to(application)
        application.router.add_get("/waves/v1/models", self._models)
        application.router.add_post("/simulator/faults", self._queue_fault)
        application.router.add_get("/simulator/stats", self._stats)
        return application

    @web.middleware
    async def _envelope(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Add X-Request-Id to every response and an error envelope to every refusal."""
        request[REQUEST_ID] = str(uuid.uuid4())
        try:
            _check_caller(request)
            return await handler(request)
        except Refused as refused:
            return _refusal(request, refused)
        except web.HTTPException as error:
            kind = "not_found_error" if error.status == 404 else "invalid_request_error"
            return _refusal(request, Refused(error.status, kind, error.reason))

    async def _models(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        model = {"id": "electron", "object": "model", "created": 1_764_547_200, "owned_by": "smallest"}
        return web.json_response({"object": "list", "data": [model]}, headers=_id_header(request))

    async def _stats(self, request: web.Request) -> web.Response:
        stats = {
            "served": self._served,
            "in_flight": self._limiter.in_flight,
            "disconnects": self._disconnects,
            "cached_blocks": len(self._cache),
        }
        return web.json_response(stats, headers=_id_header(request))

    async def _queue_fault(self, request: web.Request) -> web.Response:
        fields = await _json_body(request)
        fields = fields if isinstance(fields, dict) else {}
        times = fields.get("times", 1)
        try:
            fault = parse(str(fields.get("fault", "")))
        except UnknownFault as error:
            raise Refused(400, "invalid_request_error", str(error)) from error
        if type(times) is not int or not 1 <= times <= MOST_QUEUED:
            raise Refused(400, "invalid_request_error", f"times is a whole number from 1 to {MOST_QUEUED:,}")
        self._faults.extend([fault] * times)
        return web.json_response({"queued": times}, headers=_id_header(request))

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        self._served += 1
        self._authenticate(request)
        fields = await _json_body(request)
        fault = self._fault(request, fields)
        await _misbehave(fault)
        if fault is not None and fault.name == "not_sse":
            page = "<!doctype html><title>Hello</title><h1>A page</h1>"
            return web.Response(text=page, content_type="text/html", headers=_id_header(request))
        found = problems(fields) or scenarios.problems(fields)
        if found:
            raise Refused(400, "invalid_request_error", found[0].message, found)
        self._limiter.enter()
        try:
            return await self._answer(request, fields, fault)
        except (ConnectionResetError, asyncio.CancelledError):
            self._disconnects += 1
            raise
        finally:
            self._limiter.leave()

    def _authenticate(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        scheme, _, key = given.partition(" ")
        if self._options.api_key is None:
            wrong = bool(given) and not (scheme.lower() == "bearer" and key.strip())
        else:
            wrong = scheme.lower() != "bearer" or key.strip() != self._options.api_key
        if wrong:
            raise Refused(401, "authentication_error", "The API key is missing or wrong")

    def _fault(self, request: web.Request, fields: Any) -> Fault | None:
        named = request.headers.get("X-Simulate") or (fields.get("simulate") if isinstance(fields, dict) else None)
        if named is None:
            return self._faults.popleft() if self._faults else None
        try:
            return parse(str(named))
        except UnknownFault as error:
            raise Refused(400, "invalid_request_error", str(error)) from error

    async def _answer(self, request: web.Request, fields: dict[str, Any], fault: Fault | None) -> web.StreamResponse:
        began = time.monotonic()
        tokens = self._options.template.prompt(fields)
        too_long = context_problem(fields, len(tokens))
        if too_long is not None:
            raise Refused(400, "invalid_request_error", too_long.message, [too_long])
        cache = self._cache.route(tokens)
        cached = cache.serve(tokens)
        scripted = scenarios.turn_of(fields)
        answer = wire.AnswerBody(
            id=f"chatcmpl-{uuid.uuid4().hex[:24]}",
            model="electron",
            reply=scripted.reply if scripted else compose(fields),
            prompt_tokens=len(tokens),
            cached_tokens=cached,
            details=fault is None or fault.name != "no_usage_details",
            top_logprobs=(fields.get("top_logprobs") or 0) if fields.get("logprobs") else None,
        )
        ready_at = began + self._options.ttft_ms / 1000 * (1 + (len(tokens) - cached) / 1000)
        late_s = (fault.number or 0) / 1000 if fault is not None and fault.name == "slow_first_byte" else 0.0
        pace = Pace(began + late_s, ready_at + late_s, self._options.token_ms / 1000, scripted)
        if fields.get("stream"):
            response: web.StreamResponse = await self._stream(request, fields, answer, pace, fault)
        else:
            await _until(pace.ends_at(answer))
            response = web.json_response(wire.completion(answer), headers=_id_header(request, fault))
        if self._options.cache.answers:
            # The last token of an answer is never an input, so it is not cached.
            message = wire.completion(answer)["choices"][0]["message"]
            cache.add([*tokens, *self._options.template.answer(message)[:-1]])
        return response

    async def _stream(
        self,
        request: web.Request,
        fields: dict[str, Any],
        answer: wire.AnswerBody,
        pace: Pace,
        fault: Fault | None,
    ) -> web.StreamResponse:
        headers = {**_id_header(request, fault), "Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for moment, made, chunk in pace.chunks(answer):
            await _until(moment)
            await _break_off(request, response, fault, made)
            await response.write(wire.event(chunk))
        if (fields.get("stream_options") or {}).get("include_usage"):
            await response.write(wire.event(wire.usage_chunk(answer)))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


async def _until(moment: float) -> None:
    """Wait until a point in time, not for a duration: at 1,000 tokens per second the errors would add up."""
    wait_s = moment - time.monotonic()
    if wait_s > 0:
        await asyncio.sleep(wait_s)


async def _break_off(request: web.Request, response: web.StreamResponse, fault: Fault | None, made: int) -> None:
    if fault is None or fault.number is None or made < fault.number:
        return
    if fault.name == "cut":
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError("cut on demand")
    if fault.name == "stall":
        await asyncio.Event().wait()
    if fault.name == "stream_error":
        await response.write(wire.event(wire.error("internal_error", "The model stopped", request[REQUEST_ID])))
        await response.write_eof()
        raise ConnectionResetError("ended with an error on demand")


async def _misbehave(fault: Fault | None) -> None:
    if fault is None:
        return
    if fault.name in STATUSES:
        status, kind, message = STATUSES[fault.name]
        raise Refused(status, kind, f"{message} (simulated fault)", retry_after_s=fault.number)
    if fault.name == "slow_headers":
        await asyncio.sleep((fault.number or 0) / 1000)


LOOPBACK_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))


def _check_caller(request: web.Request) -> None:
    """Refuse web pages and rebound names: only programs on this machine may use the server."""
    if (_host_name(request.headers.get("Host", "")) or "") not in LOOPBACK_NAMES:
        raise Refused(403, "permission_error", "The Host header names another machine")
    if "Origin" in request.headers and not _is_local_origin(request.headers["Origin"]):
        raise Refused(403, "permission_error", "Requests of web pages are refused")


def _host_name(host: str) -> str | None:
    try:
        return URL(f"http://{host}").host
    except ValueError:
        return None


def _is_local_origin(origin: str) -> bool:
    try:
        return URL(origin).host in LOOPBACK_NAMES
    except ValueError:
        return False


async def _json_body(request: web.Request) -> Any:
    body = _decoded(await request.read(), request.headers.get("Content-Encoding", "identity").strip().lower())
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "invalid_request_error", f"The body is not JSON: {error}") from error


_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""zlib's window bits for each encoding."""


def _decoded(body: bytes, encoding: str) -> bytes:
    """Return the body without its Content-Encoding; raises Refused if it has another one or grows too large."""
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW:
        text = f"Content-Encoding {encoding!r} is not supported: use gzip, deflate or none"
        raise Refused(415, "invalid_request_error", text)
    decoder = zlib.decompressobj(_WINDOW[encoding])
    try:
        decoded = decoder.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refused(400, "invalid_request_error", f"The body is not {encoding}: {error}") from error
    if len(decoded) > MAX_BODY_BYTES:
        raise Refused(413, "invalid_request_error", "The decoded body is too large")
    if not decoder.eof:
        raise Refused(400, "invalid_request_error", f"The {encoding} body is cut short")
    return decoded


def _id_header(request: web.Request, fault: Fault | None = None) -> dict[str, str]:
    return {} if fault is not None and fault.name == "no_request_id" else {"X-Request-Id": request[REQUEST_ID]}


def _refusal(request: web.Request, refused: Refused) -> web.Response:
    headers = _id_header(request)
    if refused.retry_after_s is not None:
        headers["Retry-After"] = f"{refused.retry_after_s:.0f}"
    body = wire.error(refused.kind, refused.message, request[REQUEST_ID], refused.details)
    return web.json_response(body, status=refused.status, headers=headers)
