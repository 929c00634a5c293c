"""Figures of versions, from the requests that sent them. Reported tokens only."""

from __future__ import annotations

from collections.abc import Mapping

from playground.client.endpoint import cost
from playground.client.events import Usage
from playground.dataclass import dataclass
from playground.requestlog.records import LogRow
from playground.versions.history import Version


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """`cached` is the share of input tokens reported as cached, 0 to 1, without the version's first request.

    `per_thousand` is the input cost of 1,000 such requests in dollars. None: not reported, or no rate is set.
    """

    requests: int = 0
    cached: float | None = None
    per_thousand: float | None = None


def version_figures(version: Version, rows: Mapping[str, LogRow]) -> VersionFigures:
    """Return the figures of a version; `rows` holds the logged requests by run_id."""
    found = [rows[run_id] for run_id in version.run_ids if run_id in rows]
    prompt = cached = 0
    costs: list[float] = []
    for row in found[1:]:
        if row.prompt_tokens is None or row.cached_tokens is None:
            continue
        prompt, cached = prompt + row.prompt_tokens, cached + row.cached_tokens
        price = cost(Usage(row.prompt_tokens, row.completion_tokens, None, row.cached_tokens), row.rates).input
        if price is not None:
            costs.append(price)
    per_thousand = sum(costs) / len(costs) * 1_000 if costs else None
    return VersionFigures(len(found), cached / prompt if prompt else None, per_thousand)
