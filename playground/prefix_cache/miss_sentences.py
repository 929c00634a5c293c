"""The English sentences of explanations: the only place that turns reasons and candidates into text."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from msgspec import Struct

from playground.prefix_cache.difference import Difference
from playground.prefix_cache.forecast import span
from playground.prefix_cache.message_content import offset_with_marks, text_before
from playground.prefix_cache.miss_case import MissCase
from playground.prefix_cache.text_compare import common_prefix, quoted
from playground.prefix_cache.view import BASE, CLEARED, TURN_ORDERS, CacheView

Reason = Literal[
    "",
    "unreported",
    "first",
    "first_beside_other",
    "foreign_tokens",
    "more_than_shared",
    "differs",
    "edit_and_perhaps_lost",
    "new_text",
    "parameters",
    "emptied",
    "expired",
    "below_minimum",
    "template_moves",
    "template_marks_turn",
    "template_clears_results",
    "template_rewrites_calls",
    "lost",
    "partly_lost",
    "other_replica",
    "tool_order_or_lost",
    "short_or_lost",
    "template_and_lost",
    "template_or_lost",
    "edit_or_template",
    "edit_or_lost",
    "edit_or_partly_lost",
    "order_or_lost",
    "whole_message_or_lost",
    "kept_points_or_lost",
    "block_or_partly_lost",
    "edit_or_off",
    "block_or_template",
    "limit_or_lost",
]
"""What an explanation says, more finely than its cause. Two that are joined by "or" are both possible; ""; stored by an
earlier version."""
CandidateCode = Literal[
    "switched_off",
    "bypassed",
    "gap",
    "minimum",
    "restart",
    "room",
    "replica",
    "reasoning_left_out",
    "older_rewritten",
    "tools_moved",
    "date",
    "running",
    "not_stored",
    "parameters",
    "limit",
    "points",
    "rounding",
]


class Candidate(Struct, frozen=True):
    """A reason that the evidence leaves. `seconds`: of a "gap", since the earlier request, or, if `stored`, since the
    first request that stored the text. `text`: the "parameters" that differ, or for which the cache is off."""

    code: CandidateCode
    seconds: float = 0.0
    stored: bool = False
    text: str = ""

    @property
    def words(self) -> str:
        """The candidate as text."""
        if self.code == "parameters":
            return f"{self.text} (a part of the prompt was served after such a change before, but perhaps not all)"
        if self.code == "bypassed" and self.text:
            return f"a cache that is off for requests with {self.text}"
        if self.code == "date" and self.text:
            return f"the time, if the server's template prints it (the {self.text} changed between both requests)"
        if self.code != "gap":
            return _CANDIDATES[self.code]
        if self.stored:
            return f"the {span(self.seconds)} since this text was first stored (a lifetime may count from then on)"
        return f"the {span(self.seconds)} since the earlier request"


_CANDIDATES: dict[CandidateCode, str] = {
    "switched_off": "a cache that is switched off (this server has reported no cached token so far)",
    "bypassed": "a cache that is off for some requests (by a parameter, a user, or at random)",
    "minimum": "a minimum that this prefix does not reach",
    "restart": "a restart",
    "running": "an earlier request with this beginning that was still running (its prefix may not be stored yet)",
    "room": "room that other traffic needed",
    # electron-api.md: requests go to the nearest of two regions, and nothing says that these share a cache.
    "replica": "another replica, or another region (after travel, or through a VPN)",
    "reasoning_left_out": "a template that leaves out the reasoning of earlier turns",
    "older_rewritten": "a template that shortens or clears older results of tools",
    "tools_moved": "a template that moves tools or system text to the last user message, or tools behind all messages",
    "not_stored": "a prefix that was not stored yet (some servers need seconds after an answer)",
    "limit": "a limit on what this server caches or reports of a prompt (no report was larger so far)",
    "points": "a server that finds only whole messages, whole requests or saved states again",
    "rounding": "figures that the server rounds, behind blocks that may be larger than supposed",
    "date": "the date, if the template prints it",
}
UNREPORTED = "The server did not report cached tokens: what the cache did is unknown."
_BY_TEMPLATE: Collection[CandidateCode] = ("reasoning_left_out", "older_rewritten", "tools_moved")
AFTER_FIX = "The fix changed the prefix once; the next request can be served from the cache."
_CLEARED = "The text of the prompt is not the cause"


def first(cached: int, reason: Reason) -> str:
    """Return the sentence about a request that is like no earlier one."""
    if reason == "first_beside_other":
        return f"A new prompt: only its first {cached:,} tokens are those of another prompt."
    if reason == "foreign_tokens":
        return (
            f"{cached:,} tokens came from the cache although this program has sent nothing like it to this endpoint. "
            "Candidates: another program of the account, or constant text that the server adds."
        )
    return "A new prompt, like none before: nothing was cached yet. Send it again to see the cache work."


def sentence(
    case: MissCase, reason: Reason, candidates: tuple[Candidate, ...] = (), variable: str | None = None
) -> str:
    """Return the sentence of an explanation. `variable`: the one whose value contains the difference."""
    edit = reason in ("differs", "edit_and_perhaps_lost")
    text = _differs(case, variable) if edit else _SENTENCES[reason](case)
    if reason in ("lost", "partly_lost"):
        rewritten = any(one.code in _BY_TEMPLATE for one in candidates)
        text += f" {_CLEARED}{', unless the template writes it in another way now' if rewritten else ''}."
    if reason in ("edit_or_template", "block_or_template") and candidates:
        text = f"{text[:-1]}, or the server did not find the rest."
    if edit and candidates:
        text += (
            " The server may have lost text before it, too: if its template writes the tools or the system text there, "
            f"an earlier request shares ≈ {case.known.longest:,.0f} tokens."
        )
    if case.own_model_lost and reason != "parameters":
        text += f" {'; '.join(case.parameters)}. {_own(case)}"
    return f"{text} Candidates: {', '.join(one.words for one in candidates)}." if candidates else text


_SENTENCES: dict[Reason, Callable[[MissCase], str]] = {
    "more_than_shared": lambda case: (
        f"{case.cached:,} tokens came from the cache, more than the ≈ {case.shared.tokens:,.0f} that the earlier "
        "request shares by estimate. Candidates: an estimate that is too low, another position of the tools, cached "
        "answers, template text, or another program's request."
    ),
    "new_text": lambda case: f"Everything before the new text was served, up to {_where(case)}: {_fresh(case)}.",
    "parameters": lambda case: (
        f"{_shared(case)}, but {'; '.join(case.parameters)}. "
        + (
            _own(case)
            if case.other_model
            else "A server may keep prompts that differ in it apart, or have lost the prefix for another reason."
        )
    ),
    "emptied": lambda case: f"{_shared(case)}, but {case.earlier.lost}.",
    "expired": lambda case: (
        f"{_shared(case)}, but it was sent {span(case.earlier.gap_s or 0.0)} before. This server forgets unused "
        f"prefixes after about {span(case.known.lifetime_s or 0.0)}, as far as its reports tell; the vendor publishes "
        "no figure."
    ),
    "below_minimum": lambda case: (
        (
            f"The whole prompt is {case.sign}{case.prompt:,}"
            if case.prompt < (case.minimum or 0)
            else f"What the earlier request shares is ≈ {case.shared.tokens:,.0f}"
        )
        + f" tokens; this server probably caches nothing below {case.minimum or 0:,}. {_CLEARED}."
    ),
    "template_moves": lambda case: _by_template(case),
    "template_marks_turn": lambda case: _by_template(case),
    "template_clears_results": lambda case: _by_template(case),
    "template_rewrites_calls": lambda case: (
        f"The prefix ends in the tool calls of message {case.earlier.view.messages + 1} (assistant): this server's "
        "template probably writes them in another way than the model generated them, so that the generated tokens are "
        f"not found again. {_CLEARED}: {_fresh(case)}."
    ),
    "lost": lambda case: _unserved(case),
    "partly_lost": lambda case: (
        f"{_shared(case)}, yet only {case.cached:,} of ≈ {_whole(case):,.0f} tokens came from the cache."
    ),
    "other_replica": lambda case: (
        f"{_unserved(case)[:-1]}, as forecast: this server probably "
        f"sends requests to {f'{case.known.replicas} ' if case.known.replicas else ''}replicas in turn, and the one "
        f"that answered has seen no more of this prompt. {_CLEARED}."
    ),
    "tool_order_or_lost": lambda case: (
        f"{_unserved(case)} Either the server did not find them, "
        f"or it puts tools into another order, in which the change is nearer to the beginning ({_what(case)})."
    ),
    "short_or_lost": lambda case: (
        f"{_shared(case)}, yet none came from the cache. Either this server caches no prefix that short, and what "
        f"follows keeps it short ({_what(case)}), or the server did not find it."
    ),
    "template_and_lost": lambda case: (
        f"{_part(case)} {_why(case)[0].upper()}{_why(case)[1:]}, and what the earlier request shares ends in "
        f"{_where(case)}. Even so another one shares more, which the server did not find."
    ),
    "template_or_lost": lambda case: (
        f"{_part(case)} Either the prefix ends in {_where(case)}: {_why(case)}; or the server did not find the rest."
    ),
    "edit_or_template": lambda case: f"{_edit(case)}, or {_why(case)}.",
    "edit_or_lost": lambda case: (
        f"{_edit(case)}, or this server's template leaves out what differs there, and the server did not find the rest."
    ),
    "edit_or_partly_lost": lambda case: (
        f"{_shared(case)}, yet only {case.cached:,} of them came from the cache. Either the server did not find the "
        f"rest, or they are fewer than estimated and the prefix ends there ({_what(case)})."
    ),
    "order_or_lost": lambda case: (
        f"{_part(case)} Either the prefix ends in {_where(case)} ({_what(case)}), or this server's template writes the "
        f"prompt in another order, in which an earlier request shares ≈ {case.known.longest:,.0f} tokens, and the "
        "server did not find the rest."
    ),
    "whole_message_or_lost": lambda case: (
        f"{_unserved(case)} Either this server finds only whole "
        f"messages again, as with explicit cache breakpoints, and the prefix ends there ({_what(case)}), or the "
        "server did not find the rest."
    ),
    "kept_points_or_lost": lambda case: (
        f"{_shared(case)}, yet "
        + (f"only {case.cached:,} of ≈ {_whole(case):,.0f} tokens" if case.cached else "none of them")
        + " came from the cache. Either this server finds only whole messages, whole requests or saved states again, "
        + f"and {'served the last one' if case.cached else 'has none that both requests share'}, or it did not find "
        "the rest."
    ),
    "block_or_partly_lost": lambda case: (
        f"{_unserved(case)} Either this server caches whole blocks of so many tokens and "
        + ("another block did not fit" if case.found is None else f"the prefix ends there ({_what(case)})")
        + ", or the server did not find the rest."
    ),
    "edit_or_off": lambda case: (
        f"None of {case.sign}{case.prompt:,} tokens came from the cache. Either the prefix ends in {_where(case)} "
        f"({_what(case)}), or the cache is "
        + (
            f"switched off or has a minimum above {case.known.unserved:,.0f} tokens: this server has reported no "
            "cached token so far, though a whole prompt of that size was sent again."
            if case.known.never_served and case.known.unserved
            else "off for such requests: the last ones had no cached token either, though they shared as much."
        )
    ),
    "block_or_template": lambda case: (
        f"Every byte of the earlier request is here, and {case.cached:,} tokens came from the cache. Either this "
        f"server caches whole blocks of so many tokens, or {_why(case)}."
    ),
    "limit_or_lost": lambda case: (
        f"{_unserved(case)} Either this server caches or reports at most {case.cached:,} tokens of a prompt, the "
        f"largest figure so far{', which longer prompts had before' if case.at_limit else ''}, or it did not find the "
        "rest."
    ),
}


def _own(case: MissCase) -> str:
    """Return that another model's requests do not count, and why the own ones did not serve the prompt either."""
    own = f"Models share no cache, and an earlier request of this model shares ≈ {case.known.longest:,.0f} tokens"
    if case.own_parameters:
        return f"{own}, but {'; '.join(case.own_parameters)}."
    return f"{own}, which the server did not find." if case.own_model_lost else "Models share no cache."


