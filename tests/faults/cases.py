"""The fault cases. Each yields an Outcome per attempt."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from playground.agent.conversation import Conversation
from playground.agent.service import AgentService
from playground.agent.tool_mocks import ToolMocks
from playground.client.endpoint import Endpoint
from playground.services import AppServices
from playground.storage.draft import DraftState
from playground.tasks import Tasks
from tests.faults.data_folder import DOCUMENT, PROMPT_FILE, fill, report, server
from tests.forked_program import run_text, start_script

ROOT = Path(__file__).parent.parent.parent
DAMAGED_FILES = (
    PROMPT_FILE,
    "draft.json",
    "settings.json",
    "endpoints.json",
    "gate.json",
    "tool_answers.json",
    "conversation.json",
    "cache_models.json",
    "cache_lab.json",
    "request-log.sqlite3",
)
CHANGED_BYTES = (1, 10, 1_000)
MASK = rb"sk_\u2026"
SEND_LIMIT_S = 60
PROBED_TOGETHER = 100
"""Damaged folders that one process opens, one after the other."""


class Outcome(Struct, frozen=True):
    """One attempt. `survived`: no traceback and no hang. `lost`: data is gone without a set-aside file or a message."""

    case: str
    survived: bool
    lost: bool = False
    detail: str = ""


def _environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "SMALLEST_API_KEY"}
    return {**environment, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", "PYTHONPATH": str(ROOT)}


def _probe(folders: list[Path]) -> dict[str, dict[str, list[str]]]:
    """Probe the folders in one subprocess; one that ends it is probed again alone, so that it is found."""
    names = [str(folder) for folder in folders]
    found: dict[str, dict[str, list[str]]] = {}
    while missing := [name for name in names if name not in found]:
        script = "from tests.faults.probe import main; main(['-'])"
        try:
            done = run_text(
                ["-c", script],
                _environment(),
                "\n".join(missing),
                folder=ROOT,
                timeout=60 + 5 * len(missing),
            )
            lines, reason = done.stdout.splitlines(), f"exit status {done.returncode}: {done.stderr[-500:]}"
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or b""
            lines, reason = output.decode().splitlines(), "no end within the time limit"
        for line in lines:
            row = json.loads(line)
            found[row["folder"]] = row
        if len(lines) < len(missing):
            found[missing[len(lines)]] = {"errors": [reason], "notices": []}
    return found


class _Damage(Struct, frozen=True):
    """A copy of the good folder with one file changed, and the content of that file."""

    folder: Path
    name: str
    count: int
    content: bytes


def damaged_files(work: Path, seeds: int, names: Iterable[str] = DAMAGED_FILES) -> Iterator[Outcome]:
    """Change 1, 10 and 1,000 bytes of each file, `seeds` times, and open the folder."""
    good = work / "good"
    with server() as base_url:
        fill(good, base_url)
    present = [name for name in names if (good / name).exists()]
    for name in set(names) - set(present):
        yield Outcome(f"damaged {name}", False, detail="the file was not written by `fill`")
    cases = itertools.product(present, CHANGED_BYTES, range(seeds))
    while batch := [_damaged(work, good, *case) for case in itertools.islice(cases, PROBED_TOGETHER)]:
        probed = _probe([one.folder for one in batch])
        for one in batch:
            row = probed[str(one.folder)]
            lost = _is_lost(good, one.folder, one.name, one.content, row["notices"])
            detail = row["errors"][0][-400:] if row["errors"] else str(one.folder) if lost else ""
            yield Outcome(f"damaged {one.name}, {one.count:,} bytes", not row["errors"], lost, detail)
            shutil.rmtree(one.folder)


def _damaged(work: Path, good: Path, name: str, count: int, seed: int) -> _Damage:
    folder = work / f"{name}-{count}-{seed}"
    shutil.copytree(good, folder)
    data = bytearray((folder / name).read_bytes())
    chance = random.Random(f"{name}/{count}/{seed}")
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (folder / name).write_bytes(data)
    return _Damage(folder, name, count, bytes(data))


def _is_lost(good: Path, folder: Path, name: str, content: bytes, notices: list[str]) -> bool:
    """Whether another file was changed, or the damaged one was dropped without being set aside and named."""
    for other in ("endpoints.json", "tool_answers.json", "conversation.json", PROMPT_FILE):
        if other != name and (folder / other).read_bytes() != (good / other).read_bytes():
            return True
    if name in ("gate.json", "request-log.sqlite3"):
        return False  # one minute of counts; the log is judged by its own tests
    aside = [path for path in folder.glob(f"{Path(name).stem}.damaged*") if _is_copy(path.read_bytes(), content)]
    if aside:
        return not any(path.name in notice for path in aside for notice in notices)
    return not (folder / name).exists()


def _is_copy(copy: bytes, content: bytes) -> bool:
    """Whether a copy has each line of a file, but for what may be a secret and is masked."""
    lines, copied = content.split(b"\n"), copy.split(b"\n")
    return len(lines) == len(copied) and all(
        line == other or MASK in other for line, other in zip(lines, copied, strict=True)
    )


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.faults.cases import write_forever
asyncio.run(write_forever(Path(sys.argv[1]), sys.argv[2]))
"""


