"""Group the requests of unknown programs into families, by what their heads and histories share; find retries.

Pure functions; nothing is sent or stored.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from playground.prefix_cache.moved_text import in_runs
from playground.prompt.document import Json

Body = Mapping[str, Json]

_SIMILAR = 0.4
"""Share of units that the heads of one family have in common at least."""
_HEAD = 6_000
"""Code points of the first message that decide which family a request belongs to."""
_FEW_WORDS = 12
"""A head with fewer words is compared by groups of characters."""
_GRAM, _LONG_WORDS = 5, 14
"""Characters in a group, and the average length of words that are clauses of a script without spaces."""
_WORD = 16
"""Code points up to which a head is one word or two, such as the name of a task."""
_SHORT_HEAD = 120
"""Code points of a first system message below which the next one is part of the head."""
_FEW_UNITS = 2
"""Units up to which a head may be like another one by its role alone."""
_NUMBERED = re.compile(r"(?<!\S)[^\s\d]*+\d\S*")
"""A word with a digit."""
_HEADING = re.compile(r"#{1,6} .*|</?[\w-]+>|\*\*[^*]{1,60}\*\*:?|[\W_]*")
"""A line that many system prompts have: a heading, a tag, a rule, nothing."""
_MANY = 40
"""Groups of words from which on heads of many lines are compared by them, too."""
_CORE, _VERSIONS = 0.2, 3
"""Share of groups of words that all heads of a program have in common that are never sent again, and the number of
such heads."""
_SWITCHES = 3
"""Times that conversations go on with another system prompt from which on two such prompts belong to one program."""
RETRY_S = 60.0
"""Seconds after the end of a failed request, or after its start if its end is unknown, within which a client that
retries sends the same body again."""
_WAITING = 32
"""Newest failed requests of one length that a request may repeat."""


def leading_messages(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how many system and developer messages a prompt begins with."""
    roles = [message.get("role") for message in messages]
    return next((at for at, role in enumerate(roles) if role not in ("system", "developer")), len(roles))


def body_messages(body: Body) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return []
    return [message for message in messages if isinstance(message, dict)]


def body_tools(body: Body) -> list[dict[str, Any]]:
    tools = body.get("tools")
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def tool_name(tool: Mapping[str, Any]) -> str:
    """Return the name of a tool; empty if it has none."""
    function = tool.get("function")
    return str(function.get("name", "")) if isinstance(function, dict) else str(tool.get("name", ""))


def families(bodies: Sequence[Body]) -> list[list[int]]:
    """Return indexes of bodies of one program each, oldest first. Bodies without messages are left out.

    The heads of a program are alike, or its conversations go on with one head and with the other.
    """
    groups = _Heads()
    family_of: dict[int, int] = {}
    for index, body in enumerate(bodies):
        if messages := body_messages(body):
            family_of[index] = groups.family(_head(messages), body)
    versions = groups.versions(Counter(family_of.values())) if groups.count >= _VERSIONS else {}
    family_of = {index: versions.get(family, family) for index, family in family_of.items()}
    sessions = _sessions(bodies, family_of) if groups.count > 1 else {}
    family_of = {index: sessions.get(family, family) for index, family in family_of.items()}
    joined = _joined_by_history(bodies, family_of) if len(set(family_of.values())) > 1 else {}
    found: dict[int, list[int]] = {}
    for index, family in family_of.items():
        found.setdefault(joined.get(family, family), []).append(index)
    return list(found.values())


