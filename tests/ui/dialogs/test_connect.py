"""Connect to Electron: endpoints are added, changed and removed, each with the key that belongs to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import keyring
import pytest
from keyring.backends import fail
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from playground.cli.selftest import UiDriver
from playground.client.endpoint import CONTEXT_SOURCES, ELECTRON_ID, SIMULATOR_ID, Endpoint, Rates
from playground.client.errors import exposed_key_error
from playground.storage.credentials import CredentialStore
from playground.storage.endpoints import EndpointStore
from playground.ui.dialogs.connect import ConnectDialog, ProbeResult
from tests.conftest import Entered
from tests.storage.test_credentials import KEY, MemoryKeyring
from tests.ui.dialogs.conftest import OpenDialog

URL = "http://127.0.0.1:8080/v1"


@pytest.fixture
def hand(dialog: Entered[ConnectDialog]) -> Entered[UiDriver]:
    """What works in the dialog of the test."""

    @asynccontextmanager
    async def driver() -> AsyncIterator[UiDriver]:
        yield UiDriver(dialog.value, None)

    return Entered(driver())


def _choose(dialog: ConnectDialog, name: str) -> None:
    (item,) = dialog.list.findItems(name, Qt.MatchFlag.MatchStartsWith)
    dialog.list.setCurrentItem(item)


def _add(dialog: ConnectDialog, name: str = "Mine", url: str = URL, *, key: str = "") -> None:
    dialog.add.click()
    dialog.form.name.setText(name)
    dialog.form.base_url.setText(url)
    dialog.form.model.setText("some-model")
    dialog.form.needs_key.setChecked(bool(key))
    dialog.key.field.setText(key)


async def _use(dialog: ConnectDialog, hand: UiDriver) -> str:
    chosen: list[str] = []
    dialog.chosen.connect(chosen.append)
    dialog.use.click()
    await hand.until(lambda: bool(chosen), "an endpoint that is chosen")
    return chosen[0]


async def test_a_new_endpoint_begins_empty(dialog: ConnectDialog) -> None:
    dialog.add.click()
    assert (dialog.form.name.text(), dialog.form.base_url.text(), dialog.form.model.text()) == ("", "", "")


async def test_new_endpoint_preset_fills_the_form_and_context_length_is_saved(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore
) -> None:
    dialog.add.click()
    form = dialog.form
    form.preset.setCurrentText("vLLM")
    form.preset.activated.emit(form.preset.currentIndex())
    assert (form.base_url.text(), form.needs_key.isChecked()) == ("http://localhost:8000/v1", False)
    assert form.context.text() == "not known"
    form.model.setText("qwen")
    form.offer_context(131_072)
    assert form.context.value() == 131_072
    assert form.context_source.text() == CONTEXT_SOURCES["models"]
    endpoint = book.get(await _use(dialog, hand))
    assert (endpoint.name, endpoint.context_tokens, endpoint.context_source) == ("vLLM", 131_072, "models")


async def test_context_length_that_the_user_typed_is_not_replaced_by_the_models_list(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore
) -> None:
    _add(dialog)
    dialog.form.context.setValue(16_384)
    dialog.form.offer_context(8_192)
    endpoint = book.get(await _use(dialog, hand))
    assert (endpoint.context_tokens, endpoint.context_source) == (16_384, "set")


async def test_learned_context_length_shows_its_source_and_is_cleared_for_another_model(
    open_dialog: OpenDialog, book: EndpointStore
) -> None:
    added = book.add(Endpoint("", "Local", URL, "some-model", needs_key=False))
    book.learn_context(added, 8_192)
    dialog = open_dialog()
    hand = UiDriver(dialog, None)
    _choose(dialog, "Local")
    assert dialog.form.context_source.text() == CONTEXT_SOURCES["learned"]
    dialog.form.model.setFocus()
    QTest.keyClicks(dialog.form.model, "-2")
    assert (dialog.form.context.value(), dialog.form.context_source.text()) == (0, "")
    endpoint = book.get(await _use(dialog, hand))
    assert (endpoint.model, endpoint.context_tokens, endpoint.context_source) == ("some-model-2", None, "")


async def test_known_server_names_its_key_variable_request_id_and_cached_tokens(dialog: ConnectDialog) -> None:
    dialog.add.click()
    dialog.form.base_url.setText("https://api.deepseek.com/v1")
    text = dialog.form.server.text()
    assert all(word in text for word in ("DEEPSEEK_API_KEY", "x-ds-trace-id", "prompt_cache_hit_tokens"))
    dialog.form.base_url.setText("http://localhost:8080/v1")
    assert dialog.form.server.text().startswith("No key needed. No request id; cached tokens in timings.cache_n")
    dialog.form.base_url.setText("https://example.org/v1")
    assert not dialog.form.server.isVisibleTo(dialog)


async def test_models_of_the_server_fill_an_empty_model_field(dialog: ConnectDialog) -> None:
    dialog.add.click()
    dialog.form.offer_models(("qwen", "llama"))
    assert dialog.form.model.text() == "qwen"
    dialog.form.offer_models(("llama",))
    assert dialog.form.model.text() == "qwen"


async def test_built_in_endpoint_context_length_and_server_are_fixed(dialog: ConnectDialog) -> None:
    _choose(dialog, "Electron")
    assert dialog.form.context.value() == 32_768
    assert not dialog.form.context.isEnabled()
    assert not dialog.form.preset.isEnabled()
    assert dialog.form.preset.currentText() == dialog.form.name.text()


async def test_a_new_endpoint_has_its_own_key(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore, store: MemoryKeyring
) -> None:
    _add(dialog, key=KEY)
    endpoint = book.get(await _use(dialog, hand))
    assert (endpoint.name, endpoint.base_url, endpoint.needs_key) == ("Mine", URL, True)
    assert list(store.kept.values()) == [KEY]
    assert await CredentialStore({}).source(endpoint) == "key store"


async def test_a_key_pasted_at_once_goes_to_the_key_store(
    dialog: ConnectDialog, hand: UiDriver, store: MemoryKeyring
) -> None:
    """Not known yet whether there is a store: that is waited for, the key is not quietly kept for less time."""
    dialog.key.field.setText(KEY)
    assert await _use(dialog, hand) == ELECTRON_ID
    assert list(store.kept.values()) == [KEY]


async def test_another_address_does_not_get_the_key_of_the_old_one(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore, store: MemoryKeyring
) -> None:
    _add(dialog, key=KEY)
    kept = await _use(dialog, hand)
    dialog.show()
    _choose(dialog, "Mine")
    dialog.form.base_url.setText("http://127.0.0.1:9090/v1")
    await _use(dialog, hand)
    await hand.until(lambda: not store.kept, "the old address's key forgotten")
    assert await CredentialStore({}).source(book.get(kept)) is None


async def test_bad_input_is_answered_at_its_field_and_nothing_is_kept(
    dialog: ConnectDialog, book: EndpointStore
) -> None:
    before = book.all()
    for field, bad in (("name", ""), ("base_url", "not a url"), ("model", " ")):
        _add(dialog)
        getattr(dialog.form, field).setText(bad)
        dialog.use.click()
        assert dialog.form.sentence(field) != ""
        assert dialog.isVisible()
    _add(dialog)
    dialog.form.rates["fresh"].setText("cheap")
    dialog.use.click()
    assert "not a number" in dialog.form.sentence("rates.fresh")
    for text in ("1,000", "1.000,5", "-1", "inf", "nan"):
        dialog.form.rates["fresh"].setText(text)
        dialog.use.click()
        assert dialog.form.sentence("rates.fresh") != ""
        assert dialog.isVisible()
    assert book.all() == before


async def test_a_bad_key_keeps_the_dialog_open(dialog: ConnectDialog, hand: UiDriver, store: MemoryKeyring) -> None:
    dialog.key.field.setText("Bearer sk_1")
    dialog.use.click()
    await hand.until(lambda: "Bearer" in dialog.key.words.text(), "the error about the key")
    await hand.until(dialog.use.isEnabled, "another try")
    assert dialog.isVisible()
    assert store.kept == {}


async def test_edits_of_one_endpoint_survive_a_look_at_another(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore
) -> None:
    dialog.form.rates["output"].setText("1.20")
    _choose(dialog, "Built-in simulator")
    assert dialog.form.rates["output"].text() == ""
    _choose(dialog, "Electron")
    assert dialog.form.rates["output"].text() == "1.20"
    _choose(dialog, "Built-in simulator")
    assert await _use(dialog, hand) == SIMULATOR_ID
    assert book.get(ELECTRON_ID).rates.output == 1.2


async def test_removing_asks_once_more_and_takes_the_key_along(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore, store: MemoryKeyring
) -> None:
    _add(dialog, key=KEY)
    kept = await _use(dialog, hand)
    dialog.show()
    _choose(dialog, "Mine")
    dialog.remove.click()
    assert book.get(kept).name == "Mine"
    dialog.remove.click()
    assert kept not in [endpoint.id for endpoint in book.all()]
    await hand.until(lambda: not store.kept, "its key forgotten")


async def test_remove_on_a_full_disk_holds_for_the_session_and_is_reported(
    dialog: ConnectDialog, hand: UiDriver, book: EndpointStore, store: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(dialog, key=KEY)
    kept = await _use(dialog, hand)
    dialog.show()
    _choose(dialog, "Mine")
    monkeypatch.setattr(book._file, "write", _full)  # a full disk, at the edge
    dialog.remove.click()
    dialog.remove.click()
    assert kept not in [endpoint.id for endpoint in book.all()]
    assert book.notice
    await hand.until(lambda: not store.kept, "its key forgotten")


def _full(_value: object) -> None:
    raise OSError(28, "No space left on device")


async def test_a_locked_key_store_is_not_no_key(open_dialog: OpenDialog, store: MemoryKeyring) -> None:
    store.error = RuntimeError("locked")
    dialog = open_dialog()
    hand = UiDriver(dialog, None)
    await hand.until(lambda: "Looking" not in dialog.key.source.text(), "where the key is")
    assert "No key" not in dialog.key.source.text()
    assert "The key store refused" in dialog.key.source.text()


async def test_only_added_endpoints_can_be_removed(open_dialog: OpenDialog, book: EndpointStore) -> None:
    book.add(Endpoint("", "Local", URL, "m", needs_key=False))
    dialog = open_dialog()
    seen = {}
    for name in ("Built-in simulator", "Electron", "Local"):
        _choose(dialog, name)
        seen[name] = dialog.remove.isEnabled()
    assert seen == {"Built-in simulator": False, "Electron": False, "Local": True}


@pytest.mark.parametrize("rate", [0.1234567, 12_345_678.0, 0.40, 0.1 + 0.2])
async def test_rates_that_are_not_touched_stay_what_they_are(
    open_dialog: OpenDialog, book: EndpointStore, rate: float
) -> None:
    rates = Rates(rate, None, 2.0, "the contract")
    kept = book.add(Endpoint("", "Local", URL, "m", needs_key=False, rates=rates))
    dialog = open_dialog()
    hand = UiDriver(dialog, None)
    _choose(dialog, "Local")
    assert await _use(dialog, hand) == kept.id
    assert book.get(kept.id).rates == rates


async def test_the_key_field_is_marked_while_its_key_is_wrong(dialog: ConnectDialog, hand: UiDriver) -> None:
    field = dialog.key.field
    field.setText("Bearer sk_1")
    dialog.use.click()
    await hand.until(lambda: bool(field.accessibleDescription()), "the error about the key")
    assert field.property("bad") == "true"
    assert field.accessibleDescription() == dialog.key.words.text()
    QTest.keyClicks(field, "2")
    assert field.property("bad") == "false"
    assert field.accessibleDescription() == ""
    assert "Bearer" not in dialog.key.words.text()


async def test_only_a_key_that_is_kept_here_can_be_removed(
    dialog: ConnectDialog, hand: UiDriver, store: MemoryKeyring
) -> None:
    await hand.until(lambda: "No key" in dialog.key.source.text(), "where the key is")
    assert not dialog.key.remove.isVisible()
    dialog.key.field.setText(KEY)
    await _use(dialog, hand)
    dialog.show()
    _choose(dialog, "Built-in simulator")
    _choose(dialog, "Electron")
    await hand.until(dialog.key.remove.isVisible, "a key that can be removed")
    dialog.key.remove.click()
    await hand.until(lambda: not dialog.key.remove.isVisible(), "the key is gone")
    assert store.kept == {}


async def test_the_switch_is_called_what_a_refused_request_calls_it(dialog: ConnectDialog) -> None:
    advice = exposed_key_error("http://gpu.example.com/v1").advice
    assert f"“{dialog.form.needs_key.text()}”" in advice


@pytest.mark.parametrize(
    ("url", "needs_key", "said"),
    [
        ("http://192.168.1.20:8000/v1", True, True),
        ("http://192.168.1.20:8000/v1", False, False),
        ("https://192.168.1.20:8000/v1", True, False),
        ("http://127.0.0.1:8000/v1", True, False),
        ("http://[::1", True, False),
    ],
)
async def test_a_key_that_could_be_read_on_the_way_is_warned_of_while_typing(
    dialog: ConnectDialog, url: str, needs_key: bool, said: bool
) -> None:
    dialog.add.click()
    dialog.form.needs_key.setChecked(needs_key)
    dialog.form.base_url.setText(url)
    assert dialog.form.exposed.isHidden() is not said
    dialog.form.needs_key.setChecked(False)
    assert dialog.form.exposed.isHidden()


@pytest.mark.parametrize("usable", [True, False])
@pytest.mark.parametrize("tested", [True, False])
async def test_a_new_endpoint_keeps_its_first_key_when_the_focus_moves_through_the_list(
    usable: bool, tested: bool, dialog: ConnectDialog, hand: UiDriver, book: EndpointStore, keys: CredentialStore
) -> None:
    """A disabled button passes its focus on, and a list without a current row chooses its first one then."""
    if not usable:
        keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    _add(dialog, key=KEY)
    if tested:
        dialog.list.setFocus()
    if not usable:
        dialog.key.for_session.setChecked(True)
    QTest.mouseClick(dialog.use, Qt.MouseButton.LeftButton)
    await hand.until(lambda: not dialog.isVisible(), "the end of the dialog")
    (mine,) = (one for one in book.all() if one.name == "Mine")
    assert await keys.source(mine) == ("key store" if usable else "session")


async def test_a_look_at_another_endpoint_keeps_the_form_of_a_new_one(dialog: ConnectDialog) -> None:
    _add(dialog, "Mine")
    _choose(dialog, "Electron")
    dialog.list.setCurrentRow(dialog.list.count() - 1)
    assert (dialog.form.name.text(), dialog.form.base_url.text()) == ("Mine", URL)


async def test_a_test_of_the_connection_leaves_the_focus_on_its_button(dialog: ConnectDialog, hand: UiDriver) -> None:
    asked: list[Endpoint] = []

    async def probe(endpoint: Endpoint, _key: str | None) -> ProbeResult:
        asked.append(endpoint)
        return ProbeResult(True, "Connected.")

    dialog._probe = probe
    dialog.test.show()
    _add(dialog)
    dialog.test.setFocus()
    dialog.test.click()
    dialog.test.click()
    assert dialog.focusWidget() is dialog.test
    await hand.until(lambda: dialog.tested.text() == "Connected.", "the result")
    assert dialog.focusWidget() is dialog.test
    assert len(asked) == 1
