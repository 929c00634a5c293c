"""Git commits of a prompt's file, read without starting any program that the repository names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from playground.prompt.files import MAX_FILE_BYTES, OpenedPrompt
from playground.prompt.import_formats.detect import open_any_bytes

TIMEOUT_S = 5.0
MAX_COMMITS = 500
# The repository is untrusted. Its configuration must not start a program: no hook, fsmonitor, pager, textconv, external
# diff, signature check or fetch. Only `log` and `cat-file` are used, which read objects and never the index.
_OPTIONS = (
    *("--no-optional-locks", "--no-pager", "--no-replace-objects", "--literal-pathspecs"),
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "log.showSignature=false"),
    *("-c", "diff.external=", "-c", "core.pager=cat", "-c", "protocol.allow=never", "-c", "log.mailmap=false"),
)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Commit(Struct, frozen=True):
    """One commit that changed the file. `at`: Unix seconds."""

    id: str
    at: float
    subject: str


def commits(file: Path) -> list[Commit]:
    """Return the commits of a file, newest first. Empty without Git, outside a repository, or after TIMEOUT_S."""
    out = _git(file, "log", f"--max-count={MAX_COMMITS}", "-z", "--format=%H%x1f%ct%x1f%s", "--", file.name)
    found = []
    for entry in (out or b"").decode("utf-8", "replace").split("\0"):
        parts = entry.strip("\n").split("\x1f", 2)
        if len(parts) == 3 and _HASH.fullmatch(parts[0]) and parts[1].isdigit():
            found.append(Commit(parts[0], float(parts[1]), parts[2][:200]))
    return found


def opened_commit(file: Path, commit: str) -> OpenedPrompt | None:
    """Return the prompt in a commit; None if the commit does not have the file. Raises InputError for other content."""
    if not _HASH.fullmatch(commit):
        return None
    size = _git(file, "cat-file", "-s", f"{commit}:./{file.name}")
    if size is None or not size.strip().isdigit() or int(size) > MAX_FILE_BYTES:
        return None
    data = _git(file, "cat-file", "blob", f"{commit}:./{file.name}")
    return None if data is None else open_any_bytes(data, file.name)


def _git(file: Path, *arguments: str) -> bytes | None:
    """Return the output of a Git command in the folder of `file`; None if it fails."""
    # An absolute path: on Windows a name alone would also be looked up in the current folder.
    program = shutil.which("git", path=os.environ.get("PATH", os.defpath))
    folder = Path(os.path.realpath(file.parent))
    if program is None or not Path(program).is_absolute() or folder in Path(program).parents:
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *_OPTIONS, "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout if done.returncode == 0 else None
