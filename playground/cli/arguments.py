"""The arguments of the command line: one argparse surface. Each command's code is imported only when it runs."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from playground import __version__
from playground.cli import MOST_SHOWN, with_output
from playground.cli.main import has_path_or_suffix

Option: TypeAlias = Callable[[argparse.ArgumentParser], object]
"""Adds an argument to a parser."""


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or of the command `only` alone, which is faster to build."""
    parser: argparse.ArgumentParser = _Parser(
        prog="electron-playground",
        usage="electron-playground [-h] [--version] [--data-dir DIR] [FILE | COMMAND ...]",
        description="A desktop playground for Electron. Without a command it opens the window, with FILE in it: "
        "a prompt file, a request body, another supported format, or a log to import (.jsonl, .har).",
    )
    parser.add_argument("--open-file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="print the versions that a bug report needs",
    )
    _option("--data-dir DIR", _DATA_DIR_HELP, default=None)(parser)
    parser.add_argument(
        "--exit-after-first-paint", action="store_true", help="end after the first painted frame (for benchmarks)"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="electron-playground")
    for name in COMMANDS if only is None else (only,):
        COMMANDS[name].add_to(commands, name)
    return parser


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse says nothing of a full disk."""
        if file is not None:
            super().print_help(file)
        elif status := with_output(partial(print, self.format_help(), end="")):
            super().exit(status)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the process, with status 1 if the help or the versions cannot be written."""
        super().exit(status or with_output(lambda: None), message)


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
        parser.exit(with_output(partial(print, "\n".join(lines))))


