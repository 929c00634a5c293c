"""Forms in which settings, commands and notes have secrets, and ordinary lines that look alike: data only.

One text per line; `§` stands for the secret, `⏎` for the end of a line.
"""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.replace("⏎", "\n") for line in text.strip("\n").split("\n"))


SECRETS = ("mGIyLza7wk38", "jObCZGvGiCaY", "Sommer2690haus", "x9#kQ!v2Lp@7w", "$ecret2024!xY")
"""Generated, letters only, a word with digits, with symbols, like a variable."""
GENERATED = ("mGIyLza7wk38", "q7Wm2xZk9Lp4tB8vN3")
"""Values that are secrets although only their place says so."""

NAMES = _lines("""
api_key
apiKey
X-Api-Key
APIKEY
Api Key
OPENAI_API_KEY
azure_openai_key
SECRET_KEY_BASE
secretAccessKey
aws_session_token
password
Password
user.password
spring.datasource.password
db-pass
PGPASSWORD
MYSQL_PWD
passwd
passphrase
passcode
clientSecret
client_secret_post
refresh_token
id_token
accessToken_prod
X-Auth-Token
private_key
signing-key
encryptionKey
webhook_secret
integration_key
license_key
sas_token
storageAccountKey
smtp_pass
bindpw
rootpw
requirepass
masterauth
ansible_become_pass
vault_token
pat
otp_secret
recovery_code
session_cookie
Passwort
Kennwort
Zugangspasswort
Schlüssel
geheimer_schlüssel
Geheimnis
mot_de_passe
motDePasse
mot de passe
clé_api
clé secrète
jeton
contraseña
clave de acceso
senha
palavra-passe
chave_api
parola d'ordine
chiave_segreta
wachtwoord
toegangssleutel
lösenord
adgangskode
passord
salasana
hasło
klucz_api
heslo
jelszó
parool
slaptažodis
geslo
parolă
şifre
σύνθημα
κωδικός πρόσβασης
пароль
Пароль
пароль_бд
секретный ключ
ключ API
токен
密码
密码(prod)
数据库密码
密鑰
API密钥
パスワード
APIキー
비밀번호
كلمة المرور
كلمة السر
סיסמה
รหัสผ่าน
mật khẩu
kata sandi
şifresi
""")

