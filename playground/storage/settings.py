"""Settings, each declared once in `resources/settings.json`. The file holds only values that differ from a default."""

from __future__ import annotations

import binascii
import copy
import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from playground import asset
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.storage.json_file import JsonFile, SharedFile, Submit, write_now
from playground.tasks import Subscribers


class Setting(Struct, frozen=True):
    """One setting. `label` is empty if no dialog shows it.

    The default gives the type: text, boolean or whole number, a list (of whole numbers if it has a range, otherwise of
    texts), or a table of texts. `choices` are the allowed values; `minimum` and `maximum` are inclusive, in `unit`,
    and those of a list apply to its items. `base64` text has to be decodable.
    """

    name: str
    default: Json
    label: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    unit: str = ""
    base64: bool = False
    address: bool = False
    """Whether the text is an address, in which no password and no key is stored."""


SETTINGS = tuple(
    Setting(**{**row, "choices": tuple(row.get("choices", ()))})
    for row in json.loads(asset("settings.json").read_bytes())
)
_TABLE = {setting.name: setting for setting in SETTINGS}


class Settings(SharedFile):
    """The user's settings. A change applies at once and is on disk soon."""

    _subject = "The settings"

    def __init__(
        self, path: Path, submit: Submit = write_now, on_error: Callable[[str], None] = lambda _message: None
    ) -> None:
        """Read the file. One that cannot be read as settings is set aside, and `notice` says so.

        `on_error` is called with `notice` if the settings cannot be saved.
        """
        super().__init__(JsonFile(path, "The settings file", masked=True, recover=_recovered_table), submit, on_error)
        self.stored_forms: dict[str, Callable[[Json], Json]] = {}
        """By name: changes a value when the file is written, also one that an older version stored."""
        self._changes: Subscribers[[str]] = Subscribers()
        self._values = self._file.read(_table) or {}
        if self._file.recovered:
            self._unsaved = dict(self._values)
            self._file.notice += f" Recovered settings: {', '.join(self._values) or 'none'}."
        cleaned = self._remove_secrets()
        self._valid = {
            name: _valid_part(_TABLE[name], value) if _error(name, value) else value
            for name, value in self._values.items()
            if name in _TABLE
        }
        self.notice = self._file.notice or cleaned or _notice_of_errors(self._values)
        self._end_reading()

    def _remove_secrets(self) -> str:
        """Remove passwords and keys from the addresses of an older file. Returns the notice."""
        names = [name for name, value in self._values.items() if _has_secret(_TABLE.get(name), value)]
        if not names:
            return ""
        from playground.client.credentials import without_secret

        for name in names:
            self._values[name] = self._unsaved[name] = without_secret(str(self._values[name]))
        labels = ", ".join(_TABLE[name].label for name in names)
        return f"The password or key was removed from the settings file: {labels}."

    def get(self, name: str) -> Json:
        """Return a setting's value, as a copy. Raises KeyError for an undeclared name.

        Of a table or a list of texts with invalid entries, the valid ones.
        """
        return copy.deepcopy(self._valid.get(name, _TABLE[name].default))

    def number(self, name: str) -> float:
        """Return the value of a number setting, in its unit."""
        value = self.get(name)
        assert isinstance(value, int | float)
        return float(value)

    def text(self, name: str) -> str:
        """Return the value of a text setting."""
        value = self.get(name)
        assert isinstance(value, str)
        return value

    def flag(self, name: str) -> bool:
        """Return the value of a boolean setting."""
        value = self.get(name)
        assert isinstance(value, bool)
        return value

    def changed(self, name: str) -> bool:
        """Return whether a setting differs from its default."""
        return self.get(name) != _TABLE[name].default

    def set(self, name: str, value: Json) -> None:
        """Change a setting. Raises InputError for a value that is not allowed, KeyError for an undeclared name.

        If the file cannot be written the change holds for this session, and `notice` says so.
        """
        setting = _TABLE[name]
        error = _error(name, value)
        if error:
            raise InputError.of((name,), f"{setting.label or name} {error}.", _hint(setting))
        if self.get(name) == value:
            return
        self._values[name] = self._valid[name] = copy.deepcopy(value)
        self._put({name: copy.deepcopy(value)})
        self._changes(name)

    def write_again(self) -> None:
        """Write all settings: the file was deleted."""
        self._put(copy.deepcopy(self._values), older=True)

    def _write(self, changed: dict[str, Json]) -> str:
        """Write changes into the present file. Returns a sentence if a copy was kept, because of damaged values."""
        saved = self._file.read(_table) or {}
        overwrites = not self._file.recovered and any(
            name in saved and _is_damaged(name, saved[name]) for name in changed
        )
        for name, value in changed.items():
            saved[name] = value
            if value == _TABLE[name].default:
                del saved[name]
        for name, stored_form in self.stored_forms.items():
            if name in saved:
                saved[name] = stored_form(saved[name])
        copied = self._file.keep_copy().name if overwrites else ""
        self._file.write(saved)
        return f"The settings file had values that are not valid; it was copied to {copied}." if copied else ""

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback` with the name of every setting that changes. Returns the function that unsubscribes."""
        return self._changes.subscribe(callback)


def _table(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ValueError("settings are a table")
    return value


def _recovered_table(data: bytes) -> Json:
    # Imported here: most starts find no damaged file.
    from playground.storage import damaged_files

    tables = [setting.name for setting in SETTINGS if isinstance(setting.default, dict)]
    return damaged_files.members(damaged_files.text_of(data), _TABLE, tables)


def _is_damaged(name: str, value: Json) -> bool:
    """Return whether a value is not valid for another reason than a secret in it, of which no copy is kept."""
    return bool(_error(name, value)) and not _has_secret(_TABLE.get(name), value)


def _valid_part(setting: Setting, value: Json) -> Json:
    """Return the valid entries of a table or a list of texts. Of any other setting, and of sizes, the default."""
    if isinstance(setting.default, dict) and isinstance(value, dict):
        return {name: item for name, item in value.items() if _is_text(name) and _is_text(item)}
    if isinstance(setting.default, list) and isinstance(value, list) and setting.minimum is None:
        return [item for item in value if _is_text(item)][:_MAX_ITEMS]
    return setting.default


def _has_secret(setting: Setting | None, value: Json) -> bool:
    if setting is None or not setting.address or not isinstance(value, str) or not value:
        return False
    # Imported here: the first frame needs no address.
    from playground.client.credentials import has_secret

    return has_secret(value)


def _notice_of_errors(values: dict[str, Json]) -> str:
    errors = {name: error for name, value in values.items() if (error := _error(name, value))}
    kept = [name for name in errors if _valid_part(_TABLE[name], values[name]) != _TABLE[name].default]
    sentences = []
    if lost := [f"{name} {error}" for name, error in errors.items() if name not in kept]:
        sentences.append(f"Settings that are not valid have their defaults: {'; '.join(lost)}.")
    if kept:
        sentences.append(f"Entries that are not valid were left out: {', '.join(kept)}.")
    return " ".join(sentences)


def _hint(setting: Setting) -> str:
    default = setting.default
    return "" if isinstance(default, list | dict) else f"Its default is {str(default).lower() or 'empty'}."


def _error(name: str, value: Json) -> str:
    """Return the error in a value, as the end of a sentence; empty for a valid value.

    Names that this version does not know belong to a newer version: any value is valid.
    """
    setting = _TABLE.get(name)
    if setting is None:
        return ""
    if _has_secret(setting, value):
        return (
            "has a user name, password or key in it, or a query, which may be one: the settings file is no place for it"
        )
    if setting.choices:
        return "" if value in setting.choices else f"is one of {', '.join(setting.choices)}"
    if isinstance(setting.default, list):
        texts = setting.minimum is None
        items = value if isinstance(value, list) and len(value) <= _MAX_ITEMS else [None]
        valid = all(_is_text(item) if texts else _in_range(setting, item) for item in items)
        return "" if valid else f"is a list of {'texts' if texts else 'whole numbers'}"
    if setting.minimum is not None and setting.maximum is not None:
        valid = _in_range(setting, value)
        return "" if valid else f"is a whole number from {setting.minimum:,} to {setting.maximum:,} {setting.unit}"
    if isinstance(setting.default, bool):
        return "" if isinstance(value, bool) else "is true or false"
    if isinstance(setting.default, dict):
        valid = isinstance(value, dict) and all(_is_text(key) and _is_text(item) for key, item in value.items())
        return "" if valid else "is a table of text"
    if setting.base64:
        return "" if _is_base64(value) else "is base64 text"
    return "" if _is_text(value) else "is text"


_MAX_ITEMS = 16


def _in_range(setting: Setting, value: Json) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and (setting.minimum is None or value >= setting.minimum)
        and (setting.maximum is None or value <= setting.maximum)
    )


def _is_text(value: Json) -> bool:
    """Whether a value is text that a file name or a request header can contain: no NUL, no lone surrogate."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_base64(value: Json) -> bool:
    try:
        return isinstance(value, str) and b64decode(value, validate=True) is not None
    except (binascii.Error, ValueError):
        return False
