"""The data of the editor's two axes: structure (stable, variable), and what the cache is expected to serve.

Structure (the fill) is a property of the text: stable up to the first variable, variable from there on. The cache
extent (the left edge) is an expectation and ends at the first change since the last request. Neither follows from the
other. All token counts are estimates (≈), rounded so that they add up to the total.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.stable_end import StableEnd, part_tokens, stable_end
from playground.prompt.document import Document, places, render

if TYPE_CHECKING:
    from playground.prefix_cache.forecaster import PromptForecast

NOT_WARM = -1


class MessageAxes(Struct, frozen=True):
    """One message. Offsets are code points of its template.

    Attributes:
        variable_from: where the variable fill starts; 0 includes the head, None: the whole message is stable.
        warm_to: up to where the cache is expected to serve it; NOT_WARM excludes the head.
    """

    variable_from: int | None
    warm_to: int
    tokens: int = 0

    @property
    def warm_head(self) -> bool:
        """Whether the cache is expected to serve the message's head at least."""
        return self.warm_to != NOT_WARM


class PromptAxes(Struct, frozen=True):
    """Structure, cache extent and figures of one document. `neutral`: the prompt has no text, nothing is painted."""

    document: Document
    messages: tuple[MessageAxes, ...]
    tools_tokens: int
    tools_warm: bool
    stable_end: StableEnd | None
    total: int
    same_values: int
    new_values: int
    state: str
    warm: bool
    basis: str = ""

    @property
    def neutral(self) -> bool:
        """Whether there is nothing to judge yet."""
        return not self.document.tools and not any(message.content for message in self.document.messages)

    @property
    def stable_tokens(self) -> int:
        """Tokens before the first variable."""
        return self.total if self.stable_end is None else self.stable_end.tokens

    @property
    def variable_tokens(self) -> int:
        """Tokens from the first variable on."""
        return self.total - self.stable_tokens

    def not_warmer_than(self, other: PromptAxes) -> PromptAxes:
        """Return these axes no warmer than `other`: while a request runs, neither text nor state turns warm."""
        if len(other.messages) != len(self.messages):
            return self
        messages = tuple(
            replace(mine, warm_to=min(mine.warm_to, theirs.warm_to))
            for mine, theirs in zip(self.messages, other.messages, strict=True)
        )
        state, warm = (self.state, self.warm) if other.warm else (other.state, False)
        return replace(self, messages=messages, tools_warm=self.tools_warm and other.tools_warm, state=state, warm=warm)


def axes_of(prompt_forecast: PromptForecast, reported_total: int | None) -> PromptAxes:
    """Return the axes of a forecast. `reported_total`: prompt tokens that the server reported for this document."""
    document, zones, forecast = prompt_forecast.view.document, prompt_forecast.zones, prompt_forecast.forecast
    total = reported_total or round(forecast.prompt_tokens or zones.total_tokens)
    tokens = part_tokens(prompt_forecast, total)
    tools, *counts = tokens
    end = stable_end(document, tokens)
    messages = tuple(
        MessageAxes(_variable_from(end, index), _warm_to(prompt_forecast, index), counts[index])
        for index in range(len(document.messages))
    )
    same = round(forecast.cached_tokens)
    return PromptAxes(
        document=document,
        messages=messages,
        tools_tokens=tools,
        tools_warm=prompt_forecast.cache.tools == "warm",
        stable_end=end,
        total=total,
        same_values=same,
        new_values=round(prompt_forecast.new_values.cached_tokens),
        state=_state(prompt_forecast, time.time()),
        warm=same > 0,
        basis="\n".join(line for line in (forecast.basis, prompt_forecast.clock.basis) if line),
    )


def _variable_from(end: StableEnd | None, index: int) -> int | None:
    if end is None or index < end.message:
        return None
    return end.offset if index == end.message else 0


def _warm_to(prompt_forecast: PromptForecast, index: int) -> int:
    if prompt_forecast.zones.message_zones[index] != "warm" and not prompt_forecast.cache.messages[index]:
        return NOT_WARM
    return prompt_forecast.cache.messages[index]


def _state(prompt_forecast: PromptForecast, now: float) -> str:
    # Imported here: the first frame shows no forecast.
    from playground.prefix_cache.forecast import clock_time, left

    forecast, clock = prompt_forecast.forecast, prompt_forecast.clock
    if forecast.cached_tokens >= 0.5:
        until = clock.warm_until_unix
        if clock.cold_since_unix is not None:
            return f"warm or cold: lifetime ended {clock_time(clock.cold_since_unix)}"
        return f"warm, {left(until - now)} left" if until is not None else "warm, lifetime not known"
    if forecast.run_id is None:
        return "cache: nothing sent yet"
    if clock.cold_since_unix is not None:
        return f"cold since {clock_time(clock.cold_since_unix)}"
    return f"cold, {forecast.basis}" if forecast.basis else "cold"


class Served(Struct, frozen=True):
    """What the server reported as served from its cache: tokens, the time, and where in the prompt that ends."""

    tokens: int
    time: str
    message: int
    offset: int


def served_place(axes: PromptAxes, cached: int, prompt: int) -> tuple[int, int]:
    """Return message and template offset up to which `cached` of `prompt` reported tokens reach; (-1, 0): none."""
    rest = cached * axes.total / (prompt or 1) - axes.tools_tokens
    if cached <= 0 or rest < 0:
        return -1, 0
    for index, (message, part) in enumerate(zip(axes.document.messages, axes.messages, strict=True)):
        if rest < part.tokens:
            rendered = render(message.content or "", axes.document.variables)
            inside = round(len(rendered.text) * rest / (part.tokens or 1))
            return index, len(message.content or "") if inside >= len(rendered.text) else rendered.to_template(inside)
        rest -= part.tokens
    return len(axes.messages) - 1, len(axes.document.messages[-1].content or "") if axes.messages else 0


def first_difference(before: Document, after: Document) -> tuple[int, int] | None:
    """Return message and offset of the first difference that a cache would see; None: there is none."""
    if before.tools != after.tools:
        return -1, 0
    for index, (one, other) in enumerate(zip(before.messages, after.messages, strict=False)):
        if one == other and _values(one.content, before) == _values(other.content, after):
            continue
        if replace(one, content="") != replace(other, content=""):
            return index, 0
        mine, theirs = one.content or "", other.content or ""
        for offset, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                return index, offset
        if mine != theirs:
            return index, min(len(mine), len(theirs))
        changed = (
            place.start for place in places(mine) if before.variables.get(place.name) != after.variables.get(place.name)
        )
        return index, next(changed, 0)
    if len(before.messages) != len(after.messages):
        return min(len(before.messages), len(after.messages)), 0
    return None


def _values(content: str | None, document: Document) -> list[str | None]:
    return [document.variables.get(place.name) for place in places(content or "")]
