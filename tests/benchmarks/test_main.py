"""The table that `python -m tests.benchmarks` writes."""

from __future__ import annotations

from tests.benchmarks.__main__ import BEGIN, BENCHMARKS, END, ROOT, Benchmark, Outcome, Peer, row, run, table


def test_table_without_markers_is_added_at_the_end() -> None:
    page = table("# Figures\n", {"stop": "| `stop` | 1 ms |"})
    assert page.startswith("# Figures\n\n")
    assert page.index(BEGIN) < page.index("| `stop` | 1 ms |") < page.index(END)


def test_table_with_new_row_keeps_other_rows_and_text() -> None:
    first = table("# Figures\n", {"stop": "| `stop` | 1 ms |", "start": "| `start` | 2 ms |"})
    second = table(f"{first}Below.\n", {"stop": "| `stop` | 3 ms |"})
    assert "| `stop` | 1 ms |" not in second
    assert second.index("| `start` | 2 ms |") < second.index("| `stop` | 3 ms |")
    assert second.count(BEGIN) == 1
    assert second.endswith("Below.\n")


def test_row_with_pipes_and_markup_stays_one_row() -> None:
    text = row("stop", Outcome(("a | b", "<b>"), 3, 1.0), "abc")
    assert "\n" not in text
    assert "**exit status 3**<br>a \\| b<br>&lt;b>" in text


def test_row_of_a_peer_has_the_lines_that_compare() -> None:
    text = row(
        "stop", Outcome(("ours 1 ms", "other", "theirs 2 ms"), 0, 1.0), "abc", Peer("stop", "curl", "ours|theirs")
    )
    assert text.startswith("| `stop` | stop | curl | ours 1 ms<br>theirs 2 ms | ")


def test_table_of_peers_is_beside_the_other_table() -> None:
    page = table(table("# Figures\n", {"stop": "| `stop` | 1 ms |"}), {"stop": "| `stop` | curl |"}, peers=True)
    assert page.index("| `stop` | 1 ms |") < page.index("instead") < page.index("| `stop` | curl |")
    again = table(page, {"stop": "| `stop` | wget |"}, peers=True)
    assert again == page.replace("curl", "wget")


def test_benchmarks_have_a_module_each() -> None:
    modules = {path.stem.removeprefix("bench_") for path in (ROOT / "tests/benchmarks").glob("bench_*.py")}
    assert {benchmark.name for benchmark in BENCHMARKS} == modules - {"log_corpus"}


def test_run_timeout_keeps_the_last_lines() -> None:
    outcome = run(Benchmark("stop"), ("1000000",), 0.5)
    assert outcome.status is None
    assert outcome.seconds < 30
    assert outcome.cell.startswith("**exit status timeout**")


def test_run_failure_has_status_and_error() -> None:
    outcome = run(Benchmark("stop"), ("not a number",), 60)
    assert outcome.status == 1
    assert any("ValueError" in line for line in outcome.lines)
