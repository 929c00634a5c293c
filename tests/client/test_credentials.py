"""Which values of a request are credentials, and which words are not: masking those would change the shown prompt."""

from __future__ import annotations

import json

import pytest

from playground.client.credentials import (
    MAX_CREDENTIALS,
    credentials,
    has_secret,
    secrets_of,
    stored_headers,
)
from playground.client.endpoint import check_base_url
from playground.client.redact import MASK, redact
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.secret_names import is_secret, looks_random
from playground.prompt.secret_values import masked_address


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("X-Author: Christopher", "Christopher"),
        ("X-Tokenizer: cl100k_base", "cl100k_base"),
        ("X-Token-Limit: 40960000", "40960000"),
        ("X-Session-Name: production-server", "production-server"),
        ("X-Session-Topic: gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
        ("X-Keywords: weather-in-mumbai-2026", "weather-in-mumbai-2026"),
        ("X-Monkey: capuchin-2026", "capuchin-2026"),
        ("Idempotency-Key: order-20261128", "order-20261128"),
        ("X-Prompt-Cache-Key: agent-20261128", "agent-20261128"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Authorization: Bearer lm-studio", "lm-studio"),
        ("Authorization: Bearer your-api-key", "your-api-key"),
        ("Cookie: theme=dark-mode-enabled-now; name=ChristopherRobinson", "dark-mode-enabled-now"),
        ("Cookie: name=ChristopherRobinson", "ChristopherRobinson"),
        ("Authorization: AWS4-HMAC-SHA256 SignedHeaders=x-amz-content-sha256, Signature=0a1b", "AWS4-HMAC-SHA256"),
        (
            "Authorization: AWS4-HMAC-SHA256 SignedHeaders=x-amz-content-sha256, Signature=0a1b",
            "x-amz-content-sha256",
        ),
        ('Authorization: Digest username="christopher7", response="0a1b2c3d4e5f"', "christopher7"),
    ],
)
def test_word_of_a_header_that_is_no_secret_stays_in_the_prompt(line: str, word: str) -> None:
    name, _, value = line.partition(": ")
    body = json.dumps({"messages": [{"content": f"about {word}"}], "prompt_cache_key": word})
    assert redact(body, credentials("/v1/chat/completions", [(name, value)], body=body.encode())) == body


def test_parameters_of_a_tool_and_texts_of_messages_are_no_credentials() -> None:
    call = {"function": {"name": "f", "arguments": '{"api_key": "abcdefgh1234"}'}}
    tool = {"type": "function", "function": {"parameters": {"properties": {"token": {"default": "abcdefgh1234"}}}}}
    body = {"messages": [{"content": 'the "key": "abcdefgh1234"', "tool_calls": [call]}], "tools": [tool]}
    assert credentials("/v1/chat/completions", [], body=json.dumps(body).encode()) is None


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("X-Amz-Signature", "sig", "apiKey", "access_token", "X-Hub-Signature-256", "pwd")),
        *((name, True) for name in ("JSESSIONID", "connect.sid", "X-API-Key-Value", "APIKey", "x-functions-key")),
        *((name, False) for name in ("max_tokens", "x-ratelimit-limit-tokens", "X-Authority", "keyboard", "")),
        *((name, False) for name in ("X-Request-Id", "cache_key", "X-Key-Id", "Content-Type", "config", "signal")),
    ],
)
def test_last_word_of_a_name_decides(name: str, secret: bool) -> None:
    assert is_secret(name) == secret


@pytest.mark.parametrize(
    ("text", "random"),
    [
        ("eyJhbGciOiJIUzI1NiJ9.e30.abcDEF123", True),
        ("4/0AX4XfWh9kLm2Qz7TnV", True),
        ("us-east-1b-prod-2-v3-eu", False),
        ("2026-11-28T10:00:00.000Z", False),
        ("iPhone14Pro", False),
    ],
)
def test_looks_random_mixes_kinds_within_parts(text: str, random: bool) -> None:
    assert looks_random(text) == random


def test_own_key_is_masked_whatever_it_looks_like() -> None:
    assert credentials("/", [], "test-key-for-me-1") == "test-key-for-me-1"
    assert credentials("/", [], "your-api-key") == "your-api-key"


