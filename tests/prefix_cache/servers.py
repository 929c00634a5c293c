"""Servers with a prefix cache, to hold forecasts against: their tokenizers are none that the estimate was tuned on.

One cuts words into pieces by rules of its own, the other has learnt byte pairs from another text than it is asked to
count. Callers ask in five languages, at uneven pauses, and the rules of their prompts are edited now and then.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message
from playground.simulator.cache import PrefixCache

Tokenizer = Callable[[str], list[str]]
WORDS = {
    "English": (
        "you are the voice agent of a parcel service and speak in short plain sentences confirm every number twice "
        "never promise a day that the system does not show if caller is upset stay calm offer another way when they "
        "ask about refunds explain conditions carefully because international deliveries need additional documents"
    ),
    "Hindi": (
        "आप एक पार्सल सेवा की आवाज़ सहायक हैं छोटे वाक्यों में बोलें हर संख्या की दो बार पुष्टि करें ग्राहक नाराज़ हो तो शांत रहें "
        "और दूसरा रास्ता बताएँ धनवापसी की शर्तें ध्यान से समझाएँ अंतरराष्ट्रीय वितरण के लिए अतिरिक्त दस्तावेज़ चाहिए कृपया"
    ),
    "Arabic": (
        "أنت مساعد صوتي لخدمة الطرود تحدث بجمل قصيرة وواضحة وتأكد من كل رقم مرتين لا تعد بيوم لا يظهره النظام إذا كان "
        "المتصل منزعجا فابق هادئا واعرض طريقة أخرى اشرح شروط استرداد الأموال بعناية لأن التسليم الدولي يحتاج وثائق"
    ),
    "Chinese": (
        "你是 一家 快递公司 的 语音助手 请用 简短 清楚 的 句子 说话 每个 号码 都要 确认 两遍 不要 承诺 系统 没有 "
        "显示 的 日期 如果 来电者 生气 请 保持 冷静 并 提供 其他 办法 仔细 解释 退款 条件 因为 国际 配送 需要 额外 文件"
    ),
    "JSON": (
        '{"id":4711,"city":"Pune","paid":true} {"eta":"2026-11-23T10:04:00Z","items":[1,20,300]} {"name":"Asha Verma"} '
        '{"status":"in_transit","weight_kg":2.75} {"tracking":"9F3A77C1","events":null} {"address":{"zip":"411001"}}'
    ),
}
_PIECES = re.compile(
    r"\d| ?[A-Za-z]+|[\u0900-\u097f]+|[\u0600-\u06ff]+|[\u4e00-\u9fff]+|[^\S\n]+|\n+|[^\w\s]{1,3}|.", re.DOTALL
)


def word_pieces(text: str) -> list[str]:
    """Words whole up to eight letters, longer ones in fives; Devanagari in threes, Arabic in twos, Chinese by pairs
    where their sum is even; digits alone, up to three signs together."""
    found: list[str] = []
    for piece in _PIECES.findall(text):
        first = piece[-1]
        if first.isascii():
            found += [piece] if len(piece) <= 9 else _cut(piece, 5)
        elif first >= "\u4e00":
            found += _pairs(piece)
        else:
            found += _cut(piece, 3 if "\u0900" <= first <= "\u097f" else 2)
    return found


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _pairs(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        size = 2 if sum(map(ord, text[at : at + 2])) % 2 == 0 else 1
        found.append(text[at : at + size])
        at += size
    return found


def byte_pairs(text: str) -> list[str]:
    """Byte pairs merged in the order that was learnt, within words."""
    return [token for word in re.findall(r"\s?\S+|\s", text) for token in _merged(word)]


@cache
def _merged(word: str) -> tuple[str, ...]:
    ranks = _merges()
    tokens = [chr(byte) for byte in word.encode("utf-8", "surrogatepass")]
    while len(tokens) > 1:
        at = min(range(len(tokens) - 1), key=lambda n: ranks.get((tokens[n], tokens[n + 1]), len(ranks)))
        if (tokens[at], tokens[at + 1]) not in ranks:
            break
        tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
    return tuple(tokens)


@cache
def _merges() -> dict[tuple[str, str], int]:
    """500 merges: most from English, some from the others, as vocabularies are."""
    chance = random.Random(99)
    shares = {"English": 240, "Hindi": 60, "Arabic": 60, "Chinese": 30, "JSON": 60}
    corpus = Counter(
        " " + "".join(chance.sample(word, len(word)) if chance.random() < 0.3 else word)
        for language, share in shares.items()
        for word in chance.choices(WORDS[language].split(), k=share)
    )
    words = {tuple(chr(byte) for byte in word.encode()): number for word, number in corpus.items()}
    ranks: dict[tuple[str, str], int] = {}
    while len(ranks) < 500:
        pairs: Counter[tuple[str, str]] = Counter()
        for tokens, number in words.items():
            for pair in pairwise(tokens):
                pairs[pair] += number
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        ranks[best] = len(ranks)
        words = {_joined(tokens, best): number for tokens, number in words.items()}
    return ranks


def _joined(tokens: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    for token in tokens:
        if found and (found[-1], token) == pair:
            found[-1] += token
        else:
            found.append(token)
    return tuple(found)


TOKENIZERS: dict[str, Tokenizer] = {"word pieces": word_pieces, "byte pairs": byte_pairs}


@dataclass(frozen=True, slots=True)
class Server:
    """`block` in tokens, `lifetime_s` in seconds."""

    tokenizer: str
    block: int
    lifetime_s: float

    def tokens(self, document: Document) -> list[str]:
        """As it counts a prompt: each message between marks of its own."""
        cut = TOKENIZERS[self.tokenizer]
        found = ["<s>"]
        for message in document.messages:
            content = (message.content or "").replace("{{question}}", document.variables.get("question", ""))
            found += ["<|", message.role, "|>", *cut(content.replace("{{name}}", document.variables.get("name", "")))]
        return [*found, "<|", "assistant", "|>"]


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: what was forecast, what was reported, and how many reports the forecast had behind it."""

    forecast: Forecast
    cached: int
    taught: int
    block: int

    @property
    def error(self) -> float:
        """Tokens."""
        return abs(self.forecast.cached_tokens - self.cached)

    @property
    def inside(self) -> bool:
        """Whether the report is in the interval."""
        return self.forecast.low <= self.cached <= self.forecast.high


