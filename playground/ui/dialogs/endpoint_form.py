"""One endpoint's address, model, plan limits and rates."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QCompleter, QLabel, QLineEdit, QSpinBox, QWidget

from playground.client import endpoint
from playground.client.endpoint import (
    CONTEXT_SOURCES,
    ELECTRON_BASE_URL,
    PLANS,
    PUBLISHED_RATES,
    ContextSource,
    Endpoint,
    PlanLimits,
    Rates,
)
from playground.client.models import PRESETS, EndpointPreset, preset_for
from playground.prompt.field_errors import InputError
from playground.ui.widgets.form import Form, combo_box, spin_box
from playground.ui.widgets.labels import show_or_hide, toned
from playground.ui.widgets.layouts import FlowLayout
from playground.ui.widgets.notice import words

CUSTOM = "Custom"
OFFERED = tuple(preset for preset in PRESETS if preset.base_url != ELECTRON_BASE_URL)
"""Servers that a new endpoint can be filled in from; Electron is built in."""
URL_HINT = "https://… or http://127.0.0.1:8080/v1"

EXPOSED = (
    "Plain http to another computer would expose the key, so no request with a key is sent there. "
    "Use https, or switch off “needs a key”."
)

Draft = tuple[object, ...]
"""Raw text of the form fields."""


class EndpointForm(Form):
    def __init__(self) -> None:
        super().__init__()
        self.name, self.base_url, self.model = QLineEdit(), QLineEdit(), QLineEdit()
        self.needs_key = QCheckBox("needs a key")
        self.needs_key.toggled.connect(self._show_exposed)
        self.base_url.textChanged.connect(self._show_exposed)
        self.exposed = words(EXPOSED, "variable")
        self.exposed.hide()
        self._plan = combo_box("Plan limits", [*(plan.name for plan in PLANS.values()), CUSTOM])
        self._plan.currentTextChanged.connect(self._plan_chosen)
        self._per_minute = _limit(100_000, "Requests per minute")
        self._in_flight = _limit(1_000, "Requests in parallel")
        self.context = _limit(100_000_000, "Context length in tokens", "not known", 120)
        self.context.setGroupSeparatorShown(True)
        self.context.valueChanged.connect(lambda _value: self._set_context_source("set"))
        self.context_source = toned("", "muted")
        self._context_source: ContextSource = ""
        self.server = words("", "muted")
        for field in (self.base_url, self.model):
            field.textEdited.connect(lambda _text: self._forget_context())
        self.base_url.textChanged.connect(lambda _text: self._show_server())
        self.preset = combo_box("Server", [CUSTOM, *(preset.name for preset in OFFERED)])
        self.preset.activated.connect(self._fill_from_preset)
        self.rates = {name: QLineEdit() for name in ("fresh", "cached", "output")}
        self._source = toned("", "muted", wraps=True)
        self._build()

    def _build(self) -> None:
        self.add("preset", "Server", self.preset)
        self.add("name", "Name", self.name)
        self.add("base_url", "Base URL", self.base_url)
        self.add("model", "Model", self.model)
        self.add("context_tokens", "Context length", _beside(self.context, QLabel("tokens"), self.context_source))
        self.add("needs_key", "Key", self.needs_key)
        self.add_words(self.server)
        self.add_words(self.exposed)
        self.add(
            "plan",
            "Plan limits",
            _beside(self._plan, self._per_minute, QLabel("per minute,"), self._in_flight, QLabel("in parallel")),
        )
        for name, field in self.rates.items():
            field.setPlaceholderText("not priced")
            field.textEdited.connect(lambda _text: self._show_source())
            self.add(f"rates.{name}", f"{name.capitalize()} rate, $", field)
        self.add_words(self._source)

    def offer_models(self, models: Sequence[str]) -> None:
        completer = QCompleter(list(models), self.model)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        self.model.setCompleter(completer)
        self.model.setPlaceholderText(", ".join(models[:3]))
        if models and not self.model.text().strip():
            self.model.setText(models[0])

    def offer_context(self, tokens: int | None) -> None:
        """Fill in the context length that the server reports, unless one is set."""
        if tokens and (not self.context.value() or self._context_source in ("models", "learned")):
            self._show_context(tokens, "models")

    def _show_context(self, tokens: int | None, source: ContextSource) -> None:
        self.context.setValue(tokens or 0)
        self._set_context_source(source)

    def _set_context_source(self, source: ContextSource) -> None:
        self._context_source = source if self.context.value() else ""
        self.context_source.setText(CONTEXT_SOURCES.get(self._context_source, ""))

    def _forget_context(self) -> None:
        """Clear a context length that another server or model reported."""
        if self._context_source in ("models", "learned"):
            self._show_context(None, "")

    def _show_server(self) -> None:
        preset = preset_for(self.base_url.text().strip().rstrip("/"))
        show_or_hide(self.server, server_words(preset) if preset is not None else "")

    def _fill_from_preset(self, index: int) -> None:
        if index < 1:
            return
        preset = OFFERED[index - 1]
        for field, text in ((self.name, preset.name), (self.base_url, preset.base_url), (self.model, preset.model)):
            field.setText(text)
        self.needs_key.setChecked(preset.needs_key)
        self._show_context(preset.context_length, "documented")

    def show_endpoint(self, endpoint: Endpoint) -> None:
        """Show an endpoint; the fixed fields of a built-in endpoint are read-only."""
        self.show_errors(None)
        own = endpoint.kind == "other"
        self.name.setText(endpoint.name)
        self.base_url.setText(endpoint.base_url)
        self.base_url.setPlaceholderText(URL_HINT if own else "known once the simulator runs")
        self.model.setText(endpoint.model)
        for field in (self.name, self.base_url, self.context):
            field.setReadOnly(not own)
            field.setEnabled(own)
        self._show_context(endpoint.context_tokens, endpoint.context_source)
        self.preset.setEnabled(own)
        self.preset.setItemText(0, CUSTOM if own else endpoint.name)
        known = next((n for n, preset in enumerate(OFFERED, 1) if preset.base_url == endpoint.base_url), 0)
        self.preset.setCurrentIndex(known)
        self.needs_key.setChecked(endpoint.needs_key)
        self.needs_key.setEnabled(own)
        self._show_plan(endpoint.plan)
        for name, field in self.rates.items():
            field.setText(_rate_text(getattr(endpoint.rates, name)))
        self._show_source()

    def draft(self) -> Draft:
        """Return the raw field texts, including invalid ones."""
        texts = tuple(field.text() for field in self._texts())
        limits = (self._plan.currentText(), self._per_minute.value(), self._in_flight.value())
        return (*texts, self.needs_key.isChecked(), *limits, self.context.value(), self._context_source)

    def put_back(self, draft: Draft) -> None:
        """Show again what `draft` gave, over the endpoint that it was typed for."""
        *texts, needs_key, plan, per_minute, in_flight, context, source = draft
        for field, text in zip(self._texts(), texts, strict=True):
            field.setText(str(text))
        self.needs_key.setChecked(bool(needs_key))
        self._plan.setCurrentText(str(plan))
        for box, value in ((self._per_minute, per_minute), (self._in_flight, in_flight), (self.context, context)):
            box.setValue(int(str(value)))
        self._set_context_source(next((known for known in CONTEXT_SOURCES if known == source), ""))
        self._show_source()

    def _texts(self) -> tuple[QLineEdit, ...]:
        return (self.name, self.base_url, self.model, *self.rates.values())

    def _show_plan(self, plan: PlanLimits) -> None:
        known = next((known.name for known in PLANS.values() if known == plan), CUSTOM)
        self._plan.setCurrentText(known)
        self._show_limits(plan)
        self._plan_chosen(known)

    def _show_limits(self, plan: PlanLimits) -> None:
        self._per_minute.setValue(plan.requests_per_minute or 0)
        self._in_flight.setValue(plan.in_flight or 0)

    def _plan_chosen(self, name: str) -> None:
        plan = _published(name)
        for box in (self._per_minute, self._in_flight):
            box.setEnabled(plan is None)
        if plan is not None:
            self._show_limits(plan)

    def _show_exposed(self) -> None:
        """Said while it is typed, and not only when a request is refused for it."""
        self.exposed.setVisible(self.needs_key.isChecked() and _exposes_key(self.base_url.text()))

    def _show_source(self) -> None:
        shown = tuple(field.text().strip() for field in self.rates.values())
        published = tuple(_rate_text(getattr(PUBLISHED_RATES, name)) for name in self.rates)
        said = "Dollars per million tokens. An empty rate means not priced."
        if shown == published:
            said = f"These are from {PUBLISHED_RATES.source}; ask your account manager for yours. {said}"
        self._source.setText(said)

    def edited(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint` with what the form says. Raises InputError for a rate that is not a number."""
        return replace(
            endpoint,
            name=self.name.text(),
            base_url=self.base_url.text() if endpoint.kind == "other" else endpoint.base_url,
            model=self.model.text(),
            needs_key=self.needs_key.isChecked(),
            plan=self._chosen_plan(),
            rates=self._chosen_rates(endpoint.rates),
            context_tokens=self.context.value() or None,
            context_source=self._context_source,
        )

    def _chosen_plan(self) -> PlanLimits:
        plan = _published(self._plan.currentText())
        return plan or PlanLimits(CUSTOM, self._per_minute.value() or None, self._in_flight.value() or None)

    def _chosen_rates(self, before: Rates) -> Rates:
        fresh, cached, output = (_rate(name, field.text()) for name, field in self.rates.items())
        same = (fresh, cached, output) == (before.fresh, before.cached, before.output)
        return before if same else Rates(fresh, cached, output, "set by you")


