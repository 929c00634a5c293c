"""The official OpenAI SDK and this client against the simulator, with equal results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.prompt.document import Document
from playground.prompt.request import Request
from playground.runs.run import Run
from playground.runs.state import RunState
from playground.simulator.process import SimulatorProcess
from tests.conformance.talk import queue_faults, stats
from tests.simulator.talk import send

pytestmark = pytest.mark.exhaustive

Make = Callable[..., SimulatorProcess]
Fields = Mapping[str, Any]

KEY = "sk_test_0123456789"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


def _tool(name: str, **properties: Fields) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER = _tool("get_weather", city={"type": "string"}, days={"type": "integer"})
CLOCK = _tool("get_time", city={"type": "string"})
BOTH = [{"role": "user", "content": "The weather and the time in Paris for 3 days, please"}]
FILLER = {"role": "system", "content": "Briefly acknowledge out loud before using any tool."}

REQUESTS: dict[str, Fields] = {
    "plain": {"messages": HELLO},
    "every parameter": {
        "messages": [{"role": "system", "content": "Be brief."}, *HELLO],
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 200,
        "stop": ["\n\n", "END"],
        "seed": 11,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {"50256": -100},
        "user": "caller-7",
        "response_format": {"type": "text"},
    },
    "cut by max_tokens": {"messages": HELLO, "max_tokens": 3},
    "cut by stop": {"messages": HELLO, "stop": " "},
    "json": {
        "messages": [{"role": "user", "content": 'a "quote" \\ and 🙂'}],
        "response_format": {"type": "json_object"},
    },
    "hindi": {"messages": [{"role": "user", "content": "मेरा बिल ज़्यादा क्यों है?"}]},
    "logprobs": {"messages": HELLO, "logprobs": True, "top_logprobs": 3},
    "logprobs without alternatives": {"messages": HELLO, "logprobs": True},
    "one call": {"messages": BOTH, "tools": [WEATHER]},
    "parallel calls": {"messages": BOTH, "tools": [WEATHER, CLOCK]},
    "not parallel": {"messages": BOTH, "tools": [WEATHER, CLOCK], "parallel_tool_calls": False},
    "filler and calls": {"messages": [FILLER, *BOTH], "tools": [WEATHER, CLOCK]},
    "a tool by name": {
        "messages": HELLO,
        "tools": [WEATHER, CLOCK],
        "tool_choice": {"type": "function", "function": {"name": "get_time"}},
    },
    "required": {"messages": HELLO, "tools": [CLOCK], "tool_choice": "required"},
    "no tool": {"messages": BOTH, "tools": [CLOCK], "tool_choice": "none"},
    "after a tool's result": {
        "messages": [
            *BOTH,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "half past nine"},
        ],
        "tools": [CLOCK],
    },
    "unknown field": {"messages": HELLO, "extra_body": {"routing_hint": "eu", "max_completion_tokens": 9}},
}


@dataclass(frozen=True)
class Said:
    """What an answer says, however it was read. `usage`: prompt, completion, total and cached tokens."""

    text: str
    calls: tuple[tuple[str, str, str], ...]
    finish_reason: str
    usage: tuple[int | None, int | None, int | None, int | None]
    tokens: tuple[str, ...]
    body_id: bool


@contextmanager
def _sdk(base_url: str, key: str = KEY) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        yield client


@contextmanager
def _recorded(base_url: str) -> Iterator[tuple[openai.OpenAI, list[bytes]]]:
    """The SDK, and the bodies of the requests that it sends."""
    bodies: list[bytes] = []
    http = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: bodies.append(request.content)]})
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0, http_client=http) as client:
        yield client, bodies


def _usage(usage: CompletionUsage | None) -> tuple[int | None, int | None, int | None, int | None]:
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    cached = usage.prompt_tokens_details.cached_tokens
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, cached


def _of_completion(completion: ChatCompletion) -> Said:
    choice = completion.choices[0]
    calls = [call for call in choice.message.tool_calls or () if call.type == "function"]
    return Said(
        choice.message.content or "",
        tuple((call.id, call.function.name, call.function.arguments) for call in calls),
        choice.finish_reason,
        _usage(completion.usage),
        tuple(item.token for item in (choice.logprobs.content if choice.logprobs else None) or ()),
        bool(completion.id),
    )


def _whole(client: openai.OpenAI, fields: Fields) -> Said:
    return _of_completion(client.chat.completions.create(model="electron", **fields))


def _streamed(client: openai.OpenAI, fields: Fields) -> Said:
    """Through the SDK's own accumulator, which is as strict about the order and shape of pieces as any user of it."""
    state = ChatCompletionStreamState[None]()
    stream = client.chat.completions.create(
        model="electron", stream=True, stream_options={"include_usage": True}, **fields
    )
    with stream:
        for chunk in stream:
            state.handle_chunk(chunk)
    # Not its final completion: that refuses one which max_tokens has cut.
    return _of_completion(state.current_completion_snapshot)


