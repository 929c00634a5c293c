"""Run every check: lint, format, types, import contracts, tests. Headless, without a key or a network.

With arguments only pytest runs, on these files or with these options. Tests run in parallel workers, and the other
checks beside them. Tests that fail there are run once more, alone: a test with a time limit may fail beside others on a
busy machine. Their names are printed, and the run fails if any fails again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("importlinter.cli",),
)
MAX_ALONE = 25
"""More failures than this are not caused by a busy machine: they are not run again."""


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    # The user's own key must neither be used nor change what the tests see.
    environment.pop("SMALLEST_API_KEY", None)
    environment.pop("ELECTRON_PLAYGROUND_HOME", None)
    # Some tests start the program in a new interpreter: without cached bytecode each compiles 400 files.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _run(*command: str) -> int:
    print("+", " ".join(command), flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=_environment(), check=False).returncode


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


def _pytest(extra: list[str]) -> bool:
    """Run the tests. Returns whether they passed, some of them perhaps only alone."""
    # Tests wait for servers and timers a fifth of their time: one worker more than processors.
    workers = str(min((os.cpu_count() or 1) + 1, 4))
    status = _run("pytest", "-q", "-n", workers, f"--maxfail={MAX_ALONE}", *extra)
    if status != 1:
        return status == 0
    print("Tests that failed are run once more, alone:")
    return _run("pytest", "-q", "--last-failed", "--last-failed-no-failures=none", *extra) == 0


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
