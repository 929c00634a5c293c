"""Filters of the log, parsed from text. `filter_sql.where` makes SQL of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NoReturn, TypeAlias, get_args

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.field_errors import InputError
from playground.runs.record import GroupKind, RequestSource

PHASES = {
    "failed": ("failed",),
    "stopped": ("stopped",),
    "done": ("done",),
    "interrupted": ("interrupted",),
    "running": ("waiting", "sent", "streaming", "retrying"),
}


NumberField = Literal["status", "cached", "in", "out", "tokens"]
WordField = Literal["finish", "endpoint", "model", "tag", "group", "source", "conversation"]
SOURCE_WORDS: tuple[RequestSource, ...] = get_args(RequestSource)
"""Values of `source:`."""
GROUP_KINDS: tuple[GroupKind, ...] = get_args(GroupKind)
"""Values of `group:`, each alone or as `kind:id`."""
IS_WORDS = ("failed", "stopped", "done", "interrupted", "running", "simulated", "marked", "imported")
"""Values of `is:`."""
HAS_WORDS = ("tools", "error", "json", "answer", "usage", "retries", "logprobs", "tags", "comment", "forecast")
"""Values of `has:`: tools were called · an error occurred · the answer is JSON · …"""


class TextTerm(Struct, frozen=True):
    """A substring of question, answer, error, comment, id or prompt, with its spaces and punctuation."""

    text: str
    negated: bool = False


class IdTerm(Struct, frozen=True):
    """A substring of a request_id or body id."""

    part: str
    negated: bool = False


class NumberTerm(Struct, frozen=True):
    """A figure from `low` to `high`, both included, None being open; `unknown`: the figure was not reported."""

    field: NumberField
    low: int | None
    high: int | None
    unknown: bool = False
    negated: bool = False


class WordTerm(Struct, frozen=True):
    """A name. finish, tag, source, conversation: whole. group: whole, or its kind. endpoint, model: a part of it.

    Case is ignored.
    """

    field: WordField
    word: str
    negated: bool = False


class SinceTerm(Struct, frozen=True):
    """Begun at this aware moment or later."""

    moment: datetime
    negated: bool = False


class UntilTerm(Struct, frozen=True):
    """Begun before this aware moment."""

    moment: datetime
    negated: bool = False


class IsTerm(Struct, frozen=True):
    """One of IS_WORDS."""

    word: str
    negated: bool = False


class HasTerm(Struct, frozen=True):
    """One of HAS_WORDS."""

    word: str
    negated: bool = False


Term: TypeAlias = TextTerm | IdTerm | NumberTerm | WordTerm | SinceTerm | UntilTerm | IsTerm | HasTerm


class Order(Struct, frozen=True):
    """Order by a key of `filter_sql.ORDERS`. Requests without a value are last in both directions.

    Ties: newest first.
    """

    key: str
    descending: bool = True


class Folding(Struct, frozen=True):
    """List a group of requests as one row. `expanded`: tags of the groups whose requests follow their heading."""

    expanded: frozenset[str] = frozenset()


class LogFilter(Struct, frozen=True):
    """Requests, and the order of their list.

    All terms hold; positive terms of one kind which exclude each other (two ids, two statuses) are alternatives.

    `malformed`: words of a pasted list of ids that are not ids; the other ids are searched.
    """

    terms: tuple[Term, ...] = ()
    text: str = ""
    malformed: tuple[str, ...] = ()
    order: Order | None = None
    """None: newest first."""
    folding: Folding | None = None
    """None: every request is a row. Applies to the whole log in its default order only, see `folds`."""

    @property
    def folds(self) -> Folding | None:
        """Return the folding if it applies: a filter or an order lists every request."""
        return None if self.terms or self.order is not None else self.folding

    @property
    def matching(self) -> LogFilter:
        """Return the filter of the same requests without an order or folding."""
        return replace(self, order=None, folding=None)


EVERYTHING = LogFilter()
"""The filter that matches every request."""


class Words(Struct, frozen=True):
    """Names in the log that a filter can use, the most used first."""

    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()


_WORD = re.compile(
    # In a phrase, \" stands for a quotation mark if the phrase ends later.
    r'(?P<negated>-?)(?:(?P<key>[A-Za-z]+):)?(?:"(?P<quoted>(?:\\"(?=[^"]*")|[^"])*)(?P<end>"?)|(?P<plain>\S*))'
)
WHOLE_ID = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|(?:chatcmpl|req|cmpl|run)[-_](?=\w*\d)[\w-]{6,}", re.I
)
_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NUMBER = re.compile(r"(?P<sign>>=|<=|>|<|=|)(?P<first>\d{1,12})(?:\.\.(?P<last>\d{1,12}))?")


def parse(text: str, now: datetime) -> LogFilter:
    """Parse a filter. `now` is aware; dates without a zone are in its zone.

    A `now` of the system's own zone (`datetime.now().astimezone()`) follows daylight saving time. Raises InputError
    with the offset of the wrong term.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # SQLite cannot search a lone surrogate
    if (listed := _id_list(text)) is not None:
        return listed
    terms: list[Term] = []
    at = 0
    while at < len(text):
        if text[at].isspace() or (text[at] in ",;"):
            at += 1
            continue
        found = _WORD.match(text, at)
        if found is None or found.end() == at:  # pragma: no cover - the pattern takes any character that is no space
            _wrong(at, "this cannot be read.", "Write words, or terms such as status:429.")
        terms += _Reader(found, now).terms()
        at = found.end()
    return LogFilter(tuple(terms), text)


