"""Connect to Electron: all endpoints, each with its own address, key, plan limits and rates."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from playground.client.endpoint import ELECTRON_ID, PLANS, Endpoint
from playground.endpoints import EndpointBook
from playground.keystore import KeyStore
from playground.prompt.problems import BadInput
from playground.ui.dialogs.endpoint_form import EndpointForm
from playground.ui.dialogs.key_box import KeyBox, Start
from playground.ui.theme import GRID

NEW_ID = "new"


class ConnectDialog(QDialog):
    """Nothing is changed until it is saved; bad input is answered at its field."""

    chosen = Signal(str)
    """The id of the endpoint to send to from now on."""
    changed = Signal()
    """An endpoint or a key has changed."""

    def __init__(self, endpoints: EndpointBook, keys: KeyStore, start: Start, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._endpoints, self._start = endpoints, start
        self._shown: Endpoint = endpoints.get(ELECTRON_ID)
        self.setWindowTitle("Connect to Electron")
        self.list = QListWidget()
        self.list.setAccessibleName("Endpoints")
        self.list.setFixedWidth(180)
        self.form = EndpointForm()
        self.key = KeyBox(keys, start)
        self.add = QPushButton("Add…")
        self.remove = QPushButton("Remove")
        self.use = QPushButton("Save and use")
        self.use.setProperty("look", "primary")
        self.use.setDefault(True)
        self._cancel = QPushButton("Cancel")
        self._build()
        self._connect()
        self._fill(ELECTRON_ID)
        self.resize(860, 640)

    def _build(self) -> None:
        left = QVBoxLayout()
        left.addWidget(self.list, 1)
        row = QHBoxLayout()
        row.addWidget(self.add)
        row.addWidget(self.remove)
        left.addLayout(row)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(GRID, 0, GRID, 0)
        column.addWidget(self.form)
        column.addWidget(self.key)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(page)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        top = QHBoxLayout()
        top.setSpacing(GRID * 2)
        top.addLayout(left)
        top.addWidget(scroll, 1)
        bottom = QHBoxLayout()
        bottom.addStretch(1)
        bottom.addWidget(self._cancel)
        bottom.addWidget(self.use)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        whole.setSpacing(GRID * 2)
        whole.addLayout(top, 1)
        whole.addLayout(bottom)

    def _connect(self) -> None:
        self.list.currentItemChanged.connect(self._show_item)
        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(self._remove)
        self.use.clicked.connect(self._use)
        self._cancel.clicked.connect(self.reject)
        self.form.needs_key_changed.connect(self.key.setVisible)
        self.key.changed.connect(self.changed)

    def _fill(self, chosen: str) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        for endpoint in self._endpoints.all():
            item = QListWidgetItem(endpoint.name)
            item.setData(Qt.ItemDataRole.UserRole, endpoint.id)
            self.list.addItem(item)
            if endpoint.id == chosen:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        self._show(self._endpoints.get(chosen))

    def _show_item(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self._show(self._endpoints.get(str(item.data(Qt.ItemDataRole.UserRole))))

    def _show(self, endpoint: Endpoint) -> None:
        self._shown = endpoint
        self.form.show_endpoint(endpoint)
        self.key.setVisible(endpoint.needs_key)
        self.key.show_endpoint(endpoint)
        self.remove.setEnabled(endpoint.kind == "other" and endpoint.id != NEW_ID)
        if endpoint.needs_key:
            self.key.field.setFocus()

    def _add(self) -> None:
        """A form for a new endpoint; it is added when it is saved."""
        self.list.clearSelection()
        self._show(Endpoint(NEW_ID, "", "", model="", needs_key=False, plan=PLANS["none"]))

    def _remove(self) -> None:
        # Its key first: afterwards nothing here would know the name it is kept under.
        self._start(self.key.forget(self._shown), "forget the endpoint's key")
        self._endpoints.remove(self._shown.id)
        self._fill(ELECTRON_ID)
        self.changed.emit()

    def _use(self) -> None:
        try:
            edited = self.form.edited(self._shown)
            kept = self._endpoints.add(edited) if edited.id == NEW_ID else self._endpoints.change(edited)
        except BadInput as bad:
            self.form.say(bad)
            return
        if self._shown.id == kept.id and self._shown.base_url != kept.base_url:
            self._start(self.key.forget(self._shown), "forget the old address's key")
        self._shown = kept
        self.changed.emit()
        self._start(self._keep_key(kept), "keep the key")

    async def _keep_key(self, endpoint: Endpoint) -> None:
        """What is in the key field belongs to the saved endpoint; only then is the dialog done."""
        if endpoint.needs_key and not await self.key.keep_typed(endpoint):
            return
        self.chosen.emit(endpoint.id)
        self.accept()
