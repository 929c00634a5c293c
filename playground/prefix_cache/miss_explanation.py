"""Cause of a cache miss: the characters of the prompt that ended the prefix, or another cause.

`explain_miss` is pure. It is evaluated before the model learns from the same report; its result is stored with the
request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.causes import TITLES, Cause
from playground.prefix_cache.difference import (
    Difference,
    changed,
    difference,
    moved_by_template,
    rewritten,
    that_may_matter,
    unrelated,
)
from playground.prefix_cache.endpoint_model import CacheUsage, EndpointCacheModel, Prediction
from playground.prefix_cache.forecast import span
from playground.prefix_cache.hypotheses import Rendering
from playground.prefix_cache.message_content import offset_with_marks, text_before
from playground.prefix_cache.prefix_size import NEAR, Size
from playground.prefix_cache.text_compare import common_prefix, quoted, snippet
from playground.prefix_cache.traffic import lifetime_of
from playground.prefix_cache.view import (
    BARE,
    SENT,
    TURN_ORDERS,
    CacheView,
    DocumentView,
    Order,
    PartKind,
    Reuse,
    arranged,
)
from playground.prompt.document import Json, places

Kind = Literal[
    "differs", "first", "expired", "server", "unreported", "order", "tools", "parameters", "minimum", "unknown"
]
"""How it is drawn: a position in the prompt (differs, order, tools), or a text alone."""
PLAUSIBLE = 0.1
"""Probability from which another order than the most probable may explain a report."""
LARGE_BLOCK = 1024
"""Tokens: the largest usual block and minimum. A shorter prefix may never be cached."""
UNRENDERED = 0.1
"""Weight of a template that leaves out or rewrites what differs, against one that renders it as sent."""
NO_ROOM, LENGTH = 0.01, 0.6
"""Probability of a limited cache up to which a lifetime is named from this confidence on."""
SHORTENED = 64
"""Tokens by which the earlier prompt is longer than what is shared, from which it may have reached a block or minimum
that the shared part does not reach."""
PARTLY = 0.03
"""Probability of blocks that leave out as much up to which a loss of part of a prefix is stated."""
ROOM = 0.1
"""Probability of a limited cache up to which a lifetime is named."""
MOVING = 0.6
"""Probability from which a template is said to move tools or system text, or to mark the last turn: a large block, a
minimum or another replica look the same in single reports."""
BEYOND = 0.03
"""Of a shared size: what may be served beyond it while the difference is still believed."""
CONFIDENT = 0.7
"""Confidence from which an inferred minimum or lifetime is named as the cause."""


class MissPosition(Struct, frozen=True):
    """Where the prefix ended: a message or tool (index from 0), line and column from 1, and the characters there."""

    part: Literal["message", "tool"]
    index: int
    line: int
    column: int
    text: str


_AFTER_FIX = "The fix changed the prefix once; the next request can be served from the cache."


class MissExplanation(Struct, frozen=True):
    """One explanation. `sentence` is complete; `before` and `after` are the characters at the difference in the
    earlier request and in this one with the word around them, invisible ones made visible; empty if no text
    differs.

    `message` is the index of the message (None: the tools, or no position), `offset` the code point inside that part
    as it was sent, `variable` the name of the variable whose value changed, `compared_with` the request_id of the
    earlier request. `place` is the first code point of the canonical view that differs, `part` the kind of part
    there, `tool` the index of the tool, `position` the same with line and column. `last`: the prefix ended in the last
    of several messages, as in every turn of a conversation. `after_fix`: the request is the first one after an
    automatic fix, which ended the prefix once.
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
    position: MissPosition | None = None
    last: bool = False
    after_fix: bool = False

    def expected_after_fix(self) -> MissExplanation:
        """Return the explanation for the first request after an automatic fix, if a changed prompt is the cause."""
        if self.kind not in ("differs", "order", "tools"):
            return self
        return replace(self, after_fix=True, sentence=f"{_AFTER_FIX} {self.sentence}")

    @property
    def title(self) -> str:
        """The cause in a few words; empty if none is named."""
        if self.after_fix:
            return "First request after the fix"
        if self.cause == "unknown" and self.kind != "unknown":
            return ""
        return f"{{{{{self.variable}}}}} has another value" if self.variable else TITLES[self.cause]


