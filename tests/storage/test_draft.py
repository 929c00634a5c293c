"""The draft on a real file: through edits, a crash, damage, and a second window."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from playground.prompt.document import Document, Message, Tool
from playground.prompt.field_errors import InputError
from playground.prompt.files import FileFormat, dump
from playground.storage.draft import MAX_SLOTS, Draft, DraftState, take
from playground.tasks import Tasks
from tests.conftest import PATIENCE_S
from tests.forked_program import start_script

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and permissions")

EXACT = "a\u00a0b\u2028c\r\nd\re \ud83d\x00\U0001f600 end\t"
DOCUMENT = Document(
    name="Desk",
    tools=(Tool.of({"type": "function", "function": {"name": "book"}}),),
    messages=(Message("system", EXACT), Message("user", "{{question}}")),
    variables={"question": "When?"},
    parameters={"temperature": 0.25},
    stream=False,
)
FORMAT = FileFormat("request_body", "gpt-4o", ("model", "messages"), '{"include_obfuscation":false}')
STATE = DraftState(DOCUMENT, "/home/me/desk\udcff.prompt.json", dump(DOCUMENT), FORMAT)


def typed(text: str) -> DraftState:
    return DraftState(Document(messages=(Message("user", text),)))


@asynccontextmanager
async def in_session(folder: Path) -> AsyncIterator[Draft]:
    """One window's life: opened, worked in, closed."""
    tasks = Tasks(_unexpected)
    draft = Draft(folder, tasks)
    try:
        yield draft
    finally:
        await tasks.close()
        draft.close()


def kept(folder: Path) -> DraftState | None:
    """What the next window would show."""
    draft = Draft(folder, Tasks(_unexpected))
    try:
        return draft.load()
    finally:
        draft.close()


def _unexpected(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name}: {error!r}")


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - a file on disk sets no event
            await asyncio.sleep(0.01)


def test_a_first_start_has_none(tmp_path: Path) -> None:
    assert kept(tmp_path) is None


async def test_what_is_noted_comes_back_to_the_byte(tmp_path: Path) -> None:
    async with in_session(tmp_path) as draft:
        draft.note(STATE)
        await draft.flush()
    assert kept(tmp_path) == STATE


async def test_a_note_is_written_without_being_asked_for(tmp_path: Path) -> None:
    async with in_session(tmp_path) as draft:
        draft.note(STATE)
        await _until((tmp_path / "draft.json").exists)
    assert kept(tmp_path) == STATE


async def test_of_many_notes_the_newest_is_written_and_a_later_one_after_it(tmp_path: Path) -> None:
    path = tmp_path / "draft.json"

    async with in_session(tmp_path) as draft:
        for number in range(100):
            draft.note(typed(f"edit {number}"))
        await _until(path.exists)
        assert "edit 99" in path.read_text()
        draft.note(typed("edit 100"))
        await _until(lambda: "edit 100" in path.read_text())


async def test_typing_on_does_not_put_the_write_off(tmp_path: Path) -> None:
    async with in_session(tmp_path) as draft:
        numbers = iter(range(1_000_000))

        def type_on() -> bool:
            draft.note(typed(f"edit {next(numbers)}"))
            return (tmp_path / "draft.json").exists()

        await _until(type_on)


async def test_writes_at_the_same_time_leave_the_newest(tmp_path: Path) -> None:
    async with in_session(tmp_path) as draft:
        for number in range(50):
            draft.note(typed(f"edit {number}"))
            await asyncio.gather(draft.flush(), draft.flush())
            assert f"edit {number}" in (tmp_path / "draft.json").read_text()


async def test_closing_the_tasks_after_a_flush_loses_nothing(tmp_path: Path) -> None:
    async with in_session(tmp_path) as draft:
        draft.note(typed("one"))
        await draft.flush()
        draft.note(typed("two"))
        await draft.flush()
    assert kept(tmp_path) == typed("two")


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b'{"document": 7, "file": null, "saved": ""}',
    b'{"document": "{}", "file": null, "saved": ""}',
    b'{"document": "{\\"messages\\": []}", "file": 7, "saved": ""}',
    b'{"document": "{\\"messages\\": []}", "file": null, "saved": "", "format": {"kind": "csv"}}',
    b"[" * 200_000,
]


