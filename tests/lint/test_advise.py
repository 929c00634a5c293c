"""The adviser as a whole: order, dismissal, figures, unknown values."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from playground.client.endpoint import Rates
from playground.lint.engine import EXAMPLES, RULES, advise, rule_named
from playground.lint.model import SEVERITIES, Evidence, FindingPlace
from playground.lint.prompt_facts import LintContext
from playground.prompt.document import Document, Json, Message
from playground.prompt.limits import check
from playground.prompt.request import to_request
from tests.lint.corpus import tool
from tests.lint.judge import PRICED, said, system, tools

LONG = "Keep replies short and kind, and give one fact at a time. " * 200
TOP = system("The caller is {{name}}.\n\n" + LONG, parameters={"max_tokens": 100})


def test_every_rule_has_a_name_of_its_own_and_a_source() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule_named(rule.name) is rule
        assert rule.title
        assert rule.reason.endswith(".")
        assert rule.section
        assert rule.sentence.endswith(".")


def test_an_empty_prompt_and_a_good_one_are_left_alone() -> None:
    assert {a.rule for a in advise(Document()) if a.severity != "hint"} == {"refused"}
    hot = Document(messages=(Message("user", "Hello"),), parameters={"temperature": 3})
    assert "refused" in {a.rule for a in advise(hot)}
    assert "refused" not in {a.rule for a in advise(hot, LintContext(electron=False))}
    good = system("Be kind.", parameters={"max_tokens": 100})
    assert advise(good) == ()


def test_worst_first_then_what_costs_most() -> None:
    document = replace(TOP, tools=tools(*(tool(f"t{n}", "Does. " * (n + 2)) for n in range(5))), include_usage=False)
    found = advise(document, PRICED)
    ranks = [SEVERITIES.index(advice.severity) for advice in found]
    assert ranks == sorted(ranks)
    hints = [advice.dollars or 0.0 for advice in found if advice.severity == "hint"]
    assert hints == sorted(hints, reverse=True)
    assert found[0].rule == "prefix-order"


def test_dismissed_for_a_prompt_and_for_good() -> None:
    document = system("Be kind.", tools=tools(tool("a", "One. Two."), tool("b", "One. Two.")), stream=False)
    keys = [advice.key for advice in said(document, "tool-description")]
    assert sorted(keys) == ["tool-description:a", "tool-description:b"]
    left = advise(document, dismissed={"tool-description:a", "output-cap"})
    assert [advice.key for advice in left] == ["tool-description:b"]
    assert advise(document, dismissed={"tool-description", "output-cap"}) == ()


def test_money_is_what_the_cache_would_have_saved() -> None:
    (advice,) = said(TOP, "prefix-order", PRICED)
    lost = advice.tokens
    assert advice.dollars == pytest.approx(lost * (0.40 - 0.10) * 1_000 / 1_000_000)
    assert advice.evidence[-1].text.startswith("≈ $")


def test_without_rates_money_is_unknown_and_never_nought() -> None:
    for rates in (Rates(), Rates(fresh=0.4)):
        (advice,) = said(TOP, "prefix-order", LintContext(rates=rates))
        assert advice.dollars is None
        assert advice.evidence[-1].value is None
        assert advice.evidence[-1].text == "—"


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (Evidence("x", 1152.4), "≈ 1,152"),
        (Evidence("x", 1152, basis="reported"), "1,152"),
        (Evidence("x", None), "—"),
        (Evidence("x", 0.957, "share", "reported"), "95.7 %"),
        (Evidence("x", 1.1, "seconds", "assumed"), "≈ 1.1 s"),
        (Evidence("x", 0.7, "count", "counted"), "0.7"),
        (Evidence("x", 0.34, "dollars"), "≈ $0.34"),
    ],
)
def test_evidence_says_how_it_is_known(evidence: Evidence, text: str) -> None:
    assert evidence.text == text


def test_a_place_tells_message_from_tool() -> None:
    assert FindingPlace(("messages", 3, "content")).message == 3
    assert FindingPlace(("tools", 2)).message is None
    assert FindingPlace(("max_tokens",)).message is None


def test_a_foreign_body_is_judged_as_its_own_client_sends_it() -> None:
    document = Document(messages=(Message("user", "Hi"),), parameters={"max_tokens": 9})
    assert not advise(document)
    body: dict[str, Json] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "stream": True}
    assert [a.rule for a in advise(document, body=body)] == ["usage-off"]
    assert [a.rule for a in advise(document, body={**body, "stream": False})] == []
    assert [a.rule for a in advise(document, body={**body, "stream": False, "tools": []})] == ["empty-tools"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_rule_speaks(name: str) -> None:
    assert rule_named(name).reason
    assert name in {advice.rule for advice in advise(EXAMPLES[name])}


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_can_be_sent(name: str) -> None:
    assert not any(finding.refused for finding in check(EXAMPLES[name]))
    assert to_request(EXAMPLES[name], "electron").body
