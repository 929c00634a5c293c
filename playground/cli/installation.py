"""Commands that complete an installation: `completion SHELL`, a script made from the parser, and
`install-desktop-entry`.

Own code for completion: shtab, the maintained library for this, has no fish, and the three scripts are short.

The desktop entry is for installations by pip, pipx or uv; the Debian package installs the same entry for all users.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from playground import asset, filled_asset
from playground.cli import FAILED, FINISHED
from playground.export.terminal import print_error, print_line
from playground.storage.paths import write_shared

PROGRAM = "electron-playground"
_FILES, _FOLDERS = ("FILE", "PROMPT"), ("DIR",)
LOG_ACTIONS = ("list", "show", "ticket", "export", "import", "delete")
"""First words of `log`, which the parser does not declare."""


class ShellOption(Struct, frozen=True):
    """An option of a command; "" is the program itself. `values` are words, or "files" or "folders"."""

    command: str
    names: tuple[str, ...]
    help: str
    takes_value: bool
    values: tuple[str, ...] | str


def completion(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    from playground.cli.arguments import build_parser

    print_line(script(build_parser(), options.shell))
    return FINISHED


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script for "bash", "zsh" or "fish"."""
    return SHELLS[shell](subcommands(parser), list(_options(parser))).rstrip("\n")