async def write_forever(folder: Path, base_url: str) -> None:
    """Change every file of the folder until the process is killed."""
    services = AppServices(folder, {}, Tasks(report))
    draft, agent = services.open_draft(), AgentService(services)
    endpoint = services.endpoints.add(Endpoint("", f"Server {os.getpid()}", base_url, "m", needs_key=False))
    await services.open_log()
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        document = replace(DOCUMENT, name=f"number {number}")
        draft.note(DraftState(document))
        services.settings.set("font_size", 11 + number % 10)
        services.endpoints.change(replace(endpoint, model=f"m{number}"))
        agent.keep_book(document, ToolMocks(seed=number))
        agent.keep_conversation(Conversation(document))
        await services.sender.send(document, endpoint, lambda pending: None)
        await draft.flush()


def kills(work: Path, count: int) -> Iterator[Outcome]:
    """Kill a process that writes everything, at another moment each time; nothing may be damaged afterwards."""
    chance = random.Random("kills")
    folder = work / "killed"
    with server() as base_url:
        fill(folder, base_url)
        for _ in range(count):
            with start_script(WRITER, str(folder), base_url, environment=_environment()) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(chance.uniform(0.0, 0.5))  # any moment must do
                process.send_signal(signal.SIGKILL)
            row = _probe([folder])[str(folder)]
            aside = list(folder.glob("*.damaged*"))
            yield Outcome("kill -9 while writing", not row["errors"], bool(aside), "".join(row["errors"])[-400:])


Sent = subprocess.CompletedProcess[str]


def send(folder: Path, base_url: str, file_limit: int | None = None) -> Sent | None:
    """Run `send` on the folder's prompt. Returns None if it does not end within SEND_LIMIT_S."""
    try:
        return run_text(
            ["send", "-", "--base-url", base_url, "--json", "--data-dir", str(folder)],
            _environment(),
            json.dumps({"messages": [{"role": "user", "content": "hi"}]}),
            folder=ROOT,
            timeout=SEND_LIMIT_S,
            file_limit=file_limit,
        )
    except subprocess.TimeoutExpired:
        return None


def _judged(case: str, done: Sent | None, *, logged: bool) -> Outcome:
    """`logged`: the request must be in the log; otherwise the exit status and stderr must say that it is not."""
    if done is None:
        return Outcome(case, False, detail="send does not end")
    traceback = "Traceback" in done.stderr
    silent = not logged and (done.returncode == 0 or not done.stderr.strip())
    return Outcome(case, not traceback, silent or (logged and done.returncode != 0), done.stderr[-400:])


