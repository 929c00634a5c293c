"""Print the manual page, or with --markdown the page docs/cli.md, made from the command line's parser."""

from __future__ import annotations

import argparse
import sys

from playground import __version__
from playground.cli.arguments import build_parser


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(markdown() if sys.argv[1:] == ["--markdown"] else roff())


def roff() -> str:
    """Return the manual page."""
    parser = build_parser()
    lines = [f'.TH ELECTRON\\-PLAYGROUND 1 "" "electron-playground {__version__}" "User Commands"', ".SH NAME"]
    lines += ["electron\\-playground \\- playground for the Electron language model", ".SH SYNOPSIS"]
    lines += [".B electron\\-playground", "[OPTIONS] [COMMAND]", ".SH DESCRIPTION", _escaped(parser.description or "")]
    lines += [".SH OPTIONS", *_roff_options(parser)]
    for name, command in _commands(parser).items():
        lines += [f'.SH "{name.upper()}"', _escaped(command.description or ""), *_roff_options(command)]
    lines += [".SH FILES", "The data folder is chosen by \\fB\\-\\-data\\-dir\\fR or \\fBELECTRON_PLAYGROUND_HOME\\fR."]
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """Return the command line's reference for the documentation."""
    parser = build_parser()
    lines = ["# Command line", "", "<!-- Generated: python packaging/man_page.py --markdown > docs/cli.md -->", ""]
    lines += [parser.description or "", *_table(parser), "", "Exit status: 0 finished, 1 failed or findings,"]
    lines[-1] += " or an output cannot be written, 2 invalid input, 3 finished but not logged, 130 stopped by the user."
    lines[-1] += " `record` and `simulator` run until they are stopped, and then end with 0."
    for name, command in _commands(parser).items():
        raw = isinstance(command.formatter_class, type) and issubclass(
            command.formatter_class, argparse.RawDescriptionHelpFormatter
        )
        text = command.description or ""
        lines += ["", f"## {name}", "", *(["```text", text, "```"] if raw else [text]), *_table(command)]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(item.choices for item in parser._actions if isinstance(item, argparse._SubParsersAction))


def _options(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Return name with value, and help, of each option and argument."""
    found = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
        found.append((
            name if action.nargs == 0 or not action.option_strings else f"{name} {value}",
            (action.help or "").replace("%%", "%"),
        ))  # fmt: skip
    return found


def _roff_options(parser: argparse.ArgumentParser) -> list[str]:
    return [part for name, text in _options(parser) for part in (".TP", f"\\fB{_escaped(name)}\\fR", _escaped(text))]


def _table(parser: argparse.ArgumentParser) -> list[str]:
    rows = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in _options(parser)]
    return ["", "| option | |", "|---|---|", *rows] if rows else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("-", "\\-").replace("\n.", "\n\\&.")


if __name__ == "__main__":
    main()
