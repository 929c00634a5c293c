"""`electron-playground record`: a loopback address that forwards to an endpoint and records every request.

This process forwards. A recording process understands the exchanges and writes the log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from playground.child_process import program_command, stop_signal
from playground.cli import BAD_INPUT, FINISHED
from playground.cli.send import endpoint_of
from playground.client.endpoint import Endpoint, is_loopback
from playground.export.terminal import print_error, print_task_error
from playground.prompt.field_errors import InputError
from playground.prompt.secret_values import masked_address
from playground.recorder.feed import RecordingFeed
from playground.recorder.feed_messages import Setup
from playground.recorder.proxy import Recorder
from playground.recorder.upstream import AccessPolicy, Upstream
from playground.services import AppServices
from playground.storage.credentials import missing_key
from playground.storage.paths import data_folder
from playground.tasks import Tasks

SWITCH_S = 0.0005
SILENT_S = 1.0
"""Longest wait for the log at the end about which nothing is said."""
STILL_WRITING = "Requests are still being written to the log. Ctrl+C again does not wait for that."


def record(options: argparse.Namespace) -> int:
    """Forward and record until a signal or the end of standard input. Returns the status; raises InputError (2)."""
    if options.recording_process:
        from playground.cli.recording_process import run_recording_process

        return run_recording_process()
    if options.recover:
        from playground.cli.recording_process import recover_spools

        return recover_spools(data_folder(options.data_dir, os.environ))
    return asyncio.run(_serve(data_folder(options.data_dir, os.environ), options))


async def _serve(folder: Path, options: argparse.Namespace) -> int:
    services = AppServices(folder, os.environ, Tasks(print_task_error), source="command")
    services.on_notice.subscribe(_print_notice)
    is_shown = not (options.json or options.quiet)
    command = [*program_command(), "record", "--recording-process"]
    feed = RecordingFeed(command, _print_notice, lambda line: _show(line) if is_shown else None)
    try:
        await feed.launch()
        endpoint = await _endpoint(services, options)
        key = await _key(services, endpoint, options)
        token = secrets.token_urlsafe(12) if options.token else ""
        access = AccessPolicy(urlsplit(endpoint.base_url).path.rstrip("/"), token)
        try:
            upstream = Upstream(endpoint.base_url)
        except ValueError as error:
            raise InputError.of(("--base-url",), f"{error}.") from None
        setup = Setup(str(folder), endpoint, key)
        return await _run(Recorder(upstream, access, feed, key, _print_notice), access, feed, setup, options)
    finally:
        closing = asyncio.create_task(feed.close())
        try:
            done, _ = await asyncio.wait([closing], timeout=SILENT_S)
            if not done and not options.stop_with_stdin:
                _print_notice(STILL_WRITING)
            await closing
        finally:
            await services.close()


async def _endpoint(services: AppServices, options: argparse.Namespace) -> Endpoint:
    endpoint = endpoint_of(services, None, options)
    if options.simulator_url and endpoint.kind == "simulator":
        return replace(endpoint, base_url=options.simulator_url)
    return await services.simulation.resolve(endpoint)


async def _key(services: AppServices, endpoint: Endpoint, options: argparse.Namespace) -> str | None:
    """Return the key that the Recorder adds; None if the caller's passes."""
    if not options.add_key:
        return None
    explicit = options.base_url is not None
    secret = await services.keys.get(endpoint, explicit=explicit)
    if secret is None:
        raise InputError.of(("--add-key",), *missing_key(endpoint, explicit=explicit))
    return secret.reveal()


async def _run(
    recorder: Recorder, access: AccessPolicy, feed: RecordingFeed, setup: Setup, options: argparse.Namespace
) -> int:
    endpoint = setup.endpoint
    await feed.open_spool(setup)
    try:
        port = await recorder.start(options.port)
    except OSError as error:
        _print_notice(f"Port {options.port} cannot be used: {error.strerror or error}.")
        return BAD_INPUT
    try:
        if recorder.upstream.origin.port == port and is_loopback(endpoint.base_url):
            raise InputError.of(("--base-url",), "this is the address of the Recorder itself.")
        stopped = stop_signal(options.stop_with_stdin)
        await feed.start(setup)
        # Objects of the start live until the end: the collector need not look at them while requests are forwarded.
        gc.collect()
        gc.freeze()
        # The thread that masks and writes the spool must not delay the next piece of another response by 5 ms.
        sys.setswitchinterval(SWITCH_S)
        base_url = f"http://127.0.0.1:{port}{access.public_path}"
        shown = masked_address(endpoint.base_url)
        if options.json:
            print(json.dumps({"base_url": base_url, "endpoint": shown}), flush=True)
        else:
            print(
                f"Recording to the log, and forwarding to {shown}\nUse this base URL in your program: {base_url}",
                flush=True,
            )
        await stopped.wait()
    finally:
        await recorder.close()
        # A second signal ends this process at once; the recording process writes the rest.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
    return FINISHED


def _show(line: str) -> None:
    with contextlib.suppress(OSError):  # the reader has closed it, as `head` does: recording goes on
        print(line, flush=True)


def _print_notice(sentence: str) -> None:
    """Report a problem. A parent process reads it here: of standard output it reads only the first line."""
    with contextlib.suppress(OSError):
        print_error(sentence)
