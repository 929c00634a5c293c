"""`electron-playground doctor`: checks of this machine and the data folder, on one page to copy into a report.

Contains no key, no password of a proxy and no content of a request; the home folder is written as ~.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import locale
import os
import platform
import shutil
import ssl
import stat
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from playground.cli import FAILED, FINISHED, without_keys
from playground.client.connection import ProxyError, proxy_for
from playground.client.endpoint import ELECTRON_BASE_URL
from playground.export.terminal import print_line, visible_line
from playground.prompt.field_errors import InputError
from playground.prompt.json_text import loads
from playground.storage.credentials import VARIABLE, CredentialStore
from playground.storage.json_file import read_regular
from playground.storage.paths import data_folder, folder_warning
from playground.ui.startup_checks import LIBRARIES, missing_libraries, obstacle, program_versions

State = Literal["ok", "warning", "failed"]
LOW_DISK_BYTES, FULL_DISK_BYTES = 500_000_000, 20_000_000
"""Free space below which a warning or a failure is reported."""


class Check(Struct, frozen=True):
    """One line of the report. `failed`: the window, a request or the log does not work here."""

    name: str
    state: State
    text: str


def doctor(options: argparse.Namespace) -> int:
    """Print the report. Returns 0, or 1 if a check failed."""
    checks = [_masked(check, Path.home()) for check in run_checks(options.data_dir, os.environ)]
    passed = all(check.state != "failed" for check in checks)
    versions = program_versions()
    if options.json:
        report = {"passed": passed, "versions": versions, "checks": [asdict(check) for check in checks]}
        print_line(json.dumps(report, ensure_ascii=True))
    else:
        for name, version in versions.items():
            print_line(f"{name:<16} {version}")
        print_line("")
        for check in checks:
            print_line(_wrapped(check))
    return FINISHED if passed else FAILED


def _wrapped(check: Check) -> str:
    first, rest = f"{check.state:<8} {check.name:<13} ", " " * 23
    text = visible_line(check.text)
    return textwrap.fill(
        text, 110, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def run_checks(data_dir: str | None, environment: Mapping[str, str]) -> list[Check]:
    """Return the result of every check, in the order of the report. Creates the data folder if it is missing."""
    checks = [_display(environment), _fonts(), _key_store(environment), _key_variable(environment)]
    checks += [_proxy(environment), _encoding()]
    try:
        folder = data_folder(data_dir, environment)
    except InputError as error:
        return [*checks, Check("data folder", "failed", str(error)), _certificates("")]
    return [*checks, _certificates(_ca_file(folder)), *_folder(folder), _disk(folder), _log(folder)]


def _masked(check: Check, home: Path) -> Check:
    text = without_keys(check.text)
    return Check(check.name, check.state, text if len(home.parts) < 2 else text.replace(str(home), "~"))


def _display(environment: Mapping[str, str]) -> Check:
    problem = obstacle(environment)
    if problem is not None:
        # Commands without a window still work, but the desktop program does not.
        return Check("display", "failed", problem)
    names = ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY", "DISPLAY", "XDG_SESSION_TYPE", "XDG_CURRENT_DESKTOP")
    found = [f"{name}={environment[name]}" for name in names if environment.get(name)]
    return Check("display", "ok", ", ".join(found) or f"{platform.system()} desktop")


def _fonts() -> Check:
    if sys.platform.startswith("linux") and (missing := missing_libraries(LIBRARIES)):
        return Check("fonts", "failed", f"not checked: Qt needs {', '.join(missing)}")
    from playground.ui.theme import installed_fonts

    interface, mono = installed_fonts()
    text = f"interface: {interface or 'none of the preferred ones'}; prompts: {mono or 'none of the preferred ones'}"
    if interface and mono:
        return Check("fonts", "ok", text)
    return Check("fonts", "warning", f"{text}. On Debian: fonts-inter, fonts-jetbrains-mono, fonts-noto-core")


def _key_store(environment: Mapping[str, str]) -> Check:
    found = asyncio.run(CredentialStore(environment).available())
    variable = "" if found.usable else f" Electron's key can also be set as {VARIABLE}."
    return Check("key store", "ok" if found.usable else "warning", found.sentence + variable)


def _key_variable(environment: Mapping[str, str]) -> Check:
    return Check("key variable", "ok", f"{VARIABLE} is {'set' if environment.get(VARIABLE, '').strip() else 'not set'}")


def _proxy(environment: Mapping[str, str]) -> Check:
    try:
        proxy = proxy_for(ELECTRON_BASE_URL, environment)
    except ProxyError as error:
        return Check("proxy", "failed", str(error))
    return Check("proxy", "ok", f"{proxy.address} ({proxy.source})" if proxy else "none: direct connection")


def _encoding() -> Check:
    encoding = sys.stdout.encoding or "unknown"
    text = f"terminal {encoding}, locale {locale.setlocale(locale.LC_CTYPE)}"
    return Check("encoding", "ok" if encoding.lower().replace("-", "") == "utf8" else "warning", text)


def _ca_file(folder: Path) -> str:
    """Return the setting without opening Settings, which would rename a damaged file."""
    try:
        value = loads(read_regular(folder / "settings.json"), finite=False).get("ca_file", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return value.strip() if isinstance(value, str) else ""


def _certificates(ca_file: str) -> Check:
    from playground.client.connection import trusted_certificates

    named = [f"{name}={os.environ[name]}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    extra = "".join(f", {text}" for text in [*named, *([f"extra file {ca_file}"] if ca_file else [])])
    try:
        count = trusted_certificates(ca_file)
    except (OSError, ValueError) as error:
        return Check("certificates", "failed", f"{error}{extra}")
    return Check("certificates", "ok" if count else "warning", f"{count} authorities, {ssl.OPENSSL_VERSION}{extra}")


def _folder(folder: Path) -> Iterator[Check]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    warning = folder_warning(folder)
    if not warning and sys.platform != "win32" and mode & 0o077:
        warning = f"other users can open {folder} (mode {mode:o}). Run: chmod 700 on it"
    yield Check("data folder", "warning" if warning else "ok", warning or f"{folder} (mode {mode:o})")
    if damaged := sorted(path.name for path in folder.glob("*.damaged*")):
        yield Check("set aside", "warning", f"damaged files: {', '.join(damaged)}")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    state: State = "failed" if free < FULL_DISK_BYTES else "warning" if free < LOW_DISK_BYTES else "ok"
    return Check("disk", state, f"{free / 1e9:.1f} GB free")


def _log(folder: Path) -> Check:
    from playground.requestlog.store import health

    found = health(folder)
    return Check("request log", found.state, found.text)
