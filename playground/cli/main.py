"""The command line: one argparse surface. Each command's code is imported only when it runs."""

from __future__ import annotations

import argparse
import errno
import importlib
import math
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeAlias

from playground import __version__
from playground.cli import BAD_INPUT, FAILED, STOPPED, ignore_signals, install_masking
from playground.prompt.field_errors import InputError, UnwritableOutputError

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or of the command `only` alone, which is faster to build; "" is none."""
    parser: argparse.ArgumentParser = _Parser(
        prog="electron-playground",
        usage="electron-playground [-h] [--version] [--data-dir DIR] [FILE | COMMAND ...]",
        description="A desktop playground for Electron. Without a command it opens the window, with FILE in it: "
        "a prompt file, a request body, another supported format, or a log to import (.jsonl, .har).",
    )
    parser.add_argument("--open-file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the versions that a bug report needs")
    _data_option(parser, None)
    parser.add_argument(
        "--exit-after-first-paint", action="store_true", help="end after the first painted frame (for benchmarks)"
    )
    if only == "":
        parser.set_defaults(command=None)
        return parser
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="electron-playground")
    for add in dict.fromkeys(_ADD.values() if only is None else (_ADD[only],)):
        add(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the process, with status 1 if the help or the versions cannot be written."""
        super().exit(status or _with_output(lambda: None), message)


