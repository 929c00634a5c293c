"""Package descriptions: valid, consistent with the program, and with paths that exist. Packages are not built here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from PySide6.QtGui import QImage

from playground import install_advice

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"
METAINFO = PACKAGING / "linux/ai.smallest.electron_playground.metainfo.xml"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module packaging/build.py."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    spec = importlib.util.spec_from_file_location("packaging_build", PACKAGING / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def test_icons_have_the_sizes_of_their_names(build: ModuleType) -> None:
    for size in build.ICON_SIZES:
        image = QImage(str(ROOT / f"resources/app/icons/{size}.png"))
        assert (image.width(), image.height()) == (size, size)


@pytest.mark.parametrize(
    "command",
    [
        ("desktop-file-validate", ROOT / "resources/app/electron-playground.desktop"),
        ("appstreamcli", "validate", "--no-net", METAINFO),
        ("flatpak-builder", "--show-manifest", PACKAGING / "linux/ai.smallest.electron_playground.yml"),
    ],
)
def test_descriptions_are_valid_for_the_tool_of_their_format(command: tuple[str | Path, ...]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_metainfo_release_is_the_version(build: ModuleType) -> None:
    release = ET.parse(METAINFO).find("releases/release")
    assert release is not None
    assert release.get("version") == build.version()


def test_workflow_runs_commands_that_exist(build: ModuleType) -> None:
    workflow = _yaml(ROOT / ".github/workflows/packages.yml")
    lines = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    commands = re.findall(r"packaging/build\.py (\S+)", "\n".join(lines))
    assert {"wheel", "deb", "appimage", "dmg", "msi"} <= set(commands) <= set(build.COMMANDS)
    assert set(workflow["jobs"]) == {"linux", "flatpak", "macos", "windows"}


def test_flatpak_manifest_names_existing_sources_and_installs_the_entry(build: ModuleType) -> None:
    path = PACKAGING / "linux/ai.smallest.electron_playground.yml"
    manifest = _yaml(path)
    assert manifest["id"] == ET.parse(METAINFO).findtext("id")
    (module,) = manifest["modules"]
    for source in module["sources"]:
        found = (path.parent / source["path"]).resolve()
        assert found.exists() or found == build.DIST / "electron-playground"
    copied = {source["dest"] for source in module["sources"]}
    for command in module["build-commands"]:
        for word in re.findall(r"(?<= )(\w+)/([\w./]+)", command):
            assert word[0] in copied or command.startswith("ln "), command
    assert manifest["rename-desktop-file"] == build.ENTRY.name


def test_windows_installer_is_well_formed_and_upgradable() -> None:
    space = "{http://wixtoolset.org/schemas/v4/wxs}"
    package = ET.parse(PACKAGING / "windows/electron-playground.wxs").find(f"{space}Package")
    assert package is not None
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(package.get("UpgradeCode")))
    found = package.find(f"{space}Feature")
    assert found is not None
    feature = [item.get("Id") for item in found]
    defined = {item.get("Id") for kind in ("ComponentGroup", "Component") for item in package.findall(f"{space}{kind}")}
    assert set(feature) == defined


def test_pyinstaller_specification_compiles_and_keeps_pythons_libraries() -> None:
    text = (PACKAGING / "electron-playground.spec").read_text("utf-8")
    compile(text, "electron-playground.spec", "exec")
    system, drop = (
        re.compile("".join(re.findall(r'r"((?:[^"])*)"', part)))
        for part in (text.split("system = ")[1].split("\n\n")[0], text.split("drop = ")[1].split("\n)")[0])
    )
    for name in ("libpython3.11.so.1.0", "libssl.so.3", "libcrypto.so.3", "libsqlite3.so.0", "libffi.so.8"):
        assert not system.fullmatch(name)
    for name in ("libglib-2.0.so.0", "libX11.so.6", "libxcb-cursor.so.0", "libstdc++.so.6", "libkrb5.so.3"):
        assert system.fullmatch(name)
    assert drop.search("PySide6/Qt/lib/libavcodec.so.61")
    assert not drop.search("PySide6/Qt/plugins/platforms/libqwayland.so")


def test_app_dir_has_start_entry_and_icon(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dist/electron-playground/electron-playground"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho started\n")
    program.chmod(0o755)
    monkeypatch.setattr(build, "DIST", tmp_path / "dist")
    folder = build.app_dir(tmp_path / "AppDir")
    started = subprocess.run([folder / "AppRun"], capture_output=True, text=True, check=True)
    assert started.stdout == "started\n"
    icon = re.search(r"^Icon=(.*)$", (folder / "electron-playground.desktop").read_text(), re.MULTILINE)
    assert icon is not None
    assert (folder / f"{icon[1]}.svg").is_file()


COLLATE = (
    "from PySide6.QtCore import QCollator, QLocale\n"
    "collator = QCollator(QLocale('sv_SE'))\n"
    "print(''.join(sorted('zöoåa', key=collator.sortKey)))"
)


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("ld"), reason="Linux with binutils")
def test_icu_data_shrunk_library_still_collates(build: ModuleType, tmp_path: Path) -> None:
    import PySide6

    libraries = list(Path(PySide6.__path__[0]).glob("Qt/lib/libicudata.so.*"))
    if not libraries:
        pytest.skip("this Qt has no ICU")
    copy = tmp_path / libraries[0].name
    shutil.copyfile(libraries[0], copy)
    assert build.icu_data.shrink(copy) < 6_000_000
    environment = {**os.environ, "LD_PRELOAD": str(copy), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", COLLATE], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("aozåö", "")


def test_build_paths_in_libraries_become_relative(build: ModuleType, tmp_path: Path) -> None:
    code = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder = done.stdout.strip().encode()
    library = tmp_path / "a.so.1"
    library.write_bytes(b"\0libc.so.6\0" + folder + b"\0end")
    (tmp_path / "a.so").symlink_to(library.name)
    build._remove_build_paths(Path(sys.executable), tmp_path)
    expected = b"\0libc.so.6\0" + (b"$ORIGIN".ljust(len(folder), b"\0") if sys.platform == "linux" else folder)
    assert library.read_bytes() == expected + b"\0end"


def test_licences_have_texts_and_a_valid_list_of_components(build: ModuleType, tmp_path: Path) -> None:
    build.licences(Path(sys.executable), tmp_path)
    sbom = json.loads((tmp_path / "sbom.cdx.json").read_text("utf-8"))
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["type"]) == ("CycloneDX", "application")
    assert sbom["metadata"]["component"]["version"] == build.version()
    names = {part["name"].lower() for part in sbom["components"]}
    assert {"httpx", "qasync", "pyside6_essentials", "mcp", "opentelemetry-sdk"} <= names
    assert all(part["purl"].startswith("pkg:pypi/") and part["version"] for part in sbom["components"])
    files = {file.name for file in tmp_path.iterdir()}
    assert any(name.startswith("httpx-LICENSE") for name in files)
    assert not [name for name in files if name.endswith((".py", ".pyc"))]


def test_install_advice_in_a_bundle_does_not_name_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "electron-playground[mcp]" in install_advice("mcp")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "pip" not in install_advice("mcp")


def test_command_line_reference_is_current(build: ModuleType) -> None:
    import man_page  # type: ignore[import-not-found]

    written = (ROOT / "docs/cli.md").read_text("utf-8")
    assert written == man_page.markdown(), "run: python packaging/man_page.py --markdown > docs/cli.md"


def test_list_of_modules_is_current(build: ModuleType) -> None:
    import module_list  # type: ignore[import-not-found]

    written = (ROOT / "docs/architecture.md").read_text("utf-8")
    assert written == module_list.page(), "run: python packaging/module_list.py"
