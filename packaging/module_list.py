"""Write the list of all modules with their subjects, the first line of each docstring, into docs/architecture.md.

python packaging/module_list.py
"""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "playground"
PAGE = ROOT / "docs/architecture.md"
BEGIN = "<!-- modules: begin -->\n"


def _subject(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n\n")[0].replace("\n", " ")


def page() -> str:
    """Return the page with a current list: a heading per folder with the folder's subject, and a line per module."""
    files = sorted(PACKAGE.rglob("*.py"), key=lambda file: (file.parent.parts, file.name))
    lines = []
    for folder, group in itertools.groupby(files, key=lambda file: file.parent):
        modules = {file.name: _subject(file) for file in group}
        lines += [f"### {folder.relative_to(ROOT).as_posix()}/", "", modules.pop("__init__.py"), ""]
        lines += [f"- `{name}`: {subject}" for name, subject in modules.items()]
        lines.append("")
    before, _, _ = PAGE.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + "\n" + "\n".join(lines).rstrip().replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