class EarlierRequest(Struct, frozen=True):
    """What a request is compared with. `gap_s` is the time between both, `lost` why the cache cannot have it any
    more. Tokens are as reported."""

    view: CacheView
    fields: Mapping[str, Json] | None = None
    request_id: str | None = None
    gap_s: float | None = None
    lost: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class OrderEvidence(Struct, frozen=True):
    """One possible order of the prompt, with its probability; `size` gives the tokens before a code point in that
    order. `twin`: the probability of the same order with, or without, what a bare one leaves out."""

    order: Order
    weight: float
    size: Callable[[int], Size]
    twin: float = 0.0

    @property
    def plausible(self) -> float:
        """Probability of where tools are."""
        return self.weight + self.twin


class ReuseEvidence(Struct, frozen=True):
    """What of a generated message may be found again, with its probability, and the tokens that are served then."""

    reuse: Reuse
    weight: float
    size: Size


class MissKnowledge(Struct, frozen=True):
    """What was known of the server before the report. `minimum` and `lifetime_s` are None unless reports support
    them. `blocks` are the blocks that reports allow, with their probabilities; empty: only `block`."""

    orders: Sequence[OrderEvidence]
    block: int = 16
    minimum: int | None = None
    lifetime_s: float | None = None
    assumed_lifetime_s: float = 300.0
    alive: float = 1.0
    """Probability that the shared prefix was still cached, as far as time and traffic tell."""
    blocks: Sequence[tuple[int, float]] = ()
    longest: float = 0.0
    """≈ tokens of the longest beginning that any earlier request shares."""
    reuses: Sequence[ReuseEvidence] = ()
    never_served: bool = False
    """Whether no report so far had cached tokens."""
    figures: Sequence[int] = ()
    """The cached tokens above 0 that were reported so far, each once."""
    room: float = 0.0
    """Probability that the cache keeps only so many tokens or requests, as far as reports tell."""
    at: float | None = None
    """When the request was sent, in Unix seconds."""


def explain_miss(
    now: CacheView,
    fields: Mapping[str, Json] | None,
    earlier: EarlierRequest | None,
    usage: CacheUsage,
    known: MissKnowledge,
    document: DocumentView | None = None,
) -> MissExplanation | None:
    """Return what ended the prefix of an answered request; None if nothing was missed."""
    cached, prompt = usage.cached_tokens, usage.prompt_tokens
    if cached is None or prompt is None:
        text = "The server did not report cached tokens: what the cache did is unknown."
        return MissExplanation("unreported", text, cause="unreported")
    if earlier is None:
        return _first(cached, known)
    both = fields is not None and earlier.fields is not None
    clauses = changed(that_may_matter(fields or {}), that_may_matter(earlier.fields or {})) if both else ()
    extends = now.text.startswith(earlier.view.text)
    found, shared, moved = _evidence(now, earlier.view, cached, known, likely_only=bool(clauses), extends=extends)
    case = _Case(now, document, earlier, clauses, known, cached, prompt, shared)
    if found is not None and cached > shared.tokens * (1 + BEYOND) + known.block + NEAR + 3 * shared.error:
        return _elsewhere(case, found)
    if case.missed or (earlier.lost and extends and cached < shared.tokens - known.block - 3 * shared.error):
        return _missed(case, None if extends else found)
    if found is not None and cached <= known.block and unrelated(now, earlier.view) and shared.tokens < LARGE_BLOCK:
        return _first(cached, known)
    if found is not None and moved is not None:
        return _moved(case, found, moved)
    if found is None:
        # Identical, and too short to tell by the tokens that were missed.
        short = cached == 0 and known.minimum is not None and shared.tokens < known.minimum
        return _below_minimum(case, None) if short else _generated_again(case) or _partly(case)
    if cached == 0 and _at_the_end(now, found) and known.minimum and shared.tokens < known.minimum:
        return _below_minimum(case, found)
    return _differs(case, found)


