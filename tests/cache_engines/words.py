"""Word lists of the voice-agent domain in seven scripts and languages, with names and punctuation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

Script = Literal["english", "spanish", "hindi", "tamil", "arabic", "han", "emoji"]
SCRIPTS: tuple[Script, ...] = ("english", "spanish", "hindi", "tamil", "arabic", "han", "emoji")

_LINES: dict[Script, list[str]] = json.loads((Path(__file__).parent / "words.json").read_text("utf-8"))
WORDS: dict[Script, list[str]] = {script: " ".join(lines).split() for script, lines in _LINES.items()}
ENDINGS: dict[Script, str] = {
    "english": ".",
    "spanish": ".",
    "hindi": "।",
    "tamil": ".",
    "arabic": ".",
    "han": "。",
    "emoji": "!",
}
COMMAS: dict[Script, str] = {"arabic": "،", "han": "，"}
NAMES: dict[Script, tuple[str, ...]] = {
    "english": ("Martha Ellison", "Tom Abara", "Siobhan Keane", "Victor Lindqvist"),
    "spanish": ("Lucía Fernández", "Iñigo Urrutia", "Carmen Ríos"),
    "hindi": ("अनिता देशमुख", "राजेश कुमार", "मीना शर्मा"),
    "tamil": ("கவிதா ராமன்", "முத்து செல்வன்", "லட்சுமி நாராயணன்"),
    "arabic": ("ليلى حداد", "عمر الفاروق", "سارة منصور"),
    "han": ("陈晓明", "刘洋", "赵敏"),
    "emoji": ("@dev_mo", "@jax99", "@rae-ops"),
}
