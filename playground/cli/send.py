"""`electron-playground send`: one prompt file through the same client, runs and log as the window's."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from playground.cli import (
    FAILED,
    FINISHED,
    LOCK_WAIT_S,
    NOT_LOGGED,
    STOPPED,
    STOPPED_WAIT_S,
    ends_soon,
    ignore_signals,
    without_keys,
)
from playground.client.endpoint import PLANS, Endpoint, Rates, check_base_url, refuse_key
from playground.client.events import AnyEvent, ContentDelta, Queued, RetryScheduled
from playground.export.terminal import for_stream, print_error, print_task_error, visible_line
from playground.prompt.document import Document, names
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import OpenedPrompt, read_input, refuse_repeated
from playground.prompt.import_formats import open_any_bytes
from playground.prompt.limits import check, refuse_empty
from playground.prompt.request import missing_variables
from playground.prompt.secret_values import masked_address
from playground.runs.run import Run
from playground.runs.service import PendingRequest
from playground.runs.summary import further_choices, summary, warnings
from playground.services import AppServices
from playground.simulator.process import SimulatorError
from playground.storage.paths import data_folder
from playground.tasks import Tasks

ADDRESS_ID = "address"
"""Begins the id of an endpoint that is only an address on the command line. It has no key in the key store."""
NOTICE_S = 1.0
"""Seconds of a wait for the log after which the command says that it waits."""


def send(options: argparse.Namespace) -> int:
    """Send a prompt file. Returns 0 finished, 1 failed, 3 finished but not logged, 130 stopped.

    Raises InputError (2).
    """
    opened = open_prompt(options.file)
    document = _with_values(opened.document, options.var)
    refuse_empty(document)
    folder = data_folder(options.data_dir, os.environ)
    try:
        return asyncio.run(_session(folder, document, opened, options))
    except SimulatorError as failed:
        print_error(str(failed))
        return FAILED


def open_prompt(name: str) -> OpenedPrompt:
    """Read a prompt in any supported format; `-` is standard input. Prints the conversions. Raises InputError."""
    data = read_input(name)
    opened = open_any_bytes(data, name)
    refuse_repeated(data.decode("utf-8-sig", "replace"))
    for note in opened.notes:
        print_error(note)
    return opened


def note_version(workspace: AppServices, name: str, opened: OpenedPrompt, run_ids: Sequence[str]) -> None:
    """Store a version of a prompt file that was sent. Standard input and formats of other tools have no history."""
    if name != "-" and not opened.imported:
        from playground.versions.service import PromptIdentity

        identity = PromptIdentity(Path(name), opened.document.id)
        workspace.versions.note(identity, opened.document, "sent", run_ids)


def _with_values(document: Document, given: list[str]) -> Document:
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError.of(("--var",), f"{item!r} is not NAME=VALUE.", "Give it as --var caller_name=Asha.")
        if name not in (known := names(document.messages)) and name not in document.variables:
            hint = f"It has {', '.join(known)}." if known else "It has none."
            raise InputError.of(("--var",), f"the prompt has no variable {name}.", hint)
        document = document.with_variable(name, value)
    if missing := missing_variables(document):
        raise InputError(*(replace(one, hint=f"Give it as --var {one.path[-1]}=VALUE.") for one in missing))
    return document


def endpoint_of(workspace: AppServices, model: str | None, options: argparse.Namespace) -> Endpoint:
    """Return the endpoint that `--base-url` or `--endpoint` names, or the built-in simulator."""
    if options.base_url is None:
        return workspace.endpoints.by_name(options.endpoint or "simulator")
    base_url = check_base_url(options.base_url)
    refuse_key("base_url", base_url)
    known = [e for e in workspace.endpoints.all() if e.kind != "simulator" and e.base_url == base_url]
    if known:
        return known[0]
    return Endpoint(
        id=f"{ADDRESS_ID}:{base_url}",
        name=masked_address(base_url),
        base_url=base_url,
        model=model or "electron",
        needs_key=False,
        plan=PLANS["none"],
        rates=Rates(),
    )


async def _session(folder: Path, document: Document, opened: OpenedPrompt, options: argparse.Namespace) -> int:
    workspace = AppServices(folder, os.environ, Tasks(print_task_error), source="command")
    workspace.on_notice.subscribe(print_error)
    stopper = _Stopper()
    try:
        endpoint = endpoint_of(workspace, opened.model, options)
        with ends_soon():
            await workspace.open_log()
        for notice in workspace.notices:
            print_error(notice)
        show_log_notices(workspace)
        workspace.tasks.start(workspace.recover_recordings(), "recover recorded requests")
        await workspace.remember_sent(endpoint)
        status = await _send(workspace, document, opened, endpoint, stopper, options)
        # The answer has been written and flushed.
        await wait_for_log(workspace, stopper.asked, stopped=status == STOPPED)
    finally:
        await workspace.close()
        ignore_signals()  # none changes the exit status of a command that is done
    return status_with_log(workspace, status)


def show_log_notices(workspace: AppServices) -> None:
    """Print what keeps requests from being logged, but for what opening the log has said."""
    if workspace.log is not None:
        workspace.log.on_notice(lambda message: print_error(message) if message != workspace.log_notice else None)


async def wait_for_log(workspace: AppServices, asked: asyncio.Event, *, stopped: bool) -> None:
    """Wait for another program that holds the log, or until `asked` is set: the user asked to end."""
    log = workspace.log
    if log is None or log.read_only_reason is not None or asked.is_set():
        return
    seconds = STOPPED_WAIT_S if stopped else LOCK_WAIT_S
    tasks = [asyncio.ensure_future(log.saved(seconds)), asyncio.ensure_future(asked.wait())]
    ended, _ = await asyncio.wait(tasks, timeout=NOTICE_S, return_when=asyncio.FIRST_COMPLETED)
    if not ended:
        print_error(f"Waiting up to {seconds:.0f} s for the request log. Ctrl+C ends the wait without it.")
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def status_with_log(workspace: AppServices, status: int) -> int:
    """Return the exit status after the services were closed: 3 if it is finished, but not everything is logged."""
    log = workspace.log
    is_logged = log is not None and log.read_only_reason is None and log.unsaved == 0
    return status if status != FINISHED or is_logged else NOT_LOGGED


async def _send(
    workspace: AppServices,
    document: Document,
    opened: OpenedPrompt,
    endpoint: Endpoint,
    stopper: _Stopper,
    options: argparse.Namespace,
) -> int:
    output = _Output(quiet=options.json)

    def dispatched(dispatch: PendingRequest) -> None:
        stopper.run = dispatch.run
        dispatch.run.subscribe(output.heard)

    if not options.no_check:
        check_document(document, electron=endpoint.kind != "other")
    explicit = options.base_url is not None
    stopper.begin()
    dispatch = await workspace.sender.send(document, endpoint, dispatched, explicit=explicit)
    note_version(workspace, options.file, opened, (dispatch.run.id,))
    state = dispatch.run.state
    if options.json:
        print(without_keys(json.dumps(summary(dispatch.run), ensure_ascii=True)), flush=True)
    else:
        output.end(dispatch.run)
    return {"done": FINISHED, "stopped": STOPPED}.get(state.phase, FAILED)


def check_document(document: Document, *, electron: bool, refuse: bool = True) -> None:
    """Print likely mistakes, and raise InputError for a document that the server would answer with HTTP 400.

    Not `refuse`: print those, too.
    """
    found = check(document, electron=electron)
    refused = [finding.problem for finding in found if finding.refused]
    if refused and refuse:
        raise InputError(*refused)
    for problem in (*(finding.problem for finding in found), *_schema_problems(document)):
        print_error(str(problem))


def _schema_problems(document: Document) -> Iterator[FieldError]:
    for index, tool in enumerate(document.tools):
        function = tool.definition.get("function")
        if isinstance(function, dict) and function.get("parameters") is not None:
            from playground.tools.schema import check_parameters  # loads jsonschema

            yield from check_parameters(function["parameters"], ("tools", index, "function", "parameters"))


class _Stopper:
    """Ctrl+C stops the run, as Stop does in the window: the text stays, and the log has it.

    A later one ends the wait for another program that holds the log; the files are closed in any case.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.asked = asyncio.Event()
        """Set by a second signal, and by one after the end of the run."""
        self._stopped = False

    def begin(self) -> None:
        """Take the signals over."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))

    def _stop(self) -> None:
        if self.run is None:
            raise KeyboardInterrupt
        if self._stopped or self.run.state.ended:
            self.asked.set()
        self._stopped = True
        self.run.stop()


class _Output:
    """The completion's text to standard output as it comes; everything else to standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._ends_line = True

    def heard(self, _run: Run, event: AnyEvent) -> None:
        if isinstance(event, Queued | RetryScheduled):
            print_error(_waiting(event))
        if self._quiet or not isinstance(event, ContentDelta):
            return
        self._write(event.text)
        self._ends_line = event.text.endswith("\n")

    @staticmethod
    def _write(text: str) -> None:
        # A character that the terminal's encoding lacks must not end the stream.
        encoding = sys.stdout.encoding or "utf-8"
        shown = for_stream(text, sys.stdout)
        sys.stdout.write(shown.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()

    def end(self, run: Run) -> None:
        """Print tool calls, the error and the request_id after the text."""
        if not self._ends_line:
            print(flush=True)
        state = run.state
        for call in state.calls:
            self._write(f"{call.name}({call.arguments})\n")
        for label, text in (("reasoning", state.reasoning), ("refusal", state.refusal)):
            if text and not state.text:
                # An answer of nothing else must not look like an empty one.
                print(for_stream(f"{label}: {text}", sys.stderr), file=sys.stderr)
        if count := len(further_choices(state)):
            choices = "choice" if count == 1 else "choices"
            print_error(f"The response has {count} further {choices}: see “log show {run.id}”, or send with --json.")
        for problem in (*warnings(state), *((state.error,) if state.error is not None else ())):
            words = (problem.title, problem.detail, problem.advice)
            print_error(without_keys(" ".join(_sentence(word) for word in words if word)))
        print(f"request_id {visible_line(without_keys(state.request_id or '—'))}", file=sys.stderr)


def _sentence(text: str) -> str:
    """Return a text with the full stop that it may lack."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _waiting(event: Queued | RetryScheduled) -> str:
    if isinstance(event, RetryScheduled):
        return f"waiting {event.wait_s:,.1f} s before attempt {event.attempt} of {event.of}."
    long = "until one ends" if event.expected_s is None else f"about {event.expected_s:,.0f} s"
    return f"waiting {long}: {event.reason}."
