"""Why the cache served what it did: which characters ended the prefix, in what was sent, or what else did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from playground.prefix_cache.causes import TITLES, Cause
from playground.prefix_cache.difference import Difference, difference
from playground.prefix_cache.forecast import Forecast, span
from playground.prefix_cache.parameters import changed, that_may_matter
from playground.prefix_cache.tokens import TokenEstimator
from playground.prefix_cache.view import CacheView, DocumentView, PartKind
from playground.prefix_cache.visible import quoted, snippet
from playground.prompt.document import Json
from playground.prompt.variables import places

Kind = Literal[
    "differs", "first", "expired", "server", "unreported", "order", "tools", "parameters", "minimum", "unknown"
]
"""What is drawn: a place in the prompt (differs, order, tools), or a sentence alone."""


@dataclass(frozen=True, slots=True)
class Why:
    """One explanation. `sentence` stands alone; `before` and `after` are the characters at the difference in the
    earlier request and in this one, in their words, invisible ones made visible; empty where no text differs.

    `message` is the index of the message it lies in (None: the tools, or no place), `offset` the code point inside
    that part as it was sent, `variable` the name of the variable whose value changed, `compared_with` the request_id
    of the earlier request. `cause` names it; `place` is the first code point of the cache's view that differs, `part`
    what that place belongs to, `tool` the index of the tool it lies in.
    """

    kind: Kind
    sentence: str
    before: str = ""
    after: str = ""
    message: int | None = None
    offset: int = 0
    variable: str | None = None
    compared_with: str | None = None
    cause: Cause = "unknown"
    place: int | None = None
    part: PartKind | None = None
    tool: int | None = None

    @property
    def title(self) -> str:
        """The cause in a few words; empty where none is named."""
        if self.cause == "unknown" and self.kind != "unknown":
            return ""
        return f"{{{{{self.variable}}}}} has another value" if self.variable else TITLES[self.cause]


LARGE_BLOCK = 1024
"""Tokens: the largest block and the largest minimum that is taken to be usual. What lies below may never be cached."""


@dataclass(frozen=True, slots=True)
class _Served:
    """What the server said, about how many tokens the earlier request shares with this one (≈), and the least that
    this server is known to cache (0: not known)."""

    cached: int
    prompt: int
    shared: float
    minimum: int

    @property
    def missed(self) -> bool:
        """Whether even what is the same byte for byte was not served; a last block that is not whole is no miss."""
        return self.cached < self.shared / 2 and self.shared - self.cached >= max(64.0, 1.03 * self.minimum)

    @property
    def too_short(self) -> bool:
        """Whether the whole prompt is less than this server caches."""
        return self.cached == 0 and self.prompt < self.minimum

    @property
    def elsewhere(self) -> bool:
        """Whether another request must share more than the one that this is held against."""
        return self.cached > self.shared * 1.25 + 64


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """The time between both requests, what was forecast knowing it, and the parameters that differ."""

    gap_s: float | None
    lifetime_s: float
    forecast: Forecast | None
    parameters: tuple[str, ...]

    @property
    def compared_with(self) -> str | None:
        """The earlier request's id."""
        return self.forecast.request_id if self.forecast else None

    @property
    def other_model(self) -> bool:
        """Whether the models differ: no server shares a cache between two."""
        return any(clause.startswith("model:") for clause in self.parameters)

    @property
    def foreseen(self) -> str:
        """Why nothing was expected of the earlier request, though it was sent only lately."""
        basis = self.forecast.basis if self.forecast and not self.forecast.cached_tokens else ""
        return basis if basis.startswith("last sent") else ""


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
    fields: Mapping[str, Json] | None = None,
    earlier_fields: Mapping[str, Json] | None = None,
    minimum_tokens: int | None = None,
    estimator: TokenEstimator | None = None,
) -> Why | None:
    """What ended the prefix of a request that was answered; None where there is nothing to say.

    `earlier` is what it is held against, `gap_s` the seconds between the two. `fields` and `earlier_fields` are both
    bodies (or what is left of them without messages and tools), `minimum_tokens` the least that this server is known
    to cache, `estimator` one that this server's reports have taught. Identical bytes that missed are never blamed on
    the prompt (interface.md, Inspector).
    """
    if cached_tokens is None or prompt_tokens is None:
        words = "The server did not report cached tokens: what the cache did is unknown."
        return Why("unreported", words, cause="unreported")
    if earlier is None:
        return _first(cached_tokens)
    found = difference(now, earlier)
    shared = min(len(now.text), len(earlier.text)) if found is None else found.shared
    tokens = prompt_tokens * _share(now.text, shared, estimator or TokenEstimator())
    served = _Served(cached_tokens, prompt_tokens, tokens, minimum_tokens or 0)
    both = fields is not None and earlier_fields is not None
    clauses = changed(that_may_matter(fields or {}), that_may_matter(earlier_fields or {})) if both else ()
    around = _Circumstances(gap_s, lifetime_s, forecast, clauses)
    if served.elsewhere and found is not None:
        return _elsewhere(served, around)
    if _short(now, found, served):
        return _below_minimum(found, served, around)
    if served.missed:
        return _missed(now, found, served, around)
    return None if found is None else _differs(now, found, served, document, around)


