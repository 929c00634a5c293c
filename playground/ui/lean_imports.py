"""Faster import of PySide: work that only error messages and documentation need is done when it is needed.

PySide compiles the modules that describe its signatures from source at each start, and reads the source of each module
that is imported afterwards. A PySide that is built otherwise is imported as usual.
"""

from __future__ import annotations

import importlib.machinery
import sys
from importlib.machinery import ModuleSpec
from threading import RLock
from types import ModuleType
from typing import Any

_SIGNATURES = frozenset(
    f"shibokensupport.signature.{name}"
    for name in ("errorhandler", "layout", "lib.enum_sig", "lib.pyi_generator", "lib.tool", "mapping", "parser")
)
"""A third of the time that the import of PySide takes. Needed for TypeErrors, `inspect.signature` and `__doc__`."""
_TESTED = ((6, 11),)
"""Versions of PySide whose signature modules are known to be usable this way."""
_lock = RLock()


class _DeferredModule(ModuleType):
    """A module whose code runs when an attribute is missing for the first time."""

    def __getattr__(self, name: str) -> Any:
        with _lock:
            _load(self)
            if name in vars(self):
                return vars(self)[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _load(module: ModuleType) -> Any:
    with _lock:
        loader = vars(module).pop("_deferred", None)
        if loader is not None:
            vars(module).pop("update_mapping", None)
            module.__spec__ = ModuleSpec(module.__name__, loader)
            loader.exec_module(module)
    return module


class _DeferringLoader:
    """Creates modules whose code runs later."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module."""
        return _DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the work to the first use."""
        vars(module)["_deferred"] = self._loader
        # libshiboken looks this name up in the module's dictionary.
        vars(module)["update_mapping"] = lambda: _load(module).update_mapping()


def _spec(name: str, loader: Any, **options: Any) -> ModuleSpec:
    version = vars(sys.modules["shiboken6"]).get("__version_info__", ())
    deferred = name in _SIGNATURES and tuple(version[:2]) in _TESTED
    return ModuleSpec(name, _DeferringLoader(loader) if deferred else loader, **options)


def import_qt() -> None:
    """Import PySide's base without what the window does not need."""
    # PySide's finder of embedded modules makes their specifications with this name while it is imported.
    vars(importlib.machinery)["ModuleSpec"] = _spec
    try:
        import PySide6.QtCore  # noqa: F401
    finally:
        vars(importlib.machinery)["ModuleSpec"] = ModuleSpec
    search = sys.modules.get("shibokensupport.feature")
    if search is not None and hasattr(search, "_mod_uses_pyside"):
        vars(search)["_mod_uses_pyside"] = _wants_no_feature


def _wants_no_feature(_module: ModuleType) -> bool:
    return False
