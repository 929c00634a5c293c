"""Version histories on disk: identity, edits, size, damage, full disk, two processes."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.prompt.document import Document, Message, Tool
from playground.storage.json_file import FileWriter
from playground.storage.settings import Settings
from playground.versions import history as history_module
from playground.versions.history import MAX_CHAIN, edits_between
from playground.versions.service import PromptIdentity, VersionService, VersionStore, history_key
from tests.forked_program import start_script

KEY = "id:a"
WORDS = ["prefix", "cache", "token", "caller", "balance", "roaming", "plan", "invoice", "भाषा", "言語", "\U0001f600"]


def prompt(system: str, question: str = "{{question}}", **variables: str) -> Document:
    messages = (Message("system", system), Message("user", question))
    return Document("agent", (Tool.of({"type": "function", "function": {"name": "f"}}),), messages, variables)


def systems(store: VersionStore, key: str = KEY) -> list[str | None]:
    history = store.load(key)
    documents = [history.document(version.id) for version in history.versions()]
    return [document.messages[0].content if document else None for document in documents]


def test_search_finds_versions_by_the_text_of_their_prompt(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    for text in ("Rule one.\nRule two.", 'Say "hello".', "C:\\new", "नमस्ते", "Rule ONE again"):
        store.record(KEY, prompt(text), "sent")
    ids = [version.id for version in store.load(KEY).versions()]

    def numbers(wanted: str) -> list[int]:
        found = store.load(KEY).search(wanted)
        return [ids.index(id_) for id_ in ids if id_ in found]

    assert numbers("rule one") == [0, 4]
    assert numbers('"HELLO"') == [1]
    assert numbers("c:\\new") == [2]
    assert numbers("नमस्ते") == [3]
    assert numbers("nrule") == [], "an escape is not text"
    assert numbers("nothing") == []


def test_texts_random_edits_are_those_of_each_version(tmp_path: Path) -> None:
    chance, store = random.Random(4), VersionStore(tmp_path)
    lines = [f"{number} {chance.choice(WORDS)}" for number in range(200)]
    for number in range(60):
        lines[chance.randrange(200)] = f"changed {number}"
        store.record(KEY, prompt("\n".join(lines)), "sent")
    history = VersionStore(tmp_path).load(KEY)
    assert dict(history.texts()) == {id_: history.text(id_) for id_ in history.contents}


def test_record_many_requests_of_one_version_are_noted_once(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    for _ in range(2):
        store.record(KEY, prompt("one"), "sent", run_ids=("a", "b", "c"))
    assert [version.run_ids for version in VersionStore(tmp_path).load(KEY).versions()] == [("a", "b", "c")]


def test_record_changed_prompts_makes_one_version_per_content(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    for number, text in enumerate(("one", "two", "one", "three\nfour")):
        store.record(KEY, prompt(text), "sent", run_ids=(f"run-{number}",))
    assert systems(VersionStore(tmp_path)) == ["one", "two", "three\nfour"]
    versions = VersionStore(tmp_path).load(KEY).versions()
    assert [version.run_ids for version in versions] == [("run-0", "run-2"), ("run-1",), ("run-3",)]
    assert versions[1].summary == "system: 1 line changed"


def test_record_other_values_of_variables_is_the_same_version(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    ids = {store.record(KEY, prompt("s", question=value), "sent") for value in ("{{question}}",)}
    ids |= {store.record(KEY, prompt("s", name=value), "sent") for value in ("Asha", "Ravi")}
    assert len(ids) == 1
    assert store.record(KEY, replace(prompt("s"), parameters={"seed": 1}), "sent") not in ids


def test_edits_between_random_texts_restore_the_new_text(tmp_path: Path) -> None:
    random.seed(5)
    store, expected = VersionStore(tmp_path), []
    lines = [" ".join(random.choices(WORDS, k=9)) for _ in range(60)]
    for step in range(MAX_CHAIN + 40):
        for _ in range(random.choice((1, 1, 1, 2, 5))):
            at = random.randrange(len(lines))
            lines[at : at + random.randrange(2)] = random.choice(([], [f"line {step} \\n \\\\n \ud800"], lines[:2]))
        lines = lines[-80:] or ["x"]
        expected.append("\n".join(lines))
        store.record(KEY, prompt(expected[-1]), "sent")
    found = systems(VersionStore(tmp_path))
    assert found == list(dict.fromkeys(expected))


@pytest.mark.parametrize(
    ("old", "new"), [("", "a"), ("a", ""), ("a\nb\nc", "a\nB\nc\nd"), ("aaaa", "aa"), ("\\n", "\n")]
)
def test_edits_between_edge_cases_apply(old: str, new: str) -> None:
    text = old
    for start, end, piece in reversed(edits_between(old, new)):
        text = text[:start] + piece + text[end:]
    assert text == new


@pytest.mark.exhaustive
def test_load_many_versions_of_a_long_prompt_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_CHAIN", 100)
    random.seed(1)
    lines = [" ".join(random.choices(WORDS[:8], k=18)) for _ in range(1_000)]
    store, edits = VersionStore(tmp_path), 0
    for step in range(150):
        lines[random.randrange(1_000)] = line = f"Rule {step}: " + " ".join(random.choices(WORDS[:8], k=12))
        edits += len(line)
        store.record(KEY, prompt("\n".join(lines)), "sent")
    one = len("\n".join(lines).encode())
    assert sum(bool(content.whole) for content in store.load(KEY).contents.values()) == 2
    assert store.path(KEY).stat().st_size <= 2 * one + edits + 150 * 200  # 200: the record of a version


def test_load_torn_and_damaged_lines_keeps_the_other_versions(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    for text in ("one", "two", "three"):
        store.record(KEY, prompt(text), "sent")
    path = store.path(KEY)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"two", b"2wo") + lines[2] + lines[1][:20])
    again = VersionStore(tmp_path)
    again.record(KEY, prompt("four"), "sent", run_ids=("r",))
    history = VersionStore(tmp_path).load(KEY)
    assert history.damaged == 2
    assert [history.document(version.id) is not None for version in history.versions()] == [True, False, True]
    assert history.versions()[-1].run_ids == ("r",)


def test_load_damaged_line_costs_the_versions_up_to_the_next_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, texts = VersionStore(tmp_path), [f"Rule {step}." for step in range(130)]
    for text in texts[:-60]:
        store.record(KEY, prompt(text), "sent")
    with monkeypatch.context() as earlier:  # a longer chain of an earlier version of the program is read
        earlier.setattr(history_module, "MAX_CHAIN", 500)
        for text in texts[-60:]:
            store.record(KEY, prompt(text), "sent")
    assert systems(VersionStore(tmp_path)) == texts
    lines = store.path(KEY).read_bytes().split(b"\n")
    lines[4] = lines[4].replace(b"Rule 4", b"Rule X").replace(b'"4"', b'"X"')
    store.path(KEY).write_bytes(b"\n".join(lines))
    left = systems(VersionStore(tmp_path))
    assert [text for text in left if text] == texts[:4] + texts[51:]


@pytest.mark.parametrize("data", [b"\0" * 5_000, b"[]\n{}\n", b"00000000 {}\n" * 3, b"zz \xff\n", b"\n\n"])
def test_load_foreign_bytes_is_empty_and_usable(tmp_path: Path, data: bytes) -> None:
    store = VersionStore(tmp_path)
    store.path(KEY).parent.mkdir()
    store.path(KEY).write_bytes(data)
    assert store.load(KEY).versions() == []
    store.record(KEY, prompt("one"), "sent")
    assert systems(VersionStore(tmp_path)) == ["one"]


def test_record_disk_full_leaves_the_history_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VersionStore(tmp_path)
    store.record(KEY, prompt("one"), "sent")
    before = store.path(KEY).read_bytes()
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return write(handle, data[:40])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        store.record(KEY, prompt("two"), "sent")
    monkeypatch.undo()
    assert store.path(KEY).read_bytes() == before
    store.record(KEY, prompt("three"), "sent")
    assert systems(VersionStore(tmp_path)) == systems(store) == ["one", "three"]


def test_record_two_stores_take_turns_sees_both(tmp_path: Path) -> None:
    one, other = VersionStore(tmp_path), VersionStore(tmp_path)
    for number in range(6):
        (one, other)[number % 2].record(KEY, prompt(f"text {number}"), "sent", run_ids=(str(number),))
    assert systems(one) == systems(other) == [f"text {number}" for number in range(6)]


def test_record_two_processes_at_once_loses_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.versions.test_store import *\n"
        "store = VersionStore(Path(sys.argv[1]))\n"
        "for n in range(60): store.record(KEY, prompt(f'{sys.argv[2]} {n}'), 'sent')\n"
    )
    running = [start_script(script, str(tmp_path), name) for name in "ab"]
    for process in running:
        with process:
            assert process.wait(60) == 0
    history = VersionStore(tmp_path).load(KEY)
    assert history.damaged == 0
    assert set(systems(VersionStore(tmp_path))) == {f"{name} {n}" for name in "ab" for n in range(60)}


def test_annotate_version_keeps_label_and_note(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    id_ = store.record(KEY, prompt("one"), "sent")
    store.annotate(KEY, id_, "Baseline", "for release 2")
    store.annotate(KEY, id_, "Baseline 2", "n")
    version = VersionStore(tmp_path).load(KEY).versions()[0]
    assert (version.title, version.note) == ("Baseline 2", "n")


def test_adopt_draft_saved_to_a_file_continues_its_history(tmp_path: Path) -> None:
    store, file = VersionStore(tmp_path), tmp_path / "p.prompt.json"
    store.record(KEY, prompt("one"), "sent")
    store.adopt(KEY, history_key(file, "a"))
    store.record(history_key(file, "a"), prompt("two"), "saved")
    store.adopt(KEY, history_key(file, "a"))  # the file has a history now
    assert systems(store, history_key(file, "other id")) == ["one", "two"]
    store.delete(history_key(file, "a"))
    assert (systems(store, history_key(file, "a")), systems(store)) == ([], ["one"])


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_record_file_is_private(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    store.record(KEY, prompt("one"), "sent")
    assert (store.path(KEY).stat().st_mode & 0o777, store.path(KEY).parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("damaged", [b"", b"[1, 2]", bytes(range(256)), None])
async def test_note_in_a_damaged_history_says_that_earlier_versions_are_lost(
    tmp_path: Path, damaged: bytes | None
) -> None:
    messages: list[str] = []
    identity = PromptIdentity(None, "a")
    path = VersionStore(tmp_path).path(identity.key)
    VersionStore(tmp_path).record(identity.key, prompt("one"), "sent")
    path.write_bytes(path.read_bytes()[:-20] if damaged is None else damaged)

    writer = FileWriter()
    service = VersionService(tmp_path, Settings(tmp_path / "settings.json"), writer, messages.append)
    service.note(identity, prompt("two"), "sent")
    service.note(identity, prompt("three"), "sent")
    await writer.flush()
    assert messages == [f"Earlier versions of this prompt could not be read: {path.name} in versions is damaged."]


@pytest.mark.exhaustive
def test_record_process_killed_while_appending_keeps_every_acknowledged_version(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.versions.test_store import *\n"
        "store = VersionStore(Path(sys.argv[1]))\n"
        "for n in range(10_000): store.record(KEY, prompt(f'{sys.argv[2]} {n}'), 'sent'); print(n, flush=True)\n"
    )
    random.seed(2)
    acknowledged: list[str] = []
    for round_ in range(5):
        with start_script(script, str(tmp_path), str(round_)) as process:
            assert process.stdout is not None
            done = [process.stdout.readline() for _ in range(random.randrange(5, 40))]
            process.kill()
            done += process.stdout.readlines()
        acknowledged += [f"{round_} {line.strip()}" for line in done if line.endswith("\n")]
    found = systems(VersionStore(tmp_path))
    assert set(acknowledged) <= set(found)
    assert len(found) <= len(acknowledged) + 5


def test_record_beyond_the_limit_is_refused_and_the_history_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VersionStore(tmp_path)
    store.record(KEY, prompt("one"), "sent")
    monkeypatch.setattr("playground.versions.service.MAX_BYTES", store.path(KEY).stat().st_size + 10)
    with pytest.raises(OSError, match="more than"):
        store.record(KEY, prompt("two"), "sent")
    assert systems(VersionStore(tmp_path)) == ["one"]


@pytest.mark.parametrize(
    "record",
    [
        history_module.Named("v1", "cut \ud83d", "note \udc00"),
        history_module.Content("v2", 1.0, "sent", base="v1", edits=[(0, 1, "\ud83d")]),
    ],
)
def test_record_with_half_a_surrogate_pair_is_read_as_written(record: history_module.Record) -> None:
    line = history_module.encode_record(record)
    assert history_module.decode_record(line.rstrip(b"\n")) == record
