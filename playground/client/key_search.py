"""The search for keys and parts of them in a reading of a text.

A key is known in several forms (`KeyForm`): plain, reversed, in ROT13, hex and base64, each as letters and digits in
lower case. `KeySearch.places` has each GRAM of them in a row. A reading is looked up at every few letters, and only
where a key has the same GRAM letters is it compared in both directions (`_runs`). `_secret` decides whether the part
that is equal is masked: by its length, by how much of it is behind the public prefix, and by the text beside it.

Example: of the key `sk_9fQ2xLm7TzR4`, the text `key: SK_9FQ2XLM7TZ` has `9fq2`. Before it `sk` is equal, too, and
behind it `xlm7tz`: a part of 13 characters, which is masked.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from bisect import bisect_left, bisect_right
from codecs import encode
from collections.abc import Iterator
from functools import lru_cache
from itertools import compress, takewhile
from operator import eq
from typing import NamedTuple
from urllib.parse import quote

from playground.client.key_readings import (
    BESIDE,
    BESIDE_ANY,
    LabelledWords,
    Layer,
    Span,
    decode,
    folded,
    in_source,
    joined,
    letters_of,
    lower_case,
    parts_of_words,
    ways_to_read,
    with_backslashes,
    with_controls,
)
from playground.prompt import secret_names
from playground.prompt.secret_names import is_word

LEAST_BASE64 = 10
"""Characters of a key in base64 that are no chance."""
LEAST_CHARS = secret_names.LEAST_CHARS
"""A shorter "key" is a placeholder that local servers ignore (x, none, EMPTY, ollama): masking it would garble text."""
GRAM = 4
"""Length of the parts that are searched: fewer characters of a key are not recognized, nor delayed in a stream."""
PART_CHARS, PIECE_CHARS = 12, 8
"""Length from which a part of a key is masked in any text; and the one of its beginning, of a part beside a mask of the
server's, and of a part of which the rest may be elsewhere."""
_PUBLIC_PREFIX = re.compile(
    r"(?:sk[-_](?:proj-|svcacct-|admin-|ant-(?:api\d\d-)?|or-(?:v1-)?|live_|test_)?|gh[a-z]_|github_pat_|glpat-|xox[a-z]-"
    r"|hf_|gsk_|r8_|pplx-|npm_|pypi-|AKIA|ASIA|AIza|[a-z]{2,6}_(?:live|test)_|eyJraWQi"
    r"|eyJ(?:0eXAiOiJKV1QiLCJ)?hbGciOiJ\w{7}(?:IsInR5cCI6IkpXVC)?(?:J9\.|IsImtpZCI6I))?"
)
"""What many keys begin with; of a JWT, the header, or what is before the `kid` in it."""
_WORDS_ONLY = re.compile(r"[A-Z]*[a-z]*(?:[^A-Za-z0-9]+[A-Za-z]?[a-z]*)*|[0-9]{1,9}|[A-Z]+(?:[^A-Za-z0-9]+[A-Z]*)*")
"""Parts of a key that any text may have: words with signs between them, a short number."""
_PHRASE_CHARS = 20
"""Letters from which words of a key are masked whatever is between them."""
MARK_CHARS = 12
"""Longest mark of a server beside a part of a key."""
_MARK = (
    r"[^\w\s]?\s?(?:([^\w\s])(?:\s?\\?\1)+|(?![‘’“”«»])[^\w\s\x00-\x7f]|([xX])\2\2|__"
    r"|[\[<({](?:\.{3}|[a-zA-Z]{3,12})[\])>}])"
)
_MARK_BEHIND, _MARK_BEFORE = re.compile(_MARK), re.compile(rf"{_MARK}\s?[^\w\s]?$")
"""What servers write in place of the middle of a key: a character twice, a symbol, a word in brackets."""
_NUMBER = re.compile(f"[0-9]{{{PIECE_CHARS}}}")
_MOST_FOR_ONE = 96
"""Characters for one of a key, with its label, as in a line of a log."""
_BLOCK = 8192
"""Places that are looked up in a step, between which other threads run."""
_FIRST, LAST_LETTERS = re.compile(r"([^\W_]{1,3})[\W_]+"), re.compile(r"[\W_]+([^\W_]{1,3})$")
"""Less than GRAM letters at the beginning and end of a part that may be another word's."""


class KeyForm(NamedTuple):
    """A form that a key may have: plain, reversed, in hex or in base64; its letters and digits in lower case.

    `key`: the key itself, `at`: the place in it of each character of the form, with one before and one behind it.
    `secret`: where its secret part begins, behind a public prefix. `has_words`: its parts may be words of a text.
    """

    text: str
    key: str
    at: list[int]
    secret: int
    has_words: bool