def test_stored_headers_have_no_cookie_and_no_secret_and_keep_the_rest() -> None:
    headers = [
        ("Set-Cookie", "a=b"),
        ("X-Auth-Token", "t"),
        ("X-RateLimit-Remaining-Tokens", "99"),
        ("WWW-Authenticate", "Bearer realm=x"),
        ("Location", "https://u:p@h.test/?code=4/0AX4XfWh9kLm2Qz7TnV&page=2"),
        ("X-Request-Id", "r-1"),
    ]
    assert stored_headers(headers, None) == (
        ("x-auth-token", MASK),
        ("x-ratelimit-remaining-tokens", "99"),
        ("www-authenticate", "Bearer realm=x"),
        ("location", f"https://{MASK}@h.test/?code={MASK}&page=2"),
        ("x-request-id", "r-1"),
    )
    assert masked_address("https://h.test/a?x=1&sig=abcdefgh1234") == f"https://h.test/a?x=1&sig={MASK}"


def test_many_cookies_do_not_take_the_place_of_a_key_in_the_body() -> None:
    cookies = "; ".join(f"c{at}=Ab{at:02}cdEf{at:02}Gh1Zz9Qq{at:02}" for at in range(2 * MAX_CREDENTIALS))
    found = credentials("/v1", [("Cookie", cookies)], body=b'{"messages": [], "api_key": "AbC9dEf8GhI7secretvalue"}')
    assert found is not None
    assert "AbC9dEf8GhI7secretvalue" in found.split("\n")


@pytest.mark.parametrize("text", ["https://h.test/?" + ";" * 1_000_000, "https://h.test/?" + "a;" * 500_000])
def test_the_time_for_an_address_grows_with_its_length_only(text: str) -> None:
    assert masked_address(text) == text  # with the square of the length, this would take an hour


def test_the_time_for_a_header_grows_with_its_length_only() -> None:
    found = credentials("/v1", [("Authorization", "Digest " + "-" * 1_000_000 + "=, Ab12Cd34Ef56")])
    assert found is not None
    assert "Ab12Cd34Ef56" in found.split("\n")


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ('OAuth version="1", token="k1Zq1Tr1Yp1Wm1X1"', "k1Zq1Tr1Yp1Wm1X1"),
        ('Digest realm="a", response="0a1b2ca3aa4e5fa6"', "0a1b2ca3aa4e5fa6"),
    ],
)
def test_secret_that_contains_a_public_value_of_its_header_is_found(value: str, secret: str) -> None:
    assert credentials("/v1", [("Authorization", value)]) == secret


def test_header_of_a_tool_is_found_below_the_settings_of_its_kind() -> None:
    tool = {"type": "mcp", "mcp": {"server": {"headers": {"Authorization": "Bearer QwErTy987654"}}}}
    assert credentials("/v1", [], body=json.dumps({"messages": [], "tools": [tool]}).encode()) == "QwErTy987654"


@pytest.mark.parametrize("fields", [{"metadata": {"key": "translation"}}, {"eos_token": "<|im_end|>"}])
def test_words_and_marks_of_a_template_in_the_body_stay_in_the_prompt(fields: dict[str, object]) -> None:
    assert credentials("/v1", [], body=json.dumps({"messages": [], **fields}).encode()) is None


@pytest.mark.parametrize("name", ["key", "token", "api_key"])
def test_a_random_value_under_the_same_names_is_masked(name: str) -> None:
    body = json.dumps({"messages": [], "metadata": {name: "AbC9dEf8GhI7"}}).encode()
    assert credentials("/v1", [], body=body) == "AbC9dEf8GhI7"


SECRET = "AbC9dEf8GhI7"


