"""Secrets in texts of any origin: the one set of forms that settings, commands, addresses and notes have.

`secrets_in` yields values that are masked in all outputs, `spans_in` their positions; `masked_secrets` masks a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from playground.prompt.secret_names import (
    LEAST_CHARS,
    TABLES,
    has_first_word,
    is_generated,
    is_placeholder,
    is_secret,
    looks_random,
    may_be_secret,
    may_end_secret,
)
from playground.prompt.secret_values import (
    SCHEMES,
    SecretText,
    addresses_in,
    first_of,
    is_literal,
    is_source,
    is_strong,
    is_value,
    masked_address,
    masked_spans,
    of_field,
)

# --- settings: a name, a sign, a value

_CHARS = r"\w.\-\u0300-\u036f\u0591-\u065f\u0900-\u0eff"
_NAME = rf"(?P<name>[^\W\d][{_CHARS}]{{0,80}}+)"
_SETTING = re.compile(
    rf"(?<!\w)(?!secret:[0-9a-f]{{12}}-){_NAME}(?:\ ?\([^()\n]{{0,24}}\))?[\"'\]\\`*\0]{{0,4}}[ \t\xa0\u202f\0]{{0,8}}"
    r"(?:\??:\ [A-Za-z][\w.<>\[\]|]{0,30}\ ?(?==[^=]))?(?P<sign>=>|:=|[=＝](?!=)|[:：](?![:/]|\\(?!n)))[ \t\0]{0,8}"
)
"""`password = `, `"api_key": `, `$env:API_KEY=`, `'password' => `, `let key: string = `, `Password (prod): `"""
_QUOTED = re.compile(
    rf"(?<!\w){_NAME}(?:\ ?(?P<call>\()\s{{0,4}}|[\"']\s?,\s{{0,4}}|[ \t]{{1,8}})"
    r"(?=\\?(?P<quote>[\"'])(?P<value>(?:(?!(?P=quote))[^\\\n]){1,4096}))"
)
"""`setPassword("...")`, `define('DB_PASSWORD', '...')`, `IDENTIFIED BY '...'`, `#define PASSWORD "..."`"""
_ELEMENT = re.compile(
    rf"<(?:\w{{1,40}}:)?{_NAME}(?:\s[^<>]{{0,200}})?>(?:<!\[CDATA\[)?\s{{0,64}}(?P<value>[^<>\]\s][^<>\]]{{0,4096}})(?=\]\]>|</)"
)
"""`<password>...</password>`, also with a prefix, attributes or CDATA"""
_PAIR = re.compile(
    rf"\b(?:name|key|variable|param)(?:\\?[\"']|>|\s{{0,4}}[=:]?\s{{0,4}}\\?[\"']){_NAME}(?:\\?[\"']|</\w+>)"
    r"(?:[\s{,]{0,8}\b(?:value|default)\s{0,4}=\s{0,4}\\?[\"']|\s{0,64}<\w+>|[^<>\"']{0,40}>|(?:\r?\n|\\n){2})(?P<value>[^\"'<\n\\]{1,4096})"
)
"""`<add key="ApiKey" value="..."/>`, `<key>Password</key><string>...`, `name="password"` and an empty line"""
_ENTRY = re.compile(
    rf"\bname:[ \t]{{1,4}}(?:\\?[\"'])?{_NAME}(?:\\?[\"'])?[ \t]{{0,4}}(?:\r?\n|\\n)[ \t]{{0,24}}value:[ \t]{{1,4}}"
    r"(?:\\?[\"'])?(?P<value>[^\s\"'\\]{1,4096})"
)
"""`name: PGPASSWORD` and `value: ...` in the next line, as in a manifest of Kubernetes"""
_VALUE = re.compile(
    r"(?P<block>(?:[|>][+-]?)?[ \t]*(?:\r?\n|\\n)[ \t]+)?(?:\*\*|__)?[ \t「『“«„`]*"
    r"(?:\\?\"(?P<double>[^\"\\\n]{1,4096})|\\?'(?P<single>[^'\n]{0,4095}[^'\n\\])|\{(?!secret:)(?P<braces>[^{}\s]{1,4096})\}"
    r"|(?:(?i:bearer|basic|token|apikey)\s{1,4})?(?P<plain>[^\s;&\"',<>`」』”»“]{1,4096}))"
)
_AUTHORIZATION = re.compile(r"(?i)(?:authorization|authentication|cookie)$")
_WORD_GAP = re.compile(r"[ '’-]")
_BEFORE_CHARS = 48


def _full_name(text: str, found: re.Match[str], *, any_name: bool = False) -> str:
    """Return a name with up to three words in front, if it is of a secret: `mot de passe`, no `primary key`."""
    name = found["name"]
    if not (any_name or is_secret(name) or may_be_secret(name) or may_end_secret(name)):
        return ""
    start = found.start("name")
    for word in reversed(_WORD_GAP.split(text[max(0, start - _BEFORE_CHARS) : start])[-4:-1]):
        bare = word.lstrip("\"'([{*`")
        if not bare[:1].isalpha():
            break
        name = f"{bare} {name}"
        if bare != word:
            break
    return name if is_secret(name) or may_be_secret(name) else ""


def _of_settings(text: str, *, lenient: bool) -> Iterator[SecretText]:
    any_name = has_first_word(text)
    for found in _SETTING.finditer(text):
        name = _full_name(text, found, any_name=any_name)
        if not name:
            continue
        if (
            found["sign"] == ":"
            and _AUTHORIZATION.search(name)
            and text[found.end() : found.end() + 1] not in ("", '"', "'")
        ):
            line = first_of(text, "\n\r\"'`", found.end(), len(text))
            yield from _under_name(text, name, found.end(), line, is_value, lenient=lenient)
            continue
        value = _VALUE.match(text, found.end())
        if value is None or (value["braces"] and found["sign"] != "="):
            continue
        kind = value.lastgroup or "plain"
        accepts = is_strong if value["block"] else is_value
        yield from _under_name(text, name, *value.span(kind), accepts, lenient=lenient and not value["block"])


def _of_named_forms(text: str) -> Iterator[SecretText]:
    for form in (_QUOTED, _ELEMENT, _PAIR, _ENTRY):
        for found in form.finditer(text):
            if name := _full_name(text, found):
                accepts = is_strong if form is _QUOTED and not found["call"] else is_value
                yield from _under_name(text, name, *found.span("value"), accepts)


def _under_name(
    text: str, name: str, start: int, end: int, accepts: Callable[[str], bool], *, lenient: bool = False
) -> Iterator[SecretText]:
    """Yield the value under a name, without a scheme in front of it. `lenient`: also words."""
    end = start + len(text[start:end].rstrip("\0 \t"))
    value = text[start:end]
    if not is_literal(value):
        return
    scheme, space, key = value.partition(" ")
    if space and scheme.lower() in SCHEMES:
        start = end - len(key.lstrip())
    if lenient:
        values = [text[start:end]] if is_secret(name) or looks_random(value) else []
    else:
        values = [one for one in of_field(name, value) if accepts(one)]
    if values:
        yield SecretText(start, end, tuple(values))


# --- connection strings

_CONNECTION = re.compile(r"\s*[A-Za-z][\w ]{0,40}=[^;]*;")
_SERVER = re.compile(
    r"(?i)(?:^|;)\s*(?:server|(?:data ?)?source|host(?:name)?|database|initial catalog|uid|user ?(?:id|name)?|driver"
    r"|dsn|account ?name|(?:account|ingestion)?endpoint|defaultendpointsprotocol|provider|addr(?:ess)?|port|deviceid"
    r"|sharedaccesskeyname)\s*="
)
_PART = re.compile(r"(?:^|;)\s*([A-Za-z][\w ]{0,40}?)\s*=\s*(?:\{([^}]*)\}|\"([^\"]*)\"|'([^']*)'|([^;]+))")


def _of_connection(text: str) -> Iterator[SecretText]:
    """Yield the passwords of a connection string, also words."""
    if not (_CONNECTION.match(text) and _SERVER.search(text)):
        return
    for found in _PART.finditer(text):
        start, end = found.span(found.lastindex or 0)
        value = text[start:end].rstrip()
        if is_secret(found[1]) and value and is_literal(value) and not is_placeholder(value):
            yield SecretText(start, start + len(value), (value,))


# --- commands

_WORD = r"(?:\\?\"(?P<double>[^\"\\]{1,4096})|\\?'(?P<single>[^']{0,4095}[^'\\])|(?P<plain>[^\s\"'-][^\s\"']{0,4095}))"
_OPTION = re.compile(
    rf"(?:(?<!\S)(?P<option>-{{1,2}}[A-Za-z][\w-]{{0,60}})(?:[ \t]+|=)|(?<=set )(?P<set>\w{{1,60}})[ \t]+){_WORD}"
)
_ATTACHED = re.compile(rf"(?<!\S)-p{_WORD}")
_OPTION_NAME = re.compile(r"--?[A-Za-z][\w-]*")
_PROGRAM = re.compile(r"[\w-]+")
_COMMAND_CHARS, _MAX_WORDS = 256, 32
_PASS = re.compile(r"pass:[\"']?(.+)")


def _of_options(text: str) -> Iterator[SecretText]:
    for found in _OPTION.finditer(text):
        kind = found.lastgroup or "plain"
        at = found.start(kind)
        for start, end, values in _after_option(
            found["option"] or found["set"], found[kind], partial(_programs, text, found.start())
        ):
            yield SecretText(at + start, at + end, values)
    for found in _ATTACHED.finditer(text) if " -p" in text else ():
        kind = found.lastgroup or "plain"
        if is_value(found[kind]) and TABLES.attached & _programs(text, found.start()):
            yield SecretText(*found.span(kind), (found[kind],))


def _programs(text: str, end: int) -> frozenset[str]:
    """Return the words of a command before a place."""
    start = max(text.rfind(mark, 0, end) for mark in "\n|;&`") + 1
    return frozenset(_PROGRAM.findall(text, max(start, end - _COMMAND_CHARS), end))


def _after_option(
    option: str, value: str, programs: Callable[[], frozenset[str]], *, lenient: bool = False
) -> Iterator[SecretText]:
    """Yield the secret in the word after an option. `lenient`: also a word."""
    user, _, password = value.partition(":")
    if option in TABLES.user_options and password:
        is_sure = is_strong(password) or lenient or TABLES.user_programs & programs()
        if is_sure and is_literal(password) and "://" not in value and not user.isdigit():
            yield SecretText(len(user) + 1, len(value), (password, value))
    elif option.startswith("-pass") and (found := _PASS.match(value)):
        yield SecretText(*found.span(1), (found[1],))
    elif not (is_literal(value) if lenient else is_value(value)) or not value or is_source(value) or "://" in value:
        return
    elif is_secret(option) and not option.startswith(("-no-", "--no-")):
        yield SecretText(0, len(value), (value, *of_field(option, value)))
    elif option in TABLES.password_options and TABLES.password_options[option] & programs():
        yield SecretText(0, len(value), (value,))


def secrets_of_arguments(words: Sequence[str], *, lenient: bool = False) -> Iterator[tuple[int, SecretText]]:
    """Yield the secrets in the arguments of a command, each with the number of its word, if words before decide."""
    for place, word in enumerate(words):
        option = words[place - 1] if place else ""
        before = partial(_set_of, words, place)
        if word.startswith("-p") and is_value(word[2:]) and TABLES.attached & before():
            yield place, SecretText(2, len(word), (word[2:],))
        elif _OPTION_NAME.fullmatch(option) and not word.startswith("-"):
            yield from ((place, secret) for secret in _after_option(option, word, before, lenient=lenient))


def _set_of(words: Sequence[str], end: int) -> frozenset[str]:
    return frozenset(words[max(0, end - _MAX_WORDS) : end])


# --- other forms

_ORACLE = re.compile(r"(?<![\w/.@-])[\w$#.-]{1,64}+/(?P<value>[^\s/]{4,128})@(?=//|\(|[\w.-]{1,255}:\d{2,5}(?:/|\b))")
_ORACLE_NAME = re.compile(r"(?<![\w/.@-])[\w$#.-]{1,64}+/(?P<value>[^\s/\"']{8,128})@[A-Za-z][\w.-]{0,60}(?![\w@:])")
_USER_AT = re.compile(
    r"(?<![\w/:.@-])[\w.+-]{1,64}:(?P<value>[^\s:@/\"']{8,128})@[\w-]{1,63}(?:\.[\w.-]{1,255})?(?=[:/\s\"']|$)"
)
_NETRC = re.compile(r"\b(?:login|account|user)\s{1,64}\S{1,128}\s{1,64}password\s{1,64}(?P<value>\S{1,128})")
_PGPASS = re.compile(
    r"(?<![\w.*:/-])[\w.*-]{1,255}:(?:\d{2,5}|\*):[\w*-]{1,64}:[\w*-]{1,64}:(?P<value>[^\s\"']{1,128})"
)
_WIFI = re.compile(r"WIFI:[^\n]{0,200}?\bP:(?P<value>[^;\n]{1,128});")
_BEARER = re.compile(r"\b(?:Bearer|Basic)[ \t]+(?P<value>[\w.~+/-]{16,4096}={0,2})")
_PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?P<value>(?:[^-]|-(?!----)){1,16384})"
)
_PREFIXES = (
    r"sk[-_] gh[a-z]_ github_pat_ gl[a-z]{1,5}- xox[a-z]- xapp- hf_ r8_ gsk_ pplx- dop_v1_ dckr_pat_ npm_ pypi- AKIA"
    r" ASIA AIza SG\. shp[a-z]{2}_ rk_live_ ya29\. hv[sb]\. lin_api_ pul- sntrys_ ATATT3 dapi(?=[0-9a-f]{32})"
)
_KNOWN = re.compile(
    "".join(rf"{prefix}[\w.-]{{8,}}|" for prefix in _PREFIXES.split()) + r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\$(?:2[abxy]|apr1|[156y]|argon2id?)\$[\w./$=,+-]{16,}"
)
"""Keys of known services, tokens, hashes of passwords. Each branch begins with a letter: that is searched fastest."""
_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("@", _ORACLE, is_literal),
    ("@", _ORACLE_NAME, is_strong),
    ("@", _USER_AT, is_strong),
    (":", _PGPASS, is_strong),
    ("password", _NETRC, is_value),
    ("WIFI:", _WIFI, is_literal),
    ("B", _BEARER, lambda value: looks_random(value, LEAST_CHARS)),
    ("PRIVATE KEY", _PEM, bool),
)
"""What a text with the form has, its pattern, and which values in it are secrets."""
_LINE = re.compile(r"(?:[A-Za-z0-9+/=]|\\/){8,}(?![\w:-])")


def _of_other_forms(text: str, *, lenient: bool) -> Iterator[SecretText]:
    for needed, form, accepts in _FORMS:
        if needed in text:
            for found in form.finditer(text):
                if accepts(found["value"]):
                    lines = _LINE.findall(found["value"]) if form is _PEM else (found["value"],)
                    yield SecretText(*found.span("value"), tuple(lines))
    for found in _KNOWN.finditer(text):
        is_sure = len(found[0]) >= _KEY_CHARS and is_generated(found[0])
        if (is_sure or lenient) and not text[found.start() - 1 : found.start()].isalnum():
            yield SecretText(*found.span(), (found[0],))


_KEY_CHARS = 18
_GENERATED = re.compile(
    r"(?<![\w/:+=.~-])(?=[\w+/=.~-]*(?:[a-z0-9][A-Z]|[0-9][a-z]))(?P<value>[A-Za-z0-9+/=_.~-]{8,4096})(?![\w@:(\[])"
)
_BEHIND_VERB = re.compile(rf"\b(?:{'|'.join(TABLES.verbs)})[ \t]{{1,8}}[\"'`]?(?P<value>[^\s\"'`]{{8,128}})")
_HEXADECIMAL_ONLY = re.compile(r"[0-9a-f-]+|[0-9A-F-]+")
_BREAK = re.compile(r"[.;:=,!?()\[\]{}|&\\]")
_BEFORE_GENERATED, _WORDS_BETWEEN, _SHORT_WORD = 64, 5, 12
"""Characters before a value in which a name is searched; words from the name to the value; letters of such a word."""


def _of_generated(text: str) -> Iterator[SecretText]:
    """Yield generated values with the name of a secret a few words before: `password for the router is ...`"""
    for found in _GENERATED.finditer(text):
        if looks_random(found[0], LEAST_CHARS) and not _HEXADECIMAL_ONLY.fullmatch(found[0]) and is_value(found[0]):
            yield from _behind_name(text, found, _WORDS_BETWEEN)
    for found in _BEHIND_VERB.finditer(text):
        if is_strong(found["value"]):
            yield from _behind_name(text, found, 1)


def _behind_name(text: str, found: re.Match[str], most: int) -> Iterator[SecretText]:
    """Yield a value if the name of a secret is before it, with fewer than `most` short words between."""
    before = text[max(0, found.start() - _BEFORE_GENERATED) : found.start()].rstrip(" \t\n\"'—–>:-")
    words = _BREAK.split(before)[-1].split()
    for end in range(len(words), max(0, len(words) - most), -1):
        if is_secret(" ".join(words[max(0, end - 3) : end])):
            yield SecretText(*found.span("value"), (found["value"],))
            return
        if not words[end - 1].isalpha() or len(words[end - 1]) > _SHORT_WORD:
            return


# --- all forms


_WEB_ADDRESS = re.compile(r"https?://[^\s;\"'<>{}]+")


def spans_in(text: str, *, lenient: bool = False) -> Iterator[SecretText]:
    """Yield the secrets in a text, in any order, also overlapping. `lenient`: also words and short values after a name.

    Words of a language, references to variables, paths of files and expressions of a program are none.
    """
    if "://" in text:
        yield from addresses_in(text)
        if _WEB_ADDRESS.fullmatch(text):
            return
    if any(sign in text for sign in "=:：＝"):
        yield from _of_settings(text, lenient=lenient)
        yield from _of_connection(text)
    if any(mark in text for mark in ('"', "'", ">", "value:")):
        yield from _of_named_forms(text)
    if " -" in text or "set " in text or text[:1] == "-":
        yield from _of_options(text)
    yield from _of_other_forms(text, lenient=lenient)
    if " " in text or "\n" in text:
        yield from _of_generated(text)


def secrets_in(text: str) -> Iterator[str]:
    """Yield the secrets in a text, which are masked wherever they are."""
    for found in spans_in(text):
        yield from found.values


def masked_secrets(text: str) -> str:
    """Mask the secrets in a text of any origin."""
    return masked_address(masked_spans(text, spans_in(text)))
