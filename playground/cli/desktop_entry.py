"""`electron-playground install-desktop-entry`: desktop entry and icons for the user, in the XDG folders.

For installations by pip, pipx or uv; the Debian package installs the same entry for all users.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from playground import asset
from playground.cli import FAILED, FINISHED
from playground.export.terminal import print_error, print_line
from playground.storage.paths import write_shared

NAME = "electron-playground"
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
    return text.replace(f"Exec={NAME} ", f"Exec={' '.join(map(_quoted, command))} ")


def _files(data: Path) -> dict[Path, bytes]:
    found = {data / "applications" / f"{NAME}.desktop": entry(_command()).encode()}
    icons = data / "icons" / "hicolor"
    found[icons / "scalable" / "apps" / f"{NAME}.svg"] = asset(f"app/{NAME}.svg").read_bytes()
    for image in sorted(asset("app/icons").glob("*.png")):
        found[icons / f"{image.stem}x{image.stem}" / "apps" / f"{NAME}.png"] = image.read_bytes()
    return found


def _command() -> list[str]:
    """Return the command that starts this installation: the bundle, the installed script, or the interpreter."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    script = Path(sys.executable).parent / NAME
    return [str(script)] if script.exists() else [sys.executable, "-m", "playground"]


def _quoted(argument: str) -> str:
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
