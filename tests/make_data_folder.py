"""Write a sample of this version's data folder: `python -m tests.make_data_folder`. Run once for each landed version.

The program itself writes every file: two requests to the simulator, a draft, changed settings and an added endpoint.
tests/test_upgrade.py opens all samples with the current program.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from playground import __version__
from playground.client.endpoint import Endpoint
from playground.storage.endpoints import EndpointStore
from playground.storage.settings import Settings

SAMPLES = Path(__file__).parent / "data" / "data_folders"
PROMPT = (
    '{"model": "electron", "stream": true, "messages": [{"role": "system", "content": "You are Mira. Answer briefly."},'
    ' {"role": "user", "content": "hello {{name}}"}]}'
)


def main() -> None:
    """Write tests/data/data_folders/VERSION-DATE.zip."""
    with tempfile.TemporaryDirectory() as name:
        folder, prompt = Path(name, "data"), Path(name, "prompt.json")
        prompt.write_text(PROMPT, "utf-8")
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "ELECTRON_PLAYGROUND_HOME": str(folder)}
        program = [sys.executable, "-m", "playground"]
        for value in ("Asha", "Ben"):
            subprocess.run([*program, "send", prompt, "--var", f"name={value}"], env=environment, check=True)
        settings = Settings(folder / "settings.json")
        settings.set("theme", "dark")
        settings.set("font_size", 15)
        EndpointStore(folder / "endpoints.json").add(Endpoint("", "Local", "http://127.0.0.1:8080/v1", "llama"))
        subprocess.run([*program, "--exit-after-first-paint"], env=environment, check=True)
        SAMPLES.mkdir(exist_ok=True)
        with zipfile.ZipFile(
            SAMPLES / f"{__version__}-{datetime.now(UTC):%Y-%m-%d}.zip", "w", zipfile.ZIP_DEFLATED
        ) as file:
            for path in sorted(folder.iterdir()):
                if path.suffix not in (".lock",):
                    file.write(path, path.name)


if __name__ == "__main__":
    main()