def _share(text: str, shared: int, estimator: TokenEstimator) -> float:
    """Of the text's tokens, how many stand before code point `shared`; as a ratio it needs little calibration."""
    if shared >= len(text):
        return 1.0
    return estimator.estimate(text[:shared]) / estimator.estimate(text)


def _first(cached_tokens: int) -> Why:
    if cached_tokens:
        return Why(
            "server",
            f"{cached_tokens:,} tokens came from the cache although this program has sent nothing like it lately: "
            "another program of the account has.",
            cause="unknown",
        )
    words = "The first request of its kind: nothing was cached yet. Send it again to see the cache work."
    return Why("first", words, cause="first")


def _elsewhere(served: _Served, around: _Circumstances) -> Why:
    words = (
        f"{served.cached:,} tokens came from the cache, though the earlier request shares only ≈ {served.shared:,.0f}: "
        "another request shares more, and this program does not know it. What ended the prefix cannot be said."
    )
    return Why("unknown", words, compared_with=around.compared_with, cause="unknown")


def _short(now: CacheView, found: Difference | None, served: _Served) -> bool:
    """Whether so little is shared that this server would not have cached it, and no early difference is to blame."""
    if served.cached or served.shared >= served.minimum:
        return False
    last = now.parts[-1].index if now.parts else 0
    at_the_end = found is None or (found.part.kind != "tool" and found.part.index == last)
    return served.too_short or at_the_end


def _below_minimum(found: Difference | None, served: _Served, around: _Circumstances) -> Why:
    what = "The whole prompt is" if served.too_short else "What the earlier request shares is"
    size = f"{served.prompt:,}" if served.too_short else f"≈ {served.shared:,.0f}"
    words = (
        f"{what} {size} tokens; this server has never cached fewer than {served.minimum:,}. "
        "Nothing in the prompt's words is to blame."
    )
    place = None if found is None else found.shared
    return Why("minimum", words, compared_with=around.compared_with, cause="minimum", place=place)


def _missed(now: CacheView, found: Difference | None, served: _Served, around: _Circumstances) -> Why:
    """The same bytes, not served: the clock's doing, a parameter's or the server's, whatever differs after them."""
    compared_with = around.compared_with
    if found is None:
        same = "Every byte of the earlier request is here"
    else:
        where = _place(now, found)
        same = f"The first ≈ {served.shared:,.0f} tokens, up to {where}, are the earlier request's, byte for byte"
    late = around.gap_s is not None and around.gap_s > around.lifetime_s
    if around.parameters and (around.other_model or not (late or around.foreseen)):
        return _parameters(same, around)
    if late and around.gap_s is not None:
        words = (
            f"{same}, but it was sent {span(around.gap_s)} before. Unused prefixes are forgotten after a while; "
            f"{span(around.lifetime_s)} is assumed here, the vendor publishes no figure."
        )
        return Why("expired", words, compared_with=compared_with, cause="idle")
    if around.foreseen:
        return Why("expired", f"{same}. As forecast: {around.foreseen}.", compared_with=compared_with, cause="idle")
    words = (
        f"{same}, yet only {served.cached:,} tokens came from the cache. That is the server's doing, not the prompt's."
    )
    if served.cached == 0 and not served.minimum and served.shared < LARGE_BLOCK:
        words += " A prefix this short may lie below the least that it caches."
    return Why("server", words, compared_with=compared_with, cause="server")


def _parameters(same: str, around: _Circumstances) -> Why:
    what = "Models share no cache." if around.other_model else "A server may keep what differs in it apart."
    words = f"{same}, but {'; '.join(around.parameters)}. {what}"
    return Why("parameters", words, compared_with=around.compared_with, cause="parameters")


def _differs(
    now: CacheView, found: Difference, served: _Served, document: DocumentView | None, around: _Circumstances
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
        compared_with=around.compared_with,
        cause=found.cause if variable is None else "variable",
        place=found.shared,
        part=part.kind,
        tool=part.index if part.kind == "tool" else None,
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
    if not served.cached and 0 < served.shared < served.minimum:
        least = f"the ≈ {served.shared:,.0f} tokens before it are fewer than the {served.minimum:,} that are cached"
        return f"Nothing after it can match, and {least}: {fresh}."
    return f"Nothing after it can match: {fresh}."
