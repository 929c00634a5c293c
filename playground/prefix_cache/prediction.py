"""What is predicted of a prompt before it is sent, and what the server reports for it."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from msgspec import Struct, field

from playground.prefix_cache.hypotheses import Rendering, ReportOutcome
from playground.prefix_cache.index import Sent
from playground.prefix_cache.prefix_size import ForecastInterval, Measure, Size
from playground.prefix_cache.reach import Reach
from playground.prefix_cache.view import PLAIN_ORDERS, CacheView, Order
from playground.prompt.document import Json


class CacheUsage(Struct, frozen=True):
    """What a server reported for a request; None: not reported. `message` is the generated message.

    `implausible`: why the reported counts, which are left out then, cannot be right.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int = 0
    message: Mapping[str, Json] | None = None
    implausible: str = ""

    @classmethod
    def reported(
        cls,
        prompt: int | None,
        cached: int | None,
        completion: int | None,
        body: bytes,
        message: Mapping[str, Json] | None = None,
    ) -> CacheUsage:
        """Return the counts reported for a request body, without those that cannot be right: they teach nothing."""
        fault = "" if prompt is None else _fault(prompt, cached, body)
        return cls(message=message, implausible=fault) if fault else cls(prompt, cached, completion, message=message)


ADDED_TOKENS = 100_000
"""Input tokens that a server may add to a prompt: its own instructions, pictures, search results."""
MAX_TOKEN_BYTES = 200
"""Of text: no tokenizer has longer tokens on average. Pictures, sounds and files have more bytes."""
_ATTACHED = (b'"image_url"', b'"input_audio"', b'"file"', b";base64,")


def _fault(prompt: int, cached: int | None, body: bytes) -> str:
    if cached is not None and cached > prompt:
        fault = f"{cached:,} cached tokens of {prompt:,} input tokens"
    elif prompt > len(body) + ADDED_TOKENS or (
        0 < prompt * MAX_TOKEN_BYTES < len(body) and not any(mark in body for mark in _ATTACHED)
    ):
        fault = f"{prompt:,} input tokens for a request of {len(body):,} bytes"
    else:
        return ""
    return cannot_be(fault)


def cannot_be(fault: str) -> str:
    """Return the sentence for counts that cannot be right, with what is reported."""
    return f"The report cannot be right: {fault}. It is displayed as reported, and nothing is learned from it."


class Running(Struct, frozen=True):
    """Code points that a prompt shares with requests that are still `running` and with those that had `ended`, and
    when the newest of these was sent, in Unix seconds."""

    running: int
    ended: int = 0
    ended_at: float | None = None

    @property
    def shares_more(self) -> bool:
        """Whether one that is still running shares more than all that had ended."""
        return self.running > self.ended


class Prediction(Struct):
    """Everything that is computed of a prompt before it is sent.

    `interval` is widened by learned residuals, `raw` is not.
    """

    now: float
    view: CacheView
    measures: dict[Order, Measure]
    reaches: dict[Rendering, Reach]
    prompt: Size
    outcomes: list[ReportOutcome]
    raw: ForecastInterval
    interval: ForecastInterval
    rendering: Rendering
    compared: Sent | None = None
    """The earlier request that this one is compared with."""
    shared_in_turn: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Code points shared with the requests of one replica, by number of replicas in turn, with their answers and
    without; empty: not computed."""
    off: bool = False
    """Whether the cache is probably off for its parameters."""
    off_for: str = ""
    """Parameters for which it is, see `CacheOff.proved`."""
    running: Running | None = None
    """What it shares with requests that were still running when it was recorded; None: nothing."""

    @property
    def ended_chars(self) -> int | None:
        """Code points shared with requests that had ended when this one was recorded; None: no request that was still
        running shares more."""
        running = self.running
        return running.ended if running is not None and running.shares_more else None

    def counted(self, usage: CacheUsage) -> int:
        """Return the prompt tokens as reported, or else as estimated: at least the cached ones."""
        if usage.prompt_tokens is not None:
            return usage.prompt_tokens
        return max(round(self.prompt.tokens), usage.cached_tokens or 0)

    @property
    def best(self) -> ReportOutcome | None:
        """The most probable outcome of the most probable rendering."""
        mine = [one for one in self.outcomes if one.rendering == self.rendering] or self.outcomes
        return max(mine, key=attrgetter("weight"), default=None)

    @property
    def plain(self) -> Rendering | None:
        """A rendering with tools and system text at the beginning, which no user message moves; with all answers, if
        reports allow that."""
        plain = (one for one in self.reaches if one.order in PLAIN_ORDERS)
        return max(plain, key=lambda one: (one.answers, one.reuse == "all", one.order == "inside"), default=None)

    @property
    def shared(self) -> Size:
        """What it shares with earlier requests, if a template moves nothing."""
        return self.reaches[self.plain or self.rendering].longest

    @property
    def reach(self) -> Reach:
        """What the cache may hold under the most probable rendering."""
        return self.reaches[self.rendering]

    @property
    def measure(self) -> Measure:
        """The measure in the most probable order."""
        return self.measures[self.rendering.order]
