"""Rules about tools: size of the catalogue, duplicate schemas, unused tools, and their names and descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from playground.lint.language import sentences, wording
from playground.lint.model import (
    Evidence,
    Finding,
    FindingPlace,
    Fix,
    Judge,
    with_system_line,
    with_tool,
    without_tools,
)
from playground.lint.prompt_facts import PromptFacts, SchemaNode, edited, parameters
from playground.prompt.document import Json, Tool
from playground.prompt.field_errors import Path
from playground.tools.form_model import description_of

MUCH = 48
"""≈ tokens in one tool that are worth a warning: they are sent in every turn."""
LONG_SENTENCE, LONG_PARAMETER = 60, 32
"""≈ tokens: a sentence of intent is shorter, and so is what a parameter needs."""

_DESCRIPTION: Path = ("function", "description")
_MARK = wording("example_marks")
_KEYS = ("example", "examples")


def _descriptions(facts: PromptFacts) -> Iterator[Finding]:
    for index, tool in enumerate(facts.document.tools):
        text = description_of(tool)
        spans = sentences(text)
        total = facts.tokens(text)
        if len(spans) > 1:
            yield _shorter(facts, index, tool, {_DESCRIPTION: text[slice(*spans[0])]}, spans[0][1])
        elif total > LONG_SENTENCE:
            yield Finding(
                "hint",
                f"{tool.name}: a long description",
                "Its one sentence is long, and is input on every turn.",
                places=(_place(index, tool, _DESCRIPTION),),
                **_costs(facts, "description per turn", total),
                subject=tool.name,
            )


def _shorter(facts: PromptFacts, index: int, tool: Tool, changes: Mapping[Path, Json], end: int) -> Finding:
    text = description_of(tool)
    saved = facts.tokens(text) - facts.tokens(text[:end])
    after = with_tool(facts.document, index, edited(tool, changes))
    return Finding(
        "warning" if saved >= MUCH else "hint",
        f"{tool.name}: a description of more than one sentence",
        "One sentence of intent is enough for the model to choose a tool; how to use it belongs in the system prompt, "
        "once.",
        places=(_place(index, tool, _DESCRIPTION, end, len(text)),),
        fix=Fix("Keep the first sentence", after) if facts.tokens(text[:end]) <= LONG_SENTENCE else None,
        **_costs(facts, "beyond the first sentence, per turn", saved),
        subject=tool.name,
    )


def _long_parameters(facts: PromptFacts) -> Iterator[Finding]:
    for index, tool in enumerate(facts.document.tools):
        found = [(n, s) for n in parameters(tool) if n.description and (s := _excess(facts, n.description)) is not None]
        if not found:
            continue
        saved = sum(facts.tokens(node.description[end:]) for node, end in found)
        changes: dict[Path, Json] = {
            (*node.path, "description"): node.description[:end].rstrip()
            for node, end in found
            if end < len(node.description) and _excess(facts, node.description[:end].rstrip()) is None
        }
        whole = len(changes) == len(found)
        yield Finding(
            "warning" if saved >= MUCH else "hint",
            f"{tool.name}: long parameter descriptions",
            f"{', '.join(node.name for node, _ in found)}: a few words are enough for the model to fill them.",
            places=tuple(_place(index, tool, (*n.path, "description"), e, len(n.description)) for n, e in found),
            fix=Fix("Keep the first sentences", with_tool(facts.document, index, edited(tool, changes)))
            if whole
            else None,
            **_costs(facts, "beyond the first sentence, per turn", saved),
            subject=tool.name,
        )


def _excess(facts: PromptFacts, text: str) -> int | None:
    """Return the end of the first sentence if the description is too long; None otherwise."""
    if facts.tokens(text) <= LONG_PARAMETER:
        return None
    return sentences(text)[0][1]


def _undescribed(facts: PromptFacts) -> Iterator[Finding]:
    for index, tool in enumerate(facts.document.tools):
        bare = [n for n in parameters(tool) if not n.description and not _says_itself(n.schema)]
        places = [_place(index, tool, n.path) for n in bare]
        names = [n.name for n in bare]
        subject = "parameters without description"
        if not description_of(tool):
            subject = "without description"
            places.insert(0, _place(index, tool, _DESCRIPTION))
            names.insert(0, "the tool itself")
        if places:
            yield Finding(
                "hint",
                f"{tool.name}: {subject}",
                f"{', '.join(names)}: the model sees only the name. A few words each are enough.",
                evidence=(Evidence("without description", len(names), "count", "counted"),),
                places=tuple(places),
                subject=tool.name,
            )


def _says_itself(schema: Mapping[str, Json]) -> bool:
    """Return whether its values are self-explanatory: an enum, a constant, or an object with described fields."""
    return any(key in schema for key in ("enum", "const", "properties", "$ref", "title")) or (
        isinstance(schema.get("items"), dict) and _says_itself(schema["items"])  # type: ignore[arg-type]  # a dict
    )


def _examples(facts: PromptFacts) -> Iterator[Finding]:
    for index, tool in enumerate(facts.document.tools):
        if "xample" not in tool.json_text and not _MARK.search(tool.json_text):
            continue
        changes, lines, places = _without_examples(index, tool)
        if not places:
            continue
        tokens = facts.tokens("\n".join(lines))
        moved = with_tool(facts.document, index, edited(tool, changes))
        yield Finding(
            "hint",
            f"{tool.name}: examples inside the definition",
            "Examples belong in the system prompt: one line there serves all tools, and the catalogue stays short.",
            places=tuple(places),
            fix=Fix("Move them into the system prompt", with_system_line(moved, "\n".join(lines))),
            **_costs(facts, "examples per turn", tokens),
            subject=tool.name,
        )


def _without_examples(index: int, tool: Tool) -> tuple[dict[Path, Json], list[str], list[FindingPlace]]:
    """Return the edits, the lines for the system prompt, and the positions of the examples."""
    changes: dict[Path, Json] = {}
    lines, places = [], []
    texts = [("", _DESCRIPTION, description_of(tool))]
    for node in parameters(tool):
        texts.append((f".{node.name}", (*node.path, "description"), node.description))
        for key in _KEYS:
            if key in node.schema:
                changes[(*node.path, key)] = None
                lines.append(f"{tool.name}.{node.name}: {_shown(node.schema[key])}")
                places.append(_place(index, tool, (*node.path, key)))
    for name, path, text in texts:
        rest, taken = _cut_examples(text)
        if taken:
            # A description that was all example leaves its name: an empty one would say nothing.
            changes[path] = rest or None
            lines += [f"{tool.name}{name}: {text[start:end].strip(' ,;()（）')}" for start, end in taken]
            places += [_place(index, tool, path, start, end) for start, end in taken]
    return changes, lines, places


def _shown(value: Json) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _cut_examples(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without its examples, and their spans: a parenthesis, or from the marker to the sentence end."""
    taken: list[tuple[int, int]] = []
    for match in _MARK.finditer(text):
        if not taken or match.start() >= taken[-1][1]:
            taken.append(_extent(text, match.start()))
    rest, last = "", 0
    for start, end in taken:
        rest += text[last:start].rstrip(" ,;:(")
        last = end
    return (rest + text[last:]).strip(), taken


