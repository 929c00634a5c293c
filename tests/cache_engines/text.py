"""Varied text made from word lists: sentences, instructions, documents, code, JSON and tool definitions."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.cache_engines.words import COMMAS, ENDINGS, NAMES, WORDS, Script

Tool = dict[str, Any]
VERBS = ("get", "find", "update", "cancel", "book", "list", "send", "check", "create", "verify")
NOUNS = ("order", "invoice", "appointment", "customer", "refund", "outage", "ticket", "policy", "meter", "flight")
TYPES = ("string", "integer", "number", "boolean")


class Writer:
    """Text of one script, deterministic by the given random generator; `scale` lengthens instructions."""

    def __init__(self, rng: random.Random, script: Script = "english", scale: float = 1.0) -> None:
        self.rng = rng
        self.script = script
        self.scale = scale
        # A few words are frequent and most are rare, as in running text.
        order = list(WORDS[script])
        random.Random(script).shuffle(order)
        self._ranked = order
        self._weights = [1 / (rank + 4) for rank in range(len(order))]

    def name(self) -> str:
        return self.rng.choice(NAMES[self.script])

    def word(self) -> str:
        return self.rng.choice(self._ranked)

    def sentence(self, least: int = 5, most: int = 17) -> str:
        words = self.rng.choices(self._ranked, self._weights, k=self.rng.randint(least, most))
        if self.rng.random() < 0.18:
            words[self.rng.randrange(len(words))] = str(self.rng.randint(2, 9_999))
        if len(words) > 8:
            at = self.rng.randint(3, len(words) - 3)
            words[at] += COMMAS.get(self.script, ",")
        text = ("" if self.script == "han" else " ").join(words)
        return text[:1].upper() + text[1:] + ENDINGS[self.script]

    def sentences(self, count: int) -> str:
        return ("" if self.script == "han" else " ").join(self.sentence() for _ in range(count))

    def question(self) -> str:
        return self.sentences(self.rng.randint(1, 3))

    def answer(self) -> str:
        return self.sentences(self.rng.randint(1, 4))

    def instructions(self, sentences: int) -> str:
        """Return a system text: headings, paragraphs, numbered rules and a list.

        `scale` of the writer multiplies the number of sentences.
        """
        sentences = round(sentences * self.scale)
        parts = [self.sentences(2)]
        left = sentences - 2
        while left > 0:
            size = min(left, self.rng.randint(3, 7))
            left -= size
            form = self.rng.random()
            if form < 0.4:
                parts.append(f"## {self.sentence(2, 4)[:-1]}\n{self.sentences(size)}")
            elif form < 0.7:
                parts.append("\n".join(f"{index}. {self.sentence()}" for index in range(1, size + 1)))
            else:
                parts.append("\n".join(f"- {self.sentence(4, 10)}" for _ in range(size)))
        return "\n\n".join(parts)

    def document(self) -> str:
        """Return a retrieved passage with a heading and a source."""
        title = self.sentence(2, 5)[:-1]
        source = f"kb-{self.rng.randint(100, 999)}"
        return f"### {title}\nSource: {source}\n{self.sentences(self.rng.randint(6, 14))}"

    def code(self, functions: int) -> str:
        """Return Python source."""
        blocks = []
        for _ in range(functions):
            verb, noun = self.rng.choice(VERBS), self.rng.choice(NOUNS)
            lines = [
                f"def {verb}_{noun}_{self.rng.randint(1, 99)}({noun}_id: int, *, retries: int = 3) -> dict[str, Any]:"
            ]
            lines.append(f'    """{self.sentence(4, 9)}"""')
            for _ in range(self.rng.randint(2, 6)):
                field, value = self.rng.choice(NOUNS), self.rng.randint(1, 500)
                lines.append(
                    self.rng.choice(
                        (
                            f"    {field} = store.fetch({noun}_id, limit={value})",
                            f"    if {field} is None or {field}.total > {value}:\n        raise LookupError({field!r})",
                            f'    result["{field}"] = [item.id for item in {noun}.items if item.age < {value}]',
                        )
                    )
                )
            blocks.append("\n".join([*lines, "    return result"]))
        return "\n\n\n".join(blocks)

    def data(self, records: int) -> str:
        """Return a JSON document."""
        found = [
            {
                "id": f"{self.rng.getrandbits(32):08x}",
                self.rng.choice(NOUNS): self.sentence(2, 6),
                "amount": round(self.rng.uniform(1, 900), 2),
                "tags": self.rng.sample(NOUNS, 3),
                "active": self.rng.random() < 0.5,
            }
            for _ in range(records)
        ]
        return json.dumps(found, ensure_ascii=False, indent=self.rng.choice((None, 2)))

    def tool(self, name: str) -> Tool:
        """Return a function definition called `name`."""
        properties = {
            f"{self.rng.choice(NOUNS)}_{key}": {"type": self.rng.choice(TYPES), "description": self.sentence(3, 9)}
            for key in self.rng.sample(("id", "code", "date", "name", "kind", "count"), self.rng.randint(1, 4))
        }
        return {
            "type": "function",
            "function": {
                "name": name,
                "description": self.sentence(6, 14),
                "parameters": {"type": "object", "properties": properties, "required": sorted(properties)[:1]},
            },
        }

    def tools(self, count: int) -> list[Tool]:
        names = [f"{verb}_{noun}" for verb in VERBS for noun in NOUNS]
        return [self.tool(name) for name in self.rng.sample(names, count)]

    def call(self, tool: Tool) -> dict[str, Any]:
        """Return an assistant message that calls `tool`, sometimes after a short filler."""
        arguments = {
            key: self.rng.randint(1, 9_999) if schema["type"] in ("integer", "number") else self.sentence(1, 2)
            for key, schema in tool["function"]["parameters"]["properties"].items()
        }
        identity = f"call_{self.rng.getrandbits(48):012x}"
        function = {"name": tool["function"]["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}
        filler = self.sentence(3, 6) if self.rng.random() < 0.6 else None
        return {
            "role": "assistant",
            "content": filler,
            "tool_calls": [{"id": identity, "type": "function", "function": function}],
        }

    def result(self, call: dict[str, Any]) -> dict[str, Any]:
        """Return the tool message that answers `call`."""
        content = json.dumps(
            {"status": self.rng.choice(("ok", "pending")), "detail": self.sentence()}, ensure_ascii=False
        )
        return {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": content}
