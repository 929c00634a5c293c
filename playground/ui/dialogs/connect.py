"""The endpoints: each with address, key, plan limits and rates, and a test of the connection; the field for a key."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from msgspec import Struct
from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QLabel,
    QLineEdit,
    QListWidgetItem,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QWidget,
)
from shiboken6 import isValid

from playground.client.endpoint import ELECTRON_ID, PLANS, Endpoint
from playground.export.terminal import visible
from playground.prompt.field_errors import InputError
from playground.storage.credentials import VARIABLE, Availability, CredentialStore, CredentialStoreError, takes_variable
from playground.storage.endpoints import EndpointStore
from playground.tasks import Start
from playground.ui.dialogs.endpoint_form import Draft, EndpointForm
from playground.ui.theme import GRID, restyle, scaled
from playground.ui.widgets.form import line_edit, list_box
from playground.ui.widgets.labels import push_button, show_or_hide
from playground.ui.widgets.layouts import STRETCH, FlowLayout, Panel, column_of, row_of, scrolled
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import resize_dialog

SOURCES = {
    "session": "A key is in use for this session only.",
    "key store": "A key is in this system's key store.",
    "SMALLEST_API_KEY": f"The key comes from {VARIABLE}.",
    None: "No key yet.",
}


class KeyBox(Panel):
    """Accesses the key store in tasks, without blocking the dialog. Saving the endpoint stores a pasted key."""

    changed = Signal()
    """Emitted after a key was stored or removed."""

    def __init__(self, keys: CredentialStore, start: Start) -> None:
        super().__init__("card")
        self._keys, self._start = keys, start
        self._endpoint: Endpoint | None = None
        self._found: Availability | None = None
        self.field = line_edit("API key", "Paste the API key here")
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.textEdited.connect(lambda _text: self._show_place())
        self._reveal = push_button("Show", "quiet", name="Show the key")
        self._reveal.setCheckable(True)
        self._reveal.toggled.connect(self._show_key)
        self.source = QLabel()
        self.words = QLabel("Looking for a key store…")
        self.in_store = QRadioButton("Keep it in the key store")
        self.in_store.setChecked(True)
        self.for_session = QRadioButton("Use it for this session only")
        self.remove = push_button("Remove the key", "quiet", lambda: start(self._delete(), "remove the key"))
        room = self.remove.sizePolicy()
        room.setRetainSizeWhenHidden(True)  # nothing below moves when a key comes or goes
        self.remove.setSizePolicy(room)
        self._build()
        start(self._look(), "look for a key store")

    def _build(self) -> None:
        head = row_of((self.source, 1), self.remove)
        field = row_of((self.field, 1), self._reveal)
        places = FlowLayout(GRID * 2)
        places.add_all((self.in_store, self.for_session))
        column_of(head, field, places, self.words, on=self, margins=(GRID * 2, GRID, GRID * 2, GRID + 4), spacing=GRID)
        for label in (self.source, self.words):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
        self.words.setProperty("tone", "muted")

    def _show_key(self, shown: bool) -> None:
        self.field.setEchoMode(QLineEdit.EchoMode.Normal if shown else QLineEdit.EchoMode.Password)
        self._reveal.setText("Hide" if shown else "Show")

    def show_endpoint(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._forget()
        self._show_place()
        self.source.setText("Looking for its key…")
        self.remove.hide()
        self._start(self._show_source(), "look for the key")

    async def _look(self) -> None:
        found = await self._keys.available()
        if not isValid(self):
            return  # the dialog was closed meanwhile
        self._found = found
        self.in_store.setEnabled(found.usable)
        if not found.usable:
            self.for_session.setChecked(True)
        self._show_place()

    def _show_place(self) -> None:
        self._mark("")
        if self._found is None:
            return
        own = self._endpoint is not None and takes_variable(self._endpoint, explicit=False)
        variable = f" {VARIABLE} works as well, set before the program starts." if own else ""
        self._update_text(self._found.sentence + variable, "muted")

    async def _show_source(self) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        source = await self._keys.source(endpoint)
        if not isValid(self) or endpoint is not self._endpoint:
            return
        unknown = source is None and endpoint.needs_key and self._keys.error
        self.source.setText(f"Not known whether there is a key: {unknown}" if unknown else SOURCES[source])
        self.remove.setVisible(source in ("session", "key store"))

    async def _delete(self) -> None:
        if self._endpoint is None:
            return
        try:
            await self._keys.delete(self._endpoint)
        except CredentialStoreError as error:
            if isValid(self):
                self._update_text(str(error), "failure")
            return
        if isValid(self):
            self._update_text("The key is forgotten.", "warm")
            await self._show_source()
            self.changed.emit()

    async def keep_typed(self, endpoint: Endpoint) -> bool:
        """Store the pasted key of `endpoint` in the storage selected below the field.

        Returns True if this succeeded and the dialog is still open, and for an empty field.
        """
        self._endpoint = endpoint
        if not self.field.text().strip():
            return True
        if self._found is None:
            await self._look()
            if not isValid(self):
                return False
        refusal = ""
        try:
            if self.in_store.isChecked():
                await self._keys.save(endpoint, self.field.text())
            else:
                self._keys.set_session(endpoint, self.field.text())
        except InputError as bad:
            refusal = f"{bad.problems[0].message} {bad.problems[0].hint}"
        except CredentialStoreError as error:
            refusal = str(error)
        if not isValid(self):
            return False
        if refusal:
            self._update_text(refusal[:1].upper() + refusal[1:], "failure")
            self._mark(self.words.text())
            self.field.setFocus()
            return False
        self._forget()
        self.changed.emit()
        return True

    def _mark(self, wrong: str) -> None:
        """Mark the field as invalid, visually and for screen readers; an empty message removes the mark."""
        self.field.setAccessibleDescription(wrong)
        restyle(self.field, bad=bool(wrong))

    async def forget(self, endpoint: Endpoint) -> None:
        """Forget the key of an endpoint that goes, or goes elsewhere; where the key store refuses, it stays there."""
        with contextlib.suppress(CredentialStoreError):
            await self._keys.delete(endpoint)

    def _forget(self) -> None:
        self.field.clear()
        self._reveal.setChecked(False)

    def _update_text(self, sentence: str, tone: str) -> None:
        self.words.setText(sentence)
        restyle(self.words, tone=tone)


NEW_ID = "new"
NEW = Endpoint(NEW_ID, "", "", model="", needs_key=False, plan=PLANS["none"])
ROW_PX = 28


class ProbeResult(Struct, frozen=True):
    """The result of a test: what to show, and the models that the server offers."""

    ok: bool
    text: str
    models: tuple[str, ...] = ()
    context_length: int | None = None
    """Of the endpoint's model, if the server reports it."""


