"""Run every check: lint, format, types, import contracts, tests. Headless, without a key or a network.

With arguments only pytest runs, on these files or with these options. Tests run in parallel workers, and the other
checks beside them. On Linux the workers are forked after the tests were collected (`forked_workers`), and temporary
files are in memory. Tests that fail there are run once more, alone: a test with a time limit may fail beside others on
a busy machine. Their names are printed, and the run fails if any fails again. Without arguments, the values in a failed
assertion are printed by this second run only: pytest's rewriting of all assertions takes 8 s of processor time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.forked_program import SUPPORTED

ROOT = Path(__file__).parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("importlinter.cli",),
)
MAX_ALONE = 25
"""More failures than this are not caused by a busy machine: they are not run again."""
IN_MEMORY = Path("/dev/shm")
FREE_BYTES = 2 << 30
"""Temporary files are on the disk if less memory than this is free. All tests together write a tenth of it."""


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    # The user's own key must neither be used nor change what the tests see.
    environment.pop("SMALLEST_API_KEY", None)
    environment.pop("ELECTRON_PLAYGROUND_HOME", None)
    # Qt says at each start that it needs another locale.
    if environment.get("LC_ALL") in {"C", "POSIX"}:
        environment["LC_ALL"] = "C.UTF-8"
    # Some tests start the program in a new interpreter: without cached bytecode each compiles 400 files.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _run(*command: str, folder: str | None) -> int:
    print("+", " ".join(command), flush=True)
    environment = _environment() | ({} if folder is None else {"TMPDIR": folder})
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=False).returncode


def _checked() -> list[str]:
    """Run the checks one after the other and print the output of each when it ends. Returns those that failed."""
    failed = []
    for module, *arguments in CHECKS:
        program = [sys.executable, "-m", module, *arguments]
        if module == "importlinter.cli":
            program = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
        done = subprocess.run(
            program, cwd=ROOT, env=_environment(), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output = done.stdout.decode("utf-8", "replace")
        print(f"\n+ {' '.join((module, *arguments))}\n{output}", end="", flush=True)
        if done.returncode:
            failed.append(module)
    return failed


def _parallel() -> tuple[str, ...]:
    """Return pytest's options for parallel workers."""
    # Tests wait for servers and timers a third of their time: two workers more than processors.
    workers = str(min((os.cpu_count() or 1) + 2, 6))
    if SUPPORTED:
        return ("-p", "tests.forked_workers", "--forked-workers", workers)
    return ("-n", workers)


def _memory_is_free() -> bool:
    try:
        return shutil.disk_usage(IN_MEMORY).free >= FREE_BYTES
    except OSError:
        return False


def _pytest(extra: list[str]) -> bool:
    """Run the tests. Returns whether they passed, some of them perhaps only alone."""
    if "TMPDIR" in os.environ or not _memory_is_free():
        return _pytest_in(None, extra)
    # On a disk, each commit of a log and each deletion of a folder is waited for.
    with tempfile.TemporaryDirectory(prefix="tests-", dir=IN_MEMORY, ignore_cleanup_errors=True) as folder:
        return _pytest_in(folder, extra)


def _pytest_in(folder: str | None, extra: list[str]) -> bool:
    """Run the tests with their temporary files in this folder, or in the usual one."""
    # Files of tests that passed are deleted at once.
    files = ("-o", "tmp_path_retention_policy=failed")
    found = extra or ["--assert=plain"]
    status = _run("pytest", "-q", *_parallel(), *files, f"--maxfail={MAX_ALONE}", *found, folder=folder)
    if status != 1:
        return status == 0
    print("Tests that failed are run once more, alone:")
    return _run("pytest", "-q", "--last-failed", "--last-failed-no-failures=none", *extra, folder=folder) == 0


def main(extra: list[str]) -> int:
    """Run the checks, or only pytest with `extra` arguments. Returns 0 if all passed, else 1."""
    with ThreadPoolExecutor(1) as pool:
        # Types alone need a processor for half a minute, and tests wait a fifth of their time.
        checks = None if extra else pool.submit(_checked)
        passed = _pytest(extra)
        failed = ([] if checks is None else checks.result()) + ([] if passed else ["pytest"])
    if failed:
        print("failed:", ", ".join(failed))
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
