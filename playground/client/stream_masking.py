"""Masking of the API key in the events of a response, also if it is split over events: each text by its path."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from playground.client import tolerant_json
from playground.client.error_body import is_error
from playground.client.redact import (
    MASK,
    PIECE_CHARS,
    beginnings,
    decoded,
    escaped_key,
    key_forms,
    key_heads,
    mask,
    mask_across,
    may_escape,
    plain_key,
    redact,
    redact_value,
)
from playground.prompt.json_text import check_depth, json_lines

SUSPECT_CHARS = 4
"""Length of a key's beginning that is delayed at the end of the received text until more text arrives."""
_LONGEST_ESCAPE = 12
_PARTIAL_ESCAPE = re.compile(
    r"(?:(?<!\\)\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%[0-9a-fA-F]?|&#?[xX]?[0-9a-fA-F]{0,4})$"
)
_UNIT = re.compile(
    r"(?<!\\)\\++(?:u00[0-9a-fA-F]{2}|x[0-9a-fA-F]{2}|/)|%(?:25)*[0-9a-fA-F]{2}|&#[xX]?[0-9a-fA-F]+;|.", re.DOTALL
)
_DATA_PREFIX = re.compile(r"\s*data:\s*")
_LONE = re.compile("[\ud800-\udfff]")
_decode = msgspec.json.Decoder().decode


class _Path:
    """The texts at one path, and the paths below it: names of an object, indexes of a list.

    `tail` is the end of the text that was passed on, `held` the delayed text, `names` the joined names of an object.
    `same` is a text that has passed twice, which passes without another search.
    """

    __slots__ = ("below", "held", "names", "previous", "same", "tail")

    def __init__(self) -> None:
        self.below: dict[str | int | None, _Path] = {}
        self.held = self.tail = self.names = self.previous = self.same = ""

    @property
    def holds(self) -> bool:
        """Whether a text here or below is delayed."""
        return bool(self.held) or any(one.holds for one in self.below.values())


