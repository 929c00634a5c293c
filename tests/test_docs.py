"""The documentation: links exist, pages are in the site; labels, keys, options, files and figures are the program's."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from playground.agent.service import tag_of
from playground.cli import BAD_INPUT, FAILED, FINISHED, NOT_LOGGED, STOPPED
from playground.cli.arguments import RUN, build_parser
from playground.requestlog.filter import GROUP_KINDS, KEYS
from playground.simulator.scenarios import OTHERS, STATUSES
from playground.storage.settings import SETTINGS
from playground.ui.actions import ACTIONS
from playground.ui.panes.log.table import ASKS as LOG_ASKS
from playground.ui.panes.prompt.cards import ACTIONS as CARD_ACTIONS
from playground.ui.recorder.table import ASKS as RECORDER_ASKS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "packaging/README.md", *sorted(DOCS.rglob("*.md"))]


def _without_code(text: str) -> str:
    return re.sub(r"^\s*```.*?^\s*```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that forges and the site make of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_page_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert broken == []


def test_site_lists_every_page_once_and_every_picture_is_used() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = re.findall(r"[\w/.-]+\.md", yaml.safe_dump(site["nav"]))
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [path.name for path in (DOCS / "images").iterdir() if path.name not in text] == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {re.split(r"[^\w.-]", line)[0] for line in wanted} - {"electron-playground"}
    text = (DOCS / "dependencies.md").read_text("utf-8")
    assert [name for name in sorted(names) if name not in text] == []


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "jobs/why-not-cached/index.html").exists()


CHECKED = [
    ROOT / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if page.name not in ("figures.md", "judged.md")),
]
by_page = pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.relative_to(ROOT).as_posix())
TERMS = {"variable region"}
"""Words in italics that are terms, not labels."""


def _prose(page: Path) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def literals() -> str:
    """All texts in the program's code and in its tables."""
    in_code = (
        node.value
        for path in (ROOT / "playground").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return "\n".join((*in_code, (ROOT / "resources/settings.json").read_text("utf-8")))


@by_page
def test_labels_in_italics_are_in_the_program(page: Path, literals: str) -> None:
    labels = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", _prose(page))
    parts = {part.removesuffix(" …") for label in labels for part in label.split(" › ")} - TERMS
    assert [part for part in sorted(parts) if part not in literals] == []


@by_page
def test_keys_are_keys_of_the_window(page: Path) -> None:
    known = {spec.shortcut for spec in ACTIONS} | {key for _, _, key in CARD_ACTIONS} | {"Ctrl+C", "Shift+Tab"}
    written = re.findall(r"(?<![\w+])(?:(?:Ctrl|Shift|Alt)\+)+(?:[A-Z][a-z]+|F\d|[A-Z\d+,./-])|\bF\d\b", _prose(page))
    assert [key for key in written if key.replace("Enter", "Return") not in known] == []


STATED_KEYS = [
    ("README.md", "Ctrl+Enter sends and stops", "send"),
    ("README.md", "Ctrl+K finds every command", "palette"),
    ("README.md", "Ctrl+L filters the log", "filter_log"),
    ("README.md", "Ctrl+F finds", "find"),
    ("README.md", "Ctrl+H replaces", "replace"),
    ("README.md", "Ctrl+Shift+C copies the request_id", "copy_request_id"),
    ("README.md", "Ctrl+Shift+T a support ticket", "copy_ticket"),
    ("README.md", "F6 moves between panes", "next_pane"),
    ("README.md", "Ctrl+/ lists all keys", "keys"),
    ("README.md", "Batch mode (Ctrl+3)", "mode_batch"),
    ("docs/window.md", "Prompt (Ctrl+1)", "mode_prompt"),
    ("docs/window.md", "Compare (Ctrl+2)", "mode_compare"),
    ("docs/window.md", "Batch (Ctrl+3)", "mode_batch"),
    ("docs/window.md", "Recorder (Ctrl+4)", "mode_recorder"),
    ("docs/window.md", "Ctrl+Alt+M maximises", "maximise"),
    ("docs/window.md", "Repeat (Ctrl+Shift+R)", "repeat"),
    ("docs/window.md", "Agent loop (Ctrl+Shift+Enter)", "chain"),
    ("docs/window.md", "Voice timeline (F8)", "voice"),
    ("docs/window.md", "Guide (F1)", "guide"),
    ("docs/versions.md", "(Ctrl+Alt+H)", "versions"),
    ("docs/agent.md", "*Run agent loop* (Ctrl+Shift+Enter)", "chain"),
    ("docs/compare.md", "*Compare* (Ctrl+2)", "mode_compare"),
    ("docs/record.md", "Recorder mode (Ctrl+4)", "mode_recorder"),
]


@pytest.mark.parametrize(("page", "phrase", "action"), STATED_KEYS)
def test_key_does_what_a_page_says(page: str, phrase: str, action: str) -> None:
    assert phrase in " ".join((ROOT / page).read_text("utf-8").split())
    shortcut = next(spec.shortcut for spec in ACTIONS if spec.id == action)
    assert shortcut.replace("Return", "Enter") in phrase


def test_keys_of_rows_are_those_of_the_tables() -> None:
    line = (DOCS / "request_log.md").read_text("utf-8").partition("## Actions on rows")[2].partition("##")[0]
    stated = {re.match(r"[\w+]+", part.strip())[0] for part in line.split("·")[1:]}  # type: ignore[index]
    assert stated == {ask.key for ask in LOG_ASKS if ask.key} | {"Ctrl+C"}
    table = (DOCS / "record.md").read_text("utf-8").partition("| key in the rows |")[2]
    stated = set(re.findall(r"^\| ([\w+]+) \|", table.partition("\n\n")[0], re.MULTILINE))
    assert stated == {key for _, _, key in RECORDER_ASKS}


def _commands() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    return next(dict(item.choices) for item in actions if isinstance(item, argparse._SubParsersAction))


def _invocations(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield every command of the program in code on a page, with the options after it."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    code = [*re.findall(r"```\w*\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)]
    names = "|".join(sorted(RUN, key=len, reverse=True))
    for block in code:
        for name, rest in re.findall(rf"electron-playground (?:--data-dir \S+ )?({names})\b((?:.|\n(?= ))*)", block):
            yield name, re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)


@by_page
def test_options_in_examples_exist(page: Path) -> None:
    commands = _commands()
    unknown = [
        f"{name} {option}"
        for name, options in _invocations(page)
        for option in options
        if option not in commands[name]._option_string_actions
    ]
    assert unknown == []


def test_examples_are_found() -> None:
    found = {name for page in CHECKED for name, _ in _invocations(page)}
    assert {"batch", "batch-merge", "check", "convert", "doctor", "log", "record", "replay", "simulator"} <= found


def test_exit_statuses_are_those_of_the_readme() -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    stated = re.search(
        r"Exit status: (\d+) finished, (\d+) failed or findings, (\d+) invalid input, "
        r"(\d+) finished but not logged, (\d+) stopped",
        text,
    )
    assert stated is not None
    assert [int(number) for number in stated.groups()] == [FINISHED, FAILED, BAD_INPUT, NOT_LOGGED, STOPPED]


def test_filter_terms_of_the_page_exist_and_all_are_named() -> None:
    text = "".join((DOCS / name).read_text("utf-8") for name in ("request_log.md", "export.md", "agent.md"))
    stated = {
        word
        for span in re.findall(r"`([^`]+)`", text)
        for word in re.findall(r"(?<![\w\"])([a-z]+):(?=[\w>\"<…])", span)
    }
    assert set(KEYS) - stated == {"conversation"}


def test_faults_of_the_page_are_those_of_the_simulator() -> None:
    table = (DOCS / "simulator.md").read_text("utf-8").partition("| fault | effect |")[2].partition("\n\n")[0]
    stated = {
        name.partition("=")[0]
        for row in table.splitlines()
        for name in re.findall(r"`([^`]+)`", row.split("|")[1] if "|" in row else "")
    }
    assert stated == {*STATUSES, *OTHERS}


FILES = [
    ("request-log.sqlite3", "playground.requestlog.store:FILE_NAME"),
    ("conversation.json", "playground.agent.service:CONVERSATION_FILE"),
    ("tool_answers.json", "playground.agent.service:ANSWERS_FILE"),
    ("requests.jsonl", "playground.telemetry.service:FILE"),
    ("cache_models.json", "playground.runs.cache_memory:FILE"),
    ("cache_lab.json", "playground.experiments.lab:FILE"),
    ("gate.json", "playground.runs.shared_rate_limiter:FILE_NAME"),
    ("electron-playground", "playground.storage.credentials:SERVICE"),
]


def _value(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("name", "where"), FILES)
def test_stored_files_have_the_names_of_the_page(name: str, where: str) -> None:
    assert _value(where) == name
    assert f"`{name}`" in (DOCS / "data.md").read_text("utf-8")


FIGURES = [
    ("batch.md", "the newest 20 batches", "playground.experiments.batch_session:KEEP", 20),
    ("data.md", "the newest 20 batches", "playground.experiments.batch_session:KEEP", 20),
    ("data.md", "`requests.jsonl.1` to `.4`", "playground.telemetry.service:BEFORE", 4),
    ("data.md", "10 MB each", "playground.telemetry.service:MOST_BYTES", 10_000_000),
    ("data.md", "a log up to 32 MB", "playground.requestlog.store:_CHECK_UP_TO", 32 * 1024 * 1024),
    ("check.md", "at most the newest 10,000", "playground.cli.check_inputs:MAX_ROWS", 10_000),
    ("check.md", "More than 20,000 messages", "playground.cli.check_inputs:MAX_MESSAGES", 20_000),
    ("check.md", "128 tokens or more", "playground.cli.check_losses:SERIOUS_TOKENS", 128),
    ("compare.md", "(1 to 20)", "playground.experiments.comparison:MOST_RUNS", 20),
    ("agent.md", "(default: five requests)", "playground.agent.loop:DEFAULT_LIMIT", 5),
    ("agent.md", "first 2,000 characters (40 lines)", "playground.ui.agent.view:SHOWN", 2_000),
    ("lint.md", "≈ 48 tokens or more", "playground.lint.prefix_order:SOME", 48),
    ("lint.md", "serious from 128", "playground.lint.prefix_order:MANY", 128),
    ("lint.md", "from 1,024 behind a variable", "playground.lint.prefix_order:MOST", 1_024),
    ("record.md", "64 MB at most", "playground.recorder.spool:MAX_BYTES", 64 * 1024 * 1024),
    ("record.md", "more than 4 MB of messages", "playground.recorder.feed:HOLD_BYTES", 4 * 1024 * 1024),
    ("record.md", "Beyond 128 MB", "playground.recorder.feed:MAX_BACKLOG_BYTES", 128 * 1024 * 1024),
    ("record.md", "the newest 2,000", "playground.ui.controllers.recorder_requests:MAX_ROWS", 2_000),
    ("record.md", "newest 50 conversations", "playground.ui.recorder.programs:MAX_CONVERSATIONS", 50),
    ("versions.md", "(at most 500)", "playground.versions.service:MAX_COMMITS", 500),
    ("versions.md", "whole at every 50th", "playground.versions.history:MAX_CHAIN", 50),
    ("request_log.md", "The first 1,024 rows", "playground.requestlog.ordered:NEAR", 1_024),
    ("request_log.md", "or when 128 wait", "playground.requestlog.log:OPEN_BLOCKS", 128),
    ("prefix_cache.md", "newest 2,000 accepted requests", "playground.runs.cache_memory:REMEMBERED", 2_000),
    ("prefix_cache.md", "the newest 5,000", "playground.runs.cache_memory:LEARNED_FROM", 5_000),
    ("prefix_cache.md", "every 3 s at most", "playground.runs.cache_memory:SAVED_EVERY_S", 3.0),
    ("window.md", "Below 1,150 pixels", "playground.ui.window_state:NARROW_PX", 1_150),
    ("window.md", "A request or experiment of 10 s", "playground.ui.widgets.notice:LONG_S", 10.0),
    ("window.md", "the first 200 variables", "playground.ui.panes.prompt.variables_table:MOST_ROWS", 200),
    ("jobs/support-ticket.md", "at most 100 requests", "playground.cli.log:MOST_SHOWN", 100),
]


def test_groups_and_tags_of_the_pages_are_those_of_the_program() -> None:
    groups = (DOCS / "request_log.md").read_text("utf-8").partition("## Groups")[2].partition("The list shows")[0]
    assert {*re.findall(r"`([a-z_]+)`", groups)} == {*GROUP_KINDS}
    assert f"`{tag_of('ID')}`" in (DOCS / "agent.md").read_text("utf-8")


@pytest.mark.parametrize(("page", "phrase", "where", "value"), FIGURES)
def test_figure_of_a_page_is_that_of_the_program(page: str, phrase: str, where: str, value: float) -> None:
    assert phrase in " ".join((DOCS / page).read_text("utf-8").split())
    assert _value(where) == value


DEFAULTS = [
    ("window.md", "80 to 200 %", "zoom", (100, 80, 200)),
    ("voice.md", "350 ms from text to ear", "voice_pipeline_ms", 350),
    ("voice.md", "200 ms of it in the speech engine", "voice_delay_ms", 200),
    ("voice.md", "15 characters per second", "voice_rate_tenths", 150),
    ("request_log.md", "both off by default", "log_keep_days", 0),
    ("request_log.md", "both off by default", "log_keep_mb", 0),
    ("export.md", "(a keyed hash and its length; the default)", "ticket_contents", "hashed"),
    ("../README.md", "no contents unless enabled", "request_lines_contents", False),
    ("../README.md", "Both are off by default", "request_lines", False),
    ("../README.md", "Both are off by default", "otel_collector", ""),
]


@pytest.mark.parametrize(("page", "phrase", "name", "expected"), DEFAULTS)
def test_default_of_a_page_is_that_of_the_setting(page: str, phrase: str, name: str, expected: object) -> None:
    assert phrase in " ".join((DOCS / page).read_text("utf-8").split())
    setting = next(setting for setting in SETTINGS if setting.name == name)
    found = (setting.default, setting.minimum, setting.maximum) if isinstance(expected, tuple) else setting.default
    assert found == expected


def test_parser_defaults_are_those_of_the_pages() -> None:
    commands = _commands()
    assert commands["record"].get_default("port") == 8788
    assert commands["check"].get_default("fail_on") == "serious"
    assert commands["batch"].get_default("order") == "warm"
    assert "(default 8788)" in (DOCS / "record.md").read_text("utf-8")
    text = (DOCS / "simulator.md").read_text("utf-8")
    rows = re.findall(r"^\| `(--[\w-]+) [^`]*`[^|]*\|[^|]*\| ([\w.]+) \|$", text, re.MULTILINE)
    stated = {option: value for option, value in rows if value != "off"}
    defaults = {option: str(commands["simulator"].get_default(option[2:].replace("-", "_"))) for option in stated}
    assert {option: value.removesuffix(".0") for option, value in defaults.items()} == stated
    assert {"--block-size", "--cache-ttl", "--ttft-ms", "--token-ms"} <= stated.keys()
