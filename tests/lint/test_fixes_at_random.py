"""Fixes on prompts put together at random from real pieces: none leaves its rule speaking."""

from __future__ import annotations

import random

import pytest

from playground.lint.engine import advise
from playground.prompt.document import Document, Json, Message, Role, Tool
from tests.lint.corpus import tool
from tests.lint.words import WORDS

pytestmark = pytest.mark.exhaustive

PIECES = (
    *(
        "{{a}}",
        "{{name}} lives in {{city}}.",
        "Be kind. " * 20,
        "Current time: 2026-08-14 10:22",
        "- {{x}}",
        "\n\n",
        "\n",
    ),
    *(
        " ",
        "Rules:\n- one\n- two",
        "Answer with JSON only.",
        "Today is 14 August 2026.",
        "You are a phone agent. ",
        "e.g. {{z}}",
    ),
    *("Session id: 9db74058-2421-4c0e-8d7a-5d1f0c9e7b11", "शांत रहें। " * 15),
)
DESCRIPTIONS = ("Finds x. ", "Use e.g. A. ", "(for example B)", "Long " * 40, "\n", "Example: C", "。", "z.B. D ")
ROLES: tuple[Role, ...] = ("system", "system", "user", "assistant")
PARAMETERS: tuple[dict[str, Json], ...] = ({}, {"max_tokens": 9}, {"response_format": {"type": "json_object"}})
DOCUMENTS = 60


@pytest.mark.parametrize("seed", range(10))
def test_no_fix_leaves_its_rule_speaking(seed: int) -> None:
    chance = random.Random(seed)
    fixes = 0
    for _ in range(DOCUMENTS):
        document = _document(chance)
        for advice in advise(document):
            if advice.fix is not None:
                fixes += 1
                assert advice.key not in {other.key for other in advise(advice.fix.after)}, (advice.key, document)
    assert fixes > DOCUMENTS / 2


def _document(chance: random.Random) -> Document:
    words = chance.choice(WORDS)
    pieces = (*PIECES, words.agent, words.json, words.wait)
    text = "".join(chance.choice(DESCRIPTIONS) for _ in range(chance.randint(0, 6)))
    made = tool(text=text, p={"type": "string", "description": text})
    return Document(
        tools=(Tool.of(made),) * chance.randint(0, 1),
        messages=tuple(
            Message(chance.choice(ROLES), "".join(chance.choice(pieces) for _ in range(chance.randint(1, 8))))
            for _ in range(chance.randint(1, 4))
        ),
        stream=chance.random() < 0.7,
        include_usage=chance.random() < 0.8,
        parameters=chance.choice(PARAMETERS),
    )
