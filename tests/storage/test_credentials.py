"""Keys through the real `keyring`, with a key store in memory at its far edge, and its own fail and null ones."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError
from msgspec.structs import replace

from playground.client.endpoint import ELECTRON_BASE_URL, ELECTRON_ID, Endpoint
from playground.prompt.field_errors import InputError
from playground.storage.credentials import (
    SERVICE,
    CredentialStore,
    CredentialStoreError,
    Secret,
    checked_key,
    delete,
    missing_key,
    write,
)
from tests.conftest import PATIENCE_S

KEY = "sk_live-0123456789.abc"
ELECTRON = Endpoint(ELECTRON_ID, "Electron", ELECTRON_BASE_URL, kind="electron")
LOCAL = Endpoint("a1", "Local", "http://127.0.0.1:8080/v1")
FROM_SHELL = {"SMALLEST_API_KEY": "sk_from_the_shell"}


class MemoryKeyring(KeyringBackend):
    """The edge double: a key store that can be slow, locked, forgetful, and that counts its reads."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.reads = 0
        self.error: Exception | None = None
        self.forgets = False
        self.answers = threading.Event()
        self.answers.set()

    def _work(self) -> None:
        self.answers.wait()
        if self.error is not None:
            raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        self.reads += 1
        self._work()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._work()
        if not self.forgets:
            self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._work()
        if (service, username) not in self.kept:
            raise PasswordDeleteError("not found")
        del self.kept[service, username]


@pytest.fixture
def backend() -> Iterator[MemoryKeyring]:
    before, memory = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    memory.answers.set()
    # A call of this test that waited for the answer must not read the key store of the next test.
    for thread in threading.enumerate():
        if thread.name == "key store":
            thread.join(60)
    keyring.set_keyring(before)


@pytest.fixture(params=[fail.Keyring, null.Keyring])
def no_backend(request: pytest.FixtureRequest) -> Iterator[KeyringBackend]:
    before, without = keyring.get_keyring(), request.param()
    keyring.set_keyring(without)
    yield without
    keyring.set_keyring(before)


async def revealed(keys: CredentialStore, endpoint: Endpoint, *, explicit: bool = False) -> str | None:
    secret = await keys.get(endpoint, explicit=explicit)
    return secret.reveal() if secret else None


def test_a_secret_does_not_print_itself() -> None:
    secret = Secret(KEY)
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert KEY not in text
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == KEY


def test_a_secret_is_not_written_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(KEY))


async def _save_and_ask_again() -> tuple[str | None, str | None]:
    await CredentialStore({}).save(ELECTRON, f"  {KEY}\n")
    keys = CredentialStore({})
    return await revealed(keys, ELECTRON), await keys.source(ELECTRON)


def test_a_saved_key_is_there_in_the_next_session(backend: MemoryKeyring) -> None:
    assert asyncio.run(_save_and_ask_again()) == (KEY, "key store")
    assert backend.kept == {("electron-playground", "electron https://api.smallest.ai:443"): KEY}


def test_it_says_which_key_store_there_is(backend: MemoryKeyring) -> None:
    found = asyncio.run(CredentialStore({}).available())
    assert found.usable
    assert backend.name in found.sentence


async def test_the_key_store_is_asked_once_an_endpoint(backend: MemoryKeyring) -> None:
    keys = CredentialStore({})
    for _ in range(3):
        assert await keys.get(ELECTRON) is None
    assert backend.reads == 1
    await keys.save(ELECTRON, KEY)
    reads = backend.reads
    assert await revealed(keys, ELECTRON) == KEY
    assert backend.reads == reads


def test_an_endpoint_without_a_key_asks_nothing(backend: MemoryKeyring) -> None:
    assert asyncio.run(CredentialStore(FROM_SHELL).get(replace(LOCAL, needs_key=False))) is None
    assert backend.reads == 0


