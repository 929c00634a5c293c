"""Versions as one file."""

from __future__ import annotations

import json
from pathlib import Path

from playground.prompt.document import Document, Message
from playground.prompt.files import load
from playground.versions.comparison import VersionFigures
from playground.versions.export import export_versions
from playground.versions.history import History, version_id
from playground.versions.service import VersionStore

KEY = "sk-abcdefghijklmnop1234"


def history(folder: Path) -> History:
    store = VersionStore(folder)
    for at, text in enumerate(("one", "one\n```\ntwo", f"three {KEY}")):
        document = Document("agent", messages=(Message("system", text), Message("user", "{{question}}")))
        store.record("id:a", document, "sent", run_ids=(f"run-{at}",), at=1_790_000_000.0 + at)
    store.annotate("id:a", version_id(document), "Best *so far*", "because")
    return store.load("id:a")


def test_export_versions_json_lines_have_every_prompt_and_its_figures(tmp_path: Path) -> None:
    made = history(tmp_path)
    first = next(iter(made.contents))
    data = export_versions(made, {first: VersionFigures(3, 0.5, 1.25)}, "jsonl")
    rows = [json.loads(line) for line in data.splitlines()]
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert [row["run_ids"] for row in rows] == [["run-0"], ["run-1"], ["run-2"]]
    assert (rows[0]["requests"], rows[0]["cached_share"], rows[0]["input_cost_per_1000"]) == (3, 0.5, 1.25)
    assert rows[1]["cached_share"] is None, "unknown is not 0"
    assert rows[0]["created_utc"] == "2026-09-21T14:13:20Z"
    assert load(json.dumps(rows[1]["prompt"])).messages[0].content == "one\n```\ntwo"
    assert KEY not in data.decode()


def test_export_versions_markdown_has_differences_and_no_markup_of_prompts(tmp_path: Path) -> None:
    text = export_versions(history(tmp_path), {}, "markdown", "<b>agent</b>").decode()
    assert text.startswith("# Versions of \\<b\\>agent")
    assert text.count("\n## Version ") == 3
    assert "Best \\*so far\\*" in text
    assert "````diff" in text, "a fence is longer than any in the prompt"
    assert "+ two" in text
    assert KEY not in text


def test_export_versions_damaged_version_is_named_and_others_are_complete(tmp_path: Path) -> None:
    made = history(tmp_path)
    ids = list(made.contents)
    del made.contents[ids[0]]
    rows = [json.loads(line) for line in export_versions(made, {}, "jsonl").splitlines()]
    assert [row["prompt"] is None for row in rows] == [made.text(id_) is None for id_ in ids[1:]]
