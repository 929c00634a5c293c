"""Names of secrets in header and query fields, cookies, parameters and options, in several languages: the one table of
their words.

Names are split into words, in lower case and without accents: `X-Api-Key`, `accessToken`, `DB_PASSWORD_2`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MASK = "sk_…"
"""What is displayed, logged and exported in place of a secret."""
LEAST_CHARS = 8
"""Shorter values are masked in addresses only: elsewhere they are words of other texts too."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _tuple(words: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(words.split(separator))


ENDINGS = _tuple(
    "key token secret password passwd passphrase passcode credential signature authorization authentication "
    "sessionid auth session cookie bearer assertion jwt passwort kennwort geheimnis schluessel schlussel "
    "zugangsdaten motdepasse jeton contrasena contrasenya wachtwoord sleutel passord losenord adgangskode "
    "salasana userpwd pwd credentials authkey 密码 密碼 口令 密钥 密鑰 金鑰 令牌 パスワード 비밀번호"
)
"""A name is of a secret if its last word has one of these at its end, as `apikey` or `dbpassword`."""

WHOLE = _set(
    "sig sas pwd pw pass sid sessid phpsessid otp totp hotp pin pat psk creds cred hmac mfa tan puk kennzahl "
    "mdp clave senha chave chiave cle clef haslo klucz heslo sifre sifresi sifreniz sifremiz jelszo "
    "parool slaptazodis geslo "
    "parola parol kodeord lozinka пароль пароля паролем токен ключ секрет парола лозинка συνθημα "
    "キー トークン シークレット 暗証番号 비번 토큰 סיסמה סיסמא טוקן รหัสผ่าน पासवर्ड পাসওয়ার্ড گذرواژه mnemonic"
)
"""A name is of a secret if its last word is one of these."""

BEFORE_PASS = _set(
    "db user usr root admin smtp imap mail email ftp sftp ssh pg postgres mysql sql mongo redis ldap bind "
    "proxy login account acc keystore truststore store my sudo su wifi net http https basic auth service svc "
    "app api require become wpa vnc rpc"
)
"""Words before `pass` and `pw` in one word, as `dbpass` or `bindpw`; bypass and compass are none."""

PHRASES = _tuple(
    "access code, auth code, authorization code, backup code, recovery code, security code, pin code, "
    "code pin, one time code, login code, device code, verification code, pass word, pass phrase, pass code, "
    "seed phrase, recovery phrase, mot de passe, mots de passe, cle api, cle d api, clef api, cle secrete, "
    "clave api, clave de api, clave secreta, clave de acceso, chave api, chave de api, chave de acesso, "
    "palavra passe, chiave api, chiave segreta, token de acceso, token de acesso, jeton d acces, jeton acces, "
    "palabra de paso, parola d ordine, api anahtari, secret access, session id, sess id, klucz api, "
    "klucz do api, ключ api, mat khau, kata sandi, kata laluan, kata kunci rahasia, κωδικος προσβασης, "
    "كلمة المرور, كلمة مرور, كلمة السر, كلمة سر, رمز عبور, رمز المرور, الرقم السري, "
    "identified by, server community, community string",
    ", ",
)
"""Last words of a name."""

NEUTRAL = _set(
    "value val header raw hex base64 b64 string str plain plaintext encoded prod production dev development "
    "staging stage live test default backup old new current primary secondary base post "
    "is ist lautet jest la"
)
"""Words at the end that say nothing about the kind of value."""

FIRST = _set("пароль токен contrasena senha haslo heslo jelszo parola jeton")
"""Words that decide although up to three words follow: `пароль_бд`, `senha do banco`."""

OTHER_WORDS = _set("monkey donkey turkey hockey whiskey jockey hotkey passkey turnkey mickey lackey malarkey")
"""Words that end like a secret and are none."""

PUBLIC_KEYS = _set(
    "idempotency cache partition sort primary foreign surrogate dedupe dedup lookup public shortcut "
    "translation i18n musical map item row"
)
"""Words before `key` that make the value no secret."""

PUBLIC_TOKENS = _set(
    "eos bos pad unk sep mask cls stop special end start begin image audio video page next continuation first "
    "last max min per"
)
"""Words before `token` that make the value no secret."""

KEYWORDS = frozenset(
    _tuple(
        "palabra clave, palavra chave, parola chiave, mot cle, mots cle, ключевое слово, anahtar kelime",
        ", ",
    )
)
"""`keyword` in other languages."""

VALUE_DECIDES = frozenset(("routing key",))
"""Names of secrets of some services and of plain words of others: the value decides."""

