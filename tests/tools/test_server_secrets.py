"""Secrets in command lines and addresses of tool servers, and a search of all files for them."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import null

from playground.agent.service import AgentService, with_tool_servers
from playground.agent.tool_mocks import ToolMocks
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.services import AppServices
from playground.storage.server_secrets import ServerSecrets
from playground.tasks import Tasks
from playground.tools.mcp_servers import PLACEHOLDER, conceal, filled

SERVER = Path(__file__).with_name("small_server.py")
SECRET = "q7-Wm2x+Zk9/tLp4"
TEXT = f'MY_TOKEN={SECRET} "{sys.executable}" "{SERVER}" --api-key {SECRET}'
PROMPT = Document(name="mine", id="p1")
ID = "0" * 12
ALL_FORMS = {
    "npx server --token abc": ("abc",),
    "npx server --api-key=abc": ("abc",),
    "NAME=hidden command": ("hidden",),
    "DEBUG=1 API_KEY=hunter2 command": ("hunter2",),
    "docker run -e GITHUB_PERSONAL_ACCESS_TOKEN=abc image": ("abc",),
    'npx mcp-remote https://h/m --header "Authorization: Bearer abc"': ("abc",),
    "npx mcp-remote https://h/m --header 'X-Api-Key:abc'": ("abc",),
    """npx server --config '{"apiKey":"abc","level":"full"}'""": ("abc",),
    "psql-server postgres://me:pw@h/db": ("pw",),
    "sql-server 'Server=h;User Id=me;Password=p w;Port=1'": ("p w",),
    "https://h.example/hooks/T000/B000/abcdef12": ("abcdef12",),
    "npx server ghp_abcdefghijkl": ("ghp_abcdefghijkl",),
    "https://host/mcp?key=abc&level=2": ("abc",),
    "https://host/s/Zk3l9XbTq72LmN0pQr/mcp": ("Zk3l9XbTq72LmN0pQr",),
    "http://localhost:8000/mcp#access_token=abc": ("abc",),
    'npx server --token "abc de': ("abc de",),
    "npx server --token a": ("a",),
}
NO_SECRET = (
    "python my_server.py",
    "http://localhost:8000/mcp",
    "npx -y @modelcontextprotocol/server-filesystem /home/me/notes",
    "npx server --header Authorization:${AUTH}",
    "npx server --token $TOKEN",
    "npx server --no-auth stdio",
    "uvx server --key --verbose",
    "",
)


class Keys(KeyringBackend):
    """A key store in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def keys() -> Iterator[Keys]:
    before, keys = keyring.get_keyring(), Keys()
    keyring.set_keyring(keys)
    yield keys
    keyring.set_keyring(before)