def test_the_session_comes_before_the_key_store_and_that_before_the_variable(backend: MemoryKeyring) -> None:
    async def main() -> list[tuple[str | None, str | None]]:
        keys = CredentialStore(FROM_SHELL)
        found: list[tuple[str | None, str | None]] = [(await keys.source(ELECTRON), await revealed(keys, ELECTRON))]
        await keys.save(ELECTRON, "sk_stored")
        found.append((await keys.source(ELECTRON), await revealed(keys, ELECTRON)))
        keys.set_session(ELECTRON, "sk_session")
        found.append((await keys.source(ELECTRON), await revealed(keys, ELECTRON)))
        return found

    assert asyncio.run(main()) == [
        ("SMALLEST_API_KEY", "sk_from_the_shell"),
        ("key store", "sk_stored"),
        ("session", "sk_session"),
    ]
    assert list(backend.kept.values()) == ["sk_stored"]


MOVED = ["http://api.smallest.ai/waves/v1", "https://api.smallest.ai:8443/v1", "https://smallest.ai/v1"]


@pytest.mark.parametrize("moved", [*MOVED, "http://127.0.0.1:1/v1"])
async def test_a_changed_origin_never_gets_the_old_ones_key(backend: MemoryKeyring, moved: str) -> None:
    keys = CredentialStore({})
    await keys.save(ELECTRON, KEY)
    assert await keys.get(replace(ELECTRON, base_url=moved)) is None
    keys.set_session(ELECTRON, "sk_session")
    assert await keys.get(replace(ELECTRON, base_url=moved)) is None
    assert await revealed(keys, replace(ELECTRON, base_url="https://API.smallest.ai/v2")) == "sk_session"


@pytest.mark.parametrize(
    ("base_url", "explicit", "applies"),
    [
        (ELECTRON_BASE_URL, False, True),
        ("https://api.smallest.ai:443/other", False, True),
        ("http://127.0.0.1:9/v1", False, False),
        ("http://127.0.0.1:9/v1", True, True),
        ("http://localhost:9/v1", True, True),
        ("http://[::1]:9/v1", True, True),
        ("https://api.smallest.ai.thief.example/v1", True, False),
        ("http://api.smallest.ai/waves/v1", True, False),
        ("https://example.com/v1", True, False),
        ("http://192.168.1.5:8080/v1", True, False),
        ("", True, False),
    ],
)
def test_where_the_variables_key_may_go(backend: MemoryKeyring, base_url: str, explicit: bool, applies: bool) -> None:
    async def main() -> tuple[str | None, str | None]:
        keys, endpoint = CredentialStore(FROM_SHELL), replace(LOCAL, base_url=base_url)
        return await revealed(keys, endpoint, explicit=explicit), await keys.source(endpoint, explicit=explicit)

    expected = ("sk_from_the_shell", "SMALLEST_API_KEY") if applies else (None, None)
    assert asyncio.run(main()) == expected


@pytest.mark.parametrize("value", ["", "  \n"])
def test_an_empty_variable_is_none(backend: MemoryKeyring, value: str) -> None:
    assert asyncio.run(CredentialStore({"SMALLEST_API_KEY": value}).get(ELECTRON)) is None


def test_a_variable_that_cannot_be_sent_is_told_by_its_name(backend: MemoryKeyring) -> None:
    with pytest.raises(InputError) as caught:
        asyncio.run(CredentialStore({"SMALLEST_API_KEY": "sk_a\nsk_b"}).get(ELECTRON))
    assert str(caught.value).startswith("SMALLEST_API_KEY: ")
    assert "sk_" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "sk a",
        "Bearer sk_a",
        "sk\na",
        "sk\ta",
        "sk\x00a",
        "sk\x7f",
        "ské",
        "\ufeffsk_a",
        "sk\u200ba",
        '"sk_a',
        "sk_a'",
        '""',
        "\"'sk_a'",
    ],
)
def test_what_cannot_be_a_key_is_refused_and_not_repeated(backend: MemoryKeyring, text: str) -> None:
    keys = CredentialStore({})
    with pytest.raises(InputError) as caught:
        asyncio.run(keys.save(ELECTRON, text))
    with pytest.raises(InputError):
        keys.set_session(ELECTRON, text)
    (problem,) = caught.value.problems
    assert problem.path == ("key",)
    assert problem.hint
    assert "sk" not in str(caught.value)
    assert backend.kept == {}


