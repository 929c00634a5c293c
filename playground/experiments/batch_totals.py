"""Sums over the results of a batch: of the answers, and of requests that were sent before them for the same row."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from playground.client.endpoint import Rates, cost
from playground.prompt.document import Json
from playground.runs.state import RunState


class Sums(Struct):
    """Sums over results. `requests` counts every attempt. Those without reported prompt and cached tokens are also
    counted in `unreported`, never added as 0."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    unreported: int = 0
    cost: float | None = None

    def add_figures(self, result: Mapping[str, Json]) -> None:
        """Add the figures of a result, without those of `earlier` in it."""
        self._add_run(attempts_of(result), *tokens_of(result), completion_tokens_of(result), result.get("cost"))

    def add_sums(self, other: Sums) -> None:
        """Add other sums."""
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.unreported += other.unreported
        self._add_cost(other.cost)

    def add_state(self, state: RunState, rates: Rates, attempts: int = 0) -> None:
        """Add a run that has no result. `attempts`: at least so many were sent."""
        usage = state.usage
        attempts = max(attempts, len(state.attempts))
        if usage is None:
            self._add_run(attempts, None, None, None, None)
        else:
            tokens = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
            self._add_run(attempts, *tokens, cost_of(state, rates))

    def _add_run(
        self, attempts: int, prompt: int | None, cached: int | None, completion: int | None, price: Json
    ) -> None:
        reported = prompt is not None and cached is not None and cached <= prompt
        self.requests += max(attempts, reported)
        self.unreported += max(attempts - reported, 0)
        if prompt is not None and cached is not None and reported:
            self.prompt_tokens += prompt
            self.cached_tokens += cached
        self.completion_tokens += completion or 0
        self._add_cost(price)

    def _add_cost(self, price: Json) -> None:
        if isinstance(price, int | float) and not isinstance(price, bool):
            self.cost = (self.cost or 0.0) + price


class Earlier(Sums):
    """Sums of the requests for a row that were sent before the one of its result. False without any.

    `ids`: the run ids of these requests, or the request_ids if a table has no others.
    """

    ids: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, result: Mapping[str, Json] | None) -> Earlier:
        """Return what a result says of the requests before it."""
        found = result.get("earlier") if result is not None else None
        earlier = cls()
        if isinstance(found, dict):
            for name in _COUNTS:
                if isinstance(value := found.get(name), int):
                    setattr(earlier, name, value)
            earlier._add_cost(found.get("cost"))
            ids = found.get("ids")
            earlier.ids = [str(one) for one in ids] if isinstance(ids, list) else []
        return earlier

    @classmethod
    def with_result(cls, result: Mapping[str, Json] | None) -> Earlier:
        """Return the sums of a result and of the requests before it."""
        earlier = cls.of(result)
        if result is not None:
            earlier.add_figures(result)
            earlier.ids += [one for one in (result.get("run_id"), result.get("request_id")) if isinstance(one, str)][:1]
        return earlier

    def __bool__(self) -> bool:
        return self.requests > 0

    def add(self, other: Earlier) -> None:
        """Add other requests."""
        self.ids += other.ids
        self.add_sums(other)

    def fields(self) -> dict[str, Json]:
        """Return the stored form."""
        return {**{name: getattr(self, name) for name in _COUNTS}, "cost": self.cost, "ids": list(self.ids)}


_COUNTS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "unreported")


class BatchTotals(Sums):
    """Sums over results, with the number of rows and of those that passed each check."""

    rows: int = 0
    done: int = 0
    warned: int = 0
    """Answers with a warning: cut, or not known to be complete."""
    passed: dict[str, int] = field(default_factory=dict)

    def add(self, result: Mapping[str, Json]) -> None:
        """Add a row's result, without the requests before it."""
        self.rows += 1
        self.done += result.get("phase") == "done"
        self.warned += bool(result.get("warnings"))
        self.add_figures(result)
        checks = result.get("checks")
        for name, passed in checks.items() if isinstance(checks, dict) else ():
            self.passed[name] = self.passed.get(name, 0) + bool(passed)

    @property
    def cached_share(self) -> float | None:
        """Cached tokens as a share of prompt tokens, 0 to 1; None if none were reported."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def cost_of(state: RunState, rates: Rates) -> float | None:
    """Return dollars: of input and output, or of the input only if no rate for output is set; None if unknown."""
    priced = cost(state.usage, rates)
    return priced.total if priced.total is not None else priced.input


def tokens_of(result: Mapping[str, Json]) -> tuple[int | None, int | None]:
    """Return prompt tokens and cached tokens of a result; None for unreported figures."""
    usage = _usage(result)
    details = usage.get("prompt_tokens_details")
    return _count(usage.get("prompt_tokens")), _count(
        details.get("cached_tokens") if isinstance(details, dict) else None
    )


def completion_tokens_of(result: Mapping[str, Json]) -> int | None:
    """Return completion tokens of a result; None if they were not reported."""
    return _count(_usage(result).get("completion_tokens"))


def attempts_of(result: Mapping[str, Json]) -> int:
    """Return the attempts of a result. Earlier versions stored none: 1, or 0 for a row that was not sent."""
    attempts, error = _count(result.get("attempts")), result.get("error")
    if attempts is not None:
        return attempts
    return 0 if isinstance(error, dict) and error.get("kind") == "input" else 1


def _usage(result: Mapping[str, Json]) -> Mapping[str, Json]:
    usage = result.get("usage")
    return usage if isinstance(usage, dict) else {}


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None