class _Version(argparse.Action):
    """Prints the versions of the program, Python, the system and the libraries, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from playground.ui.startup_checks import program_versions

        found = {name: version for name, version in program_versions().items() if name != "Program"}
        bundle = " (bundle)" if getattr(sys, "frozen", False) else ""
        lines = [
            f"electron-playground {__version__}{bundle}",
            *(f"{name} {version}" for name, version in found.items()),
        ]
        parser.exit(_with_output(partial(print, "\n".join(lines))))


def _data_option(parser: argparse.ArgumentParser, default: object = argparse.SUPPRESS) -> None:
    # Suppressed below the top, so that `--data-dir X send` and `send --data-dir X` both work.
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        default=default,
        help="keep everything that is stored in DIR (or set ELECTRON_PLAYGROUND_HOME)",
    )


def _number(kind: type[float], low: float, high: float, words: str) -> Callable[[str], float]:
    """Return the type of an argument: an int or float from `low` to `high`, which are `words` in its error."""

    def parse(text: str) -> float:
        try:
            value = math.nan if "_" in text else kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
        return value

    return parse


_port = _number(int, 0, 65_535, "a port from 0 to 65535")
_positive = _number(int, 1, math.inf, "a whole number from 1 on")
_count = _number(int, 0, 999_999_999, "a whole number from 0 on")
_amount = _number(float, 0, 999_999_999, "a number from 0 on")
_seconds = _number(float, 0.001, 86_400_000, "a number of seconds from 0.001 on")


def _endpoint_options(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible base URL")
    where.add_argument("--endpoint", metavar="NAME", help="an endpoint set up in the window, by name")


def _add_simulator(commands: _Commands) -> None:
    parser = commands.add_parser(
        "simulator",
        help="run the built-in server that speaks Electron's API",
        description="A server on this machine that speaks Electron's API. Its replies are simulated; its protocol is "
        "real.",
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="listen on this port (default: a free one)")
    parser.add_argument("--api-key", metavar="KEY", help="accept only this key (default: any, or none)")
    parser.add_argument("--plan", choices=("standard", "enterprise", "none"), default="standard", help="plan limits")
    parser.add_argument(
        "--block-size", type=_positive, default=16, metavar="N", help="tokens per cache block (default 16)"
    )
    parser.add_argument(
        "--cache-ttl", type=_amount, default=300.0, metavar="SECONDS", help="lifetime of an unused prefix (default 300)"
    )
    parser.add_argument(
        "--cache-minimum", type=_count, default=0, metavar="N", help="serve no prefix shorter than this (default 0)"
    )
    parser.add_argument(
        "--cache-capacity", type=_positive, metavar="N", help="tokens that fit; the least recently used are evicted"
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
    parser.add_argument("--replicas", type=_positive, default=1, metavar="N", help="number of caches (default 1)")
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


def _add_send(commands: _Commands) -> None:
    parser = commands.add_parser(
        "send",
        help="send a prompt file or an OpenAI request body",
        description="Sends FILE and streams the completion's text. With neither --base-url nor --endpoint "
        "the built-in simulator answers. The key comes from the key store or SMALLEST_API_KEY. Choices after the first "
        "one (n above 1) are announced on standard error; they are in the log, and in the output of --json.",
    )
    parser.add_argument("file", metavar="FILE", help="a prompt file or a request body; - reads standard input")
    _endpoint_options(parser)
    parser.add_argument(
        "--var", action="append", default=[], metavar="NAME=VALUE", help="a variable's value; may be given again"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end instead of the text")
    parser.add_argument(
        "--no-check", action="store_true", help="send also what Electron refuses, to see how the server answers it"
    )
    _data_option(parser)


def _add_convert(commands: _Commands) -> None:
    parser = commands.add_parser(
        "convert",
        help="convert a prompt of another tool, or into another tool's format",
        description="Reads curl, SDK calls, request bodies, Anthropic, Langfuse, OpenAI batch lines, GitHub Models, "
        "Prompty, dotprompt and promptfoo. Nothing is executed or sent. What was changed or left out is on standard "
        "error.",
    )
    parser.add_argument("file", metavar="FILE", help="the prompt; - reads standard input")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there; default: standard output")
    parser.add_argument(
        "--to",
        choices=("prompt", "body", "github", "prompty"),
        help="format; default: by the output's ending, or prompt",
    )


def _add_log(commands: _Commands) -> None:
    # No positional argument: the words are what argparse leaves over, so options may come before, between and after.
    parser = commands.add_parser(
        "log",
        usage="electron-playground log [ACTION] [options] [FILTER …]",
        help="list, show, export, import or delete logged requests",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="log [list] FILTER…       list requests, newest first\n"
        "log show ID…             one or more requests, by any part of an id\n"
        "log ticket ID…           a support ticket, as Markdown, or as a zip with -o NAME.zip\n"
        "log export FILTER… -o F  a JSONL file that can be imported, a CSV table, or a HAR\n"
        "log import FILE          a JSONL export or a HAR; - reads standard input\n"
        "log delete FILTER…       delete requests, with their contents\n\n"
        "FILTER is the same as in the log pane: plain text, or status:429 cached:0 since:1h is:marked and so on.\n"
        "Write -- before one that begins with a minus sign: log list -- -tag:keep",
    )
    parser.add_argument("--limit", type=_positive, default=50, metavar="N", help="list at most N requests (default 50)")
    parser.add_argument("--json", action="store_true", help="list, show: one JSON object a line")
    parser.add_argument("-o", "--output", metavar="FILE", help="ticket, export: write there; - is standard output")
    parser.add_argument("--format", choices=("jsonl", "csv", "har"), help="export: else by the file's ending")
    forms = ("curl", "powershell", "python", "httpx", "smallestai", "javascript", "markdown", "html")
    parser.add_argument("--as", dest="form", choices=forms, help="show: as a script that sends it, or as a page")
    parser.add_argument(
        "--contents",
        choices=("included", "hashed", "left-out"),
        default="hashed",
        help="ticket: prompt and completion (default: hashed)",
    )
    parser.add_argument("--workspace", default="", metavar="ID", help="ticket: the vendor's workspace id")
    parser.add_argument("--yes", action="store_true", help="delete: do not ask")
    _data_option(parser)


def _add_batch(commands: _Commands) -> None:
    parser = commands.add_parser(
        "batch",
        help="send a prompt for every row of a CSV or JSON lines file",
        description="Sends the prompt once for every row of the data file. Columns fill the variables of the same "
        "name. Rows that share a prefix are sent after the first of them was answered. Exit status 0 if every row was "
        "answered, 1 if any failed, 2 for invalid input, 130 if it was stopped.",
    )
    parser.add_argument("file", metavar="PROMPT", help="a prompt file or a request body")
    parser.add_argument("--data", required=True, metavar="FILE", help="CSV with a header line, TSV, or JSON lines")
    parser.add_argument("-o", "--output", metavar="FILE", help="FILE.jsonl or FILE.csv; default: standard output")
    _endpoint_options(parser)
    parser.add_argument("--map", action="append", default=[], metavar="VARIABLE=COLUMN", help="column of a variable")
    parser.add_argument(
        "--concurrency", type=_positive, metavar="N", help="requests at once (default: the plan's limit)"
    )
    parser.add_argument("--order", choices=("warm", "file"), default="warm", help="order of sending (default: warm)")
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="KIND=VALUE",
        help="check each answer: contains, equals, regex, schema (a file) or max-tokens; may be given again",
    )
    parser.add_argument(
        "--shard",
        metavar="K/N",
        help="send only shard K of N, with 1/N of the plan's limits; merge the results with batch-merge",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the forecast and send nothing")
    parser.add_argument("--resume", action="store_true", help="continue the batch in the output file")
    parser.add_argument("--json", action="store_true", help="print the forecast or the totals as one JSON object")
    _data_option(parser)


def _add_batch_merge(commands: _Commands) -> None:
    parser = commands.add_parser(
        "batch-merge",
        help="merge the results of a batch's shards",
        description="Writes the results of all files to one file, in the order of the data. Of two results of a row, "
        "an answered one is used. Exit status 0 if all rows were answered, 1 if any failed or is missing, 2 for "
        "invalid input.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="results of `batch`: .jsonl or .csv")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="FILE.jsonl or FILE.csv; must not exist")


def _add_record(commands: _Commands) -> None:
    parser = commands.add_parser(
        "record",
        help="record the requests of another program",
        description="Listens on a loopback address, forwards every request to the endpoint with its body unchanged, "
        "and records chat completions in the request log. Ends on Ctrl+C.",
    )
    parser.add_argument("--port", type=_port, default=8788, metavar="N", help="port (default 8788; 0: a free one)")
    _endpoint_options(parser)
    parser.add_argument("--add-key", action="store_true", help="send the endpoint's own key instead of the caller's")
    parser.add_argument(
        "--token", action="store_true", help="require a random path segment, so that only its holders call"
    )
    parser.add_argument("--json", action="store_true", help="print the base URL as one JSON object, and no requests")
    parser.add_argument("--quiet", action="store_true", help="print no line per request")
    parser.add_argument(
        "--stop-with-stdin", action="store_true", help="end when standard input is closed: for a parent process"
    )
    # Used between processes of this program: the address of a running simulator, and the recording process itself.
    parser.add_argument("--simulator-url", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--recording-process", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--recover", action="store_true", help=argparse.SUPPRESS)
    _data_option(parser)


def _add_check(commands: _Commands) -> None:
    parser = commands.add_parser(
        "check",
        help="check prompts and recorded requests for cache misses, in CI",
        description="Checks prompts by the best-practice guide, finds what varies between requests of one program, and "
        "compares prefixes with a baseline. Exit status 0, 1 if a finding is as severe as --fail-on, 2 for invalid "
        "input. Uses no network, and no log unless --log or --data-dir is given.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="*",
        help="a prompt file, request body, JSON lines, HAR or folder; several bodies are compared; - is standard input",
    )
    parser.add_argument(
        "--log",
        metavar="FILTER",
        nargs="?",
        const=True,
        help="check requests of the log, as in source:recorder; without FILTER: also judge FILE by its logged requests",
    )
    parser.add_argument("--baseline", metavar="FILE", help="compare the shared prefixes with FILE")
    parser.add_argument("--update-baseline", action="store_true", help="write the shared prefixes to the baseline")
    parser.add_argument(
        "--fail-on",
        choices=("serious", "warning", "hint"),
        default="serious",
        help="least severity for exit status 1 (default: serious)",
    )
    parser.add_argument(
        "--format", choices=("text", "json", "sarif", "github"), default="text", help="output (default: text)"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--rates", metavar="FRESH,CACHED[,OUTPUT]", help="dollars per million tokens, to compute costs")
    parser.add_argument("--fixture", action="store_true", help="the prompt is a test fixture")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="RULE",
        help="leave a rule out (or RULE:SUBJECT); may be given again",
    )
    _data_option(parser)


def _add_replay(commands: _Commands) -> None:
    parser = commands.add_parser(
        "replay",
        help="forecast and explain recorded traffic",
        description="Prints for every request of FILE what the cache model would have forecast before it, and how it "
        "explains the report. FILE is JSON lines, a HAR or an export of the log. Sends nothing.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="recorded traffic")
    parser.add_argument("--json", action="store_true", help="print one JSON object per request and a summary")
    parser.add_argument(
        "--lifetime", metavar="SECONDS", type=_seconds, default=300.0, help="assumed cache lifetime (default 300)"
    )
    parser.add_argument(
        "--learned", metavar="FILE", type=Path, help="read what an earlier replay learned, and write it at the end"
    )


def _add_self_test(commands: _Commands) -> None:
    parser = commands.add_parser(
        "self-test",
        help="do the main job in the real window, on the simulator and a temporary data folder",
    )
    parser.add_argument("--screenshots", metavar="DIR", help="save a picture a step in DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")


def _add_machine_commands(commands: _Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="check this machine and the data folder",
        description="Prints versions and checks of display, fonts, key store, proxy, certificates, data folder, disk "
        "and request log, without keys or passwords. Exit status 1 if a check failed. Add the output to a bug report.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _data_option(parser)
    parser = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Prints the script. bash: save as ~/.local/share/bash-completion/completions/electron-playground. "
        "zsh: as _electron-playground in a folder of $fpath. fish: as "
        "~/.config/fish/completions/electron-playground.fish.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    parser = commands.add_parser(
        "install-desktop-entry",
        help="add the program to the desktop's menu",
        description="Installs a desktop entry and icons for this user, under XDG_DATA_HOME (Linux).",
    )
    parser.add_argument("--remove", action="store_true", help="remove them again")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. Words of `log` and its options come in any order; after `--` all are words."""
    arguments = _with_open_file(arguments, [name for name in RUN if name is not None])
    parser = build_parser("" if _opens_window(arguments) else _command(arguments))
    if "log" not in arguments:
        return parser.parse_args(arguments)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options, words = parser.parse_known_args(arguments[:cut])
    if options.command != "log":
        return parser.parse_args(arguments)
    unknown = [word for word in words if len(word) > 1 and word.startswith("-")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)} (write -- before a filter that begins with -)")
    options.words = [*words, *arguments[cut + 1 :]]
    return options