class StreamMasker:
    """Masks keys in the events of one response. Text that cannot be part of a key passes immediately.

    Pieces of text are joined if they have the same path. Elements of a list are distinguished by their `index`;
    those without one are parts of one text. Events that are not JSON are one text.
    """

    def __init__(self, key: str | None) -> None:
        """`key`: one key, or several, one per line; without any, everything passes."""
        self._forms, self._heads = key_forms(key), key_heads(key)
        self._starts = tuple(dict.fromkeys(form[:SUSPECT_CHARS] for form in self._forms))
        self._root, self._plain = _Path(), _Path()
        self._changed = self._has_held = self.has_masked = False

    def masked(self, data: str, *, last: bool = False) -> str:
        """Return an event's text without the keys and parts of keys in it; `data` itself if there are none.

        Text at its end that may be the beginning of a key comes with a later event. `last`: none follows.
        """
        if not self._forms:
            return data
        data = mask(data, self._forms)
        try:
            check_depth(data)
            value = _parsed(data)
        except ValueError:
            value = None
        if not isinstance(value, dict | list):
            return self._text(data, last=last)
        self._changed, is_whole = False, last and not self._has_held
        has_error = isinstance(value, dict) and (not value.get("choices") or '"error' in data) and is_error(value)
        if last or has_error:
            self._across(value)
        self._value(value, self._root)
        if is_whole and not self.has_masked:
            return data  # no text is moved to the next element of a list
        if self._has_held and (last or (self._changed and has_error)):
            self._with_held(value, self._root)
        return _json(value) if self._changed else data

    def value(self, value: Any) -> Any:
        """Return a whole JSON value without keys. Changes lists and objects in place."""
        if self._forms and isinstance(value, dict | list):
            self._across(value)
            self._value(value, self._root)
            self._with_held(value, self._root)
        return value

    def _across(self, value: Any) -> None:
        """Mask a key that texts of a whole value have in pieces, one after another, whatever their names are."""
        places = list(_texts(value))
        texts = [holder[place] for holder, place in places]
        masked = mask_across(texts, self._forms)
        if masked is not texts:
            self._changed = self.has_masked = True
            for (holder, place), text in zip(places, masked, strict=True):
                holder[place] = text

    def rest(self) -> tuple[str, str]:
        """Return the delayed texts at the end: a last event as JSON, and the text of events that are not JSON."""
        value = self._with_held(None, self._root) if self._root.holds else None
        return _json(value) if value is not None else "", self._with_held("", self._plain)

    def _text(self, data: str, *, last: bool) -> str:
        if prefix := _DATA_PREFIX.match(data):  # a proxy that repeats the field name
            return prefix.group() + self.masked(data[prefix.end() :], last=last)
        lines = json_lines(data)
        if len(lines) > 1:
            return "\n".join([self.masked(line, last=last and line is lines[-1]) for line in lines])
        shown = self._pass(self._plain, data)
        return str(self._with_held(shown, self._plain)) if last else shown

    # --- the texts of a JSON value

    def _value(self, value: dict[str, Any] | list[Any], path: _Path, *, is_choices: bool = False) -> None:
        if isinstance(value, dict):
            self._object(value, path)
            return
        for place, item in enumerate(value):
            step = _step(item, place if is_choices else None)
            one = path.below.get(step)
            if one is None:
                one = path.below[step] = _Path()
                if step is not None:  # the ids of tool calls may each have a piece
                    one.below["id"] = path.below.setdefault("id", _Path())
            if item.__class__ is dict:
                self._object(item, one)
            elif item.__class__ is str:
                value[place] = self._pass(one, item)
            elif item.__class__ is list:
                self._value(item, one)

    def _object(self, value: dict[str, Any], path: _Path) -> None:
        below, token = path.below, value.get("token")
        secret_names: list[str] = []
        for name, item in value.items():
            one = below.get(name)
            if one is None:
                one = below[name] = _Path()
                secret_names += [name] if self._ends_key(path, name) else ()
            if item.__class__ is str:
                if item and item != one.same:
                    value[name] = self._pass(one, item)
            elif item.__class__ is dict:
                self._object(item, one)
            elif item.__class__ is list:
                self._value(item, one, is_choices=name == "choices")
        if secret_names:
            self._changed = self.has_masked = True
            value.update({f"{MASK}{len(value) + at}": value.pop(name) for at, name in enumerate(secret_names)})
        if value.get("token") is not token or (token.__class__ is str and MASK in token):
            self._changed = True  # its alternatives and bytes are the same text
            value.update({name: None for name in ("top_logprobs", "bytes") if name in value})
        if self._has_held and value.get("finish_reason"):
            self._with_held(value, path)

    def _with_held(self, value: Any, path: _Path) -> Any:
        """Add the delayed texts at and below a path to its value; parts of a key are masked. Returns the value."""
        if path.held and (value is None or isinstance(value, str)):
            whole = decoded(path.tail + path.held)
            is_key = max(len(decoded(path.held)), self._key_prefix(whole)) >= PIECE_CHARS
            value = (value or "") + (MASK if is_key else path.held)
            self.has_masked = self.has_masked or is_key
            # The text may go on: its beginning remains known.
            path.tail, path.held = path.tail + path.held, ""
            self._changed = True
        for step, one in path.below.items():
            if not one.holds:
                continue
            if isinstance(step, str):
                value = {} if value is None else value
                if isinstance(value, dict):
                    value[step] = self._with_held(value.get(step), one)
            else:
                value = [] if value is None else value
                if isinstance(value, list):
                    self._in_list(value, step, one)
        return value

    def _in_list(self, items: list[Any], step: int | None, path: _Path) -> None:
        for place, item in reversed(list(enumerate(items))):
            if _step(item, None if step is None else place) == step:
                items[place] = self._with_held(item, path)
                return
        items.append(self._with_held(None if step is None else {"index": step}, path))

    def _ends_key(self, path: _Path, name: str) -> bool:
        """Return whether a new name of an object has a key, or ends the part of one that its names have been."""
        joined = path.names + name
        path.names = joined[-max(map(len, self._forms)) * _LONGEST_ESCAPE :]
        plain = decoded(joined) if may_escape(joined) else joined
        return self._has_start(plain) and (
            any(form in plain for form in self._forms) or self._key_prefix(plain) >= PIECE_CHARS
        )

    # --- one text

    def _pass(self, text: _Path, piece: str) -> str:
        """Return the text that can be displayed after this piece of it."""
        whole = text.tail + text.held + piece
        if may_escape(whole) or self._has_start(whole):
            text.same = text.previous = ""
            shown = self._suspect(text, piece)
            self._has_held = self._has_held or bool(text.held)
        else:
            shown = text.held + piece
            text.held = ""
            # 16: room for the three characters before a key's fourth, one of them as an unfinished escape.
            text.tail = whole[-16:] if "\\" in whole else whole[1 - SUSPECT_CHARS :]
            # Repeated once, its beginning was seen after its own end.
            text.same = piece if piece == text.previous and len(piece) >= SUSPECT_CHARS else ""
            text.previous = piece
        if shown == piece:
            return piece
        self._changed = True
        return shown

    def _has_start(self, text: str) -> bool:
        for start in self._starts:  # noqa: SIM110 - `any` takes twice as long, and every piece of a stream comes here
            if start in text:
                return True
        return False

    def _suspect(self, text: _Path, piece: str) -> str:
        known, coming = text.tail, text.held + piece
        plain = decoded(known + coming)
        if not self._has_start(plain):
            text.held, text.tail = "", _last_units(known + coming, SUSPECT_CHARS - 1)
            return coming
        pattern = escaped_key if any(character in known + coming for character in "\\%&") else plain_key
        found = pattern(self._forms).search(known + coming)
        if found is not None and found.start() < len(known) < found.end():
            # Its first characters were displayed before they could be recognized.
            coming = MASK + coming[found.end() - len(known) :]
        received = text.held + piece
        coming = self._without_beginnings(known, mask(coming, self._forms))
        self.has_masked = self.has_masked or coming != received
        kept = max(len(coming) - self._suspicious(known + coming), 0)
        text.held = coming[kept:]
        if kept:
            text.tail = _last_units(known + coming[:kept], SUSPECT_CHARS - 1)
        return coming[:kept]

    def _without_beginnings(self, known: str, coming: str) -> str:
        """Mask the beginnings of a key that something else follows, but for the characters that were displayed.

        The last characters of one may begin another key (`abcd` + `abcde…`, if its fifth character is an `a`).
        """
        whole = known + coming
        begins = len(whole) - self._suspicious(whole, 1)
        for start, found_end in reversed(beginnings(whole, self._heads)):
            end = begins if start < begins < found_end else found_end
            if len(known) < end < len(whole):
                whole = whole[: max(start, len(known))] + MASK + whole[end:]
        return whole[len(known) :]

    def _suspicious(self, text: str, least: int = SUSPECT_CHARS) -> int:
        """Return how many characters at the end may be the beginning of a key, escaped or not: 0 or at least `least`
        characters of the key."""
        window = text[-max(map(len, self._forms)) * _LONGEST_ESCAPE :]
        partial = _PARTIAL_ESCAPE.search(window)
        body = window[: partial.start()] if partial else window
        units = [found.group() for found in _UNIT.finditer(body)]
        plain = [decoded(unit) if len(unit) > 1 else unit for unit in units]
        length = self._key_prefix("".join(plain))
        if length < least:
            return 0
        taken, characters = 0, 0
        for unit, character in zip(reversed(units), reversed(plain), strict=True):
            taken += len(unit)
            characters += len(character)
            if characters >= length:
                break
        return taken + len(window) - len(body)

    def _key_prefix(self, text: str) -> int:
        """Return the length of the longest beginning of a key that ends the text."""
        longest = 0
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), longest, -1):
                if text.endswith(form[:length]):
                    longest = length
                    break
        return longest