TEXTS = _lines("""
[db]⏎password = "§"
password = '§'
Password: "§",
password: §
  password: '§'⏎  user: bob
"password" : "§"
\\"password\\": \\"§\\"
{"db": {"password": "§"}}
{"db": {"password": "§", "user": "bob"}} and more
{'api_key': '§', 'user': 'bob'}
'password' => '§',
:password => "§"
password := "§"
DB_PASSWORD=§
export STRIPE_SECRET='§'
set "API_KEY=§"
$env:API_KEY = "§"
$password = "§";
ENV DB_PASSWORD="§"
let apiKey: string = "§";
private static final String API_KEY = "§";
const char *password = "§";
#define WIFI_PASSWORD "§"
define('DB_PASSWORD', '§');
os.environ["API_KEY"] = "§"
os.environ.setdefault("API_KEY", "§")
setenv("API_KEY", "§", 1)
ds.setPassword("§");
.password("§")
connect(user="bob", password="§")
variable "db_password" { default = "§" }
<password>§</password>
<db:password type="text">§</db:password>
<password><![CDATA[§]]></password>
<add key="ApiKey" value="§"/>
<property name="password" value="§"/>
<user name="bob" password="§"/>
<key>Password</key><string>§</string>
- name: PGPASSWORD⏎  value: §
- name: "API_TOKEN"⏎  value: "§"
<add name="Main" connectionString="Server=h;Database=d;User Id=u;Password=§"/>
Content-Disposition: form-data; name="password"⏎⏎§⏎--b
password: |⏎  §
password:⏎  §
password=§&user=bob
user=bob&password=§
Passwort: §
Das Passwort lautet: §
mot de passe : §
contraseña: §
hasło: §
пароль: §
密码：§
パスワード：§
비밀번호: §
كلمة السر: §
סיסמה: §
Server=h;Database=d;Uid=u;Pwd=§;
Data Source=h;User ID=u;Password="§"
Driver={SQL Server};UID=u;PWD={§};
host=h port=5432 user=u password='§' dbname=d
DefaultEndpointsProtocol=https;AccountName=a;AccountKey=§;EndpointSuffix=x
Endpoint=sb://h.example/;SharedAccessKeyName=root;SharedAccessKey=§
jdbc:sqlserver://h:1433;databaseName=d;user=u;password=§;encrypt=true
jdbc:oracle:thin:bob/§@//h:1521/x
sqlplus scott/§@orcl
scott/§@db.example:1521/x
sasl.jaas.config=x.PlainLoginModule required username="a" password="§";
//npm.example/:_authToken=§
machine h.example login bob password §
machine h.example⏎  login bob⏎  password §
Authorization: Bearer §
Authorization: Token token="§"
authorization: §
Proxy-Authorization: Basic §
X-Api-Key: §
Cookie: theme=dark; session=§
git -c http.extraHeader="Authorization: Bearer §" fetch
curl -H 'X-Api-Key: §' https://h.example
curl -u 'bob:§' https://h.example
curl --user "bob:§" https://h.example
curl -U 'bob:§' -x p:8080 https://h.example
http -a 'bob:§' GET h.example
wget --password='§' https://h.example
docker login -u me -p '§' reg.example
docker login --username me --password '§' reg.example
docker run -e DB_PASSWORD='§' image
mysql -u root -p'§' shop
mysqldump -h db -uroot -p'§' shop
sshpass -p '§' ssh h
redis-cli -h h -a '§' ping
ldapsearch -D cn=x -w '§' -b dc=x
mosquitto_pub -u bob -P '§' -t x
sqlcmd -S h -U sa -P '§'
mongosh -u root -p '§' db
zip -P '§' a.zip b
7z x -p'§' a.7z
unzip -P '§' a.zip
openssl enc -pass 'pass:§' -in a
openssl rsa -passin pass:'§' -in a
ssh-keygen -t rsa -N '§' -f k
gpg --batch --passphrase '§' -d a
keytool -storepass '§' -list
az login --service-principal -u a -p '§'
kubectl create secret generic x --from-literal=password='§'
helm install x --set auth.password='§'
vault kv put secret/x api_key='§'
heroku config:set API_KEY='§'
aws configure set aws_secret_access_key '§'
psql "host=h password='§' user=u"
net use x: //h/s /user:bob /password:'§'
ansible-playbook -e "ansible_password='§'" x.yml
CREATE USER bob WITH PASSWORD '§';
CREATE USER bob IDENTIFIED BY '§';
ALTER ROLE bob PASSWORD '§'
WIFI:S:net;T:WPA;P:§;;
requirepass "§"
""")

GENERATED_TEXTS = _lines("""
Incorrect API key provided: §
Invalid token received: §
postgres://bob:§@db.example:5432/shop
redis://:§@h:6379/0
amqps://svc:§@mq/vh
mongodb+srv://u:§@c0.example/?retryWrites=true
mysql2://root:§@127.0.0.1/shop
smtps://me%40x.example:§@smtp.example:465
https://oauth2:§@git.example/a/b.git
https://§@git.example/a/b.git
ftp://u:§@h/x
socks5://u:§@p:1080
https://h.example/?access_token=§
https://h.example/x?sig=§&se=1
https://h.example/cb#id_token=§
https://h.example/webhook/§
https://ntfy.sh/§
otpauth://totp/x?secret=§&issuer=y
wss://h.example/s?apikey=§
h.example:5432:db:bob:§
bob:§@h.example:5432/db
the password is §
Password for the router is §
das Passwort ist §
la contraseña es §
le mot de passe est §
пароль — §
setx API_KEY §
aws_secret_access_key §
config set requirepass §
Bearer §q7Wm2xZk
use Basic §q7Wm2xZk for it
snmp-server community §
mysql -uroot -p§ shop
docker login -u me -p § reg.example
sshpass -p § ssh h
curl -u bob:§ https://h.example
server --api-key § --verbose
server --token=§
server -apikey §
-----BEGIN PRIVATE KEY-----⏎§q7Wm2xZk§⏎-----END PRIVATE KEY-----
-----BEGIN RSA PRIVATE KEY-----⏎Proc-Type: 4,ENCRYPTED⏎⏎§q7Wm2xZk§⏎§q7W⏎-----END RSA PRIVATE KEY-----
-----BEGIN OPENSSH PRIVATE KEY-----\\n§q7Wm2xZk§\\n-----END OPENSSH PRIVATE KEY-----
ghp_§q7Wm2xZk
github_pat_§q7Wm2xZk
glpat-§q7Wm2xZk
xoxb-12-34-§
sk_live_§q7Wm2xZk
SG.§.q7Wm2xZk§
hf_§q7Wm2xZk
npm_§q7Wm2xZk
dop_v1_§q7Wm2xZk
hvs.§q7Wm2xZk
lin_api_§q7Wm2xZk
pul-§q7Wm2xZk
eyJhbGciOiJIUzI1NiJ9.eyJ§.q7Wm§
bob:$apr1$q7Wm2xZk$§/
Cookie: connect.sid=s%3A§.q7Wm2xZk; x=1
""")

