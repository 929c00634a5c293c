"""The copy of a damaged file of settings or endpoints has no secret in it, however the file is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from playground.storage.damaged_files import without_secrets

ROW: dict[str, Any] = {"id": "e1", "name": "Kept name", "base_url": "http://127.0.0.1:9001/v1", "model": "m1"}
SECRETS = ("hunter2Zebra99x", "correcthorse", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "4711908237")
FIELDS: tuple[dict[str, Any], ...] = (
    {"base_url": "https://bob:{}@h.example/v1"},
    {"base_url": "https://h.example/v1?x=1&access_token={}&y=2"},
    {"base_url": "https://h.example/v1#token={}"},
    {"base_url": "bob:{}@h.example/v1"},
    *({name: "{}"} for name in ("api_key", "apiKey", "API-Key", "passwort", "key")),
    {"headers": {"Authorization": "Bearer {}"}},
    {"headers": {"Cookie": "session={}"}},
    {"headers": [["X-Api-Key", "{}"]]},
    {"headers": [{"name": "X-Api-Key", "value": "{}"}]},
    {"headers": "X-Api-Key: {}"},
    {"env": "OPENAI_API_KEY={}"},
    {"dsn": "postgres://bob:{}@db/x"},
    {"conn": "Server=db;User Id=bob;Password={};"},
    {"api_key": {"value": "{}"}},
    {"api_keys": ["{}"]},
    {"extra": '{{"api_key": "{}"}}'},
    {"tool_server": "npx server --token {}"},
    {"tool_server": "API_KEY={} npx server"},
    {"tool_server": "npx server -p {}"},
)


def filled(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.format(secret)
    if isinstance(value, list):
        return [filled(one, secret) for one in value]
    return {name: filled(one, secret) for name, one in value.items()}


def damaged(row: dict[str, Any], secret: str) -> dict[str, bytes]:
    text = json.dumps({"endpoints": [ROW, row, ROW]}, indent=1)
    line = json.dumps({"endpoints": [ROW, row, ROW]})
    end = text.index(secret) + len(secret)
    return {
        "bad row": json.dumps({"endpoints": [ROW, {**row, "plan": 7}]}).encode(),
        "cut at the end": text[:-30].encode(),
        "cut after the secret": text[:end].encode(),
        "cut in the secret": text[: end - 2].encode(),
        "open quotation mark": line.replace('"m1"', '"m1').encode(),
        "quotation mark too many": line.replace('{"endpoints": [', '{"endpoints": ["').encode(),
        "NUL": text.replace('"m1"', '"m\x001"').encode(),
        "UTF-16": text[:-3].encode("utf-16"),
        "no UTF-8": text.encode().replace(b"m1", b"\xff\xfe1"),
        "single quotation marks": line.replace('"', "'").encode(),
        "YAML": line.replace('"', "").replace("{", "\n  ").replace(", ", "\n  ").encode(),
        "twice": (text + text).encode(),
    }


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_copy_of_a_damaged_file_has_no_secret(fields: dict[str, Any]) -> None:
    leaks = []
    for secret in SECRETS:
        row = {**ROW, **filled(fields, secret)}
        for damage, data in damaged(row, secret).items():
            copy = without_secrets(data)
            text = copy.replace(b"\0", b"").decode("utf-8", "replace")
            if secret[:-2] in text:
                leaks.append((secret, damage, text))
            assert "Kept name" in text
            assert "http://127.0.0.1:9001/v1" in text
            assert without_secrets(copy) == copy
    assert leaks == []


def test_file_without_secret_is_kept_as_it_is() -> None:
    rows = [ROW, {**ROW, "model": "gpt-4o-mini-2024-07-18", "needs_key": False, "context_source": "set"}]
    for data in (json.dumps({"endpoints": rows}).encode(), json.dumps({"endpoints": rows}).encode()[:-2] + b"x]}"):
        assert without_secrets(data) == data


def test_short_option_with_a_password_is_masked_in_a_file_of_settings() -> None:
    data = b'{"theme": "dark, "tool_server": "npx s -p hunter2Zebra99x"}'
    assert b"hunter2" not in without_secrets(data)


def test_copy_of_a_damaged_file_keeps_the_id_of_an_endpoint_and_masks_other_generated_text() -> None:
    """The key store knows an endpoint's key by its id."""
    own, other = "c6724e8f7684fe8325d382287abf1281", "9f1b6c0d52aa7e4433c1d0e8b7a6f512"
    data = f'{{"id": "{own}", "name": "{other}", "base_url": "https://host/v1"'.encode()
    assert without_secrets(data) == data.replace(other.encode(), rb"sk_\u2026")


@pytest.mark.parametrize(
    "data",
    [
        b'{"endpoints": [{"name": "Own", "base_url": "http://u:Z\xff81PqLm55TrWq9@127.0.0.1:1/v1", "model": "m"}]}',
        b'{\x00"endpoints": [{"name": "Own", "base_url": "https://h.example/hook/Zx81PqLm55TrWq9", "model": "m"}]}',
    ],
    ids=["byte that is no UTF-8 in a password", "zero as the second byte"],
)
def test_copy_of_a_damaged_file_has_no_secret_whatever_its_bytes_are(data: bytes) -> None:
    copy = without_secrets(data)
    assert b"81PqLm55" not in copy
    assert b'"name": "Own"' in copy
    assert copy.endswith(b'"model": "m"}]}')


@pytest.mark.parametrize(
    "line",
    [
        '"id": iac332d87b9db5d870958c385a66d6038",',
        '"ia": "ac332d87b9db5d870958c385a66d6038",',
        '"id": "ac332d87b9db5dX870958c385a66d6038",',
        '"id": "ac332d87b9db5d70958c385a66d6038",',
        '"id": "ac332d87b9db5d87\x95095c385a66d6038",',
        '"id": "ac332d87b9db5d870958c385a66d6038,',
    ],
)
def test_copy_of_a_damaged_file_keeps_an_id_with_a_damaged_character(line: str) -> None:
    data = f'{{\n "endpoints": [\n  {{\n   {line}\n   "name": "Own",\n'.encode("latin-1")
    assert without_secrets(data) == data
    secret = data.replace(b'"i', b'"xi').replace(b'd": ', b'dx": ')
    assert b"ac332d87b9db5d8709" not in without_secrets(secret)


@pytest.mark.parametrize("name", ["requests_per_minute", "context_source", "cache_lifetime_s", "base_url"])
def test_copy_of_a_file_that_is_cut_keeps_the_name_at_its_end(name: str) -> None:
    for end in range(1, len(name)):
        data = f'{{\n "base_url": "http://127.0.0.1/v1",\n "{name[:end]}'.encode()
        assert without_secrets(data) == data
    cut = b'{\n "base_url": "http://127.0.0.1/v1",\n "model": "correcthorse'
    assert without_secrets(cut) == cut.replace(b"correcthorse", rb"sk_\u2026")
