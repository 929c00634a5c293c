"""Use a data folder as the window and the commands do, and report what fails: `python -m tests.faults.probe FOLDER …`.

Prints one JSON object per folder: {"folder", "errors": [tracebacks], "notices": [sentences]}.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path

from playground.agent.service import AgentService
from playground.cli.main import main as command
from playground.client.endpoint import Endpoint
from playground.experiments.lab import FILE as LAB_FILE
from playground.experiments.lab import csv_rows, from_json
from playground.prompt.document import Document, Message
from playground.services import AppServices
from playground.storage.draft import DraftState
from playground.storage.json_file import JsonFile
from playground.tasks import Tasks
from tests.faults.data_folder import PROMPT_FILE

LIMIT_S = 30.0


def probe(folder: Path) -> dict[str, object]:
    """Open everything in a folder, change everything, and close."""
    errors: list[str] = []
    notices: list[str] = []
    try:
        asyncio.run(asyncio.wait_for(_services(folder, errors, notices), LIMIT_S))
    except BaseException:  # what ends a start is the finding
        errors.append(traceback.format_exc())
    for arguments in (["check", str(folder / PROMPT_FILE)], ["log", "list", "--json", "--data-dir", str(folder)]):
        _run(arguments, errors, notices)
    return {"folder": str(folder), "errors": errors, "notices": notices}


async def _services(folder: Path, errors: list[str], notices: list[str]) -> None:
    tasks = Tasks(lambda name, error: errors.append(f"{name}: {error!r}"))
    services = AppServices(folder, {}, tasks)
    services.on_notice.subscribe(notices.append)
    try:
        draft = services.open_draft()
        state = draft.load()
        agent = AgentService(services)
        document = state.document if state is not None else Document(messages=(Message("user", "hi"),))
        agent.book(document)
        lab_file = JsonFile(folder / LAB_FILE, "The cache lab's file")
        lab = lab_file.read(from_json)
        if lab is not None:
            csv_rows(lab)
            lab.plan.document(0)
        await services.open_log()
        for server in services.endpoints.all():
            await services.remember_sent(server)
            services.sender.forecast(document, server)
        services.forecast(document)
        await services.advice(document)
        endpoint = Endpoint("e", "E", "http://127.0.0.1:9/v1")
        limiter = services.rate_limiter
        limiter.release(endpoint, await limiter.acquire(endpoint, lambda status: None))
        services.settings.set("font_size", 12 if services.settings.number("font_size") != 12 else 13)
        draft.note(DraftState(document))
        notices += [*services.notices, agent.notice, lab_file.notice]
    finally:
        await services.close()
    notices[:] = [notice for notice in notices if notice]


def _run(arguments: list[str], errors: list[str], notices: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command(arguments)
        except SystemExit:
            pass
        except BaseException:  # a traceback out of a command is the finding
            errors.append(f"{arguments[0]}: {traceback.format_exc()}")
    if "Traceback" in err.getvalue():
        errors.append(f"{arguments[0]}: {err.getvalue()}")
    notices += err.getvalue().splitlines()


def main(names: list[str]) -> None:
    """Probe these folders, or those whose names are lines of standard input (`-`)."""
    os.environ.pop("SMALLEST_API_KEY", None)
    for name in sys.stdin.read().split("\n") if names == ["-"] else names:
        if name:
            print(json.dumps(probe(Path(name))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
