"""Masks a key in the raw events of the choices after the first one (`n` above 1), also if it is split over events."""

from __future__ import annotations

import json
import re

from playground.client import tolerant_json
from playground.client.events import ToolCallDelta
from playground.client.redact import SplitKeys

_Path = tuple[str | int, ...]
"""Index of a choice, and the place of a text in it."""
_FURTHER = re.compile(r'"index"\s*:\s*"?[1-9]|}\s*,\s*{')
"""Found in each event that has such a choice, and in few others."""


class FurtherChoices:
    """Delays and masks the texts of further choices in raw events; the other events are of choice 0 only."""

    def __init__(self, forms: tuple[str, ...], heads: tuple[tuple[str, str], ...] = ()) -> None:
        """Take what is masked: see `redact.SplitKeys`."""
        self._split = SplitKeys(forms, heads)
        self._paths: dict[_Path, int] = {}
        """A number of each text, by which its pieces are joined."""

    def masked(self, data: str) -> str:
        """Return an event's JSON text without parts of a key; `data` itself if nothing is masked or delayed."""
        if _FURTHER.search(data) is None:
            return data
        try:
            value = tolerant_json.loads(data)
        except ValueError:
            return data
        if not isinstance(value, dict):
            return data
        before = tolerant_json.choices_of(value)
        choices = [self._value(choice, (index,)) if index else choice for index, choice in before]
        if choices == [choice for _, choice in before]:
            return data
        return json.dumps({**value, "choices": choices}, ensure_ascii=False)

    def _value(self, value: object, path: _Path) -> object:
        if isinstance(value, dict):
            return {name: self._value(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, (*path, at)) for at, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        number = self._paths.setdefault(path, len(self._paths))
        passed = self._split.events([ToolCallDelta(0.0, number, None, None, value)])
        return "".join(event.arguments for event in passed if isinstance(event, ToolCallDelta))

    def rest(self) -> str:
        """Return a last event with the delayed texts; "" without any."""
        paths = {number: path for path, number in self._paths.items()}
        choices: list[object] = []
        for event in self._split.rest(0.0):
            if isinstance(event, ToolCallDelta):
                index, *place = paths[event.index]
                value: object = event.arguments
                for name in reversed(place):
                    value = {name: value} if isinstance(name, str) else [value]
                choices.append({"index": index, **(value if isinstance(value, dict) else {})})
        return json.dumps({"choices": choices}, ensure_ascii=False) if choices else ""
