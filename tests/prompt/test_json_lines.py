"""Lines of JSON lines: separators of Unicode inside strings end no line."""

from __future__ import annotations

import json

import pytest

from playground.client.response_decoder import ResponseDecoder
from playground.experiments.batch_rows import read_rows
from playground.prompt.import_formats import open_any
from playground.prompt.json_text import json_lines

ODD = "x\u0085y\u2028z\u2029"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb\rc", ["a", "b", "c"]),
        (f"{ODD}\n{ODD}", [ODD, ODD]),
        ("", []),
        ("\n", [""]),
    ],
)
def test_json_lines_end_at_line_feed_and_carriage_return_only(text: str, lines: list[str]) -> None:
    assert json_lines(text) == lines


def test_read_rows_keeps_separators_in_json_lines() -> None:
    data = "".join(json.dumps({"q": f"{ODD}{number}"}, ensure_ascii=False) + "\n" for number in range(3)).encode()
    assert [row.values["q"] for row in read_rows(data, "rows.jsonl")] == [f"{ODD}{number}" for number in range(3)]


def test_open_any_keeps_separators_in_batch_lines() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": ODD}]}
    line = json.dumps(
        {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}, ensure_ascii=False
    )
    assert open_any(f"{line}\n{line}\n").document.messages[0].content == ODD


def test_response_of_json_lines_keeps_separators() -> None:
    def chunk(content: str, finish: str | None) -> str:
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
        return json.dumps({"id": "c", "choices": [choice]}, ensure_ascii=False) + "\n"

    decoder = ResponseDecoder("application/json", None)
    events = decoder.feed((chunk(ODD, None) + chunk("!", "stop")).encode(), 0.0)
    text = "".join(getattr(event, "text", "") for event in [*events, *decoder.end(0.0)])
    assert decoder.error is None
    assert text == f"{ODD}!"