_LIST_MIN_IDS = 2
_ID_LIKE = re.compile(r"[\w.-]*\d[\w.-]*", re.ASCII)
_NOT_IN_IDS = re.compile(r"[^\w.\-:]+")


def _id_list(text: str) -> LogFilter | None:
    """Read a pasted list of ids: quoted, escaped, separated by anything. None if the text is not one.

    It is one if it has at least two ids, and nothing but words that look like ids, whole or cut.
    """
    words = [word for word in _NOT_IN_IDS.split(text.replace("\\n", " ").replace("\\t", " ")) if word.strip("-")]
    ids = [word for word in words if WHOLE_ID.fullmatch(word)]
    if len(ids) < _LIST_MIN_IDS or not all(_ID_LIKE.fullmatch(word) for word in words):
        return None
    malformed = tuple(dict.fromkeys(word for word in words if not WHOLE_ID.fullmatch(word)))
    return LogFilter(tuple(IdTerm(one) for one in dict.fromkeys(ids)), text, malformed)


def _wrong(offset: int, sentence: str, hint: str) -> NoReturn:
    raise InputError.of(("filter",), sentence, hint, offset)


class _Reader:
    """Reads one word of the filter."""

    def __init__(self, found: re.Match[str], now: datetime) -> None:
        self.offset = found.start()
        self.word = found.group()
        self.negated = bool(found["negated"])
        self.key = (found["key"] or "").lower()
        self.quoted = found["quoted"] is not None
        self.value = found["quoted"].replace('\\"', '"') if self.quoted else found["plain"]
        self.now = now
        if self.quoted and not found["end"]:
            self.wrong("a quotation mark is not closed.", 'Add " at the end of the phrase.')

    def wrong(self, sentence: str, hint: str) -> NoReturn:
        _wrong(self.offset, sentence, hint)

    def terms(self) -> list[Term]:
        if not self.key or self.value.startswith("//"):  # a URL is text
            return self.plain()
        if self.key not in KEYS:
            self.wrong(
                f"{self.key}: is not something to filter by.",
                f'Use {", ".join(KEYS)}; or put "{self.word}" in quotation marks to search for the text.',
            )
        value = self.value if self.quoted else self.value.rstrip(",;")
        if not value:
            self.wrong(f"{self.key}: has no value.", f"Write for example {KEYS[self.key][1]}.")
        return KEYS[self.key][0](self, value)

    def plain(self) -> list[Term]:
        if self.quoted:
            return [TextTerm(self.value, self.negated)] if self.value.strip() else []
        word = self.word[1:] if self.negated else self.word
        pieces = [piece.strip("\"'()[]{}<>") for piece in re.split(r"[,;]", word)]
        pieces = [piece for piece in pieces if piece]
        if pieces and all(WHOLE_ID.fullmatch(piece) for piece in pieces):
            return [IdTerm(piece, self.negated) for piece in pieces]
        if not word:
            return [TextTerm("-")]
        return [TextTerm(word, self.negated)]

    def ids(self, value: str) -> list[Term]:
        return [IdTerm(part.strip(), self.negated) for part in value.split(",") if part.strip()]

    def status(self, value: str) -> list[Term]:
        families = (re.sub(r"(?i)^([1-5])xx$", r"\g<1>00..\g<1>99", part) for part in value.split(","))
        return [self.number(part) for part in families if part]

    def number(self, value: str) -> NumberTerm:
        name: NumberField = self.key  # type: ignore[assignment]  # KEYS sends only its names here
        if value.lower() in ("unknown", "none"):
            return NumberTerm(name, None, None, True, self.negated)
        found = _NUMBER.fullmatch(value.replace("_", ""))
        if found is None or (found["last"] and found["sign"]):
            hint = f"is:{value.lower()}" if value.lower() in IS_WORDS else f"for example {KEYS[self.key][1]}"
            self.wrong(f"{self.key}: needs a number or a range, not {value}.", f"Write {hint}.")
        first, last = int(found["first"]), int(found["last"] or found["first"])
        low, high = _RANGES[found["sign"]](first, last)
        return NumberTerm(name, low, high, False, self.negated)

    def numbers(self, value: str) -> list[Term]:
        return [self.number(value)]

    def words(self, value: str) -> list[Term]:
        name: WordField = self.key  # type: ignore[assignment]  # KEYS sends only its names here
        parts = [value] if self.quoted else value.split(",")
        return [WordTerm(name, part, self.negated) for part in parts if part]

    def sources(self, value: str) -> list[Term]:
        self.known(value.lower().split(","), SOURCE_WORDS, "a source of requests")
        return self.words(value.lower())

    def groups(self, value: str) -> list[Term]:
        kinds = [part.partition(":")[0] for part in value.lower().split(",")]
        self.known(kinds, ("none", *GROUP_KINDS), "a group of requests")
        return self.words(value.lower())

    def known(self, parts: Sequence[str], words: Sequence[str], what: str) -> None:
        for part in parts:
            if part and part not in words:
                self.wrong(f"{part} is not {what}.", f"{self.key}: takes {', '.join(words)}.")

    def since(self, value: str) -> list[Term]:
        return [SinceTerm(self.moment(value), self.negated)]

    def until(self, value: str) -> list[Term]:
        whole_day = re.fullmatch(r"\d{4}-?\d\d-?\d\d", value) is not None
        return [UntilTerm(self.moment(value, timedelta(days=whole_day)), self.negated)]

    def moment(self, value: str, later: timedelta = timedelta()) -> datetime:
        try:
            if ago := _AGO.fullmatch(value.lower()):
                return self.now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(value) + later
            if moment.tzinfo:
                return moment
            # A fixed offset is that of `now`; the system's zone may have had another on that day.
            local = self.now.tzinfo is not UTC and self.now.astimezone().utcoffset() == self.now.utcoffset()
            fixed = isinstance(self.now.tzinfo, timezone)
            return moment.astimezone() if local and fixed else moment.replace(tzinfo=self.now.tzinfo)
        except (ValueError, OverflowError):
            self.wrong(f"{self.key}: needs a time, not {value}.", f"Write for example {KEYS[self.key][1]}.")

    def state(self, value: str) -> list[Term]:
        self.known([value.lower()], IS_WORDS, "something that a request is")
        return [IsTerm(value.lower(), self.negated)]

    def has(self, value: str) -> list[Term]:
        self.known([value.lower()], HAS_WORDS, "something that a request has")
        return [HasTerm(value.lower(), self.negated)]


