"""Tools of real servers: a program over its pipes, and one over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from playground.client.redact import MASK
from playground.prompt.field_errors import InputError
from playground.tools import mcp_servers as desk_module
from playground.tools.mcp_servers import (
    SAID,
    Address,
    CommandLine,
    McpSession,
    ToolServerError,
    ToolServers,
    list_tools,
    read_address,
)

SERVER = Path(__file__).with_name("mcp_server.py")
SDK_STDIO = f'"{sys.executable}" "{SERVER}" stdio'
"""A server by the SDK."""
STDIO = f'"{sys.executable}" "{SERVER.with_name("small_server.py")}"'
"""A server that starts at once."""


async def yes(_server: str) -> bool:
    return True


async def no(_server: str) -> bool:
    return False


async def no_secrets(_server: str) -> tuple[str, ...]:
    return ()


@asynccontextmanager
async def use(allowed: Callable[[str], Any] = yes) -> AsyncIterator[ToolServers]:
    servers = ToolServers(allowed, no_secrets)
    try:
        async with asyncio.timeout(60):
            yield servers
    finally:
        await servers.close()


@pytest.fixture
def http() -> Iterator[str]:
    with over_http(SERVER) as url:
        yield url


@pytest.fixture
def small_http() -> Iterator[str]:
    with over_http(SERVER.with_name("small_server.py")) as url:
        yield url


@contextmanager
def over_http(program: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(program), "http", str(port)], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            continue
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


async def outcomes(servers: ToolServers, server: str, *names: str) -> list[str]:
    """Return what each of these calls, made at once, returns or is refused with."""

    async def outcome(name: str) -> str:
        try:
            return await servers.call(server, name, {"account_id": "AC-1"} if name == "get_balance" else {}, "a prompt")
        except ToolServerError as failed:
            return str(failed)

    return await asyncio.gather(*map(outcome, names))


@pytest.mark.parametrize("server", ["stdio", "http"])
async def test_calls_of_one_turn_each_have_their_own_result_or_error(server: str, small_http: str) -> None:
    address = small_http if server == "http" else STDIO
    async with use() as servers:
        first, refused, last = await outcomes(servers, address, "get_balance", "refuse", "get_balance")
    assert (first, last) == ("AC-1: ₹412", "AC-1: ₹412")
    assert "account is locked" in refused


async def test_calls_after_the_one_that_ends_a_program_are_made_in_a_new_one() -> None:
    async with use() as servers:
        first, died, sent = await outcomes(servers, STDIO, "get_balance", "die", "get_balance")
        assert first == "AC-1: ₹412"
        assert "ended before it answered" in died
        assert "ended before it answered" in sent
        assert await outcomes(servers, STDIO, "get_balance") == ["AC-1: ₹412"]


async def test_session_of_a_program_that_ended_between_two_calls_is_over() -> None:
    session = McpSession("accounts", CommandLine(sys.executable, (str(SERVER.with_name("small_server.py")),), {}))
    serving = asyncio.create_task(session.serve())

    async def leave(client: Any) -> None:
        await client.call_tool("leave", {})

    await session.ask(leave, 60)
    async with asyncio.timeout(20):  # otherwise it would last until the next call, and fail that one
        await serving
    assert session.over


async def test_closed_connection_of_one_call_over_http_does_not_end_the_others(
    small_http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "CALL_S", 2)
    async with use() as servers:
        hung, dropped, made = await outcomes(servers, small_http, "hang", "drop", "get_balance")
        assert "did not answer within 2 seconds" in hung
        assert "disconnected" in dropped
        assert made == "AC-1: ₹412"


async def test_session_that_the_server_has_forgotten_is_replaced_and_the_call_made_once(small_http: str) -> None:
    async with use() as servers:
        assert await outcomes(servers, small_http, "forget") == ["forgotten"]
        assert await outcomes(servers, small_http, "get_balance", "get_balance") == ["AC-1: ₹412"] * 2


@pytest.mark.parametrize("agrees", [True, False])
async def test_calls_of_one_turn_ask_for_consent_once_and_a_refusal_holds_for_them(agrees: bool) -> None:
    asked: list[str] = []
    opened, answered = asyncio.Event(), asyncio.Event()

    async def allowed(server: str) -> bool:
        asked.append(server)
        opened.set()
        await answered.wait()
        return agrees

    async with use(allowed) as servers:
        calls = asyncio.create_task(outcomes(servers, STDIO, "get_balance", "get_balance", "get_balance"))
        await opened.wait()
        answered.set()
        results = await calls
        assert asked == [STDIO]
        assert len(set(results)) == 1
        assert ("did not allow" in results[0]) is not agrees
        await outcomes(servers, STDIO, "get_balance")
        assert len(asked) == (1 if agrees else 2)


@pytest.mark.parametrize("server", [SDK_STDIO, STDIO], ids=["SDK", "small"])
async def test_the_tools_of_a_program_are_listed_and_called(server: str) -> None:
    async with use() as servers:
        tools = {tool.name: tool for tool in await servers.tools(server)}
        function = tools["get_balance"].definition["function"]
        assert isinstance(function, dict)
        assert function["description"] == "Balance of an account."
        assert function["parameters"]["required"] == ["account_id"]  # type: ignore[index,call-overload]
        assert await servers.call(server, "get_balance", {"account_id": "AC-1"}, "a prompt") == "AC-1: ₹412"


async def test_the_same_over_http(http: str) -> None:
    async with use() as servers:
        assert "get_balance" in {tool.name for tool in await servers.tools(http)}
        assert await servers.call(http, "get_balance", {"account_id": "AC-2"}, "a prompt") == "AC-2: ₹412"


async def test_nothing_is_called_without_consent_and_consent_is_asked_once() -> None:
    asked: list[str] = []

    async def allowed(server: str) -> bool:
        asked.append(server)
        return True

    async with use(no) as servers:
        with pytest.raises(ToolServerError, match="did not allow"):
            await servers.call(STDIO, "get_balance", {"account_id": "AC-1"}, "a prompt")
    async with use(allowed) as servers:
        for _ in range(2):
            await servers.call(STDIO, "get_balance", {"account_id": "AC-1"}, "a prompt")
        assert asked == [STDIO]
        await servers.call(STDIO, "get_balance", {"account_id": "AC-1"}, "another prompt")
    assert asked == [STDIO, STDIO]


async def test_an_error_of_the_tool_is_told_in_its_words() -> None:
    async with use() as servers:
        with pytest.raises(ToolServerError, match="no such account"):
            await servers.call(SDK_STDIO, "fail", {"reason": "no such account"}, "a prompt")
        assert await servers.call(SDK_STDIO, "get_balance", {"account_id": "AC-1"}, "a prompt") == "AC-1: ₹412"


async def test_a_server_that_dies_is_told_of_and_started_again() -> None:
    async with use() as servers:
        with pytest.raises(ToolServerError):
            await servers.call(STDIO, "die", {}, "a prompt")
        assert await servers.call(STDIO, "get_balance", {"account_id": "AC-1"}, "a prompt") == "AC-1: ₹412"


async def test_a_call_that_hangs_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "CALL_S", 0.5)

    async with use() as servers:
        with pytest.raises(ToolServerError, match="did not answer within"):
            await servers.call(STDIO, "hang", {}, "a prompt")


async def test_cancelled_calls_do_not_delay_the_next_one_and_are_not_made() -> None:
    session = McpSession("accounts", CommandLine(sys.executable, (str(SERVER.with_name("small_server.py")),), {}))
    serving = asyncio.create_task(session.serve())
    begun, made = asyncio.Event(), []

    async def hang(_client: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def second(_client: object) -> None:
        made.append("second")

    first, queued = (asyncio.create_task(session.ask(question, 60)) for question in (hang, second))
    await asyncio.sleep(0)
    queued.cancel()  # not connected yet
    await begun.wait()
    first.cancel()
    async with asyncio.timeout(20):  # only a call that waits for the first one reaches it
        assert await session.ask(list_tools, 60)
    assert made == []
    serving.cancel()
    await asyncio.wait([serving])


async def test_a_result_without_end_is_refused() -> None:
    async with use() as servers:
        with pytest.raises(ToolServerError, match="1,000,001 characters"):
            await servers.call(STDIO, "long_text", {"characters": 1_000_001}, "a prompt")
        with pytest.raises(ToolServerError, match="1,000,001 characters"):
            await servers.call(STDIO, "fail", {"reason": "x" * 1_000_001}, "a prompt")


async def test_the_api_key_does_not_reach_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLEST_API_KEY", "sk_planted")

    async with use() as servers:
        assert await servers.call(STDIO, "environment", {"name": "SMALLEST_API_KEY"}, "a prompt") == "absent"


async def test_no_program_is_left_behind() -> None:
    async with use() as servers:
        await servers.tools(STDIO)
        assert _servers()
    assert not _servers()


def _servers() -> list[Any]:
    mine = psutil.Process(os.getpid()).children(recursive=True)
    return [process for process in mine if "small_server.py" in " ".join(process.cmdline())]


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        ("no-such-program-at-all --now", "There is no program"),
        (f'"{sys.executable}" -c "raise SystemExit(\'out of order\')"', "out of order"),
        ("http://127.0.0.1:9/mcp", "The tool server http://127.0.0.1:9/mcp failed"),
    ],
)
async def test_a_server_that_is_not_there_is_told_of(server: str, sentence: str) -> None:
    async with use() as servers:
        with pytest.raises(ToolServerError, match=sentence):
            await servers.tools(server)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("before", [0, SAID - 12], ids=["whole", "cut"])
def test_key_on_the_error_output_of_a_server_is_masked(encoding: str, before: int) -> None:
    """The server prints the key of its environment and ends: at the end of the line that is shown, or in it."""
    key = "Zq01hunterX8kd93LpQv01"
    program = (
        f"import os, sys; sys.stderr.buffer.write(('x' * {before} + os.environ['K']).encode('{encoding}')); exit(1)"
    )

    async def secrets(_server: str) -> tuple[str, ...]:
        return (key,)

    async def main() -> str:
        servers = ToolServers(yes, secrets)
        try:
            with pytest.raises(ToolServerError) as failed:
                await servers.tools(f'K={{secret:{"0" * 12}-0}} "{sys.executable}" -c "{program}"')
        finally:
            await servers.close()
        return str(failed.value)

    shown = asyncio.run(main())
    assert MASK in shown
    assert "Zq01" not in shown


@pytest.mark.parametrize(
    "text", ["", "  ", 'python "server', "ftp://host/mcp", "http://", "http://me:pw@host/mcp", "http://a b/"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_address(text)
    assert caught.value.problems[0].path == ("server",)


def test_a_command_line_is_split_and_given_to_no_shell() -> None:
    assert read_address("python 'my server.py' $HOME; ls") == CommandLine("python", ("my server.py", "$HOME;", "ls"))
    assert read_address(" http://localhost:8000/mcp ") == Address("http://localhost:8000/mcp")
