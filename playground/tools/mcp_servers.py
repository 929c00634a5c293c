"""Tools of Model Context Protocol servers: one conversation for each server, in a thread; secrets in its address.

A server is named by the person who uses it, never by a file that was opened. The SDK's task library does not support
the window's Qt event loop, and a flood of messages from a server must not delay the window: hence the thread.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import takewhile
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from msgspec import Struct, field

from playground import install_advice
from playground.client.redact import redact
from playground.client.stream_masking import masked_value
from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import InputError
from playground.prompt.secret_names import looks_random
from playground.prompt.secret_texts import secrets_of_arguments, spans_in
from playground.prompt.secret_values import is_literal
from playground.tasks import Consents
from playground.tools.import_definitions import from_json

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from mcp import Client


PLACEHOLDER = re.compile(r"\{secret:([0-9a-f]{12})-(\d{1,6})\}")
# From the colon on: a search for the scheme takes the square of the time in a long word.
_URL = re.compile(r"(?<=[A-Za-z0-9+.-])://[^\s/?#]*(?P<path>[^\s?#]*)(?P<query>\S*)")
_GENERATED = re.compile(r"(?<=[/=#])[^/?&#;=]{16,}")
_ID = re.compile(r"[0-9a-fA-F-]{32,}")
_VARIABLE = re.compile(r"\$(?:[{(]|[A-Z_][A-Z0-9_]*(?![a-z]))")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=(.+)", re.DOTALL)
_SETTING = re.compile(r"(?i)[\d.]+|true|false|yes|no|on|off|debug|info|warn(?:ing)?|error|production|development")


def conceal(text: str, new_id: Callable[[Sequence[str]], str]) -> tuple[str, tuple[str, ...]]:
    """Return the text of a server with a placeholder for each secret, and the secrets.

    References to variables ($NAME) are no secrets. A command line that cannot be written in its own quotation
    marks is quoted again. `new_id` gives the id of these secrets for the placeholders.
    """
    words = _words(text)
    spans = _spans(words)
    secrets = tuple(word[start:end] for word, found in zip(words, spans, strict=True) for start, end in found)
    if not secrets:
        return text, ()
    id, number, stored = new_id(secrets), 0, []
    for word, found in zip(words, spans, strict=True):
        parts, at = [], 0
        for start, end in found:
            parts += [word[at:start], f"{{secret:{id}-{number}}}"]
            at, number = end, number + 1
        stored.append("".join([*parts, word[at:]]))
    return _in_own_quotes(text, stored, id, secrets), secrets


def secret_id(text: str) -> str | None:
    """Return the id in the placeholders of a text; None without one."""
    found = PLACEHOLDER.search(text)
    return found[1] if found else None


def filled(word: str, secrets: Sequence[str]) -> str:
    """Return a word of a server's text with its secrets. Raises IndexError if there is no such secret."""
    return PLACEHOLDER.sub(lambda found: secrets[int(found[2])], word)


def _words(text: str) -> list[str]:
    if "://" in (text.split(maxsplit=1) or [""])[0]:
        return [text]
    for end in ("", '"', "'"):  # a quotation mark that is not closed yet
        with suppress(ValueError):
            return shlex.split(text + end)
    return text.split()


def _in_own_quotes(text: str, stored: list[str], id: str, secrets: Sequence[str]) -> str:
    for number, secret in enumerate(secrets):
        text = text.replace(secret, f"{{secret:{id}-{number}}}", 1)
    with suppress(ValueError):
        if stored == (shlex.split(text) if len(stored) > 1 or stored[0] != text else stored):
            return text
    return stored[0] if "://" in stored[0] and len(stored) == 1 else shlex.join(stored)