@pytest.mark.parametrize(
    "fields",
    [
        {"api_keys": ["short", SECRET]},
        {"apiKeys": [SECRET]},
        {"api_keys": {"openai": SECRET}, "max_tokens": 9},
        {"passwords": SECRET},
        {"access_tokens": [SECRET], "max_tokens": 9},
        {"api_key": [SECRET]},
        {"headers": [{"name": "X-Api-Key", "value": SECRET}]},
        {"headers": [{"key": "Authorization", "value": f"Bearer {SECRET}"}]},
        {"headers": [["Authorization", f"Bearer {SECRET}"]]},
        {"tools": [{"type": "mcp", "headers": [{"header": "Authorization", "value": f"Bearer {SECRET}"}]}]},
        {"temperature": float("nan"), "api_key": SECRET},
        {"x": {"Name": "password", "Value": SECRET}},
        {"headers": [{"name": "X-Api-Key", "values": [SECRET]}]},
        {"h": [{"header": "X-Auth-Token", "val": SECRET}]},
        {"headers": [f"X-Api-Key: {SECRET}"]},
        {"args": [f"--token={SECRET}"]},
        {"args": ["--api-key", SECRET]},
        {"env": [f"DB_PASSWORD={SECRET}"]},
        {"webhook": f"https://u:{SECRET}@h.example/x"},
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_secret_in_a_list_or_pair_or_after_a_byte_order_mark_is_found(fields: dict[str, object], mark: bytes) -> None:
    found = credentials("/v1", [], body=mark + json.dumps({"messages": [], **fields}).encode())
    assert found is not None
    assert SECRET in found.split("\n")


@pytest.mark.parametrize(
    "fields",
    [
        {"keys": ["conversation", "customer_name_of_account"]},
        {"primary_keys": ["customer-17-of-2"]},
        {"stop_tokens": ["<|im_end_17|>", "Observation-17"]},
        {"metadata": [{"name": "city", "value": "Salisbury-2026"}]},
        {"pair": ["token", "translation"], "max_tokens": 9},
        {"stop": ["Key: value", "password: unknown", "--token=", "a@b.example"]},
    ],
)
def test_lists_of_other_words_stay_in_the_prompt(fields: dict[str, object]) -> None:
    assert credentials("/v1", [], body=json.dumps({"messages": [], **fields}).encode()) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"dsn": f"Server=h;User Id=u;Password={SECRET};"},
        {"dsn": f"host=h user=u password={SECRET} dbname=d"},
        {"x": f"postgres://user:{SECRET}@host/db"},
        {"x": f"jdbc:postgresql://h/db?user=u&password={SECRET}"},
        {"storage": f"AccountName=a;AccountKey={SECRET};EndpointSuffix=x"},
        {"command": f"npx server --api-key {SECRET}"},
        {"env": f"A=b\nDB_PASSWORD={SECRET}"},
        {"server": json.dumps({"headers": {"X-Api-Key": SECRET}})},
        {"webhook": f"https://hooks.slack.example/services/T0A1B2C3D4/B0A1B2C3D4/{SECRET}"},
    ],
)
def test_secret_inside_a_text_of_the_parameters_is_found(fields: dict[str, object]) -> None:
    found = credentials("/v1", [], body=json.dumps({"messages": [], **fields}).encode())
    assert found is not None
    assert SECRET in found.split("\n")


@pytest.mark.parametrize(
    "body",
    [
        f'{{"api_key": "{SECRET}", "api_key": "Zq02hunterX8kd93LpQv02"}}',
        f'{{"x": {{"api_key": "{SECRET}", "api_key": 5}}}}',
        f'{{"api_key": "{SECRET}", "messages": [',
        f'{{"messages": [], "api_key": "{SECRET}',
        f'[{{"api_key": "{SECRET}"}}]',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_secret_of_a_repeated_name_or_a_cut_body_is_found_in_each_encoding(body: str, encoding: str) -> None:
    found = credentials("/v1", [], body=body.encode(encoding))
    assert found is not None
    assert SECRET in found.split("\n")


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": 7319283746519283746},
        {"password": 7319283746},
        {"api_keys": [7319283746519283746]},
        {"h": [{"name": "X-Api-Key", "value": 7319283746519283746}]},
        {"api_key": 731928374651928374673192837465192837467319283746},
    ],
)
def test_number_as_a_secret_is_masked_and_the_body_stays_json(fields: dict[str, object]) -> None:
    body = json.dumps({"messages": [], **fields})
    masked = redact(body, credentials("/v1", [], body=body.encode()))
    assert "7319283746" not in masked
    assert json.loads(masked).keys() == json.loads(body).keys()


@pytest.mark.parametrize("fields", [{"max_tokens": 12345678}, {"token": 50256}, {"seed": 123456789}, {"api_key": True}])
def test_other_numbers_are_no_secrets(fields: dict[str, object]) -> None:
    assert credentials("/v1", [], body=json.dumps({"messages": [], **fields}).encode()) is None


