"""Unfilled placeholders: found in prompts and tool descriptions, and not in code, JSON, tags or formats."""

from __future__ import annotations

import pytest

from playground.lint.message_texts import find_placeholders, template_lines
from playground.lint.model import Finding
from playground.lint.prompt_facts import LintContext
from tests.lint.corpus import tool
from tests.lint.judge import of_body, said, system, tools
from tests.lint.placeholder_texts import INPUTS, OWN_RULES, OWN_TEXTS, UNFILLED_QUESTIONS, UNFILLED_RULES

UNFILLED = [
    ("You may use these tools: {tools}", "{tools}"),
    ("The question is {input}", "{input}"),
    ("Greet {player_name} first.", "{player_name}"),
    ("Dear <customer_name>,", "<customer_name>"),
    ("Dear <CUSTOMER NAME>,", "<CUSTOMER NAME>"),
    ("You work for [COMPANY NAME].", "[COMPANY NAME]"),
    ("Your name is [NAME].", "[NAME]"),
    ("Speak as [insert persona here].", "[insert persona here]"),
    ("Hello %s, welcome.", "%s"),
    ("Hello %(name)s, welcome.", "%(name)s"),
    ("You have %d points.", "%d"),
    ("Hello ${name}!", "${name}"),
    ("Hello <<NAME>>!", "<<NAME>>"),
    ("{% if vip %}Be kind.{% endif %}", "{% if vip %}"),
    ("Hello {user.first_name}!", "{user.first_name}"),
    ("Hello {{ customer.name }}, welcome.", "{{ customer.name }}"),
    ("Hello {{customer.name}}, welcome.", "{{customer.name}}"),
    ("Hello {{ customer_name | upper }}!", "{{ customer_name | upper }}"),
    ("Hello <%= customer_name %>!", "<%= customer_name %>"),
    ("Hello {0}!", "{0}"),
    ("Hello {}!", "{}"),
    ("Answer in __LANGUAGE__ only.", "__LANGUAGE__"),
    ("आप {company} के एजेंट हैं।", "{company}"),
    ("Du arbeitest für {firma}.", "{firma}"),
]
FILLED = [
    'Reply with JSON: {"name": "x", "age": 1}',
    '{"a": {"b": [1, 2]}, "c": {}}',
    "Hello {{name}}, {{ question }}",
    "```python\nprint(f'{name}')\n```",
    "Use `{name}` as typed.",
    "<instructions>Be brief.</instructions>",
    "<customer_record>\nPlan: gold\n</customer_record>",
    "GET /users/{id}/orders",
    "The set is \\frac{ab}{cd} and x_{max}.",
    "100% safe, 50%sugar, 20% discount",
    "What does :%s/old/new/g do?",
    "[link](https://example.com) [x] [1] [DONE] [[NAME]]",
    "Answer in the format {city}, {country}.",
    "Reply with <name>, for example <customer_name>.",
    "if (a) { return b }",
    "a < b and c > d; 1 << 2",
    "Keys: {name: string}",
    "The file __init__.py and __name__",
    "",
]


@pytest.mark.parametrize(("text", "value"), UNFILLED)
def test_find_placeholders_of_unfilled_text_returns_them(text: str, value: str) -> None:
    assert value in [text[start:end] for start, end in find_placeholders(text)]


@pytest.mark.parametrize("text", FILLED)
def test_find_placeholders_of_other_braces_returns_nothing(text: str) -> None:
    assert find_placeholders(text) == []


def test_rule_reports_one_finding_with_every_place() -> None:
    document = system("You work for {company} with {tools}.\nDear {name}", tools=tools(tool(text="Finds {thing}.")))
    (finding,) = said(document, "placeholder-unfilled")
    assert finding.severity == "warning"
    assert [place.path[:2] for place in finding.places] == [("messages", 0)] * 3 + [("tools", 0)]


def test_placeholder_in_front_of_stable_text_is_not_reported_twice() -> None:
    document = system("Hello ${name}.\n" + "Be kind and never guess a price. " * 60)
    assert len(said(document, "placeholder-unfilled")) == 1
    assert said(document, "prefix-order") == ()


def _unfilled(rules: str, question: str, templates: frozenset[str] | None = None) -> list[Finding]:
    """Return the findings about a request. `templates`: as of the user messages of its program, if it is recorded."""
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
    found = of_body({"model": "m", "messages": messages}, LintContext(templates=templates))
    # In a single prompt, {{name}} may be a variable: a hint.
    return [one for one in found if one.rule == "placeholder-unfilled" and (templates is not None or not one.subject)]


@pytest.mark.parametrize("text", OWN_TEXTS)
def test_placeholders_in_the_own_text_of_a_user_are_no_finding(text: str) -> None:
    messages = [text, f"That did not help: {text}", f"And now? {text}", *INPUTS]
    assert _unfilled("Be brief.", text) == []
    assert _unfilled("Be brief.", text, template_lines(messages)) == []


@pytest.mark.parametrize("text", OWN_RULES)
def test_system_message_that_speaks_of_placeholders_is_no_finding(text: str) -> None:
    assert _unfilled(text, INPUTS[0]) == []
    assert _unfilled(text, INPUTS[0], frozenset()) == []


@pytest.mark.parametrize("text", UNFILLED_RULES)
def test_placeholder_in_a_system_message_is_a_finding(text: str) -> None:
    assert len(_unfilled(text, INPUTS[0])) == 1


@pytest.mark.parametrize(("front", "behind"), UNFILLED_QUESTIONS)
def test_placeholder_that_the_user_messages_of_a_program_repeat_is_a_finding(front: str, behind: str) -> None:
    messages = [f"{front}{text}{behind}" for text in INPUTS]
    assert _unfilled("Be brief.", messages[0], template_lines(messages))


def test_placeholder_beside_a_label_of_a_single_prompt_is_a_finding() -> None:
    assert _unfilled("Be brief.", "Context: {context}\n\nWhere is my parcel?")
    assert _unfilled("Be brief.", "Summarize this for {audience}:\n\nThe parcel did not arrive.")
    assert _unfilled("Be brief.", "Why does the text {context} stay in my page?") == []