def _spans(words: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Return where each word has secrets: in order, without overlaps."""
    candidates = [list(_candidates(word)) for word in words]
    for place, secret in secrets_of_arguments(words, lenient=True):
        candidates[place].append((secret.start, secret.end))
    for place, assigned in enumerate(takewhile(bool, map(_ASSIGNED.fullmatch, words))):  # NAME=value before the program
        if assigned and is_literal(assigned[1]) and not _SETTING.fullmatch(assigned[1]):
            candidates[place].append(assigned.span(1))
    return [_without_overlaps(word, found) for word, found in zip(words, candidates, strict=True)]


def _without_overlaps(word: str, candidates: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    stored = [place.span() for place in PLACEHOLDER.finditer(word)]
    for start, end in sorted(candidates, key=lambda span: (span[0], -span[1])):
        is_taken = any(start < late and early < end for early, late in [*stored, *found[-1:]])
        if not is_taken and not _VARIABLE.search(word, start, end):
            found.append((start, end))
    return found


def _candidates(word: str) -> Iterator[tuple[int, int]]:
    for secret in spans_in(word, lenient=True):
        start, end = secret.start, secret.end
        if word[end : end + 1] == "@" and (colon := word.find(":", start, end - 1)) >= 0:
            start = colon + 1  # the user's name is no secret
        yield start, end
    for url in _URL.finditer(word):
        for part in _GENERATED.finditer(word, url.start("path"), url.end("query")):
            if looks_random(part[0]) or (part.end() <= url.end("path") and _ID.fullmatch(part[0])):
                yield part.span()
    if "/" not in word and "." not in word and looks_random(word):
        yield 0, len(word)


EXAMPLES = "Write a command such as python my_server.py, or an address such as http://localhost:8000/mcp."


class CommandLine(Struct, frozen=True):
    """A local program that is started and used over its standard input and output."""

    command: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set for this program: NAME=value before the command."""


class Address(Struct, frozen=True):
    """A server that is used over HTTP."""

    url: str


def read_address(text: str) -> CommandLine | Address:
    """Parse a typed address. A command line is split like a shell does, without running one. Raises InputError."""
    text = text.strip()
    if not text:
        raise InputError.of(("server",), "names no tool server.", EXAMPLES)
    if "://" in text.split(maxsplit=1)[0]:
        return Address(_checked(text))
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError.of(("server",), f"this command line cannot be read: {error}.", EXAMPLES) from None
    environment: dict[str, str] = {}
    while words and (assigned := _ASSIGNMENT.fullmatch(words[0])):
        environment[assigned[1]] = assigned[2]
        del words[0]
    if not words:
        raise InputError.of(("server",), "names no program.", EXAMPLES)
    return CommandLine(words[0], tuple(words[1:]), environment)


_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def _with_secrets(where: CommandLine | Address, secrets: Sequence[str]) -> CommandLine | Address:
    if isinstance(where, Address):
        return Address(filled(where.url, secrets))
    environment = {name: filled(value, secrets) for name, value in where.environment.items()}
    return CommandLine(where.command, tuple(filled(word, secrets) for word in where.arguments), environment)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        # Reading the port validates it.
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise InputError.of(("server",), "this is no HTTP address.", EXAMPLES)
    if parts.username is not None:
        raise InputError.of(("server",), "the address has a user name in it.", "Leave it out.")
    return url


MISSING = f"Tool servers need a package that is missing. {install_advice('mcp')}"
CONNECT_S = 20.0
"""Timeout for the start of a program and its list of tools."""
CALL_S = 120.0
"""Timeout for one call; longer than any caller waits."""
MOST_PAGES = 50
"""Maximum number of pages of a list of tools; longer lists are refused."""
MOST_CHARACTERS = 1_000_000
"""Maximum length of a call's result."""
SAID = 300
"""Characters of a failed program's error output that are reported."""
Answer = TypeVar("Answer")


class ToolServerError(Exception):
    """The server cannot be reached, disconnected, or refused. The message is for the user."""


class SessionLostError(Exception):
    """The server does not know the session any more, and has not made the call."""


SESSION_LOST = "The server does not know this session."


class _Watched:
    """The messages of a server. `ended` is called when there are no more."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream, self._ended = stream, ended
        self.receive, self.aclose = stream.receive, stream.aclose

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._ended()
            raise

    async def __aenter__(self) -> _Watched:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stream.aclose()


def _http_client() -> AsyncClient:
    """Return a client that answers a failed exchange with a JSON-RPC error, for that call alone.

    The SDK ends the session with all its calls when one exchange fails, and has no sign of a session that the server
    has forgotten.
    """
    import httpx2

    client = httpx2.AsyncClient(timeout=httpx2.Timeout(CONNECT_S, read=CALL_S))
    send = client.send

    async def checked(request: Any, **options: Any) -> Any:
        try:
            response = await send(request, **options)
            if response.status_code == 404 and "mcp-session-id" in request.headers:
                await response.aclose()
                return failed(request, 404, SESSION_LOST)
            if response.headers.get("content-type", "").startswith("application/json"):
                await response.aread()
        except httpx2.TransportError as error:
            return failed(request, 502, str(error) or type(error).__name__)
        return response

    def failed(request: Any, status: int, message: str) -> httpx2.Response:
        error = {"code": -32000, "message": message}
        return httpx2.Response(status, request=request, json={"jsonrpc": "2.0", "id": None, "error": error})

    client.send = checked  # type: ignore[method-assign]
    return client


class McpSession:
    """A connection to one server, used by any number of calls at once until it ends. Used in one event loop."""

    def __init__(self, name: str, where: CommandLine | Address, secrets: str = "") -> None:
        """`secrets`: masked in results and errors; one per line."""
        self._name, self._where, self._secrets = name, where, secrets
        self._client: Client | None = None
        self._decided, self._ended = asyncio.Event(), asyncio.Event()
        self._calls: set[asyncio.Task[Any]] = set()
        self._error: str | None = None

    async def serve(self) -> None:
        """Connect, and stay connected until the server disconnects and all calls have ended."""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            try:
                async with self._connected(said) as client:
                    self._client = client
                    self._decided.set()
                    await self._ended.wait()
                    if self._calls:
                        await asyncio.wait(self._calls)
            # The SDK raises exception groups; all of them are errors of this server.
            except Exception as error:
                words = _last_words(said, self._secrets)
                self._error = redact(_sentence(self._name, error, words), self._secrets)
            finally:
                self._error = self._error or f"The tool server {self._name} was closed."
                self._decided.set()

    @asynccontextmanager
    async def _connected(self, said: IO[str]) -> AsyncGenerator[Client, None]:
        try:
            from mcp import Client, MCPError, StdioServerParameters, stdio_client
            from mcp.client.streamable_http import streamable_http_client
        except ImportError as error:
            raise ToolServerError(MISSING) from error
        async with AsyncExitStack() as stack:
            if isinstance(self._where, Address):
                http = await stack.enter_async_context(_http_client())
                transport = streamable_http_client(self._where.url, http_client=http)
            else:
                program = StdioServerParameters(
                    command=self._where.command,
                    args=list(self._where.arguments),
                    env=dict(self._where.environment) or None,
                )
                transport = self._watched(stdio_client(program, said), said)  # type: ignore[arg-type]
            async with (
                asyncio.timeout(CONNECT_S) as limit,
                Client(transport, read_timeout_seconds=CALL_S) as client,
            ):
                # Otherwise the SDK lists them after the first call of each, whose result is lost if that fails.
                with suppress(MCPError, ToolServerError):
                    await list_tools(client)
                limit.reschedule(None)
                yield client

    @asynccontextmanager
    async def _watched(self, transport: Any, said: IO[str]) -> AsyncGenerator[tuple[_Watched, Any], None]:
        """Note the end of a program's output: a call that is asked for later needs a new session."""

        def ended() -> None:
            words = _last_words(said, self._secrets)
            self._error = f"The tool server {self._name} failed: {words or 'it ended before it answered.'}"
            self._ended.set()

        async with transport as (reading, writing):
            yield _Watched(reading, ended), writing

    async def ask(self, question: Callable[[Client], Awaitable[Answer]], limit_s: float) -> Answer:
        """Have a request answered. Raises ToolServerError, or SessionLostError if the request has to be made again."""
        await self._decided.wait()
        if self._client is None or self._error is not None:
            raise ToolServerError(self._error or "")
        if self._ended.is_set():
            raise SessionLostError
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            async with asyncio.timeout(limit_s):
                found = await question(self._client)
        except TimeoutError:
            raise ToolServerError(f"{self._name} did not answer within {limit_s:.0f} seconds.") from None
        except ToolServerError as failed:
            raise ToolServerError(redact(str(failed), self._secrets)) from None
        except Exception as error:
            if str(error) == SESSION_LOST:
                self._ended.set()
                raise SessionLostError from None
            # Not by its code: servers use the same one for errors of their own.
            closed = self._error if str(error) == "Connection closed" else None
            raise ToolServerError(closed or redact(_sentence(self._name, error, ""), self._secrets)) from None
        finally:
            self._calls.discard(task)
        return cast("Answer", masked_value(found, self._secrets)) if self._secrets else found

    @property
    def over(self) -> bool:
        return self._error is not None or self._ended.is_set()


async def list_tools(client: Client) -> list[dict[str, Json]]:
    """Return all tools as the server describes them: name, description, inputSchema. Raises ToolServerError."""
    found: list[dict[str, Json]] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise ToolServerError(f"Its list of tools did not end after {MOST_PAGES} pages.")


async def call_tool(client: Client, name: str, arguments: Mapping[str, Json]) -> str:
    """Return the text of a call's result. Raises ToolServerError if it is an error or too long."""
    result = await client.call_tool(name, dict(arguments))
    texts = [getattr(part, "text", f"[{part.type}]") for part in result.content]
    text = "\n".join(texts)
    if len(text) > MOST_CHARACTERS:
        raise ToolServerError(f"The result of {name} has {len(text):,} characters; {MOST_CHARACTERS:,} are the most.")
    if result.is_error:
        raise ToolServerError(text or f"{name} failed, and did not say why.")
    return text


def _last_words(said: IO[str], secrets: str) -> str:
    """Return the beginning of a server's last line, without its secrets, of which the end may be cut off."""
    said.seek(0)
    # A text in UTF-16, as some programs write it on Windows, has a zero beside each ASCII character.
    lines = (line.replace("\0", "").strip() for line in said)
    words = [line for line in lines if line]
    return redact(words[-1], secrets)[:SAID] if words else ""


def _sentence(name: str, error: BaseException, said: str) -> str:
    reason = _reason(error)
    if isinstance(reason, ToolServerError):
        return str(reason)
    if isinstance(reason, FileNotFoundError):
        return f"There is no program {reason.filename or name} on this machine."
    if isinstance(reason, TimeoutError):
        return f"{name} did not answer within {CONNECT_S:.0f} seconds."
    words = said or str(reason) or type(reason).__name__
    return f"The tool server {name} failed: {words}"


def _reason(error: BaseException) -> BaseException:
    """Return the first error inside exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


Allowed = Callable[[str], Coroutine[Any, Any, bool]]
SecretsOf = Callable[[str], Coroutine[Any, Any, tuple[str, ...]]]


class ToolServers:
    """Connects on first use, keeps connections, and ends them with `close`.

    A server is identified by the text that the user typed: a command line or an address, with placeholders for its
    secrets.
    """

    def __init__(self, allowed: Allowed, secrets: SecretsOf) -> None:
        """Take `allowed`, which asks the user before the first call whether a prompt may call a server's tools.

        `secrets` returns the secrets of a text with placeholders, or raises InputError.
        """
        self._allowed, self._secrets = allowed, secrets
        self._consents = Consents()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._sessions: dict[str, tuple[McpSession, asyncio.Task[None]]] = {}

    async def tools(self, server: str) -> tuple[Tool, ...]:
        """Return the tools of a server as tools of a prompt.

        Raises InputError for an invalid address, ToolServerError.
        """
        where, secrets = read_address(server), await self._secrets(server)
        found = await self._in_thread(self._ask(server, where, secrets, list_tools, CONNECT_S))
        if not found:
            raise ToolServerError(f"{server} has no tools.")
        return tuple(from_json(json.dumps(_definition(fields))).tools[0] for fields in found)

    async def call(self, server: str, name: str, arguments: Mapping[str, Json], owner: str) -> str:
        """Return a tool's result. `owner` is the prompt that the consent belongs to.

        Raises InputError for an invalid address, ToolServerError, also without consent.
        """
        where = read_address(server)
        if not await self._consents.given((owner, server), partial(self._allowed, server)):
            raise ToolServerError(f"{name} was not called: you did not allow {server}.")
        secrets = await self._secrets(server)
        question = partial(call_tool, name=name, arguments=arguments)
        return await self._in_thread(self._ask(server, where, secrets, question, CALL_S))

    async def _ask(
        self, server: str, where: Any, secrets: Sequence[str], question: Callable[..., Any], limit_s: float
    ) -> Any:
        for _ in range(2):  # a server that has forgotten the session is asked in a new one
            session, task = self._sessions.get(server, (None, None))
            if session is None or session.over:
                session = McpSession(server, _with_secrets(where, secrets), "\n".join(secrets))
                task = asyncio.get_running_loop().create_task(session.serve(), name=f"tool server {server}")
                self._sessions[server] = session, task
            with suppress(SessionLostError):
                return await session.ask(question, limit_s)
        raise ToolServerError(f"The tool server {server} failed: {SESSION_LOST}")

    async def _in_thread(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="tool servers", daemon=True)
            self._thread.start()
        return self._loop

    async def close(self) -> None:
        """Disconnect from all servers and end the programs that were started for them."""
        if self._loop is None or self._thread is None:
            return
        loop, thread = self._loop, self._thread
        await self._in_thread(self._close_all())
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()
        self._loop = self._thread = None

    async def _close_all(self) -> None:
        for _, task in self._sessions.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._sessions.values()), return_exceptions=True)
        self._sessions.clear()


def _definition(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return the parts of a server's description that a prompt uses; omits hints for other programs."""
    return {name: fields[name] for name in ("name", "description", "inputSchema") if name in fields}
