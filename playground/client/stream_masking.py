"""Masking of the API key in the events of a response, also if it is split over events: each text by its path."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from string import digits
from typing import Any

import msgspec

from playground.client import tolerant_json
from playground.client.error_body import is_error
from playground.client.key_readings import joined
from playground.client.key_search import GRAM, MARK_CHARS, PIECE_CHARS, KeySearch, key_search
from playground.client.key_stream import SeenText, open_end, open_ends
from playground.client.redact import MASK, mask_across, masked, redact, redact_value
from playground.prompt.json_text import check_depth, json_lines

_LONG_PIECE = 256
"""A longer piece is searched as a whole text is."""
_MOST_KNOWN = 512
"""Maximum length of a text's end that counts for its next piece."""
_DATA_PREFIX = re.compile(r"\s*data:\s*")
_NO_DIGITS = re.compile("[^0-9]+")
_IS_CHUNK = re.compile(r'(?s)(?!.*"(?:error|token|finish_reason"\s*:\s*")).*"choices"').match
"""Matches an event that is no more than its texts."""
_ID_WORD = re.compile(r"[A-Za-z]+[_-](?![0-9]+$)")
"""What the ids of tool calls begin with, as `call_`. Numbers behind it only count the calls."""
_WHOLE = frozenset(("id", "model", "name", "role", "type", "finish_reason"))
"""Fields that are not joined over events: with its end in another event, an id is that of another call. Nothing in them
waits. At their end, PIECE_CHARS of a key are masked, and a public prefix with its next character; less is chance."""
_LETTER, _LONE = re.compile(r"[^\W_]"), re.compile("[\ud800-\udfff]")
_decode = msgspec.json.Decoder().decode


