"""Searchable settings in sections, and the log size. Each change applies immediately."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QLineEdit, QSpinBox, QWidget

from playground.prompt.field_errors import InputError
from playground.requestlog.filter import IsTerm, LogFilter, UntilTerm
from playground.requestlog.log import RequestLog
from playground.requestlog.log_queries import LogSize
from playground.runs.metrics import counted
from playground.services import AppServices
from playground.storage.settings import SETTINGS, Setting, Settings
from playground.ui.theme import GRID, scaled
from playground.ui.widgets.form import Form, combo_box, line_edit, list_box, spin_box
from playground.ui.widgets.labels import CopyButton, push_button, toned
from playground.ui.widgets.layouts import STRETCH, column_of, row_of, scrolled
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import asked, button_box, fill_dialog, resize_dialog


class LogSizeDialog(QDialog):
    """New limits take effect when applied, after a preview of the rows they delete."""

    def __init__(self, log: RequestLog, workspace: AppServices, size: LogSize, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("The request log")
        self._log, self._workspace = log, workspace
        self.size_words = words(show_size(size), "strong")
        self.days = self._bound("log_keep_days", 36_500, " days", "for ever")
        self.megabytes = self._bound("log_keep_mb", 10_000_000, " MB", "no bound")
        form = Form()
        form.add("log_keep_days", "Keep requests for", self.days)
        form.add_words(words("Older ones are deleted, with their contents.", "muted"))
        form.add("log_keep_mb", "Keep the log below", self.megabytes)
        form.add_words(words("The oldest go first.", "muted"))
        self.message = words("Marked requests are never deleted by these bounds. Both are off unless you set them.")
        self.apply = push_button(
            "Apply…", clicked=lambda: workspace.tasks.start(self._apply(), "keep the log within bounds")
        )
        self.apply.setAutoDefault(False)
        self.everything = push_button("Delete all…")
        self.everything.setAutoDefault(False)
        buttons = button_box(self.close, self.apply, self.everything)
        where = CopyButton("the folder's path")
        where.set_text_to_copy(str(workspace.folder))
        place = row_of((words(f"In {workspace.folder}", "muted"), 1), where)
        fill_dialog(self, (520, 0), self.size_words, place, form, self.message, buttons, spacing=GRID)

    def _bound(self, name: str, most: int, suffix: str, none: str) -> QSpinBox:
        now = int(self._workspace.settings.number(name))
        return spin_box(0, most, now, suffix=suffix, zero=none, whole=True)

    async def _apply(self) -> None:
        days, megabytes = self.days.value(), self.megabytes.value()
        if (days or megabytes) and not await asked(
            self, "Keep the log within bounds", await self._would_delete(days, megabytes), "Apply"
        ):
            return
        self._workspace.settings.set("log_keep_days", days)
        self._workspace.settings.set("log_keep_mb", megabytes)
        deleted = await self._workspace.keep_bounds()
        self.message.setText(f"{counted(deleted, 'request')} {'was' if deleted == 1 else 'were'} deleted.")
        self.size_words.setText(show_size(await self._log.size()))

    async def _would_delete(self, days: int, megabytes: int) -> str:
        """Return what the bounds would delete now, before they do."""
        parts = []
        if days:
            before = UntilTerm(datetime.now(UTC) - timedelta(days=days))
            count = await self._log.count(LogFilter((before, IsTerm("marked", negated=True))), None)
            parts.append(f"Deletes {counted(count.n, 'request')} older than {counted(days, 'day')}, with all contents.")
        if megabytes:
            used = (await self._log.size()).used_bytes / 1_000_000
            fits = used <= megabytes
            more = "which it is now." if fits else f"of which it uses {used:,.1f} now: the oldest requests are deleted."
            parts.append(f"The log stays below {megabytes:,} MB, {more}")
        return " ".join((*parts, "Marked requests stay. The limits are applied every hour."))


def show_size(size: LogSize) -> str:
    """1,204 requests, 3 of them marked, in 5.2 MB (4.9 MB of it used)."""
    marked = f", {size.marked:,} of them marked," if size.marked else ""
    return f"{counted(size.requests, 'request')}{marked} in {_mb(size.file_bytes)} ({_mb(size.used_bytes)} of it used)."


def _mb(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB" if count >= 100_000 else f"{count / 1000:,.0f} kB"


SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Appearance", ("theme", "font_size", "show_simulator_bar")),
    ("Prompt", ("versions",)),
    ("Cache", ("cache_lifetime_s",)),
    ("Retries", ("retry", "retry_attempts", "retry_first_ms", "retry_longest_s")),
    ("Timeouts", ("connect_s", "first_byte_s", "silence_s")),
    ("Voice", ("turn_limit", "turn_limit_s")),
    ("Network", ("ca_file",)),
    ("Export", ("request_lines", "request_lines_contents", "otel_collector")),
)
OTHER = "Other"


def section_of(name: str) -> str:
    return next((title for title, names in SECTIONS if name in names), OTHER)


class SettingsDialog(QDialog):
    """Every setting that has a label, in sections. Search looks in labels and help of all sections."""

    def __init__(self, settings: Settings, parent: QWidget | None = None, *, section: str = "") -> None:
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle("Settings")
        self.form = Form()
        self.fields: dict[str, QComboBox | QSpinBox | QCheckBox | QLineEdit] = {}
        shown = [setting for setting in SETTINGS if setting.label]
        for setting in shown:
            self._add(setting)
        self.search = line_edit("Search settings", "Search settings")
        self.search.setClearButtonEnabled(True)
        used = {section_of(setting.name) for setting in shown}
        titles = (*(title for title, _ in SECTIONS), OTHER)
        self.sections = list_box("Sections", [title for title in titles if title in used])
        self.sections.setFixedWidth(scaled(150))
        self.nothing = words("No matching setting", "muted")
        self.nothing.hide()
        close = button_box(self.accept)
        self.form.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID)
        page = QWidget()
        column_of(self.form, self.nothing, STRETCH, on=page, margins=0)
        scroll = scrolled(page)
        middle = row_of(self.sections, (scroll, 1))
        column_of(self.search, (middle, 1), close, on=self, margins=GRID * 2, spacing=GRID)
        self.search.textChanged.connect(lambda _text: self._filter())
        self.sections.currentRowChanged.connect(lambda _row: self._choose_section())
        found = self.sections.findItems(section, Qt.MatchFlag.MatchExactly) if section else []
        self.sections.setCurrentItem(found[0] if found else self.sections.item(0))
        resize_dialog(self, 720, 520)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.sections.doItemsLayout()  # the sizes of the items are those before the style sheet

    def _choose_section(self) -> None:
        self.search.clear()
        self._filter()

    def _filter(self) -> None:
        wanted = self.search.text().strip().casefold()
        item = self.sections.currentItem()
        section, count = item.text() if item is not None else "", 0
        for setting in SETTINGS:
            if not setting.label:
                continue
            text = f"{setting.label} {setting.help}".casefold()
            visible = wanted in text if wanted else section_of(setting.name) == section
            self.form.set_shown(setting.name, visible)
            count += visible
        self.nothing.setVisible(not count)

    def _add(self, setting: Setting) -> None:
        field = self.fields[setting.name] = self._field(setting)
        self.form.add(setting.name, setting.label, field)
        self.form.add_words(toned(setting.help, "muted", wraps=True))

    def _field(self, setting: Setting) -> QComboBox | QSpinBox | QCheckBox | QLineEdit:
        value = self._settings.get(setting.name)
        if setting.choices:
            box = combo_box(setting.label, list(setting.choices))
            box.setCurrentText(str(value))
            box.currentTextChanged.connect(lambda text: self._set(setting.name, text))
            return box
        if isinstance(value, str):
            line = QLineEdit(value)
            line.editingFinished.connect(lambda: self._set(setting.name, line.text()))
            return line
        if isinstance(value, bool):
            switch = QCheckBox("on")
            switch.setChecked(value)
            switch.toggled.connect(lambda on: self._set(setting.name, on))
            return switch
        low, high, unit = setting.minimum or 0, setting.maximum or 0, f" {setting.unit}" if setting.unit else ""
        number = spin_box(low, high, int(self._settings.number(setting.name)), suffix=unit, whole=True)
        number.valueChanged.connect(lambda chosen: self._set(setting.name, chosen))
        return number

    def _set(self, name: str, value: str | int | bool) -> None:
        try:
            self._settings.set(name, value)
        except InputError as bad:
            self.form.show_errors(bad)
        else:
            notice = self._settings.notice
            self.form.show_errors(InputError.of((), notice) if notice else None)
