"""Imports at their usual price.

PySide reads the source of every module that is imported after it, to see whether the module could want one of its
opt-in spellings (`from __feature__ import snake_case`). No module here wants any; leaving the search out makes the
start about 11 ms shorter and 4 MB smaller (tests/benchmarks/bench_start.py).
"""

from __future__ import annotations

import sys
from types import ModuleType


def lean_imports() -> None:
    """Have PySide leave the sources of modules alone from now on. Where PySide has no such search, nothing is done."""
    import PySide6.QtCore  # noqa: F401

    search = sys.modules.get("shibokensupport.feature")
    if search is not None and hasattr(search, "_mod_uses_pyside"):
        vars(search)["_mod_uses_pyside"] = _wants_no_feature


def _wants_no_feature(_module: ModuleType) -> bool:
    return False
