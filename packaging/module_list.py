"""The list of all modules with their subjects, made from the first line of each docstring.

python packaging/module_list.py > docs/modules.md
"""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "playground"
HEAD = """# Modules

Every module with its subject: the first line of its docstring. [architecture.md](architecture.md) explains the folders
and says where to make a change. Written by `python packaging/module_list.py > docs/modules.md`.
"""


def _subject(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n\n")[0].replace("\n", " ")


def markdown() -> str:
    """Return the page: a heading per folder with the folder's subject, and a line per module."""
    files = sorted(PACKAGE.rglob("*.py"), key=lambda file: (file.parent.parts, file.name))
    lines = [HEAD]
    for folder, group in itertools.groupby(files, key=lambda file: file.parent):
        modules = {file.name: _subject(file) for file in group}
        lines += [f"## {folder.relative_to(PACKAGE.parent).as_posix()}/", "", modules.pop("__init__.py"), ""]
        lines += [f"- `{name}`: {subject}" for name, subject in modules.items()]
        lines.append("")
    return "\n".join(lines).rstrip().replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