def server_words(preset: EndpointPreset) -> str:
    """Return the known facts about a server: its key variable, the header of its request ids, its cached tokens."""
    key = f"Key usually in {preset.key_variable}. " if preset.key_variable else "No key needed. "
    header = f"Request id in {preset.request_id_header}" if preset.request_id_header else "No request id"
    cached = preset.cached_tokens_field
    return f"{key}{header}; {f'cached tokens in {cached}' if cached else 'cached tokens not reported'}."


def _published(name: str) -> PlanLimits | None:
    return next((plan for plan in PLANS.values() if plan.name == name), None)


_THOUSANDS = re.compile(r",\d{3}(?!\d)|,.*[,.]|[.].*,")


def _rate_text(rate: float | None) -> str:
    """Format a rate with every digit, so that one that is not edited is read back as the same number."""
    return "" if rate is None else repr(float(rate)).removesuffix(".0")


def _rate(name: str, text: str) -> float | None:
    text = text.strip().removeprefix("$")
    if not text:
        return None
    if _THOUSANDS.search(text):
        raise _no_rate(
            name, f"{text!r} could be a thousand or a decimal.", "Write a point for the decimals: 1000 or 1.000."
        )
    try:
        rate = float(text.replace(",", "."))
    except ValueError:
        raise _no_rate(name, f"{text!r} is not a number.") from None
    if not 0 <= rate < math.inf:
        raise _no_rate(name, f"{text!r} is no price.")
    return rate


def _no_rate(name: str, message: str, hint: str = "Write it as 0.40, or leave it empty.") -> InputError:
    return InputError.of(("rates", name), message, hint)


def _exposes_key(typed: str) -> bool:
    try:
        return endpoint.exposes_key(typed.strip())
    except ValueError:  # half an IPv6 address, say
        return False


def _limit(most: int, name: str, zero: str = "no limit", width: int = 84) -> QSpinBox:
    box = spin_box(0, most, 0, name, zero=zero)
    box.setFixedWidth(width)
    return box


def _beside(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    row = FlowLayout()
    row.add_all(widgets)
    holder.setLayout(row)
    return holder