class _Path:
    """The texts at one path, and the paths below it: names of an object, indexes of a list.

    `tail` is the end of the text that was passed on, `seen` the letters found in it, with the text that is read again
    with the next piece. `held` is the delayed text, `names` the joined names of an object. `numbered` has one path for
    all names that differ only in the number at their end.
    `is_whole`: its pieces are separate texts, which never wait. `id_word` is what the last id of a tool call began
    with, None elsewhere.
    `same` is a text that has passed twice, which passes without another search. `is_secret`: its name ends a key.
    """

    __slots__ = (
        "below",
        "held",
        "id_word",
        "is_secret",
        "is_whole",
        "last",
        "names",
        "numbered",
        "same",
        "seen",
        "tail",
    )

    def __init__(self, search: KeySearch, *, is_whole: bool = False) -> None:
        self.is_whole = is_whole
        self.below: dict[str | int | None, _Path] = {}
        self.numbered: dict[str, _Path] = {}
        self.is_secret = False
        self.id_word: str | None = None
        self.seen = SeenText(search)
        self.held = self.tail = self.names = self.last = self.same = ""

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
        self._key, self._search = key, key_search(key)
        self._root, self._plain = _Path(self._search), _Path(self._search)
        self._changed = self._has_held = self.has_masked = False
        self._quotes = 0
        self._passed: list[tuple[_Path, str]] = []
        self._frame: tuple[str, _Path, str] | None = None
        """What is before and behind the one text of an event that was new, and its path."""

    def masked(self, data: str, *, last: bool = False) -> str:
        """Return an event's text without the keys and parts of keys in it; `data` itself if there are none.

        Text at its end that may go on as a part of a key comes with a later event. `last`: none follows.
        """
        if not self._search.places:
            return data
        has_number = self._search.has_number and len(_NO_DIGITS.sub("", data)) >= PIECE_CHARS
        is_framed = not last and not has_number
        if is_framed and self._frame is not None and (shown := self._in_frame(data, *self._frame)) is not None:
            return data if shown is data else masked(shown, self._search.spans(shown))
        self._quotes, self._passed = 0, []
        shown = self._masked(data, last=last)
        self._frame = None
        if is_framed and shown is data and len(self._passed) == 1 and _IS_CHUNK(data):
            ((path, piece),) = self._passed
            begin, found, end = data.partition(_json(piece))
            if found and found not in end and begin.endswith((":", ": ")):
                self._frame = f'{begin}"', path, f'"{end}'
        if shown is data and _quotes(data) == self._quotes and not has_number:
            return data
        # What is in no value, as one of a name that is repeated.
        return masked(shown, self._search.spans(shown))

    def _in_frame(self, data: str, begin: str, path: _Path, end: str) -> str | None:
        """Return the event without keys if only one text in it differs from the event before, else None."""
        if not (data.startswith(begin) and data.endswith(end)):
            return None
        try:
            piece = _decode(data[len(begin) - 1 : 1 - len(end)])
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None
        shown = self._pass(path, piece) if piece != path.same else piece
        return data if shown == piece else begin + _json(shown)[1:-1] + end

    def _masked(self, data: str, *, last: bool) -> str:
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
        if self._search.places and isinstance(value, dict | list):
            self._across(value)
            self._value(value, self._root)
            self._with_held(value, self._root)
        return value

    def _across(self, value: Any) -> None:
        """Mask a key that texts of a whole value have in pieces, one after another, whatever their names are."""
        places = list(_texts(value))
        texts = [holder[place] for holder, place in places]
        shown = mask_across(texts, self._key)
        if shown is not texts:
            self._changed = self.has_masked = True
            for (holder, place), text in zip(places, shown, strict=True):
                holder[place] = text

    def rest(self) -> tuple[str, str]:
        """Return the delayed texts at the end: a last event as JSON, and the text of events that are not JSON."""
        value = self._with_held(None, self._root) if self._root.holds else None
        return _json(value) if value is not None else "", self._with_held("", self._plain)

    def _text(self, data: str, *, last: bool) -> str:
        if prefix := _DATA_PREFIX.match(data):  # a proxy that repeats the field name
            return prefix.group() + self._masked(data[prefix.end() :], last=last)
        lines = json_lines(data)
        if len(lines) > 1 and any(line.lstrip().startswith(("{", "[", "data:")) for line in lines):
            return "\n".join([self._masked(line, last=last and line is lines[-1]) for line in lines])
        shown = self._pass(self._plain, data)
        return str(self._with_held(shown, self._plain)) if last else shown

    # --- the texts of a JSON value

    def _value(self, value: dict[str, Any] | list[Any], path: _Path, *, is_choices: bool = False) -> None:
        if isinstance(value, dict):
            self._object(value, path)
            return
        for place, item in enumerate(value):
            step = step_of(item, place if is_choices else None)
            one = path.below.get(step)
            if one is None:
                one = path.below[step] = _Path(self._search)
                if step is not None:  # the ids of tool calls may each have a piece
                    one.below["id"] = ids = path.below.setdefault("id", _Path(self._search, is_whole=True))
                    ids.id_word = ids.id_word or ""
            if item.__class__ is dict:
                self._object(item, one)
            elif item.__class__ is str:
                self._quotes += 2
                value[place] = self._pass(one, item)
            elif item.__class__ is list:
                self._value(item, one)

    def _object(self, value: dict[str, Any], path: _Path) -> None:
        below, token = path.below, value.get("token")
        self._quotes += 2 * len(value)
        secret_names: list[str] = []
        for name, item in value.items():
            one = below.get(name) or self._new_path(path, name)
            secret_names += (name,) if one.is_secret else ()
            kind = item.__class__
            if kind is str:
                self._quotes += 2
                if item and item != one.same:
                    value[name] = self._pass(one, item) if one.id_word is None else self._id(one, item)
            elif kind is dict:
                self._object(item, one)
            elif kind is list:
                self._value(item, one, is_choices=name == "choices")
        if secret_names:
            self._changed = self.has_masked = True
            value.update({f"{MASK}{len(value) + at}": value.pop(name) for at, name in enumerate(secret_names)})
        if token is not None and (value.get("token") is not token or (token.__class__ is str and MASK in token)):
            self._changed = True  # its alternatives and bytes are the same text
            value.update({name: None for name in ("top_logprobs", "bytes") if name in value})
        if self._has_held and value.get("finish_reason"):
            self._with_held(value, path)

    def _with_held(self, value: Any, path: _Path) -> Any:
        """Add the delayed texts at and below a path to its value; parts of a key are masked. Returns the value."""
        if path.held and (value is None or isinstance(value, str)):
            known, whole = len(path.seen.open), path.seen.open + path.held
            spans = [(max(start, known), end) for start, end in self._search.spans(whole, is_cut=True) if end > known]
            value = (value or "") + masked(whole, spans)[known:]
            self.has_masked = self.has_masked or bool(spans)
            # The text may go on: its beginning remains known.
            path.seen, path.held = SeenText(self._search, whole), ""
            self._changed = True
        for step, one in path.below.items():
            if not one.holds:
                continue
            if isinstance(step, str):
                value = {} if value is None else value
                if isinstance(value, dict):
                    name = f"{MASK}{2 * len(value)}" if one.is_secret else step
                    value[name] = self._with_held(value.get(step), one)
            elif isinstance(value := [] if value is None else value, list):
                steps = [step_of(item, None if step is None else place) for place, item in enumerate(value)]
                if step not in steps:
                    value.append(None if step is None else {"index": step})
                    steps.append(step)
                place = len(steps) - 1 - steps[::-1].index(step)
                value[place] = self._with_held(value[place], one)
        return value

    def _new_path(self, path: _Path, name: str) -> _Path:
        is_secret, label = self._ends_key(path, name), name.rstrip(digits)
        if label == name or is_secret:
            one = _Path(self._search, is_whole=name in _WHOLE)
        else:  # `{"0": "s", "1": "k"}` may have a key in pieces
            one = path.numbered.setdefault(label, _Path(self._search))
        one.is_secret, path.below[name] = is_secret, one
        return one

    def _ends_key(self, path: _Path, name: str) -> bool:
        """Return whether a new name of an object has a part of a key, or ends the one that its names have been."""
        known, whole = len(path.names), path.names + name
        path.names = whole[open_end(self._search, whole)[1] :]
        return any(end > known for _, end in self._search.spans(whole, is_cut=True))

    # --- one text

    def _id(self, ids: _Path, piece: str) -> str:
        """Return the id without a key; a word that the id before began with, too, is between two pieces of one."""
        found = _ID_WORD.match(piece)
        word = found[0] if found else ""
        known, ids.id_word = ids.id_word, word
        if not word or word != known:
            return self._pass(ids, piece)
        self._passed.append((ids, word))  # with two texts, the event is no frame for the next one
        return word + self._pass(ids, piece[len(word) :])

    def _pass(self, text: _Path, piece: str) -> str:
        """Return the text that can be displayed after this piece of it."""
        read = None
        self._passed.append((text, piece))
        if not text.held and len(text.seen.open) + len(piece) <= _LONG_PIECE:
            read = text.seen.passes(piece)
        if read is None:
            text.same = text.last = ""
            shown = self._whole(text, piece) if text.is_whole else self._suspect(text, piece)
            self._has_held = self._has_held or bool(text.held)
        else:
            shown, text.tail = piece, (text.tail + read)[-_MOST_KNOWN:]
            # Repeated once, its beginning was seen after its own end.
            text.same = piece if piece == text.last and len(piece) >= GRAM else ""
            text.last = piece
        if shown == piece:
            return piece
        self._changed = True
        return shown

    def _whole(self, text: _Path, piece: str) -> str:
        """Mask a text that comes whole, also its end that the next one of the same name may go on with."""
        before = text.tail + text.seen.open
        known, whole = len(before), before + piece
        spans, context = self._search.spans(whole), len(whole)
        last = max((one.end() for one in _LETTER.finditer(whole, known)), default=len(whole))
        for begin, before_it in open_ends(self._search, whole):
            context = min(context, before_it)
            if begin < last and self._search.is_part(whole, begin):
                spans.append((begin, last))
        spans = [(max(one, known), behind) for one, behind in joined(spans) if behind > known]
        context = max(context - MARK_CHARS, len(whole) - _MOST_KNOWN, 0)
        text.tail, text.seen = whole[:context][-_MOST_KNOWN:], SeenText(self._search, whole[context:])
        self.has_masked = self.has_masked or bool(spans)
        return masked(whole, spans)[known:]

    def _suspect(self, text: _Path, piece: str) -> str:
        before = text.tail + text.seen.open
        known, whole = len(before), before + text.held + piece
        can_wait = not text.tail and len(whole) - known <= self._search.window
        end = context = len(whole)
        for one, before_it in open_ends(self._search, whole):
            end, context = min(end, one), min(context, before_it)
            if end <= known and can_wait:
                text.held = whole[known:]
                return ""
        spans = self._search.spans(whole)
        begin = max(min([end, *(one for one, behind in spans if one < end < behind)]), known)
        if len(whole) - begin > self._search.window:
            begin = len(whole)
        if begin == known and not text.tail:
            text.held = whole[known:]
            return ""
        if begin != end:
            context = min(context, open_end(self._search, whole[:begin])[1])
        spans = [(max(one, known), behind) for one, behind in spans if known < behind <= begin]
        text.held = whole[begin:]
        shown, masked_up_to = masked(whole[:begin], spans)[known:], spans[-1][1] if spans else 0
        context = max(context - MARK_CHARS, 0)
        tail = MASK + whole[masked_up_to:begin] if masked_up_to else whole[:begin]
        known = max(len(tail) - min(begin - max(context, masked_up_to), _MOST_KNOWN), 0)
        text.tail, text.seen = tail[:known][-_MOST_KNOWN:], SeenText(self._search, tail[known:])
        self.has_masked = self.has_masked or bool(spans)
        return shown


def redact_body(text: str, key: str | None) -> str:
    """Mask keys in a whole body as `redact` does, also a key that a JSON list has in pieces."""
    # First in pieces: a masked piece would hide that the others belong to it.
    return redact(StreamMasker(key).masked(text, last=True), key)


def masked_value(value: Any, key: str | None) -> Any:
    """Mask keys in a JSON value as `redact_value` does, also a key that a list has in pieces."""
    masker = StreamMasker(key)
    joined = masker.value(copy.deepcopy(value))
    return redact_value(joined if masker.has_masked else value, key)


def _quotes(data: str) -> int:
    """Return how many quotes around texts a JSON text has."""
    if "\\\\" in data:
        data = data.replace("\\\\", "")
    return data.count('"') - data.count('\\"')


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


def step_of(item: Any, place: int | None) -> int | None:
    """Return the step of a list's element: its `index`, or else `place`."""
    index = tolerant_json.count(item.get("index")) if isinstance(item, dict) else None
    return place if index is None else index
