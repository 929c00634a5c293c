"""Error bodies of all known shapes, and their errors for the user."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime

import msgspec
import pytest

from playground.client.error_body import parse
from playground.client.errors import http_error, is_quota, retry_after_s, stream_error
from playground.client.retry import RetryPolicy

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def _electron(**more: object) -> str:
    return json.dumps({"error": {"message": "It went wrong", "type": "some_error", "request_id": "r7", **more}})


def test_electrons_envelope_names_the_field() -> None:
    details = [
        {"code": "invalid", "message": "must be user or system", "path": ["messages", 3, "role"]},
        {"code": "invalid", "message": "too many", "path": ["tools"]},
    ]
    error = http_error(400, {}, _electron(details=details), None)
    assert error.detail.split("\n") == [
        "It went wrong",
        "messages[3].role: must be user or system",
        "tools: too many",
    ]
    assert (error.kind, error.status, error.error_type, error.body_request_id) == (
        "http",
        400,
        "some_error",
        "r7",
    )
    assert error.details == tuple(details)
    assert "named field" in error.advice
    assert "named field" not in http_error(400, {}, _electron(), None).advice


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "Correct"),
        (401, "key"),
        (403, "plan"),
        (404, "base URL"),
        (429, "fewer"),
        (500, "support"),
        (502, "Send again"),
        (503, "Send again"),
        (504, "support"),
    ],
)
def test_every_status_has_a_title_and_says_what_to_do(status: int, word: str) -> None:
    error = http_error(status, {}, _electron(), None)
    assert error.title
    assert word in error.advice
    assert http_error(status, {}, "", None).detail == f"The server answered {status} without an explanation."


def test_429_says_how_long_to_wait_or_that_it_was_not_said() -> None:
    told = http_error(429, {"retry-after": "6.2"}, _electron(), None)
    assert (told.retry_after_s, "wait 7 s (Retry-After)" in told.advice) == (6.2, True)
    untold = http_error(429, {}, _electron(), None)
    assert (untold.retry_after_s, "no Retry-After" in untold.advice) == (None, True)


def test_a_redirect_says_where_to() -> None:
    error = http_error(308, {"location": "https://elsewhere.example/v1"}, "", None)
    assert "https://elsewhere.example/v1" in error.advice


def test_key_encoded_twice_in_the_path_of_a_redirect_is_masked_in_the_advice() -> None:
    key = "Gx7.pQ2_vN9-tK4.wL8~Zm3"
    for echo in (b64encode(b64encode(key.encode())), b64encode(key.encode()).hex().encode()):
        for path in ("18399/", "18399/v1/models/", "18399/v1/"):
            error = http_error(308, {"location": f"http://h.example:{path}{echo.decode()}"}, "", key)
            assert f"to http://h.example:{path}sk_…" in error.advice


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 99 Nov 2026 11:00:00 GMT", None),
        ("soon", None),
        ("Mon, 23 Nov 99999999999999999999 11:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, NOW) == expected


@pytest.mark.parametrize(
    ("body", "lines", "kind"),
    [
        ('{"error":{"message":"m","type":"t","param":"messages","code":null}}', ["messages: m"], "t"),
        ('{"error":{"message":"no messages","type":"t","param":"messages"}}', ["no messages"], "t"),
        ('{"error":"unauthorized","message":"The key is wrong"}', ["The key is wrong"], "unauthorized"),
        ('{"error":"model not found"}', ["model not found"], None),
        ('{"object":"error","message":"m","type":"t","code":404}', ["m"], "t"),
        ('{"detail":"Not Found"}', ["Not Found"], None),
        (
            '{"detail":[{"loc":["body","messages",0],"msg":"field required","type":"missing"}]}',
            ["messages[0]: field required"],
            None,
        ),
        ('[{"error":{"message":"m"}}]', ["m"], None),
        ('{"error":{"code":1}}', ['{"error":{"code":1}}'], None),
        ('{"error":["a"]}', ['{"error":["a"]}'], None),
        ('{"error":{"message":"m","details":["x",7,{}]}}', ["m", "not accepted"], None),
        ('{"error":{"message":"m","details":[{"path":"stop","message":"bad"}]}}', ["m", "stop: bad"], None),
        ("null", ["null"], None),
        ("  upstream gone \n", ["upstream gone"], None),
        ("", [], None),
        ("[" * 100_000, ["[" * 400 + " …"], None),
        ("<html><head><title>502 Bad Gateway</title></head><body>x</body></html>", ["502 Bad Gateway"], None),
        (
            "<!DOCTYPE html><style>b{}</style><!-- c --><h1>Service&nbsp;down</h1><p>Try\n later</p>",
            ["Service down Try later"],
            None,
        ),
    ],
)
def test_bodies_of_every_shape(body: str, lines: list[str], kind: str | None) -> None:
    said = parse(body)
    assert said.lines == lines
    assert said.type == kind


def test_an_error_in_a_stream_has_no_status_of_its_own() -> None:
    error = stream_error(_electron(), None)
    assert (error.kind, error.status, error.detail) == ("stream_error", None, "It went wrong")
    assert (error.error_type, error.body_request_id) == ("some_error", "r7")


def test_whatever_an_error_holds_can_be_stored() -> None:
    body = '{"error":{"message":"half \\ud83d","details":[{"message":"\\udc00","n":%s,"x":NaN}]}}' % ("9" * 5000)
    error = http_error(400, {}, body, None)
    assert error.detail == "half \ufffd\n\ufffd"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(error), type=type(error)).detail == error.detail


def test_the_body_is_cut_and_no_part_of_a_key_is_left_at_its_end() -> None:
    key = "plain-key-0123456789"
    body = "x" * (65_536 - 10) + key
    error = http_error(500, {}, body, key)
    assert len(error.body) <= 65_536
    assert "plain" not in error.body


@pytest.mark.parametrize("number", ["1e9998", "NaN", "-Infinity", "9" * 400])
def test_http_error_number_that_is_not_finite_becomes_null(number: str) -> None:
    body = '{"detail": [{"msg": "odd", "path": ["messages", NUMBER], "value": NUMBER}]}'.replace("NUMBER", number)
    (detail,) = http_error(422, {}, body, None).details
    assert (detail["path"], detail["value"]) == (["messages", None], None)


@pytest.mark.parametrize(
    ("sent", "headers", "expected"),
    [
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, {}, True),
        ({"code": "insufficient_quota"}, {"retry-after": "1"}, True),
        ({"message": "You exceeded your current quota"}, {}, True),
        ({"message": "You exceeded your current quota"}, {"retry-after": "1"}, False),
        ({"message": "Insufficient Balance"}, {}, True),
        ({"message": "Concurrency limit reached", "type": "rate_limit_error"}, {}, False),
    ],
)
def test_is_quota_by_code_or_message(sent: dict[str, str], headers: dict[str, str], expected: bool) -> None:
    error = http_error(429, headers, json.dumps({"error": sent}), None)
    assert is_quota(error) is expected
    retried = RetryPolicy().wait_s(1, error, "https://api.example/v1") is not None
    assert retried is not expected


@pytest.mark.parametrize(("key_sent", "title"), [(False, "No key was sent"), (True, "The key was not accepted")])
def test_http_error_401_without_a_key_names_that(key_sent: bool, title: str) -> None:
    assert http_error(401, {}, "", None, key_sent=key_sent).title == title


@pytest.mark.parametrize(("headers", "expected"), [({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "2"}, 2.0)])
def test_http_error_retry_after_units(headers: dict[str, str], expected: float) -> None:
    assert http_error(429, headers, "", None).retry_after_s == expected