def _ours(base_url: str, body: bytes) -> RunState:
    async def main() -> RunState:
        connection = Connection()
        run = Run(
            id="run",
            document=Document(),
            request=Request(body, "electron", bool(json.loads(body).get("stream"))),
            endpoint=Endpoint("s", "Simulator", base_url),
            forecast=None,
            started_utc=datetime.now(UTC),
            connection=connection,
            key=KEY,
        )
        try:
            return await run.execute()
        finally:
            await connection.aclose()

    return asyncio.run(main())


def _of_run(state: RunState) -> Said:
    assert state.phase == "done", state.error
    assert state.usage is not None
    usage = state.usage
    return Said(
        state.text,
        tuple((call.id, call.name, call.arguments) for call in state.tool_calls.values()),
        state.finish_reason or "",
        (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens),
        tuple(probability.token for probability in state.probabilities),
        bool(state.body_id),
    )


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_bytes_say_the_same_to_the_sdk_and_to_this_client(simulator: SimulatorProcess, name: str) -> None:
    """Whole and streamed, by both: text, calls with their ids, finish reason, usage and tokens are equal."""
    fields = REQUESTS[name]
    with _recorded(simulator.base_url) as (client, bodies):
        _whole(client, fields)  # from here on the prompt is cached as far as it ever will be
        theirs = [_whole(client, fields), _streamed(client, fields)]
    ours = [_of_run(_ours(simulator.base_url, body)) for body in bodies[1:]]
    assert [b'"stream":true' in body for body in bodies[1:]] == [False, True]
    assert theirs[0] == theirs[1] == ours[0] == ours[1]


def test_what_the_requests_of_the_table_bring_about(simulator: SimulatorProcess) -> None:
    """So that the comparison above compares something."""
    with _sdk(simulator.base_url) as client:
        said = {name: _streamed(client, fields) for name, fields in REQUESTS.items()}
    assert [call[1] for call in said["parallel calls"].calls] == ["get_weather", "get_time"]
    assert len({call[0] for call in said["parallel calls"].calls}) == 2
    assert [json.loads(call[2])["city"] for call in said["parallel calls"].calls] == [BOTH[0]["content"]] * 2
    assert [call[1] for call in said["not parallel"].calls] == ["get_weather"]
    assert [call[1] for call in said["a tool by name"].calls] == ["get_time"]
    assert said["filler and calls"].text
    assert len(said["filler and calls"].calls) == 2
    assert said["parallel calls"].text == ""
    assert said["no tool"].calls == ()
    assert "half past nine" in said["after a tool's result"].text
    assert json.loads(said["json"].text)["question"] == 'a "quote" \\ and 🙂'
    assert (said["cut by max_tokens"].finish_reason, said["cut by max_tokens"].usage[1]) == ("length", 3)
    assert " " not in said["cut by stop"].text
    assert "".join(said["logprobs"].tokens) == said["logprobs"].text
    assert said["plain"].tokens == ()
    assert {said[name].finish_reason for name in ("plain", "one call")} == {"stop", "tool_calls"}


def test_the_second_time_is_served_from_the_cache(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "0", "--plan", "none")
    long = {"messages": [{"role": "system", "content": "word " * 200}, *HELLO]}
    with _sdk(simulator.base_url) as client:
        first, second = _streamed(client, long), _whole(client, long)
    assert first.usage[3] == 0
    assert (second.usage[3] or 0) > 150
    assert first.usage[:3] == second.usage[:3]