def talks(language: str, seed: int, count: int) -> Iterator[tuple[float, Document]]:
    """Seconds since the last request, and the prompt: a few agents, each with new callers and talks that go on."""
    chance = random.Random(f"{language} {seed}")
    agents = [_agent(language, chance) for _ in range(3)]
    going: list[Document | None] = [None] * len(agents)
    for _ in range(count):
        which = chance.randrange(len(agents))
        talk = going[which]
        if talk is not None and len(talk.messages) < 9 and chance.random() < 0.5:
            turns = (Message("assistant", _text(language, chance, 12)), Message("user", _text(language, chance, 8)))
            talk = Document(messages=(*talk.messages, *turns), variables=talk.variables)
        else:
            if chance.random() < 0.1:
                agents[which] = _edited(agents[which], language, chance)
            name = chance.choice(WORDS[language].split())
            talk = agents[which].with_variable("name", name).with_variable("question", _text(language, chance, 10))
        going[which] = talk
        yield chance.expovariate(1 / 45), talk


def _agent(language: str, chance: random.Random) -> Document:
    rules = _text(language, chance, chance.choice((150, 400, 900, 1_800)))
    messages = (Message("system", rules), Message("user", "{{name}}: {{question}}"))
    return Document(messages=messages, variables={"name": "", "question": ""})


def _edited(document: Document, language: str, chance: random.Random) -> Document:
    words = (document.messages[0].content or "").split(" ")
    words[chance.randrange(len(words))] = chance.choice(WORDS[language].split())
    return document.with_message(0, Message("system", " ".join(words)))


def _text(language: str, chance: random.Random, words: int) -> str:
    """Some JSON and numbers stand in every prompt, some English in every language."""
    mixed = {"JSON": 0.05, "English": 0.08}
    picked = []
    for _ in range(words):
        other = next((name for name, share in mixed.items() if chance.random() < share), language)
        picked.append(chance.choice(WORDS[other].split()))
    return " ".join(picked)


def asked(server: Server, language: str, seed: int, count: int, *, learns: bool = True) -> Iterator[Answered]:
    """Requests sent to a server one after the other, each forecast before, and learnt from after if it `learns`."""
    clock = [1_000_000.0]
    cached = PrefixCache(server.block, server.lifetime_s, clock=lambda: clock[0])
    desk = CacheForecaster(clock=lambda: clock[0])
    for number, (pause_s, document) in enumerate(talks(language, seed, count)):
        clock[0] += pause_s
        tokens = server.tokens(document)
        forecast = desk.look(document, "server", "electron").forecast
        served = cached.serve(tokens)
        view = view_of_document(document).view
        desk.record("server", "electron", Sent(f"{number}", None, clock[0], view.text, view))
        if learns:
            desk.settle("server", "electron", f"{number}", len(tokens), served, forecast)
        yield Answered(forecast, served, number if learns else 0, server.block)
