"""Cause of a cache miss: the characters of the prompt that ended the prefix, or another cause.

`explain_miss` is pure. It is evaluated before the model learns from the same report; its result is stored with the
request. How it decides:

1. `best_order` finds the order of the template in which the report is explained best. There the prompt differs from the
   earlier one in `case.found`, behind `case.shared` tokens.
2. Text that both have was not served (`_missed`): another parameter, a known lifetime or minimum, or a loss.
3. Else the template moves text (`_moved`), the prompt continues the earlier one (`_identical`), or it was edited
   (`_changed`): the edit is named if the report is what whole blocks of the tokens before it give.
4. What else may be the cause makes it unknown, with a reason "…_or_lost" and the candidates that reports do not exclude
   (`candidates_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache import miss_sentences
from playground.prefix_cache.block_size import EXACT
from playground.prefix_cache.difference import (
    IN_THE_PROMPT,
    TITLES,
    Cause,
    Difference,
    changed,
    difference,
    that_may_matter,
    unrelated,
)
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.miss_candidates import candidates_of
from playground.prefix_cache.miss_case import MissCase, case_of
from playground.prefix_cache.miss_evidence import CONFIDENT, LARGE_BLOCK, EarlierRequest, MissKnowledge, agreement
from playground.prefix_cache.miss_order import PROVED, served_beyond
from playground.prefix_cache.miss_sentences import AFTER_FIX, Candidate, Reason, part_before, sentence
from playground.prefix_cache.prefix_size import NEAR
from playground.prefix_cache.proofs import PART
from playground.prefix_cache.text_compare import common_prefix, common_suffix, snippet
from playground.prefix_cache.view import (
    BASE,
    CLEARED,
    OPENING,
    TURN_ORDERS,
    CacheView,
    DocumentView,
    PartKind,
    arranged,
    with_answer,
)
from playground.prompt.document import Json, places

Kind = Literal[
    "differs", "first", "expired", "server", "unreported", "order", "tools", "parameters", "minimum", "unknown"
]
"""How it is drawn: a position in the prompt (differs, order, tools), or a text alone."""
_KINDS: dict[Reason, tuple[Kind, Cause]] = {
    "first": ("first", "first"),
    "first_beside_other": ("first", "first"),
    "foreign_tokens": ("server", "unknown"),
    "parameters": ("parameters", "parameters"),
    "below_minimum": ("minimum", "minimum"),
    "emptied": ("expired", "server"),
    "expired": ("expired", "idle"),
}
_SERVER = frozenset(
    (
        "lost",
        "partly_lost",
        "other_replica",
        "template_moves",
        "template_marks_turn",
        "template_clears_results",
        "template_rewrites_calls",
    )
)
"""Reasons without a position: their kind and cause, and those of the server. The cause of all others is unknown."""
_BY_EDIT = frozenset(("edit_or_template", "edit_or_lost"))
"""Reasons that name an edit of the request body, not the difference in the order of the template."""
_NO_EDIT = frozenset(("more_than_shared", "template_or_lost", "template_and_lost", "block_or_template"))
"""Reasons by which no edit ended the prefix."""
_PLACED = IN_THE_PROMPT - {"order", "removed", "added", "tools", "parameters"}


class MissPosition(Struct, frozen=True):
    """Where the prefix ended: a message or tool (index from 0), line and column from 1, and the characters there."""

    part: Literal["message", "tool"]
    index: int
    line: int
    column: int
    text: str


class MissExplanation(Struct, frozen=True):
    """One explanation. `sentence` is complete; `before` and `after` are the characters at the difference in the
    earlier request and in this one with the word around them, invisible ones made visible; empty if no text
    differs.

    `message` is the index of the message (None: the tools, or no position), `offset` the code point inside that part
    as it was sent, `variable` the name of the variable whose value changed, `compared_with` the request_id of the
    earlier request. `place` is the first code point of the canonical view that differs, `part` the kind of part
    there, `tool` the index of the tool, `position` the same with line and column. `last`: the prefix ended in the last
    of several messages, as in every turn of a conversation. `after_fix`: the request is the first one after an
    automatic fix, which ended the prefix once. `reason` and `candidates` are what the sentence says, as codes.
    `revised_by`: the later request whose report corrected it; `kept`: that report shows that the
    cache probably had the prefix.
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
    reason: Reason = ""
    candidates: tuple[Candidate, ...] = ()
    revised_by: str | None = None
    kept: bool = False

    @property
    def correctable(self) -> bool:
        """Whether the report of a later request may exclude what this names."""
        named = bool(self.candidates) or self.reason == "edit_or_off"
        return named and not self.kept and self.cause not in IN_THE_PROMPT

    def expected_after_fix(self) -> MissExplanation:
        """Return the explanation for the first request after an automatic fix, if a changed prompt is the cause."""
        if self.kind not in ("differs", "order", "tools"):
            return self
        return replace(self, after_fix=True, sentence=f"{AFTER_FIX} {self.sentence}")

    @property
    def title(self) -> str:
        """The cause with its place, in a few words: the only text for it in the log, Recorder and inspector."""
        if self.after_fix:
            return "First request after the fix"
        if self.kept:
            return "Probably cached, yet not served"
        if self.reason == "new_text" and not self.last:
            return "Another conversation begins here"
        if self.reason in ("first_beside_other", "foreign_tokens"):
            return "New prompt"
        if self.variable:
            return f"{{{{{self.variable}}}}} changed"
        if self.last and self.cause in IN_THE_PROMPT:
            return "Only the last message is new" if self.reason == "new_text" else "Only the last message differs"
        at = self.position
        if at is None or self.cause not in _PLACED:
            return TITLES[self.cause]
        return f"{TITLES[self.cause]} in {at.part} {at.index + 1}, line {at.line}"

    @property
    def avoidable(self) -> bool:
        """Whether a change of the prompt can remove the cause: the text is amber then, else grey."""
        common = (self.last and not self.variable) or self.reason == "new_text"
        return self.cause in IN_THE_PROMPT and not self.after_fix and not common


