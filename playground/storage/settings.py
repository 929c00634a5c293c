"""Settings, each declared once; the file holds only what differs from its default."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError
from playground.storage.json_file import JsonFile


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `label` is empty where the program keeps it for itself and no dialog shows it.

    Its kind is its default's: text, a switch, a whole number; a list is of whole numbers, a table of text.
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
    Setting(
        "font_size",
        13,
        "Prompt font size",
        "Of prompts and completions, from the next start on.",
        minimum=11,
        maximum=22,
        unit="px",
    ),
    Setting(
        "cache_lifetime_s",
        300,
        "Assumed cache lifetime",
        "How long an unused prefix is expected to stay cached. The vendor does not publish it.",
        minimum=10,
        maximum=86_400,
        unit="s",
    ),
    Setting("retry", True, "Retry", "After 429, 502 and 503, before any text has come; each attempt is shown."),
    Setting("retry_attempts", 5, "Attempts at most", "The first one included.", minimum=1, maximum=10),
    Setting("retry_first_ms", 250, "First wait", "Doubles with each attempt.", minimum=50, maximum=10_000, unit="ms"),
    Setting("retry_longest_s", 8, "Longest wait", "Unless the server asks for more.", minimum=1, maximum=60, unit="s"),
    Setting("connect_s", 10, "Connect within", "Else the attempt has failed.", minimum=1, maximum=120, unit="s"),
    Setting(
        "first_byte_s", 120, "First byte within", "A slow model's thinking included.", minimum=1, maximum=3600, unit="s"
    ),
    Setting("silence_s", 60, "Longest silence", "Within a stream that has begun.", minimum=1, maximum=3600, unit="s"),
    Setting("turn_limit", False, "Voice limit", "End a whole turn, retries included, after the time below."),
    Setting("turn_limit_s", 10, "Turn within", "Only where the voice limit is on.", minimum=1, maximum=600, unit="s"),
    Setting(
        "ca_file", "", "Extra certificates", "A PEM file that is trusted besides the system's own; empty for none."
    ),
    Setting(
        "request_lines",
        False,
        "Lines for other tools",
        "Append each request that ends to requests.jsonl in the data folder: ids, status, usage, timings.",
    ),
    Setting("request_lines_contents", False, "Contents in these", "Prompts and completions too, as plain text."),
    Setting(
        "otel_collector",
        "",
        "OpenTelemetry collector",
        "Where spans go, http://127.0.0.1:4318/v1/traces say, without contents; empty: nowhere. Needs the extra otel.",
    ),
    Setting("show_simulator_bar", True, "Simulator bar", "Say above the prompt that replies are simulated."),
    Setting("endpoint_id", "simulator"),
    Setting("window_geometry", ""),
    Setting("splitter_sizes", []),
    Setting("log_height", 0, minimum=0, maximum=10_000, unit="px"),
    Setting("log_keep_days", 0, minimum=0, maximum=36_500, unit="days"),
    Setting("log_keep_mb", 0, minimum=0, maximum=10_000_000, unit="MB"),
    Setting("log_columns", ""),
    Setting("log_clock", "local", choices=("local", "utc", "relative")),
    Setting("saved_filters", {}),
    Setting("ticket_workspace", ""),
    Setting("ticket_contents", "hashed", choices=("included", "hashed", "left out")),
    Setting("tool_server", ""),
    Setting("voice_delay_ms", 200, minimum=0, maximum=10_000, unit="ms"),
    Setting("voice_pipeline_ms", 350, minimum=0, maximum=10_000, unit="ms"),
    Setting("voice_rate_tenths", 150, minimum=1, maximum=2_000, unit="tenths a second"),
    Setting("voice_unit", "characters", choices=("characters", "words")),
    Setting("voice_start", "clause", choices=("clause", "sentence", "piece")),
    Setting("voice_limit_s", 10, minimum=1, maximum=600, unit="s"),
    Setting("shortcuts", {}),
    Setting("dismissed_advice", {}),
)
_TABLE = {setting.name: setting for setting in SETTINGS}


class Settings:
    """The user's settings. Every change is on disk when `set` returns.

    Two windows on one folder share the file: each writes only the setting that it changes.
    """

    def __init__(self, path: Path) -> None:
        """A file that cannot be read as settings is set aside, and `notice` says so."""
        self._file = JsonFile(path, "The settings file")
        self._listeners: list[Callable[[str], None]] = []
        self._values = self._file.read(_table) or {}
        self.notice = self._file.notice or _notice_of_wrong(self._values)
        """What was wrong with the file, or why it cannot be written; a sentence, or empty."""

    def get(self, name: str) -> Json:
        """A setting's value; a list or table is the caller's own. Raises KeyError for a name that is not declared."""
        default = _TABLE[name].default
        value = self._values.get(name, default)
        return copy.deepcopy(default if _wrong(name, value) else value)

    def number(self, name: str) -> float:
        """A number setting's value, in its unit."""
        value = self.get(name)
        assert isinstance(value, int | float)
        return float(value)

    def text(self, name: str) -> str:
        """A text setting's value."""
        value = self.get(name)
        assert isinstance(value, str)
        return value

    def flag(self, name: str) -> bool:
        """A switch's value."""
        value = self.get(name)
        assert isinstance(value, bool)
        return value

    def set(self, name: str, value: Json) -> None:
        """Change a setting. Raises InputError for a value it cannot have, KeyError for an undeclared name.

        Where the file cannot be written the change holds for this session, and `notice` says so.
        """
        setting = _TABLE[name]
        wrong = _wrong(name, value)
        if wrong:
            raise InputError(FieldError((name,), f"{setting.label or name} {wrong}.", _hint(setting)))
        if self.get(name) == value:
            return
        self._values[name] = copy.deepcopy(value)
        self._keep(name)
        for listener in list(self._listeners):
            listener(name)

    def _keep(self, name: str) -> None:
        kept = self._file.read(_table) or {}
        if self._values[name] == _TABLE[name].default:
            kept.pop(name, None)
        else:
            kept[name] = self._values[name]
        try:
            self._file.write(kept)
        except OSError as error:
            self.notice = f"The settings cannot be saved: {error.strerror or error}."

    def listen(self, listener: Callable[[str], None]) -> None:
        """Be told the name of every setting that changes."""
        self._listeners.append(listener)


def _table(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ValueError("settings are a table")
    return value


def _notice_of_wrong(values: dict[str, Json]) -> str:
    wrong = [f"{name} {_wrong(name, value)}" for name, value in values.items() if _wrong(name, value)]
    return f"Settings that cannot be used have their defaults: {'; '.join(wrong)}." if wrong else ""


def _hint(setting: Setting) -> str:
    default = setting.default
    return "" if isinstance(default, list | dict) else f"Its default is {str(default).lower() or 'empty'}."


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
        fits = _whole(value) and setting.minimum <= value <= setting.maximum  # type: ignore[operator]
        return "" if fits else f"is a whole number from {setting.minimum:,} to {setting.maximum:,} {setting.unit}"
    return _wrong_kind(setting.default, value)


def _wrong_kind(default: Json, value: Json) -> str:
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "is true or false"
    if isinstance(default, list):
        fits = isinstance(value, list) and all(_whole(item) for item in value)
        return "" if fits else "is a list of whole numbers"
    if isinstance(default, dict):
        fits = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        return "" if fits else "is a table of text"
    return "" if isinstance(value, str) else "is text"


def _whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
