"""The data folder, and files that are written completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from playground.prompt.field_errors import InputError

HOME_VARIABLE = "ELECTRON_PLAYGROUND_HOME"


def data_folder(option: str | None, environment: Mapping[str, str], *, reading: bool = False) -> Path:
    """Return the data folder: the option's, the environment variable's, or the user's default.

    Creates it for this user only. Raises InputError if it cannot be used. `reading`: an existing folder need not be
    writable.
    """
    try:
        folder = _chosen(option, environment)
    except (OSError, RuntimeError) as error:
        raise _unusable(
            f"the data folder {option or environment.get(HOME_VARIABLE)} cannot be found: {error}"
        ) from error
    try:
        if reading and folder.is_dir():
            return folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise _unusable(f"the data folder {folder} cannot be created: a file has its name.") from error
    except OSError as error:
        sentence = f"the data folder {folder} cannot be written: {error.strerror or error}."
        raise _unusable(sentence, error) from error
    return folder


def folder_warning(folder: Path) -> str:
    """Return a warning, as a sentence, if other users of the machine can write the data folder; otherwise nothing."""
    if sys.platform == "win32":
        return ""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return ""
    if not mode & stat.S_IWOTH:
        return ""
    import shlex  # not for the first frame

    return f"Every user of this machine can change the data folder {folder}. Run: chmod o-w {shlex.quote(str(folder))}"


_REMEDIES = {
    errno.ENOSPC: "free some room on its disk",
    errno.EDQUOT: "delete some of your files there: your quota is used up",
    errno.EROFS: "make its file system writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EIO: "check its disk",
    errno.EMFILE: "close other programs",
    errno.ENFILE: "close other programs",
}
_PROBE_BYTES = 65_536


def remedy(error: OSError) -> str:
    """Return what lets a failed write to a folder succeed, as the end of a sentence; empty: it is not known."""
    return _REMEDIES.get(error.errno or 0, "")


def advised(error: OSError, otherwise: str) -> str:
    """Return a way around a failed write, which is a sentence, with its remedy."""
    found = remedy(error)
    return f"{otherwise.removesuffix('.')}, or {found}." if found else otherwise


def write_error(path: Path) -> OSError | None:
    """Return why a file cannot be written in its folder, which is tried; None if it can."""
    try:
        if path.exists():
            os.close(os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0)))
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        return error
    return None


def _chosen(option: str | None, environment: Mapping[str, str]) -> Path:
    if option is not None and not option.strip():
        # `--data-dir "$UNSET"` does not mean the default folder.
        raise _unusable("the data folder's name is empty.")
    named = option or environment.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    # Imported here: not needed if the folder is given.
    from platformdirs import user_data_dir

    return Path(user_data_dir("electron-playground", appauthor=False))


def _unusable(sentence: str, error: OSError | None = None) -> InputError:
    otherwise = f"Give another with --data-dir or {HOME_VARIABLE}."
    return InputError.of(("data-dir",), sentence, otherwise if error is None else advised(error, otherwise))


def write_private(path: Path, data: bytes, *, replace_link: bool = False, durable: bool = True) -> None:
    """Write a file that only this user may read, completely or not at all. Raises OSError.

    Args:
        replace_link: replace a symbolic link itself; otherwise the file that it points to is replaced.
        durable: return only when the data is on disk.

    A pipe or device, or a link to one, raises OSError: it is never replaced by a file.
    """
    if not replace_link:
        if is_stream(path):
            raise OSError(None, "It is not a regular file")
        path = Path(os.path.realpath(path))
    _write(path, data, 0o600, durable=durable)


def is_stream(path: Path) -> bool:
    """Return whether a path, or the target of a link, is a pipe, a device or a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_stream(path: Path) -> int:
    """Return a descriptor for writing to a pipe or device. Raises OSError, also for a pipe that has no reader."""
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if sys.platform != "win32":
        os.set_blocking(handle, True)
    return handle


def write_shared(path: Path, data: bytes) -> None:
    """Write a file of the user: like `write_private`, but keeps permissions, or has those of any new file.

    Writes to a pipe or device instead of replacing it.
    """
    if is_stream(path):
        with os.fdopen(open_stream(path), "wb") as file:
            file.write(data)
        return
    path = Path(os.path.realpath(path))
    remove_stale(path)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        # The umask can only be read by setting it.
        mask = os.umask(0o077)
        os.umask(mask)
        mode = 0o666 & ~mask
    _write(path, data, mode)


_MARK = ".part-"
"""In the names of temporary files, between the target's name and a random end of 8 characters."""
_STALE_S = 2.0
"""Age below which a temporary file may not be locked yet."""


def temporary_beside(path: Path) -> tuple[int, str]:
    """Create a temporary file in the folder of `path`, which may be renamed to it. Returns descriptor and name.

    The file is locked while the descriptor is open, so that `remove_stale` of another process leaves it alone.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_prefix(path)}{_MARK}")
    _lock(handle)
    return handle, name


def remove_stale(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes of this program have left. Never raises.

    Only files with this program's mark, of this user, older than two seconds, that no process has locked.
    """
    pattern = re.compile(re.escape(_prefix(path) + _MARK) + "[a-z0-9_]{8}")
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_stale(entry.path)


def _remove_if_stale(name: str) -> None:
    handle = os.open(name, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle)
        ours = sys.platform == "win32" or found.st_uid == os.geteuid()
        if not ours or found.st_nlink != 1 or time.time() - found.st_mtime < _STALE_S or not _lock(handle):
            return
        if sys.platform != "win32":
            Path(name).unlink()  # still locked
    finally:
        os.close(handle)
    if sys.platform == "win32":
        Path(name).unlink()  # fails if a process has it open


def _prefix(path: Path) -> str:
    return f".{path.name[:32]}"


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed. Returns False if another process has locked it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked by another process, or a file system without locks: nothing is removed
        return False
    return True


def _write(path: Path, data: bytes, mode: int, *, durable: bool = True) -> None:
    handle, temporary = temporary_beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def set_aside(path: Path) -> Path:
    """Rename a damaged file so that nothing overwrites it; returns its new path. Raises OSError."""
    aside = free_name_aside(path)
    path.rename(aside)
    return aside


def free_name_aside(path: Path) -> Path:
    """Return the next unused path for a damaged file."""
    number, aside = 1, path.with_name(f"{path.stem}.damaged{path.suffix}")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
    return aside


def append_whole(handle: int, data: bytes) -> None:
    """Append all of `data` to a file, or nothing: what a full disk took of it is removed. Raises OSError."""
    before, rest = os.fstat(handle).st_size, memoryview(data)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            if os.fstat(handle).st_size == before + len(data) - len(rest):  # else another process appended, too
                os.ftruncate(handle, before)
        raise
