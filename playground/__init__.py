"""Electron Playground: a desktop playground for Smallest AI's Electron model. Its version and its shipped files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

__version__ = "0.1.0"


def asset(name: str) -> Path:
    """Return the path of a shipped file, named as under `resources/` ("themes/palette.json").

    Raises FileNotFoundError if it is missing from the installation.
    """
    here = Path(__file__).parent
    for root in (here / "_resources", here.parent / "resources"):
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(f"this installation lacks resources/{name}; install Electron Playground again")


def filled_asset(name: str, **parts: str) -> str:
    """Return the text of a shipped file with each part in place of its `@name@`. Raises FileNotFoundError."""
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], asset(name).read_text("utf-8"))


def install_advice(extra: str) -> str:
    """Return how the packages of an extra are installed; in a bundle, which includes them, there is no pip."""
    if getattr(sys, "frozen", False):
        return "This installation is incomplete: install Electron Playground again."
    return f"To install it: pip install 'electron-playground[{extra}]'."
