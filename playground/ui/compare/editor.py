"""Dialog that edits one column: its prompt in the editor of Prompt mode, its name, endpoint and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from playground.client.endpoint import Endpoint
from playground.experiments.comparison import Variant
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.theme import GRID, Theme


class VariantDialog(QDialog):
    """Cancel changes nothing."""

    chosen = Signal(object)
    """The edited Variant."""

    def __init__(
        self, theme: Theme, letter: str, variant: Variant, endpoints: Sequence[Endpoint], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Edit column {letter}")
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self.name = QLineEdit(variant.document.name)
        self.name.setAccessibleName("Name of the column")
        self.endpoint = QComboBox()
        self.endpoint.setAccessibleName("Endpoint")
        for endpoint in endpoints:
            self.endpoint.addItem(endpoint.name, endpoint.id)
        self.endpoint.setCurrentIndex(max(self.endpoint.findData(variant.endpoint.id), 0))
        self.model = QLineEdit(variant.endpoint.model)
        self.model.setAccessibleName("Model")
        self.endpoint.activated.connect(lambda _index: self.model.setText(self._endpoint().model))
        self.pane = PromptPane(theme)
        self.pane.set_document(variant.document)
        self.pane.set_model(variant.endpoint.model)
        self.pane.complete()
        self.model.textChanged.connect(self.pane.set_model)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        for label, field in (("Name", self.name), ("Endpoint", self.endpoint), ("Model", self.model)):
            row.addWidget(QLabel(label))
            row.addWidget(field, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.addLayout(row)
        column.addWidget(self.pane, 1)
        column.addWidget(buttons)
        self.resize(900, 640)

    def _endpoint(self) -> Endpoint:
        return self._endpoints[self.endpoint.currentData()]

    def _accept(self) -> None:
        endpoint = self._endpoint()
        model = self.model.text().strip() or endpoint.model
        document = replace(self.pane.document(), name=self.name.text().strip())
        self.chosen.emit(Variant(document, replace(endpoint, model=model)))
        self.accept()