Probe = Callable[[Endpoint, "str | None"], Awaitable[ProbeResult]]
"""Tests an endpoint; a typed key, or None for the kept one."""


class ConnectDialog(QDialog):
    """Nothing is changed until it is saved; bad input is answered at its field."""

    chosen = Signal(str)
    """The id of the endpoint to send to from now on."""
    changed = Signal()
    """An endpoint or a key has changed."""

    def __init__(
        self,
        endpoints: EndpointStore,
        keys: CredentialStore,
        start: Start,
        parent: QWidget | None = None,
        *,
        shown: str = ELECTRON_ID,
        probe: Probe | None = None,
    ) -> None:
        """`shown`: the id of the endpoint to open at. `probe` asks a server for its models, for Test connection."""
        super().__init__(parent)
        self._endpoints, self._start, self._probe = endpoints, start, probe
        self._shown: Endpoint = endpoints.get(shown)
        self._drafts: dict[str, Draft] = {}
        self._as_kept: Draft = ()
        self._removing = self._testing = False
        self.setWindowTitle("Endpoints")
        self.list = list_box("Endpoints")
        self.list.setFixedWidth(scaled(200))
        self.form = EndpointForm()
        self.key = KeyBox(keys, start)
        self.add = QPushButton("Add…")
        self.remove = QPushButton("Remove")
        self.use = push_button("Save and use", "primary")
        self.use.setDefault(True)
        self._cancel = QPushButton("Cancel")
        self.test = QPushButton("Test connection")
        self.test.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.tested = words("", "muted")
        self.tested.hide()
        self._build()
        self._connect()
        self._fill(self._shown.id)
        (self.key.field if self._shown.needs_key else self.form.name).setFocus()
        resize_dialog(self, 860, 640)

    def _build(self) -> None:
        left = column_of((self.list, 1), row_of(self.add, self.remove))
        page = QWidget()
        test = row_of((self.test, 0, Qt.AlignmentFlag.AlignLeft), (self.tested, 1))
        column_of(self.form, self.key, test, STRETCH, on=page, margins=GRID * 2, spacing=GRID * 2)
        top = row_of(left, (scrolled(page), 1), spacing=GRID * 2)
        bottom = row_of(STRETCH, self._cancel, self.use)
        column_of((top, 1), bottom, on=self, margins=GRID * 2, spacing=GRID * 2)

    def _connect(self) -> None:
        self.list.currentItemChanged.connect(self._show_item)
        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(self._remove)
        self.use.clicked.connect(self._use)
        self._cancel.clicked.connect(self.reject)
        self.test.clicked.connect(self._test)
        self.test.setVisible(self._probe is not None)
        self.form.needs_key.toggled.connect(self.key.setVisible)
        self.key.changed.connect(self.changed)

    def _fill(self, chosen: str) -> None:
        with QSignalBlocker(self.list):
            self.list.clear()
            for endpoint in (*self._endpoints.all(), *([NEW] if NEW_ID in (chosen, *self._drafts) else [])):
                item = QListWidgetItem(endpoint.name or "New endpoint", self.list)
                item.setSizeHint(QSize(0, scaled(ROW_PX)))
                item.setData(Qt.ItemDataRole.UserRole, endpoint.id)
                if endpoint.id == chosen:
                    self.list.setCurrentItem(item)
        self._show(self._endpoint(chosen))

    def _endpoint(self, endpoint_id: str) -> Endpoint:
        return NEW if endpoint_id == NEW_ID else self._endpoints.get(endpoint_id)

    def _show_item(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self._set_aside()
            self._show(self._endpoint(str(item.data(Qt.ItemDataRole.UserRole))))

    def _set_aside(self) -> None:
        """Store the form input of the previously selected endpoint."""
        typed = self.form.draft()
        if typed != self._as_kept:
            self._drafts[self._shown.id] = typed
        else:
            self._drafts.pop(self._shown.id, None)

    def _test(self) -> None:
        if self._testing:
            return
        try:
            edited = self.form.edited(self._shown)
        except InputError as bad:
            self.form.show_errors(bad)
            return
        self._testing = True  # the button is not disabled: the focus would go to Cancel
        self._show_tested("Connecting…", "muted")
        self._start(self._tested(edited, self.key.field.text().strip() or None), "test a connection")

    async def _tested(self, endpoint: Endpoint, typed_key: str | None) -> None:
        assert self._probe is not None, "the button is hidden without a probe"
        result = await self._probe(endpoint, typed_key)
        if not isValid(self):
            return  # closed meanwhile
        self._testing = False
        if endpoint.id != self._shown.id:
            return
        self._show_tested(result.text, "warm" if result.ok else "failure")
        self.form.offer_models(result.models)
        self.form.offer_context(result.context_length)

    def _show_tested(self, text: str, tone: str) -> None:
        show_or_hide(self.tested, visible(text))
        restyle(self.tested, tone=tone)

    def _show(self, endpoint: Endpoint) -> None:
        self._shown = endpoint
        self._show_tested("", "muted")
        self.form.offer_models(())
        self.form.show_endpoint(endpoint)
        self._as_kept = self.form.draft()
        if endpoint.id in self._drafts:
            self.form.put_back(self._drafts[endpoint.id])
        self.key.setVisible(self.form.needs_key.isChecked())
        self.key.show_endpoint(endpoint)
        self._ask_before_removing(False)
        self.remove.setEnabled(endpoint.kind == "other" and endpoint.id != NEW_ID)

    def _add(self) -> None:
        """Open a form for a new endpoint, which is added when it is saved."""
        self._set_aside()
        self._drafts.pop(NEW_ID, None)
        self._fill(NEW_ID)  # without a current row, the list would choose its first one when it takes the focus
        self.form.name.setFocus()

    def _ask_before_removing(self, asking: bool) -> None:
        self._removing = asking
        self.remove.setText("Really remove" if asking else "Remove")
        self.remove.setToolTip("Press again to remove it with its key" if asking else "")
        restyle(self.remove, look="stop" if asking else "")

    def _remove(self) -> None:
        if not self._removing:
            self._ask_before_removing(True)
            return
        gone = self._shown
        try:
            self._endpoints.remove(gone.id)
        except InputError as bad:
            self._ask_before_removing(False)
            self.form.show_errors(bad)
            return
        self._drafts.pop(gone.id, None)
        self._start(self.key.forget(gone), "forget the endpoint's key")
        self._fill(ELECTRON_ID)
        self.changed.emit()

    def _use(self) -> None:
        self._set_aside()
        if not self._keep_others():
            return
        kept = self._keep(self._shown)
        if kept is None:
            return
        self._shown = kept
        self.use.setEnabled(False)
        self._start(self._keep_key(kept), "keep the key")

    def _keep_others(self) -> bool:
        """Store the form input of previously selected endpoints; select the first invalid one and show its errors."""
        shown, typed = self._shown, self.form.draft()
        for endpoint_id in [each for each in self._drafts if each not in (shown.id, NEW_ID)]:
            other = self._endpoints.get(endpoint_id)
            self.form.show_endpoint(other)
            self.form.put_back(self._drafts[endpoint_id])
            if self._keep(other) is None:
                self._drafts[shown.id] = typed
                self._fill(endpoint_id)
                self._keep(self._shown)  # shows the errors
                return False
        self.form.show_endpoint(shown)
        self.form.put_back(typed)
        return True

    def _keep(self, endpoint: Endpoint) -> Endpoint | None:
        """Store the form's endpoint and return it; on invalid input, show the errors and return None."""
        try:
            edited = self.form.edited(endpoint)
            kept = self._endpoints.add(edited) if edited.id == NEW_ID else self._endpoints.change(edited)
        except InputError as bad:
            self.form.show_errors(bad)
            return None
        self._drafts.pop(endpoint.id, None)
        if endpoint.id == kept.id and endpoint.base_url != kept.base_url:
            self._start(self.key.forget(endpoint), "forget the old address's key")
        self.changed.emit()
        return kept

    async def _keep_key(self, endpoint: Endpoint) -> None:
        """Store the key in the field for the saved endpoint, then close the dialog."""
        kept = not endpoint.needs_key or await self.key.keep_typed(endpoint)
        if not isValid(self):
            return  # closed meanwhile
        self.use.setEnabled(True)
        if not kept:
            self._as_kept = self.form.draft()
            return
        self._fill(endpoint.id)
        self.chosen.emit(endpoint.id)
        self.accept()