def explain_miss(
    now: CacheView,
    fields: Mapping[str, Json] | None,
    earlier: EarlierRequest | None,
    usage: CacheUsage,
    known: MissKnowledge,
    document: DocumentView | None = None,
) -> MissExplanation | None:
    """Return what ended the prefix of an answered request; None if nothing was missed."""
    cached = usage.cached_tokens
    if cached is None:
        return _unreported(usage)
    if earlier is None:
        return _first(cached, known)
    case = _case(now, fields, earlier, (cached, usage.prompt_tokens), known, document)
    if case.own_model_served or (case.at_point and case.extends):
        return None
    found, shared = case.found, case.shared
    if found is not None and served_beyond(cached, shared, known.block):
        return _made(case, "more_than_shared")
    emptied = earlier.lost and case.extends and cached < shared.tokens - known.block - 3 * shared.error
    in_turn = known.in_turn and known.replicas_proved and not known.running and not known.never_served
    if in_turn and case.expected_less and not case.parameters and not earlier.lost:
        return _made(case, "other_replica")
    if case.missed or emptied:
        return _missed(case)
    if _is_first(case):
        return _first(cached, known)
    if found is not None and case.moved is not None:
        return _moved(case, found)
    if found is None:
        return _identical(case)
    return _changed(case, found)


def _case(
    now: CacheView,
    fields: Mapping[str, Json] | None,
    earlier: EarlierRequest,
    report: tuple[int, int | None],
    known: MissKnowledge,
    document: DocumentView | None,
) -> MissCase:
    """Return the evidence with the parameters that differ. One with which a part of a prompt is shared may be why no
    more was served, but not why nothing was."""
    if fields is None or earlier.fields is None:
        return case_of(now, document, earlier, (), known, report)
    mine, theirs = that_may_matter(fields), that_may_matter(earlier.fields)
    shared, own = known.shared_parameters, earlier.own_fields
    clauses = changed(mine, theirs, shared)
    in_part = tuple(one for one in changed(mine, theirs) if one not in clauses) if report[0] else ()
    own_clauses = () if own is None else changed(mine, that_may_matter(own), shared)
    case = replace(case_of(now, document, earlier, clauses, known, report), in_part=in_part, own_parameters=own_clauses)
    if case.missed and case.edit_explains:
        return replace(case, parameters=(), in_part=(*in_part, *clauses))
    # If the own model served all that it had, only what differs from the other model's request ended the prefix.
    edited = case.own_model_served and not case.extends
    return case_of(now, document, earlier, (), known, report) if edited else case


