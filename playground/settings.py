"""Settings, each declared once; the file holds only what differs from its default."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playground.folders import set_aside, write_private
from playground.prompt.document import Json
from playground.prompt.problems import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `label` is empty where the program keeps it for itself and no dialog shows it.

    `choices` are the allowed values; `minimum` and `maximum` are inclusive, in `unit`.
    """

    name: str
    default: Json
    label: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    unit: str = ""


SETTINGS = (
    Setting(
        "theme", "system", "Theme", "Light, dark, or whatever the system uses.", choices=("system", "light", "dark")
    ),
    Setting("font_size", 13, "Prompt font size", "Of prompts and completions.", minimum=11, maximum=22, unit="px"),
    Setting(
        "cache_lifetime_s",
        300,
        "Assumed cache lifetime",
        "How long an unused prefix is expected to stay cached. The vendor does not publish it.",
        minimum=10,
        maximum=86_400,
        unit="s",
    ),
    Setting("endpoint_id", "simulator"),
    Setting("window_geometry", ""),
    Setting("splitters", []),
    Setting("shortcuts", {}),
)
_TABLE = {setting.name: setting for setting in SETTINGS}


class Settings:
    """The user's settings. Every change is on disk when `set` returns."""

    def __init__(self, path: Path) -> None:
        """A file that cannot be read as settings is set aside, and `notice` says so."""
        self._path = path
        self._listeners: list[Callable[[str], None]] = []
        self.notice = ""
        self._values = self._read()

    def _read(self) -> dict[str, Json]:
        try:
            values = json.loads(self._path.read_bytes())
            if not isinstance(values, dict):
                raise ValueError("not a table")
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.notice = f"The settings cannot be read ({error.strerror or error}); the defaults are used."
            return {}
        except ValueError:
            self.notice = f"The settings file was damaged; it is kept as {set_aside(self._path).name}."
            return {}
        return {name: value for name, value in values.items() if not _wrong(name, value)}

    def get(self, name: str) -> Json:
        """A setting's value. Raises KeyError for a name that is not declared."""
        return self._values.get(name, _TABLE[name].default)

    def number(self, name: str) -> float:
        """A number setting's value."""
        value = self.get(name)
        assert isinstance(value, int | float)
        return float(value)

    def set(self, name: str, value: Json) -> None:
        """Change a setting. Raises BadInput for a value it cannot have, KeyError for an undeclared name."""
        setting = _TABLE[name]
        wrong = _wrong(name, value)
        if wrong:
            raise BadInput(Problem((name,), f"{setting.label or name} {wrong}."))
        if self.get(name) == value:
            return
        self._values[name] = value
        self._write()
        for listener in list(self._listeners):
            listener(name)

    def _write(self) -> None:
        changed = {k: v for k, v in self._values.items() if k not in _TABLE or v != _TABLE[k].default}
        try:
            write_private(self._path, json.dumps(changed, indent=1).encode())
        except OSError as error:
            self.notice = f"The settings cannot be saved: {error.strerror or error}."

    def listen(self, listener: Callable[[str], None]) -> None:
        """Be told the name of every setting that changes."""
        self._listeners.append(listener)


def _wrong(name: str, value: Json) -> str:
    """What is wrong with a value, as the end of a sentence; empty where nothing is, or where the name is not known.

    Names that this version does not know are a newer version's, and are kept.
    """
    setting = _TABLE.get(name)
    if setting is None:
        return ""
    if setting.choices:
        return "" if value in setting.choices else f"is one of {', '.join(setting.choices)}"
    if setting.minimum is not None and setting.maximum is not None:
        fits = isinstance(value, int) and not isinstance(value, bool) and setting.minimum <= value <= setting.maximum
        return "" if fits else f"is a whole number from {setting.minimum:,} to {setting.maximum:,} {setting.unit}"
    return "" if type(value) is type(setting.default) else f"is not a {type(setting.default).__name__}"
