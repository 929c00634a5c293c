"""Base URLs: validation, normalization, and origins that may receive a key."""

from __future__ import annotations

import pytest

from playground.client.endpoint import check_base_url, exposes_key, is_loopback, origin
from playground.prompt.field_errors import InputError


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://api.smallest.ai/waves/v1", "https://api.smallest.ai/waves/v1"),
        ("  https://api.smallest.ai/waves/v1/ \n", "https://api.smallest.ai/waves/v1"),
        ("https://api.smallest.ai/waves/v1/chat/completions", "https://api.smallest.ai/waves/v1"),
        ("https://api.smallest.ai/waves/v1/chat/completions/", "https://api.smallest.ai/waves/v1"),
        ("HTTPS://API.Smallest.AI/Waves/v1", "https://api.smallest.ai/Waves/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("http://localhost:/v1", "http://localhost/v1"),
        ("https://xn--mnchen-3ya.example/v1", "https://xn--mnchen-3ya.example/v1"),
        ("https://m\u00fcnchen.example/v1", "https://m\u00fcnchen.example/v1"),
    ],
)
def test_good_urls_are_kept_in_one_form(text: str, kept: str) -> None:
    assert check_base_url(text) == kept
    assert check_base_url(kept) == kept


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "neither"),
        ("api.smallest.ai/waves/v1", "neither"),
        ("ftp://host/v1", "neither"),
        ("file:///etc/passwd", "neither"),
        ("http:host/v1", "neither"),
        ("https://", "no host"),
        ("https:///v1", "no host"),
        ("https://:8080/v1", "no host"),
        ("https://host:0/v1", "port"),
        ("https://host:65536/v1", "port"),
        ("https://host:80a/v1", "port"),
        ("https://[::1/v1", "not a URL"),
        ("https://user:secret@host/v1", "password"),
        ("https://user@host/v1", "user name"),
        ("https://host/v1?key=1", "query"),
        ("https://host/v1?", "query"),
        ("https://host/v1#x", "fragment"),
        ("https://ho st/v1", "space"),
        ("https://host/v\n1", "space"),
        ("https://host/\u200bv1", "cannot be seen"),
        ("https://xn--a/v1", "not a valid name"),
        ("https://\u2460\u0301-.example/v1", "not a valid name"),
    ],
)
def test_bad_urls_say_what_is_wrong_and_what_to_do(text: str, word: str) -> None:
    with pytest.raises(InputError) as caught:
        check_base_url(text)
    (problem,) = caught.value.problems
    assert word in problem.message
    assert problem.path == ("base_url",)
    assert problem.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost:8080/v1", "Is it http://localhost:8080/v1?"),
        ("127.0.0.1:11434/v1", "Is it http://127.0.0.1:11434/v1?"),
        ("api.smallest.ai/waves/v1", "Is it https://api.smallest.ai/waves/v1?"),
    ],
)
def test_a_url_without_its_scheme_is_guessed_at(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        check_base_url(text)
    assert caught.value.problems[0].hint == hint


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://Host/v1") == origin("https://host:443/other") == "https://host:443"
    assert origin("http://host/v1") == "http://host:80"
    assert origin("http://[::1]:80/v1") == "http://[::1]:80"
    assert origin("https://host:8443/v1") != origin("https://host/v1")


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.9.9.9", True),
        ("http://localhost", True),
        ("http://sub.localhost", True),
        ("http://[::1]", True),
        ("http://0.0.0.0", False),
        ("http://192.168.1.4", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_a_key_goes_in_the_clear_to_this_machine_only(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback
    assert exposes_key(url) is not loopback
    assert not exposes_key(url.replace("http:", "https:"))
