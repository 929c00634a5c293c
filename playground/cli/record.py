"""`electron-playground record`: a loopback address that forwards to an endpoint and records every request."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from playground.cli.exit_status import BAD_INPUT, FINISHED
from playground.cli.send import endpoint_of
from playground.client.endpoint import Endpoint
from playground.prompt.field_errors import FieldError, InputError
from playground.recorder.access import AccessPolicy
from playground.recorder.cache_model import RecordedCacheModel, warm_up
from playground.recorder.capture import Capture
from playground.recorder.proxy import Recorder
from playground.recorder.recording import NoLog, Recording
from playground.recorder.upstream import Upstream
from playground.runs.record import RequestRecord
from playground.runs.state import RunState
from playground.services import AppServices
from playground.storage.paths import data_folder
from playground.tasks import Tasks


def record(options: argparse.Namespace) -> int:
    """Forward and record until a signal or the end of standard input. Returns the status; raises InputError (2)."""
    return asyncio.run(_serve(data_folder(options.data_dir, os.environ), options))


async def _serve(folder: Path, options: argparse.Namespace) -> int:
    services = AppServices(folder, os.environ, Tasks(_report), source="command")
    services.on_trouble = _say
    try:
        endpoint = await services.simulation.resolve(endpoint_of(services, None, options))
        await services.open_log()
        if services.log_notice:
            _say(services.log_notice)
        if services.log is None:
            _say("The request log cannot be opened. Requests are forwarded, and nothing is recorded.")
            recording = Recording(NoLog(), None, _say)
        else:
            services.log.on_trouble(_say)
            model = RecordedCacheModel(services.sender.forecaster, services.log)
            recording = Recording(services.log, model, _say, lambda made, state: _show(options, made, state))
        recorder = await _recorder(services, endpoint, recording, options)
        await warm_up()
        return await _run(recorder, recording, endpoint, options)
    finally:
        await services.close()


async def _recorder(
    services: AppServices, endpoint: Endpoint, recording: Recording, options: argparse.Namespace
) -> tuple[Recorder, AccessPolicy]:
    key = None
    if options.add_key:
        secret = await services.keys.get(endpoint, explicit=options.base_url is not None)
        if secret is None:
            raise InputError(FieldError(("--add-key",), f"there is no API key for {endpoint.name}."))
        key = secret.reveal()
    token = secrets.token_urlsafe(12) if options.token else ""
    access = AccessPolicy(urlsplit(endpoint.base_url).path.rstrip("/"), token)
    try:
        upstream = Upstream(endpoint.base_url)
    except ValueError as error:
        raise InputError(FieldError(("--base-url",), f"{error}.")) from None
    count = partial(services.rate_limiter.count, endpoint)
    return Recorder(upstream, access, Capture(endpoint, recording, key, count), key), access


async def _run(
    made: tuple[Recorder, AccessPolicy],
    recording: Recording,
    endpoint: Endpoint,
    options: argparse.Namespace,
) -> int:
    recorder, access = made
    try:
        port = await recorder.start(options.port)
    except OSError as error:
        _say(f"Port {options.port} cannot be used: {error.strerror or error}.")
        return BAD_INPUT
    stopped = _stop_signal(options.stop_with_stdin)
    base_url = f"http://127.0.0.1:{port}{access.public_path}"
    if options.json:
        print(json.dumps({"base_url": base_url, "endpoint": endpoint.base_url}), flush=True)
    else:
        print(f"Recording {endpoint.base_url}\nUse this base URL in your program: {base_url}", flush=True)
    try:
        await stopped.wait()
    finally:
        await recorder.close()
        await recording.close()
    return FINISHED


def _show(options: argparse.Namespace, made: RequestRecord, state: RunState) -> None:
    if options.json or options.quiet:
        return
    cached = "—" if state.usage is None or state.usage.cached_tokens is None else f"{state.usage.cached_tokens:,}"
    total = "—" if state.usage is None or state.usage.prompt_tokens is None else f"{state.usage.prompt_tokens:,}"
    print(
        f"{state.status or '—'} {state.phase}  request_id {state.request_id or '—'}  cached {cached} of {total}",
        flush=True,
    )


def _stop_signal(with_stdin: bool) -> asyncio.Event:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    if with_stdin:
        # The parent holds the other end: reading ends as soon as the parent has exited for any reason.
        threading.Thread(target=_watch_stdin, args=(loop, stopped), daemon=True).start()
    return stopped


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):  # a signal has ended the loop meanwhile
        loop.call_soon_threadsafe(stopped.set)


def _say(sentence: str) -> None:
    """Report a problem. A parent process reads it here: of standard output it reads only the first line."""
    print(f"electron-playground: {sentence}", file=sys.stderr, flush=True)


def _report(name: str, error: BaseException) -> None:
    _say(f"{name} went wrong: {type(error).__name__}")
