"""Print the manual page, made from the command line's parser."""

from __future__ import annotations

import argparse
import sys

from playground import __version__
from playground.cli.main import build_parser


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("-", "\\-").replace("\n.", "\n\\&.")


def _options(parser: argparse.ArgumentParser) -> list[str]:
    lines = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = "" if action.nargs == 0 or not action.option_strings else f" {action.metavar or action.dest.upper()}"
        lines += [".TP", f"\\fB{_escaped(name)}\\fR{_escaped(value)}", _escaped((action.help or "").replace("%%", "%"))]
    return lines


def main() -> None:
    """Write the page to standard output."""
    parser = build_parser()
    lines = [f'.TH ELECTRON\\-PLAYGROUND 1 "" "electron-playground {__version__}" "User Commands"', ".SH NAME"]
    lines += ["electron\\-playground \\- playground for the Electron language model", ".SH SYNOPSIS"]
    lines += [".B electron\\-playground", "[OPTIONS] [COMMAND]", ".SH DESCRIPTION", _escaped(parser.description or "")]
    lines += [".SH OPTIONS", *_options(parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                lines += [f'.SH "{name.upper()}"', _escaped(command.description or ""), *_options(command)]
    lines += [".SH FILES", "The data folder is chosen by \\fB\\-\\-data\\-dir\\fR or \\fBELECTRON_PLAYGROUND_HOME\\fR."]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
