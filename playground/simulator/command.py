"""`electron-playground simulator`: the built-in server in the foreground, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playground.simulator.server import Options

HOST = "127.0.0.1"
CANNOT_LISTEN = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = (
        "A server on this machine that speaks Electron's API. Its replies are simulated; its protocol is real."
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="listen on this port (default: a free one)")
    parser.add_argument("--api-key", metavar="KEY", help="accept only this key (default: any, or none)")
    parser.add_argument("--plan", choices=("standard", "enterprise", "none"), default="standard", help="plan limits")
    parser.add_argument(
        "--block-size", type=_whole, default=16, metavar="N", help="tokens per cache block (default 16)"
    )
    parser.add_argument(
        "--cache-ttl", type=_amount, default=300.0, metavar="SECONDS", help="lifetime of an unused prefix (default 300)"
    )
    parser.add_argument(
        "--cache-minimum", type=_count, default=0, metavar="N", help="serve no prefix shorter than this (default 0)"
    )
    parser.add_argument(
        "--cache-capacity", type=_whole, metavar="N", help="tokens that fit; the least recently used are evicted"
    )
    parser.add_argument(
        "--cache-slots",
        type=_count,
        default=0,
        metavar="N",
        help="keep only the last prompt of N slots, without blocks",
    )
    parser.add_argument(
        "--no-cached-answers", action="store_true", help="cache prompts only, not the generated answers"
    )
    parser.add_argument("--replicas", type=_whole, default=1, metavar="N", help="number of caches (default 1)")
    parser.add_argument(
        "--routing", choices=("random", "prefix", "round-robin"), default="random", help="how requests reach a replica"
    )
    parser.add_argument(
        "--tools-position",
        choices=("first", "system", "first-user", "last-user"),
        default="first",
        help="where the chat template puts tools (default first)",
    )
    parser.add_argument("--head-tokens", type=_count, default=0, metavar="N", help="constant tokens of the template")
    parser.add_argument("--message-tokens", type=_count, default=0, metavar="N", help="constant tokens of each message")
    parser.add_argument(
        "--ttft-ms", type=_amount, default=180.0, metavar="N", help="time to first token when all is cached"
    )
    parser.add_argument("--token-ms", type=_amount, default=12.0, metavar="N", help="time between tokens")
    parser.add_argument("--json", action="store_true", help="print the base URL as one JSON object")
    parser.add_argument("--stop-with-stdin", action="store_true", help=argparse.SUPPRESS)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns 0; 2 if the port is not available."""
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    # Imported here, so that other commands do not load the server library.
    from aiohttp import web

    from playground.simulator.server import Simulator

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
    stopped = _stop_signal(options.stop_with_stdin)
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
