"""All languages that the adviser has words of."""

from __future__ import annotations

from playground.advice import phrases_asia, phrases_europe

PHRASES = {row.code: row for row in (*phrases_europe.ROWS, *phrases_asia.ROWS)}
"""By ISO 639-1 code."""
