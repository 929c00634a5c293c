"""Random responses through the whole client, and random events through the fold.

    python -m tests.conformance.fuzz --cases N [--seed S] [--first F]

In memory: transport, exchange, framer, decoder, run, state. A case is determined by seed and number: `--first F
--cases 1` repeats a failure. Prints the cases, crashes, hangs and keys found; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from random import Random
from typing import cast

import httpx
import msgspec

from playground.client.connection import Timeouts
from playground.client.endpoint import Endpoint
from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    BodyIdReceived,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    Queued,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    RetryScheduled,
    Stopped,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.client.exchange import Exchange
from playground.client.retry import NO_RETRIES
from playground.prompt.request import Request
from playground.runs.run import Run
from playground.runs.state import RunState, fold
from tests.conformance.random_streams import KEY, Expected, Response, response, text
from tests.conformance.talk import DOCUMENT, STARTED

SEED = 20_261_123
REQUEST = Request(b'{"model":"m","messages":[],"stream":true}', "m", True)
ENDPOINT = Endpoint("f", "Fuzz", "http://127.0.0.1:9/v1")
HANG_S = 30.0
"""A case that takes longer hangs."""
_TIMEOUTS = Timeouts(first_byte=HANG_S, idle=HANG_S)
_LOGGED = msgspec.json.Decoder(AnyEvent)
_ENCODER = msgspec.json.Encoder()


class CaseFailed(AssertionError):  # noqa: N818 - says of a case what it is
    """A case that is not as it should be, by its number."""


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._answer.pieces:
            # Without a wait, the client takes several pieces as one: a cut would not be one for it.
            await asyncio.sleep(0)
            yield piece
        if self._answer.breaks:
            raise httpx.ReadError("the connection broke")


class _Transport(httpx.AsyncBaseTransport):
    """A network that answers every request with one response."""

    def __init__(self) -> None:
        self.answer: Response | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.answer is not None
        headers = {"X-Request-Id": self.answer.request_id, "Content-Type": self.answer.content_type}
        kept = {name: value for name, value in headers.items() if value}
        return httpx.Response(self.answer.status, headers=kept, stream=_Body(self.answer))


class InMemory:
    """A connection whose network is a random response. Everything above the network is the client's own."""

    def __init__(self) -> None:
        self._transport = _Transport()
        self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)

    async def stream(
        self, endpoint: Endpoint, key: str | None, request: Request, clock: Callable[[], float], attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]:
        """As Connection.stream."""
        yield AttemptStarted(clock(), attempt)
        exchange = Exchange(self._client, endpoint, key, request, clock, _TIMEOUTS)
        async with aclosing(exchange.reads()) as reads:
            async for events in reads:
                for event in events:
                    yield event

    async def judge(self, number: int, seed: int = SEED) -> Response:
        """Run case `number`. Raises CaseFailed."""
        answer = response(Random(f"{seed}:{number}"))
        try:
            state = await self._run(answer)
            check(state, answer)
            if len(answer.pieces) > 1:
                agree(state, await self._run(answer.uncut))
            fold_anything(Random(f"{seed}:events:{number}"))
        except Exception as error:
            raise CaseFailed(
                f"case {number}, {answer.kind}: {error!r}\n{b''.join(answer.pieces)!r}\n{answer}"
            ) from error
        return answer

    async def _run(self, answer: Response) -> RunState:
        self._transport.answer = answer
        run = Run(
            id="fuzz",
            document=DOCUMENT,
            request=REQUEST,
            endpoint=ENDPOINT,
            forecast=None,
            started_utc=STARTED,
            connection=self,
            key=KEY,
            retries=NO_RETRIES,
        )
        return await executed(run)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()


async def executed(run: Run) -> RunState:
    """Execute a run. What it told, written and read as the log does, adds up to the state that it ended in."""
    told: list[AnyEvent] = []
    run.subscribe(lambda _, event: told.append(event))
    async with asyncio.timeout(HANG_S):
        state = await run.execute()
    logged = [_LOGGED.decode(_ENCODER.encode(event)) for event in told]
    leaks(told)
    replayed = fold(logged)
    assert replayed.text == state.text
    assert replayed == state, "the logged events fold to another state"
    return state


def leaks(events: list[AnyEvent]) -> None:
    """Assert that the key is in no event, nor in the joined texts, nor in what the raw events join to."""
    state = fold(events)
    calls = [text for call in state.tool_calls.values() for text in (call.name, call.id, call.arguments)]
    tokens = "".join(token.token for token in state.probabilities)
    joined = [state.text, state.reasoning, state.refusal, tokens, *calls, *_joined_raw(state)]
    written = _ENCODER.encode(events).decode()
    for output in (written, *joined):
        assert KEY not in output, f"the key is in {output[:2000]}"
        assert KEY not in _unescaped(output), f"the key is escaped in {output[:2000]}"


