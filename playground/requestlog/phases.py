"""The phases that each word of `is:` stands for."""

from __future__ import annotations

PHASES = {
    "failed": ("failed",),
    "stopped": ("stopped",),
    "done": ("done",),
    "interrupted": ("interrupted",),
    "running": ("waiting", "sent", "streaming", "retrying"),
}
