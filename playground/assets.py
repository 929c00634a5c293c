"""Location of the files of `resources/`: next to the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path


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
