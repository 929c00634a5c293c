"""Phrase tables of all languages."""

from __future__ import annotations

from playground.lint import phrases_asia, phrases_europe

PHRASES = {row.code: row for row in (*phrases_europe.ROWS, *phrases_asia.ROWS)}
"""By ISO 639-1 code."""