_RANGES: dict[str, Callable[[int, int], tuple[int | None, int | None]]] = {
    "": lambda first, last: (min(first, last), max(first, last)),
    "=": lambda first, _: (first, first),
    ">": lambda first, _: (first + 1, None),
    ">=": lambda first, _: (first, None),
    "<": lambda first, _: (None, first - 1),
    "<=": lambda first, _: (None, first),
}
KEYS: dict[str, tuple[Callable[[_Reader, str], list[Term]], str]] = {
    "status": (_Reader.status, "status:200, status:4xx or status:none"),
    "finish": (_Reader.words, "finish:stop"),
    "cached": (_Reader.numbers, "cached:0, cached:>100 or cached:unknown"),
    "in": (_Reader.numbers, "in:>1000"),
    "out": (_Reader.numbers, "out:<50"),
    "tokens": (_Reader.numbers, "tokens:>1000 or tokens:100..200"),
    "id": (_Reader.ids, "id:9db7"),
    "endpoint": (_Reader.words, 'endpoint:electron or endpoint:"My server"'),
    "model": (_Reader.words, "model:electron"),
    "tag": (_Reader.words, "tag:billing or tag:none"),
    "group": (_Reader.groups, "group:batch or group:none"),
    "source": (_Reader.sources, "source:recorder"),
    "conversation": (_Reader.words, "conversation:9db7 or conversation:none"),
    "since": (_Reader.since, "since:30m, since:2d or since:2026-11-23"),
    "until": (_Reader.until, "until:1h or until:2026-11-23"),
    "is": (_Reader.state, "is:failed"),
    "has": (_Reader.has, "has:tools"),
}
"""Keys of terms, each with its parser and an example."""
