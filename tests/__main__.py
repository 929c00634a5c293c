"""Run every check: lint, format, types, import contracts, tests. Headless, without a key or a network.

With arguments only pytest runs, on these files or with these options.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("importlinter.cli",),
    ("pytest", "-q", "-n", str(min(os.cpu_count() or 1, 4))),
)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    # The user's own key must neither be used nor change what the tests see.
    environment.pop("SMALLEST_API_KEY", None)
    environment.pop("ELECTRON_PLAYGROUND_HOME", None)
    return environment


def _command(check: tuple[str, ...]) -> list[str]:
    module, *arguments = check
    if module == "importlinter.cli":
        return [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    return [sys.executable, "-m", module, *arguments]


def main(extra: list[str]) -> int:
    """Run the checks, or only pytest with `extra` arguments. Returns the number of checks that failed, at most 1."""
    checks = ((*CHECKS[-1], *extra),) if extra else CHECKS
    failed = []
    for check in checks:
        print("+", " ".join(check), flush=True)
        if subprocess.run(_command(check), cwd=ROOT, env=_environment(), check=False).returncode:
            failed.append(check[0])
    if failed:
        print("failed:", ", ".join(failed))
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