def _forms(key: str) -> Iterator[KeyForm]:
    whole = folded(key)
    public = _prefix_end(whole)
    # A JWT is base64: in pieces it is not decoded, in a whole text it is.
    for plain in dict.fromkeys((whole, decode(whole)[0])):
        beside = BESIDE if plain.isascii() else BESIDE_ANY
        prefix = max(_prefix_end(plain), len(decode(whole[:public])[0]) if plain != whole else 0)
        for turned, secret in ((plain, prefix), (plain[::-1], 0), (str(encode(plain, "rot13")), prefix)):
            at = [place for place, one in enumerate(turned) if not beside.fullmatch(one)]
            yield KeyForm(letters_of(turned, beside), turned, [-1, *at, len(plain)], secret, turned is plain)
    data = key.encode("utf-8", "surrogatepass")  # a damaged file has any character
    for text in dict.fromkeys(
        (*map(letters_of, _in_base64(data)), data.hex(), *((letters_of(quote(data, safe="")),) * (not key.isascii())))
    ):
        scale = len(text) / len(whole)
        at = [-1, *(int(place / scale) for place in range(len(text))), len(whole)]
        yield KeyForm(text, whole, at, public, False)


def _prefix_end(key: str) -> int:
    found = _PUBLIC_PREFIX.match(key)
    return found.end() if found else 0


