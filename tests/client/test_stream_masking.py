"""Masking of a key in pieces, without changes to or delays of other text."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.client.credentials import stored_headers
from playground.client.errors import http_error
from playground.client.events import AnyEvent, ContentDelta, Finished, RawEvent, TokenProbabilities, ToolCallDelta
from playground.client.redact import MASK, key_forms, redact
from playground.client.response_decoder import ResponseDecoder
from playground.client.stream_masking import StreamMasker, masked_value, redact_body

KEY = "sk_planted-0123456789/+AbCdEf"
FORMS = key_forms(KEY)
END = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def _cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]


def _bare(text: str) -> str:
    return "".join(one for one in text.lower() if one.isalnum())


def _chunk(piece: str) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}, ensure_ascii=False)


def _decoded(lines: list[str], key: str | None = KEY, end: str = END) -> list[AnyEvent]:
    """Return the events of a stream of these lines of data."""
    decoder = ResponseDecoder("text/event-stream", key)
    body = "".join(f"data: {line}\n\n" for line in lines) + end
    return [*decoder.feed(body.encode(), 1.0), *decoder.end(2.0)]


def _text(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


def _raw(events: list[AnyEvent]) -> list[str]:
    return [event.data for event in events if isinstance(event, RawEvent)]


def _strings(value: Any, place: tuple[object, ...] = ()) -> list[tuple[tuple[object, ...], str]]:
    """Return the strings of a JSON value with their place, names included."""
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, dict):
        index = value.get("index")
        place = place if index is None else (*place, index)
        names = [((*place, "names"), name) for name in value]
        return [*names, *(found for name, item in value.items() for found in _strings(item, (*place, name)))]
    return [found for item in value for found in _strings(item, place)] if isinstance(value, list) else []


def _joined(raw: list[str]) -> dict[tuple[object, ...], str]:
    """Return the texts of raw events, each joined by its place; those that are not JSON under ()."""
    texts: dict[tuple[object, ...], str] = {}
    for data in raw:
        try:
            found = _strings(json.loads(data))
        except ValueError:
            found = [((), data)]
        for place, text in found:
            texts[place] = texts.get(place, "") + text
    return texts


_prose = st.text(alphabet="sk_planted 0/+x", max_size=30)


@settings(deadline=None)  # the first example compiles the pattern of the escaped key
@given(_prose, st.sampled_from(FORMS), _prose, st.lists(st.integers(0, 200), max_size=60))
def test_no_form_of_a_key_is_left_however_it_is_cut(before: str, form: str, after: str, places: list[int]) -> None:
    events = _decoded([_chunk(piece) for piece in _cut(before + form + after, places)])
    for shown in (_text(events), "".join(_joined(_raw(events)).values())):
        assert not [one for one in FORMS if one in shown]
        assert MASK in shown


@settings(deadline=None)
@given(st.text("ab1", min_size=12, max_size=30), st.integers(1, 5))
def test_key_of_repeated_characters_is_masked_however_it_is_cut(key: str, size: int) -> None:
    text = _text(_decoded([_chunk(piece) for piece in _cut(f"It is {key}.", [*range(6, 40, size)])], key))
    assert key not in text
    assert text.startswith("It is ")


@pytest.mark.parametrize("before", [3, 5, 8, 10, 12])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("key", ["q7Xw9bTzqmq4Rqvn2KdY", "s2Qs2Qs2QuVx8s2Qw9Lp", "Zk4/Zk4+Zk4_Zk4-9Lp2"])
def test_key_behind_its_own_beginning_is_masked(key: str, size: int, before: int) -> None:
    text = f"see {key[:before]}{key} end"
    shown = _text(_decoded([_chunk(text[at : at + size]) for at in range(0, len(text), size)], key))
    assert shown.startswith("see ")
    assert shown.endswith(" end")
    assert not [at for at in range(len(key) - 7) if key[at : at + 8] in shown]


def _random_key(random: Random) -> str:
    """Return a key of few or many characters, which repeats itself or not."""
    characters = random.choice(["ab1", "abc0123", "abcdef0123", "ABCXYZabcxyz0123456789-_/+"])
    repeated = "".join(random.choices(characters, k=random.randint(1, 7))) * random.randint(0, 5)
    return (repeated + "".join(random.choices(characters, k=12)))[: random.randint(12, 32)]


def test_no_beginning_of_a_random_key_is_shown_and_other_text_is_whole() -> None:
    random = Random(7)
    checked = 0
    while checked < 1500:
        key = _random_key(random)
        if redact(key[:8], key) == key[:8]:
            continue  # a word: only longer beginnings are masked
        checked += 1
        words = (key, key[: random.randint(1, len(key) - 1)], key[3:8], "the ", ".", "a", "ab", "_1 ")
        text = "".join(random.choices(words, k=random.randint(1, 6)))
        size = random.randint(1, 9)
        lines = [json.dumps([text[at : at + size]]) for at in range(0, len(text), size)]
        masker = StreamMasker(key)
        shown = "".join("".join(json.loads(masker.masked(line))) for line in lines)
        shown += "".join(json.loads(masker.rest()[0] or "[]"))  # the delayed text
        assert key[:8] not in shown, (key, text, size)
        # A key is found with any characters between its letters and digits.
        assert shown == text or _bare(key[:8]) in _bare(text), (key, text, size)


@pytest.mark.parametrize(
    ("key", "text", "size", "shown"),
    [
        ("aaca3e13fa13a2c03013a33ee20", "aacaaca3e13fa13a2c03013a33ee20.", 1, f"aacaac{MASK}."),
        ("d22cfd22cfd22cfd22cfd22cfd2", "2cfd2" * 9, 5, MASK),
        ("IyvdbmIyvdbmEKGKg6O", "bmIyvdyvdbmIy", 3, "bmIyvdyvdbmIy"),
    ],
)
def test_piece_that_equals_the_delayed_text_is_the_next_part(key: str, text: str, size: int, shown: str) -> None:
    assert _text(_decoded([_chunk(text[at : at + size]) for at in range(0, len(text), size)], key)) == shown


@pytest.mark.parametrize("key", ["h73mmyblZq7/Lm2+Xk9T", "aaaabbbbccccdddd1111", "key-key-key-key-key-1"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_key_whose_next_piece_equals_the_delayed_one_is_masked(key: str, size: int) -> None:
    pieces = [key[start : start + size] for start in range(0, len(key), size)]
    text = _text(_decoded([_chunk(piece) for piece in ("It is ", *pieces, ".")], key))
    assert text.replace(MASK, "")[len("It is ") :].rstrip(".") in key[:4]


@given(st.lists(_prose, max_size=20))
def test_text_without_a_key_is_unchanged(pieces: list[str]) -> None:
    whole = "".join(pieces)
    shown = _text(_decoded([_chunk(piece) for piece in pieces]))
    assert shown == whole or shown.endswith(MASK)
    if KEY[:8] not in whole:
        assert shown == whole


def test_only_a_piece_that_may_begin_a_key_waits_for_the_next() -> None:
    masker = StreamMasker(KEY)
    assert masker.masked(_chunk("Hello sk")) == _chunk("Hello sk")
    assert masker.masked(_chunk("_planted")) == _chunk("")
    assert masker.masked(_chunk(" trees")) == _chunk("_planted trees")


def test_tool_calls_are_told_apart_and_the_finish_ends_the_delay() -> None:
    calls: list[Any] = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "function": {"arguments": character}}]}}]}
        for character in KEY
        for index in (0, 1)
    ]
    calls[0]["choices"][0]["delta"]["tool_calls"][0].update(id="c0")
    calls[1]["choices"][0]["delta"]["tool_calls"][0].update(id="c1")
    last = {"choices": [{"index": 0, "delta": {"content": "sk_pl"}, "finish_reason": "stop"}]}
    events = _decoded([json.dumps(one) for one in (*calls, last)])
    for index in (0, 1):
        pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta) and event.index == index]
        assert "".join(pieces) == f"sk_{MASK}"
    shown = [event for event in events if isinstance(event, ContentDelta | Finished)]
    assert shown[:2] == [ContentDelta(1.0, "sk_pl"), Finished(1.0, "stop")]


def test_without_a_key_nothing_is_changed() -> None:
    assert StreamMasker(None).masked(_chunk(KEY)) == _chunk(KEY)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("after", ['"', " ", "…", "\n", ", and more"])
@pytest.mark.parametrize("length", [9, 13, 20, 23])
def test_beginning_of_a_key_that_something_else_follows_is_masked(length: int, after: str, size: int) -> None:
    key = "Zx81PqLm55TrWq9bKd7Yv3Nc"
    text = f"The key is {key[:length]}{after} and the end."
    shown = _text(_decoded([_chunk(text[at : at + size]) for at in range(0, len(text), size)], key))
    assert key[:4] not in shown
    assert shown.endswith(f"{MASK}{after} and the end.")


LONG_KEY = "sk_live_Zx81Qm55Pt90LkWq73Vb"
PLACES: dict[str, Any] = {
    "further choice": {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": None}}]},
    "function of a further choice": {
        "choices": [{"index": 1, "delta": {"function_call": {"name": "f", "arguments": None}}}]
    },
    "unknown field of a delta": {"choices": [{"index": 0, "delta": {"content": "a", "reasoning_x": None}}]},
    "part of a content": {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": None}]}}]},
    "token": {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": None, "logprob": -0.1}]}}]},
    "fingerprint": {"system_fingerprint": None, "choices": [{"index": 0, "delta": {"content": "a"}}]},
    "id of a call": {
        "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": None, "function": {"name": "f"}}]}}]
    },
    "name of a call": {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": None}}]}}]},
    "event without choices": {"progress": {"message": None}},
    "list in an event": {"choices": [], "extra": [[None], {"more": None}]},
}


def _put(value: Any, piece: str) -> Any:
    if isinstance(value, dict):
        return {name: _put(item, piece) for name, item in value.items()}
    if isinstance(value, list):
        return [_put(item, piece) for item in value]
    return piece if value is None else value


def _has_piece(text: str, form: str) -> bool:
    """Return whether 8 characters of `form` are in the text."""
    return any(form[at : at + 8] in text for at in range(len(form) - 7))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 99])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", [0, 1, 2, 3, 4])
def test_key_in_pieces_at_any_place_is_masked(place: str, size: int, form: int) -> None:
    forms = (LONG_KEY, *(key_forms(LONG_KEY)[at] for at in (1, 2, 3, 5)))
    text = f"The key is {forms[form]}, thanks."
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = _decoded([json.dumps(_put(PLACES[place], piece)) for piece in pieces], LONG_KEY)
    texts = _joined(_raw(events))
    shown = [one for one in texts.values() if MASK in one]
    assert shown
    assert all(not _has_piece(one, forms[form]) for one in (*texts.values(), *map(repr, events)))
    assert all(one.endswith(", thanks.") and one.startswith("The key is ") for one in shown)


@pytest.mark.parametrize("size", [1, 3, 9])
def test_key_in_lines_that_are_not_json_is_masked(size: int) -> None:
    pieces = [LONG_KEY[at : at + size] for at in range(0, len(LONG_KEY), size)]
    events = _decoded([f"ping {pieces[0]}", *pieces[1:], "pong", _chunk("Hi")], LONG_KEY)
    shown = LONG_KEY[: {1: 4, 3: 3}.get(size, 0)]
    assert "".join(_raw(events)).startswith(f"ping {shown}{MASK}")
    assert not _has_piece("".join(_raw(events)), LONG_KEY)
    assert _text(events) == "Hi"


def test_key_in_the_names_of_fields_is_masked() -> None:
    events = _decoded([json.dumps({"choices": [], LONG_KEY[at : at + 10]: at}) for at in (0, 10, 20)], LONG_KEY)
    assert not _has_piece("".join(_raw(events)), LONG_KEY)


def test_key_in_tokens_leaves_no_alternatives() -> None:
    tokens = [
        {"token": piece, "logprob": -0.1, "bytes": list(piece.encode()), "top_logprobs": [{"token": piece}]}
        for piece in (LONG_KEY[at : at + 5] for at in range(0, len(LONG_KEY), 5))
    ]
    chunk = {"choices": [{"index": 0, "delta": {"content": LONG_KEY}, "logprobs": {"content": tokens}}]}
    events = _decoded([json.dumps(chunk)], LONG_KEY)
    found = next(event for event in events if isinstance(event, TokenProbabilities))
    assert "".join(token.token for token in found.tokens) == MASK
    assert not any(token.alternatives for token in found.tokens)
    assert str(list(LONG_KEY[:5].encode()))[1:-1] not in _raw(events)[0]


@pytest.mark.parametrize("choice", [0, 1])
@pytest.mark.parametrize("finish", [{"logprobs": None}, {}, None])
@pytest.mark.parametrize(("length", "shown"), [(4, LONG_KEY[:4]), (7, LONG_KEY[:7]), (17, MASK)])
def test_token_that_begins_like_a_key_is_whole_at_the_end(length: int, shown: str, finish: Any, choice: int) -> None:
    token = {"token": LONG_KEY[:length], "logprob": -0.1, "bytes": [], "top_logprobs": []}
    delta = {"content": "a", "reasoning_content": token["token"]}
    first = {"index": choice, "delta": delta, "logprobs": {"content": [token]}, "finish_reason": None}
    last = {"index": choice, "delta": {}, "finish_reason": "stop", **(finish or {})}
    choices = [first] if finish is None else [first, last]
    events = _decoded([json.dumps({"choices": [one]}) for one in choices], LONG_KEY)
    texts = _joined(_raw(events))
    assert texts["choices", choice, "logprobs", "content", "token"] == shown
    assert texts["choices", choice, "delta", "reasoning_content"] == shown
    tokens = [one.token for event in events if isinstance(event, TokenProbabilities) for one in event.tokens]
    assert "".join(tokens) == ("" if choice else shown)


def test_whole_key_in_one_token_leaves_no_bytes() -> None:
    token = {"token": KEY, "logprob": -0.1, "bytes": list(KEY.encode()), "top_logprobs": []}
    chunk = {"choices": [{"index": 0, "delta": {"content": KEY}, "logprobs": {"content": [token]}}]}
    raw = _raw(_decoded([json.dumps(chunk)]))[0]
    assert KEY not in raw
    assert str(list(KEY[:4].encode()))[1:-1] not in raw


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("key", [KEY, LONG_KEY, "sk_bench_Zx-99887766554433"])
def test_event_that_repeats_the_last_one_but_for_a_text_is_masked_as_others(key: str, size: int) -> None:
    text = f'The "content":\n\tC:\\dir\\é 🦊 \ud83d, {key}; <b>s</b> {key[:9]} sk_ {json.dumps(key)} {key.swapcase()}'
    text += f" {key[:7]}"
    pieces = ["delta", "content", ""] + [text[at : at + size] for at in range(0, len(text), size)]
    shown = []
    for is_same in (True, False):
        masker = StreamMasker(key)
        lines = [
            json.dumps({"id": "c", "n": 0 if is_same else at % 3, **json.loads(_chunk(piece))})
            for at, piece in enumerate(pieces)
        ]
        lines += [json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})]
        lines = [*map(masker.masked, lines), masker.rest()[0]]
        shown.append([json.loads(line)["choices"][0]["delta"].get("content") for line in lines if line])
    assert shown[0] == shown[1]
    assert "".join(filter(None, shown[0])).count(MASK) >= 3


def test_stream_that_breaks_before_the_last_piece_shows_no_piece() -> None:
    lines = [json.dumps(_put(PLACES["further choice"], piece)) for piece in (LONG_KEY[:9], LONG_KEY[9:18])]
    rest = json.dumps(_put(PLACES["further choice"], LONG_KEY[18:]))[:-6]
    decoder = ResponseDecoder("text/event-stream", LONG_KEY)
    events = decoder.feed(("".join(f"data: {line}\n\n" for line in lines) + f"data: {rest}").encode(), 1.0)
    events += decoder.end(2.0)
    assert decoder.error is not None
    assert decoder.error.kind == "cut"
    assert MASK in decoder.error.body
    assert not _has_piece(decoder.error.body + "".join(_raw(events)), LONG_KEY)
    assert _joined(_raw(events))["choices", 1, "delta", "content"] == MASK


def test_unfinished_event_that_begins_inside_a_word_is_unchanged() -> None:
    rest = '{"choices": [{"delta": {"content": "sk-3f9a8b7c6d5e4f3a2b1c0d9e'
    decoder = ResponseDecoder("text/event-stream", KEY)
    decoder.feed(f"data: {_chunk('a di')}\n\ndata: {rest}".encode(), 1.0)
    decoder.end(2.0)
    assert decoder.error is not None
    assert rest in decoder.error.body


def test_value_that_each_event_repeats_is_unchanged() -> None:
    lines = [json.dumps({"id": "sk_plan", "model": "m-sk_p", "choices": [{"index": 0, "delta": {}}]})] * 4
    raw = _raw(_decoded(lines))
    assert [json.loads(one)["id"] for one in raw[1:4]] == ["sk_plan"] * 3


@pytest.mark.parametrize("text", ["Plain text.", "It ends like a key: sk_", "It ends: sk_pl", "sk_other is no key"])
def test_further_choice_without_a_key_is_whole(text: str) -> None:
    texts = _joined(_raw(_decoded([json.dumps(_put(PLACES["further choice"], piece)) for piece in text])))
    assert texts["choices", 1, "delta", "content"] == text


def test_whole_response_and_error_keep_text_that_begins_like_a_key() -> None:
    decoder = ResponseDecoder("application/json", KEY)
    message = {"role": "assistant", "content": "It is sk_pl"}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "note": "sk_p"})
    events = [*decoder.feed(body.encode(), 0.0), *decoder.end(1.0)]
    assert _text(events) == "It is sk_pl"
    assert json.loads(_raw(events)[0])["note"] == "sk_p"
    decoder = ResponseDecoder("text/event-stream", KEY)
    decoder.feed(b'data: {"error":{"message":"Bad key sk_plan"}}\n\n', 0.0)
    assert decoder.error is not None
    assert decoder.error.detail == "Bad key sk_plan"


def test_whole_body_with_a_key_in_a_list_is_masked_and_another_is_unchanged() -> None:
    body = json.dumps({"details": [LONG_KEY[at : at + 6] for at in range(0, len(LONG_KEY), 6)], "code": "bad"})
    masked = json.loads(redact_body(body, LONG_KEY))
    assert set(masked["details"]) == {MASK}
    assert masked["code"] == "bad"
    models = json.dumps({"data": [{"id": "electron"}, {"id": "electron-mini"}]})
    assert redact_body(models, "electron-Zx81Qm55Pt90LkWq73Vb") == models


@pytest.mark.parametrize("size", [6, 17])
def test_value_with_a_key_in_a_list_is_masked(size: int) -> None:
    pieces = [LONG_KEY[at : at + size] for at in range(0, len(LONG_KEY), size)]
    parts = masked_value({"content": [{"text": piece} for piece in pieces]}, LONG_KEY)["content"]
    assert {part["text"] for part in parts} == {MASK}
    assert not _has_piece(repr(masked_value({"content": pieces}, LONG_KEY)), LONG_KEY)
    assert masked_value([LONG_KEY[:20], "a"], LONG_KEY) == [MASK, "a"]


def test_key_in_pieces_in_headers_and_error_bodies_is_masked() -> None:
    headers = stored_headers([("x-a", LONG_KEY[:14]), ("x-a", LONG_KEY[14:]), ("x-b", "keep")], LONG_KEY)
    assert headers == (("x-a", MASK), ("x-a", MASK), ("x-b", "keep"))
    pieces = [LONG_KEY[:17], LONG_KEY[17:]]
    error = http_error(400, {}, json.dumps({"error": {"message": "bad", "details": pieces}}), LONG_KEY)
    assert not [piece for piece in pieces if piece in repr(error)]


@pytest.mark.parametrize("place", [3, 6, 13, 20])
def test_key_split_over_the_fields_of_a_stream_error_is_masked(place: int) -> None:
    pieces = {"message": LONG_KEY[:place], "type": LONG_KEY[place:]}
    decoder = ResponseDecoder("text/event-stream", LONG_KEY)
    events = decoder.feed(f"data: {_chunk('Hello')}\n\ndata: {json.dumps({'error': pieces})}\n\n".encode(), 0.0)
    assert decoder.error is not None
    shown = repr(decoder.error) + repr(events)
    assert not [piece for piece in pieces.values() if repr(piece) in shown or piece in shown.split('"')]
    assert _text(events) == "Hello"


@pytest.mark.parametrize(
    "tagged", ["sk_live_<b>Zx81Qm55Pt</b>90LkWq73Vb", 'sk_l<br/>ive_Zx81Qm55Pt90Lk<i class="x">Wq73Vb']
)
@pytest.mark.parametrize("quoted", [("<", ">"), ("\\u003c", "\\u003e"), ("&lt;", "&gt;")])
def test_key_with_tags_inside_is_masked(tagged: str, quoted: tuple[str, str]) -> None:
    text = json.dumps({"error": {"message": f"<p>no {tagged}.</p>", "details": [{"is": tagged}]}})
    text = text.replace("<", quoted[0]).replace(">", quoted[1])
    error = http_error(401, {}, text, LONG_KEY)
    assert json.loads(error.body)["error"]["details"] == [{"is": MASK}]
    assert not [piece for piece in ("Qm55", "90Lk", "Wq73") if piece in repr(error)]
    plain = f"a<b>b</b> {LONG_KEY[:3]}<i>x</i> {tagged[:-1]}"
    assert redact(plain, LONG_KEY).startswith(f"a<b>b</b> {LONG_KEY[:3]}<i>x</i> ")


@pytest.mark.parametrize("form", [0, 3, 5])
@pytest.mark.parametrize("size", [2, 4, 7, 8, 11])
def test_key_in_pieces_with_other_names_is_masked(size: int, form: int) -> None:
    secret = key_forms(LONG_KEY)[form]
    pieces = [secret[at : at + size] for at in range(0, len(secret), size)]
    details = [{f"part {at}": piece, "n": at} for at, piece in enumerate(pieces)]
    error = http_error(400, {}, json.dumps({"error": {"message": "bad", "details": details}}), LONG_KEY)
    shown = json.loads(error.body)["error"]["details"]
    assert [next(iter(detail.values())) for detail in shown] == [MASK] * len(pieces)
    headers = stored_headers([(f"X-Part-{at}", piece) for at, piece in enumerate(("keep ", *pieces))], LONG_KEY)
    assert [value for _, value in headers] == ["keep ", *[MASK] * len(pieces)]


@pytest.mark.parametrize(
    ("ids", "shown"),
    [
        (["req-d81a36f"], ["req-d81a36f"]),
        (["req-d81a36fb"], [f"req-{MASK}"]),
        (["call_9e4b7f02c5", "call_9"], [f"call_{MASK}", "call_9"]),
        (["c1", "c2", "c3-b20e7936ad"], ["c1", "c2", f"c3-{MASK}"]),
        (["x9e4b7f02", "c5d81a36", "fb20e7936ad4c85b1f07e2d9."], [f"x{MASK}", MASK, f"{MASK}."]),
    ],
)
def test_id_of_a_tool_call_that_ends_with_a_part_of_the_key_is_one_text_in_its_call(
    ids: list[str], shown: list[str]
) -> None:
    key = "9e4b7f02c5d81a36fb20e7936ad4c85b1f07e2d9"
    lines = []
    for index, id_ in enumerate(ids):
        call = {"index": index, "id": id_, "type": "function", "function": {"name": "look", "arguments": ""}}
        more = {"index": index, "function": {"arguments": '{"a": 1}'}}
        lines += [json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [one]}}]}) for one in (call, more)]
    events = [event for event in _decoded(lines, key) if isinstance(event, ToolCallDelta)]
    assert [(event.index, event.id) for event in events if event.id] == list(enumerate(shown))
    assert [event.name for event in events if event.name] == ["look"] * len(ids)


@pytest.mark.parametrize("word", ["get_translation", "translation"])
def test_name_that_ends_with_words_of_the_key_is_unchanged(word: str) -> None:
    call = {"index": 0, "id": word, "type": "function", "function": {"name": word, "arguments": "{}"}}
    line = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    assert _raw(_decoded([line], "please-check-my-translation-key-7"))[0] == line


@pytest.mark.parametrize("size", [2, 4, 7, 8, 11])
def test_key_in_pieces_in_the_ids_of_tool_calls_is_masked(size: int) -> None:
    pieces = ["call_7", *(LONG_KEY[at : at + size] for at in range(0, len(LONG_KEY), size)), "call_8"]
    calls = [{"index": at, "id": id_, "function": {"name": "f", "arguments": "{}"}} for at, id_ in enumerate(pieces)]
    events = _decoded(
        [json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in calls], LONG_KEY
    )
    ids = [event.id or "" for event in events if isinstance(event, ToolCallDelta)]
    assert (ids[0], ids[-1][-6:]) == ("call_7", "call_8")
    assert not _has_piece("".join(ids) + "".join(_raw(events)), LONG_KEY)


@pytest.mark.parametrize("word", ["", "call_", "toolu-"])
@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_key_split_over_ids_that_each_begin_with_a_word_is_masked(word: str, count: int) -> None:
    key = "sk_thS4mvTNpdEdP6Dw4iK4es5Vfv5D29syIrq0jDyO"
    text, size = f"Your token: {key}. Thank you.", -(-71 // count)
    ids = [word + text[at : at + size] for at in range(0, len(text), size)]
    calls = [{"index": at, "id": id_, "function": {"name": "f", "arguments": "{}"}} for at, id_ in enumerate(ids)]
    lines = [json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in calls]
    events = _decoded(lines, key)
    raw = [json.loads(data) for data in _raw(events) if "tool_calls" in data]
    shown = [call.get("id", "").removeprefix(word) for one in raw for call in one["choices"][0]["delta"]["tool_calls"]]
    assert re.sub(f"(sk_)?({MASK})+", MASK, "".join(shown)) == f"Your token: {MASK}. Thank you."


def test_ids_of_tool_calls_without_a_key_are_unchanged() -> None:
    ids = [
        "call_1",
        "call_2",
        "call_Ab3",
        "call_Ab3",
        "call_",
        "toolu_9x",
        "toolu_sk",
        "7",
        *(f"call_{at}" for at in range(30)),
    ]
    calls = [{"index": at, "id": id_} for at, id_ in enumerate(ids)]
    lines = [json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in calls]
    masker = StreamMasker("sk_1234567890123456")
    assert ([masker.masked(line) for line in lines], masker.rest()) == (lines, ("", ""))


@pytest.mark.parametrize(
    "id_", ["req-78e7289c0b10617d-1613", "call_MwU47f5e3UWRKfCw1zm7rGy3-263", "d8cd6-93-264", "7f02"]
)
def test_field_that_is_not_joined_comes_whole_if_its_end_is_in_the_key(id_: str) -> None:
    key = "9e4b7f02c5d81a36fb20e7936ad4c85b1f07e2d9"
    call = {"index": 0, "id": id_, "type": "function", "function": {"name": "look_7f02", "arguments": '{"a": 1}'}}
    delta = {"role": "assistant", "tool_calls": [call]}
    line = json.dumps({"id": id_, "model": "m-fb20e7", "choices": [{"index": 0, "delta": delta}]})
    events = _decoded([line], key)
    calls = [(one.index, one.id, one.name) for one in events if isinstance(one, ToolCallDelta)]
    assert calls == [(0, id_, "look_7f02")]
    assert _raw(events)[0] == line
