"""The project's own promises: packaging, contracts, pins."""

from __future__ import annotations

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import requires, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.exhaustive

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_package_is_installed() -> None:
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "playground").rglob("__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"playground._resources"}


def test_every_dependency_is_pinned() -> None:
    text = (ROOT / "packaging/constraints.txt").read_text("utf-8")
    pins = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    wanted = {re.split(r"[^\w.-]", line)[0].lower() for line in requires("electron-playground") or ()}
    # An extra may name another extra of this project.
    assert wanted - {"electron-playground"} <= pins


def test_no_address_of_a_registry_and_no_path_of_a_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    forbidden = re.compile("pypi" + r"\.org|python" + r"hosted|registry\.npm" + "js|/ro" + "ot/|/wo" + "rk/")
    hits = [
        name
        for name in listed
        if name and not name.endswith(".png") and forbidden.search((ROOT / name).read_text("utf-8", "replace"))
    ]
    assert hits == []


def test_qt_survives_five_thousand_signals() -> None:
    """PySide6 6.12.0 on Python 3.11 aborts after some 600."""
    code = (
        "from PySide6.QtCore import QObject, Signal\n"
        "class Sender(QObject):\n"
        "    fired = Signal(bool)\n"
        "seen = []\n"
        "sender = Sender(); sender.fired.connect(seen.append)\n"
        "for _ in range(5000): sender.fired.emit(True)\n"
        "assert len(seen) == 5000\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert version("PySide6-Essentials") != "6.12.0"


QT_MODULES = ("ui", "app", "cli.selftest")
PANES = ("prompt", "response", "inspector", "log")


def _modules() -> list[str]:
    """Return every module of the package, dotted, without the leading `playground.`."""
    files = (ROOT / "playground").rglob("*.py")
    return sorted(".".join(f.relative_to(ROOT / "playground").with_suffix("").parts) for f in files)


def _outside(*folders: str) -> list[str]:
    return [name for name in _modules() if not any(name == f or name.startswith(f + ".") for f in folders)]


def _inside(folder: str) -> list[str]:
    return [name for name in _modules() if name.startswith(folder + ".")]


def _bound(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = (name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]  # not of a dict whose item is set


def test_no_module_binds_a_name_twice() -> None:
    """The second value would replace the first one everywhere: rows of one list had the height of another."""
    found = {}
    for file in (ROOT / "playground").rglob("*.py"):
        names = Counter(name for node in ast.parse(file.read_text("utf-8")).body for name in _bound(node))
        if twice := sorted(name for name, count in names.items() if count > 1):
            found[file.relative_to(ROOT).as_posix()] = twice
    assert found == {}


CONTRACT_BREAKERS = {
    "layers: imports point one way": (
        _outside("cli", "app", "ui", "__main__", "__init__"),
        "import playground.ui.theme",
    ),
    "simulator: shares no code": (_inside("simulator"), "import playground.prompt.document"),
    "httpx: imported by client only": (_outside("client"), "import httpx"),
    "Qt: imported by ui, app and the self-test only": (_outside(*QT_MODULES), "import PySide6.QtCore"),
    "sqlite3: imported by requestlog only": (_outside("requestlog"), "import sqlite3"),
    "panes: independent of each other": (_inside("ui.panes.prompt"), "import playground.ui.panes.response"),
}


def test_import_contracts_broken_in_random_modules_fail(tmp_path: Path) -> None:
    """Break all contracts in one copy, each in a module chosen at random from all that it covers."""
    shutil.copytree(ROOT / "playground", tmp_path / "playground", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken: dict[str, str] = {}
    for contract, (modules, line) in CONTRACT_BREAKERS.items():
        module = random.choice([name for name in modules if name not in broken.values()])
        file = tmp_path.joinpath("playground", *module.split(".")).with_suffix(".py")
        file.write_text(f"{file.read_text('utf-8')}\n{line}\n", "utf-8")
        broken[contract] = module
    code = "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"
    environment = {**os.environ, "COLUMNS": "400"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode != 0
    for contract, module in broken.items():
        name = f"playground.{module}".removesuffix(".__init__")
        imported = CONTRACT_BREAKERS[contract][1].removeprefix("import ").removesuffix(".QtCore")
        assert re.search(re.escape(contract) + r".*BROKEN", done.stdout), module
        # Each section begins with its contract underlined, and names the import.
        section = re.search(rf"^{re.escape(contract)}[^\n]*\n-+\n(.*?)(?=^[^\n]+\n-+\n|\Z)", done.stdout, re.M | re.S)
        assert section is not None, contract
        assert re.search(rf"{re.escape(name)} -> {imported} \(l\.", section[1]), section[1]
