"""A text in pieces: which pieces pass without a search, and from where the end of a text may go on as a part of a key.

Each piece of a stream is displayed when it comes, unless a key may be in it. `SeenText` keeps the last letters of the
text, in each way to read it, and the last words behind each label. If they and the new piece have no GRAM letters of a
key in a row, the piece passes. Otherwise `KeySearch.spans` searches the end of the text, and what `open_end` finds at
it waits for the next piece.

Example: the key is `sk_9fQ2xLm7TzR4`. The piece `is sk` passes, `_9` does not: `sk_9` is a beginning of the key. It
waits, and so does `fQ2xLm7` behind it; the piece ` is a` ends the part, and what waited is masked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from string import ascii_letters, digits

from playground.client.key_readings import (
    BLOB,
    BLOB_LEAST,
    NO_TAGS,
    NOISE,
    NOTHING,
    ROW,
    SIGNS,
    UNFINISHED_ENDS,
    Label,
    LabelledWords,
    Layer,
    decode,
    encoded_text,
    folded,
    in_column,
    in_source,
    labels_of,
    letters_of,
    may_have_noise,
    parts_of_words,
    undecoded,
    ways_to_read,
    with_controls,
    without,
    without_end,
)
from playground.client.key_search import GRAM, LAST_LETTERS, MARK_CHARS, KeySearch, common_length

_ALNUM = f"{ascii_letters}{digits}"
_BLOB_CHARS = f"{_ALNUM}+/_-"
_BLOB_BEGIN = 32
"""Characters of base64 that show whether it is a text."""
_RUN = re.compile(f"[A-Za-z0-9+/_-]{{{BLOB_LEAST}}}").search
_WORD, _SIGN_CODES = re.compile("([A-Za-z0-9]+)"), SIGNS.encode()
_SPACED = bytes(ord(chr(code).lower()) if chr(code) in _ALNUM else 10 if code == 10 else 32 for code in range(256))
"""Translates a text so that its words in lower case are between spaces and line ends."""
_LABEL_CHARS, _MOST_LABELS, _CHARS_BETWEEN = 64, 512, 256
"""Characters at the end of a text that may be the label of the next word; most labels in memory; most characters
between two pieces with the same label."""
_OPEN = re.compile(rf"{UNFINISHED_ENDS[NOISE].pattern}|&[A-Za-z0-9]{{1,32}}$")
"""An end of a text that is read with the text after it."""
_PLAIN = re.compile(
    r"""(?:[A-Za-z1-9 \t.,;:!?'"_\-|*#/+@^$~`>)}]++|\n[ \t]*+(?=[^ \t0-9])|0(?![xX])|\](?!\()|=(?![2-9A-F]|$)"""
    r"""|[\[({](?![A-Za-z.]{0,12}$|[xX]\])|<(?![/?!.0A-Za-z]|$)|%(?![0-9A-Fa-f]|$))*+(?<![0xX\]])"""
).fullmatch
"""Matches a text that has only one reading, whatever follows."""
_MOST_ENDS = 16
"""With more ways to read the end of a text, it is searched."""


class SeenText:
    """The text of a stream up to now. Decides whether a piece can pass without a search.

    `ends`: how its letters and digits end, in each way to read it. `open`: its last part, which is read again with the
    next piece. `run`: the beginning of a run of base64 or hex at its end. `labelled`: its last words, `words`: the ends
    of the words behind each label, and `count` there: the characters up to now. `word`: the word at the end, which may
    go on. `column`: the words of its line up to now, `first`: those before the words of the last piece.
    """

    __slots__ = ("_search", "column", "count", "ends", "first", "labelled", "open", "run", "word", "words")

    def __init__(self, search: KeySearch, text: str = "") -> None:
        self._search, self.open = search, text
        self.ends, self.words, self.count = {""}, dict[Label, tuple[str, int]](), 0
        self.run, self.labelled, self.word, self.column, self.first = "", "\n", "", 0, 0

    def passes(self, piece: str) -> str | None:
        """Return the part of the text that was read with this piece. None: characters of a key are in it, and `spans`
        finds the parts."""
        text = begun = self.open + piece
        is_plain = _PLAIN(begun) is not None
        if not is_plain:
            begun = without_end(_OPEN, text)
            is_plain = _PLAIN(begun) is not None
        if is_plain and not _RUN(self.run + begun):
            known = len(self.word)
            words = self._words(begun)
            ends = ends_of(self._search, self.ends, ["".join(words)[known:]])
            return self._known(begun, begun, text[len(begun) :], ends, words)
        plain, layers = decode(begun, _OPEN)
        patterns = [pattern for pattern, _ in layers]
        if BLOB in patterns:
            return None  # the text behind it is decoded from its beginning
        if NOTHING in patterns:
            # An escape or a tag whose first character is escaped goes on.
            begun = begun[: in_source([(len(plain) - 1, len(plain))], layers)[0][1]] if plain else ""
        run = self.run + plain
        blob = BLOB.search(run) if len(run) >= BLOB_LEAST else None
        if blob and _text_at(blob[0]) is not None:
            return None
        ends = ends_of(self._search, self.ends, self._letters({begun, plain}))
        plain = with_controls(folded(plain))
        return self._known(begun, plain, text[len(begun) :], ends, self._words(plain))

    def _known(self, begun: str, plain: str, rest: str, ends: set[str], words: list[str]) -> str | None:
        if not ends or self._has_words(plain, words):
            return None
        if rest and letters_of(folded(rest)):
            letters = self._letters({rest, decode(rest)[0]})
            if not ends_of(self._search, ends, letters):
                return None
        run = self.run + plain
        run = run[len(run.rstrip(_BLOB_CHARS)) :]
        self.run = (run if len(run) <= _BLOB_BEGIN else run[run.rfind("/") + 1 :])[:_BLOB_BEGIN]
        self.ends, self.open = ends, rest
        return begun

    def _letters(self, texts: set[str]) -> set[str]:
        """Return the letters and digits of texts in each way to read them."""
        return {letters_of(way, self._search.beside) for text in texts for way in ways_to_read(folded(text))}

    def _words(self, text: str) -> list[str]:
        """Return the words of a text in lower case, the first with its beginning before the text."""
        spaced = (self.word + text).encode("ascii", "replace").translate(_SPACED, _SIGN_CODES).decode()
        words = spaced.split()
        self.first = self.column - bool(self.word)
        if "\n" in spaced or ROW in words:
            line = spaced[spaced.rfind("\n") + 1 :].split()
            self.column = line[::-1].index(ROW) + 1 if ROW in line else len(line)
        else:
            self.column = self.first + len(words)
        self.word = words[-1][-GRAM:] if words and not spaced[-1].isspace() else ""
        return words

    def _has_words(self, text: str, words: list[str]) -> bool:
        """Return whether the words behind a label have characters of a key: short ones, as others are found anyway."""
        self.count += len(text)
        short, found = self._search.short, list[str]()
        if short.isdisjoint(words):
            self.labelled = (text if len(words) > 3 else self.labelled + text)[-_LABEL_CHARS:]
            return False
        text = self.labelled + text
        text = text.encode("utf-8", "surrogatepass").translate(None, _SIGN_CODES).decode("utf-8", "surrogatepass")
        parts = _WORD.split(text)
        column = self.first - 1
        for at, word in enumerate(words, len(parts) // 2 - len(words)):
            column = 0 if word == ROW or "\n" in parts[2 * at] else column + 1
            if word in short and at:
                for label in in_column(labels_of(*parts[2 * at - 2 : 2 * at + 1]), column):
                    letters, last = self.words.get(label, ("", 0))
                    letters = (letters if self.count - last <= _CHARS_BETWEEN else "") + word
                    if len(letters) >= GRAM:
                        found.append(letters)
                    if 2 * at + 3 < len(parts) or parts[-1]:
                        self.words[label] = letters[1 - GRAM :], self.count
        if found and self._search.has_gram("\n".join(found), in_pieces=True):
            return True
        # The last word may go on: it is read again, behind its label.
        self.labelled = "".join(parts[-5 if parts[-1] else -7 :])[-_LABEL_CHARS:]
        if len(self.words) > _MOST_LABELS:
            self.words.clear()
        return False


def open_end(search: KeySearch, text: str) -> tuple[int, int]:
    """Return where the end of a text begins that may go on as a part of a key, and where GRAM - 1 characters before
    it begin."""
    ends, contexts = zip(*open_ends(search, text), strict=True)
    return min(ends), min(contexts)


def open_ends(search: KeySearch, text: str) -> Iterator[tuple[int, int]]:
    """Yield the same for each way to read the text."""
    skipped = max(len(text) - search.window, 0)
    readings = UNFINISHED_ENDS if may_have_noise(text, skipped) else (NOTHING,)
    yield len(text), len(text)
    is_encoded = False
    for way in (decode, undecoded):
        if way is undecoded and not is_encoded:
            break
        seen = set[str]()
        for removed in readings:
            pattern = UNFINISHED_ENDS[removed]
            plain, layers = way(without_end(pattern, text[skipped:]), pattern)
            is_encoded = is_encoded or bool(layers)
            less = without(removed, folded(without_end(pattern, plain)))
            if less not in seen and (less or removed is not NO_TAGS):
                seen.add(less)
                begin, context = _open_end(search, less, [*layers, (removed, folded(plain)), (search.beside, less)])
                yield len(text) if begin is None else skipped + begin, skipped + context
            if removed is NOTHING:
                yield from ((skipped + begin, skipped + begin) for begin in _open_words(search, plain, layers))
    run = len(text.rstrip(_BLOB_CHARS))
    if len(text) - run >= BLOB_LEAST and (at := _text_at(text[run:])) is not None:
        yield len(text), run + at  # decoded from its beginning


def _text_at(run: str) -> int | None:
    """Return where a text in base64 or hex begins in a run of its characters: with it, or with a part of a path."""
    for at in dict.fromkeys((0, run.rfind("/") + 1)):
        if len(run) - at >= BLOB_LEAST and encoded_text(run[at : at + _BLOB_BEGIN]):
            return at
    return None


def _open_words(search: KeySearch, text: str, layers: list[Layer]) -> Iterator[int]:
    """Yield where several words behind a label begin that may go on as a part of a key behind its next place."""
    text = with_controls(text)
    labelled = LabelledWords(text)
    letters = {word: one for word, one in labelled.letters() if one in search.short or one[-GRAM:] in search.places}
    labels = labelled.pieces(letters)
    for words in labelled.places(labels).values() if labels else ():
        start, end = words[-1]
        if len(text) - end <= max(2 * (start - words[-2][0]), 2 * _LABEL_CHARS) and text[start:end] in letters:
            joined = "".join(text[one:behind] for one, behind in words)
            begin, _ = _open_end(search, joined, [(search.beside, joined)])
            if begin is not None and begin < len(joined) - (end - start):
                ((place, behind),) = parts_of_words(words, (begin, begin + 1))
                if not text[max(place - 1, 0) : place].isalnum():
                    yield in_source([(place, behind)], layers)[0][0]


def _open_end(search: KeySearch, less: str, layers: list[Layer]) -> tuple[int | None, int]:
    bare = letters_of(less, search.beside)
    begun = [letters_of(head, search.beside) for head in search.begun if less.lower().endswith(head)]
    length = max(map(len, begun), default=0)
    at = len(bare) - GRAM
    found = search.places.get(bare[at:], ()) if at >= 0 else ()
    for form, place in found:
        before = common_length(bare, at, form.text, place)[0]
        # A public prefix without its beginning is no part of a key. Behind a whole key its last letter is masked.
        is_apart = LAST_LETTERS.search(less, max(len(less) - MARK_CHARS, 0)) is not None
        can_go_on = place + GRAM < len(form.text) + is_apart
        if can_go_on and (place == before or form.at[place + GRAM] >= form.secret):
            length = max(length, GRAM + before)
    begin = len(bare) - length
    context = max(begin - GRAM + 1, 0)
    spans = in_source([(one, one + 1) for one in (begin, context) if one < len(bare)], layers)
    return spans[0][0] if length else None, spans[-1][0] if spans else 0


def ends_of(search: KeySearch, before: set[str], readings: Collection[str]) -> set[str]:
    """Return how the letters and digits of a text end; none if characters of a key are in it."""
    texts = [end + letters for end in before for letters in readings]
    letters = "\n".join(texts)
    ends = set() if search.has_head(letters) or search.has_gram(letters) else {one[1 - GRAM :] for one in texts}
    return set() if len(ends) > _MOST_ENDS else ends
