"""How often the adviser is right on the corpus, and how long it takes on a large prompt.

Run: python -m tests.benchmarks.bench_advice
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter

from msgspec.structs import replace

from playground.lint.engine import advise
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document, Message, Role, Tool
from tests.lint.corpus import samples, tool
from tests.lint.handmade import handmade
from tests.lint.judge import of_body
from tests.lint.unseen import unseen

TOKENS, TOOLS, MESSAGES = 32_768, 64, 200
LIMIT_MS = 50.0
RUNS = 15


def alarms(show: bool) -> None:
    """Return the share of true and false findings above a hint, and of missed flaws."""
    count = true = false = flaws = missed = 0
    by_rule: Counter[str] = Counter()
    for sample in (*samples(), *handmade(), *unseen()):
        count += 1
        found = of_body(sample.body)
        above = {advice.rule for advice in found if advice.severity != "hint"}
        wrong, absent = above - sample.expected, sample.expected - {advice.rule for advice in found}
        true, false = true + len(above & sample.expected), false + len(wrong)
        flaws, missed = flaws + len(sample.expected), missed + len(absent)
        by_rule.update(f"false {rule}" for rule in wrong)
        by_rule.update(f"missed {rule}" for rule in absent)
        if show and (wrong or absent):
            print(f"  {sample.name}: false {sorted(wrong)} missed {sorted(absent)}")
    print(f"{count} bodies, {flaws} flaws: {1 - missed / flaws:.1%} found ({missed} missed)")
    print(f"alarms above a hint: {true + false}, true {true / (true + false):.1%}, false {false}")
    for name, times in by_rule.most_common():
        print(f"  {name}: {times}")


def large(sample: str) -> Document:
    """64 tools, 200 messages, about 32,768 tokens."""
    tools = tuple(
        Tool.of(
            tool(
                f"find_{number}",
                "Finds a thing by its number. Use it with care, e.g. for parcels.",
                **{f"field_{n}": {"type": "string", "description": f"Field {n} of the thing."} for n in range(4)},
            )
        )
        for number in range(TOOLS)
    )
    estimator = TokenEstimator()
    left = TOKENS - sum(estimator.estimate(item.json_text) for item in tools)
    roles: tuple[Role, Role] = ("user", "assistant")
    each = max(int(left / MESSAGES / estimator.estimate(sample)), 1)
    rest = [Message(roles[n % 2], f"{n}. " + sample * each) for n in range(MESSAGES - 1)]
    head = Message(
        "system", "You are a voice agent on the phone.\n" + sample * each + "\n{{caller_name}}\n" + sample * each
    )
    return Document(tools=tools, messages=(head, *rest), variables={"caller_name": "Asha"})


def speed() -> None:
    """Cold: nothing counted before. Warm: one message edited since."""
    for name, sample in SAMPLES.items():
        document = large(sample)
        cold = [_ms(document, TokenEstimator()) for _ in range(RUNS)]
        known = TokenEstimator()
        advise(document, counter=known)
        warm = [_ms(_edited(document, number), known) for number in range(RUNS)]
        tokens = sum(known.estimate(m.content or "") for m in document.messages)
        tokens += sum(known.estimate(item.json_text) for item in document.tools)
        print(
            f"{name}: ≈ {tokens:,.0f} tokens, {TOOLS} tools, {len(document.messages)} messages: first {_of(cold)}, "
            f"after an edit {_of(warm)} ({statistics.median(cold) / LIMIT_MS:.2f} of the limit)"
        )


SAMPLES = {
    "English": "The caller asks about an order; confirm the number and the city, then answer in one sentence. ",
    "Hindi": "ग्राहक अपने ऑर्डर के बारे में पूछता है; संख्या की पुष्टि करें और एक वाक्य में उत्तर दें। ",
    "JSON talk": "Send the audio call as JSON to the tool, then answer in JSON; never translate to English before. ",
}


def _edited(document: Document, number: int) -> Document:
    message = document.messages[100]
    return document.with_message(100, replace(message, content=f"{message.content}{number}"))


def _ms(document: Document, counter: TokenEstimator) -> float:
    began = time.perf_counter()
    advise(document, counter=counter)
    return (time.perf_counter() - began) * 1000


def _of(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ms (worst {max(times):.1f})"


if __name__ == "__main__":
    alarms("--show" in sys.argv)
    speed()
