"""The simulator as a process: the command that serves until SIGINT or SIGTERM, and its start by another process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from playground.child_process import ServerProcess, StartError, stop_signal

if TYPE_CHECKING:
    import argparse

    from playground.simulator.server import Options

HOST = "127.0.0.1"
CANNOT_LISTEN = 2


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns 0; 2 if the port is not available."""
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    # Imported here, so that other commands do not load the server library.
    from aiohttp import web

    from playground.simulator.server import Simulator

    # A connection that a client or a fault ends is no error of the program: no traceback.
    logging.getLogger("aiohttp.server").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], ConnectionResetError))
    )
    runner = web.AppRunner(
        Simulator(_options(options)).application(),
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, options.port)
        await site.start()
    except OSError as error:
        print(f"The simulator cannot listen on port {options.port}: {error.strerror or error}.", file=sys.stderr)
        await runner.cleanup()
        return CANNOT_LISTEN
    stopped = stop_signal(options.stop_with_stdin)
    port = runner.addresses[0][1]
    base_url = f"http://{HOST}:{port}/waves/v1"
    print(json.dumps({"base_url": base_url}) if options.json else f"Simulator ready: {base_url}", flush=True)
    await stopped.wait()
    await runner.cleanup()
    return 0


def _options(options: argparse.Namespace) -> Options:
    from playground.simulator.engine import CacheOptions, Template
    from playground.simulator.server import Options

    return Options(
        api_key=options.api_key,
        plan=options.plan,
        cache=CacheOptions(
            block_size=options.block_size,
            lifetime_s=options.cache_ttl,
            minimum=options.cache_minimum,
            capacity=options.cache_capacity,
            slots=options.cache_slots,
            answers=not options.no_cached_answers,
            replicas=options.replicas,
            routing=options.routing,
        ),
        template=Template(options.tools_position, options.head_tokens, options.message_tokens),
        ttft_ms=options.ttft_ms,
        token_ms=options.token_ms,
    )


class SimulatorError(Exception):
    """The simulator's process did not start; the message is for the user."""


class SimulatorProcess(ServerProcess):
    """A running simulator process."""

    @classmethod
    def start(cls, extra_args: Sequence[str] = ()) -> SimulatorProcess:
        """Start a simulator and wait until it listens. Raises SimulatorError."""
        # The simulator must not inherit the key of the real service.
        environment = {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}
        try:
            return cls.launch(("simulator", *extra_args), environment)
        except StartError as error:
            raise SimulatorError(f"The built-in simulator did not start: {error}") from error
