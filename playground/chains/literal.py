"""A model's words and a tool's results are no templates: put into a message, their `{{…}}` must be sent as they are."""

from __future__ import annotations

from itertools import count

from playground.prompt.document import Document
from playground.prompt.variables import places

BRACES = "{{"
_NAME = "two_braces"


def literal(document: Document, text: str) -> tuple[Document, str]:
    """The document and the template that renders to `text`: another than `text` only where that has a `{{name}}`.

    There the two braces come from a variable, since a value's own braces are text.
    """
    found = places(text)
    if not found:
        return document, text
    name = _free_name(document)
    pieces, last = [], 0
    for place in found:
        pieces += [text[last : place.start], "{{", name, "}}"]
        last = place.start + len(BRACES)
    return document.with_variable(name, BRACES), "".join((*pieces, text[last:]))


def _free_name(document: Document) -> str:
    names = (_NAME if number == 1 else f"{_NAME}_{number}" for number in count(1))
    return next(name for name in names if document.variables.get(name, BRACES) == BRACES)