VERBS = _tuple("is ist lautet jest est es")
"""Words between a name and its value in a sentence."""

PLURALS = _tuple("key secret password passwd passphrase jwt cookie pin otp passwort code")
"""Words with a plural in `s`."""

OWNERS_OF_TOKENS = _set("access api auth bearer bot refresh secret session user")
"""Words before `tokens` that make it a list of secrets; otherwise it is a count (max_tokens)."""

PUBLIC_FIELDS = _set(
    "type kind name id url uri endpoint host hostname port user username login email region issuer iss aud "
    "audience scope scopes provider header prefix version algorithm alg client_id tenant_id expires expires_at "
    "expires_in created created_at updated_at mode method scheme model location in realm label title "
    "description token_url auth_url authorization_url grant_type"
)
"""Fields in an object of secrets (`authentication: {...}`) that are none."""

PASSWORD_OPTIONS: dict[str, frozenset[str]] = {
    "-p": _set("login sshpass mongo mongosh mongodump mongorestore"),
    "-P": _set("mosquitto_pub mosquitto_sub sqlcmd bcp zip unzip"),
    "-a": _set("redis-cli valkey-cli"),
    "-w": _set("ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami"),
    "-N": _set("ssh-keygen"),
}
"""Options that a password follows, and the programs or commands (`docker login`) that have them."""

ATTACHED = _set("mysql mysqldump mysqladmin mysqlimport mariadb mariadb-dump 7z 7za 7zr rar unrar sshpass")
"""Programs whose option `-p` has the password in the same word."""

USER_OPTIONS = _set("-u -U -a --user --proxy-user --auth")
"""Options that `user:password` follows."""

USER_PROGRAMS = _set("curl http https xh httpie")
"""Programs that have them; of other programs the value decides."""

WEBHOOK_HOSTS = _tuple(
    "hooks.slack.com hc-ping.com hchk.io nosnch.in ntfy.sh webhook.site maker.ifttt.com hooks.zapier.com "
    "cronitor.link api.day.app sctapi.ftqq.com sc.ftqq.com requestcatcher.com pushdeer.com api.pushcut.io "
    "uptime.betterstack.com uptime.betteruptime.com trigger.macrodroid.com"
)
"""Hosts whose paths are a permission to call them."""

SECRET_HOSTS = _tuple("m.pipedream.net webhook.site requestcatcher.com hook.site")
"""Hosts whose first label is one."""


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_A-Za-z]+")
_LETTERS = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ı": "i", "ß": "ss", "æ": "ae"})
"""Letters that have no form without an accent."""


def _plain(text: str) -> str:
    """Return a text without accents and other marks."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(one for one in decomposed if not unicodedata.category(one).startswith("M"))
    return unicodedata.normalize("NFC", bare.translate(_LETTERS))


_ENDING = re.compile(rf"(?:{'|'.join(map(_plain, ENDINGS))})[是为は]?$")
_PASS = re.compile(r"(.+)(?:pass|pw)$")
_WHOLE, _FIRST, _KEYWORDS = (frozenset(map(_plain, words)) for words in (WHOLE, FIRST, KEYWORDS))
_FIRST_WORDS = (*_FIRST, "contraseña", "hasło", "jelszó")
_PHRASES = tuple(tuple(_plain(phrase).split()) for phrase in PHRASES)
_PHRASE_ENDS = frozenset(phrase[-1] for phrase in _PHRASES)
_PLURALS = {f"{word}s": word for word in PLURALS}
_MAYBE = re.compile(
    r"(?i)key|token|secret|auth|passw|pwd|credential|cookie|session|sig|jwt|ticket|nonce|connection_?str|conn_?str|\bdsn\b"
    r"|\bsid\b|^code$"
)
_LONGEST = 256
"""Characters of a name; what is longer is none."""


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Return whether the value of a field of this name is a secret.

    The last word decides: X-Auth-Token and accessToken are, X-Token-Limit, X-Author and X-Tokenizer are not. The words
    are in the tables above.
    """
    if len(name) > _LONGEST:
        return False
    words = _words(name)
    while words and (words[-1].isdigit() or words[-1] in NEUTRAL):
        words.pop()
    if words:
        words[-1] = _PLURALS.get(words[-1], words[-1])
    if not words or is_public(name) or _is_public(words):
        return False
    last = words[-1]
    if last in OTHER_WORDS or " ".join(words[-2:]) in VALUE_DECIDES:
        return False
    if last in _WHOLE or _ENDING.search(last) is not None or not _FIRST.isdisjoint(words[-4:]):
        return True
    before = _PASS.fullmatch(last)
    if before is not None and before[1] in BEFORE_PASS:
        return True
    return any(tuple(words[-len(phrase) :]) == phrase for phrase in _PHRASES)