def full_disk(work: Path) -> Iterator[Outcome]:
    """Send on a disk that is full or fills: a small tmpfs if it can be mounted, and a limit on the size of files."""
    good = work / "good"
    with server() as base_url:
        fill(good, base_url)
        for free_kb in (0, 8, 64, 200):
            with _small_disk(work / f"disk-{free_kb}") as disk:
                if disk is None:
                    break
                folder = shutil.copytree(good, disk / "data")
                _fill_up(disk, free_kb)
                outcome = _judged(f"full disk (tmpfs, {free_kb} KB free)", send(folder, base_url), logged=False)
                yield outcome if free_kb < 64 else replace(outcome, lost=False)
                (disk / "filler").unlink()
                row = _probe([folder])[str(folder)]
                yield Outcome("full disk, then free again", not row["errors"], False, "".join(row["errors"])[-400:])
        for size in (0, 4_096, 40_000):
            folder = shutil.copytree(good, work / f"limit-{size}")
            done = send(folder, base_url, size)
            yield _judged(f"files limited to {size:,} bytes", done, logged=False)


@contextlib.contextmanager
def _small_disk(path: Path) -> Iterator[Path | None]:
    path.mkdir()
    options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    mounted = (
        shutil.which("mount") and subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    )
    try:
        yield path if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)


def _fill_up(disk: Path, free_kb: int) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))
    size = (disk / "filler").stat().st_size
    os.truncate(disk / "filler", max(size - free_kb * 1_024, 0))


def read_only(work: Path) -> Iterator[Outcome]:
    """Send with a data folder that cannot be written: an error and exit status 2, or a request that is not logged."""
    with server() as base_url, _small_disk(work / "read-only") as disk:
        if disk is None:
            return
        folder = disk / "data"
        fill(folder, base_url)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield _judged("read-only disk", send(folder, base_url), logged=False)


def deleted_folder(work: Path) -> Iterator[Outcome]:
    """Delete the data folder while the services run, then change everything and close."""
    folder = work / "deleted"
    errors: list[str] = []
    messages: list[str] = []
    with server() as base_url:
        fill(folder, base_url)

        async def story() -> None:
            services = AppServices(folder, {}, Tasks(lambda name, error: errors.append(f"{name}: {error!r}")))
            services.on_notice.subscribe(messages.append)
            draft, agent = services.open_draft(), AgentService(services)
            draft.on_notice.subscribe(messages.append)
            await services.open_log()
            endpoint = services.endpoints.by_name("Local")
            shutil.rmtree(folder)
            services.settings.set("font_size", 20)
            services.endpoints.change(replace(endpoint, model="other"))
            agent.keep_book(DOCUMENT, ToolMocks())
            agent.keep_conversation(Conversation(DOCUMENT))
            draft.note(DraftState(DOCUMENT))
            pending = await services.sender.send(DOCUMENT, endpoint, lambda pending: None)
            if pending.run.state.phase != "done":
                errors.append(f"the request ended as {pending.run.state.phase}")
            await services.close()

        try:
            asyncio.run(asyncio.wait_for(story(), SEND_LIMIT_S))
        except Exception as error:  # the finding
            errors.append(repr(error))
    yield Outcome("data folder deleted while it is in use", not errors, len(messages) < 4, "; ".join(errors)[:400])


def clocks(work: Path) -> Iterator[Outcome]:
    """Send with rate limit files of another time, and after a 429 with an absurd Retry-After."""
    far = time.time() + 40_000_000
    with server() as base_url:
        for label, held_until, start in (
            ("blocked until 9999", 253_370_764_800.0, 0.0),
            ("written while the clock was a year ahead", far, far),
            ("written in 1970", 0.0, 1.0),
        ):
            folder = work / label.replace(" ", "-")
            folder.mkdir()
            row = {"starts": [start] * 100, "flights": {f"{os.getpid()}-a": start}, "held_until": held_until}
            (folder / "gate.json").write_text(json.dumps({base_url: row}))
            done = send(folder, base_url)
            yield _judged(f"rate limits {label}", done, logged=True)
    for value in ("99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"):
        folder = work / f"retry-after-{len(value)}"
        folder.mkdir()
        with server("429 Too Many Requests", f"Retry-After: {value}\r\n") as base_url:
            done = send(folder, base_url)
            yield Outcome(f"429 with Retry-After {value}", done is not None and "Traceback" not in done.stderr)
            table = json.loads((folder / "gate.json").read_text())
            held_s = max(row["held_until"] for row in table.values()) - time.time()
            yield Outcome(f"block after Retry-After {value}", held_s <= 121, detail=f"{held_s:.0f} s")