def _changed(case: MissCase, found: Difference) -> MissExplanation:
    """Explain a report for a prompt that differs from the earlier one."""
    if case.at_point:
        return _differs(case, found)
    if case.cached == 0 and case.at_the_end and case.minimum and case.shared.tokens < case.minimum:
        return _below_minimum(case)
    # Templates write other fields in different places, so that the prefix may end before the estimated place.
    certain = case.served_as_long or case.expected_less
    if not case.parameters:
        why = _perhaps_lost(case, found, certain=certain)
    else:
        less = case.expected_less or case.missing or case.loss_proved or case.less_than_edit_leaves
        why = _by_parameters(case) if less and (certain or found.part.kind == "content") else None
    return why or _differs(case, found, candidates_of(case) if case.more_may_be_lost else ())


def _perhaps_lost(case: MissCase, found: Difference, *, certain: bool) -> MissExplanation | None:
    """Explain a report of less than the difference leaves, with the same parameters."""
    lost = case.missing == "part" or case.expected_less or case.loss_proved
    if found.part.kind == "tool":
        certain = case.expected_less  # templates write tools with fewer tokens than estimated
    if lost and (certain or found.part.kind == "content"):
        return _lost(case, "partly_lost", certain=certain)
    if case.may_be_off:
        return _made(case, "edit_or_off")
    if not case.cached and not case.known.figures and case.shared.tokens >= PART:
        return _made(case, "short_or_lost", candidates_of(case, "short_or_lost"))
    reason: Reason
    if case.missing and found.part.kind == "content":
        reason = "block_or_partly_lost"
    elif case.order_doubtful:
        reason = "order_or_lost"
    elif case.too_fresh or (case.less_than_edit_leaves and case.known.agrees(case.cached, case.shared)):
        reason = "block_or_partly_lost"
    elif case.less_than_edit_leaves:
        reason = "edit_or_partly_lost"
    elif _is_last(case, found) and _is_new(case, found) and not case.hidden_by_block:
        reason = "block_or_partly_lost"
    else:
        return None
    return _made(case, reason, candidates_of(case))


def _identical(case: MissCase) -> MissExplanation | None:
    """Explain a report for a prompt without a difference, which is too short to tell by the tokens that were missed."""
    if case.cached == 0 and case.minimum is not None and case.shared.tokens < case.minimum:
        return _below_minimum(case)
    if case.parameters:
        return _by_parameters(case) if case.missing or (case.other_has_more and case.own_model_whole) else None
    generated = _generated_again(case)
    if generated is not None:
        return generated
    # A server that has served parts of messages in usual blocks does not keep one large block of an unusual size.
    usual = case.known.inside and bool(case.known.figures) and case.known.rounding == EXACT
    if case.missing == "part" or case.expected_less or (case.missing and usual):
        return _lost(case, "partly_lost")
    if case.missing:
        return _made(case, "block_or_partly_lost", candidates_of(case))
    return _answer_edited(case)


def _answer_edited(case: MissCase) -> MissExplanation | None:
    """Explain a report that ends where the client changed the text of the generated answer. None if it does not, if the
    server may keep no answers, or if no whole block of the answer was lost."""
    earlier, known = case.earlier, case.known
    answers = sum(one.weight for one in known.reuses if one.reuse != "none")
    sure = answers >= PROVED * sum(one.weight for one in known.reuses) > 0
    if not sure or earlier.prompt_tokens is None or earlier.completion_tokens is None or known.in_turn:
        return None
    generated = with_answer(earlier.view, earlier.answer)
    mine, theirs = (arranged(view, case.order) for view in (case.now, generated))
    found = difference(mine, theirs)
    if found is None or found.part.kind != "content" or found.shape != "text":
        return None
    size = case.size(found.shared)
    whole = earlier.prompt_tokens + earlier.completion_tokens - 1
    kept = found.around[0].strip() != found.around[1].strip()
    if not kept or not case.known.in_blocks(case.cached, size) or whole // known.block * known.block <= case.cached:
        return None
    return _differs(replace(case, earlier=replace(earlier, view=generated), found=found, shared=size), found)


def _made(
    case: MissCase, reason: Reason, candidates: tuple[Candidate, ...] = (), place: int | None = None
) -> MissExplanation:
    """Return an explanation that blames no text. Its position is where the text differs, if that may be the cause."""
    kind, cause = _KINDS.get(reason, ("server", "server") if reason in _SERVER else ("unknown", "unknown"))
    edited = case.edit if reason in _BY_EDIT else case.found
    may_be = cause in ("unknown", "parameters") and reason not in _NO_EDIT and not case.extends
    return MissExplanation(
        kind,
        sentence(case, reason, candidates),
        compared_with=case.earlier.request_id,
        cause=cause,
        place=place,
        position=_position(case.now, edited, _tool(edited)) if may_be and edited is not None else None,
        reason=reason,
        candidates=candidates,
    )


