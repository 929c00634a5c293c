"""How volatile values are written. A pattern's named group is the value, and the group's name is the value's kind.

There are three ways to find one, so that a long prompt is read only a few times: by the word that announces it, by
its first digit, by a sign of its own. Every repetition is bounded: linear time, whatever is typed.
"""

from __future__ import annotations

from typing import NamedTuple

from playground.prefix_cache.volatile_words import (
    DAYS,
    IDS,
    IS,
    MARKED,
    MOMENT,
    MONTHS,
    NAMED,
    NOW,
    SPEAKING,
    SUBJECTS,
    TURNS,
    WHO,
    any_of,
)


class Source(NamedTuple):
    """`sure` where the words say that the value varies. `words`: what it may begin with, in lower case."""

    sure: bool
    pattern: str
    words: tuple[str, ...] = ()


_MONTH, _DAY = any_of(MONTHS), rf"(?:{any_of(DAYS)}|(?:星期|周)[一二三四五六日天]|[月火水木金土日]曜日?)"
_ALONE = r"(?!\d|[-/.:]\d)"
_TH = r"(?:st|nd|rd|th|er|º|\.)?"
_NUMERIC = (
    rf"\d{{4}}(?:-\d{{1,2}}-|/\d{{1,2}}/|\.\d{{1,2}}\.)\d{{1,2}}{_ALONE}"
    rf"|\d{{1,2}}(?:-\d{{1,2}}-|/\d{{1,2}}/|\. ?\d{{1,2}}\. ?)\d{{4}}{_ALONE}"
    r"|\d{4} ?[年년] ?\d{1,2} ?[月월](?: ?\d{1,2} ?[日号號일])?"
)
_DAY_FIRST = rf"\d{{1,2}}{_TH}(?: of| de)? {_MONTH}"
_FULL = rf"(?:{_NUMERIC}|{_DAY_FIRST}\.?,? (?:de |del )?\d{{4}}(?!\w))"
_MONTH_FIRST = rf"{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}(?!\d)"
_CHINESE = (
    r"(?:[〇零一二三四五六七八九]{4}年[一二三四五六七八九十]{1,3}月(?:[一二三四五六七八九十]{1,3}[日号])?"
    r"|(?:令和|民国|民國)(?:\d{1,3}|元)年 ?\d{1,2} ?月(?: ?\d{1,2} ?日)?)"
)
_WRITTEN = (
    rf"(?:{_NUMERIC}|{_DAY_FIRST}(?:\.?,? (?:de |del )?\d{{4}})?(?!\w)"
    rf"|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?(?!\w)|{_CHINESE}"
    rf"|\d{{1,2}} ?[月월] ?\d{{1,2}} ?[日号號일]|\d{{1,2}}(?:-\d{{1,2}}-|/\d{{1,2}}/|\.\d{{1,2}}\.)\d{{2}}{_ALONE})"
)
_ANY_DATE = rf"(?:(?:{_DAY}(?![^\W_]),? (?:the |den |le |el )?)?{_WRITTEN}|{_DAY}(?![^\W_]))"
_ZONE = r"(?: ?(?:z|[+-]\d{2}:?\d{2}|utc|gmt|ist|cet|cest|est|edt|pst|pdt|jst|uhr)\b)?"
_TO = r"(?! ?(?:-|–|—|to|until|bis|à|a|से|إلى|至|到|から|〜|~) ?\d)"
_TIME = (
    rf"(?:\d{{1,2}}:\d{{2}}(?!\d)(?::\d{{2}}(?:[.,]\d{{1,9}})?)?{_TO}(?: ?[ap]\.?m\b)?{_ZONE}|\d{{1,2}} ?[ap]\.?m\b"
    r"|\d{1,2} ?[点點時时시] ?(?:\d{1,2} ?[分분]|半)?|\d{1,2} ?h ?\d{2}(?!\w))"
)
_AT_TIME = rf"(?:[t ]|, ?| at | um | à | a las | को |(?<=[日号일])){_TIME}"
_MOMENT_OF = rf"(?:{_FULL}|{_MONTH_FIRST}){_AT_TIME}"
_UNIX = r"1[4-9]\d{8}(?:\d{3}|\d{6}|\d{9}|\.\d{1,6})?(?!\d)"
_SEP = r"[ \t]{0,3}[:=：＝]?[ \t]{0,3}[\"“'(\[]?"
_SAYS = rf"(?:[ \t]{{1,3}}(?:{any_of(IS)})(?!\w)|[ \t]{{0,3}}[:=：は是는은]|[\"']:)?[ \t]{{0,3}}[\"“(\[]?"
_PRESENT = rf"{_SAYS}(?:(?P<timestamp>{_MOMENT_OF}|{_UNIX})|(?P<date>{_ANY_DATE})|(?P<time>{_TIME}))"
_ID = r"(?=[a-z_-]{0,40}\d)[a-z0-9][a-z0-9_-]{3,79}(?![\w-])"
_ID_WORD = r"(?:ids?|identifier|number|no\.?|#|nummer|kennung)"
_NAME = r"(?-i:[^\W\d_a-z][^\W\d_]{1,30}(?: [^\W\d_a-z][^\W\d_]{1,30}){0,2})"
_TWO_NAMES = r"(?-i:[^\W\d_a-z][^\W\d_]{1,30} [^\W\d_a-z][^\W\d_]{1,30})"
_OWN_LINE = r"(?=[ \t]{0,3}[,.;]?[ \t]{0,3}(?:\n|$))"
_WHOSE = any_of(WHO)
_CHINESE_WHO = ("客户", "客戶", "来电者", "用户", "お客様")
_HINDI_WHO = ("ग्राहक का नाम", "कॉलर का नाम", "उपयोगकर्ता का नाम")
_ARABIC_WHO = ("اسم العميل", "اسم المتصل", "اسم المستخدم")
_DEAR = ("dear", "hallo", "bonjour", "estimado", "estimada")
_NOW_AT = ("this is", "on ", "now in", "now at", "das ist", "c’est", "c'est", "este es el", "यह")

