"""Rules about the whole tool catalogue: its size per turn, duplicate schemas, unused tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from playground.lint.edits import without_tools
from playground.lint.model import Evidence, Finding, FindingPlace, Fix, GuideSource, LintRule
from playground.lint.prompt_facts import PromptFacts
from playground.lint.tool_catalogue import SchemaNode, parameters
from playground.prompt.document import Document, Json


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    """Applies to imported bodies only: this program omits an empty list."""
    if facts.body is None or facts.body.get("tools", None) != []:
        return
    yield Finding(
        "serious",
        "An empty tools list",
        "The body has tools: []. The server accepts 1 to 64 tools; without tools the field is omitted.",
        places=(FindingPlace(("tools",)),),
        fix=Fix("Omit tools", facts.document),
    )


RULE = LintRule(
    "empty-tools",
    "Omit the empty tools field",
    "An empty list can be refused, and it changes the text that the cache compares.",
    GuideSource(
        "Request fields", "Up to 64 tools; the field is omitted when there are none, an empty list is a mistake."
    ),
    _speak,
)


LARGE, VERY_LARGE = 1_000, 8_192
"""Estimated catalogue tokens from which its price is reported, and from which it fills a quarter of the context."""
REPEATED = 32
"""≈ tokens of a schema from which repeating it is worth a word."""
REPEATED_MUCH = 256
"""≈ tokens repeated from which it is a warning."""
OFTEN = 50
"""Requests that have to have offered the tools before one is called unused."""


def _size(facts: PromptFacts) -> Iterator[Finding]:
    tokens = sum(facts.tool_tokens)
    if tokens < LARGE:
        return
    index = max(range(len(facts.tool_tokens)), key=facts.tool_tokens.__getitem__)
    tools = facts.document.tools
    yield Finding(
        "warning" if tokens >= VERY_LARGE else "hint",
        "A large tool catalogue",
        f"Every turn sends {len(tools)} tools. After the first turn they are billed at the cached rate as long as "
        f"none of them changes. The largest is {tools[index].name}.",
        evidence=(
            Evidence("catalogue per turn", tokens),
            Evidence("per tool", tokens / len(tools)),
            Evidence(tools[index].name, facts.tool_tokens[index]),
            Evidence("per 1,000 turns at the cached rate", facts.cached_dollars(tokens), "dollars"),
            Evidence("per 1,000 turns at the fresh rate", facts.fresh_dollars(tokens), "dollars"),
        ),
        places=(FindingPlace(("tools",)),),
        tokens=tokens,
        dollars=facts.cached_dollars(tokens),
    )


def _repeated(facts: PromptFacts) -> Iterator[Finding]:
    for text, found in _same(facts).items():
        tokens = facts.tokens(text)
        wasted = tokens * (len(found) - 1)
        names = [facts.document.tools[index].name for index, _ in found]
        if tokens < REPEATED or len(set(names)) < 2:
            continue
        yield Finding(
            "warning" if wasted >= REPEATED_MUCH else "hint",
            "The same schema in several tools",
            f"{', '.join(dict.fromkeys(names))} repeat it. Use one tool with a parameter that selects the case, or an "
            "id instead of the object.",
            evidence=(
                Evidence("repeated per turn", wasted),
                Evidence("per 1,000 turns at the cached rate", facts.cached_dollars(wasted), "dollars"),
            ),
            places=tuple(FindingPlace(("tools", i, *n.path), tool=facts.document.tools[i].name) for i, n in found),
            tokens=wasted,
            dollars=facts.cached_dollars(wasted),
            subject=" ".join(dict.fromkeys(names)),
        )


def _same(facts: PromptFacts) -> Mapping[str, list[tuple[int, SchemaNode]]]:
    """Return repeated objects and choices by their text, without those nested in another repeated one."""
    seen: dict[str, list[tuple[int, SchemaNode]]] = {}
    for index, tool in enumerate(facts.document.tools):
        for node in parameters(tool):
            if "properties" in node.schema or "enum" in node.schema or "items" in node.schema:
                seen.setdefault(_shape(node.schema), []).append((index, node))
    twice = {text: found for text, found in seen.items() if len(found) > 1}
    return {text: found for text, found in twice.items() if not any(_inside(found, o) for o in twice.values())}


def _inside(found: list[tuple[int, SchemaNode]], other: list[tuple[int, SchemaNode]]) -> bool:
    return found is not other and all(
        any(i == j and n.path[: len(o.path)] == o.path and n.path != o.path for j, o in other) for i, n in found
    )


def _shape(schema: Mapping[str, Json]) -> str:
    """Return a schema without its descriptions, for comparison."""
    bare = {key: value for key, value in schema.items() if key not in ("description", "title")}
    return json.dumps(bare, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _unused(facts: PromptFacts) -> Iterator[Finding]:
    document, history = facts.document, facts.history
    if history.tools_offered_in < OFTEN:
        return
    called = history.tools_called | {call.name for message in document.messages for call in message.tool_calls}
    choice = facts.parameter("tool_choice")
    forced = choice.get("function") if isinstance(choice, dict) else None
    wanted = forced.get("name") if isinstance(forced, dict) else None
    idle = [i for i, tool in enumerate(document.tools) if tool.name not in called and tool.name != wanted]
    if not idle:
        return
    tokens = sum(facts.tool_tokens[index] for index in idle)
    names = [document.tools[index].name for index in idle]
    yield Finding(
        "hint",
        "Tools that were never called",
        f"{', '.join(names)}: in {history.tools_offered_in:,} logged requests, never called. Removing them changes "
        "the prefix once.",
        evidence=(
            Evidence("never called", len(idle), "count", "counted"),
            Evidence("requests that offered them", history.tools_offered_in, "count", "counted"),
            Evidence("per turn", tokens),
            Evidence("per 1,000 turns at the cached rate", facts.cached_dollars(tokens), "dollars"),
        ),
        places=tuple(FindingPlace(("tools", index), tool=document.tools[index].name) for index in idle),
        fix=Fix(f"Remove {len(idle)} tools" if len(idle) > 1 else f"Remove {names[0]}", _without(facts, names)),
        tokens=tokens,
        dollars=facts.cached_dollars(tokens),
    )


def _without(facts: PromptFacts, names: list[str]) -> Document:
    return without_tools(facts.document, frozenset(names))


_SECTION = "Tools and the filler phrase"
SIZE = LintRule(
    "tool-catalogue",
    "Know the catalogue's cost per turn",
    "Every tool is input on every turn; an unchanged catalogue is at least served from the cache.",
    GuideSource(_SECTION, "Every tool description and parameter schema is input on every turn."),
    _size,
)
REPEATED_SCHEMAS = LintRule(
    "tool-repeated",
    "Define a schema once",
    "A definition cannot refer to another tool's schema, so the same object in five tools is sent five times.",
    GuideSource(_SECTION, "Every parameter schema is input on every turn."),
    _repeated,
)
UNUSED = LintRule(
    "tool-unused",
    "Offer only tools that are used",
    "A tool that is never called costs input on every turn, and the model can choose it by mistake.",
    GuideSource(_SECTION, "Short catalogues: every tool is input on every turn."),
    _unused,
)