def _differs(case: MissCase, variable: str | None) -> str:
    text, minimum = _what(case), case.minimum or 0
    if variable is not None and case.found is not None:
        before, after = (quoted(text) if text else "nothing" for text in case.found.around)
        text = f"the value of {{{{{variable}}}}} changed, {before} became {after}"
    few = (
        f", and the ≈ {case.shared.tokens:,.0f} tokens before it are fewer than the {minimum:,} below which this "
        "server probably caches nothing"
        if not case.cached and 0 < case.shared.tokens < minimum
        else ""
    )
    return f"The prefix ends in {_where(case)}: {text}. Nothing after it can match{few}: {_fresh(case)}."


def _whole(case: MissCase) -> float:
    """Return the tokens that a server without losses finds: with those of the answer, if all others were served."""
    return case.shared.tokens if case.cached < case.shared.tokens else max(case.sure.tokens, case.known.longest)


def _where(case: MissCase) -> str:
    assert case.found is not None
    return place(case.now, case.found)


def _what(case: MissCase) -> str:
    assert case.found is not None
    return case.found.words


def _fresh(case: MissCase) -> str:
    return f"{case.sign}{case.prompt - case.cached:,} of {case.sign}{case.prompt:,} tokens were fresh"


def _part(case: MissCase) -> str:
    return f"{case.cached:,} of {case.sign}{case.prompt:,} tokens came from the cache."