ANNOUNCED: tuple[Source, ...] = (
    Source(
        True,
        rf"(?<![^\W\d_])(?:{any_of(NOW)}|(?P<weak>{any_of(MOMENT)}))(?: now| today)?{_PRESENT}",
        (*NOW, *MOMENT),
    ),
    Source(True, rf"(?<![^\W_]){any_of(SUBJECTS)}[ _-]?{_ID_WORD}[\"']?{_SEP}(?P<identifier>{_ID})", SUBJECTS),
    Source(True, rf"{any_of(IDS)}(?: है| هو|是|は)?{_SEP}(?P<identifier>{_ID}|\d{{4,20}})", IDS),
    Source(
        True,
        rf"(?<![\w-])(?P<identifier>{any_of(MARKED)}[_-](?=[a-z_-]{{0,40}}\d)[a-z0-9_-]{{4,60}})(?![\w-])",
        MARKED,
    ),
    Source(True, rf"(?<!\w)(?P<counter>{any_of(TURNS)} ?(?:number|no\.?|nr\.?|#|№|n[º°]) ?\d{{1,9}})(?!\w)", TURNS),
    Source(True, rf"(?<!\w){any_of(_NOW_AT)} ?(?P<counter>{any_of(TURNS)} \d{{1,9}})(?!\w)", _NOW_AT),
    Source(True, r"(?P<counter>第 ?\d{1,9} ?(?:轮|輪|条消息|回目?|次|ターン|通目))", ("第",)),
    Source(True, rf"(?<!\w){_WHOSE}(?:['’]s)?(?: full)? name(?: is|:| =|=) ?[\"“]?(?P<person>{_NAME})", WHO),
    Source(True, rf"(?<!\w){_WHOSE}: ?[\"“]?(?P<person>{_TWO_NAMES}){_OWN_LINE}", WHO),
    Source(False, rf"(?<!\w){_WHOSE}: ?[\"“]?(?P<person>{_NAME}){_OWN_LINE}", WHO),
    Source(True, rf"(?<!\w){any_of(SPEAKING)} (?:to|with) (?P<person>{_NAME})", SPEAKING),
    Source(True, rf"(?<!\w){any_of(NAMED)}(?: ist| est| es|:| é| è)? ?(?P<person>{_NAME})", NAMED),
    Source(
        True,
        rf"{any_of(_CHINESE_WHO)}(?:(?:的|の)?(?:姓名|名字|お?名前)(?:[:：]|是|叫|は)|叫) ?"
        r"(?P<person>[\u4e00-\u9fff]{2,4}?)(?=[\s，。,;；、]|です|$)",
        _CHINESE_WHO,
    ),
    Source(
        True,
        rf"{any_of(_HINDI_WHO)}:? (?P<person>[\u0904-\u0963]{{2,30}}(?: [\u0904-\u0963]{{2,30}})?)(?= है|\n|।|$)",
        _HINDI_WHO,
    ),
    Source(
        True,
        rf"{any_of(_ARABIC_WHO)}(?: هو|:) ?(?P<person>[\u0621-\u064a]{{2,30}}(?: [\u0621-\u064a]{{2,30}}){{0,2}})",
        _ARABIC_WHO,
    ),
    Source(
        False,
        rf"(?<![^\n]){any_of(_DEAR)} (?!(?:customer|sir|madam|team|guest|all|user|valued)\b)"
        rf"(?P<person>{_NAME})(?=,[ \t]{{0,3}}(?:\n|$))",
        _DEAR,
    ),
    Source(
        True,
        rf"(?<!\w){_WHOSE}(?:['’]s)? (?:e-?mail|phone|mobile|telephone|number)(?: address| number)?(?: is|:| =|=) ?"
        r"(?P<contact>[\w.+-]{1,64}@[\w.-]{1,120}\w|\+?\d[\d ()-]{6,18}\d)",
        WHO,
    ),
    Source(True, rf"(?<!\w)(?P<timestamp>{_MONTH_FIRST}{_AT_TIME})", MONTHS),
    Source(False, rf"(?<!\w)(?P<date>{_MONTH_FIRST})", MONTHS),
    Source(False, rf"(?P<date>{_CHINESE})", ("一九", "二〇", "二零", "令和", "民国", "民國")),
)
"""Tried only where one of their words begins. Where a group `weak` is found, the word before it decides."""