@pytest.mark.parametrize("data", DAMAGED)
async def test_a_damaged_draft_is_set_aside_whole_and_said(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "draft.json").write_bytes(data)

    async with in_session(tmp_path) as draft:
        assert draft.load() is None
        assert "draft.damaged.json" in draft.notice
        draft.note(STATE)
        await draft.flush()
        assert draft.notice
    assert (tmp_path / "draft.damaged.json").read_bytes() == data
    assert kept(tmp_path) == STATE


LONG = Document(messages=(Message("system", "Be \\ brief."), Message("user", "é\n" * 500)))


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        (lambda data: data[:-3], 1000),
        (lambda data: data[: len(data) // 2], 100),
        (lambda data: data.replace(b'"document"', b'"dgcument"'), 1000),
        (lambda data: data.replace(b'\\"role\\"', b'\\"rgle\\"', 1), 1000),
    ],
)
async def test_readable_part_of_a_damaged_draft_is_restored(
    tmp_path: Path, damage: Callable[[bytes], bytes], least: int
) -> None:
    async with in_session(tmp_path) as draft:
        draft.note(DraftState(LONG, others=(typed("other"),)))
        await draft.flush()
    file = tmp_path / "draft.json"
    file.write_bytes(damaged := damage(file.read_bytes()))
    draft = Draft(tmp_path, Tasks(_unexpected))
    state = draft.load()
    draft.close()
    assert state is not None
    assert "draft.damaged.json" in draft.notice
    last = state.document.messages[-1]
    assert last.role == "user"
    assert len(last.content or "") >= least
    assert (LONG.messages[-1].content or "").startswith(last.content or "")
    assert (len(state.others) == 1) == (least == 1000)
    assert (tmp_path / "draft.damaged.json").read_bytes() == damaged


@POSIX
async def test_a_draft_that_cannot_be_kept_is_told_once_and_kept_when_it_can(tmp_path: Path) -> None:
    folder, away = tmp_path / "data", tmp_path / "away"
    folder.mkdir()
    told: list[str] = []

    async with in_session(folder) as draft:
        draft.on_notice.subscribe(told.append)
        folder.rename(away)
        for text in ("one", "two"):
            draft.note(typed(text))
            await draft.flush()
        away.rename(folder)
        await draft.flush()
    assert len(told) == 1
    assert kept(folder) == typed("two")


async def test_a_second_window_has_a_draft_of_its_own(tmp_path: Path) -> None:
    async with in_session(tmp_path) as one:
        two = Draft(tmp_path, Tasks(_unexpected))
        for draft, text in ((one, "first"), (two, "second")):
            draft.note(typed(text))
            await draft.flush()
        two.close()
    assert "first" in (tmp_path / "draft.json").read_text()
    assert "second" in (tmp_path / "draft-2.json").read_text()


def test_the_next_start_shows_what_was_worked_on_last(tmp_path: Path) -> None:
    for name, text, written in (("draft", "older", 1_000), ("draft-2", "newer", 2_000)):
        row = {"document": dump(typed(text).document), "file": None, "saved": ""}
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
        (tmp_path / f"{name}.lock").touch()
        os.utime(tmp_path / f"{name}.json", (written, written))
    assert kept(tmp_path) == typed("newer")


def test_too_many_windows_is_a_sentence(tmp_path: Path) -> None:
    slots = [take(tmp_path) for _ in range(MAX_SLOTS)]
    try:
        assert len({slot.path for slot in slots}) == MAX_SLOTS
        with pytest.raises(InputError, match="64 windows on this data folder"):
            take(tmp_path)
    finally:
        for slot in slots:
            slot.release()


def _no_space(folder: Path) -> None:
    for number in range(1, MAX_SLOTS + 1):
        (folder / ("draft.lock" if number == 1 else f"draft-{number}.lock")).mkdir()