@pytest.fixture
def no_keys() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(null.Keyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


@asynccontextmanager
async def _session(folder: Path) -> AsyncIterator[AppServices]:
    services = AppServices(folder, {}, Tasks(lambda name, error: None))
    services.allow_server = _yes
    try:
        yield services
    finally:
        await services.close()


async def _yes(_server: str) -> bool:
    return True


def _files_with(folder: Path, secret: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize("text", ALL_FORMS)
def test_secret_is_replaced_and_put_back(text: str) -> None:
    stored, secrets = conceal(text, lambda _found: ID)
    assert secrets == ALL_FORMS[text]
    for secret in secrets:
        assert secret not in shlex.split(stored)
        assert len(secret) < 3 or secret not in stored
    words = shlex.split(text if text.count('"') % 2 == 0 else text + '"')
    assert [filled(word, secrets) for word in shlex.split(stored)] == words
    assert conceal(stored, lambda _found: "1" * 12) == (stored, ())


@pytest.mark.parametrize("text", NO_SECRET)
def test_text_without_a_secret_is_unchanged(text: str) -> None:
    assert conceal(text, lambda _found: ID) == (text, ())


def test_more_than_a_hundred_secrets_are_put_back() -> None:
    text = " ".join(f"--token secret{number}" for number in range(120))
    stored, secrets = conceal(text, lambda _found: ID)
    assert len(secrets) == len(PLACEHOLDER.findall(stored)) == 120
    assert filled(stored, secrets) == text


@pytest.mark.parametrize(
    "text", ["https://h.test/m " + "a" * 250_000, "https://h.test/" + "?a" * 125_000, "A=1 " * 50_000]
)
def test_the_time_for_a_text_grows_with_its_length_only(text: str) -> None:
    before = time.process_time()
    assert conceal(text, lambda _found: ID) == (text, ())
    assert time.process_time() - before < 15.0  # with the square of the length: more than a minute


async def test_secrets_of_mocks_are_in_the_key_store_and_in_no_file(tmp_path: Path, keys: Keys) -> None:
    async with _session(tmp_path) as services:
        agent = AgentService(services)
        agent.keep_book(PROMPT, with_tool_servers(ToolMocks(), ["environment"], TEXT))
        stored = agent.book(PROMPT).tools["environment"].otherwise.text
    assert SECRET not in stored
    assert [json.loads(value) for value in keys.kept.values()] == [[SECRET, SECRET]]
    assert _files_with(tmp_path, SECRET) == []
    async with _session(tmp_path) as services:
        read = AgentService(services).book(PROMPT).tools["environment"].otherwise.text
        assert read == stored
        # The server sees the secret, and its answer is masked.
        assert await services.tool_servers.call(stored, "environment", {"name": "MY_TOKEN"}, "p") == "sk_…"
        assert await services.tool_servers.call(stored, "environment", {"name": "NONE"}, "p") == "absent"
    assert _files_with(tmp_path, SECRET) == []


async def test_settings_of_an_older_version_are_changed_at_the_next_save(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"tool_server": TEXT, "theme": "dark"}))

    async with _session(tmp_path) as services:
        services.settings.set("theme", "light")
    assert _files_with(tmp_path, SECRET) == []
    async with _session(tmp_path) as services:
        stored = services.settings.text("tool_server")
        assert "{secret:" in stored
        assert await services.server_secrets.of(stored) == (SECRET, SECRET)


async def test_mocks_of_an_older_version_are_changed_at_the_next_save(tmp_path: Path, keys: Keys) -> None:
    from playground.agent.tool_mocks import dump

    book = with_tool_servers(ToolMocks(), ["environment"], TEXT)
    (tmp_path / "tool_answers.json").write_text(json.dumps({"old": dump(book)}))

    async with _session(tmp_path) as services:
        AgentService(services).keep_book(PROMPT, ToolMocks(seed=2))
    assert _files_with(tmp_path, SECRET) == []
    assert [json.loads(value) for value in keys.kept.values()] == [[SECRET, SECRET]]


async def test_without_a_key_store_the_secret_is_known_in_the_session_only(tmp_path: Path, no_keys: None) -> None:
    async with _session(tmp_path) as services:
        stored = services.server_secrets.hide(TEXT)
        services.settings.set("tool_server", stored)
        services.server_secrets.keep(stored)
        sentence = await services.server_secrets.flush()
        assert "this session only. This system has no key store" in sentence
        assert "SMALLEST_API_KEY" not in sentence
        assert await services.tool_servers.tools(stored)
    assert _files_with(tmp_path, SECRET) == []
    async with _session(tmp_path) as services:
        with pytest.raises(InputError, match="not in the key store"):
            await services.tool_servers.tools(services.settings.text("tool_server"))


async def test_secret_is_not_given_to_another_server(keys: Keys) -> None:
    first = ServerSecrets()
    stored = first.hide("https://good.test/mcp?key=abc")
    first.keep(stored)
    assert await first.flush() == ""
    assert await ServerSecrets().of(stored) == ("abc",)
    for secrets in (first, ServerSecrets()):
        for other in (stored.replace("good", "evil"), f"{stored}&token=more", f"{stored} x"):
            with pytest.raises(InputError):
                await secrets.of(secrets.hide(other))


async def test_services_make_one_store_of_secrets_for_threads_that_ask_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    made: list[ServerSecrets] = []

    class Slow(ServerSecrets):
        def __init__(self) -> None:
            with suppress(threading.BrokenBarrierError):
                both.wait(0.5)  # ends early only if the other thread is in here too
            made.append(self)
            super().__init__()

    monkeypatch.setattr("playground.storage.server_secrets.ServerSecrets", Slow)

    services = AppServices(tmp_path, {}, Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}")))
    first, second = await asyncio.gather(*(asyncio.to_thread(lambda: services.server_secrets) for _ in range(2)))
    assert first is second is made[0]
    assert len(made) == 1
    await services.close()
