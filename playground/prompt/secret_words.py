"""The one table of words for secrets: names, in several languages, options of programs, hosts; data only.

Names are split into words, in lower case and without accents: `X-Api-Key`, `accessToken`, `DB_PASSWORD_2`.
"""

from __future__ import annotations

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
