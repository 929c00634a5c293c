"""One look at a 130 KB prompt after each keystroke, beside the least it could cost: copying the text and comparing it.

Run: python -m tests.benchmarks.bench_prefix [KEYSTROKES]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message, Role

SIZE = 130_000
SENT = 400
"""Earlier requests of nearly the same text: the most that the index keeps of prompts this long is about 490."""
SAMPLES = {
    "English": "The caller asks about an order; confirm the number and the city, then answer in one sentence.\n",
    "Hindi": "ग्राहक अपने ऑर्डर के बारे में पूछता है; संख्या की पुष्टि करें और एक वाक्य में उत्तर दें।\n",
    "emoji": "The caller is happy 🙂 or sad 🙁; say so 👩‍👩‍👧 and go on to the next question, please.\n",
}


def prompt(sample: str, messages: int) -> Document:
    """A prompt of SIZE code points in so many messages, no two of them alike, with a variable in the last."""
    roles: tuple[Role, Role] = ("user", "assistant")
    lines = max(SIZE // messages // len(sample), 1)
    texts = [f"{number}\n" + sample * lines for number in range(messages)]
    made = [Message(roles[number % 2], text) for number, text in enumerate(texts)]
    return Document(messages=(*made, Message("user", "{{question}}")), variables={"question": "When?"})


def desk_with(document: Document) -> CacheForecaster:
    """A opened that knows SENT requests like this one, all still warm, the newest reported."""
    opened = CacheForecaster(clock=lambda: 1_000.0)
    for number in range(SENT):
        view = view_of_document(document.with_variable("question", f"Question {number}?")).view
        opened.record("endpoint", "electron", Sent(f"{number}", f"{number:08}", 900.0 + number / 10, view.text, view))
        if number % 50 == 0:
            opened.settle("endpoint", "electron", f"{number}", CacheUsage(SIZE // 4, 0))
    return opened


def keystrokes(document: Document, place: float, count: int) -> list[Document]:
    """The document after each letter typed at `place` (0 to 1) of its messages."""
    index = int(place * (len(document.messages) - 2))
    found = []
    for letter in (chr(97 + number % 26) for number in range(count)):
        text = document.messages[index].content or ""
        middle = len(text) // 2
        changed = text[:middle] + letter + text[middle:]
        document = document.with_message(index, Message(document.messages[index].role, changed))
        found.append(document)
    return found


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def floor(document: Document) -> float:
    """Milliseconds to make the new text out of the old one and to compare the two."""
    text = view_of_document(document).view.text
    half = len(text) // 2
    return min(timed(lambda: text[:half] + "x" + text[half:] == text[:half] + "x" + text[half:]) for _ in range(9))


def row(name: str, document: Document, place: float, count: int) -> str:
    """One line of the table."""
    opened = desk_with(document)
    opened.look(document, "endpoint", "electron")
    spent = [
        timed(lambda typed=typed: opened.look(typed, "endpoint", "electron"))  # type: ignore[misc]
        for typed in keystrokes(document, place, count)
    ]
    spent.sort()
    median, late = spent[len(spent) // 2], spent[int(len(spent) * 0.99)]
    return f"{name:<34}{median:>9.2f}{late:>9.2f}{median / floor(document):>12.0f}"


def estimate_row(name: str, document: Document, count: int) -> str:
    """The estimate alone, of the whole text after an edit in its middle."""
    text = view_of_document(document).view.text
    estimator = TokenEstimator()
    estimator.estimate(text)
    half = len(text) // 2
    edits = [text[:half] + "x" * number + text[half:] for number in range(1, count + 1)]
    spent = sorted(timed(lambda edit=edit: estimator.estimate(edit)) for edit in edits)  # type: ignore[misc]
    median, late = spent[len(spent) // 2], spent[int(len(spent) * 0.99)]
    return f"{name:<34}{median:>9.2f}{late:>9.2f}{median / floor(document):>12.0f}"


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"look() after a keystroke, {SIZE:,} characters, {SENT} earlier requests, {count} keystrokes")
    print(f"{'':<34}{'median ms':>9}{'99 % ms':>9}{'× floor':>12}")
    for language, sample in SAMPLES.items():
        for messages in (1, 200):
            document = prompt(sample, messages)
            for place in (0.0, 0.9) if messages > 1 else (0.0,):
                where = "" if messages == 1 else (", first" if place == 0.0 else ", late")
                print(row(f"{language}, {messages} message(s){where}", document, place, count))
        print(estimate_row(f"{language}, estimate() alone", prompt(sample, 1), count))


if __name__ == "__main__":
    main()