ORDINARY = _lines("""
npm_config_registry_v2_mirror
hf_hub_download_2026_snapshot
sk_test_your_key_2026_is_here
PWD=/home/bob/projects/shop
OLDPWD=/var/lib/app-2/data
SSH_AUTH_SOCK=/run/user/1000/keyring/ssh
password: ${DB_PASSWORD}
password: ${DB_PASSWORD:-changeme}
password: $DB_PASSWORD
password: $(cat /run/secrets/db_1)
password = "$PASSWORD2"
api_key: {{ lookup('env', 'API_KEY') }}
api_key: {{ .Values.auth.apiKey }}
api_key: %API_KEY%
api_key: ${{ secrets.API_KEY_2 }}
apiKey: process.env.API_KEY_2,
password = os.environ["DB_PASSWORD"]
password = config.get("db", "password")
password = getpass.getpass("Password: ")
const token = await getToken(user.id);
const password = document.getElementById('password').value;
let key = map.keys().next().value
secret := os.Getenv("SECRET_1")
secret = hashlib.sha256(data).hexdigest()
token = request.headers["Authorization"].split()[1]
key = f"user:{user_id}:profile"
key = "user:" + str(user_id)
if (user.password !== confirmPassword) throw new Error('mismatch');
def check_password(password: str, hashed: bytes) -> bool:
function login(username: string, password: string): Promise<Token>
type Config struct { Password string `json:"password"` }
class Secret(BaseModel): key: SecretStr
private String password = null;
@Column(name = "password", nullable = false)
password VARCHAR(255) NOT NULL
CREATE TABLE users (id INT, password TEXT, token VARCHAR(64));
ALTER TABLE users ADD COLUMN password_hash VARCHAR(255);
SELECT token, key FROM api_keys WHERE secret IS NOT NULL
PRIMARY KEY (customer_id), FOREIGN KEY (order_id)
primary key: customer_order_id_2
cache key: 9f86d081884c7d65
Cache-Key: user-profile-v2:1234
sort_key=created_at_2026
partition key: orders_2026_11
routing_key: orders.created.v2
foreign_key: users_id_fkey1
key: customer_identifier
Key: value
"key": "translation.title.v2"
<key>CFBundleVersion</key><string>2.10.3-beta</string>
<add key="Timeout" value="00:05:00.1"/>
<input type="password" name="password" placeholder="Enter password">
<label for="token">Token:</label>
<password>required</password>
<xs:element name="password" type="xs:string"/>
{"type":"object","properties":{"password":{"type":"string","minLength":12}}}
{"type": "object", "properties": {"token": {"type": "string", "description": "The token-12345"}}} as a schema
{"password": {"type": "string", "minLength": 12}, "token": {"type": "string", "pattern": "^[a-z0-9]{32}$"}}
{"required": ["password", "api_key_2"], "properties": {}}
{"password": "string", "token": "string", "api_key": "string"}
{"password": true, "token": null, "secret": false}
{"token": "noun", "secret": "adjective"}
{"name": "password", "in": "query", "schema": {"type": "string"}}
{"error": "invalid_token", "error_description": "The access token expired"}
Access token expired at 2026-11-29T12:00:00Z
token expires: 2026-11-29T12:00:00Z
token_count: 1234567890
max_tokens: 20480000
tokens: [101, 2023, 2003, 102]
eos_token: <|im_end|>
stop token: <|endoftext|>
pad_token: [PAD]
tokenizer: cl100k_base
token_type: bearer
grant_type=authorization_code
auth: none
auth_method=password
authentication: required
Authorization: Bearer <your-token>
Authorization: Bearer $TOKEN
Authorization: Bearer {token}
Authorization: required for all routes
Authentication: see RFC 7617
curl -H "Authorization: Bearer $OPENAI_API_KEY" https://api.example/v1/models
curl -u "$USER:$PASSWORD" https://h.example
curl -u bob https://h.example
Basic authentication is described in RFC 7617
Bearer authentication scheme
bearer of bad news arrived
Basic understanding of algebra2
docker run --secret id=mysecret,src=/tmp/file
docker run -p 8080:8080 -v data:/data image
docker build --secret id=aws,env=AWS_SECRET_ACCESS_KEY .
docker login -u me --password-stdin reg.example
docker run --env-file .env.2026 image
mysql -u root -p shop
mysql -uroot -p
mysql -P 33060 -h db.example shop
redis-cli -a "$REDIS_PASSWORD" ping
ssh -p 22022 bob@h.example
ssh -i ~/.ssh/id_ed25519 bob@h.example
scp -P 2222 file.tgz bob@h.example:/srv/a1
ssh-keygen -t ed25519 -N '' -f key
mkdir -p build/output2/release
cp -p src/a1.txt dst/b2.txt
tar -xpf archive-2026.tgz
pytest -p no:cacheprovider -k test_token_2
patch -p1 < fix-2026.diff
ps -p 12345678
gpg --passphrase-file /run/secrets/gpg1 -d a
openssl rsa -passin env:KEY_PASS1 -in a
openssl rsa -passin file:/run/secrets/key1 -in a
server --key filename1.pem --cert server1.pem
server --key=/etc/ssl/private/server1.key
server --tls-key ./certs/dev-2026.key
server --token-file /run/secrets/token1
server --no-auth --port 12345678
server --token $TOKEN
server --token <token>
server --api-key YOUR_API_KEY
use --token to pass the token
--max-tokens 4096 --tokenizer cl100k_base
private_key_path=/etc/ssl/private/server.key
PASSWORD_FILE=/run/secrets/db_password_1
PASSWORD_MIN_LENGTH=12345678
TOKEN_EXPIRY_SECONDS=864000000
KEY_ALGORITHM=ed25519-sha512
password_policy: strong-with-symbols
api_key_header: X-Custom-Header
AUTH_URL=https://login.example/oauth2/authorize
TOKEN_ENDPOINT=https://login.example/oauth2/v2.0/token
Key ID: key_2026_primary
secret_name: prod/db/password1
secretRef: db-credentials-v2
export API_KEY=your-api-key-here
API_KEY=xxxxxxxxxxxx
API_KEY=************
API_KEY=sk-...
password: ********
password=[REDACTED]
password: <hidden>
password=changeme
password=required
PASSWORD=example
set password=required in the form
Please reset my password: I forgot it yesterday.
Your password must be at least 8 characters long.
password: at least 8 characters
password: minimum 12 characters, 1 digit
The password: must contain uppercase characters
Password for bob@example.com is not set
The password is case-sensitive
the password is required
password is incorrect
the token is invalid
the secret is patience
The key is under the doormat
the key is C# minor
the key to success: perseverance
The secret: patience and practice
secret: the garden behind the house
secret_santa: colleagues
key: C minor, signature=3/4, tempo=120
Signature: def f(x, y) -> z
signature: Jane Example, CEO
cookie: chocolate chip
Cookie: please accept all
session: Monday afternoon
session_id: 3f2504e0-4f89-41d3-9a0c-0305e82c3301
PIN: please enter four digits
pin: stainless steel
code: postleitzahlen
zip code: 80331
error code: E1234567
promo code: SUMMER2026
keyboard: mechanical
monkey: capuchin
passenger: Jane Example
passport: required
passed: 12345678 tests
bypass: enabled2026
compass=north2026
secretary: Frau Müller
author: Keats
turnkey: solution2026
Passwort: bitte mindestens zwölf Zeichen verwenden
Passwort vergessen? Das Passwort: mindestens 8 Zeichen.
Das Passwort ist abgelaufen
Schlüssel: Haustürschlüssel
Schlüssel: unter der Fußmatte
Key: Schlüsselbegriffe
Zugangscode: siehe Aushang im Treppenhaus
Geheimnis: Geduld
mot de passe : obligatoire
mot de passe oublié ? Cliquez ici
Mot de passe : au moins 8 caractères
clé : anglaise
La clave: estudiar todos los días
contraseña: obligatoria
Contraseña: mínimo 8 caracteres
palabra clave: contabilidad2026
palavra-chave: contabilidade2026
A chave: praticar diariamente
senha: obrigatória
parola chiave: contabilità2026
il segreto: pazienza
wachtwoord: verplicht
lösenord: obligatoriskt
hasło: wymagane
hasło: co najmniej 8 znaków
Hasło reklamowe: świeżość
klucz: francuski
heslo: povinné
jelszó: kötelező
parool: kohustuslik
- name: PASSWORD_POLICY⏎  value: strict
- name: LOG_LEVEL⏎  value: Info2Debug4x
API key for the docs: see page 12
Invalid token at line 4: expected '}'
slaptažodis: privalomas
geslo: obvezno
şifre: zorunludur
şifre: en az 8 karakter
anahtar kelime: muhasebe2026
пароль: обязательное
пароль: обязательное поле для всех
Пароль: не менее 8 символов
Ключ: гаечный
ключевое слово: бухгалтерия2026
пароль введён неверно
密码：必须包含字母和数字
密码：至少8个字符
密码不正确，请重试
キーワード：会計2026
パスワード：八文字以上で入力してください
パスワード：8文字以上
パスワードを忘れた場合
비밀번호: 여덟 글자 이상이어야 합니다
비밀번호: 8자 이상
كلمة السر: يجب أن تكون طويلة
כלמה סיסמה: חובה לכל המשתמשים
รหัสผ่าน: ต้องมีอย่างน้อย
mật khẩu: bắt buộc
kata sandi: wajib diisi
σύνθημα: υποχρεωτικό
commit 3f786850e387550fdab836ed7e6dc881de23001b fixes the key
git key 89e6c98d92887913cadf06b2adb97f26cde4849b
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
integrity sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP==
order id 3f2504e0-4f89-41d3-9a0c-0305e82c3301
claude-3-5-sonnet-20241022 and gpt-4o-2024-08-06
Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4
the key model Qwen2.5-72B-Instruct
the token iPhone14Pro appears twice
arn:aws:iam::123456789012:role/service-role/MyRole
uses: actions/checkout@v4
npm install @scope/package2@1.2.3
image library/nginx1@sha256:4bf92f3577b34da6a3ce929d0e0e4736
git@github.com:owner/repo2.git
owner/repository2@main
mailto:jane.doe2026@example.org
ratio:12345678@noon.example
https://example.com/search?q=token+ring&page=2
https://www.youtube.com/watch?v=dQw4w9WgXcQ
https://example.com/docs/webhooks/overview
https://example.com/blog/how-to-reset-your-password
https://github.com/owner/repo/commit/3f786850e387550fdab836ed7e6dc881de23001b
https://cdn.example/0b6c5a1e-3f5d-4c7a-9b1e-2a4c6d8e0f12/img.png?w=10
postgres://localhost:5432/mydb
Server=localhost;Database=shop;Trusted_Connection=True
host=localhost user=app dbname=shop sslmode=require
machine learning login page password field
login with your password please
-----BEGIN CERTIFICATE----- is the first line
-----BEGIN PUBLIC KEY-----⏎MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A⏎-----END PUBLIC KEY-----
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ
WIFI: free for all guests
00:1b:44:11:3a:b7 and 192.168.100.200:8080
12:30:45.123 token refreshed
INFO 2026-11-29 12:00:00 auth.session: started
x-token-limit: 4096
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Idempotency-Key: order-20261128
setPassword("password")
t("password", "Enter your password")
assert response.json()['token'] == expected_token
expect(screen.getByLabelText("Password")).toBeVisible()
""")
