"""The table that `python -m tests.benchmarks` writes."""

from __future__ import annotations

from tests.benchmarks.__main__ import BEGIN, BENCHMARKS, END, ROOT, Benchmark, Outcome, row, run, table


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
