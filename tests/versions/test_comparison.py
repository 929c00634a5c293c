"""Versions for readers: rows, counts and the boundary of two versions, and all versions as one file."""

from __future__ import annotations

import json
from pathlib import Path

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import load
from playground.ui.controllers.versions import headline
from playground.versions.comparison import VersionBoundary, VersionComparison, compare, summary
from playground.versions.history import History, version_id
from playground.versions.service import VersionFigures, VersionStore, export_versions

RULES = [f"{number}. Rule number {number} of the telephone agent." for number in range(1, 31)]


def agent(lines: list[str], question: str = "{{caller}} asks:\n{{question}}") -> Document:
    return Document(messages=(Message("system", "\n".join(lines)), Message("user", question)))


def compared(old: Document, new: Document) -> VersionComparison:
    return compare(old, new, lambda document: CacheForecaster().look(document, "simulator", "electron"))


def test_compare_variable_inserted_in_rules_moves_the_boundary_up() -> None:
    edited = [*RULES[:10], "Today is {{today}}.", *RULES[10:]]
    found = compared(agent(RULES), agent(edited))
    assert (found.added, found.removed) == (1, 0)
    assert found.moved_tokens < -100
    assert (found.new.part, found.new.line, found.new.cause) == (0, 10, "{{today}}")
    assert (found.old.part, found.old.line, found.old.cause) == (1, 0, "{{caller}}")
    signs = [(row.sign, row.text) for row in found.rows]
    at = signs.index(("new_boundary", "{{today}}"))
    assert signs[at + 1] == ("come", "Today is {{today}}.")
    assert ("old_boundary", "{{caller}}") in signs[at:]


def test_compare_rows_number_lines_of_each_version() -> None:
    found = compared(agent(RULES), agent([*RULES[:10], "{{x}}", *RULES[11:]]))
    assert [(row.sign, row.old_line, row.new_line) for row in found.rows if row.sign in ("gone", "come")] == [
        ("gone", 11, None),
        ("come", None, 11),
    ]
    same = [(row.old_line, row.new_line, row.zone) for row in found.rows if row.sign == "same"][:4]
    assert same == [(9, 9, "stable"), (10, 10, "stable"), (12, 12, "variable"), (13, 13, "variable")]


def test_compare_no_variable_everything_is_stable() -> None:
    found = compared(agent(RULES, "hi"), agent(RULES, "ho"))
    assert found.new.tokens == found.new.total
    assert not found.new.cause
    assert {row.zone for row in found.rows if row.sign in ("same", "come", "gone")} == {"stable"}


def test_compare_equal_versions_has_no_change() -> None:
    found = compared(agent(RULES), agent(RULES))
    assert (found.added, found.removed, found.moved_tokens) == (0, 0, 0)


def test_compare_message_removed_and_tool_added_names_the_parts() -> None:
    tool = Tool.of({"type": "function", "function": {"name": "lookup"}})
    new = Document(tools=(tool,), messages=(Message("user", "q"),))
    heads = [row.text for row in compared(agent(["s"], "q"), new).rows if row.sign == "head"]
    assert heads == ["system, removed", "tool lookup, added"]


def test_summary_several_changes_counts_them() -> None:
    new = Document(messages=(Message("system", "a\nc\nd"), Message("user", "z"), Message("user", "y")))
    old = Document(messages=(Message("system", "a\nb"), Message("user", "q")))
    assert summary(old, new) == "system: 2 lines added, 1 removed; user: 1 line changed; 1 more"
    assert summary(None, Document(name="acme")) == "From acme"


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


def test_headline_says_that_the_boundary_moved_if_its_tokens_differ() -> None:
    old, new = VersionBoundary(167, 900, 1, 2, ""), VersionBoundary(166, 900, 1, 2, "")
    found = VersionComparison(old, new, (), 1, 1)
    assert headline(found) == "This edit moved the boundary up by ≈ 1 token"
    assert headline(VersionComparison(old, old, (), 1, 1)) == "The boundary of the stable prefix did not move"
