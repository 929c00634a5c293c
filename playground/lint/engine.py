"""All rules, run on a prompt; what one rule finds in several tools is merged into one finding."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from playground import asset
from playground.lint import limits, message_texts, prefix_order, requests, tool_catalogue
from playground.lint.model import SEVERITIES, Evidence, Finding, Fix, LintRule
from playground.lint.prompt_facts import ALONE, LintContext, PromptFacts
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document, Json
from playground.prompt.files import load

_TEXTS: dict[str, Any] = json.loads(asset("lint/rules.json").read_text("utf-8"))
"""Texts of each rule, in the order of the guide, and example prompts."""
_JUDGES = {
    name: judge
    for module in (limits, message_texts, prefix_order, requests, tool_catalogue)
    for name, judge in module.JUDGES.items()
}
RULES = tuple(
    LintRule(name, row["title"], row["reason"], row["section"], row["sentence"], _JUDGES.get(name))
    for name, row in _TEXTS.items()
)
EXAMPLES = {name: load(json.dumps(row["example"])) for name, row in _TEXTS.items() if "example" in row}
"""Prompts by the name of the rule that finds them: for the guide, and to send on the simulator. Rules that need a log,
a plan or a batch have none."""


def rule_named(name: str) -> LintRule:
    """Return a rule by its name. Raises KeyError if the name is unknown."""
    return _BY_NAME[name]


_BY_NAME = {rule.name: rule for rule in RULES}

MIN_REPEATS = 3
"""Findings of one rule from which on they are one."""
NAMED = 6
"""Subjects that the text names."""


def grouped(document: Document, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings of one rule; three or more that differ only in their subject as one, where the first was."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in found:
        by_kind.setdefault(_kind(finding), []).append(finding)
    result: list[Finding] = []
    for kind, members in by_kind.items():
        result += [_one(document, kind, members)] if kind and len(members) >= MIN_REPEATS else members
    return result


def _kind(finding: Finding) -> str:
    """Return the title without the subject, as in “get_order: without description”; empty if it has no subject."""
    prefix = f"{finding.subject}: "
    return finding.title.removeprefix(prefix) if finding.subject and finding.title.startswith(prefix) else ""


def _one(document: Document, kind: str, members: Sequence[Finding]) -> Finding:
    names = [finding.subject for finding in members]
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    dollars = [finding.dollars for finding in members if finding.dollars is not None]
    return replace(
        members[0],
        severity=min((finding.severity for finding in members), key=SEVERITIES.index),
        title=f"{len(names)} tools: {kind}",
        detail=f"{shown}. {_shared_detail(members)}".strip(),
        evidence=_summed(members),
        places=tuple(place for finding in members for place in finding.places),
        fix=_fix(document, members),
        tokens=sum(finding.tokens for finding in members),
        dollars=sum(dollars) if len(dollars) == len(members) else None,
        subject=",".join(names),
    )


def _shared_detail(members: Sequence[Finding]) -> str:
    """Return the common detail; otherwise the part after the colon, which names no item."""
    details = {finding.detail.split(": ", 1)[-1] for finding in members}
    return details.pop() if len(details) == 1 else members[0].detail.split(": ", 1)[-1]


def _summed(members: Sequence[Finding]) -> tuple[Evidence, ...]:
    """Return each figure summed over all; unknown if it is unknown for one."""
    result = []
    for number, first in enumerate(members[0].evidence):
        values = [finding.evidence[number].value for finding in members if len(finding.evidence) > number]
        known = [value for value in values if value is not None]
        result.append(replace(first, value=sum(known) if len(known) == len(members) else None))
    return tuple(result)


def _fix(document: Document, members: Sequence[Finding]) -> Fix | None:
    """Return all fixes in one step, if each changes tools alone; None if one has no fix or changes more."""
    tools = list(document.tools)
    for finding in members:
        if finding.fix is None or replace(finding.fix.after, tools=document.tools) != document:
            return None
        if len(finding.fix.after.tools) != len(tools):
            return None
        for index, tool in enumerate(finding.fix.after.tools):
            if tool != document.tools[index]:
                tools[index] = tool
    first = members[0].fix
    return Fix(first.title, replace(document, tools=tuple(tools))) if first else None


def advise(
    document: Document,
    setting: LintContext = ALONE,
    counter: TokenEstimator | None = None,
    *,
    body: Mapping[str, Json] | None = None,
    dismissed: Collection[str] = (),
    rules: Sequence[LintRule] = RULES,
) -> tuple[Finding, ...]:
    """Return the findings of all rules, worst first; ties: the most expensive first.

    Args:
        counter: the endpoint's token estimator. In a thread it must not be used elsewhere at the same time.
        body: a request body that this program did not write. It is judged as its own client will send it.
        dismissed: names of rules, and keys of findings (`Finding.key`), that are left out.
    """
    facts = PromptFacts(document, setting, counter or TokenEstimator(), body)
    found: list[Finding] = []
    for rule in rules:
        if rule.judge is not None and rule.name not in dismissed:
            signed = (replace(finding, rule=rule.name) for finding in rule.judge(facts))
            judged = [finding for finding in signed if finding.key not in dismissed]
            found += grouped(document, judged)
    return tuple(sorted((finding for finding in found if finding.key not in dismissed), key=_rank))


def _rank(finding: Finding) -> tuple[int, float, float]:
    return SEVERITIES.index(finding.severity), -(finding.dollars or 0.0), -finding.tokens
