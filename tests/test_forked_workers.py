"""The plugin that runs tests in forked processes, in a pytest of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked_program import SUPPORTED

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="workers are forked on Linux only")
ROOT = Path(__file__).parent.parent


def run(folder: Path, tests: str, *arguments: str) -> tuple[int, str]:
    """Run these tests in two workers. Returns the exit status and the output of pytest."""
    file = folder / "test_sample.py"
    file.write_text("import os, pytest, sys, time, warnings\nfrom pathlib import Path\n" + tests, "utf-8")
    options = ("-q", "-rA", "-p", "tests.forked_workers", "--forked-workers", "2", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, "-c", "/dev/null", f"--rootdir={folder}", str(file)]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # those of other packages import Qt and hypothesis
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_results_of_all_tests_are_reported_once(tmp_path: Path) -> None:
    status, text = run(
        tmp_path,
        """
@pytest.mark.parametrize("number", range(40))
def test_pass(number): pass
def test_fail():
    print("text of the test"); assert 1 + 1 == 3
@pytest.fixture
def broken(): raise OSError("no such fixture")
def test_error(broken): pass
@pytest.mark.skip(reason="not now")
def test_skip(): pass
@pytest.mark.xfail(strict=True)
def test_expected(): raise ValueError
def test_warn(): warnings.warn("careful", UserWarning)
""",
    )
    assert status == 1
    assert "1 failed, 41 passed, 1 skipped, 1 xfailed, 1 warning, 1 error in" in text
    assert re.findall(r"^FAILED \S*test_sample.py::(\w+)", text, re.MULTILINE) == ["test_fail"]
    assert re.findall(r"^ERROR \S*test_sample.py::(\w+)", text, re.MULTILINE) == ["test_error"]
    assert len(re.findall(r"^PASSED \S*test_sample.py::test_pass\[", text, re.MULTILINE)) == 40
    assert "assert (1 + 1) == 3" in text
    assert text.count("text of the test\n") == 1
    assert "UserWarning: careful" in text


def test_test_that_ends_the_process_has_failed_and_others_run(tmp_path: Path) -> None:
    status, text = run(
        tmp_path,
        """
@pytest.mark.parametrize("number", range(60))
def test_many(number):
    if number == 7: os._exit(9)
    if number == 8: os.abort()
""",
    )
    assert status == 1
    assert "2 failed, 58 passed in" in text
    assert re.findall(r"^FAILED \S*test_sample.py::(\S+)", text, re.MULTILINE) == ["test_many[7]", "test_many[8]"]
    assert "the worker process ended with status 9 in this test" in text
    assert "the worker process ended with status -6 in this test" in text


def test_fixtures_are_set_up_and_torn_down_once_per_worker(tmp_path: Path) -> None:
    status, text = run(
        tmp_path,
        f"""
FOLDER = Path({str(tmp_path)!r})
@pytest.fixture(scope="session")
def server():
    file = FOLDER / f"up-{{os.getpid()}}"
    file.touch(exist_ok=False)
    yield
    file.rename(FOLDER / f"down-{{os.getpid()}}")
@pytest.mark.parametrize("number", range(40))
def test_many(server, tmp_path, number):
    assert [each.name for each in tmp_path.parent.parent.iterdir() if each.name[:6] != "worker"] == [".lock"]
    assert tmp_path.parent.name[:6] == "worker"
""",
    )
    assert (status, re.findall(r"\d+ passed", text)) == (0, ["40 passed"])
    assert 1 <= len(list(tmp_path.glob("down-*"))) <= 2
    assert list(tmp_path.glob("up-*")) == []


def test_run_ends_after_as_many_failures_as_may_be(tmp_path: Path) -> None:
    # As a shell starts a command in the background.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    status, text = run(
        tmp_path,
        f"""
FOLDER = Path({str(tmp_path)!r})
@pytest.fixture(scope="session", autouse=True)
def server():
    file = FOLDER / f"up-{{os.getpid()}}"
    file.touch(exist_ok=False)
    yield
    file.unlink()
@pytest.mark.parametrize("number", range(200))
def test_many(number): assert number < 0
""",
        "--maxfail=3",
    )
    signal.signal(signal.SIGINT, interrupt)
    assert status == 1
    assert "stopping after 3 failures" in text
    assert "3 failed in" in text
    assert list(tmp_path.glob("up-*")) == []


def test_tests_with_a_fixture_of_their_module_run_in_one_worker(tmp_path: Path) -> None:
    status, text = run(
        tmp_path,
        f"""
FOLDER = Path({str(tmp_path)!r})
@pytest.fixture(scope="module")
def shared():
    (FOLDER / f"up-{{os.getpid()}}").touch(exist_ok=False)
@pytest.fixture(scope="module", params=[0, 1])
def given(request): (FOLDER / f"given-{{request.param}}").touch(exist_ok=False)
@pytest.mark.parametrize("number", range(40))
def test_many(shared, number): time.sleep(0.002)
@pytest.mark.parametrize("number", range(40))
def test_alone(number): pass
@pytest.mark.parametrize("number", range(40))
def test_more(shared, number): pass
@pytest.mark.parametrize("number", range(40))
def test_given(given, number): time.sleep(0.002)
""",
    )
    assert (status, re.findall(r"\d+ passed", text)) == (0, ["200 passed"])
    assert len(list(tmp_path.glob("up-*"))) == 1