@lru_cache(maxsize=4096)
def may_be_secret(name: str) -> bool:
    """Return whether a value under this name is a secret if it also looks like one: X-Token-Custom, code."""
    return len(name) <= _LONGEST and _MAYBE.search(name) is not None and not is_public(name)


def has_first_word(text: str) -> bool:
    """Return whether a text has a word that makes a name of a secret although others follow it."""
    text = text.lower()
    return any(word in text for word in _FIRST_WORDS)


@lru_cache(maxsize=4096)
def may_end_secret(name: str) -> bool:
    """Return whether the words before `name` can make it the name of a secret: `passe`, as in `mot de passe`."""
    words = _words(name) if len(name) <= _LONGEST else []
    return bool(words) and (words[-1] in _PHRASE_ENDS or words[-1] in NEUTRAL)


def is_public(name: str) -> bool:
    """Return whether the name is known to hold no secret: Sec-WebSocket-Key, Idempotency-Key, prompt_cache_key."""
    return _is_public(_words(name))


def _is_public(words: list[str]) -> bool:
    if words[:1] == ["sec"]:
        return True
    before, last = words[-2:-1], words[-1:]
    return bool(before) and (
        (last == ["key"] and before[0] in PUBLIC_KEYS)
        or (last == ["token"] and before[0] in PUBLIC_TOKENS)
        or f"{before[0]} {last[0]}" in _KEYWORDS
    )


def is_session_id(name: str) -> bool:
    """Return whether the name is of a session's id: a secret in a cookie, of a conversation elsewhere."""
    return _words(name)[-2:] in (["session", "id"], ["sess", "id"]) or _words(name) == ["sessionid"]


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, the last one in the singular if it names secrets."""
    words = [word.lower() for word in _WORD.findall(_plain(name))]
    if words[-1:] == ["tokens"] and words[-2:-1] and words[-2] in OWNERS_OF_TOKENS:
        words[-1] = "token"
    elif words:
        words[-1] = _PLURALS.get(words[-1], words[-1])
    return words


_RUN = re.compile(r"[A-Za-z0-9]+")
_KINDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LEAST, _MIXED, _CHANGES = 16, 3, 4


def looks_random(text: str, least: int = _LEAST) -> bool:
    """Return whether a text mixes capitals, small letters and digits within its parts, as generated values do.

    Names such as gpt-4o-mini-2024-07-18 or ChristopherRobinson do not, nor texts of fewer than `least` characters.
    """
    if len(text) < least or not any(map(str.isdigit, text)):
        return False
    kinds = (len(_KINDS.findall(run)) for run in _RUN.findall(text))
    return sum(count - 1 for count in kinds if count >= _MIXED) >= _CHANGES


_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SPOKEN = re.compile(r"[A-Za-z]?[a-z]*[aeiouy][a-z]*|[AEIOUY][a-z]+|[A-Z]{2,4}|[A-Z]*[AEIOUY][A-Z]*")
_LONG_WORD, _LONG_CAPITALS, _HUMP_CHARS, _LONG_HUMP_CHARS = 8, 6, 2.75, 4.25


def is_word(text: str) -> bool:
    """Return whether letters can be a word of any language, also in camel case: `jObCZGvGiCaY` cannot.

    20 of 21 texts of random letters, capital and small, are none.
    """
    if not text.isascii() or len(text) < _LONG_WORD:
        return True
    humps = _HUMP.findall(text)
    unspoken = sum(
        _SPOKEN.fullmatch(hump) is None or (len(humps) > 1 and len(hump) > _LONG_CAPITALS and hump.isupper())
        for hump in humps
    )
    chars = len(text) / len(humps)
    return chars >= (_LONG_HUMP_CHARS if unspoken else _HUMP_CHARS) and 2 * unspoken <= len(humps)


_PLACEHOLDERS = (
    "a any anything api apikey bearer change changeme cpp default demo dummy empty example fake here ignored insert "
    "key llama lm lmstudio local me my needed no none not null ollama openai placeholder required sample secret sk "
    "studio test testing the token unused vllm x xx xxx xxxx xxxxxxxx your"
)
_PLACEHOLDER_WORDS = frozenset(_PLACEHOLDERS.split())


def is_placeholder(value: str) -> bool:
    """Return whether a key is a word that local servers ignore, as lm-studio or your-api-key: masking garbles text."""
    words = re.findall(r"[a-z0-9]+", value.lower())
    return bool(words) and all(word in _PLACEHOLDER_WORDS for word in words)
