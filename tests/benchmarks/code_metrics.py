"""Structure of the code as figures: files, importers, loose modules, repeated class names, late attributes.

Run `python -m tests.benchmarks.code_metrics`; docs/figures.md has its output.
"""

from __future__ import annotations

import ast
import collections
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "playground"


def _modules() -> dict[str, Path]:
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def _imports(tree: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if name in modules)
            if not all(name in modules for name in names):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def importers(modules: dict[str, Path]) -> dict[str, set[str]]:
    """Return for each module the modules of the package that import it."""
    found: dict[str, set[str]] = {name: set() for name in modules}
    for name, file in modules.items():
        for target in _imports(ast.parse(file.read_text("utf-8")), modules):
            if target in found and target != name:
                found[target].add(name)
    return found


def repeated_classes(modules: dict[str, Path]) -> dict[str, list[str]]:
    """Return the class names that are defined in more than one module, private ones aside."""
    where = collections.defaultdict(list)
    for name, file in modules.items():
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(name)
    return {name: places for name, places in sorted(where.items()) if len(places) > 1}


def tests_of_vars(modules: dict[str, Path]) -> list[str]:
    """Return the places that test `"name" in vars(self)`."""
    return [
        f"{name}:{number}"
        for name, file in modules.items()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if "in vars(self)" in line
    ]


def main() -> None:
    """Print each figure with its goal."""
    modules = _modules()
    lines = sum(len(file.read_text("utf-8").splitlines()) for file in modules.values())
    single = [name for name, users in importers(modules).items() if len(users) == 1]
    loose = [file.name for file in PACKAGE.glob("*.py")]
    repeated = repeated_classes(modules)
    print(f"Python files: {len(modules)} (goal ≤ 260)")
    print(f"lines: {lines:,} (goal ≤ 42,000)")
    print(f"modules with exactly one importer: {len(single)} = {100 * len(single) / len(modules):.0f} % (goal ≤ 25 %)")
    print(f"loose modules: {len(loose)} (goal ≤ 6): {', '.join(sorted(loose))}")
    print(f"class names with two or more meanings: {len(repeated)} (goal 0)")
    for name, places in repeated.items():
        print(f"    {name}: {', '.join(place.removeprefix('playground.') for place in places)}")
    print(f'"x" in vars(self): {len(tests_of_vars(modules))} (goal 0)')


if __name__ == "__main__":
    main()