@pytest.mark.parametrize("text", ["a", KEY, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "k" * 4096])
def test_what_a_header_can_carry_is_a_key(text: str) -> None:
    assert checked_key(f"\t{text} \r\n") == text


async def test_delete_forgets_it_everywhere(backend: MemoryKeyring) -> None:
    keys = CredentialStore({})
    await keys.save(ELECTRON, KEY)
    keys.set_session(ELECTRON, "sk_session")
    await keys.delete(ELECTRON)
    assert await keys.get(ELECTRON) is None
    await keys.delete(ELECTRON)
    assert backend.kept == {}


async def test_delete_reaches_a_key_that_is_no_longer_needed(backend: MemoryKeyring) -> None:
    await CredentialStore({}).save(LOCAL, KEY)
    await CredentialStore({}).delete(replace(LOCAL, needs_key=False))
    assert backend.kept == {}


async def test_a_delete_that_fails_does_not_pretend(backend: MemoryKeyring) -> None:
    keys = CredentialStore({})
    await keys.save(ELECTRON, KEY)
    backend.error = KeyringLocked("locked")
    with pytest.raises(CredentialStoreError, match="KeyringLocked"):
        await keys.delete(ELECTRON)
    backend.error = None
    assert await keys.source(ELECTRON) == "key store"


@pytest.mark.parametrize(
    ("url", "explicit", "takes"),
    [
        (ELECTRON.base_url, False, True),
        ("http://127.0.0.1:8080/v1", False, False),
        ("http://127.0.0.1:8080/v1", True, True),
        ("https://example.com/v1", True, False),
    ],
)
def test_a_missing_key_names_the_variable_only_where_it_is_used(url: str, explicit: bool, takes: bool) -> None:
    assert ("SMALLEST_API_KEY" in missing_key(replace(ELECTRON, base_url=url), explicit=explicit)[1]) is takes


async def test_without_a_key_store_it_says_so_and_what_to_do(no_backend: KeyringBackend) -> None:
    keys = CredentialStore(FROM_SHELL)
    found = await keys.available()
    assert not found.usable
    assert "this session only" in found.sentence
    assert "SMALLEST_API_KEY" not in found.sentence  # it depends on the endpoint
    with pytest.raises(CredentialStoreError) as caught:
        await keys.save(ELECTRON, KEY)
    assert str(caught.value) == found.sentence
    assert await revealed(keys, ELECTRON) == "sk_from_the_shell"
    assert keys.error == ""
    keys.set_session(ELECTRON, KEY)
    assert await revealed(keys, ELECTRON) == KEY
    await keys.delete(ELECTRON)


def test_switched_off_and_not_there_are_told_apart() -> None:
    before = keyring.get_keyring()
    sentences = []
    for without in (fail.Keyring, null.Keyring):
        keyring.set_keyring(without())
        sentences.append(asyncio.run(CredentialStore({}).available()).sentence)
    keyring.set_keyring(before)
    assert sentences[0].startswith("This machine has no key store.")
    assert sentences[1].startswith("Key stores are switched off")


async def test_a_key_store_that_loses_the_key_is_found_out(backend: MemoryKeyring) -> None:
    backend.forgets = True

    keys = CredentialStore({})
    with pytest.raises(CredentialStoreError, match="does not return it"):
        await keys.save(ELECTRON, KEY)
    assert await keys.get(ELECTRON) is None


@pytest.mark.parametrize("error", [KeyringLocked(f"refused {KEY}"), RuntimeError(KEY), OSError(5, KEY)])
def test_no_backends_error_repeats_the_key(backend: MemoryKeyring, error: Exception) -> None:
    backend.error = error

    async def main() -> CredentialStoreError:
        with pytest.raises(CredentialStoreError) as caught:
            await CredentialStore({}).save(ELECTRON, KEY)
        return caught.value

    raised = asyncio.run(main())
    assert type(error).__name__ in str(raised)
    assert KEY not in "".join(traceback.format_exception(raised))