def _by_parameters(case: MissCase) -> MissExplanation:
    """Name the parameters that differ. Models share no cache; any other one may matter, and the server may have lost
    the prefix all the same."""
    candidates = () if case.other_model and not case.own_model_lost else candidates_of(case)
    return _made(case, "parameters", candidates)


def _unreported(usage: CacheUsage) -> MissExplanation:
    if usage.implausible:
        return MissExplanation("unknown", usage.implausible, cause="implausible")
    return MissExplanation("unreported", miss_sentences.UNREPORTED, cause="unreported", reason="unreported")


def _is_first(case: MissCase) -> bool:
    """Whether the prompt has nothing but its beginning in common with an earlier one, and no place of it is proved."""
    if case.found is None or case.shared.tokens >= LARGE_BLOCK or not unrelated(case.now, case.earlier.view):
        return False
    # More than the prompts share in this order of their parts: the server writes them in another one.
    beyond = case.shared.tokens < case.cached <= case.known.longest + case.known.block
    return case.cached <= case.known.block or beyond


def _first(cached: int, known: MissKnowledge) -> MissExplanation:
    # The tokens of a short beginning are an estimate, which may be half of the true figure.
    most = known.longest + max(known.block, min(known.longest, NEAR))
    beside: Reason = "first_beside_other" if cached <= most else "foreign_tokens"
    reason = beside if cached else "first"
    kind, cause = _KINDS[reason]
    return MissExplanation(kind, miss_sentences.first(cached, reason), cause=cause, reason=reason)


def _moved(case: MissCase, found: Difference) -> MissExplanation | None:
    """Explain a prefix that ended where the template puts tools or system text: before the last user message; or where
    it writes the assistant's messages of the last turn in another way."""
    unproved = case.moved in case.known.unproved_orders
    if case.parameters:  # another model, or a part of the cache kept apart, explains it as well
        less = unproved and case.known.longest - case.cached >= 2 * case.known.part
        return _by_parameters(case) if less or case.loss_proved else None
    if case.may_be_off and case.extends:
        return _lost(case, "lost")
    if case.in_plain_order:
        return None
    candidates = candidates_of(case) if case.other_lost or unproved else ()
    if case.edit is not None:
        return _made(case, "edit_or_template", candidates, place=found.shared)
    if case.may_be_blocks:
        return _made(case, "block_or_template", candidates)
    if case.other_lost or unproved:
        reason: Reason = "template_and_lost" if case.other_lost else "template_or_lost"
        reason = "limit_or_lost" if case.at_limit else reason
        return _made(case, reason, candidates_of(case, reason), place=found.shared)
    reason = "template_marks_turn" if case.moved in TURN_ORDERS else "template_moves"
    if case.moved is not None and BASE.get(case.moved, case.moved) in CLEARED:
        reason = "template_clears_results"
    return _made(case, reason, place=found.shared)


def _generated_again(case: MissCase) -> MissExplanation | None:
    """Explain why the generated tokens of tool calls were not found: the template writes them in another way. None if
    the evidence does not exclude other reasons."""
    earlier, known = case.earlier, case.known
    end = len(earlier.view.text)
    if earlier.prompt_tokens is None or earlier.completion_tokens is None or not known.answers_proved:
        return None  # a server that caches no answers serves as much
    if not earlier.answer or not case.now.text.startswith(OPENING + earlier.answer, end):
        return None  # the client sends another message than the model generated
    whole = earlier.prompt_tokens + earlier.completion_tokens - 1
    least = known.part
    if not earlier.prompt_tokens - known.block <= case.cached <= whole - least:
        return None
    message = earlier.view.messages
    calls = next((part for part in case.now.parts if part.kind == "tool_calls" and part.index == message), None)
    if calls is None or calls.start < end:
        return None
    template = total = 0.0
    for one in known.reuses:
        fit = one.weight * agreement(case.cached, one.size, known.block)
        total += fit
        if one.reuse != "none" and one.size.tokens <= whole - least:
            template += fit
    if not total or template < CONFIDENT * total:
        return None
    return _made(case, "template_rewrites_calls", place=calls.start)


def _below_minimum(case: MissCase) -> MissExplanation:
    place = None if case.found is None else case.found.shared
    return _made(case, "below_minimum", place=place)


