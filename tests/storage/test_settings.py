"""Settings on a real file: declared once, kept whole, never dropped unread."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.storage import json_file
from playground.storage.json_file import FileWriter
from playground.storage.settings import SETTINGS, Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_every_default_is_a_value_that_may_be_set(path: Path) -> None:
    settings = Settings(path)
    for setting in SETTINGS:
        settings.set(setting.name, setting.default)
        assert settings.get(setting.name) == setting.default
    assert not path.exists()


CHANGES: list[tuple[str, Json]] = [
    ("theme", "dark"),
    ("font_size", 22),
    ("cache_lifetime_s", 10),
    ("versions", False),
    ("retry", False),
    ("retry_attempts", 2),
    ("retry_first_ms", 100),
    ("retry_longest_s", 3),
    ("connect_s", 3),
    ("first_byte_s", 30),
    ("silence_s", 20),
    ("turn_limit", True),
    ("turn_limit_s", 8),
    ("ca_file", "certificates.pem"),
    ("request_lines", True),
    ("request_lines_contents", True),
    ("otel_collector", "http://127.0.0.1:4318/v1/traces"),
    ("show_simulator_bar", False),
    ("endpoint_id", "electron"),
    ("zoom", 150),
    ("window_geometry", "AdnQywAD"),
    ("splitter_sizes", [700, 500]),
    ("side_width", 1),
    ("hidden_panes", "inspector"),
    ("maximised_pane", "inspector"),
    ("log_height", 240),
    ("log_keep_days", 30),
    ("log_keep_mb", 500),
    ("log_columns", '[["time", 96, true]]'),
    ("log_groups", False),
    ("log_clock", "utc"),
    ("saved_filters", {"Refused": "status:429"}),
    ("recent_files", ["a.prompt.json"]),
    ("ticket_workspace", "ws-1"),
    ("ticket_contents", "included"),
    ("tool_server", "python server.py"),
    ("voice_delay_ms", 250),
    ("voice_pipeline_ms", 500),
    ("voice_rate_tenths", 25),
    ("voice_unit", "words"),
    ("voice_start", "sentence"),
    ("voice_limit_s", 5),
    ("shortcuts", {"send": "Ctrl+Enter"}),
    ("dismissed_advice", {"output-cap": "Cap the output"}),
    ("command_use", {"send": "3"}),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_change_is_on_disk_alone_and_there_at_the_next_start(path: Path, name: str, value: Json) -> None:
    Settings(path).set(name, value)
    assert json.loads(path.read_bytes()) == {name: value}
    assert Settings(path).get(name) == value


def test_every_setting_has_a_change_above() -> None:
    assert [name for name, _ in CHANGES] == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("theme", "blue", "theme: Theme is one of system, light, dark. Its default is system."),
        ("theme", ["dark"], "theme: Theme is one of system, light, dark. Its default is system."),
        ("font_size", 10, "Prompt font size is a whole number from 11 to 22 px. Its default is 13."),
        ("font_size", 23, "from 11 to 22"),
        ("font_size", 13.5, "a whole number"),
        ("font_size", True, "a whole number"),
        ("cache_lifetime_s", 86_401, "from 10 to 86,400 s"),
        ("cache_lifetime_s", "300", "a whole number"),
        ("show_simulator_bar", 1, "is true or false. Its default is true."),
        ("endpoint_id", None, "is text"),
        ("splitter_sizes", [1, "2"], "is a list of whole numbers"),
        ("splitter_sizes", [True], "is a list of whole numbers"),
        ("shortcuts", {"send": 1}, "is a table of text"),
        ("shortcuts", [], "is a table of text"),
        ("splitter_sizes", [10**30], "is a list of whole numbers"),
        ("splitter_sizes", [-1], "is a list of whole numbers"),
        ("splitter_sizes", [1] * 99, "is a list of whole numbers"),
        ("window_geometry", "AdnQy", "is base64 text"),
        ("window_geometry", "%%%%", "is base64 text"),
        ("ca_file", "a\0b", "is text"),
        ("ca_file", "a\ud800b", "is text"),
    ],
)
def test_a_value_it_cannot_have_is_refused_by_name_and_changes_nothing(
    path: Path, name: str, value: Json, sentence: str
) -> None:
    settings = Settings(path)
    before = settings.get(name)
    with pytest.raises(InputError) as caught:
        settings.set(name, value)
    assert caught.value.problems[0].path == (name,)
    assert sentence in str(caught.value)
    assert settings.get(name) == before
    assert not path.exists()


def test_an_undeclared_name_is_a_mistake_of_ours(path: Path) -> None:
    settings = Settings(path)
    with pytest.raises(KeyError):
        settings.get("tehme")
    with pytest.raises(KeyError):
        settings.set("tehme", "dark")


def test_typed_reads(path: Path) -> None:
    settings = Settings(path)
    found = (settings.text("theme"), settings.number("cache_lifetime_s"), settings.flag("show_simulator_bar"))
    assert found == ("system", 300.0, True)


def test_listeners_hear_of_changes_and_only_of_changes(path: Path) -> None:
    settings, heard = Settings(path), list[str]()
    settings.subscribe(heard.append)
    settings.set("theme", "dark")
    settings.set("theme", "dark")
    settings.set("font_size", 14)
    with pytest.raises(InputError):
        settings.set("font_size", 99)
    assert heard == ["theme", "font_size"]


def test_a_default_set_again_leaves_the_file(path: Path) -> None:
    settings = Settings(path)
    settings.set("theme", "dark")
    settings.set("font_size", 14)
    settings.set("theme", "system")
    assert json.loads(path.read_bytes()) == {"font_size": 14}


def test_what_get_returns_is_the_callers_own(path: Path) -> None:
    settings = Settings(path)
    sizes = settings.get("splitter_sizes")
    assert isinstance(sizes, list)
    sizes.append(300)
    assert settings.get("splitter_sizes") == []
    settings.set("splitter_sizes", sizes)
    sizes.append(400)
    assert Settings(path).get("splitter_sizes") == [300] == settings.get("splitter_sizes")


DAMAGED = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"theme": "dark"} trailing']


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_file_is_set_aside_whole_and_said(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    settings = Settings(path)
    assert "settings.damaged.json" in settings.notice
    assert (path.parent / "settings.damaged.json").read_bytes() == data
    settings.set("theme", "dark")
    assert Settings(path).notice == ""
    assert Settings(path).get("theme") == "dark"


def test_a_value_that_cannot_be_used_is_said_kept_and_has_its_default(path: Path) -> None:
    path.write_text('{"theme": "sepia", "font_size": 14}')
    settings = Settings(path)
    assert settings.get("theme") == "system"
    assert settings.get("font_size") == 14
    assert "theme is one of system, light, dark" in settings.notice
    settings.set("font_size", 15)
    assert json.loads(path.read_bytes()) == {"theme": "sepia", "font_size": 15}


@pytest.mark.parametrize("value", ["A", "AdnQywA", "é", 7, None, "x" * 1001])
def test_window_geometry_damaged_has_its_default(path: Path, value: Json) -> None:
    path.write_text(json.dumps({"window_geometry": value, "font_size": 14}))
    settings = Settings(path)
    assert settings.get("window_geometry") == ""
    assert settings.get("font_size") == 14
    assert "window_geometry" in settings.notice


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_read_pipe_in_place_of_the_file_does_not_wait(path: Path) -> None:
    os.mkfifo(path)
    settings = Settings(path)
    assert settings.notice
    assert settings.get("theme") == "system"


def _content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_set_with_a_writer_returns_before_the_disk_and_flush_waits(path: Path) -> None:
    free = threading.Event()

    writer = FileWriter()
    settings = Settings(path, writer.submit)

    def wait_for_release() -> str:
        free.wait(30)
        return ""

    writer.submit(wait_for_release, pytest.fail)
    for size in range(11, 23):
        settings.set("font_size", size)
    assert settings.get("font_size") == 22
    assert _content(path) == ""
    free.set()
    await writer.flush()
    assert json.loads(_content(path)) == {"font_size": 22}


async def test_save_failed_is_reported_in_the_loop_and_repeated_with_the_next_change(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    path = folder / "settings.json"
    errors: list[tuple[str, str]] = []

    writer = FileWriter()
    settings = Settings(path, writer.submit, lambda message: errors.append((threading.current_thread().name, message)))
    settings.set("theme", "dark")
    await writer.flush()
    folder.mkdir()
    settings.set("font_size", 14)
    await writer.flush()
    assert [thread for thread, _ in errors] == ["MainThread"]
    assert json.loads(path.read_bytes()) == {"theme": "dark", "font_size": 14}


def test_a_newer_versions_settings_are_kept(path: Path) -> None:
    path.write_text('{"minimap": {"side": "left"}, "theme": "dark"}')
    settings = Settings(path)
    assert settings.notice == ""
    settings.set("theme", "light")
    assert json.loads(path.read_bytes()) == {"minimap": {"side": "left"}, "theme": "light"}


def test_two_windows_do_not_take_back_each_others_changes(path: Path) -> None:
    one, two = Settings(path), Settings(path)
    one.set("theme", "dark")
    two.set("font_size", 14)
    one.set("cache_lifetime_s", 600)
    assert json.loads(path.read_bytes()) == {"theme": "dark", "font_size": 14, "cache_lifetime_s": 600}


def test_change_at_the_same_time_in_two_windows_keeps_both(path: Path) -> None:
    one, two = Settings(path), Settings(path)
    with ThreadPoolExecutor(2) as threads:
        for size in range(14, 23):
            both = [
                threads.submit(one.set, "font_size", size),
                threads.submit(two.set, "cache_lifetime_s", size),
            ]
            assert [each.result() for each in both] == [None, None]
            assert json.loads(path.read_bytes()) == {"font_size": size, "cache_lifetime_s": size}
    assert (one.notice, two.notice) == ("", "")


def test_file_locked_by_another_process_is_said_and_written_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "LOCK_TIMEOUT_S", 0.05)
    settings = Settings(path)
    with FileLock(path.with_suffix(".lock")):
        settings.set("font_size", 22)
        assert "cannot be saved: Another process" in settings.notice
        assert not path.exists()
    settings.set("theme", "dark")
    assert json.loads(path.read_bytes()) == {"theme": "dark", "font_size": 22}


def test_a_file_that_cannot_be_read_is_not_overwritten(path: Path) -> None:
    # A folder in the file's place is what even root cannot read.
    path.mkdir()
    (path / "mine").write_text("mine")
    settings = Settings(path)
    assert "Is a directory" in settings.notice
    settings.set("theme", "dark")
    assert settings.get("theme") == "dark"
    assert "The settings cannot be saved" in settings.notice
    assert (path / "mine").read_text() == "mine"


def test_a_folder_that_is_gone_is_told_and_the_change_holds(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "gone" / "settings.json")
    settings.set("theme", "dark")
    assert settings.get("theme") == "dark"
    assert "The settings cannot be saved: The data folder was deleted" in settings.notice


SECRET_ADDRESSES = (
    "https://me:pass9word@collector.test/v1/traces",
    "https://pass9word@collector.test/v1/traces",
    "https://collector.test/v1/traces?api_key=pass9word",
    "https://collector.test/v1/traces#token=pass9word",
    "https://collector.test/v1/traces?x-honeycomb-team=pass9word",
    "https://collector.test/v1/traces?dataset=prod&license=pass9word",
    "https://collector.test/v1/traces;key=pass9word",
)


@pytest.mark.parametrize("address", [*SECRET_ADDRESSES, "https://collector.test/sk_pass9word12345/traces"])
def test_address_with_a_secret_is_refused_and_not_in_the_file(address: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings = Settings(path)
    settings.set("font_size", 14)
    with pytest.raises(InputError, match="OpenTelemetry collector has a user name, password or key"):
        settings.set("otel_collector", address)
    assert settings.get("otel_collector") == ""
    settings.set("font_size", 15)
    assert "pass9word" not in path.read_text()


@pytest.mark.parametrize("address", SECRET_ADDRESSES)
def test_secret_in_the_address_of_an_older_file_is_removed_at_once(address: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"otel_collector": address, "font_size": 14, "of_a_newer_version": 1}))
    settings = Settings(path)
    assert settings.get("otel_collector") == "https://collector.test/v1/traces"
    assert "OpenTelemetry collector" in settings.notice
    assert "pass9word" not in settings.notice
    assert json.loads(path.read_text()) == {
        "otel_collector": "https://collector.test/v1/traces",
        "font_size": 14,
        "of_a_newer_version": 1,
    }
    assert [each.name for each in tmp_path.iterdir()] == ["settings.json"]


FILTERS: Json = {"slow": "is:failed", "mine": 'tag:"a b"', "third": "x"}


@pytest.mark.parametrize(
    ("name", "stored", "valid"),
    [
        ("saved_filters", {"a": "is:failed", "bad": 7, "b": "x"}, {"a": "is:failed", "b": "x"}),
        ("shortcuts", {"send": "Ctrl+J", "save": None}, {"send": "Ctrl+J"}),
        ("dismissed_advice", {"a": "b", "c": ["d"]}, {"a": "b"}),
        ("recent_files", ["/a", 5, "/b"], ["/a", "/b"]),
        ("recent_files", [f"/{n}" for n in range(20)], [f"/{n}" for n in range(16)]),
        ("splitter_sizes", [300, "x", 400], []),
    ],
)
def test_bad_entry_loses_no_other_and_is_not_overwritten_without_a_copy(
    path: Path, name: str, stored: Json, valid: Json
) -> None:
    path.write_text(json.dumps({name: stored, "theme": "dark"}))
    errors: list[str] = []
    settings = Settings(path, on_error=errors.append)
    assert settings.get(name) == valid
    assert name in settings.notice
    settings.set("theme", "light")
    assert json.loads(path.read_bytes())[name] == stored
    new: Json = {"new": "y"} if isinstance(valid, dict) else [1] if name == "splitter_sizes" else ["/new"]
    settings.set(name, new)
    copied = json.loads((path.parent / "settings.damaged.json").read_bytes())
    assert copied == {name: stored, "theme": "light"}
    assert errors == ["The settings file had values that are not valid; it was copied to settings.damaged.json."]
    settings.set("font_size", 15)
    assert len(list(path.parent.glob("settings.damaged*"))) == 1


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "bad", ["dark", '"dark', '"dark" "', "[" * 3_000 + "]" * 3_000, '"da\udcffrk"', '{"font_size": 11', "1" * 5_000]
)
def test_syntax_error_in_one_setting_loses_that_one_only(path: Path, bad: str, indent: int | None) -> None:
    values = {"font_size": 14, "theme": "BAD", "saved_filters": FILTERS, "zoom": 110}
    text = json.dumps(values, indent=indent).replace('"BAD"', bad)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    settings = Settings(path)
    found = [settings.get(name) for name in ("font_size", "theme", "saved_filters", "zoom")]
    assert found[1:] == ["system", FILTERS, 110]
    assert found[0] == (11 if "font_size" in bad else 14)
    assert "renamed to settings.damaged.json. Recovered settings: font_size, " in settings.notice
    again = Settings(path)
    assert again.notice == ""
    assert again.get("saved_filters") == FILTERS


def test_syntax_error_in_one_saved_filter_loses_that_one_only(path: Path) -> None:
    text = json.dumps({"theme": "dark", "saved_filters": FILTERS, "zoom": 110}, indent=1)
    path.write_text(text.replace('"mine": ', '"mine": x'))
    settings = Settings(path)
    assert settings.get("saved_filters") == {"slow": "is:failed", "third": "x"}
    assert (settings.get("theme"), settings.get("zoom")) == ("dark", 110)


@pytest.mark.parametrize("junk", ["1e999\n", "\xfa\xa0", '_filters": {\n', "{", ",,"])
def test_junk_between_saved_filters_loses_none(path: Path, junk: str) -> None:
    text = json.dumps({"theme": "dark", "saved_filters": FILTERS, "zoom": 110}, indent=1)
    path.write_text(text.replace('  "mine": ', junk + '  "mine": '))
    settings = Settings(path)
    assert settings.get("saved_filters") == FILTERS
    assert (settings.get("theme"), settings.get("zoom")) == ("dark", 110)


def test_cut_settings_keep_what_is_whole(path: Path) -> None:
    text = json.dumps({"theme": "dark", "saved_filters": FILTERS, "zoom": 110}, indent=1)
    path.write_text(text[: text.index('"third"') + 4])
    settings = Settings(path)
    assert settings.get("saved_filters") == {"slow": "is:failed", "mine": 'tag:"a b"'}
    assert settings.get("theme") == "dark"
