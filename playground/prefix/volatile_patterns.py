"""How volatile values are written, in several languages and digits. Each pattern's group `v` is the value itself.

Cues come first and values are bounded, so that no pattern looks back over what it has read: linear time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playground.prefix.volatile import VolatileKind

_MONTH = (
    r"(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|février|mar(?:ch|s)?|märz|apr(?:il)?|avril|may|mai|mayo"
    r"|june?|juni|juin|junio|july?|juli|juillet|julio|aug(?:ust)?|août|agosto|sep(?:t(?:ember|embre)?)?|septiembre"
    r"|o[ck]t(?:ober|obre|ubre)?|nov(?:ember|embre|iembre)?"
    r"|de[cz](?:ember|embre)?|décembre|diciembre|enero|febrero|marzo|abril"
    r"|जनवरी|फ़रवरी|फरवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|सितम्बर|अक्टूबर|नवंबर|नवम्बर|दिसंबर|दिसम्बर"
    r"|يناير|فبراير|مارس|أبريل|مايو|يونيو|يوليو|أغسطس|سبتمبر|أكتوبر|نوفمبر|ديسمبر)"
)
_DAY = (
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag"
    r"|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|domingo"
    r"|सोमवार|मंगलवार|बुधवार|गुरुवार|शुक्रवार|शनिवार|रविवार"
    r"|الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت|الأحد|(?:星期|周)[一二三四五六日天]|[月火水木金土日]曜日?)"
)
_DATE = (
    r"(?:(?<![\d.])\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?![\d.]\d|\d)|(?<![\d.])\d{1,2}[-/.]\d{1,2}[-/.]\d{4}(?!\d)"
    r"|\d{4} ?年 ?\d{1,2} ?月(?: ?\d{1,2} ?[日号])?"
    rf"|(?<!\w)\d{{1,2}}(?:st|nd|rd|th|\.)?(?: (?:of|de))? {_MONTH}\.?(?:,? (?:de )?\d{{4}})(?!\w)"
    rf"|(?<!\w){_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}(?!\w))"
)
_LOOSE_DATE = (
    rf"(?:{_DATE}|(?<!\w){_DAY}(?:,? (?:the )?{_DATE})?(?!\w)"
    rf"|(?<!\w)\d{{1,2}}(?:st|nd|rd|th|\.)? {_MONTH}(?!\w)|(?<!\w){_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\w))"
)
_TIME = (
    r"(?:(?<![\d:.])\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?! ?(?:-|–|to|until|bis|à) ?\d)(?: ?[ap]\.?m\b)?"
    r"(?: ?(?:Z\b|[+-]\d{2}:?\d{2}|UTC|GMT|IST|CET|EST|PST))?|(?<!\d)\d{1,2}[点时時]\d{1,2}分?)"
)
_SEP = r"[ \t]{0,3}[:=]?[ \t]{0,3}"
_NOW = (
    r"(?<!\w)(?:today(?:['’]s date)?|current(?:ly)?(?: local)?(?: date(?:[ /]?(?:and )?time)?| time)?"
    r"|(?:the )?(?:date|time|day)(?: (?:today|now))?"
    r"|now|as of|right now|generated (?:on|at)|timestamp|last updated"
    r"|heure(?: actuelle)?|ora(?: attuale)?|ahora|heute|aktuelles datum|datum|uhrzeit"
    r"|aujourd['’]hui|date du jour|hoy|fecha(?: actual| de hoy)?|hora(?: actual)?"
    r"|आज(?: की तारीख)?|तारीख|समय|اليوم|التاريخ|الوقت|今天|今日|当前(?:日期|时间)?|現在(?:時刻)?)"
)
_IS = (
    r"(?:[ \t]{1,3}(?:is|it is|it's|it’s|ist|est|es|on|at|है|هو)(?: the)?"
    r"|[ \t]{0,3}[:=是は]|[ \t]{0,3})[ \t]{0,3}[\"“(\[]?"
)
_ID = r"(?:[A-Za-z0-9][A-Za-z0-9_-]{3,79})"
_WHO = r"(?:caller|customer|client|user|patient|guest|member|account holder|contact)"
_NAME = r"[^\W\d_a-z][^\W\d_]{1,30}(?: [^\W\d_a-z][^\W\d_]{1,30}){0,2}"
_NAME_PAIR = r"[^\W\d_a-z][^\W\d_]{1,30} [^\W\d_a-z][^\W\d_]{1,30}"

SOURCES: tuple[tuple[VolatileKind, bool, str], ...] = (
    ("identifier", True, r"(?<![\w-])(?P<v>[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?![\w-])"),
    ("identifier", True, r"(?<![\w-])(?P<v>(?=[a-f]{0,63}\d)(?=\d{0,63}[a-f])[0-9a-f]{24,64})(?![\w-])"),
    ("identifier", True, r"(?<![\w-])(?P<v>0[0-7][0-9a-hjkmnp-tv-z]{24})(?![\w-])"),
    (
        "identifier",
        True,
        r"(?<![\w-])(?P<v>(?:req|request|sess|session|usr|user|cus|cust|conv|conversation|call|msg|order|ord|txn"
        r"|trace|run|acct|chat)"
        r"[_-](?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{4,60})(?![\w-])",
    ),
    (
        "identifier",
        True,
        r"(?<!\w)(?:session|request|call|conversation|trace|order|account|customer|user|ticket|booking|transaction)"
        rf"[ _-]?(?:id|identifier|number|no\.?|#){_SEP}(?P<v>(?=[A-Za-z_-]{{0,40}}\d){_ID})(?![\w-])",
    ),
    ("timestamp", True, rf"{_DATE.join((r'(?P<v>', ''))}(?:[T ]|, | at ){_TIME})"),
    (
        "timestamp",
        True,
        r"(?<!\w)(?:timestamp|unix time|epoch|generated at|time|ts)[\"']?"
        + _SEP
        + r"[\"']?(?P<v>1[4-9]\d{8}(?:\d{3})?)(?!\d)",
    ),
    ("date", True, rf"{_NOW}{_IS}(?P<v>{_LOOSE_DATE})"),
    ("time", True, rf"{_NOW}{_IS}(?P<v>{_TIME})"),
    ("time", True, r"(?<![\d:.])(?P<v>\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?)(?![\d:])"),
    (
        "counter",
        True,
        r"(?<!\w)(?P<v>(?:turn|message|session|conversation|request|attempt)[ ]?(?:number|no\.?|#|№)[ ]?\d{1,9})(?!\w)",
    ),
    (
        "counter",
        True,
        r"(?<!\w)(?:this is |on |now in )(?P<v>(?:turn|message|session|conversation|request|attempt) \d{1,9})(?!\w)",
    ),
    ("placeholder", True, r"(?P<v>\$\{[A-Za-z_][\w.]{0,60}\}|<<[A-Za-z_]\w{0,60}>>|\{%[^%{}]{1,80}%\})"),
    (
        "placeholder",
        True,
        r"(?P<v><(?:user|customer|caller|client|company|agent|session|current|today)[_ -]"
        r"(?:name|id|date|time|number|email)>)",
    ),
    ("placeholder", False, r"(?<![{\w$])(?P<v>\{[a-z_]\w{1,40}\})(?![}\w])"),
    ("placeholder", False, r"(?P<v>\[(?:[A-Z]{2,20}[ _]?){1,4}\])(?!\()"),
    ("person", True, rf"(?<!\w)(?:the )?{_WHO}(?:['’]s)?(?: (?:full )?name)(?: is|:| =|=) ?[\"“]?(?-i:(?P<v>{_NAME}))"),
    ("person", True, rf"(?<!\w){_WHO}: ?[\"“]?(?-i:(?P<v>{_NAME_PAIR}))(?=[ \t]*[,.;]?[ \t]*(?:\n|$))"),
    ("person", False, rf"(?<!\w){_WHO}: ?[\"“]?(?-i:(?P<v>{_NAME}))(?=[ \t]*(?:\n|$))"),
    ("person", True, r"(?<!\w)you are (?:now )?(?:speaking|talking|chatting) (?:to|with) (?-i:(?P<v>" + _NAME + r"))"),
    (
        "person",
        True,
        rf"(?<!\w){_WHO}(?:['’]s)? (?:e-?mail|phone|mobile|number)(?: address| number)?(?: is|:| =|=) ?"
        r"(?P<v>[\w.+-]{1,64}@[\w.-]{1,120}\w|\+?\d[\d ()-]{6,18}\d)",
    ),
    ("date", False, rf"(?P<v>{_DATE})"),
)
"""(kind, sure, pattern), the more telling first."""

NOT_ONE = (
    r"(?:effective(?: from| since)?|since|founded(?: in| on)?|established|born(?: on)?|valid (?:from|until|through)"
    r"|until|before|after|version|e\.g\.,?|for example,?|example:?|such as|like|format:?|z\. ?b\.|par exemple"
    r"|por ejemplo|जैसे|مثل|例如|比如|seit|depuis|desde)[ \t\"“'(`]{0,3}$"
)
"""Words right before a value which say that it stays what it is, or is an example."""
