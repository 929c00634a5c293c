"""Tooltips of text that others wrote: a completion, a header, a file's name."""

from __future__ import annotations

from html import escape


def plain_tip(text: str) -> str:
    """`text` for a tooltip, shown as it is.

    Qt takes a tooltip that looks like markup for markup, and would load the file that an <img> in a completion names.
    """
    return f'<p style="white-space: pre-wrap">{escape(text)}</p>' if "<" in text or "&" in text else text
