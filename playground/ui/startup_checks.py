"""Before Qt is loaded: what keeps a window from opening, and imports that the start skips; versions for bug reports."""

from __future__ import annotations

import builtins
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, SupportsIndex

from playground import __version__

if TYPE_CHECKING:
    from importlib.abc import Loader

_SIGNATURES = frozenset(
    f"shibokensupport.signature.{name}"
    for name in ("errorhandler", "layout", "lib.enum_sig", "lib.pyi_generator", "lib.tool", "mapping", "parser")
)


class _OnDemand:
    """Finds PySide's modules about signatures, and has each executed when a name in it is first asked for.

    PySide needs them for the text of a TypeError. It would compile them from their sources at each start: a tenth of
    the time to the first frame.
    """

    def __init__(self) -> None:
        self._loaders: dict[str, Loader] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _SIGNATURES:
            return None
        for finder in sys.meta_path:
            found = None if finder is self else finder.find_spec(name, path, target)
            if found is not None and found.loader is not None:
                self._loaders[name] = found.loader
                return ModuleSpec(name, self)  # type: ignore[arg-type]
        return None

    def create_module(self, _spec: ModuleSpec) -> None:
        """Let Python create the module."""

    def exec_module(self, module: ModuleType) -> None:
        own, spec, members = module.__name__, module.__spec__, vars(module)

        def execute_and_get(name: str) -> Any:
            if spec is None or name.startswith("__"):
                raise AttributeError(name)
            if members.pop("__getattr__", None) is not None:
                # PySide has published the module under another name. Its loader knows this one.
                published, spec.name = spec.name, own
                self._loaders[own].exec_module(module)
                spec.name = published
            return members[name]

        members["__getattr__"] = execute_and_get
        if own.endswith(".mapping"):
            # PySide's C++ code takes this one from the dict of the module.
            members["update_mapping"] = lambda: execute_and_get("update_mapping")()


class _KeepsFirst(list[Any]):
    """Finders of modules, of which the first stays the first: PySide puts its own before all others."""

    def insert(self, index: SupportsIndex, finder: object) -> None:
        super().insert(max(int(index), 1), finder)


def skip_unused_imports() -> None:
    """Import QtCore without the modules about signatures, and keep Python's own function for imports.

    A PySide that has no such modules or function is left as it is.
    """
    finder, before = _OnDemand(), sys.meta_path
    sys.meta_path = _KeepsFirst([finder, *before])
    try:
        import PySide6.QtCore  # noqa: F401
    finally:
        # Others may hold the list that Python made: it stays the same object, with the finders that PySide has added.
        before[:] = [other for other in sys.meta_path if other is not finder]
        sys.meta_path = before

    # At each import PySide's own function looks for `from __feature__ import …`, which this program does not use.
    builtins.__import__ = vars(builtins).get("__orig_import__", builtins.__import__)


PARTS = ("PySide6_Essentials", "qasync", "httpx", "msgspec", "keyring", "mcp", "opentelemetry-sdk", "PySide6_Addons")
"""Libraries whose versions matter in a bug report; the last three belong to extras."""

LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""Shared libraries that Qt's wheels load everywhere on Linux, and the Debian package that has each."""

X11_LIBRARIES = {
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}
"""The same for a window on an X display."""

_HEADLESS_PLATFORMS = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")


def obstacle(environment: Mapping[str, str], platform: str = sys.platform) -> str | None:
    """Return why no window can open here, and the remedy; None if a window can open."""
    if not platform.startswith("linux"):
        return None
    headless = environment.get("QT_QPA_PLATFORM", "").split(":")[0] in _HEADLESS_PLATFORMS
    if headless or _reaches_wayland(environment):
        return None  # a library that is missing is found by `missing_qt`, if Qt cannot be imported
    if not display_reachable(environment):
        return _no_display(environment)
    missing = missing_libraries({**LIBRARIES, **X11_LIBRARIES})
    return missing_sentence(missing) if missing else None


def missing_qt(platform: str = sys.platform) -> str | None:
    """Return the message for libraries without which Qt cannot be imported; None if all of them are present."""
    missing = missing_libraries(LIBRARIES) if platform.startswith("linux") else {}
    return missing_sentence(missing) if missing else None


def program_versions() -> dict[str, str]:
    """Return the versions of the program, Python, the system and the libraries, by name."""
    # Imported here: they take 15 ms, and the start does not need them.
    import platform as system
    from importlib import metadata

    found = {
        "Program": f"Electron Playground {__version__}{' (bundle)' if getattr(sys, 'frozen', False) else ''}",
        "Python": f"{system.python_version()} ({system.python_implementation()})",
        "System": f"{system.platform()} {system.machine()}",
    }
    for part in PARTS:
        try:
            found[part] = metadata.version(part)
        except metadata.PackageNotFoundError:
            continue
    return found


def missing_libraries(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the wanted shared libraries (file name to package) that cannot be loaded."""
    return {name: package for name, package in wanted.items() if not _loads(name)}


def _loads(name: str) -> bool:
    import ctypes  # 3 ms

    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _no_display(environment: Mapping[str, str]) -> str:
    display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    found = f"the display {display} cannot be reached" if display else "this machine has no display"
    return (
        f"Electron Playground needs a display to open its window, and {found}. "
        "Start it on a desktop, or under Xvfb (xvfb-run electron-playground); "
        "`electron-playground send`, `log` and `self-test` work without one."
    )


def missing_sentence(missing: Mapping[str, str]) -> str:
    """Return the message for missing libraries (file name to package)."""
    return (
        f"Electron Playground cannot open its window: Qt needs {', '.join(missing)}, not found on this machine. "
        f"On Debian or Ubuntu: apt-get install {' '.join(missing.values())}"
    )


def display_reachable(environment: Mapping[str, str]) -> bool:
    """Return whether the X or Wayland display in the environment accepts a connection."""
    return _reaches_wayland(environment) or _reaches_x(environment.get("DISPLAY", ""))


def _reaches_wayland(environment: Mapping[str, str]) -> bool:
    name = environment.get("WAYLAND_DISPLAY")
    if not name:
        return False
    path = Path(environment.get("XDG_RUNTIME_DIR", ""), name)
    return _connects(socket.AF_UNIX, str(path))


def _reaches_x(display: str) -> bool:
    host, separator, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if not separator or not number.isdigit():
        return False
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return _connects(socket.AF_UNIX, path) or _connects(socket.AF_UNIX, "\0" + path)
    return _connects(socket.AF_INET, (host, 6000 + int(number)))


def _connects(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(3)
            probe.connect(address)
    except (OSError, OverflowError, ValueError):
        return False
    return True
