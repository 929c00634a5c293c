"""The data folder, and files that are whole or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground.prompt.field_errors import InputError
from playground.storage.paths import (
    HOME_VARIABLE,
    data_folder,
    folder_warning,
    set_aside,
    write_private,
    write_shared,
)

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that this process cannot write; root gives up its rights for the test."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    yield folder
    if was_root:
        os.seteuid(0)
    folder.chmod(0o700)
    folder.rmdir()


def test_the_option_comes_before_the_variable(tmp_path: Path) -> None:
    environment = {HOME_VARIABLE: str(tmp_path / "variable")}
    assert data_folder(str(tmp_path / "option"), environment) == tmp_path / "option"
    assert data_folder(None, environment) == tmp_path / "variable"
    assert (tmp_path / "variable").is_dir()


def test_without_either_it_is_this_users_own(tmp_path: Path) -> None:
    code = "from playground.storage.paths import data_folder; print(data_folder(None, {}))"
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    environment.pop("XDG_DATA_HOME", None)
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    folder = Path(found.stdout.strip())
    assert folder.is_dir()
    assert folder.is_relative_to(tmp_path)
    assert folder.name == "electron-playground"


def test_a_named_folder_is_found_without_platformdirs(tmp_path: Path) -> None:
    code = (
        "import sys; from playground.storage.paths import data_folder; data_folder(sys.argv[1], {}); "
        "sys.exit('platformdirs' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


@POSIX
def test_it_is_made_with_its_parents_for_this_user_only(tmp_path: Path) -> None:
    folder = data_folder(str(tmp_path / "a" / "b"), {})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_relative_folder_stays_where_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_folder("here", {}) == tmp_path / "here"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_its_place_is_named_and_left_alone(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError) as caught:
        data_folder(str(tmp_path / place), {})
    (problem,) = caught.value.problems
    assert problem.path == ("data-dir",)
    assert str(tmp_path / place) in problem.message
    assert "a file has its name" in problem.message
    assert "--data-dir" in problem.hint
    assert HOME_VARIABLE in problem.hint
    assert (tmp_path / "file").read_text() == "mine"


@POSIX
def test_a_folder_that_cannot_be_written_is_told(read_only_folder: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written: Permission denied\. Give another with --data-dir"):
        data_folder(str(read_only_folder), {})


@pytest.mark.parametrize("option", ["", "  "])
def test_an_empty_option_does_not_mean_the_users_own_folder(option: str) -> None:
    with pytest.raises(InputError, match="is empty"):
        data_folder(option, {})


@POSIX
def test_the_home_of_nobody_is_a_sentence() -> None:
    with pytest.raises(InputError, match="~no-such-user-here"):
        data_folder("~no-such-user-here/data", {})


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    data_folder(str(tmp_path), {})
    write_private(tmp_path / "kept.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


@POSIX
def test_a_written_file_is_for_this_user_only_even_where_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new\x00\xff")
    assert path.read_bytes() == b"new\x00\xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@POSIX
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(b"old")
    # A real full disk for one process: no file may grow beyond 1,000 bytes.
    code = (
        "import resource, signal, sys; from pathlib import Path; from playground.storage.paths import write_private\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_private(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except OSError: sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-B", "-c", code, str(path)], check=False).returncode == 7
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@POSIX
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.json", tmp_path / "kept.json"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_private(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@POSIX
@pytest.mark.parametrize("linked", [False, True])
def test_write_private_pipe_is_never_replaced(tmp_path: Path, linked: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = tmp_path / "file.json" if linked else pipe
    if linked:
        path.symlink_to(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        write_private(path, b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert {item.name for item in tmp_path.iterdir()} == {"pipe", path.name}


@POSIX
def test_write_shared_pipe_gets_the_data_and_without_a_reader_an_error(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=r"\[Errno"):
        write_shared(pipe, b"new")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_shared(pipe, b"new")
        assert os.read(reader, 100) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_long_file_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_private(path, b"data")
    assert path.read_bytes() == b"data"


def test_setting_aside_never_overwrites_what_was_set_aside_before(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    names = []
    for data in (b"one", b"two", b"three"):
        path.write_bytes(data)
        names.append(set_aside(path).name)
    assert names == ["kept.damaged.json", "kept.damaged-2.json", "kept.damaged-3.json"]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"one", b"two", b"three"]
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize(
    ("mode", "warned"), [(0o700, False), (0o755, False), (0o775, False), (0o777, True), (0o1777, True)]
)
def test_folder_warning_names_a_folder_that_everybody_can_write(tmp_path: Path, mode: int, warned: bool) -> None:
    tmp_path.chmod(mode)
    try:
        assert bool(folder_warning(tmp_path)) == warned
    finally:
        tmp_path.chmod(0o700)


def test_folder_warning_of_a_deleted_folder_is_empty(tmp_path: Path) -> None:
    assert folder_warning(tmp_path / "gone") == ""


WRITER = """
import os, sys
from pathlib import Path
from playground.storage.paths import temporary_beside
handle, name = temporary_beside(Path(sys.argv[1]))
os.write(handle, b"a part")
print(name, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_temporary_file_of_a_killed_process_is_removed_at_the_next_write_and_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "o.jsonl"
    command = [sys.executable, "-c", WRITER, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        part = Path(process.stdout.readline().strip())
        users = [tmp_path / name for name in (".o.jsonl.abcdefgh", ".o.jsonl.part-notes.txt", ".other.part-abcdefgh")]
        link = tmp_path / ".o.jsonl.part-linked_1"
        link.symlink_to(users[0])
        young = tmp_path / ".o.jsonl.part-young_01"
        for one in (*users, young):
            one.write_text("mine")
        for one in (*users, part):
            os.utime(one, (1_000_000, 1_000_000))
        write_shared(target, b"first")
        assert part.exists()  # its process is alive
        process.kill()
        process.wait()
        os.utime(part, (1_000_000, 1_000_000))
        write_shared(target, b"second")
    assert sorted(tmp_path.iterdir()) == sorted([target, *users, link, young])
    assert target.read_bytes() == b"second"
