"""Where the files of `resources/` are: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path


def asset(name: str) -> Path:
    """The path of a shipped file, named as under `resources/` ("themes/palette.json").

    Raises FileNotFoundError where the installation lacks it.
    """
    here = Path(__file__).parent
    for root in (here / "_resources", here.parent / "resources"):
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(f"this installation lacks resources/{name}; install Electron Playground again")
