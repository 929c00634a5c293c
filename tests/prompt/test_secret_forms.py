"""Every form of a secret is masked in each place that is searched, and ordinary lines stay there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from playground.client.credentials import credentials
from playground.client.redact import redact
from playground.prompt.secret_names import is_secret, is_word
from playground.prompt.secret_texts import masked_secrets, spans_in
from playground.prompt.secret_values import is_value
from playground.storage.damaged_files import without_secrets
from playground.tools.mcp_servers import conceal
from tests.prompt.secret_forms import GENERATED, GENERATED_TEXTS, NAMES, ORDINARY, SECRETS, TEXTS

FORMS = (*((text, SECRETS) for text in TEXTS), *((text, GENERATED) for text in GENERATED_TEXTS))


def of_body(fields: object, *, headers: list[tuple[str, str]] | None = None) -> str | None:
    body = json.dumps({"messages": [], "metadata": fields}, ensure_ascii=False).encode()
    return credentials("/v1/chat/completions", headers or [], body=body)


def left(text: str, secret: str, found: str | None) -> bool:
    """Return whether a text that repeats a request still has the secret after masking."""
    return secret in redact(text, found)


def texts() -> Iterator[tuple[str, str]]:
    for text, secrets in FORMS:
        yield from ((text.replace("§", secret), secret) for secret in secrets)


def test_tables_have_enough_forms() -> None:
    assert len({*NAMES, *TEXTS, *GENERATED_TEXTS}) >= 260
    assert len(set(ORDINARY)) >= 270


@pytest.mark.parametrize("secret", SECRETS)
def test_value_under_a_name_is_masked(secret: str) -> None:
    leaks = []
    for name in NAMES:
        setting, line = f'{name} = "{secret}"', f"a: b\n{name}: {secret}\nc: d"
        found = {
            "parameter": left(secret, secret, of_body({name: secret})),
            "setting": left(setting, secret, of_body(setting)),
            "line": left(line, secret, of_body({"note": line})),
            "masked": secret in masked_secrets(line),
        }
        if name.isascii() and " " not in name and "'" not in name:
            found["header"] = left(secret, secret, credentials("/v1", [(name.replace("_", "-"), secret)]))
        leaks += [(name, place) for place, is_left in found.items() if is_left]
    assert leaks == []


def test_secret_of_each_form_is_masked_in_parameters_headers_and_texts_of_any_origin() -> None:
    leaks = []
    for text, secret in texts():
        places = {
            "parameter": left(text, secret, of_body({"x": text})),
            "list": left(text, secret, of_body({"x": [text]})),
            "header": left(text, secret, of_body({}, headers=[("X-Note", text)])),
            "masked": secret in masked_secrets(redact(text, None)),
        }
        leaks += [(place, text) for place, is_left in places.items() if is_left]
    assert leaks == []


def test_secret_of_each_form_is_masked_in_the_copy_of_a_damaged_file() -> None:
    leaks = []
    for text, secret in texts():
        whole = json.dumps({"endpoints": [{"name": "Kept name", "x": text}]})
        for damaged in (whole, whole[:-3], whole.replace('"Kept', 'Kept'), json.dumps({"x": whole})):  # fmt: skip
            copy = without_secrets(damaged.encode()).decode()
            assert "Kept name" in copy
            assert without_secrets(copy.encode()).decode() == copy
            if secret[:-2] in copy or json.dumps(secret[:-2])[1:-1] in copy:
                leaks.append((text, damaged))
    assert leaks == []


def test_secret_of_a_command_is_concealed_and_put_back() -> None:
    commands = [(text, secret) for text, secret in texts() if " -" in text or "://" in text.split()[0]]
    assert len(commands) > 150
    for text, secret in commands:
        stored, found = conceal(text, lambda _found: "0" * 12)
        assert secret not in stored
        assert any(secret in one for one in found)
        assert conceal(stored, lambda _found: "1" * 12) == (stored, ())


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_line_stays(text: str) -> None:
    assert of_body({"note": text, "x": [text, "second-1234"]}) is None
    assert of_body({}, headers=[("X-Note", text)]) is None
    assert masked_secrets(text) == text


def test_text_of_messages_is_not_searched() -> None:
    messages = [{"role": "user", "content": text} for text, _ in texts()]
    assert credentials("/v1", [], body=json.dumps({"messages": messages, "input": messages}).encode()) is None


def test_each_line_of_a_private_key_is_masked() -> None:
    lines = [f"MIIJQgIBADANBgkqhkiG9w0BAQEFAASCCSwwggkoAgEAAoICAQC7{number:012}" for number in range(51)]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])
    found = of_body({"note": key}) or ""
    masked = redact(json.dumps(key), found)
    assert [line for line in lines if line in masked] == []


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        *((value, True) for value in (*SECRETS, "s5c42LM SdpRhcY", "correct-horse-7", "пароль-Xk9f", "Pa(ssword1")),
        *((value, False) for value in ("at least 8 characters", "至少8个字符", "обязательное", "Haustürschlüssel")),
        *((value, False) for value in ("/home/bob/shop", "./a/b.pem", "$TOKEN", "${TOKEN}-x1", "f(x)[123]", "xxxxxx1")),
    ],
)  # fmt: skip
def test_value_is_a_secret_unless_it_is_words_a_path_or_a_reference(value: str, secret: bool) -> None:
    assert is_value(value) == secret


@pytest.mark.parametrize("word", ["getElementsByTagName", "OpenAI", "PRIMARYKEY", "XMLHttpRequest", "Straßenbahn"])
def test_word_in_camel_case_is_a_word(word: str) -> None:
    assert is_word(word)


@pytest.mark.parametrize("text", ["jObCZGvGiCaY", "xkqzrtwpl", "QWRTPSDFGHJK", "aBcDeFgHiJkL"])
def test_random_letters_are_no_word(text: str) -> None:
    assert not is_word(text)


@pytest.mark.parametrize(
    "name", ["primary key", "palabra clave", "ключевое слово", "password_min_length", "token_count", "routing_key"]
)
def test_name_of_something_else_is_no_secret(name: str) -> None:
    assert not is_secret(name)


def test_routing_key_is_a_secret_if_it_is_generated() -> None:
    assert of_body({"routing_key": "6d1f0c9be2a84357b1f0c9e2a8435d71"}) == "6d1f0c9be2a84357b1f0c9e2a8435d71"
    assert of_body({"routing_key": "orders.created.europe-1"}) is None


@pytest.mark.parametrize(
    "text",
    [
        *("-----BEGIN PRIVATE KEY-----" * 5_000, "password " * 15_000, "a-" * 75_000, "<a>" * 50_000, "a/" * 22_500),
        *(f"{'x' * 150_000}@h", "a:" * 75_000, "-p a " * 25_000, "name='key' " * 15_000, "is aB3dE5fG7hJ9 " * 10_000),
    ],
    ids=range(10),
)  # fmt: skip
def test_the_time_for_a_text_grows_with_its_length_only(text: str) -> None:
    before = time.process_time()
    assert len(list(spans_in(text))) <= len(text)
    assert time.process_time() - before < 5.0  # with the square of the length, more