def redact_body(text: str, key: str | None) -> str:
    """Mask keys in a whole body as `redact` does, also a key that a JSON list has in pieces."""
    # First in pieces: a masked piece would hide that the others belong to it.
    return redact(StreamMasker(key).masked(text, last=True), key)


def masked_value(value: Any, key: str | None) -> Any:
    """Mask keys in a JSON value as `redact_value` does, also a key that a list has in pieces."""
    masker = StreamMasker(key)
    joined = masker.value(copy.deepcopy(value))
    return redact_value(joined if masker.has_masked else value, key)


def _parsed(data: str) -> Any:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError):  # NaN, lone surrogates
        return tolerant_json.loads_raw(data)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _LONE.search(text) else text


def _texts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the list or object that holds each text of a JSON value, and the text's place in it."""
    for place, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(item, str):
            yield value, place
        elif isinstance(item, dict | list):
            yield from _texts(item)


def _step(item: Any, place: int | None) -> int | None:
    """Return the step of a list's element: its `index`, or else `place`."""
    index = tolerant_json.count(item.get("index")) if isinstance(item, dict) else None
    return place if index is None else index


def _last_units(text: str, count: int) -> str:
    """Return the last `count` characters, with an escape counted as one, and an unfinished escape after them."""
    window = text[-(count + 1) * _LONGEST_ESCAPE :]
    partial = _PARTIAL_ESCAPE.search(window)
    body = window[: partial.start()] if partial else window
    units = [found.group() for found in _UNIT.finditer(body)]
    return "".join(units[-count:]) + window[len(body) :]