async def test_locked_key_store_is_asked_again_and_its_error_known(backend: MemoryKeyring) -> None:
    await CredentialStore({}).save(ELECTRON, KEY)
    backend.error = KeyringLocked("locked")
    keys = CredentialStore({})
    assert await keys.get(ELECTRON) is None
    assert "KeyringLocked" in keys.error
    backend.error = None
    assert await revealed(keys, ELECTRON) == KEY
    assert keys.error == ""


async def test_a_key_store_at_its_unlock_prompt_is_not_asked_twice_and_its_answer_is_taken_up(
    backend: MemoryKeyring,
) -> None:
    await CredentialStore({}).save(ELECTRON, KEY)
    reads = backend.reads
    backend.answers.clear()
    keys = CredentialStore(FROM_SHELL, limit_s=0.05)
    assert await revealed(keys, ELECTRON) == "sk_from_the_shell"
    assert "did not answer" in keys.error
    assert await revealed(keys, ELECTRON) == "sk_from_the_shell"
    assert backend.reads == reads + 1
    backend.answers.set()
    async with asyncio.timeout(PATIENCE_S):
        while await keys.source(ELECTRON) != "key store":
            pass
    assert await revealed(keys, ELECTRON) == KEY
    assert keys.error == ""


def test_saving_to_one_that_does_not_answer_is_told(backend: MemoryKeyring) -> None:
    backend.answers.clear()
    with pytest.raises(CredentialStoreError, match=r"within 0\.05 s\."):
        asyncio.run(CredentialStore({}, limit_s=0.05).save(ELECTRON, KEY))


def test_call_that_is_late_reads_and_deletes_in_the_key_store_that_it_began_with(backend: MemoryKeyring) -> None:
    other = MemoryKeyring()

    class Changing(MemoryKeyring):
        def _work(self) -> None:
            keyring.set_keyring(other)

    for call in (lambda: write("name", KEY), lambda: delete("name")):
        changing = Changing()
        changing.kept[SERVICE, "name"] = KEY
        keyring.set_keyring(changing)
        call()  # type: ignore[no-untyped-call]
        assert other.reads == 0
    assert changing.kept == {}


async def test_two_requests_at_once_ask_once(backend: MemoryKeyring) -> None:
    await CredentialStore({}).save(ELECTRON, KEY)
    reads, keys = backend.reads, CredentialStore({})
    found = await asyncio.gather(*(revealed(keys, ELECTRON) for _ in range(5)))
    assert found == [KEY] * 5
    assert backend.reads == reads + 1


def test_a_key_that_another_program_broke_is_none(backend: MemoryKeyring) -> None:
    backend.kept["electron-playground", "electron https://api.smallest.ai:443"] = "sk\r\nX-Injected: 1"
    assert asyncio.run(CredentialStore({}).get(ELECTRON)) is None


HANGING = """
import asyncio, threading, keyring
from keyring.backend import KeyringBackend
from playground.client.endpoint import ELECTRON_BASE_URL, Endpoint
from playground.storage.credentials import CredentialStore

class Hanging(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        threading.Event().wait()
    set_password = delete_password = get_password

keyring.set_keyring(Hanging())
print(asyncio.run(CredentialStore({}, limit_s=0.05).get(Endpoint("e", "E", ELECTRON_BASE_URL))))
"""


def test_a_key_store_that_never_answers_does_not_keep_the_program_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "None\n", "")


def test_keyring_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, playground.storage.credentials as k; k.CredentialStore({}); sys.exit('keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("quoted", ['"sk_a"', "'sk_a'", "`sk_a`", " “sk_a” ", "‘sk_a’", '" sk_a "'])
def test_checked_key_in_quotation_marks_is_unquoted(quoted: str) -> None:
    assert checked_key(quoted) == "sk_a"


async def test_get_variable_in_quotation_marks_is_unquoted() -> None:
    secret = await CredentialStore({"SMALLEST_API_KEY": '"sk_a"'}).get(ELECTRON)
    assert secret is not None
    assert secret.reveal() == "sk_a"
