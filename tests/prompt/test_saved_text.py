"""Saving into the text of a file: what did not change keeps its bytes."""

from __future__ import annotations

import json
import random

import pytest
from msgspec.structs import replace

from playground.prompt.document import Document, Json, Message
from playground.prompt.files import FileFormat, dump, parse_bytes
from playground.prompt.saved_text import saved_bytes

USER = '{"role": "user", "content": "hello"}'
TEXTS = {
    "one line": '{"model":"m","messages":[{"role":"user","content":"hello"}]}\n\n',
    "four spaces": json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}, indent=4),
    "tabs": '{\n\t"model": "m",\n\t"messages": [\n\t\t' + USER + "\n\t]\n}\n",
    "byte-order mark and CRLF": '\ufeff{\r\n  "messages": [\r\n    ' + USER + '\r\n  ],\r\n  "model": "m"\r\n}\r\n',
    "numbers": '{"temperature": 0.70, "seed": 1E+5, "x": 0.1000000000000000055511, "messages": [' + USER + "]}",
    "unknown and null": '{"zeta": {"b": null}, "model": null, "user": "u", "messages": [' + USER + '], "n": 1.0}',
    "order in a message": '{"messages": [{"x": 1, "content": "hello", "name": "bob", "role": "user"}]}',
    "escapes": '{"model": "a\\/b", "messages": ['
    + USER
    + ', {"role": "user", "content": "\\u00e9\\ud83d\\ude00\\ud83d"}]}',
    "repeated key": '{"model": "m", "model": "n", "messages": [' + USER + "]}",
    "text parts": '{"messages": [' + USER + ', {"role": "user", "content": [{"type": "text", "text": "b", "k": 1}]}]}',
    "options": '{"stream": false, "tools": [], "stream_options": {"z": 1}, "messages": [' + USER + "]}",
    "prompt file": '{"electron_playground_prompt": 1, "id": "i", "note": {"a": 1.0}, "messages": [' + USER + "]}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_saved_bytes_one_message_edited_changes_its_text_only(text: str) -> None:
    data = text.encode()
    opened = parse_bytes(data)
    first, *others = opened.document.messages
    edited = replace(opened.document, messages=(replace(first, content="hello Z"), *others))
    assert saved_bytes(opened.document, opened.format, data) == data
    assert saved_bytes(edited, opened.format, data).replace(b"hello Z", b"hello", 1) == data


def test_saved_bytes_new_message_and_parameter_have_the_style_of_the_file() -> None:
    data = TEXTS["byte-order mark and CRLF"].encode()
    opened = parse_bytes(data)
    messages = (*opened.document.messages, Message("assistant", "é"))
    saved = saved_bytes(replace(opened.document, messages=messages, parameters={"stop": []}), opened.format, data)
    assert saved.decode() == (
        '\ufeff{\r\n  "messages": [\r\n    '
        + USER
        + ',\r\n    {\r\n      "role": "assistant",\r\n      "content": "é"\r\n    }'
        '\r\n  ],\r\n  "model": "m",\r\n  "stop": []\r\n}\r\n'
    )


def test_saved_bytes_of_random_edits_are_read_as_the_document() -> None:
    chance = random.Random(1)
    values: list[Json] = [1, 1.0, True, None, [], [1, 2], {"a": 1}, {}, "s", "\ud800"]
    for text in TEXTS.values():
        opened = parse_bytes(text.encode())
        for _ in range(15):
            messages = list(opened.document.messages) * chance.randint(0, 2)
            messages.insert(chance.randint(0, len(messages)), Message("user", chance.choice(["", "a\n", "😀"])))
            names = chance.sample(["temperature", "x", "seed", "stop", "user"], 2)
            parameters = {**opened.document.parameters, **{name: chance.choice(values) for name in names}}
            parameters.pop(chance.choice([*parameters]))
            changed = replace(
                opened.document, messages=tuple(messages), parameters=parameters, stream=chance.random() < 0.5
            )
            read = parse_bytes(saved_bytes(changed, opened.format, text.encode())).document
            assert dump(read, opened.format) == dump(changed, opened.format)


@pytest.mark.parametrize("on_disk", [None, b"", b"no JSON", b'{"messages": 1}', b'{"electron_playground_prompt": 1}'])
def test_saved_bytes_without_a_file_of_the_format_are_the_whole_document(on_disk: bytes | None) -> None:
    document, file_format = Document(messages=(Message("user", "a"),)), FileFormat("request_body", "m")
    assert saved_bytes(document, file_format, on_disk) == dump(document, file_format).encode()


PARTS = '{"role":"user","content":[{"type":"text","text":"p","cache_control":{"type":"ephemeral"}}]}'
CALL = (
    '{"tool_calls":[{"id":"c","index":0,"type":"function","function":{"name":"f","arguments":"{}"}}],'
    '"role":"assistant"}'
)
PLAIN = [f'{{ "content":"\\u00e9{text}", "role":"user"}}' for text in "abz"]
NEW = Message("user", "new")


def body(*messages: str) -> str:
    return '{"messages":[' + ",".join(messages) + "]}"


@pytest.mark.parametrize(
    ("before", "order", "after"),
    [
        ([PLAIN[0], PARTS], [1, 0], [PARTS, PLAIN[0]]),
        ([PLAIN[0], CALL, PARTS, PLAIN[1]], [3, 1, 0, 2], [PLAIN[1], CALL, PLAIN[0], PARTS]),
        ([PLAIN[0], PARTS, PLAIN[2]], [NEW, 0, 1, "edited"], [None, PLAIN[0], PARTS, "edited"]),
        ([PLAIN[0], CALL, PLAIN[2]], [0, NEW, "edited", 2], [PLAIN[0], None, "edited", PLAIN[2]]),
        ([PLAIN[0], PLAIN[1], CALL, PLAIN[2]], [0, "edited", 3], [PLAIN[0], "edited", PLAIN[2]]),
    ],
    ids=["swap", "shuffle", "new first and last edited", "new and edited", "removed and edited"],
)
def test_saved_bytes_moved_and_neighbouring_messages_keep_their_own_text(
    before: list[str], order: list[int | str | Message], after: list[str | None]
) -> None:
    """In `order` and `after`, "edited" is the message with the call, or the last one, with other content."""
    data = body(*before).encode()
    opened = parse_bytes(data)
    edited_at = before.index(CALL) if CALL in before else len(before) - 1
    edited = replace(opened.document.messages[edited_at], content="EDIT")
    messages = tuple(
        one if isinstance(one, Message) else edited if isinstance(one, str) else opened.document.messages[one]
        for one in order
    )
    saved = saved_bytes(replace(opened.document, messages=messages), opened.format, data).decode()
    assert parse_bytes(saved.encode()).document.messages == messages
    for text in after:
        if text == "edited":
            assert ('"index":0' in saved) == (CALL in before)
        elif text is not None:
            assert text in saved
