"""Why the cache served what it did: which characters ended the prefix, in what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["differs", "first", "expired", "server", "unreported", "order", "tools", "served"]


@dataclass(frozen=True, slots=True)
class Why:
    """One explanation. `sentence` stands alone; `before` and `after` are the characters around the difference in the
    earlier request and in this one, with invisible characters made visible (empty where there is no difference).

    `message` is the index of the message it lies in (None: the tools, or no place), `offset` the code point inside
    that part as it was sent, `variable` the name of the variable whose value changed.
    """

    kind: Kind
    sentence: str
    before: str = ""
    after: str = ""
    message: int | None = None
    offset: int = 0
    variable: str | None = None
    compared_with: str | None = None