def _in_base64(key: bytes) -> Iterator[str]:
    """Return the base64 characters that depend on the key alone, for each of the three alignments."""
    for before in range(3):
        encoded = b64encode(bytes(before) + key).decode("ascii")
        # The first characters also depend on the bytes before the key, the last ones on the bytes after it.
        whole = encoded[-(-before * 8 // 6) : (before + len(key)) * 8 // 6]
        if len(whole) >= LEAST_BASE64:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


class KeySearch:
    """Finds keys and parts of them in texts."""

    def __init__(self, keys: list[str]) -> None:
        forms = {
            form.text: form for key in reversed(keys) for form in reversed([*_forms(key)]) if len(form.text) >= GRAM
        }
        self.window = _MOST_FOR_ONE * max(map(len, forms), default=0)
        """Length of text at the end of which a part of a key may be."""
        self.places: dict[str, list[tuple[KeyForm, int]]] = {}
        """Each GRAM characters of a form of a key, and where they are."""
        self.has_number = any(_NUMBER.search(key) for key in keys)
        """Whether a part of a key may be in JSON outside its strings."""
        self.beside = BESIDE if all(map(str.isascii, forms)) else BESIDE_ANY
        for form in forms.values():
            for at in range(len(form.text) - GRAM + 1):
                self.places.setdefault(form.text[at : at + GRAM], []).append((form, at))
        heads = [(form, form.at[end]) for form in forms.values() if form.has_words for end in range(1, GRAM)]
        self.begun = tuple(form.key[: at + 1].lower() for form, at in heads if at >= (form.secret or GRAM - 1))
        """Beginnings of keys with less than GRAM letters: a public prefix and a character, or GRAM characters."""
        self.has_head = re.compile("|".join({letters_of(head, self.beside) for head in self.begun}) or r"(?!)").search
        self._grams = {*map(tuple, self.places)}
        self._in_pieces = {
            tuple(gram) for gram, found in self.places.items() if not gram.isdigit() or found[0][0].text.isdigit()
        }
        self._threes = {gram[at : at + GRAM - 1] for gram in self._grams for at in range(2)}
        self.short = {
            gram[at:end] for gram in self.places for at, end in ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4))
        }
        """Pieces of a key that are shorter than GRAM."""
        # Each part that is masked has GRAM characters at one of these places.
        self._step = max(min(map(_shortest, forms.values()), default=GRAM) - GRAM + 1, 1)

    def spans(self, text: str, least: int = PART_CHARS, *, is_cut: bool = False) -> list[Span]:
        """Return the places of keys and of their parts of at least this length in `text`, in order.

        `is_cut`: the text may go on, with the rest of a key.
        """
        return self.spans_in(text, *decode(text), least, is_cut=is_cut) if self.places else []

    def spans_in(
        self, text: str, plain: str, layers: list[Layer], least: int = PART_CHARS, *, is_cut: bool = False
    ) -> list[Span]:
        """Return the same if the text is decoded already."""
        if not self.places:
            return []
        # The digits of an escape may be the key's.
        spans = self._spans(text, [], least, is_cut=is_cut, has_labels=False) if layers else []
        return joined(spans + self._spans(plain, layers, least, is_cut=is_cut))

    def is_part(self, text: str, begin: int) -> bool:
        """Return whether the end of a text that may go on as a part of a key is one already, and no word by chance."""
        part = text[begin:]
        if len(part) < PIECE_CHARS:
            return part.lower() in self.begun and not text[max(begin - 1, 0) : begin].isalnum()
        return not _WORDS_ONLY.fullmatch(part) or _prefix_end(part) > 0

    def _spans(
        self, text: str, layers: list[Layer], least: int, *, is_cut: bool, has_labels: bool = True
    ) -> list[Span]:
        decoded, spans = folded(text), list[Span]()
        for plain, removed in ways_to_read(decoded).items():
            secret = self._secrets(plain, least, is_cut=is_cut)
            spans += in_source(secret, [(removed, decoded)] if plain != decoded else [])
        if not has_labels:
            return with_backslashes(text, joined(spans))
        decoded = with_controls(decoded)
        for words in self._words_with_key(decoded) if least >= PART_CHARS else self._known_words(decoded):
            together = "".join([decoded[start:end] for start, end in words])
            for start, end in self._secrets(together, least):
                prefix = _PUBLIC_PREFIX.match(together, start)
                spans += parts_of_words(words, (start, end)) if prefix and end - prefix.end() >= least else ()
        return with_backslashes(layers[0][1] if layers else text, in_source(joined(spans), layers))

    def _known_words(self, text: str) -> list[list[Span]]:
        """Return the words behind each label, if all of them together have characters of a key."""
        labelled = [words for words in LabelledWords(text).places().values() if len(words) > 1]
        letters = [letters_of("".join([text[start:end] for start, end in words])) for words in labelled]
        return labelled if self.has_gram("\n".join(letters)) else []

    def _words_with_key(self, text: str) -> list[list[Span]]:
        """Return the words behind each label that may have a part of PART_CHARS characters of a key in pieces.

        Of such words, one begins with GRAM characters of a key, or several are whole pieces of it.
        """
        words = LabelledWords(text)
        short, places = self.short, self.places
        letters = {word: one for word, one in words.letters() if one in short or one[:GRAM] in places}
        labels = {label for label, pieces in words.pieces(letters).items() if self.has_gram(pieces, in_pieces=True)}
        return [spans for spans in words.places(labels).values() if len(spans) > 1] if labels else []

    def has_gram(self, letters: str, *, in_pieces: bool = False) -> bool:
        """Return whether GRAM letters in a row are a key's. `in_pieces`: of words behind a label, where digits alone
        count something."""
        # Of each GRAM letters, GRAM - 1 begin at an even place: half as many to look up.
        if self._threes.isdisjoint(zip(letters[::2], letters[1::2], letters[2::2], strict=False)):
            return False
        grams = self._in_pieces if in_pieces else self._grams
        return not grams.isdisjoint(zip(letters, letters[1:], letters[2:], letters[3:], strict=False))

    def _secrets(self, plain: str, least: int, *, is_cut: bool = False) -> list[Span]:
        bare = letters_of(plain, self.beside)
        runs = self._runs(bare)
        found = in_source([(start, start + end - place) for start, _, place, end in runs], [(self.beside, plain)])
        return [
            shown
            for span, (start, form, place, end) in zip(found, runs, strict=True)
            if (shown := _secret(form, place, end, plain, span, least, is_cut and start + end - place == len(bare)))
        ]

    def _runs(self, bare: str) -> list[tuple[int, KeyForm, int, int]]:
        """Return the parts of keys in the letters and digits of a text: where, and from and to where in which form."""
        runs: list[tuple[int, KeyForm, int, int]] = []
        done: dict[tuple[str, int], int] = {}
        places, first, last = self.places, 0, 0
        hits, size = list[int](), self._step * _BLOCK
        for begin in range(0, len(bare), size):
            grams = zip(*(bare[begin + at : begin + at + size : self._step] for at in range(GRAM)), strict=False)
            hits += compress(range(begin, len(bare), self._step), map(self._grams.__contains__, grams))
        hits.reverse()
        while hits:
            at, known, same = hits.pop(), last, ("\n", "", 0)
            if first <= at and at + GRAM <= last:
                continue  # in a part that is masked
            for form, place in places.get(bare[at : at + GRAM], ()):
                base = at - place
                if at < done.get((form.text, base), 0) or (
                    base == same[2]
                    and form.key.startswith(same[0])
                    and form.text.startswith(same[1])
                    and form.text[last - base :][:1] != bare[last : last + 1]
                ):
                    continue  # found, also as a part of another key
                before, after = common_length(bare, at, form.text, place)
                done[form.text, base] = at + after
                start, end = place - before, place + after
                if _length(form, start, end) < PIECE_CHARS and end - start < len(form.text):
                    continue
                runs.append((at - before, form, start, end))
                part = form.key[form.at[start + 1] : form.at[end] + 1]
                if _length(form, start, end, form.secret) >= PART_CHARS and not (
                    form.has_words and _WORDS_ONLY.fullmatch(part)
                ):
                    first, last = at - before, at + after
                    same = form.key[: form.at[end] + 1], form.text[:end], base
            if last > known:
                hits += range(last - GRAM + 1, last)  # another part may begin in this one
        return runs


