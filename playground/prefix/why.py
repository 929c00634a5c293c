"""Why the cache served what it did: which characters ended the prefix, in what was sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from playground.prefix.common import common_prefix, common_suffix
from playground.prefix.forecast import ASSUMED_BLOCK, Forecast, span
from playground.prefix.view import CacheView, DocumentView, Part
from playground.prefix.visible import snippet
from playground.prompt.variables import places

Kind = Literal["differs", "first", "expired", "server", "unreported", "order", "tools"]


@dataclass(frozen=True, slots=True)
class Why:
    """One explanation. `sentence` stands alone; `before` and `after` are the characters at the difference in the
    earlier request and in this one, with invisible characters made visible (empty where there is no difference).

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
    shared = common_prefix(now.text, earlier.text)
    if shared < len(now.text):
        return _difference(now, earlier, shared, (cached_tokens, prompt_tokens), document, compared_with)
    expected = forecast.low if forecast else 0.0
    if cached_tokens >= min(expected, prompt_tokens - 2 * ASSUMED_BLOCK):
        return None
    return _same_bytes(cached_tokens, gap_s, lifetime_s, compared_with)


def _first(cached_tokens: int) -> Why | None:
    if cached_tokens:
        return Why(
            "server",
            f"{cached_tokens:,} tokens came from the cache although this program has sent nothing like it lately: "
            "another program of the account has.",
        )
    return Why("first", "The first request of its kind: nothing was cached yet. Send it again to see the cache work.")


def _same_bytes(cached_tokens: int, gap_s: float | None, lifetime_s: float, compared_with: str | None) -> Why:
    if gap_s is not None and gap_s > lifetime_s:
        return Why(
            "expired",
            f"The same text was sent {span(gap_s)} before. Unused prefixes are forgotten after a while; "
            f"{span(lifetime_s)} is assumed here, the vendor publishes no figure.",
            compared_with=compared_with,
        )
    return Why(
        "server",
        f"Every byte of the earlier request is here, yet only {cached_tokens:,} tokens came from the cache. "
        "That is the server's doing, not the prompt's.",
        compared_with=compared_with,
    )


def _difference(
    now: CacheView,
    earlier: CacheView,
    shared: int,
    tokens: tuple[int, int],
    document: DocumentView | None,
    compared_with: str | None,
) -> Why:
    located, before_located = now.locate(shared), earlier.locate(shared)
    assert located is not None
    part, offset = located
    before, after = _changed(now, part, offset, earlier, before_located)
    variable = _variable(document, part, offset)
    kind = _kind(now, earlier, part)
    sentence = (
        f"The prefix ends in {_place(now, part, offset)}: {_words(kind, variable, before, after)}. {_cost(tokens)}"
    )
    return Why(
        kind,
        sentence,
        before=snippet(before),
        after=snippet(after),
        message=None if part.kind == "tool" else part.index,
        offset=offset if part.kind == "content" else 0,
        variable=variable,
        compared_with=compared_with,
    )


def _changed(
    now: CacheView, part: Part, offset: int, earlier: CacheView, before_located: tuple[Part, int] | None
) -> tuple[str, str]:
    """What the earlier request had at the difference, and what this one has, up to where they agree again."""
    after = now.text[part.start + offset : part.end - 1]
    if before_located is None:
        return "", after
    other, other_offset = before_located
    before = earlier.text[other.start + other_offset : other.end - 1]
    same = common_suffix(before, after)
    return before[: len(before) - same], after[: len(after) - same]


def _kind(now: CacheView, earlier: CacheView, part: Part) -> Kind:
    if part.kind == "tool":
        return "tools"
    if now.text != earlier.text and Counter(_messages(now)) == Counter(_messages(earlier)):
        return "order"
    return "differs"


def _messages(view: CacheView) -> list[str]:
    texts: dict[int, str] = {}
    for part in view.parts:
        if part.kind != "tool":
            texts[part.index] = texts.get(part.index, "") + view.text[part.start : part.end]
    return list(texts.values())


def _variable(document: DocumentView | None, part: Part, offset: int) -> str | None:
    """The variable whose value the difference lies in."""
    if document is None or part.kind != "content":
        return None
    rendered = document.rendered[part.index]
    template = document.document.messages[part.index].content or ""
    if rendered is None:
        return None
    for place, (start, end, _, _) in zip(places(template), rendered.cuts, strict=True):
        if start <= offset <= end and (offset < end or start == end):
            return place.name
    return None


def _place(view: CacheView, part: Part, offset: int) -> str:
    if part.kind == "tool":
        return f"tool {part.index + 1}, character {offset + 1:,}"
    role = next(view.text[p.start : p.end - 1] for p in view.parts if p.kind == "role" and p.index == part.index)
    where = f"message {part.index + 1} ({role})"
    if part.kind != "content":
        return f"{where}, its {part.kind.replace('_', ' ')}"
    text = view.text[part.start : part.start + offset]
    line = text.count("\n") + 1
    return f"{where}, line {line}, character {len(text) - text.rfind(chr(10)):,}"


def _words(kind: Kind, variable: str | None, before: str, after: str) -> str:
    if kind == "order":
        return "the messages stand in another order"
    if variable is not None:
        return f"the value of {{{{{variable}}}}} changed"
    if not before:
        return f"“{snippet(after)}” was added"
    if not after:
        return f"“{snippet(before)}” was taken out"
    return f"“{snippet(before)}” became “{snippet(after)}”"


def _cost(tokens: tuple[int, int]) -> str:
    cached, prompt = tokens
    return f"Nothing after it can match: {prompt - cached:,} of {prompt:,} tokens were fresh."