class Command:
    """A command: the module and function that run it, and its arguments.

    `description` is for its own help, `help` for the list of commands.
    """

    def __init__(self, run: str, help: str, description: str | None, *options: Option, **more: Any) -> None:
        self.run = run
        self._help, self._description, self._options, self._more = help, description, options, more

    def add_to(self, commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
        parser = commands.add_parser(name, help=self._help, description=self._description, **self._more)
        for option in self._options:
            option(parser)


def _option(synopsis: str, help: str | None, **more: Any) -> Option:
    """Return what adds an argument: its names, then its value (`FILE` or `{one,other}`); without one it is a switch."""
    names = synopsis.split()
    if names[-1].startswith("{"):
        more["choices"] = tuple(names.pop()[1:-1].split(","))
    elif not names[-1].startswith("-"):
        more["metavar"] = names.pop()
    else:
        more["action"] = "store_true"
    return lambda parser: parser.add_argument(*names, help=help, **more)


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


_DATA_DIR_HELP = "keep everything that is stored in DIR (or set ELECTRON_PLAYGROUND_HOME)"
# Suppressed below the top, so that `--data-dir X send` and `send --data-dir X` both work.
_DATA_DIR = _option("--data-dir DIR", _DATA_DIR_HELP, default=argparse.SUPPRESS)
_REPEATED: dict[str, Any] = {"action": "append", "default": []}


def _endpoint(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible base URL")
    where.add_argument("--endpoint", metavar="NAME", help="an endpoint set up in the window, by name")


COMMANDS: dict[str, Command] = {
    "simulator": Command(
        "playground.simulator.process:run",
        "run the built-in server that speaks Electron's API",
        "A server on this machine that speaks Electron's API. Its replies are simulated; its protocol is real.",
        _option("--port N", "listen on this port (default: a free one)", type=_port, default=0),
        _option("--api-key KEY", "accept only this key (default: any, or none)"),
        _option("--plan {standard,enterprise,none}", "plan limits", default="standard"),
        _option("--block-size N", "tokens per cache block (default 16)", type=_positive, default=16),
        _option("--cache-ttl SECONDS", "lifetime of an unused prefix (default 300)", type=_amount, default=300.0),
        _option("--cache-minimum N", "serve no prefix shorter than this (default 0)", type=_count, default=0),
        _option("--cache-capacity N", "tokens that fit; the least recently used are evicted", type=_positive),
        _option("--cache-slots N", "keep only the last prompt of N slots, without blocks", type=_count, default=0),
        _option("--no-cached-answers", "cache prompts only, not the generated answers"),
        _option("--replicas N", "number of caches (default 1)", type=_positive, default=1),
        _option("--routing {random,prefix,round-robin}", "how requests reach a replica", default="random"),
        _option(
            "--tools-position {first,system,first-user,last-user}",
            "where the chat template puts tools (default first)",
            default="first",
        ),
        _option("--head-tokens N", "constant tokens of the template", type=_count, default=0),
        _option("--message-tokens N", "constant tokens of each message", type=_count, default=0),
        _option("--ttft-ms N", "time to first token when all is cached", type=_amount, default=180.0),
        _option("--token-ms N", "time between tokens", type=_amount, default=12.0),
        _option("--json", "print the base URL as one JSON object"),
        _option("--stop-with-stdin", argparse.SUPPRESS),
    ),
    "send": Command(
        "playground.cli.send:send",
        "send a prompt file or an OpenAI request body",
        (
            "Sends FILE and streams the completion's text. With neither --base-url nor --endpoint the built-in "
            "simulator answers. The key comes from the key store or SMALLEST_API_KEY. Choices after the first one "
            "(n above 1) are announced on standard error; they are in the log, and in the output of --json."
        ),
        _option("file FILE", "a prompt file or a request body; - reads standard input"),
        _endpoint,
        _option("--var NAME=VALUE", "a variable's value; may be given again", **_REPEATED),
        _option("--json", "print one JSON object at the end instead of the text"),
        _option(
            "--no-check",
            "send values that Electron refuses, too, to see how the server answers; content is text in any case",
        ),
        _DATA_DIR,
    ),
    "convert": Command(
        "playground.cli.convert:convert",
        "convert a prompt of another tool, or into another tool's format",
        (
            "Reads curl, SDK calls, request bodies, Anthropic, Langfuse, OpenAI batch lines, GitHub Models, "
            "Prompty, dotprompt and promptfoo. Nothing is executed or sent. What was changed or left out is on "
            "standard error."
        ),
        _option("file FILE", "the prompt; - reads standard input"),
        _option("-o --output FILE", "write there; default: standard output"),
        _option("--to {prompt,body,github,prompty}", "format; default: by the output's ending, or prompt"),
    ),
    "log": Command(
        "playground.cli.log:log",
        "list, show, export, import or delete logged requests",
        (
            "log [list] FILTER…       list requests, newest first\n"
            f"log show ID…             up to {MOST_SHOWN} requests, by any part of an id\n"
            "log ticket ID…           a support ticket, as Markdown, or as a zip with -o NAME.zip\n"
            "log export FILTER… -o F  a JSONL file that can be imported, a CSV table, or a HAR\n"
            "log import FILE          a JSONL export or a HAR; - reads standard input\n"
            "log delete FILTER…       delete requests, with their contents\n\n"
            "FILTER is the same as in the log pane: plain text, or status:429 cached:0 since:1h is:marked and so on.\n"
            "Write -- before one that begins with a minus sign: log list -- -tag:keep"
        ),
        # No positional argument: `parse` takes the words that argparse leaves over, before and after options.
        _option("--limit N", "list: at most N requests (default 50)", type=_positive),
        _option("--json", "list, show: one JSON object a line"),
        _option("-o --output FILE", "ticket, export: write there; - is standard output"),
        _option("--format {jsonl,csv,har}", "export: else by the file's ending"),
        _option(
            "--as {curl,powershell,python,httpx,smallestai,javascript,markdown,html}",
            "show: as a script that sends it, or as a page",
            dest="form",
        ),
        _option("--contents {included,hashed,left-out}", "ticket: prompt and completion (default: hashed)"),
        _option("--workspace ID", "ticket: the vendor's workspace id"),
        _option("--yes", "delete: do not ask"),
        _DATA_DIR,
        usage="electron-playground log [ACTION] [options] [FILTER …]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ),
    "batch": Command(
        "playground.cli.batch:batch",
        "send a prompt for every row of a CSV or JSON lines file",
        (
            "Sends the prompt once for every row of the data file. Columns fill the variables of the same name. "
            "Rows that share a prefix are sent after the first of them was answered. Exit status 0 if every row "
            "was answered, 1 if any failed, 2 for invalid input, 3 if not every request could be logged, 130 if it "
            "was stopped."
        ),
        _option("file PROMPT", "a prompt file or a request body"),
        _option("--data FILE", "CSV with a header line, TSV, or JSON lines", required=True),
        _option("-o --output FILE", "FILE.jsonl or FILE.csv; default: standard output"),
        _endpoint,
        _option("--map VARIABLE=COLUMN", "column of a variable", **_REPEATED),
        _option("--concurrency N", "requests at once (default: the plan's limit)", type=_positive),
        _option("--order {warm,file}", "order of sending (default: warm)", default="warm"),
        _option(
            "--check KIND=VALUE",
            "check each answer: contains, equals, regex, schema (a file) or max-tokens; may be given again",
            **_REPEATED,
        ),
        _option(
            "--shard K/N", "send only shard K of N, with 1/N of the plan's limits; merge the results with batch-merge"
        ),
        _option("--dry-run", "print the forecast and send nothing"),
        _option("--resume", "continue the batch in the output file"),
        _option("--json", "print the forecast or the totals as one JSON object"),
        _DATA_DIR,
    ),
    "batch-merge": Command(
        "playground.cli.batch:merge_batches",
        "merge the results of a batch's shards",
        (
            "Writes the results of all files to one file, in the order of the data. Of two results of a row, an "
            "answered one is used. Exit status 0 if all rows were answered, 1 if any failed or is missing, 2 for "
            "invalid input. Without --data, rows behind the last one of all files are not known to be missing."
        ),
        _option("files FILE", "results of `batch`: .jsonl or .csv", nargs="+"),
        _option("--data DATA", "the data of the batch, to find all missing rows"),
        _option("-o --output FILE", "FILE.jsonl or FILE.csv; must not exist", required=True),
    ),
    "record": Command(
        "playground.cli.record:record",
        "record the requests of another program",
        (
            "Listens on a loopback address, forwards every request to the endpoint with its body unchanged, and "
            "records chat completions in the request log. Ends on Ctrl+C."
        ),
        _option("--port N", "port (default 8788; 0: a free one)", type=_port, default=8788),
        _endpoint,
        _option("--add-key", "send the endpoint's own key instead of the caller's"),
        _option("--token", "require a random path segment, so that only its holders call"),
        _option("--json", "print the base URL as one JSON object, and no requests"),
        _option("--quiet", "print no line per request"),
        _option("--stop-with-stdin", "end when standard input is closed: for a parent process"),
        # Between processes of this program: the address of a running simulator, and the recording process itself.
        _option("--simulator-url URL", argparse.SUPPRESS),
        _option("--recording-process", argparse.SUPPRESS),
        _option("--recover", argparse.SUPPRESS),
        _DATA_DIR,
    ),
    "check": Command(
        "playground.cli.check:check",
        "check prompts and recorded requests for cache misses, in CI",
        (
            "Checks prompts by the best-practice guide, finds what varies between requests of one program, and "
            "compares prefixes with a baseline. Exit status 0, 1 if a finding is as severe as --fail-on, 2 for "
            "invalid input. Uses no network, and no log unless --log or --data-dir is given."
        ),
        _option(
            "file FILE",
            (
                "a prompt file, request body, JSON lines, HAR or folder; several bodies are "
                "compared; - is standard input"
            ),
            nargs="*",
        ),
        _option(
            "--log FILTER",
            (
                "check requests of the log, as in source:recorder; without FILTER: also judge "
                "FILE by its logged requests"
            ),
            nargs="?",
            const=True,
        ),
        _option("--baseline FILE", "compare the shared prefixes with FILE"),
        _option("--update-baseline", "write the shared prefixes to the baseline"),
        _option(
            "--fail-on {serious,warning,hint}", "least severity for exit status 1 (default: serious)", default="serious"
        ),
        _option("--format {text,json,sarif,github}", "output (default: text)"),
        _option("--json", "the same as --format json"),
        _option("--rates FRESH,CACHED[,OUTPUT]", "dollars per million tokens, to compute costs"),
        _option("--fixture", "the prompt is a test fixture: report a seed beside a temperature above 0"),
        _option("--ignore RULE", "leave a rule out (or RULE:SUBJECT); may be given again", **_REPEATED),
        _DATA_DIR,
    ),
    "replay": Command(
        "playground.cli.replay:replay",
        "forecast and explain recorded traffic",
        (
            "Prints for every request of FILE what the cache model would have forecast before it, and how it "
            "explains the report. FILE is JSON lines, a HAR or an export of the log. Sends nothing."
        ),
        _option("file FILE", "recorded traffic", type=Path),
        _option("--json", "print one JSON object per request and a summary"),
        _option("--lifetime SECONDS", "assumed cache lifetime (default 300)", type=_seconds, default=300.0),
        _option("--learned FILE", "read what an earlier replay learned, and write it at the end", type=Path),
    ),
    "self-test": Command(
        "playground.cli.selftest:self_test",
        "do the main job in the real window, on the simulator and a temporary data folder",
        (
            "Does the main job in the real window, on the simulator and a temporary data folder. Exit status 1 if a "
            "step failed."
        ),
        _option("--screenshots DIR", "save a picture a step in DIR"),
        _option("--json", "print one JSON object at the end"),
        _option("--theme {light,dark}", "theme of the window (default: light)", default="light"),
    ),
    "doctor": Command(
        "playground.cli.doctor:doctor",
        "check this machine and the data folder",
        (
            "Prints versions and checks of display, fonts, key store, proxy, certificates, data folder, disk and "
            "request log, without keys or passwords. Exit status 1 if a check failed. Add the output to a bug "
            "report."
        ),
        _option("--json", "print one JSON object"),
        _DATA_DIR,
    ),
    "completion": Command(
        "playground.cli.installation:completion",
        "print a completion script for a shell",
        (
            "Prints the script. bash: save as ~/.local/share/bash-completion/completions/electron-playground. zsh: "
            "as _electron-playground in a folder of $fpath. fish: as "
            "~/.config/fish/completions/electron-playground.fish."
        ),
        _option("shell SHELL", "bash, zsh or fish", choices=("bash", "zsh", "fish")),
    ),
    "install-desktop-entry": Command(
        "playground.cli.installation:install_desktop_entry",
        "add the program to the desktop's menu",
        "Installs a desktop entry and icons for this user, under XDG_DATA_HOME (Linux).",
        _option("--remove", "remove them again"),
    ),
}
"""In the order of the help."""
RUN = {name: one.run for name, one in COMMANDS.items()}
"""Module and function of each command."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. Words of `log` and its options come in any order; after `--` all are words."""
    arguments = _with_open_file(arguments)
    parser = build_parser(_command(arguments))
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


def _with_open_file(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a leading FILE as --open-file.

    A word that is no command is a file if it has a path or a suffix, or if the file exists.
    """
    words = list(arguments)
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] == "--data-dir" else 1
    if words[at : at + 1] == ["--"]:
        del words[at]
    elif at < len(words) and (words[at] in COMMANDS or not _looks_like_a_file(words[at])):
        return list(arguments)
    return [*words[:at], "--open-file", *words[at:]] if at < len(words) else words


def _command(words: Sequence[str]) -> str | None:
    """Return the command if only --data-dir comes before it."""
    first = words[0] if words else ""
    at = 2 if first == "--data-dir" else int(first.startswith("--data-dir="))
    return words[at] if at < len(words) and words[at] in COMMANDS else None


def _looks_like_a_file(word: str) -> bool:
    return has_path_or_suffix(word) or os.path.isfile(word)  # noqa: PTH113 - False for a name that is too long