def test_usage_comes_only_when_it_is_asked_for(simulator: SimulatorProcess) -> None:
    with _sdk(simulator.base_url) as client:
        chunks = list(client.chat.completions.create(model="electron", messages=HELLO, stream=True))
        counted = list(
            client.chat.completions.create(
                model="electron", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        )
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert counted[-1].usage is not None
    assert counted[-1].choices == []
    assert all(chunk.usage is None for chunk in counted[:-1])


def test_a_request_id_stands_on_every_answer(simulator: SimulatorProcess) -> None:
    with _sdk(simulator.base_url) as client:
        whole = client.chat.completions.create(model="electron", messages=HELLO)
        with client.chat.completions.with_streaming_response.create(
            model="electron",
            messages=HELLO,
            stream=True,
        ) as streamed:
            # Known before the first token is read.
            early = streamed.request_id
            list(streamed.parse())
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="electron", messages=HELLO, n=2)
    ids = {whole._request_id, early, refused.value.request_id}
    assert len(ids) == 3
    assert None not in ids


def test_the_asynchronous_sdk_streams_too(simulator: SimulatorProcess) -> None:
    async def main() -> str:
        async with openai.AsyncOpenAI(base_url=simulator.base_url, api_key=KEY, max_retries=0) as client:
            stream = await client.chat.completions.create(model="electron", messages=HELLO, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    with _sdk(simulator.base_url) as client:
        assert asyncio.run(main()) == _whole(client, {"messages": HELLO}).text


ERRORS: dict[str, tuple[Fields, int, type[openai.APIStatusError], str]] = {
    "a wrong role": (
        {"messages": [{"role": "developer", "content": "x"}]},
        400,
        openai.BadRequestError,
        "invalid_request_error",
    ),
    "no messages": ({"messages": []}, 400, openai.BadRequestError, "invalid_request_error"),
    "n above 1": ({"n": 2}, 400, openai.BadRequestError, "invalid_request_error"),
    "empty tools": ({"tools": []}, 400, openai.BadRequestError, "invalid_request_error"),
    "a wrong model": ({"model": "gpt-4"}, 400, openai.BadRequestError, "invalid_request_error"),
    "too long": ({"max_tokens": 32_768}, 400, openai.BadRequestError, "invalid_request_error"),
    "401": ({"extra_body": {"simulate": "401"}}, 401, openai.AuthenticationError, "authentication_error"),
    "403": ({"extra_body": {"simulate": "403"}}, 403, openai.PermissionDeniedError, "permission_error"),
    "429": ({"extra_body": {"simulate": "429=7"}}, 429, openai.RateLimitError, "rate_limit_error"),
    "500": ({"extra_body": {"simulate": "500"}}, 500, openai.InternalServerError, "internal_error"),
    "502": ({"extra_body": {"simulate": "502"}}, 502, openai.InternalServerError, "upstream_error"),
    "503": ({"extra_body": {"simulate": "503"}}, 503, openai.InternalServerError, "overloaded_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ERRORS)
def test_each_error_is_the_sdks_exception_and_our_error(simulator: SimulatorProcess, name: str, stream: bool) -> None:
    fields, status, kind, error_type = ERRORS[name]
    with _recorded(simulator.base_url) as (client, bodies), pytest.raises(kind) as raised:
        client.chat.completions.create(**{"model": "electron", "messages": HELLO, "stream": stream, **fields})
    error = raised.value
    assert type(error) is kind
    assert (error.status_code, error.type) == (status, error_type)
    assert isinstance(error.body, dict)
    assert error.body["request_id"] == error.request_id
    state = _ours(simulator.base_url, bodies[0])
    assert (state.phase, state.status) == ("failed", status)
    assert state.error is not None
    assert (state.error.error_type, state.error.body_request_id) == (error_type, state.request_id)
    assert error.body["message"] in state.error.detail
    assert [dict(item) for item in state.error.details] == error.body.get("details", [])
    if retry_after := error.response.headers.get("retry-after"):
        assert state.error.retry_after_s == float(retry_after)


def test_a_wrong_key_and_a_wrong_address(make_simulator: Make) -> None:
    simulator = make_simulator("--api-key", "sk_right_0123456789", "--plan", "none")
    with _sdk(simulator.base_url, "sk_wrong_0123456789") as client, pytest.raises(openai.AuthenticationError):
        _whole(client, REQUESTS["plain"])
    with _sdk(simulator.base_url + "/nowhere", "sk_right_0123456789") as client:
        with pytest.raises(openai.NotFoundError) as missing:
            _whole(client, REQUESTS["plain"])
        assert missing.value.request_id
        assert missing.value.type == "not_found_error"
    with _sdk(simulator.base_url, "sk_right_0123456789") as client:
        assert _whole(client, REQUESTS["plain"]).text


def test_a_request_that_is_too_long_says_by_how_much(simulator: SimulatorProcess) -> None:
    with _recorded(simulator.base_url) as (client, bodies):
        with pytest.raises(openai.BadRequestError) as raised:
            _whole(client, {"messages": [{"role": "user", "content": "word " * 40_000}]})
        body = raised.value.body
        assert isinstance(body, dict)
        assert body["details"][0]["code"] == "context_length_exceeded"
        # A request exactly at the limit must succeed.
        used = _whole(client, {"messages": HELLO}).usage[0]
        assert used is not None
        assert _whole(client, {"messages": HELLO, "max_tokens": 32_768 - used}).text
        with pytest.raises(openai.BadRequestError):
            _whole(client, {"messages": HELLO, "max_tokens": 32_769 - used})
    error = _ours(simulator.base_url, bodies[-1]).error
    assert error is not None
    assert error.advice.startswith("1 token over: 32,769 asked for, 32,768 fit.")


def test_the_plans_limit_is_the_sdks_rate_limit_error_and_it_retries_after_it(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "0", "--plan", "standard")
    with _sdk(simulator.base_url) as client:
        for _ in range(10):
            _whole(client, {"messages": HELLO, "max_tokens": 1})
        with pytest.raises(openai.RateLimitError) as raised:
            _whole(client, {"messages": HELLO})
    assert 0 < float(raised.value.response.headers["retry-after"]) <= 60


def test_the_sdk_retries_what_the_simulator_says_passes(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "0", "--plan", "none")
    queue_faults(simulator, "503", "429=0")
    with openai.OpenAI(base_url=simulator.base_url, api_key=KEY, max_retries=2) as client:
        assert _whole(client, {"messages": HELLO}).finish_reason == "stop"
    assert stats(simulator)["served"] == 3


def test_error_within_a_stream(simulator: SimulatorProcess) -> None:
    with _sdk(simulator.base_url) as client:
        with pytest.raises(openai.APIError, match="The model stopped") as raised:
            _streamed(client, {"messages": HELLO, "extra_body": {"simulate": "stream_error=3"}})
        assert not isinstance(raised.value, openai.APIStatusError)
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError, httpx.ReadError)):
            _streamed(client, {"messages": HELLO, "extra_body": {"simulate": "cut=3"}})


def _strictly(model: type[BaseModel], data: str | bytes) -> None:
    """Raise if a type differs from the published one, or if a field is not published."""
    _nothing_extra(model.model_validate_json(data, strict=True), model.__name__)


def _nothing_extra(value: object, path: str) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{path} has {list(value.model_extra or ())}"
        for name in type(value).model_fields:
            _nothing_extra(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _nothing_extra(item, f"{path}[{index}]")


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_have_the_published_shape_to_the_letter(simulator: SimulatorProcess, name: str) -> None:
    fields = {key: value for key, value in REQUESTS[name].items() if key != "extra_body"}
    whole = send(simulator, **fields)
    _strictly(ChatCompletion, whole.body)
    streamed = send(simulator, stream=True, stream_options={"include_usage": True}, **fields)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    for data in streamed.events[:-1]:
        _strictly(ChatCompletionChunk, data)
    assert streamed.events[-1] == "[DONE]"
    first = streamed.chunks[0]["choices"][0]["delta"]
    assert first["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] is None for chunk in streamed.chunks[:-1]] == [
        *[True] * (len(streamed.chunks) - 2),
        False,
    ]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in streamed.chunks}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"choices": [{"index": "0", "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "done"}]},
        {"created": 1.5},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        {"unpublished": 1},
    ],
)
def test_the_check_of_the_shape_can_fail(simulator: SimulatorProcess, wrong: Fields) -> None:
    answer = send(simulator).json
    with pytest.raises((ValueError, AssertionError)):
        _strictly(ChatCompletion, json.dumps({**answer, **wrong}))
