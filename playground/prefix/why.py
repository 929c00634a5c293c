"""Why the cache served what it did: which characters ended the prefix, in what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from playground.prefix.difference import Difference, difference
from playground.prefix.forecast import Forecast, span
from playground.prefix.tokens import TokenEstimator
from playground.prefix.view import CacheView, DocumentView
from playground.prefix.visible import quoted, snippet
from playground.prompt.variables import places

Kind = Literal["differs", "first", "expired", "server", "unreported", "order", "tools"]


@dataclass(frozen=True, slots=True)
class Why:
    """One explanation. `sentence` stands alone; `before` and `after` are the characters at the difference in the
    earlier request and in this one, in their words, invisible ones made visible; empty where no text differs.

    `message` is the index of the message it lies in (None: the tools, or no place), `offset` the code point inside
    that part as it was sent, `variable` the name of the variable whose value changed, `compared_with` the request_id
    of the earlier request.
    """

    kind: Kind
    sentence: str
    before: str = ""
    after: str = ""
    message: int | None = None
    offset: int = 0
    variable: str | None = None
    compared_with: str | None = None


LARGE_BLOCK = 1024
"""Tokens: the largest block and the largest minimum that is taken to be usual. What lies below may never be cached."""


@dataclass(frozen=True, slots=True)
class _Served:
    """What the server said, and about how many tokens the earlier request shares with this one."""

    cached: int
    prompt: int
    shared: float

    @property
    def missed(self) -> bool:
        """Whether even what is the same byte for byte was not served; a last block that is not whole is no miss."""
        return self.cached < self.shared / 2 and self.shared - self.cached >= 64


def explain(
    now: CacheView,
    earlier: CacheView | None,
    *,
    cached_tokens: int | None,
    prompt_tokens: int | None,
    forecast: Forecast | None,
    document: DocumentView | None = None,
    gap_s: float | None = None,
    lifetime_s: float = 300.0,
) -> Why | None:
    """What ended the prefix of a request that was answered; None where there is nothing to say.

    `earlier` is what it is held against, `gap_s` the seconds between the two. Identical bytes that missed are never
    blamed on the prompt (interface.md, Inspector).
    """
    if cached_tokens is None or prompt_tokens is None:
        return Why("unreported", "The server did not report cached tokens: what the cache did is unknown.")
    if earlier is None:
        return _first(cached_tokens)
    compared_with = forecast.request_id if forecast else None
    found = difference(now, earlier)
    shared = min(len(now.text), len(earlier.text)) if found is None else found.shared
    served = _Served(cached_tokens, prompt_tokens, prompt_tokens * _share(now.text, shared))
    if served.missed:
        return _missed(now, found, served, _Silence(gap_s, lifetime_s, forecast), compared_with)
    return None if found is None else _differs(now, found, served, document, compared_with)


def _share(text: str, shared: int) -> float:
    """Of the text's tokens, how many stand before code point `shared`; as a ratio it needs no calibration."""
    if shared >= len(text):
        return 1.0
    estimator = TokenEstimator()
    return estimator.estimate(text[:shared]) / estimator.estimate(text)


def _first(cached_tokens: int) -> Why | None:
    if cached_tokens:
        return Why(
            "server",
            f"{cached_tokens:,} tokens came from the cache although this program has sent nothing like it lately: "
            "another program of the account has.",
        )
    return Why("first", "The first request of its kind: nothing was cached yet. Send it again to see the cache work.")


@dataclass(frozen=True, slots=True)
class _Silence:
    """The time between both requests, and what was forecast knowing it."""

    gap_s: float | None
    lifetime_s: float
    forecast: Forecast | None

    @property
    def expired(self) -> bool:
        return self.gap_s is not None and self.gap_s > self.lifetime_s

    @property
    def foreseen(self) -> str:
        """Why nothing was expected of the earlier request, though it was sent only lately."""
        basis = self.forecast.basis if self.forecast and not self.forecast.cached_tokens else ""
        return basis if basis.startswith("last sent") else ""


def _missed(
    now: CacheView, found: Difference | None, served: _Served, silence: _Silence, compared_with: str | None
) -> Why:
    """The same bytes, not served: the clock's doing or the server's, whatever else differs after them."""
    if found is None:
        same = "Every byte of the earlier request is here"
    else:
        where = _place(now, found)
        same = f"The first ≈ {served.shared:,.0f} tokens, up to {where}, are the earlier request's, byte for byte"
    if silence.expired and silence.gap_s is not None:
        words = (
            f"{same}, but it was sent {span(silence.gap_s)} before. Unused prefixes are forgotten after a while; "
            f"{span(silence.lifetime_s)} is assumed here, the vendor publishes no figure."
        )
        return Why("expired", words, compared_with=compared_with)
    if silence.foreseen:
        return Why("expired", f"{same}. As forecast: {silence.foreseen}.", compared_with=compared_with)
    words = (
        f"{same}, yet only {served.cached:,} tokens came from the cache. That is the server's doing, not the prompt's."
    )
    if served.cached == 0 and served.shared < LARGE_BLOCK:
        words += " A prefix this short may lie below the least that it caches."
    return Why("server", words, compared_with=compared_with)


def _differs(
    now: CacheView, found: Difference, served: _Served, document: DocumentView | None, compared_with: str | None
) -> Why:
    variable = _variable(document, found)
    words = found.words
    if variable is not None:
        before, after = (quoted(text) if text else "nothing" for text in found.around)
        words = f"the value of {{{{{variable}}}}} changed, {before} became {after}"
    part = found.part
    return Why(
        _kind(found),
        f"The prefix ends in {_place(now, found)}: {words}. {_cost(served)}",
        before=snippet(found.around[0]),
        after=snippet(found.around[1]),
        message=None if part.kind == "tool" else part.index,
        offset=found.offset if part.kind == "content" else 0,
        variable=variable,
        compared_with=compared_with,
    )


def _kind(found: Difference) -> Kind:
    return found.shape if found.shape in ("order", "tools") else "differs"


def _variable(document: DocumentView | None, found: Difference) -> str | None:
    """The variable whose value the difference lies in."""
    part, offset = found.part, found.offset
    if document is None or part.kind != "content" or found.shape != "text":
        return None
    rendered = document.rendered[part.index]
    template = document.document.messages[part.index].content or ""
    if rendered is None:
        return None
    for place, (start, end, _, _) in zip(places(template), rendered.cuts, strict=True):
        # A value that became shorter differs just after its end, where something is gone and nothing has come.
        if start <= offset < end or (offset == end and not found.after):
            return place.name
    return None


def _place(view: CacheView, found: Difference) -> str:
    part, offset = found.part, found.offset
    if part.kind == "tool":
        return f"tool {part.index + 1}, character {offset + 1:,}"
    role = next(view.text[p.start : p.end - 1] for p in view.parts if p.kind == "role" and p.index == part.index)
    where = f"message {part.index + 1} ({role})"
    if part.kind == "content" and found.shape == "text":
        text = view.text[part.start : part.start + offset]
        line = text.count("\n") + 1
        return f"{where}, line {line}, character {len(text) - text.rfind(chr(10)):,}"
    return where if part.kind in ("role", "content") else f"{where}, its {part.kind.replace('_', ' ')}"


def _cost(served: _Served) -> str:
    fresh = f"{served.prompt - served.cached:,} of {served.prompt:,} tokens were fresh"
    if served.cached > served.shared * 1.25 + 64:
        return f"Yet {served.cached:,} tokens were cached: another request shares more. {fresh}."
    return f"Nothing after it can match: {fresh}."