def _missed(case: MissCase) -> MissExplanation:
    """Explain identical text that was not served: a parameter, the lifetime, a minimum or the server."""
    known = case.known
    found = None if case.extends else case.found
    if case.at_point and found is not None and case.moved is None:
        return _differs(case, found)
    if case.off_proved:
        return _made(case, "lost", candidates_of(case))
    mostly = case.own_model_lost and not case.own_parameters and known.longest >= case.shared.tokens / 2
    if case.parameters and not mostly and (case.other_model or not case.late):
        return _by_parameters(case)
    if case.earlier.lost:
        return _made(case, "emptied")
    minimum = case.minimum
    if case.cached == 0 and minimum and (case.shared.tokens < minimum or case.prompt < minimum):
        if found is not None and not case.at_the_end and case.prompt >= minimum:
            return _differs(case, found)
        return _below_minimum(case)
    if case.late and case.earlier.gap_s is not None and known.outlived and known.forgets:
        return _made(case, "expired")
    if found is not None and found.shape == "tools":
        return _made(case, "tool_order_or_lost", candidates_of(case))
    if found is not None and case.may_be_short and case.kept_short:
        return _made(case, "short_or_lost", candidates_of(case, "short_or_lost"))
    return _lost(case, "lost")


def _lost(case: MissCase, reason: Reason, *, certain: bool = True) -> MissExplanation:
    """State that the server did not find identical text, unless an edit of the request explains the report too.

    Not `certain`: the size of the shared beginning is an estimate, which may be too large.
    """
    differs = case.found is not None and not case.extends
    moved = None if case.text_left_out else case.system_moved
    if moved is not None and not case.at_limit:
        case = replace(case, found=moved, moved="system_last")
        return _made(case, "template_or_lost", candidates_of(case), place=moved.shared)
    if case.edit is not None:
        reason = "edit_or_lost"
    elif differs and (not certain or case.has_pictures):
        reason = "edit_or_partly_lost"
    elif differs and case.may_end_in_block:
        reason = "block_or_partly_lost" if case.cached else "short_or_lost"
    elif case.keeps_messages:
        reason = "whole_message_or_lost"
    elif case.keeps_points:
        reason = "kept_points_or_lost"
    elif case.may_be_limit and not case.too_early:
        reason = "limit_or_lost"
    return _made(case, reason, candidates_of(case, reason))


def _differs(case: MissCase, found: Difference, candidates: tuple[Candidate, ...] = ()) -> MissExplanation:
    """Name a difference. `candidates`: why the server may have lost text in front of it, too."""
    variable = _variable(case.document, found)
    part = found.part
    tool = _tool(found)
    last = tool is None and _is_last(case, found)
    reason: Reason = "new_text" if last and variable is None and _is_new(case, found) else "differs"
    reason = "edit_and_perhaps_lost" if candidates else reason
    return MissExplanation(
        found.shape if found.shape in ("order", "tools") else "differs",
        sentence(case, reason, candidates, variable),
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
        last=last,
        reason=reason,
        candidates=candidates,
    )


def _is_last(case: MissCase, found: Difference) -> bool:
    last = max((one.index for one in case.now.parts if one.kind == "role"), default=0)
    return found.part.kind != "tool" and 0 < found.part.index == last


def _is_new(case: MissCase, found: Difference) -> bool:
    """Return whether all before the difference was served, and the message has another text from there on, as the next
    question of a program has: no value in a text that stays the same."""
    if found.cause != "edited" or found.part.kind != "content" or not case.cached:
        return False
    if not case.known.in_blocks(case.cached, case.shared):
        return False
    mine, theirs = (_content(view, found.part.index) for view in (case.now, case.earlier.view))
    rest = min(len(mine), len(theirs)) - common_prefix(mine, theirs)
    return common_suffix(mine, theirs, rest) < rest / 2 or not rest


def _content(view: CacheView, index: int) -> str:
    part = next((one for one in view.parts if one.kind == "content" and one.index == index), None)
    return "" if part is None else view.text_of(part)


def _tool(found: Difference) -> int | None:
    return found.tool if found.tool is not None or found.part.kind != "tool" else found.part.index


def _position(view: CacheView, found: Difference, tool: int | None) -> MissPosition:
    part = found.part
    kind: Literal["message", "tool"] = "message" if tool is None else "tool"
    index = part.index if tool is None else tool
    inside = (part.kind == "content" and tool is None) or part.kind == "tool"
    if not inside:
        return MissPosition(kind, index, 1, 1, found.around[1])
    text = part_before(view, found)
    return MissPosition(kind, index, text.count("\n") + 1, len(text) - text.rfind("\n"), found.around[1] or found.after)


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
