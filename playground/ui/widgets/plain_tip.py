"""Tooltips of text that others wrote: a completion, a header, a file's name."""

from __future__ import annotations


def plain_tip(text: str) -> str:
    """Return `text` for a tooltip, displayed literally.

    Qt takes a tooltip that looks like markup for markup, and would load the file that an <img> in a completion names.
    """
    if "<" not in text and "&" not in text:
        return text
    # Imported here: few texts need it, and its table of entities is a millisecond of the start.
    from html import escape

    return f'<p style="white-space: pre-wrap">{escape(text)}</p>'
