"""A condition that prevents the window from opening is reported, without an abort."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from playground.ui.startup_checks import display_reachable, missing_libraries, missing_qt, obstacle


def test_no_display_is_said() -> None:
    said = obstacle({}, "linux")
    assert said is not None
    assert "no display" in said
    assert "xvfb-run" in said


def test_a_display_that_is_not_there_is_named() -> None:
    said = obstacle({"DISPLAY": ":4077"}, "linux")
    assert said is not None
    assert "the display :4077 cannot be reached" in said


def test_nonsense_in_display_is_not_a_display() -> None:
    for display in ("x", ":", ":abc", "nowhere", ":-1", "localhost:999999"):
        assert not display_reachable({"DISPLAY": display})


def test_a_wayland_display_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "wayland-9"))
        server.listen()
        assert display_reachable({"WAYLAND_DISPLAY": "wayland-9", "XDG_RUNTIME_DIR": str(tmp_path)})


def test_offscreen_needs_no_display() -> None:
    assert obstacle({"QT_QPA_PLATFORM": "offscreen"}, "linux") is None


def test_other_systems_are_left_to_qt() -> None:
    assert obstacle({}, "darwin") is None


def test_a_missing_library_is_named_with_its_package() -> None:
    wanted = {"libnot-here.so.9": "libnot-here9", "libc.so.6": "libc6"}
    assert missing_libraries(wanted) == {"libnot-here.so.9": "libnot-here9"}


IMPORTS = """
import sys, importlib
sys.modules.update(dict.fromkeys(("opentelemetry", "mcp", "PySide6.QtTextToSpeech")))
from playground.ui.session import FIRST_REQUEST, FIRST_VIEWS
late = {"httpx", "sqlite3", "playground.runs.service", "playground.prefix_cache.view"} & set(sys.modules)
assert not late, f"imported before the first paint: {late}"
slow = [
    value for name, module in list(sys.modules.items()) if name.startswith("playground.")
    for value in vars(module).values() if isinstance(value, type) and hasattr(value, "__dataclass_fields__")
]
assert not slow, f"a dataclass takes 0.5 ms, a msgspec.Struct 0.015 ms: {slow}"
for name in ("agent", "keep_warm", "results", "versions"): importlib.import_module(f"playground.ui.controllers.{name}")
late = {"sqlite3", "playground.requestlog.log_queries", "playground.lint.model", "playground.prefix_cache.forecaster"}
late = late & set(sys.modules)
assert not late, f"imported before the panes are usable: {late}"
for name in FIRST_REQUEST + FIRST_VIEWS: importlib.import_module('playground.' + name)
"""


def test_session_and_panes_leave_the_modules_of_the_first_request_which_need_no_extras() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_views_are_imported_before_the_first_click_on_them(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys, threading
from pathlib import Path

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "playground.lint.service":
            print(threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Finder())
from playground.ui.session import Session, make_application, make_runner
application = make_application()
async def started():
    session = Session(application, Path({str(tmp_path)!r}), {{}})
    session.show()
    await session.ready.wait()
    while session.window.answers.adviser.document is None:
        await asyncio.sleep(0.01)
    loaded, window = set(sys.modules), session.window
    window.actions_table["chain"].trigger()
    window.actions_table["voice"].trigger()
    for mode in ("compare", "batch", "recorder"):
        window.actions_table["mode_" + mode].trigger()
    print(window.modes.current, sorted(name for name in set(sys.modules) - loaded if name.startswith("playground.")))
    await session.close()
with make_runner(application) as runner:
    runner.run(started())
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["False", "recorder []"], done


def test_missing_qt_on_other_systems_is_not_looked_for() -> None:
    assert missing_qt("darwin") is None


def test_skip_unused_imports_executes_the_modules_about_signatures_when_an_error_needs_them() -> None:
    code = """
import sys
from playground.ui.startup_checks import _SIGNATURES, skip_unused_imports
skip_unused_imports()
from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QWidget
def executed():
    return {name.rpartition(".")[2] for name in _SIGNATURES if vars(sys.modules[name]).get("__file__")}
print(sorted(executed()), len(sys.meta_path) - before, type(sys.meta_path).__name__, "feature" in __import__.__name__)
for wrong in (lambda: QObject(3), lambda: QTimer.singleShot("soon", 3), lambda: QObject("again")):
    try:
        wrong()
    except TypeError as error:
        print(str(error).splitlines()[-1])
print("\\n".join(sorted(executed())))
print(QWidget.__doc__[:34])
"""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; before = len(sys.meta_path)" + code],
        capture_output=True,
        text=True,
        check=True,
    )
    parent = "  PySide6.QtCore.QObject.__init__(parent: PySide6.QtCore.QObject | None = None,"
    parent += " *, objectName: str | None = None)"
    lines = done.stdout.splitlines()
    assert lines[:2] == ["[] 0 list False", parent]
    assert lines[2].startswith("  PySide6.QtCore.QTimer.singleShot(msec: int,")
    assert lines[3] == parent
    assert lines[4:-1] == ["errorhandler", "layout", "mapping", "parser", "tool"]
    assert lines[-1] == "QWidget(self, /, parent: PySide6.Q"


def test_start_of_the_window_imports_no_argument_parser(tmp_path: Path) -> None:
    code = f"""
import os, sys
def leave(status):
    print("msgspec" in sys.modules, "argparse" in sys.modules)
    sys.stdout.flush()
    end(status)
end, os._exit = os._exit, leave
sys.argv = ["playground", "--data-dir", {str(tmp_path)!r}, "--exit-after-first-paint"]
from playground.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "True False"


def test_collections_begin_when_a_command_is_imported() -> None:
    code = """
import gc
from playground.__main__ import main
print(gc.isenabled())
main(["completion", "bash"])
print(gc.isenabled())
"""
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert (lines[0], lines[-1]) == ("False", "True")
