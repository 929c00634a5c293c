"""Tracebacks on the standard error of real processes, by every way in which an error can reach it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KEY = "pQ7-rst_uvw/xyz+1234"
START = f"""
import asyncio, gc, logging, sys, threading
from playground.cli import install_masking
from playground.storage.credentials import Secret
Secret({KEY!r})
install_masking()

def fail():
    raise ValueError("the body was {KEY} and %70Q7-rst_uvw/xyz+1234")  # {KEY}

class Ends:
    def __del__(self):
        fail()

async def task():
    asyncio.get_running_loop().create_task(broken())
    await asyncio.sleep(0.01)
    gc.collect()

async def broken():
    fail()

def log():
    try:
        fail()
    except ValueError as error:
        logging.getLogger("playground").error("%s failed: {KEY}", "task", exc_info=error)
"""
WAYS = {
    "main thread": "fail()",
    "other thread": "thread = threading.Thread(target=fail); thread.start(); thread.join()",
    "destructor": "made = Ends(); del made; gc.collect()",
    "task": "asyncio.run(task())",
    "logger": "log()",
    "cause": (
        "try:\n    fail()\nexcept ValueError as error:\n    raise OSError('https://u:secret9word@h.test/') from error"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_traceback_of_a_process_has_no_known_secret(way: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # a file: the traceback then has its source lines
    script.write_text(START + WAYS[way], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert "ValueError: the body was sk_" in done.stderr, done.stderr
    assert "in fail" in done.stderr
    assert KEY not in done.stderr
    assert "%70Q7" not in done.stderr
    assert "secret9word" not in done.stderr


def test_command_masks_the_key_in_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import playground.cli.convert as convert\n"
        f"def fail(options): raise RuntimeError('the key is {KEY}')\n"
        "convert.convert = fail\n"
    )
    (tmp_path / "p.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}')
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    environment = {**os.environ, "PYTHONPATH": path, "SMALLEST_API_KEY": KEY}
    command = [sys.executable, "-m", "playground", "convert", str(tmp_path / "p.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: the key is sk_" in done.stderr
    assert KEY not in done.stderr


def test_prompt_with_the_key_of_the_environment_is_not_converted(tmp_path: Path) -> None:
    prompt = tmp_path / "p.json"
    prompt.write_text(json.dumps({"messages": [{"role": "user", "content": f"use {KEY} now"}]}))
    command = [sys.executable, "-m", "playground", "convert", str(prompt)]
    environment = {**os.environ, "SMALLEST_API_KEY": KEY}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["send", "p.json", "--endpoint", KEY],
        ["send", "p.json", "--var", f"{KEY}=1"],
        ["send", "p.json", "--base-url", KEY],
        ["send", "p.json", f"--{KEY}"],
        ["convert", "p.json", "--to", KEY],
        ["log", "show", KEY],
        ["check", f"{KEY}.json"],
        [KEY],
    ],
)
def test_key_given_as_another_argument_is_masked_in_the_error(words: list[str], tmp_path: Path) -> None:
    key = "sk_Zq8rT2mWx5Lb9KcVn3Yp7Jd"
    (tmp_path / "p.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}')
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "SMALLEST_API_KEY": key}
    command = [sys.executable, "-m", "playground", "--data-dir", "data", *(word.replace(KEY, key) for word in words)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "electron-playground" in done.stderr
    assert "sk_…" in done.stderr
    assert key not in done.stdout + done.stderr