def _unserved(case: MissCase) -> str:
    served = f"only {case.cached:,} tokens" if case.cached else "none of them"
    return f"{_shared(case)}, yet {served} came from the cache."


def _why(case: MissCase) -> str:
    """Return what the template probably does, as a clause."""
    kept = CLEARED.get(BASE.get(case.moved, case.moved), 0) if case.moved else 0
    if kept:
        newest = "the newest" if kept == 1 else f"the newest {kept}"
        return f"this server's template probably clears the results of tools before {newest}"
    if case.moved in ("after_messages", "after_messages/bare"):
        return "this server's template probably puts tools behind all messages, so that each new message moves them"
    if case.moved not in TURN_ORDERS:
        return (
            "this server's template probably puts tools or system text before the last user message, so that each new "
            "user message moves them"
        )
    if BASE.get(case.moved, case.moved) == "last_calls":
        return (
            "this server's template probably leaves out text and reasoning beside tool calls as soon as the next user "
            "message follows them"
        )
    parts = (*case.now.parts, *case.earlier.view.parts)
    reasoning = ", without their reasoning," if any(part.kind == "reasoning" for part in parts) else ""
    return (
        f"this server's template probably writes the assistant's messages in another way{reasoning or ','} as soon as "
        "the next user message follows them"
    )


