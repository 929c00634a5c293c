"""One finding per cause: what a rule says of several tools becomes one finding with the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from playground.lint.model import SEVERITIES, Advice, Evidence, Fix
from playground.prompt.document import Document

MIN_REPEATS = 3
"""Findings of one rule from which on they are one."""
NAMED = 6
"""Subjects that the text names."""


def grouped(document: Document, found: Sequence[Advice]) -> list[Advice]:
    """Return the findings of one rule; three or more that differ only in their subject as one, where the first was."""
    by_kind: dict[str, list[Advice]] = {}
    for advice in found:
        by_kind.setdefault(_kind(advice), []).append(advice)
    result: list[Advice] = []
    for kind, members in by_kind.items():
        result += [_one(document, kind, members)] if kind and len(members) >= MIN_REPEATS else members
    return result


def _kind(advice: Advice) -> str:
    """Return the title without the subject, as in “get_order: without description”; empty if it has no subject."""
    prefix = f"{advice.subject}: "
    return advice.title.removeprefix(prefix) if advice.subject and advice.title.startswith(prefix) else ""


def _one(document: Document, kind: str, members: Sequence[Advice]) -> Advice:
    names = [advice.subject for advice in members]
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    dollars = [advice.dollars for advice in members if advice.dollars is not None]
    return replace(
        members[0],
        severity=min((advice.severity for advice in members), key=SEVERITIES.index),
        title=f"{len(names)} tools: {kind}",
        detail=f"{shown}. {_shared_detail(members)}".strip(),
        evidence=_summed(members),
        places=tuple(place for advice in members for place in advice.places),
        fix=_fix(document, members),
        tokens=sum(advice.tokens for advice in members),
        dollars=sum(dollars) if len(dollars) == len(members) else None,
        subject=",".join(names),
    )


def _shared_detail(members: Sequence[Advice]) -> str:
    """Return the detail if all have the same one, else what they say behind the colon, which names nothing."""
    details = {advice.detail.split(": ", 1)[-1] for advice in members}
    return details.pop() if len(details) == 1 else members[0].detail.split(": ", 1)[-1]


def _summed(members: Sequence[Advice]) -> tuple[Evidence, ...]:
    """Return each figure summed over all; unknown if it is unknown for one."""
    result = []
    for number, first in enumerate(members[0].evidence):
        values = [advice.evidence[number].value for advice in members if len(advice.evidence) > number]
        known = [value for value in values if value is not None]
        result.append(replace(first, value=sum(known) if len(known) == len(members) else None))
    return tuple(result)


def _fix(document: Document, members: Sequence[Advice]) -> Fix | None:
    """Return all fixes in one step, if each changes tools alone; None if one has no fix or changes more."""
    tools = list(document.tools)
    for advice in members:
        if advice.fix is None or replace(advice.fix.after, tools=document.tools) != document:
            return None
        if len(advice.fix.after.tools) != len(tools):
            return None
        for index, tool in enumerate(advice.fix.after.tools):
            if tool != document.tools[index]:
                tools[index] = tool
    first = members[0].fix
    return Fix(first.title, replace(document, tools=tuple(tools))) if first else None
