"""The book of endpoints on a real file."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.endpoint import (
    ELECTRON_BASE_URL,
    ELECTRON_ID,
    PLANS,
    PUBLISHED_RATES,
    SIMULATOR_ID,
    Endpoint,
    PlanLimits,
    Rates,
)
from playground.prompt.field_errors import InputError
from playground.storage.endpoints import EndpointStore
from playground.storage.settings import Settings

LOCAL = Endpoint("", "Local llama", "http://127.0.0.1:8080/v1/", "llama-3", needs_key=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "endpoints.json"


@pytest.fixture
def book(path: Path) -> EndpointStore:
    return EndpointStore(path)


def test_the_built_in_ones_are_always_there(book: EndpointStore, path: Path) -> None:
    simulator, electron = book.all()
    assert (simulator.id, simulator.kind, simulator.needs_key, simulator.base_url) == (
        SIMULATOR_ID,
        "simulator",
        False,
        "",
    )
    assert (electron.id, electron.kind, electron.needs_key, electron.base_url) == (
        ELECTRON_ID,
        "electron",
        True,
        ELECTRON_BASE_URL,
    )
    assert [endpoint.rates for endpoint in book.all()] == [PUBLISHED_RATES] * 2
    assert [endpoint.plan for endpoint in book.all()] == [PLANS["standard"]] * 2
    assert electron.rates.output is None
    assert not path.exists()


def test_an_added_one_is_there_at_the_next_start_and_after_the_built_in_ones(book: EndpointStore, path: Path) -> None:
    plan, rates = PlanLimits("Mine", 30, None), Rates(0.0, None, 1.5, "my contract")
    added = book.add(replace(LOCAL, name="  Local llama ", model=" llama-3 ", plan=plan, rates=rates))
    assert (added.name, added.model, added.base_url) == ("Local llama", "llama-3", "http://127.0.0.1:8080/v1")
    assert added.kind == "other"
    assert added.id
    again = EndpointStore(path)
    assert again.notice == ""
    assert again.all() == book.all()
    assert again.all()[2] == added == again.get(added.id)


def test_two_added_ones_have_ids_of_their_own(book: EndpointStore) -> None:
    one, two = book.add(LOCAL), book.add(replace(LOCAL, name="Local vLLM"))
    assert one.id != two.id
    assert [endpoint.name for endpoint in book.all()][2:] == ["Local llama", "Local vLLM"]


BAD = [
    (replace(LOCAL, name="  "), "name", "has no name"),
    (replace(LOCAL, name="a\nb"), "name", "invisible"),
    (replace(LOCAL, name="ELECTRON"), "name", "another endpoint is called"),
    (replace(LOCAL, name="Simulator"), "name", "another endpoint is called"),
    (replace(LOCAL, model=" "), "model", "the model is empty"),
    (replace(LOCAL, model="a\x00b"), "model", "invisible"),
    (replace(LOCAL, base_url="localhost:8080"), "base_url", "http://"),
    (replace(LOCAL, base_url=""), "base_url", "http://"),
    (replace(LOCAL, base_url="https://user:secret@host/v1"), "base_url", "password"),
    (replace(LOCAL, rates=Rates(fresh=-0.1)), "rates.fresh", "at least 0"),
    (replace(LOCAL, rates=Rates(cached=float("nan"))), "rates.cached", "at least 0"),
    (replace(LOCAL, rates=Rates(output=float("inf"))), "rates.output", "at least 0"),
    (replace(LOCAL, plan=PlanLimits("x", 0, 3)), "plan.requests_per_minute", "at least 1"),
    (replace(LOCAL, plan=PlanLimits("x", 3, -1)), "plan.in_flight", "at least 1"),
]


@pytest.mark.parametrize(("endpoint", "field", "words"), BAD)
def test_what_cannot_be_one_is_refused_by_field_and_changes_nothing(
    book: EndpointStore, path: Path, endpoint: Endpoint, field: str, words: str
) -> None:
    kept = book.add(replace(LOCAL, name="Kept"))
    before, data = book.all(), path.read_bytes()
    for attempt, given in ((book.add, endpoint), (book.change, replace(endpoint, id=kept.id))):
        with pytest.raises(InputError) as caught:
            attempt(given)
        (problem,) = caught.value.problems
        assert problem.field == field
        assert words in problem.message
        assert problem.hint
        assert book.all() == before
        assert path.read_bytes() == data


def test_change_keeps_place_and_id(book: EndpointStore, path: Path) -> None:
    first = book.add(LOCAL)
    book.add(replace(LOCAL, name="Second"))
    book.change(replace(first, name="local LLAMA", base_url="https://llama.example/v1", needs_key=True))
    changed = EndpointStore(path).all()[2]
    assert (changed.id, changed.name, changed.base_url, changed.needs_key) == (
        first.id,
        "local LLAMA",
        "https://llama.example/v1",
        True,
    )


def test_of_a_built_in_one_plan_rates_and_model_change_and_nothing_else(book: EndpointStore, path: Path) -> None:
    electron = book.get(ELECTRON_ID)
    wished = replace(
        electron,
        name="Mine",
        base_url="https://thief.example/v1",
        needs_key=False,
        kind="other",
        plan=PLANS["enterprise"],
        rates=Rates(0.3, 0.05, 1.0, "contract"),
        model="electron-2",
    )
    kept = book.change(wished)
    assert kept == replace(electron, plan=wished.plan, rates=wished.rates, model="electron-2")
    assert EndpointStore(path).get(ELECTRON_ID) == kept


def test_a_started_simulators_address_is_not_kept(book: EndpointStore, path: Path) -> None:
    running = replace(book.get(SIMULATOR_ID), base_url="http://127.0.0.1:4242/v1", plan=PLANS["none"])
    assert book.change(running).base_url == ""
    assert EndpointStore(path).get(SIMULATOR_ID).plan == PLANS["none"]


def test_a_file_cannot_send_electrons_key_elsewhere(path: Path, book: EndpointStore) -> None:
    book.change(book.get(ELECTRON_ID))
    value = json.loads(path.read_bytes())
    value["endpoints"][1]["base_url"] = "https://thief.example/v1"
    path.write_text(json.dumps(value))
    assert EndpointStore(path).get(ELECTRON_ID).base_url == ELECTRON_BASE_URL


def test_remove(book: EndpointStore, path: Path) -> None:
    added = book.add(LOCAL)
    book.remove(added.id)
    assert len(EndpointStore(path).all()) == 2
    with pytest.raises(KeyError):
        book.remove(added.id)
    for built_in in (SIMULATOR_ID, ELECTRON_ID):
        with pytest.raises(InputError, match="cannot be removed"):
            book.remove(built_in)
    assert len(book.all()) == 2


@pytest.mark.parametrize("text", ["Electron", "electron", " ELECTRON ", ELECTRON_ID])
def test_by_name_whatever_the_case(book: EndpointStore, text: str) -> None:
    assert book.by_name(text).id == ELECTRON_ID


def test_by_name_finds_added_ones_by_name_and_id(book: EndpointStore) -> None:
    added = book.add(replace(LOCAL, name="Straße"))
    assert book.by_name("STRASSE") == added == book.by_name(added.id)


def test_by_name_lists_what_there_is(book: EndpointStore) -> None:
    book.add(LOCAL)
    with pytest.raises(InputError) as caught:
        book.by_name("elektron")
    assert str(caught.value) == (
        "endpoint: there is no endpoint called 'elektron'. There are: Built-in simulator, Electron, Local llama."
    )


def test_listeners_hear_of_every_change(book: EndpointStore) -> None:
    heard: list[int] = []
    book.subscribe(lambda: heard.append(len(book.all())))
    added = book.add(LOCAL)
    book.change(replace(added, name="Other"))
    book.remove(added.id)
    with pytest.raises(InputError):
        book.remove(ELECTRON_ID)
    assert heard == [3, 3, 2]


ROW = {
    "id": "a1",
    "name": "Local",
    "base_url": "http://127.0.0.1:1/v1",
    "model": "m",
    "needs_key": False,
    "plan": {"name": "", "requests_per_minute": None, "in_flight": None},
    "rates": {"fresh": None, "cached": None, "output": None, "source": ""},
}


def test_a_row_as_these_tests_damage_it_is_good(path: Path) -> None:
    path.write_text(json.dumps({"endpoints": [ROW]}))
    book = EndpointStore(path)
    assert book.notice == ""
    assert book.get("a1").name == "Local"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"endpoints": {}}',
        b'{"endpoints": ["a"]}',
        b'{"endpoints": [{}]}',
        b"[" * 200_000,
        json.dumps({"endpoints": [{**ROW, "base_url": "ftp://x"}]}).encode(),
        json.dumps({"endpoints": [{**ROW, "needs_key": "no"}]}).encode(),
        json.dumps({"endpoints": [{**ROW, "id": 7}]}).encode(),
        json.dumps({"endpoints": [{**ROW, "name": ""}]}).encode(),
        json.dumps({"endpoints": [{**ROW, "name": "a\ud800"}]}).encode(),
        json.dumps({"endpoints": [{**ROW, "model": "a\0"}]}).encode(),
        json.dumps({"endpoints": [{**ROW, "plan": {**dict.fromkeys(ROW["plan"], 0), "name": ""}}]}).encode(),  # type: ignore[call-overload]
        json.dumps({"endpoints": [{**ROW, "rates": {"fresh": -1, "cached": 0, "output": 0, "source": ""}}]}).encode(),
        json.dumps(
            {"endpoints": [{**ROW, "rates": {"fresh": 10**400, "cached": 0, "output": 0, "source": ""}}]}
        ).encode(),
    ],
)
def test_a_damaged_file_is_set_aside_whole_and_the_built_in_ones_are_there(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    book = EndpointStore(path)
    assert "endpoints.damaged.json" in book.notice
    assert [endpoint.id for endpoint in book.all()] == [SIMULATOR_ID, ELECTRON_ID]
    assert (path.parent / "endpoints.damaged.json").read_bytes() == data
    book.add(LOCAL)
    assert len(EndpointStore(path).all()) == 3


def test_add_in_two_windows_keeps_both(path: Path) -> None:
    one, two = EndpointStore(path), EndpointStore(path)
    added = one.add(LOCAL)
    two.add(replace(LOCAL, name="From the other window"))
    one.change(replace(added, name="Changed"))
    assert [endpoint.name for endpoint in EndpointStore(path).all()][2:] == ["Changed", "From the other window"]
    one.remove(added.id)
    assert [endpoint.name for endpoint in EndpointStore(path).all()][2:] == ["From the other window"]


def test_change_at_the_same_time_in_two_windows_keeps_both(path: Path) -> None:
    one, two = EndpointStore(path), EndpointStore(path)
    with ThreadPoolExecutor(2) as threads:
        for number in range(20):
            both = [
                threads.submit(store.add, replace(LOCAL, name=f"{name} {number}"))
                for name, store in (("One", one), ("Two", two))
            ]
            expected = {each.result().id for each in both}
            assert expected <= {endpoint.id for endpoint in EndpointStore(path).all()}


def test_add_folder_deleted_holds_for_the_session_and_is_saved_later(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "endpoints.json"
    errors: list[str] = []
    store = EndpointStore(path, on_error=errors.append)
    store.add(LOCAL)
    assert len(store.all()) == 3
    assert errors == [store.notice] != [""]
    path.parent.mkdir()
    store.add(replace(LOCAL, name="Second"))
    assert len(EndpointStore(path).all()) == 4


def test_add_file_that_cannot_be_read_is_not_overwritten(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_text("mine")
    store = EndpointStore(path)
    assert store.notice
    store.add(LOCAL)
    assert (path / "mine").read_text() == "mine"


def test_context_length_is_kept_and_may_be_missing_in_older_files(path: Path, book: EndpointStore) -> None:
    added = book.add(replace(LOCAL, context_tokens=8_192))
    assert EndpointStore(path).get(added.id).context_tokens == 8_192
    assert [book.get(id).context_tokens for id in (SIMULATOR_ID, ELECTRON_ID)] == [32_768, 32_768]
    value = json.loads(path.read_text("utf-8"))
    for row in value["endpoints"]:
        del row["context_tokens"]
    path.write_text(json.dumps(value), "utf-8")
    assert EndpointStore(path).get(added.id).context_tokens is None


def test_learn_context_other_endpoint_stores_length_and_source(path: Path, book: EndpointStore) -> None:
    added = book.add(LOCAL)
    book.learn_context(added, 4_096)
    stored = EndpointStore(path).get(added.id)
    assert (stored.context_tokens, stored.context_source) == (4_096, "learned")
    book.learn_context(stored, None, served=4_096)
    assert book.get(added.id).context_tokens == 4_096
    book.learn_context(stored, None, served=4_097)
    assert (book.get(added.id).context_tokens, book.get(added.id).context_source) == (None, "")


def test_learn_context_replaces_a_length_that_the_user_set_and_keeps_an_equal_one(book: EndpointStore) -> None:
    added = book.add(replace(LOCAL, context_tokens=8_192, context_source="set"))
    book.learn_context(added, 8_192)
    book.learn_context(added, None, served=9_000)
    assert (book.get(added.id).context_tokens, book.get(added.id).context_source) == (8_192, "set")
    book.learn_context(added, 4_096)
    assert (book.get(added.id).context_tokens, book.get(added.id).context_source) == (4_096, "learned")


def test_learn_context_built_in_changed_or_unknown_endpoint_does_nothing(book: EndpointStore) -> None:
    book.learn_context(book.get(ELECTRON_ID), 100)
    assert book.get(ELECTRON_ID).context_tokens == 32_768
    added = book.add(LOCAL)
    book.change(replace(added, model="another"))
    book.learn_context(added, 4_096)
    book.learn_context(replace(added, id="gone"), 4_096)
    assert book.get(added.id).context_tokens is None


def test_context_source_unknown_text_in_the_file_is_read_as_unknown(path: Path, book: EndpointStore) -> None:
    added = book.add(replace(LOCAL, context_tokens=8_192, context_source="set"))
    path.write_text(path.read_text("utf-8").replace('"set"', '"guessed"'), "utf-8")
    assert EndpointStore(path).get(added.id).context_source == ""


@pytest.mark.parametrize("field", ["name", "model", "base_url"])
def test_store_endpoint_with_a_key_in_a_field_refuses_it(book: EndpointStore, path: Path, field: str) -> None:
    key = "sk_9f8e7d6c5b4a39281706"
    text = f"https://host/{key}/v1" if field == "base_url" else f"my {key}"
    fields = {"name": "Local", "model": "m", "base_url": "https://host/sk-learning-proxy/v1"}
    with pytest.raises(InputError) as caught:
        book.add(Endpoint("", **{**fields, field: text}))  # type: ignore[arg-type]
    assert caught.value.problems[0].path == (field,)
    assert not path.exists()
    fields["name"] = "task-queue-gateway-01"  # "sk-" inside a word begins no key
    assert book.add(Endpoint("", **fields)).base_url == fields["base_url"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    [
        "https://me:pass9word@h.test/v1",
        "https://h.test/v1?api_key=pass9word",
        "https://h.test/v1?pass9word",
        "https://h.test/v1#pass9word",
        "https://h.test/v1;key=pass9word",
        "https://pass9word@h.test/v1",
    ],
)
def test_secret_in_the_base_url_of_an_older_file_is_removed_and_all_endpoints_stay(path: Path, address: str) -> None:
    first = EndpointStore(path)
    first.add(LOCAL)
    first.add(replace(LOCAL, name="Other", base_url="https://h.test/v1"))
    value = json.loads(path.read_text())
    value["endpoints"][-1]["base_url"] = address
    path.write_text(json.dumps(value))
    book = EndpointStore(path)
    assert [endpoint.name for endpoint in book.all()[2:]] == ["Local llama", "Other"]
    assert book.by_name("Other").base_url == "https://h.test/v1"
    assert "Other" in book.notice
    assert "pass9word" not in path.read_text() + book.notice
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_key_in_the_path_of_an_older_file_is_removed(path: Path) -> None:
    path.write_text(json.dumps({"endpoints": [{**ROW, "base_url": "https://h.test/sk_9f8e7d6c5b4a39281706/v1"}]}))
    book = EndpointStore(path)
    assert book.get("a1").base_url == "https://h.test"
    assert "9f8e7d6c5b4a39281706" not in path.read_text()


def test_unusable_endpoint_of_a_file_is_set_aside_and_the_others_stay(path: Path) -> None:
    rows = [
        {**ROW, "base_url": "https://me:pass9word@h.test/v1"},
        {**ROW, "id": 7},
        {**ROW, "id": "b2", "name": "Wrong", "base_url": "http://u:pass9word@[bad/v1"},
        {**ROW, "id": "c3", "name": "Last"},
    ]
    path.write_text(json.dumps({"endpoints": rows}))
    book = EndpointStore(path)
    assert "endpoints.damaged.json" in book.notice
    assert "number 2 (Local)" in book.notice
    assert "number 3 (Wrong): the base URL is not a URL." in book.notice
    assert [each.name for each in book.all()[2:]] == ["Local", "Last"]
    again = EndpointStore(path)
    assert (again.notice, again.all()) == ("", book.all())
    aside = json.loads((path.parent / "endpoints.damaged.json").read_text())["endpoints"]
    assert [row["base_url"] for row in aside] == [
        "https://sk_…@h.test/v1",
        ROW["base_url"],
        "http://sk_…@[bad/v1",
        ROW["base_url"],
    ]
    assert [{**row, "base_url": ""} for row in aside] == [{**row, "base_url": ""} for row in rows]


def test_endpoint_that_becomes_unusable_while_the_program_runs_is_set_aside_before_a_write(path: Path) -> None:
    book = EndpointStore(path)
    path.write_text(json.dumps({"endpoints": [ROW, {**ROW, "id": "b2", "name": "Wrong", "base_url": "ftp://x"}]}))
    book.add(LOCAL)
    assert [each.name for each in EndpointStore(path).all()[2:]] == ["Local", "Local llama"]
    assert "ftp://x" in (path.parent / "endpoints.damaged.json").read_text()


SECRETS = [
    "http://u:pass9word@[bad/v1",
    "ftp://u:pass9word@h/v1",
    "not a url user:pass9word@x",
    "http://u:pass/9word@h.test/v1",
    "http://h.test/v1?x=pass9word",
    "http://h.test/v1#pass9word",
    "http://h.test/v1;pass9word",
    "http://h.test:port/pA8f9Kd02jfLLq8Zs71PqoWpass9word/v1",
    "http://h.test:port/sk_pass9wordAAA/v1",
]


@pytest.mark.parametrize("address", SECRETS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
@pytest.mark.parametrize("cut", ["", "address", "end"], ids=["whole", "cut-in-address", "cut-at-end"])
def test_secret_is_not_in_a_file_that_is_set_aside(path: Path, address: str, encoding: str, cut: str) -> None:
    text = json.dumps({"endpoints": [{**ROW, "name": "Kept name", "base_url": address}, {**ROW, "id": 7}]}, indent=1)
    if cut:
        text = text[: text.index(address) + len(address)] if cut == "address" else text[:-3]
    path.write_bytes(text.encode(encoding)[: None if cut != "address" or encoding == "utf-8" else -1])
    assert "endpoints.damaged.json" in EndpointStore(path).notice
    aside = (path.parent / "endpoints.damaged.json").read_bytes().decode(encoding, "replace")
    assert "9word" not in aside
    assert "sk_\\u2026" in aside
    assert "Kept name" in aside
    assert not any(b"9word" in each.read_bytes() for each in path.parent.iterdir())


def test_files_that_an_earlier_version_set_aside_are_cleaned_at_the_start(path: Path) -> None:
    rows = [{**ROW, "base_url": address, "api_key": "Zq9hunterX8kd"} for address in SECRETS]
    for name in ("endpoints.damaged.json", "endpoints.damaged-2.json"):
        (path.parent / name).write_text(json.dumps({"endpoints": rows}))
    other = path.parent / "draft.damaged.json"
    other.write_text(json.dumps({"text": "https://me:pass9word@h.test"}))
    Settings(path.parent / "settings.json")
    EndpointStore(path)
    for name in ("endpoints.damaged.json", "endpoints.damaged-2.json"):
        text = (path.parent / name).read_text()
        assert "9word" not in text
        assert "Zq9hunter" not in text
        assert len(json.loads(text)["endpoints"]) == len(rows)
    assert "pass9word" in other.read_text()  # a prompt: the user's text


@pytest.mark.parametrize(
    "address",
    ["https://me:pass9word@h.test/v1", "https://h.test/v1?api_key=pass9word", "https://h.test/v1;key=pass9word"],
)
def test_base_url_with_a_secret_is_refused_by_field(book: EndpointStore, path: Path, address: str) -> None:
    with pytest.raises(InputError) as refused:
        book.add(replace(LOCAL, base_url=address))
    assert refused.value.problems[0].path == ("base_url",)
    assert "pass9word" not in str(refused.value)
    assert not path.exists()


THREE = [{**ROW, "id": f"e{n}", "name": f"S{n}"} for n in range(3)]
DEEP = "[" * 3_000 + "]" * 3_000


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"name": "S1"', '"name": "S1" "'),
        ('"name": "S1"', '"name": "S1'),
        ('"name": "S1"', '"name": "S\0'),
        ('"name": "S1"', '"name": "S1",,'),
        ('"name": "S1"', f'"name": {DEEP}'),
        ('"name": "S1"', f'"name": {"1" * 5_000}'),
        ('"id": "e1"', '"id": "e\udcff"'),
        ('"id": "e1"', '"id": e1'),
        ('"name": "S1"', '{"a":' * 3_000),
    ],
)
def test_syntax_error_in_one_row_loses_that_row_only(path: Path, good: str, bad: str, indent: int | None) -> None:
    text = json.dumps({"endpoints": THREE}, indent=indent).replace(good, bad)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    book = EndpointStore(path)
    assert [each.name for each in book.all()[2:]] == ["S0", "S2"]
    assert book.notice.endswith("renamed to endpoints.damaged.json. Recovered endpoints: S0, S2.")
    again = EndpointStore(path)
    assert (again.notice, again.all()) == ("", book.all())


def test_cut_file_keeps_every_whole_row(path: Path) -> None:
    text = json.dumps({"endpoints": THREE})
    ends = [*(text.index(f'"id": "e{n}"') - 3 for n in (1, 2)), len(text) - 2]
    for size in range(len(text) % 7, len(text) + 1, 7):
        path.write_text(text[:size])
        assert len(EndpointStore(path).all()) == 2 + sum(size >= end for end in ends)
        for aside in path.parent.glob("endpoints.damaged*"):  # each start reads all of them
            aside.unlink()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "1e999"])
def test_number_that_is_not_finite_loses_its_row_only(path: Path, word: str) -> None:
    path.write_text(json.dumps({"endpoints": THREE}).replace('"e1"', '"e1", "context_tokens": ' + word))
    book = EndpointStore(path)
    assert [each.name for each in book.all()[2:]] == ["S0", "S2"]
    assert "number 2 (S1)" in book.notice


def test_endpoints_with_the_same_id_are_both_kept(path: Path) -> None:
    path.write_text(json.dumps({"endpoints": [*THREE, {**THREE[0], "name": "Other"}, {**THREE[1], "model": "m2"}]}))
    book = EndpointStore(path)
    assert [(each.id, each.name) for each in book.all()[2:]] == [
        *[(f"e{n}", f"S{n}") for n in range(3)],
        ("e0-2", "Other"),
        ("e1-2", "S1 2"),
    ]
    assert "Other, S1 2 got another one" in book.notice
    again = EndpointStore(path)
    assert (again.notice, again.all()) == ("", book.all())


@pytest.mark.parametrize("damage", ["}", '{"id": "e9"}]}'], ids=["syntax", "row"])
def test_damaged_file_with_an_endpoint_under_a_used_id_names_it_in_the_notice(path: Path, damage: str) -> None:
    rows = [*THREE, {**THREE[0], "name": "Other"}, {**THREE[1], "name": "Bare", "base_url": "http://u:p@h.example/v1"}]
    path.write_text(json.dumps({"endpoints": rows})[:-2] + f", {damage}")
    notice = EndpointStore(path).notice
    assert "Other, Bare got another one" in notice
    assert "base URL of Bare" in notice


def test_by_name_unknown_after_damage_names_the_copy(path: Path) -> None:
    path.write_text(json.dumps({"endpoints": THREE}).replace('"S1"', '"S1'))
    for _ in range(2):
        with pytest.raises(InputError, match="was damaged") as failed:
            EndpointStore(path).by_name("S1")
        assert str(path.parent / "endpoints.damaged.json") in str(failed.value)


def test_damage_in_the_name_of_the_list_loses_no_row(path: Path) -> None:
    path.write_text(json.dumps({"endp_ints": THREE}), "utf-8")
    book = EndpointStore(path)
    assert [each.name for each in book.all()[2:]] == ["S0", "S1", "S2"]
    assert book.notice.endswith("Recovered endpoints: S0, S1, S2.")


def test_file_in_latin_1_loses_no_endpoint(path: Path) -> None:
    rows = [{**row, "name": f"Büro {row['name']}"} for row in THREE]
    path.write_bytes(json.dumps({"endpoints": rows}, ensure_ascii=False).encode("latin-1"))
    book = EndpointStore(path)
    assert [each.name for each in book.all()[2:]] == ["Büro S0", "Büro S1", "Büro S2"]
    assert book.notice.endswith("Recovered endpoints: Büro S0, Büro S1, Büro S2.")
    assert EndpointStore(path).all() == book.all()


def _edited_elsewhere(path: Path, *rows: object) -> None:
    value = json.loads(path.read_text())
    value["endpoints"] += rows
    path.write_text(json.dumps(value))


def test_refresh_of_a_file_that_was_damaged_meanwhile_keeps_the_endpoints_and_tells(path: Path) -> None:
    told: list[str] = []
    book, other = EndpointStore(path, on_error=told.append), EndpointStore(path)
    book.add(LOCAL)
    other.add(replace(LOCAL, name="Other"))
    _edited_elsewhere(path, {"id": "x"})
    assert asyncio.run(book.refresh())
    assert told == [book.notice]
    assert "endpoints.damaged.json" in book.notice
    names = ["Local llama", "Other"]
    assert [endpoint.name for endpoint in book.all()][2:] == names
    assert [endpoint.name for endpoint in EndpointStore(path).all()][2:] == names


def test_refresh_of_a_file_that_was_deleted_keeps_an_edited_built_in_endpoint(book: EndpointStore, path: Path) -> None:
    book.change(replace(book.get(ELECTRON_ID), model="mine"))
    assert not asyncio.run(book.refresh())
    path.unlink()
    assert not asyncio.run(book.refresh())
    assert book.get(ELECTRON_ID).model == "mine"


def test_refresh_of_a_file_that_cannot_be_read_keeps_it_and_tells_once(path: Path) -> None:
    told: list[str] = []
    book = EndpointStore(path, on_error=told.append)
    book.change(replace(book.get(ELECTRON_ID), model="mine"))
    kept = path.rename(path.with_name("kept"))
    path.mkdir()
    assert [asyncio.run(book.refresh()) for _ in range(2)] == [False, False]
    assert book.get(ELECTRON_ID).model == "mine"
    assert len(told) == 1
    path.rmdir()
    kept.rename(path)
    assert EndpointStore(path).get(ELECTRON_ID).model == "mine"
