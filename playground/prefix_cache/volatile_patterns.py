"""How volatile values are written. A pattern's named group is the value, and the group's name is the value's kind.

A value is found by the word that announces it, by its first digit, or by its own shape, so that a long prompt is read
only a few times. Every repetition is bounded: the time is linear in the length of any text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from msgspec import Struct

from playground.prefix_cache.moments import INDIC, any_of, moment_patterns, months, words


class PatternSource(NamedTuple):
    """One pattern. `sure`: its words say that the value varies. `words`: possible beginnings in lower case."""

    sure: bool
    pattern: str
    words: tuple[str, ...] = ()


class Patterns(Struct, frozen=True):
    """`announced`: tried at their words; with a group `weak` the word in front decides. `by_digit`: at DIGITS.

    `in_lower` and `as_typed`: searched everywhere, in the lower-case or the original text.
    """

    announced: tuple[PatternSource, ...]
    by_digit: tuple[PatternSource, ...]
    in_lower: tuple[PatternSource, ...]
    as_typed: tuple[PatternSource, ...]
    condition_before: re.Pattern[str]
    condition_after: re.Pattern[str]
    example_before: re.Pattern[str]
    lasting: re.Pattern[str]
    example_behind: re.Pattern[str]
    event_before: re.Pattern[str]


ARTICLES = frozenset(
    (
        *("the", "a", "and", "is", "das", "die", "der", "la", "el", "le", "les", "il", "lo", "l'", "l’"),
        *("current", "local", "present", "today's", "today’s", "server", "system"),
    )
)
"""Words that may precede a word like “date” that does not say which date it is."""
_SUBJECTS = (
    *("session", "request", "call", "conversation", "trace", "order", "account", "customer", "user", "ticket"),
    *("booking", "transaction", "correlation", "sitzungs", "kunden", "anfrage", "auftrags", "vorgangs"),
)
_IDS = (
    *("id de session", "identifiant de session", "id de sesión", "identificador de sesión", "id da sessão"),
    *("सत्र आईडी", "सत्र संख्या", "ग्राहक आईडी", "ऑर्डर आईडी", "رقم الجلسة", "معرف الجلسة", "رقم الطلب", "معرف المستخدم"),
    *(
        "会话id",
        "会话 id",
        "会话编号",
        "订单号",
        "用户id",
        "セッションid",
        "セッション id",
        "注文番号",
        "세션 id",
        "세션 아이디",
    ),
)
_MARKED = (
    *("req", "request", "sess", "session", "usr", "user", "cus", "cust", "conv", "conversation", "call", "msg"),
    *("order", "ord", "txn", "trace", "run", "acct", "chat", "thread", "evt", "span"),
)
"""Words that identifiers begin with, as in req_8f31."""
_SEP = r"[ \t]{0,3}[:=：＝]?[ \t]{0,3}[\"“'(\[]?"
_ID = r"(?=[a-z_-]{0,40}\d)[a-z0-9][a-z0-9_-]{3,79}(?![\w-])"
_ID_WORD = r"(?:ids?|identifier|number|no\.?|#|nummer|kennung)"
_NAME = r"(?-i:[^\W\d_a-z][^\W\d_]{1,30}(?: [^\W\d_a-z][^\W\d_]{1,30}){0,2})"
_TWO_NAMES = r"(?-i:[^\W\d_a-z][^\W\d_]{1,30} [^\W\d_a-z][^\W\d_]{1,30})"
_OWN_LINE = r"(?=[ \t]{0,3}[,.;]?[ \t]{0,3}(?:\n|$))"
_DEAR = ("dear", "hallo", "bonjour", "estimado", "estimada")
_NOW_AT = ("this is", "on ", "now in", "now at", "das ist", "c’est", "c'est", "este es el", "यह")
_IT_IS = ("it is", "it's", "it’s", "il est", "es ist", "son las", "sono le", "são", "jest godzina")
_CASELESS = rf"[{INDIC}\u0590-\u06ff\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
_CURRENCY = r"(?:[$€£₹¥]|rs\.?|inr|usd|eur|रु\.?)"
_DEGREES = r"-?\d{1,3}\.\d{3,8}"
_DEGREE_SIGN = r"[-−]?\d{1,3}(?:[.,]\d{1,2})? ?°(?: ?[cf]\b)?"
_READING = (
    rf"(?:{_DEGREE_SIGN}|{_CURRENCY} ?\d[\d.,]{{0,14}}\d|\d[\d.,]{{0,14}} ?{_CURRENCY}(?!\w)"
    r"|\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?|\d{4,9}(?:[.,]\d{1,2})?|\d{1,9}[.,]\d{2})(?!\w)"
)


DIGITS = r"\d(?<![\d.]\d)(?<!\d[/:-]\d)\d{0,3}(?:[-/:] ?\d|\. ?\d{1,2}\.| ?[年년]|(?:st|nd|rd|th|er|º|\.)?,? [^\W\d])"
"""What the first digits of a moment look like. It begins with a digit, which is searched for fast."""


_WEEKDAYS, _MONTHS = "mon|tue|wed|thu|fri|sat|sun", "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_IN_LOWER = (
    PatternSource(
        True,
        r"(?P<identifier>[0-9a-f](?<![\w-][0-9a-f])"
        r"(?:[0-9a-f]{7}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{23,63}|[0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}))"
        r"(?![\w-])",
    ),
    PatternSource(True, r"(?P<identifier>0(?<![\w-]0)[0-7][0-9a-hjkmnp-tv-z]{24})(?![\w-])"),
    PatternSource(
        True,
        rf"(?P<timestamp>(?:{_WEEKDAYS}) (?:{_MONTHS}) [ \d]\d "
        rf"\d{{2}}:\d{{2}}:\d{{2}}(?: [a-z]{{3,5}}| [+-]\d{{4}})? \d{{4}})",
    ),
    PatternSource(
        True, r"(?P<timestamp>20(?<![\w-]20)\d{2}[01]\d[0-3]\dt[0-2]\d[0-5]\d(?:[0-5]\d)?(?:[.,]\d{1,9})?z?)(?![\w-])"
    ),
)
_BRACED_WORDS = (
    "NAME|DATE|TIME|DAY|ID|E?-?MAIL|NUMBER|ADDRESS|PHONE|COMPANY|CUSTOMER|USER|CALLER|CLIENT|AGENT|CITY|COUNTRY"
)
_AS_TYPED = (
    PatternSource(True, r"(?P<identifier>eyJ(?<![\w-]eyJ)[\w-]{8,600}\.eyJ[\w-]{8,2000}(?:\.[\w-]{8,600})?)(?![\w-])"),
    PatternSource(True, r"(?P<placeholder>\$\{[A-Za-z_][\w.]{0,60}\})"),
    PatternSource(True, r"(?P<placeholder><<[A-Za-z_]\w{0,60}>>)"),
    PatternSource(True, r"(?P<placeholder>\{%[^%{}\n]{1,80}%\})"),
    PatternSource(
        True,
        r"(?P<placeholder><(?i:user|customer|caller|client|company|agent|session|current|today)[_ -]"
        r"(?i:name|id|date|time|number|email)>)",
    ),
    PatternSource(False, r"(?P<placeholder>\{(?<![{\w$]\{)[A-Za-z_]\w{1,40}\})(?![}\w])"),
    PatternSource(
        False,
        r"(?P<placeholder>\[(?:[A-Z]{2,20}[ _'’-]){0,4}"
        rf"(?:{_BRACED_WORDS}|PRODUCT|ORDER|AMOUNT|PRICE|LANGUAGE|CONTEXT|QUESTION|HISTORY|INPUT|TEXT|HERE)\])(?!\()",
    ),
    PatternSource(False, r"(?P<placeholder>X{4,64}(?<![\wX]X{4}))(?![\w-])"),
)
NOT_AN_ID = r"(?:(?:sha-?\d{0,3}|md5|commit|digest|checksum|etag|hash|revision)[: =\"(]{1,3}|://[^\s\"'<>]{0,160})$"
"""Text before a hash or a link, which do not vary."""
EXAMPLE_SEPARATORS = " \t:：,、\"“'(`"
"""Characters between words like “for example” and a value."""
_NOT_ONE = (
    r"(?:(?<!\w)(?:effective(?: from| since)?|since|founded(?: in| on)?|established|born(?: on)?"
    r"|valid (?:from|until|through)|until|before|after|version|build|e\.g\.,?|for example,?|for instance,?"
    r"|examples?|leave at|look like"
    r"|such as|like|format|copyright|within|timeout|duration|lasts?|z\. ?b\.|zum beispiel,?|beispiel|par exemple,?"
    r"|exemple|por ejemplo,?|ejemplo|por exemplo,?|например,?|seit|depuis|desde|с)"
    r"|जैसे|उदाहरण|مثل|مثال|例如|比如|例|たとえば、?"
)
_EVENT = (
    r"(?<!\w)(?:(?<!generated )(?<!created )(?<!updated )(?<!rendered )on|by|until|ends?|starts?|begins?|due|deadline"
    r"|scheduled|event|sale|offer|closes?|opens?|expires?|appointment|slot|endet|beginnt|am|le|el|il|em|w dniu)"
    r"(?: at| the)?[ :]{1,2}$"
)
"""Words in front of a date and time that make it the time of an event."""


class _Builder:
    """Builds the patterns from the words of all languages, or from those in ASCII."""

    def __init__(self, *, ascii_only: bool) -> None:
        self._ascii_only = ascii_only

    def _words(self, kind: str) -> tuple[str, ...]:
        # A tree of no words would match everywhere.
        return words(kind, ascii_only=self._ascii_only) or ("\0",)

    def patterns(self) -> Patterns:
        return Patterns(self._announced(), self._by_digit(), _IN_LOWER, _AS_TYPED, *self._around())

    def _says(self) -> str:
        """Text allowed between a word like “today” and the value: up to four words like “is”, a colon."""
        link, glued = any_of(self._words("link")), any_of(self._words("link_glued"))
        end = rf"(?![\w{INDIC}])"
        return (
            rf"(?:[ \t,，،:：(]{{0,3}}(?:{link}{end}|{glued})){{0,4}}"
            r"(?:[ \t]{0,3}[:=：,，،–—|-]|[\"']:)?[ \t]{0,3}[\"“(\[]?"
        )

    def _announced(self) -> tuple[PatternSource, ...]:
        moment = moment_patterns(ascii_only=self._ascii_only)
        now, weak, turns = self._words("now"), self._words("moment"), self._words("counter")
        first = rf"{moment.month_first}|{moment.full}"
        present = (
            rf"{self._says()}(?:"
            rf"(?P<timestamp>(?:{moment.day},? )?(?:{first}){moment.at_time}|{moment.stamp}|{moment.unix})"
            rf"|(?P<date>{moment.date})|(?P<time>{moment.time}))"
        )
        return (
            PatternSource(
                True,
                rf"(?<![^\W\d_\u0e00-\u9fff])(?:{any_of(now)}|(?P<weak>{any_of(weak)}))(?: now| today)?{present}",
                (*now, *weak),
            ),
            PatternSource(
                True,
                rf"(?<!\w){any_of(_IT_IS)}(?: now)? (?P<time>{moment.time})"
                r"(?! (?:when|that|quand|que|cuando|wenn|dass))",
                _IT_IS,
            ),
            PatternSource(
                True, rf"(?<![^\W_]){any_of(_SUBJECTS)}[ _-]?{_ID_WORD}[\"']?{_SEP}(?P<identifier>{_ID})", _SUBJECTS
            ),
            PatternSource(True, rf"{any_of(_IDS)}(?: है| هو|是|は)?{_SEP}(?P<identifier>{_ID}|\d{{4,20}})", _IDS),
            PatternSource(
                True,
                rf"(?<![\w-])(?P<identifier>{any_of(_MARKED)}[_-](?=[a-z_-]{{0,40}}\d)[a-z0-9_-]{{4,60}})(?![\w-])",
                _MARKED,
            ),
            PatternSource(
                True,
                rf"(?<!\w)(?:random )?(?:seed|nonce|csrf token)(?: value)?{_SEP}(?P<identifier>\d{{4,20}}|{_ID})"
                r"(?=[ \t]?[\n,.;)\"'\]}]|$)",
                ("random seed", "seed", "nonce", "csrf token"),
            ),
            PatternSource(
                True,
                rf"(?<!\w)(?P<counter>{any_of(turns)} ?(?:number|no\.?|nr\.?|#|№|n[º°])"
                r"[ :]{0,2}\d{1,9})(?!\w| of )",
                turns,
            ),
            PatternSource(True, rf"(?<!\w){any_of(_NOW_AT)} ?(?P<counter>{any_of(turns)} \d{{1,9}})(?!\w)", _NOW_AT),
            PatternSource(True, r"(?P<counter>第 ?\d{1,9} ?(?:轮|輪|条消息|回目?|次|ターン|通目))", ("第",)),
            *self._persons(),
            *self._readings(now),
            PatternSource(
                True,
                rf"(?<!\w)(?:lat(?:itude)?|location|coordinates|gps|is at|located at)\b"
                rf"[ :=(]{{0,3}}(?:lat[ :=]{{0,2}})?"
                rf"(?P<location>{_DEGREES}(?: ?°)?(?: ?[ns])?[ ,;/]{{1,3}}(?:lo?ng?(?:itude)?[ :=]{{0,3}})?{_DEGREES})",
                ("lat", "latitude", "location", "coordinates", "gps", "is at", "located at"),
            ),
            PatternSource(
                True,
                rf"(?<!\w)(?P<timestamp>{moment.month_first}{moment.at_time})",
                months(ascii_only=self._ascii_only),
            ),
            PatternSource(False, rf"(?<!\w)(?P<date>{moment.month_first})", months(ascii_only=self._ascii_only)),
            PatternSource(False, rf"(?P<date>{moment.chinese})", ("一九", "二〇", "二零", "令和", "民国", "民國")),
        )

    def _persons(self) -> tuple[PatternSource, ...]:
        deny = rf"(?!{any_of(self._words('not_name'))})"
        who, cased, caseless = any_of(self._words("who")), self._words("person_cased"), self._words("person")
        copula, not_name = any_of(self._words("copula_before")), any_of(self._words("not_name"))
        behind = any_of(self._words("copula_after"))
        name = rf"(?!{_CASELESS}{{0,40}} ?{not_name}){_CASELESS}{{2,30}}(?: (?!{not_name}){_CASELESS}{{2,30}}){{0,3}}?"
        stop = rf"(?=[ \t]{{0,3}}(?:[\n.,;।。，；、،()]|$)| ?{behind}(?!{_CASELESS}))"
        return (
            PatternSource(
                True,
                rf"(?<!\w){who}(?:['’]s)?(?: full)? name(?: is|:| =|=) ?[\"“]?(?P<person>{_NAME})",
                self._words("who"),
            ),
            PatternSource(
                True, rf"(?<!\w){who} ?[:：] ?[\"“]?{deny}(?P<person>{_TWO_NAMES}){_OWN_LINE}", self._words("who")
            ),
            PatternSource(
                True, rf"(?<!\w){who} is {deny}(?P<person>{_TWO_NAMES})(?=[,.]|$|\n| and | who )", self._words("who")
            ),
            PatternSource(False, rf"(?<!\w){who}: ?[\"“]?(?P<person>{_NAME}){_OWN_LINE}", self._words("who")),
            PatternSource(
                True,
                rf"(?<!\w)you are (?:now )?(?:speaking|talking|chatting) (?:to|with) (?P<person>{_NAME})",
                ("you are", *self._words("speaking_with")),
            ),
            PatternSource(
                True,
                rf"(?<!\w){any_of(self._words('speaking_with'))} (?P<person>{_TWO_NAMES})",
                self._words("speaking_with"),
            ),
            PatternSource(False, rf"{who} ?[:：] ?(?P<person>{name}){stop}", self._words("who")),
            PatternSource(False, rf"(?<!\w)name: ?[\"“]?{deny}(?P<person>{_TWO_NAMES}){_OWN_LINE}", ("name",)),
            PatternSource(True, rf"(?<!\w){who}: ?(?P<contact>[\w.+-]{{1,64}}@[\w.-]{{1,120}}\w)", self._words("who")),
            PatternSource(
                False,
                r"(?<!\w)(?:phone|mobile|tel|e-?mail): ?(?P<contact>\+\d[\d ()-]{6,18}\d)",
                ("phone", "mobile", "tel"),
            ),
            PatternSource(False, rf"(?<!\w)you are helping (?P<person>{_TWO_NAMES})", ("you are helping",)),
            PatternSource(
                True,
                rf"(?<!\w){any_of(cased)}(?: {copula}(?!\w))?[ \t]{{0,2}}[:：]?[ \t]{{0,2}}{deny}(?P<person>{_NAME})",
                cased,
            ),
            PatternSource(
                True, rf"{any_of(caseless)}[ \t]{{0,2}}[:：=–-][ \t]{{0,2}}(?P<person>{name}){stop}", caseless
            ),
            PatternSource(
                True,
                rf"{any_of(caseless)}(?: है| هو|是|叫|は)?[ \t]{{0,2}}(?P<person>{name})(?= ?{behind}(?!{_CASELESS}))",
                caseless,
            ),
            PatternSource(
                True,
                r"(?:客户|客戶|来电者|用户|お客様)(?:(?:的|の)?(?:姓名|名字|お?名前)(?:是|叫|は)|叫) ?"
                r"(?P<person>[\u4e00-\u9fff]{2,4}?)(?=[\s，。,;；、]|です|$)",
                ("客户", "客戶", "来电者", "用户", "お客様"),
            ),
            PatternSource(
                True,
                r"(?:اسم العميل|اسم المتصل) هو (?P<person>[\u0621-\u064a]{2,30}(?: [\u0621-\u064a]{2,30}){0,2})",
                ("اسم",),
            ),
            PatternSource(
                False,
                rf"(?<![^\n]){any_of(_DEAR)} (?!(?:customer|sir|madam|team|guest|all|user|valued)\b)"
                rf"(?P<person>{_NAME})(?=,[ \t]{{0,3}}(?:\n|$))",
                _DEAR,
            ),
            PatternSource(
                True,
                rf"(?<!\w){who}(?:['’]s)? (?:e-?mail|phone|mobile|telephone|number)"
                r"(?: address| number)?(?: is|:| =|=) ?"
                r"(?P<contact>[\w.+-]{1,64}@[\w.-]{1,120}\w|\+?\d[\d ()-]{6,18}\d)",
                self._words("who"),
            ),
        )

    def _readings(self, now: tuple[str, ...]) -> tuple[PatternSource, ...]:
        """Weather, balances and the like, next to a word that says “now”."""
        noun, present = (
            any_of(self._words("reading")),
            any_of((*now, "aktuelle", "aktueller", "actuelle", "actuel", "actual")),
        )
        gap = r"[^\d\n.!?;:。।]{0,16}?[:：]?[^\d\n.!?;:。।$€£₹¥-]{0,12}?"
        tied = rf"{self._says()}"
        return (
            PatternSource(
                True,
                rf"(?<!\w){present}(?:[ :：,])[^\d\n.!?;]{{0,12}}?{noun}{gap}(?P<reading>{_READING})",
                (*now, "aktuelle"),
            ),
            PatternSource(True, rf"(?<!\w){present}{tied}(?P<reading>{_DEGREE_SIGN})", now),
            PatternSource(
                True,
                rf"(?<!\w){noun}[^\d\n.!?;]{{0,12}}?{present}{tied}(?P<reading>{_READING})",
                self._words("reading"),
            ),
        )

    def _by_digit(self) -> tuple[PatternSource, ...]:
        moment = moment_patterns(ascii_only=self._ascii_only)
        return (
            PatternSource(True, rf"(?P<timestamp>{moment.full}{moment.at_time})"),
            PatternSource(False, rf"(?P<date>{moment.full})"),
            PatternSource(True, r"(?P<time>\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?)(?![\d:])"),
            PatternSource(
                True,
                rf"(?P<time>{moment.time})"
                rf"(?= (?:right now|at the moment|ahora mismo|en ce moment|gerade|jetzt)(?!\w))",
            ),
        )

    def _around(self) -> tuple[re.Pattern[str], ...]:
        """Return what makes a condition (in front, behind), an example, or a date of history."""
        example = rf"{_NOT_ONE}|{any_of(self._words('example_before'))})[{EXAMPLE_SEPARATORS}]{{0,3}}$"
        before = rf"(?:(?<!\w){any_of(self._words('if_before'))})[ \t]{{0,3}}$"
        after = rf"[^\n.!?।。]{{0,12}}?(?<!\w)?{any_of(self._words('if_after'))}(?!\w)"
        return (
            re.compile(before, re.IGNORECASE),
            re.compile(after, re.IGNORECASE),
            re.compile(example, re.IGNORECASE),
            # Both are searched in lower case: `re` looks for the first letters fast only if letters have one case.
            re.compile(any_of(word.lower() for word in self._words("lasting"))),
            re.compile(r"[ebउ](?:(?<=\be)(?:xamples?\b|xemple|jemplo|xemplo|sempio)|(?<=\bb)eispiel|(?<=उ)दाहरण)"),
            re.compile(_EVENT, re.IGNORECASE),
        )


@cache
def patterns(*, ascii_only: bool = False) -> Patterns:
    """Return the patterns; built once. `ascii_only`: those that can match in ASCII text, which compile much faster."""
    return _Builder(ascii_only=ascii_only).patterns()
