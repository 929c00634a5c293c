"""No part of a random key is left, however a server echoes and splits it; other text passes whole."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from random import Random
from string import ascii_letters, ascii_lowercase, digits, hexdigits
from unicodedata import decimal, normalize
from uuid import UUID

import pytest

from playground.client.chunks import is_done
from playground.client.credentials import stored_headers
from playground.client.events import ContentDelta, RawEvent, ReasoningDelta, ToolCallDelta
from playground.client.key_readings import _STEP
from playground.client.redact import MASK, redact
from playground.client.response_decoder import ResponseDecoder
from playground.client.stream_masking import StreamMasker

PREFIXES = ("sk-", "sk_", "sk-proj-", "sk_live_", "gsk_", "hf_", "", "", "")
TAGS = ("<b>", "</span>", '<i class="x">', "<br/>", "&lt;b&gt;")
INVISIBLE = (
    *(
        "\x1b[0m\x1b[1;32m",
        "\x1b]0;t\x07",
        "\\u001b[31m",
        "\0",
        "\b",
        "\t",
        "\u00a0",
        "\u00ad",
        "\u0332",
        "\u202a",
        "\u2066",
    ),
    *("\ufe0f", "\U000e0041", "<!-- c -->", "&shy;", "&#8203;", "&nbsp;", "__", "\\_"),
    *("&ZeroWidthSpace;", "\ufff9", "\u3164", "\u115f", "\u2800", '" + "', "'", "\n+ ", "\n> ", "<b>__</b>"),
)
MARKS = ("xxxx", "-----", "[...]", "····", "●●●●", "████", "\\*\\*\\*\\*", "[redacted]", "####", " **** ", "<hidden>")
PART, BEGINNING = 12, 8


def _key(random: Random) -> tuple[str, str]:
    characters = random.choice((ascii_letters + digits, ascii_letters + digits + "-_", hexdigits, ascii_letters + "+/"))
    return random.choice(PREFIXES), "".join(random.choices(characters, k=random.randint(20, 200)))


def _echoes(random: Random, prefix: str, secret: str) -> Iterator[str]:
    key = prefix + secret
    start = random.randint(0, len(key) - PART)
    part = key[start : random.randint(start + PART, len(key))]
    cuts = sorted(random.sample(range(1, len(key)), 3))
    first, second, third, fourth = (key[a:b] for a, b in zip([0, *cuts], [*cuts, len(key)], strict=True))
    yield from (key, key.upper(), key.lower(), key.swapcase(), secret, part, part.swapcase(), f"`{key}`")
    mark = random.choice(("****", "...", "…", "••••"))
    yield f"{key[: random.randint(0, 6)]}{mark}{key[-random.randint(BEGINNING, 16) :]}"
    for mark in MARKS:
        yield f"{key[: max(len(prefix) + 6, BEGINNING)]}{mark}{key[-random.randint(BEGINNING, 11) :]}"
    for mark in INVISIBLE:
        yield f"{first}{mark}{second}{mark}{third}{mark}{fourth}"
    yield f"__{key}__"
    yield "".join(chr(ord(one) + 0xFEE0) for one in key)
    yield "".join(f"&#{ord(one)}" for one in key) + ";"
    yield "".join(f"\\u{{{ord(one):x}}}" for one in key)
    yield f"{key}{random.choice(('Hello', 'and', '0', '_x'))}"
    yield f"{prefix}{secret[: BEGINNING + random.randint(4, 8)]} is"
    yield f"**{key[:4]}**{key[4:]}"
    yield f"{first}{random.choice(TAGS)}{second}</b>{third}<wbr>{fourth}"
    yield f'<add name="Key" value="{key}"/>' if random.random() < 0.5 else f"&lt;user key='{part}' name='x'&gt;"
    yield f"{first}\n{second}\r\n  {third}\u200b{fourth}"
    for escape in ("\\u{:04x}", "%{:02X}", "&#{};"):
        yield "".join(escape.format(ord(one)) if random.random() < 0.5 else one for one in key)
    yield b64encode(f"{'x' * random.randint(0, 3)}{key}yy".encode()).decode()
    yield random.choice((str.lower, str.upper))(key.encode().hex())


def _cut(random: Random, text: str) -> Iterator[str]:
    size = random.choice((1, 2, 3, 5, 9, 30, 1000))
    while text:
        length = random.choice((size, random.randint(1, size)))
        yield text[:length]
        text = text[length:]


def _bare(text: str) -> str:
    """Return a text as a reader of secrets sees it."""
    text = re.sub(r"\\u00([0-9a-f]{2})|%([0-9A-F]{2})", lambda found: chr(int(found[1] or found[2], 16)), text)
    text = re.sub(r"\\u\{(\w+)\}", lambda found: chr(int(found[1], 16)), text)
    text = normalize("NFKC", re.sub("|".join(map(re.escape, INVISIBLE)), "", text))
    text = re.sub(r"&#(\d+);?", lambda found: chr(int(found[1])), text).replace("&lt;", "<").replace("&gt;", ">")
    # A key may be around tags, or in one.
    texts = (re.sub(f"{tags}[*`\u200b]|[\r\n]+ *", "", text) for tags in ("<[^<>]*>|", ""))
    return "\0".join(texts).lower()


def _left(text: str, prefix: str, secret: str) -> list[str]:
    """Return the parts of a key in a text."""
    key, bare = f"{prefix}{secret}".lower(), _bare(text)
    encoded = (f"{prefix}{secret}".encode()[at : at + PART] for at in range(len(key) - PART + 1))
    parts = [key[at : at + PART] for at in range(len(key) - PART + 1)]
    for part in encoded:
        parts += (part.hex(), b64encode(part).decode().lower())
    marked = [key[-BEGINNING:]] if re.search(r"\*\*|•|…|\.\.\.", text.replace(MASK, "")) else []
    if any(mark in text for mark in MARKS):
        marked = [key[: max(len(prefix) + 6, BEGINNING)], key[-BEGINNING:]]
    return [part for part in (*parts, secret[:BEGINNING].lower(), *marked) if part in bare]


def _content(piece: str) -> object:
    return {"choices": [{"index": 0, "delta": {"content": piece}}]}


def _shown(pieces: list[str], key: str) -> str:
    masker = StreamMasker(key)
    lines = [masker.masked(json.dumps(_content(piece), ensure_ascii=False)) for piece in pieces]
    chunks = [json.loads(line) for line in (*lines, masker.rest()[0]) if line]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@pytest.mark.parametrize("mark", ["\x9b31m", "\x9b38;5;1m", "<?x?>"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_key_with_marks_between_its_pieces_is_masked(mark: str, size: int) -> None:
    pieces = ("sk_nQvWys", "81vp7hBd", "HXe3PYiG", "kPz0Tq2L")
    text = f"The key is {mark.join(pieces)}."
    shown = _shown([text[at : at + size] for at in range(0, len(text), size)], "".join(pieces))
    assert [piece for piece in pieces for each in (shown, redact(text, "".join(pieces))) if piece in each] == []
    assert (shown[:11], shown[-1:]) == ("The key is ", ".")


JWT = "eyJraWQiOiJwNCIsImFsZyI6IkVTMjU2In0.eyJvcmciOiI1NTE5MCIsInRpZXIiOiJwcm8ifQ.Qv7Lm2Xz9Kc4Tb8Wp1Yd6Hs3Nf5Gj0Ra"
CREDENTIALS = b64encode(b"tenant:acme-7:pw=Xy8kQ2zLm+4Rt9").decode()


@pytest.mark.parametrize("key", [JWT, CREDENTIALS, b"tenant acme7 secret Xy8kQ2z".hex()])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_every_part_of_a_key_that_holds_an_encoded_text_is_masked(key: str, size: int) -> None:
    pieces = (key[at : at + 5] for at in range(0, len(key), 5))
    bare = re.sub("[^a-z0-9]", "", key.lower())
    parts = [turned[at : at + BEGINNING] for turned in (bare, bare[::-1]) for at in range(len(bare) - BEGINNING + 1)]
    forms = (key, key.upper(), key[::-1], " ".join(key), "*".join(key), '" + "'.join(pieces), key[5:45], f"key_{key}_")
    for echo in forms:
        text = f"It is {echo}."
        shown = _shown([text[at : at + size] for at in range(0, len(text), size)], key)
        for each in (shown, redact(text, key)):
            letters = re.sub("[^a-z0-9]", "", each.lower())
            assert (each[:6], [part for part in parts if part in letters]) == ("It is ", []), (echo, each)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_key_encoded_twice_in_the_path_of_a_url_is_masked_in_a_stream(size: int) -> None:
    key = "Gx7.pQ2_vN9-tK4.wL8~Zm3"
    echo = b64encode(b64encode(key.encode())).decode()
    text = f"It is at http://h.example:18399/v1/models/{echo} now."
    shown = _shown([text[at : at + size] for at in range(0, len(text), size)], key)
    assert [echo[at : at + PART] for at in range(20, len(echo) - PART) if echo[at : at + PART] in shown] == []
    assert (shown.startswith("It is at http://h.example:18399/v1/models/"), shown.endswith(" now.")) == (True, True)


def test_header_that_tokens_have_in_common_is_no_part_of_a_key() -> None:
    header = '{"alg":"HS256","typ":"JWT"}'
    encoded = b64encode(header.encode()).decode()
    key = f"{encoded}.eyJvcmciOiI1NTE5MCJ9.Qv7Lm2Xz9Kc4Tb8Wp1Yd6Hs3"
    text = f"The header {encoded} is {header}."
    assert (redact(text, key), _shown([*text], key)) == (text, text)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_key_whose_characters_are_read_as_escapes_is_masked(size: int) -> None:
    key = "3f726df0050c6e8d2046e7f1a3c5d9b80e62f4a7"
    text = "It is " + "".join(f"%{key[at : at + 2]}" for at in range(0, len(key), 2)) + "."
    shown = _shown([text[at : at + size] for at in range(0, len(text), size)], key)
    before, _, after = shown.partition(MASK)
    assert (text.startswith(before), len(before) <= len("It is %3f%7"), after) == (True, True, ".")


@pytest.mark.parametrize("seed", range(4))
def test_no_part_of_a_key_is_left_in_a_stream_or_a_whole_text(seed: int) -> None:
    random = Random(seed)
    for turn in range(6):
        prefix, secret = _key(random)
        for place, echo in enumerate(_echoes(random, prefix, secret)):
            before = random.choice(("The key is ", "key=", "", '"', "Error: "))
            after = random.choice((" thanks.", ", ok", "", '"'))
            pieces = list(_cut(random, f"{before}{echo}{after}"))
            shown = [redact(f"{before}{echo}{after}", prefix + secret)]
            if (place + turn) % 3 == 0:  # over all seeds, each echo is streamed 8 times
                shown.append(_shown(pieces, prefix + secret))
            for text in shown:
                assert _left(text, prefix, secret) == [], (prefix + secret, pieces, text)
                assert text.startswith(before), (prefix + secret, pieces, text)
                assert text.endswith(after), (prefix + secret, pieces, text)


@pytest.mark.parametrize("seed", range(4))
def test_text_without_parts_of_the_key_passes_whole(seed: int) -> None:
    random = Random(seed)
    words = (
        "the ",
        "**bold** ",
        "`code` ",
        "\n",
        "50% ",
        "&lt;p&gt;",
        "<b>x</b>",
        "a < b ",
        "\\n",
        "C:\\new ",
        "…",
        "... ",
    )
    for _ in range(20):
        prefix, secret = _key(random)
        short = [secret[at : at + 7] for at in (0, 5, 10)]  # too short for a mask
        text = " ".join(random.choices((*words, *short, prefix, "%7", "\\u00", "<"), k=40))
        assert _shown(list(_cut(random, text)), prefix + secret) == text, (prefix + secret, text)
        assert redact(text, prefix + secret) == text, (prefix + secret, text)


DELTAS = {
    "content of choice 1": ('{"choices":[{"index":0,"delta":{}},{"index":1,"delta":{"content":%s}}]}'),
    "reasoning": '{"choices":[{"index":0,"delta":{"reasoning_content":%s}}]}',
    "arguments": '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":%s}}]}}]}',
    "name": '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":%s}}]}}]}',
    "error": '{"choices":[],"progress":{"message":%s}}',
    "hidden by a second value": '{"choices":[{"index":0,"delta":{"content":"a"}}],"x":%s,"x":1}',
}


@pytest.mark.parametrize("place", DELTAS)
@pytest.mark.parametrize("is_escaped", [False, True])
def test_part_without_its_beginning_in_pieces_is_left_in_no_event(place: str, is_escaped: bool) -> None:
    random = Random(5)
    for _ in range(10):
        prefix, secret = _key(random)
        part = secret[3:].swapcase()
        size = len(part) if place.startswith("hidden") else random.randint(1, 9)
        texts = [json.dumps(part[at : at + size]) for at in range(0, len(part), size)]
        if is_escaped:
            texts = ['"' + "".join(f"\\u{ord(one):04x}" for one in json.loads(text)) + '"' for text in texts]
        body = "".join(f"data: {DELTAS[place] % text}\n\n" for text in texts)
        decoder = ResponseDecoder("text/event-stream", prefix + secret)
        events = [*decoder.feed(body.encode(), 1.0), *decoder.end(2.0)]
        raw = [event.data for event in events if isinstance(event, RawEvent) and not is_done(event.data)]
        shown = ["".join(re.findall(r'(?:message|content|name|arguments|"x)": ?"([^"]*)"', "".join(raw)))]
        shown += [
            "".join(one.text for one in events if isinstance(one, kind)) for kind in (ContentDelta, ReasoningDelta)
        ]
        shown += ["".join(f"{one.name or ''}{one.arguments}" for one in events if isinstance(one, ToolCallDelta))]
        for text in (*shown, *raw):
            assert _left(text, "", secret) == [], (prefix + secret, raw)


ECHOED = "sk-proj-9fQ2xLm7TzR4vWb8NcYd3KpHs6JgUe1A"
SHOWN_AT_ONCE = 5
"""Characters of this key that a stream shows before it is recognized: sk-p, and an unfinished escape."""
FORMS = (
    *("0x{:02x}, ", "0x{:02X},", "0X{:02x} ", "<0x{:02X}>", "\\x{:02x}", "%{:02X}", "&amp;#{:d};", "&#{:d}; "),
    *("\\U{:08x}", "\\o{{{:o}}}", "\\x{{{:x}}}", "\\{:06x} "),
    *("\\{:03o}", "\\{:o}", "\\\\u{:04x}", "\n   7 | {:c}", "\n10 | {:c}", "\n  3. {:c}"),
    *(f"{{:c}}{mark}" for mark in ("\\xe2\\x80\\x8b", "%E2%80%8B", "%25E2%2580%258B", "=E2=80=8B", "\\342\\200\\213")),
    *("\\\\x{:02x}", "{:c}\\\\xe2\\\\x80\\\\x8b", "{:c}\\\\342\\\\200\\\\213"),  # as in a call's arguments
    *(f"{{:c}}{mark}" for mark in ("\x1bPabc\x1b\\", "\u200b", "&#8203;", "\x1b]8;;http://x\x1b\\")),
)


@pytest.mark.parametrize("form", FORMS)
def test_form_of_a_key_is_masked_the_same_in_a_stream_cut_anywhere(form: str) -> None:
    key = "sk-proj-9fQ2xLm7TzR4vWb8NcYd3KpHs6JgUe1A"
    echo = "".join(form.format(one) for one in key.encode())
    text = f"It is {echo} thanks."
    whole = redact(text, key)
    assert len(whole) < len(text) / 4
    random = Random(form)
    sizes = (1, *random.sample((2, 3, 5, 9), 2))
    cuts = [[text[at : at + size] for at in range(0, len(text), size)] for size in sizes]
    cuts += [[text[:at], text[at:]] for at in random.sample(range(1, len(text)), 5)]
    begun = "It is " + "".join(form.format(one) for one in key.encode()[:SHOWN_AT_ONCE])
    for pieces in cuts:
        shown = _shown(pieces, key)
        # What a stream shows earlier is the beginning of the text alone: all from the mask on is the same.
        before, _, after = shown.partition(MASK)
        assert (MASK + after, text.startswith(before)) == (MASK + whole.partition(MASK)[2], True), (pieces, shown)
        assert len(before) <= len(begun), (pieces, shown)


def _moved(first: str, characters: str) -> str:
    return "".join(
        chr(ord(first) + ord(one) - ord(characters[0])) if one in characters else one for one in ECHOED.lower()
    )


LETTERS = {
    **{name: _moved(first, ascii_lowercase) for name, first in zip("abcde", "\u249c🄰🅐🅰🇦", strict=True)},
    "tags": _moved("\U000e002d", "".join(map(chr, range(ord("-"), 127)))),
    "accents": normalize("NFC", "".join(f"{one}\u0301" for one in ECHOED)),
    "digits": _moved("\u0660", digits),
    "digits of Adlam": _moved("\U0001e950", digits),
    "dingbats": _moved("\u2780", digits[1:]),
    "halves in UTF-16": json.dumps(_moved("🅰", ascii_lowercase)),
}


@pytest.mark.parametrize("kind", LETTERS)
def test_key_in_other_letters_is_masked(kind: str) -> None:
    echo = LETTERS[kind].strip('"')
    begun = (SHOWN_AT_ONCE + 1) * len(echo) // len(ECHOED)
    assert len(redact(echo, ECHOED).replace(MASK, "")) < begun
    for size in (1, 3, 1000):
        shown = _shown([f"It is {echo} ok"[at : at + size] for at in range(0, len(echo) + 9, size)], ECHOED)
        assert (shown[:6], shown[-4:]) == ("It is ", f"{MASK[-1]} ok")
        assert len(shown.replace(MASK, "")) < len("It is  ok") + begun, shown


def test_key_in_the_decimal_digits_of_any_script_is_masked() -> None:
    zeros = [one for one in map(chr, range(0x80, sys.maxunicode)) if decimal(one, None) == 0]
    assert {"\u0660", "\U000104a0", "\U00011066", "\U0001e950"} <= {*zeros}
    assert [zero for zero in zeros if redact(f"It is {_moved(zero, digits)} ok", ECHOED) != f"It is {MASK} ok"] == []


@pytest.mark.parametrize("form", ["chr(0x{:02x})+", "byte: 0x{:02x}\n"])
def test_hex_numbers_behind_words_are_masked(form: str) -> None:
    text = f"It is {''.join(form.format(one) for one in ECHOED.encode())} thanks."
    for size in (1, 3, len(text)):
        shown = _shown([text[at : at + size] for at in range(0, len(text), size)], ECHOED)
        assert len(re.findall("0x[0-9a-f]{2}", shown)) < SHOWN_AT_ONCE, shown
        assert (shown[:6], shown[-8:]) == ("It is ", " thanks.")


def test_key_in_a_dump_with_offsets_is_masked() -> None:
    text = "\n".join(f"{at:06o} {ECHOED[at : at + 8].encode().hex(' ')}" for at in range(0, len(ECHOED), 8))
    for size in (1, 3, len(text)):
        shown = _shown([text[at : at + size] for at in range(0, len(text), size)], ECHOED)
        assert len(re.findall(r"\b[0-9a-f]{2}\b", shown)) <= SHOWN_AT_ONCE, shown


DUMPS = {
    "hexdump": "{0:08x}  {1}  |{2}|\n",
    "hexdump without offsets": "{1}  |{2}|\n",
    "xxd": "{0:08x}: {1:39}  {2}\n",
}


@pytest.mark.parametrize("kind", DUMPS)
@pytest.mark.parametrize("width", [8, 16])
def test_key_in_a_dump_with_its_characters_is_masked(kind: str, width: int) -> None:
    key = ECHOED.removeprefix("sk-proj-")
    rows = [(at, key[at : at + width]) for at in range(0, len(key), width)]
    text = "".join(DUMPS[kind].format(at, part.encode().hex(" ", 1 + (kind == "xxd")), part) for at, part in rows)
    escaped = json.dumps({"a": text})
    sent = [(text, 1), (text, 3), (text, 7), (text, len(text)), (escaped, 3), (escaped, 9)]
    for whole, size in sent:
        shown = _shown([whole[at : at + size] for at in range(0, len(whole), size)], key).replace("\\n", "\n")
        digits = "".join(re.findall(r"(?<=[ \n])[0-9a-f]{2,4}(?= )", "\n" + shown))
        assert max(len(digits) // 2, *map(len, re.findall(r"\w+", shown))) < PART, shown


@pytest.mark.parametrize("size", [1, 3])
def test_key_in_numbered_lines_of_which_some_are_read_as_quoted_printable_is_masked(size: int) -> None:
    key = "sk-0c5b16d92a293749f8867c0d59e3b9f80a4"
    pieces = [key[at : at + 2] for at in range(0, len(key), 2)]
    text = _rows(pieces, "part%d=%s", "\n")
    assert _longest_shown(_shown([text[at : at + size] for at in range(0, len(text), size)], key), pieces) < PART
    assert _longest_shown(redact(text, key), pieces) < PART


@pytest.mark.parametrize("coded", [(2, 0), (2, 1), (3, 0), (5, 0)])
@pytest.mark.parametrize("form", ["It is {} ok", "=?utf-8?Q?It_is_{}_ok?="])
def test_key_of_which_some_letters_are_in_quoted_printable_is_masked(coded: tuple[int, int], form: str) -> None:
    every, first = coded
    letters = [f"={ord(one):02X}" if at % every == first else one for at, one in enumerate(ECHOED)]
    text = form.format("".join(letters))
    before, after = form.split("{}")
    assert redact(text, ECHOED) == form.format(MASK)
    for size in (1, 2, 3, 7):
        begun, _, rest = _shown([text[at : at + size] for at in range(0, len(text), size)], ECHOED).partition(MASK)
        assert (begun.startswith(before), rest) == (True, after)
        assert len(begun) < len(before + "".join(letters[: SHOWN_AT_ONCE + 2]))


@pytest.mark.parametrize("text", ["a=92", "x=6B", "a=42&b=37", "x=6B y=4C", "if a=2B=3C: pass", "k1=34\nk2=56"])
def test_assigned_number_that_quoted_printable_may_have_is_unchanged(text: str) -> None:
    assert (redact(text, ECHOED), _shown([*text], ECHOED)) == (text, text)


@pytest.mark.parametrize("row", ["%d,%s", "| %d | %s | ok |", "00:00:%02d --> %s"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_key_with_each_piece_behind_a_label_in_one_header_is_masked(row: str, size: int) -> None:
    pieces = [ECHOED[at : at + size] for at in range(0, len(ECHOED), size)]
    headers = [("x-id", "keep"), *((f"x-debug-{at}", row % (at, one)) for at, one in enumerate(pieces))]
    shown = stored_headers(headers, ECHOED)
    assert shown[0] == headers[0]
    assert [name for name, _ in shown] == [name for name, _ in headers]
    assert _longest_shown("\n".join(value for _, value in shown), pieces) < PART


def _rows(pieces: list[str], row: str, between: str = "") -> str:
    return between.join(row % (place, piece) for place, piece in enumerate(pieces))


def _as_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


LISTS = {
    "objects with an index": lambda pieces: json.dumps([{"i": at, "c": piece} for at, piece in enumerate(pieces)]),
    "objects with an index as text": lambda pieces: _rows(pieces, '{"i":"%d","c":"%s"}', ","),
    "an object with numbers as names": lambda pieces: json.dumps({str(at): piece for at, piece in enumerate(pieces)}),
    "pairs": lambda pieces: json.dumps(list(enumerate(pieces))),
    "JSON in JSON": lambda pieces: json.dumps(json.dumps([{"i": at, "c": one} for at, one in enumerate(pieces)])),
    "YAML": lambda pieces: _rows(pieces, "- i: %d\n  c: %s", "\n"),
    "CDATA": lambda pieces: "<![CDATA[" + "]]><![CDATA[".join(pieces) + "]]>",
    "escaped CDATA": lambda pieces: "&lt;![CDATA[" + "]]&gt;&lt;![CDATA[".join(pieces) + "]]&gt;",
    "a list": lambda pieces: _rows(pieces, "%d. %s", "\n"),
    "a list in the arguments of a call": lambda pieces: json.dumps({"a": _rows(pieces, "%d. %s", "\n")}),
    "CSV in the arguments of a call": lambda pieces: json.dumps({"a": "X" + _rows(pieces, ",%d,4\n%s") + ",9,4\n"}),
    "a diff in the arguments of a call": lambda pieces: json.dumps({"a": _rows(pieces, "@@ -%d @@\n-x\n+%s\n")}),
    "ordinals in the arguments of a call": lambda pieces: json.dumps({"a": _rows(pieces, "%dth: %s\n")}),
    "Roman numbers": lambda pieces: (
        "\n" + "".join(f"{'ivx'[at % 3] * (at % 4 + 1)}. {one}\n" for at, one in enumerate(pieces))
    ),
    "offsets": lambda pieces: "".join(f"0x{16 * at:04x}: {one}\n" for at, one in enumerate(pieces)),
    "UUIDs": lambda pieces: "".join(f"{UUID(int=at << 99 | at)} {one}\n" for at, one in enumerate(pieces)),
    "check boxes": lambda pieces: "".join(f"- [{'x '[at % 2]}] {one}\n" for at, one in enumerate(pieces)),
    "subtitles": lambda pieces: "".join(
        f"{at + 1}\n00:00:{at:02},000 --> 00:00:{at:02},500\n{one}\n\n" for at, one in enumerate(pieces)
    ),
    "a table": lambda pieces: _rows(pieces, "| %d | %s |", "\n"),
    "words": lambda pieces: _rows(pieces, "letter %d is %s", ", "),
    "a table in HTML": lambda pieces: _rows(pieces, "<tr><td>%d</td><td>%s</td></tr>"),
    "a table with a third cell": lambda pieces: _rows(pieces, "| %d | %s | ok |", "\n"),
    "a table in HTML with a third cell": lambda pieces: _rows(pieces, "<tr><td>%d</td><td>%s</td><td>ok</td></tr>"),
    "words with characters of the key": lambda pieces: _rows(pieces, f"in {ECHOED[9:13]}s: part %d is '%s'", "\n"),
}


def _longest_shown(text: str, pieces: list[str]) -> int:
    """Return how many characters of the pieces in a row are in a text, each whole."""
    text, longest, shown = text.replace("\\n", "\n"), 0, 0
    for piece in pieces:
        found = re.search(rf"(?<![A-Za-z0-9]){re.escape(piece)}(?![A-Za-z0-9])", text)
        shown = shown + len(piece) if found or not re.search("[A-Za-z]", piece) else 0
        longest = max(longest, shown)
    return longest


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_key_with_each_piece_behind_a_label_is_masked(kind: str, size: int) -> None:
    key = ECHOED[: 2 * PART]  # no longer: each step of a stream reads all rows up to then
    pieces = [key[at : at + size] for at in range(0, len(key), size)]
    text = f"The key is {LISTS[kind](pieces)} thanks."
    shown = redact(text, key)
    assert (shown[:11], shown[-8:]) == ("The key is ", " thanks.")
    assert _longest_shown(shown, pieces) < PART
    for length in (1, 7):
        streamed = _shown([text[at : at + length] for at in range(0, len(text), length)], key)
        assert _longest_shown(streamed, pieces) < PART, streamed
        assert streamed.endswith(" thanks.")


@pytest.mark.parametrize("name", ["%d", "part_%d"])
@pytest.mark.parametrize("count", [1, 6, 40])
@pytest.mark.parametrize("size", [1, 3])
def test_values_of_names_that_only_count_are_one_text_of_a_stream(name: str, count: int, size: int) -> None:
    pieces = ["It is ", *(ECHOED[at : at + size] for at in range(0, len(ECHOED), size)), " thanks."]
    items = [(name % at, piece) for at, piece in enumerate(pieces)]
    masker = StreamMasker(ECHOED)
    events = [json.dumps({"a": dict(items[at : at + count])}) for at in range(0, len(items), count)]
    values = [json.loads(line)["a"] for line in (*map(masker.masked, events), masker.rest()[0]) if line]
    shown = "".join(piece for value in values for piece in value.values())
    before, mask, after = shown.partition(MASK)
    assert ("It is sk-p".startswith(before), mask, after) == (True, MASK, " thanks.")
    assert [len(value) for value in values[: len(events)]] == [
        len(items[at : at + count]) for at in range(0, len(items), count)
    ]


LONG = ECHOED.removeprefix("sk-proj-")


@pytest.mark.parametrize("rows", ["  7 | auth(%s\n  8 | %s\n  9 + %s)", "\\n  7: auth(%s\\n  8: %s\\n 19: %s)"])
def test_key_over_numbered_lines_is_masked_though_its_first_piece_is_behind_another_label(rows: str) -> None:
    secret = ECHOED.removeprefix("sk-proj-")
    for begin in (0, 3):
        pieces = secret[begin : begin + 7], secret[begin + 7 : begin + 17], secret[begin + 17 : begin + 24]
        shown = redact(rows % pieces, secret)
        assert shown.startswith(rows.partition("%s")[0])
        assert [piece for piece in pieces if piece in shown] == []


@pytest.mark.parametrize("mark", ["", "…", "<b>", "%20"])
def test_key_in_a_long_text_is_masked_at_its_place(mark: str) -> None:
    text = f"One – two “three”{mark}; 4 of 5.\n" * 900
    key = ECHOED.removeprefix("sk-proj-")
    for at in (0, 5_000, len(text) - 1, len(text)):
        before, after = text[:at] + " ", " " + text[at:]
        assert redact(f"{before}{key[:9]}-{key[9:]}{after}", key) == f"{before}{MASK}{after}"


@pytest.mark.parametrize(
    "coded",
    [
        LONG,
        "".join(map("\\u{:04x}".format, LONG.encode())),
        "".join(map("%{:02x}".format, LONG.encode())),
        "".join(f"c: {piece}, " for piece in re.findall("....?", LONG)),
    ],
    ids=["plain", "JSON", "URL", "list"],
)
def test_key_at_the_end_of_a_step_of_a_long_text_is_masked(coded: str) -> None:
    for at in range(_STEP - len(coded) - 2, _STEP + 2, 7):
        before, after = f"{('word ' * at)[:at]}\n", " more" * 20_000
        shown = redact(before + coded + after, LONG)
        assert MASK in shown
        assert shown.startswith(before)
        assert shown.endswith(after)
        assert coded[-9:] not in shown


def test_objects_with_masked_values_keep_their_names_and_numbers() -> None:
    value = [{"i": at, "c": one} for at, one in enumerate(ECHOED.replace("-", ""))]
    shown = json.loads(redact(json.dumps(value), ECHOED))
    assert [one["i"] for one in shown] == list(range(len(value)))
    assert {one["c"] for one in shown} == {MASK, "0"}  # a digit in quotes stays a digit


def _escaped(form: str) -> str:
    return "".join(form.format(ord(one)) for one in ECHOED)


NESTED = {
    "base64 twice": _as_base64(_as_base64(ECHOED)),
    "base64 three times": _as_base64(_as_base64(_as_base64(ECHOED))),
    "JSON escapes in base64": _as_base64(_escaped("\\u{:04x}")),
    "base64 without padding": _as_base64('{"key":"' + _escaped("\\x{:02x}") + '"}').rstrip("="),
    "hex in base64": _as_base64(f"user:{ECHOED.encode().hex()}"),
    "base64 in hex": _as_base64(ECHOED).encode().hex(),
    "entities in JSON escapes": _escaped("\\u0026#{};"),
    "entities in octal escapes": _escaped("\\046#x{:x};"),
    "entities in percent": "".join(f"%{one:02X}" for one in _escaped("&#{};").encode()),
}


@pytest.mark.parametrize("kind", NESTED)
def test_key_in_nested_encodings_is_masked_also_in_a_stream(kind: str) -> None:
    echo = NESTED[kind]
    text = f"The key is {echo} thanks."
    # Recognized as text from 16 characters on, and as a key from 4: of entities, with what begins the next one.
    begun = max(40, len(echo) * (SHOWN_AT_ONCE + 1) // len(ECHOED))
    for length in (1, 7, len(text)):
        shown = _shown([text[at : at + length] for at in range(0, len(text), length)], ECHOED)
        before, mask, after = shown.removeprefix("The key is ").partition(MASK)
        assert (mask, after[-8:]) == (MASK, " thanks."), shown
        assert (len(before) <= begun, len(after) <= len(" thanks.") + 8) == (True, True), shown
    assert MASK in redact(text, ECHOED)


@pytest.mark.parametrize("mark", ["\u0332", "\u0301", "\u200b", "\u00ad", "\u2060", "\ufe0f"])
def test_mark_between_letters_is_read_from_its_bytes_in_a_header(mark: str) -> None:
    value = mark.join(ECHOED).encode().decode("latin-1")
    assert stored_headers([("x-echo", f"no {value} ok")], ECHOED) == (("x-echo", f"no {MASK} ok"),)


def test_base64_over_two_pieces_before_other_signs_passes() -> None:
    pieces = ["It is QUJDREVGR0hJ", "SktM&(x y", " thanks."]
    assert _shown(pieces, ECHOED) == "".join(pieces)


def test_numbers_that_count_letters_of_answers_and_base64_stay() -> None:
    random = Random(3)
    texts = [json.dumps([{"id": at, "c": random.choice(ascii_letters)} for at in range(60)]) for _ in range(20)]
    texts += ["\n".join(f"{at}. {random.choice('ABCDabcd')}" for at in range(80)) for _ in range(20)]
    texts += [json.dumps([[random.randint(0, 9) for _ in range(9)] for _ in range(9)]) for _ in range(20)]
    texts += [_as_base64("A plain text, long enough for several lines. " * count) for count in range(1, 9)]
    texts += [b64encode(random.randbytes(300)).decode() for _ in range(20)]
    for key in (ECHOED, "sk_bench_0123456789abcdef", "5d41402abc4b2a76b9719d911017c592"):
        for text in texts:
            assert redact(text, key) == text
            assert _shown([text[at : at + 9] for at in range(0, len(text), 9)], key) == text