def _with_open_file(arguments: Sequence[str], commands: Collection[str]) -> list[str]:
    """Return the arguments with a leading FILE as --open-file.

    A word that is no command is a file if it has a path or a suffix, or if the file exists.
    """
    words = list(arguments)
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] == "--data-dir" else 1
    if words[at : at + 1] == ["--"]:
        del words[at]
    elif at < len(words) and (words[at] in commands or not _looks_like_a_file(words[at])):
        return list(arguments)
    return [*words[:at], "--open-file", *words[at:]] if at < len(words) else words


def _command(words: Sequence[str]) -> str | None:
    """Return the command if only --data-dir comes before it."""
    at = 2 if words[0] == "--data-dir" else int(words[0].startswith("--data-dir="))
    return words[at] if at < len(words) and words[at] in _ADD else None


def _opens_window(words: Sequence[str]) -> bool:
    """Return whether the words are only options of the window."""
    rest = iter(words)
    for word in rest:
        if word in ("--data-dir", "--open-file"):
            next(rest, None)
        elif word != "--exit-after-first-paint" and not word.startswith("--data-dir="):
            return False
    return True


def _looks_like_a_file(word: str) -> bool:
    return bool(Path(word).suffix) or os.sep in word or os.path.isfile(word)  # noqa: PTH113 - False for a name that is too long


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status: 0 finished, 1 failed, 2 bad input, 3 not logged, 130 stopped."""
    is_own = arguments is None  # the process is this program's own
    if is_own:
        install_masking()
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    if os.environ.get("TZ"):
        _check_time_zone()
    try:
        return _run(options) if options.command is None else _with_output(lambda: _run(options))
    except InputError as error:
        from playground.export.terminal import print_error

        print_error(str(error))
        return FAILED if isinstance(error, UnwritableOutputError) else BAD_INPUT
    except KeyboardInterrupt:
        return STOPPED
    finally:
        if is_own and options.command is not None:
            ignore_signals()


def _with_output(run: Callable[[], int | None]) -> int:
    """Run what has to write its whole output to standard output. Returns its status; FAILED if the output is cut."""
    try:
        status = run() or 0
        if sys.stdout is not None:
            # Otherwise the interpreter writes the rest after the status is decided.
            _flush()
        return status
    except (OSError, ExceptionGroup) as error:
        failed = _output_error(error)
        if failed is None:
            raise
        from playground.cli import discard_output
        from playground.export.terminal import print_error

        discard_output()
        if failed.errno != errno.EPIPE:  # a reader that wants no more, as `head`, needs no sentence
            print_error(f"the output cannot be written: {failed.strerror}.")
        return FAILED


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from playground.cli import discard_output

        discard_output()


_OUTPUT_ERRORS = frozenset((errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EPIPE))


def _output_error(error: BaseException) -> OSError | None:
    """Return the error of a write to a full disk or closed pipe, also from a group of tasks; None for any other."""
    if isinstance(error, BaseExceptionGroup):
        found = [_output_error(one) for one in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, OSError) and error.errno in _OUTPUT_ERRORS and error.filename is None else None


def _check_time_zone() -> None:
    """Use UTC if TZ has an offset of a day or more, which Python's local times cannot have."""
    import time
    from datetime import datetime

    try:
        datetime.now().astimezone()
    except (ValueError, OverflowError):
        from playground.export.terminal import print_error

        print_error(f"TZ={os.environ['TZ']} has an offset of 24 hours or more. Times are in UTC.")
        os.environ["TZ"] = "UTC"
        if hasattr(time, "tzset"):
            time.tzset()


