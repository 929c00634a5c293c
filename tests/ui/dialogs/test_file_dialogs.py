"""Where to open from and save to."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from playground.ui.widgets.task_dialog import ask_open, ask_save


def test_ask_save_another_filter_changes_the_suffix(qtbot: QtBot, tmp_path: Path) -> None:
    taken: list[Path] = []
    suffixes = {"Web page (*.html)": "html", "Markdown (*.md)": "md"}
    dialog = ask_save(None, "Export the request", suffixes, taken.append, "request.html")
    assert (dialog.defaultSuffix(), dialog.selectedFiles()[0].rpartition("/")[2]) == ("html", "request.html")
    dialog.filterSelected.emit("Markdown (*.md)")
    assert dialog.defaultSuffix() == "md"
    dialog.fileSelected.emit(str(tmp_path / "request.md"))
    assert taken == [tmp_path / "request.md"]
    dialog.reject()


def test_ask_open_takes_an_existing_file(qtbot: QtBot, tmp_path: Path) -> None:
    taken: list[Path] = []
    dialog = ask_open(None, "Import requests", "Exported requests (*.jsonl *.har);;All files (*)", taken.append)
    assert dialog.fileMode() == dialog.FileMode.ExistingFile
    assert dialog.nameFilters() == ["Exported requests (*.jsonl *.har)", "All files (*)"]
    dialog.fileSelected.emit(str(tmp_path / "some.jsonl"))
    assert taken == [tmp_path / "some.jsonl"]
    dialog.reject()