class _Case(Struct, frozen=True):
    now: CacheView
    document: DocumentView | None
    earlier: EarlierRequest
    parameters: tuple[str, ...]
    known: MissKnowledge
    cached: int
    prompt: int
    shared: Size

    @property
    def missed(self) -> bool:
        """Return whether identical text was not served; an incomplete last block is no miss."""
        block = self.known.block
        if self.cached == 0 and (self.shared.tokens - 2 * self.shared.error) // block * block >= max(64, block):
            return True
        least = max(64.0, 1.5 * block) + 2 * self.shared.error
        return self.cached < self.shared.tokens / 2 and self.shared.tokens - self.cached >= least

    @property
    def may_be_short(self) -> bool:
        """Return whether the prefix may be below a minimum that is not known."""
        return self.cached == 0 and self.shared.tokens < 1.1 * LARGE_BLOCK and self.known.minimum is None

    @property
    def none_so_short(self) -> bool:
        """Return whether no report shows that the server caches a prefix as short as the shared one."""
        return not any(figure <= self.shared.tokens + self.known.block for figure in self.known.figures)

    @property
    def other_model(self) -> bool:
        return any(clause.startswith("model:") for clause in self.parameters)

    @property
    def own_model_lost(self) -> bool:
        """Return whether the request's own model did not find what it had: the change of model is not the reason."""
        return self.other_model and self.known.longest - self.cached >= max(64.0, 1.5 * self.known.block)

    @property
    def late(self) -> bool:
        limit = self.known.lifetime_s
        return limit is not None and self.earlier.gap_s is not None and self.earlier.gap_s > 0.8 * limit


def _evidence(
    now: CacheView, earlier: CacheView, cached: int, known: MissKnowledge, *, likely_only: bool, extends: bool
) -> tuple[Difference | None, Size, Order | None]:
    """Return the first difference in the order that explains the report best, the tokens before it, and this order if
    the template causes it by moving tools or system text, or by marking the last turn.

    `likely_only`: only in the most probable order, as something else may explain the report. `extends`: the prompt
    begins with the whole earlier one, so that only a template can cause a difference: its order must be probable.
    """
    best: tuple[float, Order, CacheView, Size, bool] | None = None
    most = max((one.plausible for one in known.orders), default=0.0)
    least = most if likely_only else min(CONFIDENT if extends else PLAUSIBLE, most)
    same = rewritten(earlier, now)
    for one in known.orders:
        if one.plausible < least:
            continue
        mine = arranged(now, one.order)
        for other in (earlier,) if same is None else (earlier, same):
            theirs = arranged(other, one.order)
            moved = moved_by_template(mine, theirs, one.order)
            if moved and one.plausible < MOVING:
                continue
            size = one.size(common_prefix(mine.text, theirs.text))
            fit = (one.weight if other is earlier else one.weight * UNRENDERED) * sum(
                share * _agreement(cached, size, block) for block, share in known.blocks or ((known.block, 1.0),)
            )
            if best is None or fit > best[0] * 1.0001:
                best = fit, one.order, other, size, moved
    _, order, other, size, moved = best or (0.0, "first", earlier, _canonical_size(now, earlier, known), False)
    return difference(arranged(now, order), arranged(other, order)), size, order if moved else None


def _canonical_size(now: CacheView, earlier: CacheView, known: MissKnowledge) -> Size:
    """Return the tokens that both share if tools are first."""
    first = next((one for one in known.orders if one.order == "first"), None)
    return first.size(common_prefix(now.text, earlier.text)) if first is not None else Size(0.0, 0.0)


def _agreement(cached: int, size: Size, block: int) -> float:
    """Return how well a report agrees with a shared size in blocks of `block` tokens, from 0 to 1."""
    served = size.tokens // block * block
    apart = max(abs(cached - served) - block - 2 * size.error, 0.0)
    return float(1.0 / (1.0 + (apart / (24.0 + 2 * size.error)) ** 2))