_ADD: dict[str, Callable[[_Commands], None]] = {
    "simulator": _add_simulator,
    "send": _add_send,
    "convert": _add_convert,
    "log": _add_log,
    "batch": _add_batch,
    "batch-merge": _add_batch_merge,
    "record": _add_record,
    "check": _add_check,
    "replay": _add_replay,
    "self-test": _add_self_test,
    "doctor": _add_machine_commands,
    "completion": _add_machine_commands,
    "install-desktop-entry": _add_machine_commands,
}
"""What adds the parser of each command, in the order of the help."""
RUN = {
    None: "playground.app:run_window",
    "simulator": "playground.simulator.process:run",
    "convert": "playground.cli.convert:convert",
    "send": "playground.cli.send:send",
    "log": "playground.cli.log:log",
    "batch": "playground.cli.batch:batch",
    "batch-merge": "playground.cli.batch:merge_batches",
    "record": "playground.cli.record:record",
    "check": "playground.cli.check:check",
    "replay": "playground.cli.replay:replay",
    "self-test": "playground.cli.selftest:self_test",
    "doctor": "playground.cli.doctor:doctor",
    "completion": "playground.cli.installation:completion",
    "install-desktop-entry": "playground.cli.installation:install_desktop_entry",
}
"""Module and function of each command; None opens the window."""


def _run(options: argparse.Namespace) -> int:
    module, _, function = RUN[options.command].partition(":")
    run = getattr(importlib.import_module(module), function)
    if callable(signal.getsignal(signal.SIGINT)):  # it ended the process at once so far, see `playground.__main__`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return int(run(options))


if __name__ == "__main__":
    sys.exit(main())