def _head(messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the message that tells programs apart: the first one, with the next system messages if it is short."""
    text, count = _content(messages[0]), leading_messages(messages)
    for message in messages[1:count]:
        if len(text) >= _SHORT_HEAD:
            break
        text = f"{text}\n{_content(message)}"
    return {"role": messages[0].get("role"), "content": text}


def _sessions(bodies: Sequence[Body], family_of: Mapping[int, int]) -> dict[int, int]:
    """Return families of conversations without a system message, with the first one that has the same tools: these are
    what the requests of such a program share. First messages that are versions of one text are a system prompt."""
    firsts: dict[int, list[Mapping[str, Any]]] = {}
    tools: dict[int, set[frozenset[str]]] = {}
    for index, family in family_of.items():
        messages = body_messages(bodies[index])
        names = frozenset[str]() if leading_messages(messages) else _names(bodies[index])
        firsts.setdefault(family, []).append(messages[0])
        tools.setdefault(family, set()).add(names)
    known: dict[frozenset[str], int] = {}
    found: dict[int, int] = {}
    for family, heads in firsts.items():
        (names, *others) = tools[family]
        if names and not others and (all(one == heads[0] for one in heads) or not are_alike(heads)):
            found[family] = known.setdefault(names, family)
    return found


def are_alike(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether messages are versions of one text."""
    heads = _Heads()
    return len({heads.family(one, {}) for one in messages}) == 1


class _Heads:
    """The first head of each family, by its units."""

    def __init__(self) -> None:
        self._units: list[set[str]] = []
        self._groups: list[set[str]] = []
        self._texts: list[str] = []
        self._words: list[bool] = []
        self._of_head: dict[tuple[str, str], int] = {}
        self._having: dict[str, list[int]] = {}
        self._short: list[int] = []

    @property
    def count(self) -> int:
        """Return the number of families."""
        return len(self._units)

    def family(self, message: Mapping[str, Any], body: Body) -> int:
        """Return the family of a body by its first message and its tools; a new one if no head is alike."""
        head, role = _content(message), str(message.get("role"))
        found = self._of_head.get((head, role))
        if found is None:
            units, word = _head_units(role, head, body), len(head) <= _WORD
            groups = set(_word_groups(head, 3))
            found = self._first_alike(units, groups, role, head, word=word)
            if found is None:
                found = self.count
                self._units.append(units)
                self._groups.append(groups)
                self._texts.append(head[:_HEAD])
                self._words.append(word)
                for unit in units | groups:
                    self._having.setdefault(unit, []).append(found)
                if len(units) <= _FEW_UNITS:
                    self._short.append(found)
            self._of_head[head, role] = found
        return found

    def _first_alike(self, units: set[str], groups: set[str], role: str, head: str, *, word: bool) -> int | None:
        # All heads have a role: as the only common unit, it makes heads alike only if one of them has few others.
        searched = units if len(units) <= _FEW_UNITS else units - {f"role:{role}"}
        known = self._having.keys() & (searched | groups)
        candidates = set(self._short).union(*map(self._having.__getitem__, known))
        same = (
            n
            for n in sorted(candidates)
            if _alike(units, self._units[n], word=word or self._words[n])
            or (
                min(len(groups), len(self._groups[n])) >= _MANY
                and _alike(groups, self._groups[n], word=False)
                and in_runs(_word_groups(head, 3), _word_groups(self._texts[n], 3))
            )
        )
        return next(same, None)

    def versions(self, requests: Mapping[int, int]) -> dict[int, int]:
        """Return families whose heads are versions of one text that changes a lot, with the first of them.

        `requests`: how many each family has. Two programs repeat their heads; such a head is never sent again.
        """
        heads = Counter(self._of_head.values())
        groups: list[tuple[int, set[str], list[int]]] = []
        for family in (number for number in range(self.count) if requests[number] <= 2 * heads[number]):
            words = self._groups[family]
            for _, core, members in groups:
                if len(core & words) >= max(_CORE * len(words), _FEW_WORDS):
                    core.intersection_update(words)
                    members.append(family)
                    break
            else:
                groups.append((family, set(words), [family]))
        return {one: first for first, _, members in groups if len(members) >= _VERSIONS for one in members}


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _head_units(role: str, head: str, body: Body) -> set[str]:
    """Return the units by which heads are compared: lines below headings; if they are few, pairs of words without
    digits."""
    lines = [one for line in head[:_HEAD].splitlines() if not _HEADING.fullmatch(one := line.strip())]
    units = {"".join(sorted(one)) if one.startswith("{") else one for one in lines}
    if len(units) < 6:
        units = set(_word_groups(head, 2))
    # The role is one unit of many. Of a head of one word it would be half, and the word itself is part of others.
    role_or_word = f"word:{head}" if len(head) <= _WORD else f"role:{role}"
    return {role_or_word, *(f"tool:{tool_name(tool)}" for tool in body_tools(body)), *units}


def _word_groups(head: str, size: int) -> list[str]:
    """Return the groups of `size` words without digits in a head; of a short one, groups of characters."""
    words = _NUMBERED.sub(" ", head[:_HEAD]).split()
    if len(words) >= _FEW_WORDS and sum(map(len, words)) < _LONG_WORDS * len(words):
        return list(map(" ".join, zip(*(words[at:] for at in range(size)), strict=False)))
    # A short head, or a script without spaces between words.
    text = "".join(character for character in head[:_HEAD] if not character.isdigit())
    return [text[at : at + _GRAM] for at in range(max(len(text) - _GRAM + 1, 1))]


def _alike(left: set[str], right: set[str], *, word: bool) -> bool:
    """Whether the smaller head is part of the other one; a head of one word must be much of it."""
    size = max if word else min
    return len(left & right) >= _SIMILAR * size(len(left), len(right))


def _joined_by_history(bodies: Sequence[Body], family_of: Mapping[int, int]) -> dict[int, int]:
    """Return the families that are part of another one, with that one: conversations go on with one head and the other.

    A conversation that is handed over, with other tools or without a return, has two programs.
    """
    newest: dict[int, dict[int, int]] = {}
    steps: Counter[tuple[int, int]] = Counter()
    for index, family in family_of.items():
        messages = body_messages(bodies[index])
        lead = leading_messages(messages)
        if not lead:
            continue
        history = messages[lead:]
        hashes = list(_hashes(history))
        # The answer to a history is in the history of the request that goes on with it.
        known = (at for at in reversed(range(1, len(history))) if history[at].get("role") == "assistant")
        before = next((newest[hashes[at - 1]] for at in known if hashes[at - 1] in newest), None)
        if before is not None and family not in before:
            other, number = next(reversed(before.items()))
            if _names(bodies[number]) == _names(bodies[index]):
                steps[other, family] += 1
        if history:
            having = newest.setdefault(hashes[-1], {})
            having.pop(family, None)
            having[family] = index
    return _joined(steps)


def _hashes(history: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    """Yield a number for each beginning of a history."""
    found = 0
    for message in history:
        found = hash((found, json.dumps(message, ensure_ascii=False, sort_keys=True)))
        yield found


def _names(body: Body) -> frozenset[str]:
    return frozenset(map(tool_name, body_tools(body)))


def _joined(steps: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """Return families between which conversations go back and forth, by the first one of each group."""
    following: dict[int, set[int]] = {}
    for before, after in steps:
        following.setdefault(before, set()).add(after)
    reached = {family: _reached(family, following) for family in following}
    found: dict[int, int] = {}
    for family in sorted(reached):
        group = {other for other in reached[family] if family in reached.get(other, ())} | {family}
        count = sum(times for (before, after), times in steps.items() if before in group and after in group)
        if family not in found and count >= _SWITCHES:
            found.update((other, family) for other in group)
    return found


def _reached(family: int, following: Mapping[int, set[int]]) -> set[int]:
    found: set[int] = set()
    waiting = [family]
    while waiting:
        for other in following.get(waiting.pop(), set()) - found:
            found.add(other)
            waiting.append(other)
    return found


class TimedRequest(Struct, frozen=True):
    """A request as `retries` needs it. `at`: Unix seconds of its start; `seconds`: its duration; None if not known."""

    body: Body
    at: float | None = None
    failed: bool = False
    seconds: float | None = None


class RunTime(Struct, frozen=True):
    """When a request started and ended, in Unix seconds."""

    start: float
    end: float


def run_times(requests: Sequence[TimedRequest]) -> dict[int, RunTime]:
    """Return the times of the requests whose start and duration are known."""
    return {
        index: RunTime(one.at, one.at + one.seconds)
        for index, one in enumerate(requests)
        if one.at is not None and one.seconds is not None and one.seconds > 0
    }


def retries(requests: Sequence[TimedRequest]) -> dict[int, int]:
    """Return which requests, oldest first, are attempts of a later one: the same body, sent again soon after a failure.

    A client that retries waits from the end of the failed request, which may have lasted until a time limit.
    """
    found: dict[int, int] = {}
    newest: dict[int, list[int]] = {}
    for index, one in enumerate(requests):
        messages = one.body.get("messages")
        size = len(messages) if isinstance(messages, list) else 0
        waiting = newest.setdefault(size, [])
        for other in reversed(waiting):
            if _soon(requests[other], one) and requests[other].body == one.body:
                found[other] = index
                waiting.remove(other)
                break
        if one.failed:
            waiting.append(index)
            del waiting[:-_WAITING]
    for index in sorted(found, reverse=True):
        found[index] = found.get(found[index], found[index])
    return found


def _soon(failed: TimedRequest, again: TimedRequest) -> bool:
    if failed.at is None or again.at is None:
        return True
    return 0 <= again.at - failed.at <= max(failed.seconds or 0.0, 0.0) + RETRY_S