def _first(cached: int, known: MissKnowledge) -> MissExplanation:
    if 0 < cached <= known.longest + known.block:
        text = f"The first request of its kind: only its first {cached:,} tokens are those of another prompt."
        return MissExplanation("first", text, cause="first")
    if cached:
        text = (
            f"{cached:,} tokens came from the cache although this program has sent nothing like it to this endpoint. "
            "Candidates: another program of the account, or constant text that the server adds."
        )
        return MissExplanation("server", text, cause="unknown")
    text = "The first request of its kind: nothing was cached yet. Send it again to see the cache work."
    return MissExplanation("first", text, cause="first")


def _elsewhere(case: _Case, found: Difference) -> MissExplanation:
    text = (
        f"{case.cached:,} tokens came from the cache, though the earlier request shares only "
        f"≈ {case.shared.tokens:,.0f}. "
        "Candidates: another position of the tools, cached answers, template text, or another program's request."
    )
    return MissExplanation("unknown", text, compared_with=case.earlier.request_id, cause="unknown")


def _at_the_end(now: CacheView, found: Difference) -> bool:
    last = now.parts[-1].index if now.parts else 0
    return found.part.kind != "tool" and found.part.index == last


def _moved(case: _Case, found: Difference, order: Order) -> MissExplanation:
    """Explain a prefix that ended where the template puts tools or system text: before the last user message; or where
    it writes the assistant's messages of the last turn in another way."""
    if order in TURN_ORDERS:
        why = (
            "this server's template probably writes the assistant's messages in another way, without their reasoning, "
            "as soon as the next user message follows them"
        )
    else:
        why = (
            "this server's template probably puts tools or system text before the last user message, so that each new "
            "user message moves them"
        )
    return _by_template(case, f"The prefix ends in {_place(case.now, found)}: {why}.", found.shared)


def _by_template(case: _Case, what: str, place: int) -> MissExplanation:
    fresh = f"{case.prompt - case.cached:,} of {case.prompt:,} tokens were fresh"
    text = f"{what} The text of the prompt is not the cause: {fresh}."
    return MissExplanation("server", text, compared_with=case.earlier.request_id, cause="server", place=place)


def _generated_again(case: _Case) -> MissExplanation | None:
    """Explain why the generated tokens of tool calls were not found: the template writes them in another way. None if
    the evidence does not exclude other reasons."""
    earlier, known = case.earlier, case.known
    end = len(earlier.view.text)
    if earlier.prompt_tokens is None or earlier.completion_tokens is None:
        return None
    whole = earlier.prompt_tokens + earlier.completion_tokens - 1
    least = max(64.0, 1.5 * known.block)
    if not earlier.prompt_tokens - known.block <= case.cached <= whole - least:
        return None
    message = max((part.index for part in earlier.view.parts if part.kind != "tool"), default=-1) + 1
    calls = next((part for part in case.now.parts if part.kind == "tool_calls" and part.index == message), None)
    if calls is None or calls.start < end:
        return None
    template = total = 0.0
    for one in known.reuses:
        fit = one.weight * _agreement(case.cached, one.size, known.block)
        total += fit
        if one.reuse != "none" and one.size.tokens <= whole - least:
            template += fit
    if not total or template < CONFIDENT * total:
        return None
    what = (
        f"The prefix ends in the tool calls of message {message + 1} (assistant): this server's template probably "
        "writes them in another way than the model generated them, so that the generated tokens are not found again."
    )
    return _by_template(case, what, calls.start)


def _below_minimum(case: _Case, found: Difference | None) -> MissExplanation:
    minimum = case.known.minimum or 0
    short = case.prompt < minimum
    what = "The whole prompt is" if short else "What the earlier request shares is"
    size = f"{case.prompt:,}" if short else f"≈ {case.shared.tokens:,.0f}"
    text = (
        f"{what} {size} tokens; this server probably caches nothing below {minimum:,}. "
        "The text of the prompt is not the cause."
    )
    place = None if found is None else found.shared
    return MissExplanation("minimum", text, compared_with=case.earlier.request_id, cause="minimum", place=place)


