"""`electron-playground send`: one prompt file through the same client, runs and log as the window's."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from playground.cli.exit_status import FAILED, FINISHED, STOPPED
from playground.client.endpoint import PLANS, Endpoint, Rates
from playground.client.events import AnyEvent, ContentDelta, Queued, RetryScheduled
from playground.client.urls import check_base_url
from playground.prompt.document import Document
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import MAX_FILE_BYTES, Opened, parse_bytes
from playground.prompt.limits import check
from playground.runs.run import Run
from playground.runs.service import PendingRequest
from playground.runs.summary import summary
from playground.services import AppServices
from playground.simulator.launch import SimulatorError
from playground.storage.paths import data_folder
from playground.tasks import Tasks

ADDRESS_ID = "address"
"""Begins the id of an endpoint that is only an address on the command line. It has no key in the key store."""


def send(options: argparse.Namespace) -> int:
    """Send a prompt file. Returns 0 finished, 1 failed, 130 stopped; raises InputError (2)."""
    opened = open_prompt(options.file)
    document = _with_values(opened.document, options.var)
    folder = data_folder(options.data_dir, os.environ)
    try:
        return asyncio.run(_session(folder, document, opened.model, options))
    except SimulatorError as failed:
        print(f"electron-playground: {failed}", file=sys.stderr)
        return FAILED


def open_prompt(name: str) -> Opened:
    """Read a prompt file or request body; `-` is standard input. Raises InputError."""
    try:
        data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(FieldError(("FILE",), f"{name} cannot be read: {error.strerror or error}.")) from error
    return parse_bytes(data)


def _with_values(document: Document, given: list[str]) -> Document:
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(
                FieldError(("--var",), f"{item!r} is not NAME=VALUE.", "Give it as --var caller_name=Asha.")
            )
        document = document.with_variable(name, value)
    return document


def endpoint_of(workspace: AppServices, model: str | None, options: argparse.Namespace) -> Endpoint:
    """Return the endpoint that `--base-url` or `--endpoint` names, or the built-in simulator."""
    if options.base_url is None:
        return workspace.endpoints.by_name(options.endpoint or "simulator")
    base_url = check_base_url(options.base_url)
    known = [e for e in workspace.endpoints.all() if e.kind != "simulator" and e.base_url == base_url]
    if known:
        return known[0]
    return Endpoint(
        id=f"{ADDRESS_ID}:{base_url}",
        name=base_url,
        base_url=base_url,
        model=model or "electron",
        needs_key=False,
        plan=PLANS["none"],
        rates=Rates(),
    )


async def _session(folder: Path, document: Document, model: str | None, options: argparse.Namespace) -> int:
    tasks = Tasks(_report)
    workspace = AppServices(folder, os.environ, tasks)
    workspace.on_trouble = _say
    try:
        endpoint = endpoint_of(workspace, model, options)
        await workspace.open_log()
        for notice in workspace.notices:
            _say(notice)
        await workspace.remember_sent(endpoint)
        return await _send(workspace, document, endpoint, options)
    finally:
        await workspace.close()


def _say(sentence: str) -> None:
    print(f"electron-playground: {sentence}", file=sys.stderr)


async def _send(workspace: AppServices, document: Document, endpoint: Endpoint, options: argparse.Namespace) -> int:
    stopper = _Stopper()
    output = _Output(quiet=options.json)

    def dispatched(dispatch: PendingRequest) -> None:
        stopper.run = dispatch.run
        dispatch.run.listen(output.heard)

    if not options.no_check and endpoint.kind != "other":
        _check(document)
    explicit = options.base_url is not None
    with stopper:
        dispatch = await workspace.sender.send(document, endpoint, dispatched, explicit=explicit)
    state = dispatch.run.state
    if options.json:
        print(json.dumps(summary(dispatch.run), ensure_ascii=True))
    else:
        output.end(dispatch.run)
    return {"done": FINISHED, "stopped": STOPPED}.get(state.phase, FAILED)


def _check(document: Document) -> None:
    """Raises InputError where Electron would answer with HTTP 400."""
    refused = [finding.problem for finding in check(document) if finding.refused]
    if refused:
        raise InputError(*refused)


class _Stopper:
    """Ctrl+C stops the run, as Stop does in the window: the text stays, and the log has it."""

    def __init__(self) -> None:
        self.run: Run | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

    def _stop(self) -> None:
        if self.run is None:
            raise KeyboardInterrupt
        self.run.stop()


class _Output:
    """The completion's text to standard output as it comes; everything else to standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._ends_line = True

    def heard(self, _run: Run, event: AnyEvent) -> None:
        if isinstance(event, Queued | RetryScheduled):
            _say(_waiting(event))
        if self._quiet or not isinstance(event, ContentDelta):
            return
        # A terminal or a file that cannot hold a character must not end the stream.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(event.text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
        self._ends_line = event.text.endswith("\n")

    def end(self, run: Run) -> None:
        """The line after the text: what a person needs to find the request again."""
        if not self._ends_line:
            print(flush=True)
        state = run.state
        for call in state.tool_calls.values():
            print(f"{call.name}({call.arguments})")
        if state.trouble is not None:
            words = (state.trouble.title, state.trouble.detail, state.trouble.advice)
            print(f"electron-playground: {'. '.join(word.rstrip('.') for word in words if word)}.", file=sys.stderr)
        print(f"request_id {state.request_id or '—'}", file=sys.stderr)


def _waiting(event: Queued | RetryScheduled) -> str:
    if isinstance(event, RetryScheduled):
        return f"waiting {event.wait_s:,.1f} s before attempt {event.attempt} of {event.of}."
    long = "until one ends" if event.expected_s is None else f"about {event.expected_s:,.0f} s"
    return f"waiting {long}: {event.reason}."


def _report(name: str, error: BaseException) -> None:
    with contextlib.suppress(OSError):
        print(f"electron-playground: {name} went wrong: {type(error).__name__}", file=sys.stderr)
