"""Rewrites do not change the meaning: related text moves as a whole or not at all, and no byte is lost."""

from __future__ import annotations

from collections import Counter

import pytest

from playground.lint.engine import advise
from playground.prefix_cache.rewrites import proposals
from playground.prompt.document import Document, Message

RULES = "\n".join(
    f"Rule {word}: stay polite, answer in two sentences, and never guess a price or a date that no tool has given."
    for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "numbered steps": ("", ("1. Greet {{name}}.\n2. Ask for the number.\n3. Look it up.",)),
    "numbered with brackets": ("", ("1) Greet {{name}}.\n2) Ask for the number.",)),
    "lettered steps": ("", ("a) Greet {{name}}.\nb) Ask for the number.\nc) Close the call.",)),
    "steps by word": ("", ("Step 1: greet {{name}}.\nStep 2: ask for the number.",)),
    "steps of two lines": ("", ("1. Greet.\n   Use the name {{name}}.\n2. Ask.\n   Wait for the answer.",)),
    "steps with a heading": ("", ("Follow these steps:\n1. Greet {{name}}.\n2. Ask for the number.",)),
    "steps with a value in the last": (
        "",
        ("1. Greet.\n2. Say that today is 2026-11-23.\n3. Say goodbye to {{name}}.",),
    ),
    "bullet list": ("", ("- Plan: gold\n- Name: {{name}}\n- City: Pune",)),
    "bullet list with a lead": ("", ("The caller:\n- Name: {{name}}\n- Plan: gold",)),
    "nested list": ("", ("- Caller\n  - Name: {{name}}\n  - Plan: gold\n- Shop\n  - City: Pune",)),
    "star list": ("", ("* Name: {{name}}\n* Plan: gold\n* City: Pune",)),
    "JSON object": ("", ('{\n  "name": "{{name}}",\n  "plan": "gold",\n  "tags": ["a", "b"]\n}',)),
    "JSON behind a label": ("", ('Caller: {\n  "name": "{{name}}",\n  "plan": "gold"\n}',)),
    "JSON array": ("", ('[\n  {"name": "{{name}}"},\n  {"name": "Ravi"}\n]',)),
    "nested JSON": ("", ('{\n  "caller": {\n    "name": "{{name}}"\n  },\n  "plan": "gold"\n}',)),
    "JSON with blank lines": ("", ('{\n  "name": "{{name}}",\n\n  "plan": "gold"\n}',)),
    "dialogue": ("", ("User: My name is {{name}}.\nAssistant: Hello!\nUser: Where is it?\nAssistant: On its way.",)),
    "dialogue with a heading": ("", ("Example:\nCaller: This is {{name}}.\nAgent: How can I help?",)),
    "question and answer": ("", ("Q: Who is {{name}}?\nA: Our customer.\n\nQ: And Ravi?\nA: Another one.",)),
    "input and output": ("", ("Input: {{name}} calls\nOutput: greet\nInput: Ravi calls\nOutput: greet too",)),
    "Hindi dialogue": ("", ("ग्राहक: मैं {{name}} हूँ।\nएजेंट: नमस्ते!\nग्राहक: पार्सल कहाँ है?\nएजेंट: रास्ते में है।",)),
    "Hindi steps": ("", ("1. {{name}} को नमस्ते कहें।\n2. नंबर पूछें।\n3. खोजें।",)),
    "table": ("", ("| who | plan |\n|-----|------|\n| {{name}} | gold |",)),
    "fence": ("", ("```\nname = {{name}}\nplan = gold\n```",)),
    "tagged block": ("", ("<caller>\nName: {{name}}\nPlan: gold\n</caller>",)),
    "list that is the prompt": ("\n".join(f"{n}. Do thing {n} for {{{{name}}}}." for n in range(1, 30)), ()),
    "dialogue in front of steps": (
        "",
        ("User: I am {{name}}.\nAssistant: Hello!", "1. Greet.\n2. Ask for the number."),
    ),
}


def document(name: str) -> Document:
    """Return the prompt of a case: its blocks in front of stable rules, or its whole text."""
    whole, blocks = CASES[name]
    text = whole or "You are Mira, a phone agent.\n\n" + "\n\n".join(blocks) + f"\n\n{RULES}"
    return Document(
        messages=(Message("system", text), Message("user", "{{question}}")),
        variables={"name": "Asha", "question": "Why?"},
    )


def rewrites(before: Document) -> list[Document]:
    """Return every prompt that the window or the lint rule offers."""
    offered = [rewrite.after for rewrite in proposals(before)]
    return offered + [found.fix.after for found in advise(before) if found.fix and found.rule == "prefix-order"]


def text_of(made: Document) -> str:
    return "\n\x1e\n".join(message.content or "" for message in made.messages)


@pytest.mark.parametrize("name", CASES)
def test_rewrite_keeps_blocks_whole_and_every_character(name: str) -> None:
    before = document(name)
    for after in rewrites(before):
        assert Counter(text_of(after).replace("\x1e", "").split()) == Counter(
            text_of(before).replace("\x1e", "").split()
        )
        for block in CASES[name][1]:
            assert block in text_of(after)


@pytest.mark.parametrize("name", [name for name, (_, blocks) in CASES.items() if blocks])
def test_rewrite_of_a_small_block_is_offered(name: str) -> None:
    assert rewrites(document(name))


def test_list_that_is_the_prompt_is_not_taken_apart() -> None:
    before = document("list that is the prompt")
    assert all(after == before for after in rewrites(before))