def _shared_words(case: _Case, found: Difference | None) -> str:
    """Return what the request shares with the earlier one, as the beginning of a sentence."""
    now, then = case.now.text, case.earlier.view.text
    if found is None:
        literal = now.startswith(then)
        return f"Every byte of the earlier request is here{'' if literal else _APART}"
    part = found.part
    start = next(one.start for one in case.now.parts if (one.kind, one.index) == (part.kind, part.index))
    exact = ", byte for byte" if common_prefix(now, then) >= min(start + found.offset, len(then)) else _APART
    tokens = f"≈ {case.shared.tokens:,.0f} tokens"
    return f"The first {tokens}, up to {_place(case.now, found)}, are the earlier request's{exact}"


_APART = (
    ", as this server's template probably writes them: it may leave out ids, names and reasoning, or move system text"
)


def _missed(case: _Case, found: Difference | None) -> MissExplanation:
    """Explain identical text that was not served: a parameter, the lifetime, a minimum or the server."""
    compared_with, known = case.earlier.request_id, case.known
    same = _shared_words(case, found)
    if case.parameters and not case.own_model_lost and (case.other_model or not case.late):
        return _parameters(same, case)
    if case.earlier.lost:
        text = f"{same}, but {case.earlier.lost}."
        return MissExplanation("expired", text, compared_with=compared_with, cause="server")
    inside = found is not None and not _at_the_end(case.now, found)
    if case.cached == 0 and known.minimum and (case.shared.tokens < known.minimum or case.prompt < known.minimum):
        return (
            _differs(case, found)
            if found is not None and inside and case.prompt >= known.minimum
            else _below_minimum(case, found)
        )
    if case.late and case.earlier.gap_s is not None and known.lifetime_s is not None and known.room <= ROOM:
        text = (
            f"{same}, but it was sent {span(case.earlier.gap_s)} before. This server forgets unused prefixes after "
            f"about {span(known.lifetime_s)}, as far as its reports tell; the vendor publishes no figure."
        )
        return MissExplanation("expired", text, compared_with=compared_with, cause="idle")
    if found is not None and found.shape == "tools":
        text = (
            f"{same}, yet only {case.cached:,} tokens came from the cache. Either the server did not find them, or it "
            f"puts tools into another order, in which the change is nearer to the beginning ({found.words}). "
            f"{_candidates(case)}"
        )
        return MissExplanation("unknown", text, compared_with=compared_with, cause="unknown")
    longer = (case.earlier.prompt_tokens or 0) - case.shared.tokens >= SHORTENED
    kept_short = (inside and case.prompt >= LARGE_BLOCK) or (case.none_so_short and (inside or longer))
    if found is not None and case.may_be_short and kept_short:
        text = (
            f"{same}, yet none came from the cache. Either this server caches no prefix that short, and what follows "
            f"keeps it short ({found.words}), or the server did not find it. {_candidates(case, short=False)}"
        )
        return MissExplanation("unknown", text, compared_with=compared_with, cause="unknown")
    text = f"{same}, yet only {case.cached:,} tokens came from the cache. The text of the prompt is not the cause."
    return MissExplanation("server", f"{text} {_candidates(case)}", compared_with=compared_with, cause="server")


def _partly(case: _Case) -> MissExplanation | None:
    """Explain identical text of which the server found a part, if no block that reports allow leaves out so much."""
    known, shared = case.known, case.shared
    missed = shared.tokens - case.cached
    if case.parameters or not case.cached or missed < max(128.0, 2.0 * known.block) + 3 * shared.error:
        return None
    units = known.blocks or ((known.block, 1.0),)
    slack = 3 * shared.error + NEAR
    if sum(weight for block, weight in units if missed < block + slack) >= PARTLY:
        return None
    if any(_divides(case, parts) and missed < case.cached / parts + slack for parts in range(1, 9)):
        return None
    text = (
        f"{_shared_words(case, None)}, yet only {case.cached:,} of its ≈ {shared.tokens:,.0f} tokens "
        f"came from the cache. The text of the prompt is not the cause. {_candidates(case)}"
    )
    return MissExplanation("server", text, compared_with=case.earlier.request_id, cause="server")


