"""By how much a request was too long, out of the words of a refusal: servers say it in a sentence, each in its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"(\d[\d,_]*)"
_LIMIT = (
    rf"maximum context length (?:is|of) {_NUMBER}",
    rf"maximum model length (?:is|of) {_NUMBER}",
    rf"context (?:size|length|window)(?: is| of)? \(?{_NUMBER}",
    rf"(?:are|is) more than {_NUMBER}",
    rf"> {_NUMBER} (?:tokens )?maximum",
)
_WANTED = (
    rf"total of (?:at least )?{_NUMBER} tokens",
    rf"you requested (?:about )?{_NUMBER} tokens",
    rf"resulted in {_NUMBER} tokens",
    rf"prompt is too long: {_NUMBER} tokens",
    rf"\(length {_NUMBER}\)",
    rf"request \({_NUMBER} tokens\)",
    rf"has {_NUMBER} input tokens",
)
_IN_TWO = (
    rf"{_NUMBER} prompt tokens and max_tokens {_NUMBER}",
    rf"'?max_(?:completion_)?tokens'?[^.]*?: {_NUMBER}\..*?has {_NUMBER} input tokens",
)


@dataclass(frozen=True, slots=True)
class TooLong:
    """Tokens as the server counted them; each is None where its message does not say."""

    limit: int | None
    wanted: int | None

    @property
    def over(self) -> int | None:
        """By how many tokens it is too long; None where that is not known."""
        if self.limit is None or self.wanted is None or self.wanted <= self.limit:
            return None
        return self.wanted - self.limit


def too_long(message: str) -> TooLong | None:
    """What a refusal says of the context's length; None where it is about something else."""
    text = " ".join(message.split())
    limit = _first(_LIMIT, text)
    wanted = _both(text) or _first(_WANTED, text)
    return None if limit is None else TooLong(limit, wanted)


def _first(patterns: tuple[str, ...], text: str) -> int | None:
    found = next((match for pattern in patterns if (match := re.search(pattern, text, re.IGNORECASE))), None)
    return _number(found.group(1)) if found else None


def _both(text: str) -> int | None:
    found = next((match for pattern in _IN_TWO if (match := re.search(pattern, text, re.IGNORECASE))), None)
    return _number(found.group(1)) + _number(found.group(2)) if found else None


def _number(text: str) -> int:
    return int(text.replace(",", "").replace("_", ""))