def _extent(text: str, at: int) -> tuple[int, int]:
    for opening, closing in ("()", "（）"):
        opened = text.rfind(opening, 0, at)
        if opened >= 0 and closing not in text[opened:at]:
            closed = text.find(closing, at)
            return opened, closed + 1 if closed >= 0 else len(text)
    end = next((end for start, end in sentences(text) if start <= at < end), len(text))
    ends = end - 1 if text[end - 1] in ".。।!?" and at > 0 and text[:at].strip() else end
    begins = next((start for start, e in sentences(text) if start <= at < e), 0)
    return (begins, end) if begins == at else (at, ends)


def _place(index: int, tool: Tool, path: Path, start: int | None = None, end: int | None = None) -> FindingPlace:
    return FindingPlace(("tools", index, *path), start, end, tool.name)


def _price(facts: PromptFacts, tokens: float) -> Evidence:
    return Evidence("per 1,000 turns at the cached rate", facts.cached_dollars(tokens), "dollars")


def _costs(facts: PromptFacts, label: str, tokens: float) -> dict[str, Any]:
    """Return the fields of a finding about tokens that every turn sends."""
    evidence = (Evidence(label, tokens), _price(facts, tokens))
    return {"evidence": evidence, "tokens": tokens, "dollars": facts.cached_dollars(tokens)}


def _speak(facts: PromptFacts) -> Iterator[Finding]:
    """Report an empty list of tools. Applies to imported bodies only: this program omits an empty list."""
    if facts.body is None or facts.body.get("tools", None) != []:
        return
    yield Finding(
        "serious",
        "An empty tools list",
        "The body has tools: []. The server accepts 1 to 64 tools; without tools the field is omitted.",
        places=(FindingPlace(("tools",)),),
        fix=Fix("Omit tools", facts.document),
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
            _price(facts, tokens),
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
            places=tuple(FindingPlace(("tools", i, *n.path), tool=facts.document.tools[i].name) for i, n in found),
            **_costs(facts, "repeated per turn", wasted),
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
            _price(facts, tokens),
        ),
        places=tuple(FindingPlace(("tools", index), tool=document.tools[index].name) for index in idle),
        fix=Fix(
            f"Remove {len(idle)} tools" if len(idle) > 1 else f"Remove {names[0]}",
            without_tools(document, frozenset(names)),
        ),
        tokens=tokens,
        dollars=facts.cached_dollars(tokens),
    )


JUDGES: dict[str, Judge] = {
    "tool-catalogue": _size,
    "tool-description": _descriptions,
    "tool-parameter-long": _long_parameters,
    "tool-undescribed": _undescribed,
    "tool-examples": _examples,
    "tool-repeated": _repeated,
    "tool-unused": _unused,
    "empty-tools": _speak,
}
