"""The prefix desk: holds what was sent to each endpoint, and says of a prompt what the cache will serve and why."""

from __future__ import annotations

from dataclasses import dataclass

from playground.prefix.forecast import Forecast
from playground.prefix.view import DocumentView
from playground.prefix.zones import ZoneMap


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a prompt before it is sent: its zones, and the forecast."""

    view: DocumentView
    zones: ZoneMap
    forecast: Forecast
