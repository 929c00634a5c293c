"""The simulator's own tokenizer: deterministic, as dense as a real one, and not Electron's (which is not published)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PIECES = re.compile(
    r" ?[A-Za-z]{1,6}"  # Latin words, in pieces of at most six letters
    r"|\d{1,3}"
    r"|[\u0900-\u0dff\u0e00-\u0eff]{1,2}"  # Indic and Thai scripts
    r"| ?[\u0370-\u05ff\u0600-\u06ff]{1,3}"  # Greek, Cyrillic, Hebrew, Arabic
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff]"  # East Asian scripts
    r"|\s+|.",
    re.DOTALL,
)
MESSAGE_START, MESSAGE_END = "<|start|>", "<|end|>"


def pieces(text: str) -> list[str]:
    """The text cut into tokens; joined they are the text again."""
    return _PIECES.findall(text)


def prompt_tokens(fields: Mapping[str, Any]) -> list[str]:
    """The whole prompt as tokens: tools first, then messages, each with its markers."""
    tokens: list[str] = []
    for tool in fields.get("tools") or ():
        tokens += [MESSAGE_START, "tool", *pieces(_compact(tool)), MESSAGE_END]
    for message in fields["messages"]:
        tokens += _message_tokens(message)
    tokens += [MESSAGE_START, "assistant"]
    return tokens


def _message_tokens(message: Mapping[str, Any]) -> Sequence[str]:
    tokens = [MESSAGE_START, str(message["role"])]
    for name, value in message.items():
        if name == "role" or value is None:
            continue
        if name != "content":
            tokens.append(f"<|{name}|>")
        tokens += pieces(value if isinstance(value, str) else _compact(value))
    tokens.append(MESSAGE_END)
    return tokens


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
