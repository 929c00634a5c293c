"""Builds the packages: `python packaging/build.py wheel|bundle|deb|…`. Results are in dist/.

Runs on a bare machine with Python: each command makes a virtual environment with the pinned packages it needs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
import venv
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import icu_data

ROOT = Path(__file__).resolve().parent.parent
BUILD, DIST = ROOT / "build", ROOT / "dist"
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
EXTRAS = "otel,mcp,speech"
ENTRY = ROOT / "resources/app/electron-playground.desktop"
METAINFO = ROOT / "packaging/linux/ai.smallest.electron_playground.metainfo.xml"
ICONS = ROOT / "resources" / "app" / "icons"
ICON_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
EPOCH = "1764201600"
"""SOURCE_DATE_EPOCH of builds: archives have the same times whenever they are built."""
MAINTAINER = "Electron Playground developers <maintainers@electron-playground.invalid>"
DEPENDS = (
    "libgl1, libegl1, libfontconfig1, libdbus-1-3, libxkbcommon0, libxkbcommon-x11-0, libxcb-cursor0, "
    "libxcb-icccm4, libxcb-image0, libxcb-keysyms1, libxcb-randr0, libxcb-render-util0, libxcb-shape0, libxcb-xkb1, "
    "libglib2.0-0, libx11-xcb1, libxcb-glx0, libxcb-shm0, libxcb-sync1, libxcb-xfixes0, libgssapi-krb5-2, libpulse0, "
    "libstdc++6, zlib1g"
)


def version() -> str:
    """Return the version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def environment(*packages: str) -> Path:
    """Return the interpreter of a virtual environment with these packages, pinned."""
    folder = BUILD / "venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, *packages], check=True)
    return python


def run(*command: object, **options: object) -> None:
    """Run a command; a failure ends the build."""
    subprocess.run([str(part) for part in command], check=True, **options)  # type: ignore[call-overload]


def wheel() -> None:
    """Build the wheel and the source archive, reproducibly."""
    python = environment("build", "setuptools>=77")
    shutil.rmtree(ROOT / "electron_playground.egg-info", ignore_errors=True)
    run(python, "-m", "build", "--outdir", DIST, ROOT, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH})


def icons() -> None:
    """Render resources/app/electron-playground.svg in all sizes to resources/app/icons, which is in the repository."""
    python = environment(f"{ROOT}")
    code = (
        "import sys\n"
        "from PySide6.QtGui import QGuiApplication, QImage, QPainter\n"
        "from PySide6.QtSvg import QSvgRenderer\n"
        "application = QGuiApplication(['icons', '-platform', 'offscreen'])\n"
        "for size in map(int, sys.argv[3:]):\n"
        "    image = QImage(size, size, QImage.Format.Format_ARGB32)\n"
        "    image.fill(0)\n"
        "    painter = QPainter(image)\n"
        "    QSvgRenderer(sys.argv[1]).render(painter)\n"
        "    painter.end()\n"
        "    assert image.save(f'{sys.argv[2]}/{size}.png')\n"
    )
    folder = ICONS
    folder.mkdir(parents=True, exist_ok=True)
    run(python, "-c", code, ROOT / "resources/app/electron-playground.svg", folder, *ICON_SIZES)


def man() -> None:
    """Write the manual page from the command line's own help to build/electron-playground.1."""
    python = environment(f"{ROOT}")
    BUILD.mkdir(exist_ok=True)
    made = subprocess.run([python, ROOT / "packaging/man_page.py"], check=True, capture_output=True, text=True)
    (BUILD / "electron-playground.1").write_text(made.stdout, "utf-8")


def bundle() -> None:
    """Build the one-folder bundle in dist/electron-playground with PyInstaller."""
    python = environment(f"{ROOT}[{EXTRAS}]", "pyinstaller", *([] if sys.platform == "linux" else ["pillow"]))
    run(python, "-m", "PyInstaller", "--noconfirm", "--distpath", DIST, "--workpath", BUILD / "pyinstaller",
        ROOT / "packaging/electron-playground.spec")  # fmt: skip
    folder = DIST / "electron-playground"
    for library in folder.glob("_internal/PySide6/Qt/lib/libicudata.so.*"):
        print(f"{library.name}: {icu_data.shrink(library) / 1e6:.1f} MB")
    _remove_build_paths(python, folder)
    licences(python, folder / "licences")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"{folder}: {size / 1e6:.0f} MB")