def _divides(case: _Case, parts: int) -> bool:
    """Return whether the reported tokens may be so many large blocks: hybrid models have blocks of 528 tokens."""
    block = case.cached // parts
    return block * parts == case.cached and not any(figure % block for figure in case.known.figures)


def _candidates(case: _Case, *, short: bool = True) -> str:
    """Return the reasons that the evidence leaves, as text. `short`: with a minimum, if it may be one."""
    found = []
    gap_s = case.earlier.gap_s
    if case.known.never_served and not case.cached:
        found.append("a cache that is switched off (this server has reported no cached token so far)")
    if gap_s is not None and gap_s > min(case.known.assumed_lifetime_s, 120.0):
        found.append(f"the {span(gap_s)} since the earlier request")
    if short and case.may_be_short:
        found.append("a minimum that this prefix does not reach")
    found += ["a restart", "room that other traffic needed"]
    # electron-api.md: requests go to the nearest of two regions, and nothing says that these share a cache.
    found.append("another replica, or another region (after travel, or through a VPN)")
    found += _template_candidates(case)
    return f"Candidates: {', '.join(found)}."


def _template_candidates(case: _Case) -> list[str]:
    """Return what the server's template may have written in another way than before, as text."""
    found = []
    parts = (*case.now.parts, *case.earlier.view.parts)
    if any(part.kind == "reasoning" for part in parts):
        found.append("a template that leaves out the reasoning of earlier turns")
    moving = sum(one.weight for one in case.known.orders if SENT.get(one.order, one.order) in _MOVING_ORDERS)
    if moving >= 0.02 and any(part.kind == "tool" for part in parts):
        found.append("a template that puts tools before the last user message")
    at, gap_s = case.known.at, case.earlier.gap_s
    if at is not None and gap_s is not None and at // DAY_S != (at - gap_s) // DAY_S:
        found.append("the date, if the template prints it (midnight UTC was between both requests)")
    return found


_MOVING_ORDERS: frozenset[Order] = frozenset(("before_last_user", "system_last"))
DAY_S = 86_400


def _parameters(same: str, case: _Case) -> MissExplanation:
    what = "Models share no cache." if case.other_model else "A server may keep prompts that differ in it apart."
    text = f"{same}, but {'; '.join(case.parameters)}. {what}"
    return MissExplanation("parameters", text, compared_with=case.earlier.request_id, cause="parameters")


def _differs(case: _Case, found: Difference) -> MissExplanation:
    variable = _variable(case.document, found)
    text = found.words
    if variable is not None:
        before, after = (quoted(text) if text else "nothing" for text in found.around)
        text = f"the value of {{{{{variable}}}}} changed, {before} became {after}"
    part = found.part
    tool = found.tool if found.tool is not None else part.index if part.kind == "tool" else None
    return MissExplanation(
        _kind(found),
        f"The prefix ends in {_place(case.now, found)}: {text}. {_cost(case)}",
        before=snippet(found.around[0]),
        after=snippet(found.around[1]),
        message=None if tool is not None else part.index,
        offset=found.offset if part.kind == "content" and tool is None else 0,
        variable=variable,
        compared_with=case.earlier.request_id,
        cause=found.cause if variable is None else "variable",
        place=found.shared,
        part="tool" if tool is not None else part.kind,
        tool=tool,
        position=_position(case.now, found, tool),
        last=tool is None
        and 0 < part.index == max((one.index for one in case.now.parts if one.kind == "role"), default=0),
    )


def _position(view: CacheView, found: Difference, tool: int | None) -> MissPosition:
    part = found.part
    kind: Literal["message", "tool"] = "message" if tool is None else "tool"
    index = part.index if tool is None else tool
    inside = (part.kind == "content" and tool is None) or part.kind == "tool"
    if not inside:
        return MissPosition(kind, index, 1, 1, found.around[1])
    text = _before(view, found)
    return MissPosition(kind, index, text.count("\n") + 1, len(text) - text.rfind("\n"), found.around[1] or found.after)


