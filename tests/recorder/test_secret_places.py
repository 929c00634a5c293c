"""Secrets in every place of a request that a server repeats, in every output; ordinary text in the same places."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from playground.client.credentials import credentials
from playground.client.endpoint import Endpoint
from playground.client.events import ContentDelta
from playground.export import har
from playground.export.jsonl import to_line
from playground.export.log_files import to_row
from playground.export.pages import as_html, as_markdown
from playground.export.snippets import as_curl, as_httpx, as_javascript, as_python
from playground.export.ticket import TicketContents, bundle, ticket
from playground.recorder.capture import Capture, CapturedExchange
from playground.requestlog.records import StoredRun
from tests.recorder.test_capture import Sink, Unlimited
from tests.requestlog.samples import answered, record

SECRETS = ("a1Kq8RvQ2mWn5YpL7sXc", "Sommer2690haus", "4711908237", "0f2504e0-4f89-41d3-9a0c-0305e82c3301")
MESSAGES = [{"role": "user", "content": "hello"}]

NAMES = (
    *("api_key", "X-Api-Key", "passwd", "pwd", "bearer", "sig", "sas", "pin", "otp", "cookie", "token_value", "dbpass"),
    *("Passwort", "mot_de_passe", "contraseña", "senha", "wachtwoord", "пароль", "密码", "OPENAI_API_KEY_2", "bindpw"),
    *("recovery_codes", "smtpPass", "password", "Kennwort", "clé_api", "signature", "ssh_passphrase"),
)
IN_TEXT = (
    *("postgres://bob:{}@h/db", "postgres://bob:x/{}@h/db", "postgres://bob:x#{}@h/db", "redis://:{}@h:6379/0"),
    *("https://{}@github.test/a.git", "https://h.test/x?sv=1&sig={}", "https://h.test/x?code={}", "wss://h/s?token={}"),
    *("https://hooks.slack.com/services/T01ABCDEF/B02GHIJKL/{}", "https://discord.com/api/webhooks/123456/{}"),
    *("https://maker.ifttt.com/trigger/ev/with/key/{}", "https://hc-ping.com/{}", "https://ntfy.sh/{}"),
    *("https://hooks.zapier.com/hooks/catch/1234567/{}/", "https://h.test/hooks/{}/v1", "https://h.test/webhook/{}"),
    *("Server=h;Uid=bob;Pwd={};", "Driver={{SQL}};UID=bob;PWD={{{}}};", "Server = h ; Password = {} ;"),
    *("Server=h;Password='{}';", "host=h user=bob password={}", "AccountName=a;AccountKey={}==;X=y"),
    *("SharedAccessSignature sr=x&sig={}&se=1", "ldap://h bindpw={}", "bob/{}@//h:1521/x", "h:6380,password={},ssl=1"),
    *(
        "OPENAI_API_KEY={}",
        "export API_KEY={} LANG=C",
        "npx server --token {}",
        "npx server --token={}",
        "X-Api-Key: {}",
    ),
    *("Authorization: Bearer {}", '{{"a": {{"api_key": "{}"}}}}', "curl -u bob:{} https://h.test"),
)
IN_FIELDS: tuple[Any, ...] = (
    *({name: "{}"} for name in NAMES),
    *({"target": text} for text in IN_TEXT),
    *({"x": {"y": [text]}} for text in IN_TEXT),
    {"secrets": {"prod": {"eu": "{}"}}},
    {"api_key": {"value": "{}"}},
    {"api_keys": ["{}"]},
    {"extra_body": {"password": "{}"}},
    {"headers": [["X-Api-Key", "{}"]]},
    {"headers": [{"name": "X-Api-Key", "value": "{}"}]},
    {"env": [{"key": "OPENAI_API_KEY", "value": "{}"}]},
    {"args": ["--api-key", "{}"]},
    {"tools": [{"type": "mcp", "server_url": "https://bob:{}@h.test/mcp"}]},
    {"data_sources": [{"authentication": {"type": "api_key", "key": "{}"}}]},
)


def filled(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.format(secret) if "{}" in value else value
    if isinstance(value, list):
        return [filled(one, secret) for one in value]
    return {name: filled(one, secret) for name, one in value.items()}


def cases() -> list[tuple[str, dict[str, Any], list[tuple[str, str]], str]]:
    """Return each secret, the body, the headers and the target of a request with it."""
    target = "/v1/chat/completions"
    made: list[tuple[str, dict[str, Any], list[tuple[str, str]], str]] = []
    for secret in SECRETS:
        made += [(secret, filled(fields, secret), [], target) for fields in IN_FIELDS]
        made += [(secret, {}, [("X-Target", text.format(secret))], target) for text in IN_TEXT]
        made += [(secret, {}, [], f"{target}?v=1&{name}={secret}") for name in ("key", "pin", "code", "sig", "session")]
        made += [(secret, {}, [], f"/webhook/{secret}/v1/chat/completions")]
    return made


def recorded(body: bytes, headers: list[tuple[str, str]], target: str, status: int, answer: bytes) -> StoredRun:
    sink = Sink()
    capture = Capture(Endpoint("e", "E", "http://127.0.0.1:9/v1"), sink, Unlimited())  # type: ignore[arg-type]
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    seen = CapturedExchange(capture, "run-1", 1_800_000_000.0, "POST", target, pairs)
    seen.request_data(body)
    seen.request_end()
    seen.response_head(0.1, status, [(b"content-type", b"application/json"), (b"x-seen-path", target.encode())])
    seen.response_data(0.2, answer)
    seen.end(0.3, "complete", "")
    assert sink.records, sink.reasons
    return StoredRun(sink.records[0], 1, "done", False, tuple(sink.events))


def repeated(body: dict[str, Any], headers: list[tuple[str, str]], target: str, status: int) -> bytes:
    """Return an answer that repeats the request: in an error, or in the text of the model."""
    seen = {"path": target, "headers": dict(headers), "body": body}
    if status == 400:
        said = f"Bad request {json.dumps(body, ensure_ascii=False)} to {target} with {headers}"
        return json.dumps({"error": {"message": said, "type": "x"}, **seen}).encode()
    message = {"role": "assistant", "content": json.dumps(seen, ensure_ascii=False)}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def stored(run: StoredRun) -> str:
    return f"{run.record.body!r} {run.events!r}"


def outputs(run: StoredRun) -> dict[str, str]:
    choice = TicketContents("included")
    with zipfile.ZipFile(io.BytesIO(bundle([run], choice))) as archive:
        zipped = "".join(archive.read(name).decode() for name in archive.namelist())
    return {
        "stored": stored(run),
        "jsonl": to_line(run),
        "csv": to_row(run),
        "har": "".join(har.to_entries(run)),
        "ticket": ticket(run, choice),
        "hashed ticket": ticket(run),
        "zip": zipped,
        "markdown": as_markdown(run),
        "html": as_html(run),
        **{each.__name__: each(run.record) for each in (as_curl, as_httpx, as_javascript, as_python)},
    }


@pytest.mark.parametrize("status", [200, 400])
def test_secret_in_any_place_of_a_request_is_in_no_output(status: int) -> None:
    leaks, count = [], 0
    for place, (secret, fields, headers, target) in enumerate(cases()):
        body = {"model": "m", "messages": MESSAGES, **fields}
        run = recorded(json.dumps(body).encode(), headers, target, status, repeated(body, headers, target, status))
        # The outputs are made of what is stored: each has an eighth of the cases, another one for each status.
        for name, text in (outputs(run) if place % 8 == status // 100 else {"stored": stored(run)}).items():
            count += 1
            if secret in text:
                leaks.append((name, secret, fields, headers, target))
    assert leaks == []
    assert count >= 1_400


ORDINARY = (
    'api_key = os.environ["OPENAI_API_KEY"]',
    'token=next(tokens) ; key=lambda x: x[1] ; secret=None ; password=""',
    'dict(api_key=settings.api_key, token=request.headers.get("X-Token"))',
    '{"token": "noun", "secret": "adjective", "key": "C major"}',
    'const token = await getToken(); headers["Authorization"] = `Bearer ${token}`;',
    'curl -H "Authorization: Bearer $TOKEN" https://api.example.com/v1/users?page=2&sort=key',
    "export API_KEY=your-api-key-here",
    "Please reset my password: I forgot it yesterday.",
    "Passwort vergessen? Das Passwort: mindestens 8 Zeichen.",
    "def authenticate(token: str, password: str) -> bool: return check(token, password)",
    "order id 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "commit 6515554b0f3c9e1d2a4b5c6d7e8f90123456789a fixes it",
    "https://example.com/products/9780131103627?ref=home&color=red&size=10",
    "postgres://localhost:5432/mydb and redis://cache:6379/0",
    "mailto:bob@example.com and alice@example.org:8080",
    "key=C minor, signature=3/4, tempo=120",
    "auth: none; cookie: chocolate chip; cookie=oatmeal",
    "x-token-limit: 4096, X-Author: Keats, keyboard=qwerty, monkey: capuchin, turnkey=yes, tokenizer: cl100k_base",
    "uses: actions/checkout@v4, image registry.test/app@sha256:4bf92f3577b34da6a3ce929d0e0e4736",
    "--max-tokens 4096 --tokenizer cl100k_base --no-auth-cache 20261129",
    "Password: <your password>, token: ${TOKEN}, secret: {{secret}}",
)
ORDINARY_FIELDS: tuple[dict[str, Any], ...] = (
    *({"metadata": {"note": text}} for text in ORDINARY),
    *({"x": [text, "second-1234"]} for text in ORDINARY),
    {"metadata": {"token": "noun", "secret": "adjective", "key": "C major"}},
    {"session_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"},
    {"session": {"model": "gpt-4o-mini-2024-07-18", "voice": "alloy-20261128"}},
    {"eos_token": "<|end_of_text_17|>", "stop_token_ids": [128001128, 128009128], "max_tokens_per_day": 100000000},
    {"prompt_cache_key": "acme-phone-agent-2026", "sort_key": "created_at_2026", "palabra_clave": "contabilidad 2026"},
    {"response_format": {"json_schema": {"schema": {"properties": {"password": {"default": "at-least-8-chars"}}}}}},
    {"tools": [{"type": "function", "function": {"parameters": {"properties": {"token": {"default": "none-12345"}}}}}]},
    {"tools": [{"name": "f", "input_schema": {"properties": {"token": {"description": "The token-12345"}}}}]},
)


def test_ordinary_text_in_the_same_places_stays() -> None:
    masked = []
    for fields in ORDINARY_FIELDS:
        body = json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode()
        if (found := credentials("/v1/chat/completions", [("X-Note", "plain")], body=body)) is not None:
            masked.append((fields, found))
    for text in ORDINARY:
        if (found := credentials("/v1/chat/completions", [("X-Note", text)], body=b'{"messages": []}')) is not None:
            masked.append(({"X-Note": text}, found))
    assert masked == []
    assert len(ORDINARY_FIELDS) + len(ORDINARY) >= 70


def test_text_of_messages_stays_whatever_it_says() -> None:
    texts = [text.format(SECRETS[0]) for text in IN_TEXT]
    body = {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}
    run = recorded(json.dumps(body).encode(), [], "/v1/chat/completions", 200, repeated({}, [], "", 200))
    assert json.loads(run.record.body) == body


@pytest.mark.parametrize(
    "key", ["c3Jw8RvQ2mLk5YpB7sXcCUT4HERE", "sk-proj-c3Jw8RvQ2mLk5YpB7sXc", "ghp_c3Jw8RvQ2mLk5YpB7sXc"]
)
@pytest.mark.parametrize("kept", [8, 9, 12, 19])
@pytest.mark.parametrize("end", ["", '"}', "…", "\\n"])
def test_beginning_of_a_key_that_is_cut_is_masked(key: str, kept: int, end: str) -> None:
    prefix = next((one for one in ("sk-proj-", "ghp_") if key.startswith(one)), "")
    beginning = key[: len(prefix) + kept]
    for headers, fields in (([("Authorization", f"Bearer {key}")], {}), ([], {"api_key": key})):
        body = json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode()
        answer = f'{{"error": {{"message": "wrong key {beginning}{end}'.encode()
        run = recorded(body, headers, "/v1/chat/completions", 401, answer)
        assert [name for name, text in outputs(run).items() if beginning in text] == []


@pytest.mark.parametrize("text", ["production", "the production database", "sk-proj", "correct horse", "Sommer"])
def test_word_that_a_key_begins_with_stays(text: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    keys = ("production-database-key1", "correct-horse-battery-7", "Sommer2690haus", "sk-proj-c3Jw8RvQ2mLk5YpB7sXc")
    for key in keys:
        run = recorded(
            json.dumps(body).encode(), [("X-Api-Key", key)], "/v1/chat/completions", 200, repeated({}, [], "", 200)
        )
        assert json.loads(run.record.body) == body


def test_pieces_of_a_parameter_in_an_answer_of_a_log_of_an_earlier_version_are_masked() -> None:
    secret = SECRETS[0]
    body = json.dumps({"model": "m", "messages": MESSAGES, "password": secret}).encode()
    words = ["you sent ", secret[:5], secret[5:11], secret[11:], " to me"]
    texts = [ContentDelta(0.3 + place / 100, word) for place, word in enumerate(words)]
    joined = [*answered()[:3], *texts, *answered()[-3:]]
    run = StoredRun(record(body=body), 1, "done", False, tuple(joined))
    shown = {name: text for name, text in outputs(run).items() if name != "stored"}
    assert [name for name, text in shown.items() if secret in text] == []
    assert "you sent" in shown["markdown"]