def _remove_build_paths(python: Path, folder: Path) -> None:
    """Replace the build machine's library path in ELF files by the folder of each file.

    PyInstaller's start program sets the search path itself; the absolute path would name a folder of another machine.
    """
    code = "import sysconfig; print(sysconfig.get_config_var('LIBDIR') or '')"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip().encode()
    own = b"$ORIGIN"
    if sys.platform != "linux" or len(found) < len(own):
        return
    for file in folder.rglob("*.so*"):
        data = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
        if found + b"\0" in data:
            file.write_bytes(data.replace(found + b"\0", own.ljust(len(found) + 1, b"\0")))


def licences(python: Path, folder: Path) -> None:
    """Copy the licences of all installed packages, and write an SBOM (CycloneDX) beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    code = (
        "import json, shutil, sys\n"
        "from importlib.metadata import distributions\n"
        "found = []\n"
        "builders = ('pip', 'setuptools', 'pyinstaller', 'pyinstaller-hooks-contrib', 'altgraph', 'pillow', 'wheel')\n"
        "for item in distributions():\n"
        "    if item.metadata['Name'].lower() in builders:\n"
        "        continue\n"
        "    name, version = item.metadata['Name'], item.version\n"
        "    purl = f'pkg:pypi/{name.lower()}@{version}'\n"
        "    found.append({'type': 'library', 'name': name, 'version': version, 'purl': purl})\n"
        "    for file in item.files or ():\n"
        "        upper = file.name.upper()\n"
        "        if upper.startswith(('LICENSE', 'LICENCE', 'COPYING', 'NOTICE')) and file.locate().is_file():\n"
        "            if file.suffix not in ('.py', '.pyc'):\n"
        "                shutil.copyfile(file.locate(), f'{sys.argv[1]}/{name}-{file.name}')\n"
        "found.sort(key=lambda part: part['name'].lower())\n"
        "main = [part for part in found if part['name'] == 'electron-playground'][0]\n"
        "found = [part for part in found if part is not main]\n"
        "top = {'component': {**main, 'type': 'application'}}\n"
        "sbom = {'bomFormat': 'CycloneDX', 'specVersion': '1.5', 'version': 1, 'metadata': top, 'components': found}\n"
        "print(json.dumps(sbom, indent=1))\n"
    )
    made = subprocess.run([python, "-c", code, folder], check=True, capture_output=True, text=True)
    json.loads(made.stdout)
    (folder / "sbom.cdx.json").write_text(made.stdout, "utf-8")


def deb() -> None:
    """Build dist/electron-playground_VERSION_ARCH.deb from the bundle."""
    _needs_bundle()
    man()
    root = BUILD / "deb"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(DIST / "electron-playground", root / "usr/lib/electron-playground", symlinks=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/electron-playground").symlink_to("../lib/electron-playground/electron-playground")
    _install(ENTRY, root / "usr/share/applications")
    _install(METAINFO, root / "usr/share/metainfo")
    documents = root / "usr/share/doc/electron-playground"
    _install(ROOT / "LICENSE", documents, "copyright")
    _compress((ROOT / "CHANGELOG.md").read_bytes(), documents / "NEWS.gz")
    _compress(_debian_changelog().encode(), documents / "changelog.gz")
    _install(ROOT / "packaging/linux/lintian-overrides", root / "usr/share/lintian/overrides", "electron-playground")
    for library in (root / "usr/lib").rglob("*.so*"):
        if not library.is_symlink():
            library.chmod(0o644)
    _install(ROOT / "resources/app/electron-playground.svg", root / "usr/share/icons/hicolor/scalable/apps")
    for size in ICON_SIZES:
        folder = root / f"usr/share/icons/hicolor/{size}x{size}/apps"
        _install(ICONS / f"{size}.png", folder, "electron-playground.png")
    manual = root / "usr/share/man/man1"
    manual.mkdir(parents=True)
    _compress((BUILD / "electron-playground.1").read_bytes(), manual / "electron-playground.1.gz")
    _control(root)
    architecture = _architecture()
    run(
        "dpkg-deb",
        "--root-owner-group",
        "-Zxz",
        "--build",
        root,
        DIST / f"electron-playground_{version()}_{architecture}.deb",
    )


def _compress(data: bytes, target: Path) -> None:
    target.write_bytes(gzip.compress(data, mtime=0))
    target.chmod(0o644)


def _install(file: Path, folder: Path, name: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (name or file.name)
    shutil.copyfile(file, target)
    target.chmod(0o644)


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def _debian_changelog() -> str:
    when = format_datetime(datetime.fromtimestamp(int(EPOCH), UTC))
    return (
        f"electron-playground ({version()}) unstable; urgency=medium\n\n  * The changes are in NEWS.gz.\n\n"
        f" -- {MAINTAINER}  {when}\n"
    )


def _control(root: Path) -> None:
    size = sum(file.lstat().st_size for file in root.rglob("*") if file.is_file()) // 1024
    control = (
        f"Package: electron-playground\nVersion: {version()}\nArchitecture: {_architecture()}\n"
        "Section: devel\nPriority: optional\n"
        f"Installed-Size: {size}\nDepends: libc6 (>= {platform.libc_ver()[1]}), {DEPENDS}\n"
        "Recommends: fonts-inter, fonts-jetbrains-mono, fonts-noto-core\n"
        f"Maintainer: {MAINTAINER}\n"
        "Description: playground for the Electron language model\n"
        " Write prompts, see the stable prefix and what the cache serves, and find\n"
        " every request_id again.\n"
    )
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(control, "utf-8")


def appimage() -> None:
    """Build dist/electron-playground-VERSION.AppImage from the bundle; needs `appimagetool`."""
    folder = app_dir(BUILD / "AppDir")
    run("appimagetool", folder, DIST / f"electron-playground-{version()}.AppImage")


def app_dir(folder: Path) -> Path:
    """Write the folder that `appimagetool` packs: the bundle, its start, desktop entry, icon and metainfo."""
    _needs_bundle()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DIST / "electron-playground", folder / "usr/lib/electron-playground", symlinks=True)
    (folder / "AppRun").symlink_to("usr/lib/electron-playground/electron-playground")
    _install(ENTRY, folder)
    _install(ROOT / "resources/app/electron-playground.svg", folder)
    _install(METAINFO, folder / "usr/share/metainfo", METAINFO.name.replace("metainfo.xml", "appdata.xml"))
    return folder


def dmg() -> None:
    """Build dist/electron-playground-VERSION.dmg on macOS."""
    bundle()
    image = DIST / f"electron-playground-{version()}.dmg"
    run("hdiutil", "create", "-volname", "Electron Playground", "-srcfolder", DIST / "Electron Playground.app",
        "-ov", "-format", "UDZO", image)  # fmt: skip


def msi() -> None:
    """Build dist/electron-playground-VERSION.msi on Windows; needs WiX 5 (`wix`)."""
    _needs_bundle()
    run("wix", "build", ROOT / "packaging/windows/electron-playground.wxs", "-d", f"Version={version()}", "-d",
        f"Bundle={DIST / 'electron-playground'}", "-o", DIST / f"electron-playground-{version()}.msi")  # fmt: skip


def self_test() -> None:
    """Run the self-test of the bundle, without a display."""
    program = DIST / "electron-playground" / f"electron-playground{'.exe' if os.name == 'nt' else ''}"
    run(program, "self-test", env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})


def _needs_bundle() -> None:
    if not (DIST / "electron-playground").exists():
        bundle()


COMMANDS = {
    "wheel": wheel, "icons": icons, "man": man, "bundle": bundle, "deb": deb, "appimage": appimage, "dmg": dmg,
    "msi": msi, "self-test": self_test,
}  # fmt: skip


def main() -> None:
    """Run the named command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    COMMANDS[parser.parse_args().command]()


if __name__ == "__main__":
    main()