def _before(view: CacheView, found: Difference) -> str:
    """Return the text of the part before the difference; of a list of text parts, what their texts have before it."""
    part = found.part
    # The difference was found in the order of the server, in which the part is elsewhere.
    whole = next(one for one in view.parts if one.kind == part.kind and one.index == part.index)
    text = view.text[whole.start : whole.end - 1]
    if part.kind != "content":
        return text[: found.offset]
    apart = part.end - part.start - 1 == len(text)  # in a bare order the parts of a list are one text
    return text_before(text, found.offset if apart else offset_with_marks(text, found.offset))


def _kind(found: Difference) -> Kind:
    return found.shape if found.shape in ("order", "tools") else "differs"


def _cost(case: _Case) -> str:
    fresh = f"{case.prompt - case.cached:,} of {case.prompt:,} tokens were fresh"
    minimum = case.known.minimum or 0
    if not case.cached and 0 < case.shared.tokens < minimum:
        least = (
            f"the ≈ {case.shared.tokens:,.0f} tokens before it are fewer than the {minimum:,} below which this server "
            "probably caches nothing"
        )
        return f"Nothing after it can match, and {least}: {fresh}."
    return f"Nothing after it can match: {fresh}."


# -- from the cache model --------------------------------------------------------------------------------------


def knowledge_of(cache: EndpointCacheModel, prediction: Prediction, assumed_s: float) -> MissKnowledge:
    """Return what a cache model knows before the report of a predicted request."""
    weights: dict[Order, float] = {}
    best: dict[Order, Rendering] = {}
    for one, weight in cache.hypotheses.weights.items():
        weights[one.order] = weights.get(one.order, 0.0) + weight
        known = best.get(one.order)
        if one in prediction.reaches and (known is None or weight > cache.hypotheses.weights[known]):
            best[one.order] = one
    orders = [
        OrderEvidence(order, weights[order], prediction.reaches[best[order]].size, weights.get(_twin(order), 0.0))
        for order in best
        if weights[order] >= 0.005
    ]
    minimum, lifetime = cache.units.minimum, lifetime_of(cache)
    # If the reports exclude a limited cache, only the lifetime's length is doubtful.
    needed = CONFIDENT if cache.hypotheses.room > NO_ROOM else LENGTH
    alive = 1.0
    if prediction.best is not None:
        full = max((one.size.tokens for one in prediction.outcomes), default=0.0)
        alive = sum(one.weight for one in prediction.outcomes if one.size.tokens >= 0.8 * full)
    return MissKnowledge(
        orders,
        cache.units.step,
        minimum.value if minimum.confidence >= CONFIDENT and minimum.value else None,
        float(lifetime.value) if lifetime.value is not None and lifetime.confidence >= needed else None,
        assumed_s,
        alive,
        [(unit.block, unit.weight) for unit in cache.units.likely],
        max((one.size(one.steps[-1].depth).tokens for one in prediction.reaches.values() if one.steps), default=0.0),
        _reuses(cache, prediction),
        cache.reports > 0 and not cache.units.figures,
        cache.units.figures,
        cache.hypotheses.room,
        prediction.now,
    )


def _twin(order: Order) -> Order:
    return SENT[order] if order in SENT else BARE[order]


def _reuses(cache: EndpointCacheModel, prediction: Prediction) -> list[ReuseEvidence]:
    """Return what may be found again of the answer that a prompt continues."""
    reaches = {one: reach for one, reach in prediction.reaches.items() if reach.steps}
    if len({id(reach) for one, reach in reaches.items() if one.answers}) < 2:
        return []
    weights = cache.hypotheses.weights
    return [ReuseEvidence(one.reuse, weights[one], reach.size(reach.steps[-1].depth)) for one, reach in reaches.items()]


def _variable(document: DocumentView | None, found: Difference) -> str | None:
    """Return the variable whose value contains the difference."""
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
    if part.kind == "content":
        text = _before(view, found)
        line = text.count("\n") + 1
        return f"{where}, line {line}, character {len(text) - text.rfind(chr(10)):,}"
    return where if part.kind in ("role", "content") else f"{where}, its {part.kind.replace('_', ' ')}"
