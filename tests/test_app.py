"""The program in real processes that end in every way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import FLUSH_S
from playground.storage.draft import DELAY_S, Draft
from playground.tasks import Tasks
from tests.forked_program import run_text, start_text
from tests.requestlog.samples import opened

PROGRAM = [sys.executable, "-m", "playground"]
LIMIT_S = 300


def _environment(**changes: str) -> dict[str, str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", **changes}
    environment.pop("SMALLEST_API_KEY", None)
    return environment


def _run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env=environment or _environment(),
    )


def test_the_self_test_does_the_main_job(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    done = _run("self-test", "--json", "--screenshots", str(pictures))
    outcome = json.loads(done.stdout)
    assert outcome["passed"], outcome
    assert done.returncode == 0
    assert len(outcome["steps"]) == 6
    assert len(list(pictures.glob("*.png"))) >= 6


def test_ends_after_the_first_paint_when_asked_to(tmp_path: Path) -> None:
    done = _run("--data-dir", str(tmp_path / "data"), "--exit-after-first-paint")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are X's or Wayland's")
def test_no_display_is_one_sentence(tmp_path: Path) -> None:
    environment = _environment()
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    done = _run("--data-dir", str(tmp_path), environment=environment)
    assert done.returncode == 2
    assert "needs a display" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_data_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    done = _run("--data-dir", str(file))
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_told_to_end_it_ends_in_order(tmp_path: Path) -> None:
    with start_text(["--data-dir", str(tmp_path)], _environment()) as process:
        _wait_for(lambda: (tmp_path / "request-log.sqlite3").exists())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert "Traceback" not in errors


def _wait_for(seen: object) -> None:
    import time

    assert callable(seen)
    deadline = time.monotonic() + LIMIT_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_open_file_argument_is_shown_and_saved_as_the_draft(tmp_path: Path) -> None:
    file, data = tmp_path / "prompt.json", tmp_path / "data"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "marker-4711"}]}))
    with start_text(["--data-dir", str(data), str(file)], _environment()) as process:
        _wait_for(lambda: any(b"marker-4711" in path.read_bytes() for path in data.glob("*.json")))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_window_icon_has_every_size_and_the_desktop_entry_its_name() -> None:
    code = (
        "from playground.ui.session import ICON_SIZES, make_application\n"
        "application = make_application()\n"
        "icon = application.windowIcon()\n"
        "assert sorted(size.width() for size in icon.availableSizes()) == sorted(ICON_SIZES)\n"
        "assert icon.pixmap(48).toImage().pixelColor(24, 3).name() == '#1b2b4e'\n"
        "assert application.desktopFileName() == 'electron-playground'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from playground.ui.session import Session, make_application, make_runner
application = make_application()
async def main():
    session = Session(application, Path(sys.argv[1]), {}, simulator_options=("--token-ms", "100"))
    session.show()
    await session.ready.wait()
    window = session.window
    document = window.prompt.document()
    window.prompt.set_document(document.with_variable("question", "Typed just before the end"), undoable=True)
    window.requests.send_or_stop()
    while window.requests.current is None or len(window.requests.current.run.state.text) < 20:
        await asyncio.sleep(0.01)
    current, log, draft = window.requests.current, session.workspace.log, Path(sys.argv[1]) / "draft.json"
    seen, events = current.run.state.text, len(current.events)
    while log._writer._live[current.run.id].written < events or "just before the end" not in draft.read_text("utf-8"):
        await asyncio.sleep(0.01)
    await log._write_worker.call(lambda: None)  # the transaction has ended
    print(seen, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
with make_runner(application) as runner:
    runner.run(main())
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_at_any_moment_the_draft_and_the_partial_text_come_back(tmp_path: Path) -> None:
    done = run_text(["-c", KILLED, str(tmp_path)], _environment(), timeout=LIMIT_S)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert max(DELAY_S, FLUSH_S) < 0.5  # newer text may be lost
    asyncio.run(_look_at_what_is_left(tmp_path, done.stdout.rstrip("\n")))


async def _look_at_what_is_left(folder: Path, seen: str) -> None:
    draft = Draft(folder, Tasks(lambda name, error: pytest.fail(f"{name}: {error}")))
    kept = draft.load()
    assert kept is not None
    assert kept.document.variables["question"] == "Typed just before the end"
    draft.close()
    async with opened(folder) as log:
        (row,) = await log.page(EVERYTHING)
        stored = await log.get(row.run_id)
    assert row.phase == "interrupted"
    assert row.request_id
    assert stored is not None
    assert stored.state().text.startswith(seen)