def subcommands(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the commands and their one-line descriptions."""
    return {str(choice.dest): choice.help or "" for choice in _subparsers(parser)._choices_actions}


def _subparsers(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _options(parser: argparse.ArgumentParser) -> Iterator[ShellOption]:
    for command, part in {"": parser, **_subparsers(parser).choices}.items():
        for action in part._actions:
            if action.option_strings and action.help != argparse.SUPPRESS:
                yield ShellOption(
                    command,
                    tuple(action.option_strings),
                    (action.help or "").replace("%%", "%"),
                    action.nargs != 0,
                    _values(action),
                )


def _values(action: argparse.Action) -> tuple[str, ...] | str:
    if action.choices is not None:
        return tuple(map(str, action.choices))
    return "files" if action.metavar in _FILES else "folders" if action.metavar in _FOLDERS else ()


def _positional(command: str) -> tuple[str, ...]:
    """Return the words that a command's first argument can be; nothing for a file."""
    return {"log": LOG_ACTIONS, "completion": tuple(SHELLS)}.get(command, ())


def _bash(commands: dict[str, str], options: list[ShellOption]) -> str:
    lines = []
    for option in options:
        pattern = "|".join(f'"{option.command} {name}"' for name in option.names)
        if option.values in ("files", "folders"):
            kind = "-f" if option.values == "files" else "-d"
            lines.append(f'        {pattern}) compopt -o filenames; COMPREPLY=($(compgen {kind} -- "$cur")); return ;;')
        elif option.takes_value:
            lines.append(
                f'        {pattern}) COMPREPLY=($(compgen -W "{" ".join(option.values)}" -- "$cur")); return ;;'
            )
    words = []
    for command in ("", *commands):
        names = " ".join(name for option in options if option.command == command for name in option.names)
        first = " ".join(_positional(command) if command else commands)
        words.append(f'        "{command}") names="{names}"; first="{first}" ;;')
    return filled_asset(
        "completion/bash.txt", commands="|".join(commands), values="\n".join(lines), words="\n".join(words)
    )


def _zsh(commands: dict[str, str], options: list[ShellOption]) -> str:
    cases = []
    for command in commands:
        first = f"'1:argument:({' '.join(_positional(command))})' " if _positional(command) else ""
        cases.append(
            f"                {command}) _arguments {_zsh_options(options, command)} {first}'*:file:_files' ;;"
        )
    # The script works as a file in $fpath, and if it is sourced.
    listed = " ".join(_quoted(f"{name}:{text}") for name, text in commands.items())
    return filled_asset(
        "completion/zsh.txt", commands=listed, options=_zsh_options(options, ""), cases="\n".join(cases)
    )


def _zsh_options(options: list[ShellOption], command: str) -> str:
    found = []
    for option in options:
        if option.command != command:
            continue
        values = {"files": "_files", "folders": "_files -/"}.get(str(option.values)) or f"({' '.join(option.values)})"
        value = f":value:{values}" if option.takes_value else ""
        text = option.help.translate({ord(char): f"\\{char}" for char in "[]:"})
        found += [_quoted(f"{name}[{text}]{value}") for name in option.names]
    return " ".join(found)


def _fish(commands: dict[str, str], options: list[ShellOption]) -> str:
    unset = f"not __fish_seen_subcommand_from {' '.join(commands)}"
    lines = [f"# fish completion for {PROGRAM}"]
    lines += [f"complete -c {PROGRAM} -f -n '{unset}' -a {name} -d {_quoted(text)}" for name, text in commands.items()]
    for command in commands:
        if words := _positional(command):
            seen = f"__fish_seen_subcommand_from {command}"
            lines.append(f"complete -c {PROGRAM} -f -n '{seen}' -a '{' '.join(words)}'")
    for option in options:
        condition = f"__fish_seen_subcommand_from {option.command}" if option.command else unset
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
        value = ""
        if option.values == "folders":
            value = " -x -a '(__fish_complete_directories)'"
        elif option.values == "files":
            value = " -r -F"
        elif option.takes_value:
            value = f" -x -a '{' '.join(option.values)}'"
        lines.append(f"complete -c {PROGRAM} -n '{condition}' {names}{value} -d {_quoted(option.help)}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "’") + "'"


SHELLS: dict[str, Callable[[dict[str, str], list[ShellOption]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


TEMPLATE = "app/electron-playground.desktop"


def install_desktop_entry(options: argparse.Namespace) -> int:
    """Install the entry, or remove it. Returns 0, or 1 if the folders cannot be written."""
    data = data_home(os.environ)
    files = _files(data)
    try:
        for target, content in files.items():
            if options.remove:
                target.unlink(missing_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_shared(target, content)
            print_line(f"{'removed' if options.remove else 'installed'} {target}")
    except OSError as error:
        print_error(f"the desktop entry cannot be {'removed' if options.remove else 'installed'}: {error}")
        return FAILED
    _refresh(data)
    return FINISHED


def data_home(environment: Mapping[str, str]) -> Path:
    """Return XDG_DATA_HOME; relative values are ignored, as the specification demands."""
    named = Path(environment.get("XDG_DATA_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".local" / "share"


def entry(command: list[str]) -> str:
    """Return the desktop entry that starts `command` with an optional file."""
    text = asset(TEMPLATE).read_text("utf-8")
    return text.replace(f"Exec={PROGRAM} ", f"Exec={' '.join(map(_exec_argument, command))} ")


def _files(data: Path) -> dict[Path, bytes]:
    found = {data / "applications" / f"{PROGRAM}.desktop": entry(_command()).encode()}
    icons = data / "icons" / "hicolor"
    found[icons / "scalable" / "apps" / f"{PROGRAM}.svg"] = asset(f"app/{PROGRAM}.svg").read_bytes()
    for image in sorted(asset("app/icons").glob("*.png")):
        found[icons / f"{image.stem}x{image.stem}" / "apps" / f"{PROGRAM}.png"] = image.read_bytes()
    return found


def _command() -> list[str]:
    """Return the command that starts this installation: the bundle, the installed script, or the interpreter."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    script = Path(sys.executable).parent / PROGRAM
    return [str(script)] if script.exists() else [sys.executable, "-m", "playground"]


def _exec_argument(argument: str) -> str:
    """Quote an argument of Exec, as the Desktop Entry Specification defines it."""
    argument = argument.replace("%", "%%")
    if argument.replace("-", "").replace("/", "").replace(".", "").replace("_", "").isalnum():
        return argument
    # The value is unescaped as a string first, then as an argument: each backslash is written twice.
    return (
        '"'
        + "".join(f"\\\\{char}" if char in '"`$' else "\\\\\\\\" if char == "\\" else char for char in argument)
        + '"'
    )


def _refresh(data: Path) -> None:
    """Update the caches of desktops that have one; desktops without these tools watch the folders."""
    for tool, folder in (("update-desktop-database", "applications"), ("gtk-update-icon-cache", "icons/hicolor")):
        if (path := shutil.which(tool)) is not None and (data / folder).is_dir():
            subprocess.run([path, "-q", str(data / folder)], check=False, capture_output=True)