def _joined_raw(state: RunState) -> list[str]:
    """The texts that a tool would join from the raw events: each string field of the choices, by its name."""
    found: dict[str, str] = {}
    for event in state.raw:
        try:
            value = json.loads(event.data)
        except (ValueError, RecursionError):
            continue
        choices = value.get("choices") if isinstance(value, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            _strings(choice, "", found)
    return list(found.values())


def _strings(value: object, name: str, found: dict[str, str]) -> None:
    if isinstance(value, str):
        # An id or a name is not joined by any client; a piece of one is no more than its piece.
        if not name.endswith((".id", ".name")):
            found[name] = found.get(name, "") + value
    elif isinstance(value, dict):
        for key, item in value.items():
            _strings(item, f"{name}.{key}", found)
    elif isinstance(value, list):
        for item in value:
            _strings(item, name, found)


def _unescaped(text: str) -> str:
    for _ in range(3):
        text = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text).replace("\\/", "/")
    return text


def check(state: RunState, answer: Response) -> None:
    """What holds for every response, and what this one says."""
    assert state.phase in ("done", "failed"), state.phase
    assert (state.status, state.request_id) == (answer.status, answer.request_id), "the request_id is lost"
    assert state.attempts[0].ended_at is not None
    state.text.encode()
    if answer.status >= 400:
        assert state.error is not None
        assert (state.error.kind, state.error.status) == ("http", answer.status)
        assert state.error.title
    if state.phase == "failed":
        assert state.error is not None
        assert len(state.error.body) <= 65_536
    if answer.expected is not None:
        assert said(state) == answer.expected, f"{said(state)} is not {answer.expected}"


def said(state: RunState) -> Expected:
    """What the client has understood, in the words of the generator."""
    calls = {index: (call.id, call.name, call.arguments) for index, call in state.tool_calls.items()}
    prompt = state.usage.prompt_tokens if state.usage else None
    error = state.error.kind if state.error else ""
    return Expected(state.text, calls, state.finish_reason, prompt, error, state.saw_done)


def agree(cut: RunState, uncut: RunState) -> None:
    """How a response is cut into reads changes nothing."""
    assert said(cut) == said(uncut), f"{said(cut)} in pieces, {said(uncut)} in one"
    assert [event.data for event in cut.raw] == [event.data for event in uncut.raw]


def _events(chance: Random) -> list[AnyEvent]:
    """An attempt, and then anything in any order."""
    usage, error = Usage(chance.randint(0, 9), None, 3, None), ApiError("cut", text(chance))
    makers: tuple[Callable[[], AnyEvent], ...] = (
        lambda: AttemptStarted(1.0, chance.randint(1, 5)),
        lambda: Queued(1.0, 1, 2, text(chance), None),
        lambda: ReasoningDelta(1.0, text(chance)),
        lambda: RefusalDelta(1.0, text(chance)),
        lambda: HeadersReceived(1.0, chance.choice((200, 503)), f"r{chance.randint(0, 99)}", ""),
        lambda: BodyIdReceived(1.0, text(chance)),
        lambda: ContentDelta(1.0, text(chance)),
        lambda: ToolCallDelta(1.0, chance.randint(0, 3), None, text(chance), text(chance)),
        lambda: TokenProbabilities(1.0, (TokenProbability(text(chance), -1.0),)),
        lambda: Finished(1.0, "stop"),
        lambda: UsageReported(1.0, usage),
        lambda: RawEvent(1.0, text(chance)),
        lambda: AttemptFailed(1.0, error),
        lambda: RetryScheduled(1.0, 2, 5, 0.5),
        lambda: Completed(1.0),
        lambda: Stopped(1.0),
    )
    return [AttemptStarted(0.0, 1), *(chance.choice(makers)() for _ in range(chance.randint(0, 15)))]


def fold_anything(chance: Random) -> None:
    """Events in any order add up to a state: no text and no request_id is lost, and it can be read."""
    events = _events(chance)
    state = fold(events)
    assert state.text == "".join(event.text for event in events if isinstance(event, ContentDelta))
    ids: list[str | None] = []
    for event in events:
        if isinstance(event, AttemptStarted):
            ids.append(None)
        elif isinstance(event, HeadersReceived):
            ids[-1] = event.request_id
    assert [attempt.request_id for attempt in state.attempts] == ids
    assert state.request_id == ids[-1]
    assert state.ended == (state.phase in ("done", "failed", "stopped"))
    assert state.ttft_s is None or state.first_token_at is not None


async def many(cases: int, first: int = 0, seed: int = SEED) -> Counter[str]:
    """Run `cases` cases from number `first` on and count each kind. Raises CaseFailed."""
    connection, kinds = InMemory(), Counter[str]()
    try:
        for number in range(first, first + cases):
            kinds[cast("str", (await connection.judge(number, seed)).kind)] += 1
    finally:
        await connection.aclose()
    return kinds


def main(arguments: list[str]) -> int:
    """Run the cases, print the result and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fuzz")
    parser.add_argument("--cases", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        kinds = asyncio.run(many(options.cases, options.first, options.seed))
    except CaseFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    took_s = time.perf_counter() - started
    print(f"{kinds.total():,} cases, seed {options.seed}, from number {options.first:,}: {counts}")
    print(f"0 crashes, 0 hangs, 0 keys found, {took_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