DIGITS = r"\d(?<![\d.]\d)(?<!\d[/:-]\d)\d{0,3}(?:[-/:] ?\d|\. ?\d{1,2}\.| ?[年년]|(?:st|nd|rd|th|er|º|\.)? [^\W\d])"
"""What the first digits of a moment look like. It begins with a digit, which is searched for fast."""
BY_DIGIT = (
    Source(True, rf"(?P<timestamp>{_FULL}{_AT_TIME})"),
    Source(False, rf"(?P<date>{_FULL})"),
    Source(True, r"(?P<time>\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?)(?![\d:])"),
)
"""Tried where DIGITS stand."""

IN_LOWER = (
    Source(
        True,
        r"(?P<identifier>[0-9a-f](?<![\w-][0-9a-f])"
        r"(?:[0-9a-f]{7}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{23,63}))(?![\w-])",
    ),
    Source(True, r"(?P<identifier>0(?<![\w-]0)[0-7][0-9a-hjkmnp-tv-z]{24})(?![\w-])"),
)
"""Looked for everywhere, in the text in lower case."""
AS_TYPED = (
    Source(True, r"(?P<placeholder>\$\{[A-Za-z_][\w.]{0,60}\})"),
    Source(True, r"(?P<placeholder><<[A-Za-z_]\w{0,60}>>)"),
    Source(True, r"(?P<placeholder>\{%[^%{}\n]{1,80}%\})"),
    Source(
        True,
        r"(?P<placeholder><(?i:user|customer|caller|client|company|agent|session|current|today)[_ -]"
        r"(?i:name|id|date|time|number|email)>)",
    ),
    Source(False, r"(?P<placeholder>\{(?<![{\w$]\{)[A-Za-z_]\w{1,40}\})(?![}\w])"),
    Source(
        False,
        r"(?P<placeholder>\[(?:[A-Z]{2,20}[ _'’-]){0,4}"
        r"(?:NAME|DATE|TIME|DAY|ID|E?-?MAIL|NUMBER|ADDRESS|PHONE|COMPANY|CUSTOMER|USER|CALLER|CLIENT|AGENT|CITY|COUNTRY"
        r"|PRODUCT|ORDER|AMOUNT|PRICE|LANGUAGE|CONTEXT|QUESTION|HISTORY|INPUT|TEXT|HERE)\])(?!\()",
    ),
    Source(False, r"(?P<placeholder>X{4,64}(?<![\wX]X{4}))(?![\w-])"),
)
"""Looked for everywhere, as it is typed."""

NOT_ONE = (
    r"(?:(?<!\w)(?:effective(?: from| since)?|since|founded(?: in| on)?|established|born(?: on)?"
    r"|valid (?:from|until|through)|until|before|after|version|build|e\.g\.,?|for example,?|for instance,?"
    r"|examples?"
    r"|such as|like|format|copyright|within|timeout|duration|lasts?|z\. ?b\.|zum beispiel,?|beispiel|par exemple,?"
    r"|exemple|por ejemplo,?|ejemplo|por exemplo,?|например,?|seit|depuis|desde|с)"
    r"|जैसे|उदाहरण|مثل|مثال|例如|比如|例|たとえば、?)[ \t:：\"“'(`]{0,3}$"
)
"""Words right before a value which say that it stays what it is, or is an example."""
NOT_AN_ID = r"(?:(?:sha-?\d{0,3}|md5|commit|digest|checksum|etag|hash|revision)[: =\"(]{1,3}|://[^\s\"'<>]{0,160})$"
"""What stands before a hash or a link, which are the same every time."""
IF = r"(?:\b(?:if|when|whenever|unless|once|wenn|falls|si|quand|cuando|se)|अगर|यदि|जब|إذا|如果|もし)[ \t]{0,3}$"
"""What makes of “today is Monday” a condition."""