def _deleted(folder: Path) -> None:
    folder.rmdir()


@POSIX
@pytest.mark.parametrize("damage", [_no_space, _deleted])
async def test_draft_without_a_slot_works_and_says_so(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    damage(folder)

    async with in_session(folder) as draft:
        assert draft.notice
        assert draft.load() is None
        draft.note(STATE)
        await draft.flush()
    assert folder.exists() == (damage is _no_space)


@POSIX
def test_take_lock_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "draft.lock").symlink_to(tmp_path / "elsewhere")
    slot = take(folder)
    assert slot.path.name == "draft-2.json"
    slot.release()
    assert not (tmp_path / "elsewhere").exists()


def test_take_draft_of_an_older_version_without_a_mark_is_found(tmp_path: Path) -> None:
    row = {"document": dump(typed("older").document), "file": None, "saved": ""}
    (tmp_path / "draft.json").write_text(json.dumps(row))
    (tmp_path / "draft.lock").write_bytes(b"shut")
    assert kept(tmp_path) == typed("older")


WINDOW = """
import asyncio, sys
from pathlib import Path
from playground.storage.draft import Draft, DraftState
from playground.prompt.document import Document, Message
from playground.tasks import Tasks

async def main(folder, text):
    draft = Draft(Path(folder), Tasks(lambda *error: print(error, file=sys.stderr)))
    print("open", flush=True)
    number = 0
    while True:
        number += 1
        draft.note(DraftState(Document(messages=(Message("user", f"{text} {number} " + "x" * 100_000),))))
        await (draft.flush() if text == "busy" else asyncio.sleep(0.05))

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def window(folder: Path, text: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that types in a window of its own, ended without a chance to clean up."""
    with start_script(WINDOW, str(folder), text) as process:
        try:
            yield process
        finally:
            process.kill()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} was not written"
        time.sleep(0.01)


def _text(state: DraftState | None) -> str:
    assert state is not None
    return state.document.messages[0].content or ""


@POSIX
def test_after_kill_9_the_draft_is_back(tmp_path: Path) -> None:
    with window(tmp_path, "typed") as process:
        _wait_for(tmp_path / "draft.json")
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert _text(kept(tmp_path)).startswith("typed ")


@POSIX
def test_kill_9_in_the_middle_of_writes_leaves_a_whole_draft_and_nothing_else(tmp_path: Path) -> None:
    for number in range(5):
        with window(tmp_path, "busy") as process:
            assert _said(process) == "open"
            _wait_for(tmp_path / "draft.json")
            time.sleep(0.013 * number)  # another moment each time; any moment must do
        assert _text(kept(tmp_path)).endswith("xxx")
    assert {path.name for path in tmp_path.iterdir()} <= {"draft.json", "draft.lock", "draft.open"}


def test_two_processes_do_not_overwrite_each_other(tmp_path: Path) -> None:
    with window(tmp_path, "one") as one:
        assert _said(one) == "open"
        with window(tmp_path, "two") as two:
            assert _said(two) == "open"
            _wait_for(tmp_path / "draft.json")
            _wait_for(tmp_path / "draft-2.json")
            third = Draft(tmp_path, Tasks(_unexpected))
            assert third.load() is None
            third.close()
    assert '"one ' in json.loads((tmp_path / "draft.json").read_text())["document"]
    assert '"two ' in json.loads((tmp_path / "draft-2.json").read_text())["document"]


async def test_a_crashed_windows_draft_is_picked_up_at_the_next_start_and_then_no_more(tmp_path: Path) -> None:
    async with in_session(tmp_path) as draft:
        with window(tmp_path, "crashed") as other:
            assert _said(other) == "open"
            await _until((tmp_path / "draft-2.json").exists)
        other.wait()
        # Written after the crashed one, and closed in order: the crashed one still comes first.
        draft.note(typed("calm"))
        await draft.flush()
    assert _text(kept(tmp_path)).startswith("crashed ")
    assert kept(tmp_path) == typed("calm")