def _by_template(case: MissCase) -> str:
    return f"The prefix ends in {_where(case)}: {_why(case)}. {_CLEARED}: {_fresh(case)}."


def _edit(case: MissCase) -> str:
    assert case.edit is not None
    return (
        f"{case.cached:,} tokens came from the cache. Either an edit ended the prefix, in "
        f"{place(case.now, case.edit)} ({case.edit.words})"
    )


def _shared(case: MissCase) -> str:
    """Return what the request shares with the earlier one, as the beginning of a sentence."""
    now, then = case.now.text, case.earlier.view.text
    if case.found is None or case.extends:
        return f"Every byte of the earlier request is here{'' if case.extends else _APART}"
    part = case.found.part
    start = next(one.start for one in case.now.parts if (one.kind, one.index) == (part.kind, part.index))
    same = common_prefix(now, then) >= min(start + case.found.offset, len(then))
    tokens = f"≈ {case.shared.tokens:,.0f} tokens"
    where = place(case.now, case.found)
    return f"The first {tokens}, up to {where}, are the earlier request's{', byte for byte' if same else _APART}"


_APART = (
    ", as this server's template probably writes them: it may leave out ids, names and reasoning, or move system text"
)


def place(view: CacheView, found: Difference) -> str:
    """Return a message or tool, counted from 1, with its line and character."""
    part, offset = found.part, found.offset
    if part.kind == "tool":
        return f"tool {part.index + 1}, character {offset + 1:,}"
    where = f"message {part.index + 1} ({view.roles[part.index]})"
    if part.kind == "content":
        text = part_before(view, found)
        line = text.count("\n") + 1
        return f"{where}, line {line}, character {len(text) - text.rfind(chr(10)):,}"
    return where if part.kind == "role" else f"{where}, its {part.kind.replace('_', ' ')}"


def part_before(view: CacheView, found: Difference) -> str:
    """Return the text of the part before the difference; of a list of text parts, what their texts have before it."""
    part = found.part
    # The difference was found in the order of the server, in which the part is elsewhere.
    whole = next(one for one in view.parts if one.kind == part.kind and one.index == part.index)
    text = view.text_of(whole)
    if part.kind != "content":
        return text[: found.offset]
    apart = part.end - part.start - 1 == len(text)  # in a bare order the parts of a list are one text
    return text_before(text, found.offset if apart else offset_with_marks(text, found.offset))
