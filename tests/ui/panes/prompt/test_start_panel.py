"""The panel of an empty prompt: each button names and starts its action, and recent files are listed as chosen."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from playground.ui.actions import ACTIONS
from playground.ui.panes.prompt.start_panel import MOST_FILES, StartPanel


def test_start_panel_each_button_starts_the_action_that_it_names(qtbot: QtBot) -> None:
    panel = StartPanel()
    qtbot.addWidget(panel)
    started: list[str] = []
    panel.action.connect(started.append)
    buttons = panel.findChildren(QPushButton)
    for button in buttons:
        button.click()
    assert [button.text() for button in buttons] == [
        *("Open sample", "Open", "Open"),
        *("Open…", "Paste curl or JSON", "Import…"),
    ]
    assert started == ["sample", "tools_sample", "broken_sample", "open", "paste_prompt", "import_log"]
    assert set(started) <= {spec.id for spec in ACTIONS}
    assert [button.accessibleName() for button in buttons[:3]] == [
        "Open sample: Voice agent",
        "Open: Tool-calling agent",
        "Open: Broken prefix",
    ]
    assert [button.property("look") == "primary" for button in buttons] == [True] + [False] * 5


def test_start_panel_lists_the_newest_files_once_and_opens_the_one_that_is_clicked(qtbot: QtBot) -> None:
    panel = StartPanel()
    qtbot.addWidget(panel)
    chosen: list[Path] = []
    panel.file_chosen.connect(chosen.append)
    files = [Path(f"/folder/{number} & more.json") for number in range(MOST_FILES + 2)]
    panel.show_files(files)
    links = [button for button in panel.findChildren(QPushButton) if button.property("look") == "link"]
    assert [link.toolTip().count("more.json") for link in links] == [1] * MOST_FILES
    assert [link.text().replace("&&", "&") for link in links] == [
        f"{file.name}   /folder" for file in files[:MOST_FILES]
    ]
    for link in links:
        link.click()
    assert chosen == files[:MOST_FILES]


def test_start_panel_has_its_first_button_in_the_room_of_a_low_window(qtbot: QtBot) -> None:
    panel = StartPanel()
    qtbot.addWidget(panel)
    panel.resize(430, panel.minimumSizeHint().height())
    panel.show()
    button = panel.findChildren(QPushButton)[0]
    assert button.mapTo(panel, button.rect().bottomLeft()).y() < 80  # what 900 by 600 pixels leave for the panel