@pytest.mark.parametrize(
    "target",
    [
        f"/services/T00000000/B00000000/{SECRET}x",
        "/hooks/T000/B000/abcdefghijkl123mnopq",
        "https://h.test/bot123456789:AAbbCCddEEffGGhhIIjjKK/sendMessage",
        "https://h.test/x/aB3dE5fG7hJ9kL1mN3pQ5rS7/v1",
    ],
)
def test_generated_part_of_a_path_is_masked(target: str) -> None:
    secret = max(target.split("/"), key=len).removeprefix("bot")
    found = credentials(target, [])
    assert found is not None
    assert secret in found.split("\n")
    assert secret not in masked_address(target)
    assert not has_secret(f"https://h.test{target}" if target.startswith("/") else target)


@pytest.mark.parametrize(
    "target",
    ["/v1/threads/thread_aB3dE5fG7hJ9kL1mN3pQ5rS7/runs", "/openai/deployments/gpt-4o-mini-2024-07-18/chat/completions"],
)
def test_ids_and_names_in_a_path_stay(target: str) -> None:
    assert credentials(target, []) is None
    assert masked_address(target) == target


@pytest.mark.parametrize("name", ["messages", "input", "prompt", "instructions", "system"])
def test_texts_of_the_conversation_stay(name: str) -> None:
    text = f"Set password={SECRET} and run npx --api-key {SECRET}"
    assert credentials("/v1", [], body=json.dumps({name: text}).encode()) is None
    assert credentials("/v1", [], body=json.dumps({name: [{"role": "user", "content": text}]}).encode()) is None


@pytest.mark.parametrize(
    "body",
    [b'"' * 600_000, b'"key":"' * 100_000, b"key" * 200_000, b'{"x":"' + b"a-" * 32_000 + b'=","key": 1}'],
    ids=["quotes", "names", "words", "setting"],
)
def test_the_time_for_a_body_and_a_path_grows_with_their_length_only(body: bytes) -> None:
    path = "/" + "/a" * 50_000
    credentials(path, [], body=body)
    assert masked_address(path + "://a/" * 20_000) == path + "://a/" * 20_000


@pytest.mark.parametrize("address", ["htp://bob:Pw3xK9@h.test/v1", "bob:Pw3xK9@h.test/v1", "//bob:Pw3xK9@h.test/v1"])
def test_refused_base_url_is_not_repeated_with_its_password(address: str) -> None:
    with pytest.raises(InputError) as caught:
        check_base_url(address)
    assert "Pw3xK9" not in str(caught.value) + repr(caught.value.problems)


@pytest.mark.parametrize(
    "target", ["https://hooks.zapier.com/hooks/catch/1234567/a1b2c3d/", "https://ntfy.sh/a1b2c3d4"]
)
def test_short_last_part_of_a_webhook_is_masked_with_the_part_before_it(target: str) -> None:
    body = json.dumps({"messages": [], "target": target})
    found = credentials("/v1", [], body=body.encode())
    assert "a1b2c3d" not in redact(body, found)
    assert "catch" not in (found or "")  # it would be masked first, and take the id away from the last part
    assert "a1b2c3d" not in masked_address(target)


def test_lists_in_lists_are_searched_to_a_bounded_depth() -> None:
    """Python 3.13 reads JSON that is nested more deeply than functions may be."""
    value: Json = ["--api-key", "Zx81PqLm55TrWq9bKd7Yv3Nc"]
    for _ in range(3_000):
        value = [value]
    assert not list(secrets_of(value))
    assert set(secrets_of([["--api-key", "Zx81PqLm55TrWq9bKd7Yv3Nc"]])) == {"Zx81PqLm55TrWq9bKd7Yv3Nc"}


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/owner/repo/commit/3f786850e387550fdab836ed7e6dc881de23001b",
        "https://cdn.example/6b1f5a6e-5b3f-4a0e-8f7e-1d2c3b4a5f60/img.png",
        "https://cdn.example/6B1F5A6E-5B3F-4A0E-8F7E-1D2C3B4A5F60.png?size=2",
    ],
)
def test_ids_of_commits_and_pictures_in_addresses_are_no_secrets(text: str) -> None:
    assert masked_address(text) == text
    assert masked_address(text.replace("https://", "https://host/hook/")) != text.replace(
        "https://", "https://host/hook/"
    )