def _length(form: KeyForm, place: int, end: int, begin: int = 0) -> int:
    """Return how many characters of the key, behind `begin`, a part of a form has, with signs beside it."""
    return form.at[end + 1] - max(form.at[place] + 1, begin)


def _shortest(form: KeyForm) -> int:
    """Return how many letters and digits the shortest parts of PIECE_CHARS characters of a key have."""
    ends = [bisect_left(form.at, at + 1 + PIECE_CHARS) - 1 - place for place, at in enumerate(form.at)]
    return min([len(form.text), *(ends[: bisect_right(form.at, form.at[-1] - 1 - PIECE_CHARS)])])


def common_length(text: str, at: int, form: str, place: int) -> tuple[int, int]:
    """Return how many characters before and from there on are equal."""
    before = takewhile(bool, map(eq, text[max(at - place, 0) : at][::-1], form[:place][::-1]))
    return sum(before), sum(takewhile(bool, map(eq, text[at : at + len(form)], form[place:])))


def _secret(form: KeyForm, place: int, end: int, text: str, span: Span, least: int, is_end: bool) -> Span | None:
    """Return which part of `span` of a text is masked, as it has this part of a form. `is_end`: the rest may follow."""
    is_sure = end - place == len(form.text) or _length(form, place, end, form.secret) >= least
    start, behind = span
    # Up to GRAM - 1 characters that something separates from the part are of another word, as the l of `all k7Qz…`.
    found = _FIRST.match(text, start, behind)
    if found and (place or text[max(start - 1, 0) : start].isalnum()) and _is_apart(form, place + len(found[1]), found):
        start, place = found.end(), place + len(found[1])
    found = LAST_LETTERS.search(text, max(behind - MARK_CHARS, start), behind)
    is_last = end == len(form.text) and not (text[behind : behind + 1] or "a").isalnum()
    if found and not is_last and (_is_apart(form, end - len(found[1]), found) or (not is_sure and " " in found[0])):
        behind, end = found.start(), end - len(found[1])
    begin, last = form.at[place + 1], form.at[end] + 1
    part = form.key[begin:last]
    before, after = form.key[form.at[place] + 1 : begin], form.key[last : form.at[end + 1]]
    if text.startswith(before, max(start - len(before), 0), start):
        start, begin = start - len(before), begin - len(before)
    if text.startswith(after, behind):
        behind, last = behind + len(after), last + len(after)
    chars, secret = last - begin, last - max(begin, form.secret)
    if not is_sure and (
        chars < PIECE_CHARS
        or secret < 1
        or re.search(r"\s", text[start:behind])
        or not (
            (secret >= GRAM and chars >= PART_CHARS)
            or (secret >= PIECE_CHARS and begin <= form.secret)
            or (is_end and begin == 0)
            or _MARK_BEHIND.match(text, behind)
            or _MARK_BEFORE.search(text[max(start - MARK_CHARS, 0) : start])
        )
    ):
        return None
    if not form.has_words or not _WORDS_ONLY.fullmatch(part if is_sure else form.key[begin:last]):
        return start, behind
    if part.isalnum():
        return (start, behind) if (is_sure and part == form.key) or not (part.isdigit() or is_word(part)) else None
    signs = iter(lower_case(text[start:behind]))
    is_phrase = (is_sure or is_end or chars >= PART_CHARS) and all(one in signs for one in lower_case(part))
    return (start, behind) if is_phrase or end - place >= _PHRASE_CHARS else None


def _is_apart(form: KeyForm, place: int, found: re.Match[str]) -> bool:
    """Return whether the text has other signs than the key before this character, or a mask beside them."""
    signs = form.key[form.at[place] + 1 : form.at[place + 1]]
    return not signs or signs not in found[0] or _MARK_BEHIND.search(found[0].replace(signs, "", 1)) is not None


@lru_cache(maxsize=16)
def key_search(key: str | None) -> KeySearch:
    """Return the search for one key, or several, one per line."""
    return KeySearch([one for one in dict.fromkeys((key or "").split("\n")) if len(one) >= LEAST_CHARS])


@lru_cache(maxsize=64)
def key_forms(key: str | None) -> tuple[str, ...]:
    """Return the forms of a key in texts: plain, escaped as in JSON, quoted as in a URL, in hex, inside base64.

    `key`: one key, or several, one per line. Longer ones come first: they may contain others.
    """
    found: list[str] = []
    for one in sorted((key or "").split("\n"), key=len, reverse=True):
        if len(one) >= LEAST_CHARS:
            escaped, data = json.dumps(one)[1:-1], one.encode("utf-8", "surrogatepass")
            found += one, escaped, escaped.replace("/", "\\/"), quote(data, safe=""), data.hex(), data.hex().upper()
            found += _in_base64(data)
    return tuple(dict.fromkeys(found))
