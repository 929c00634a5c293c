"""Bodies judged as `check` judges them."""

from __future__ import annotations

import json
from typing import Any

from playground.client.endpoint import PUBLISHED_RATES
from playground.lint.engine import advise
from playground.lint.model import Finding
from playground.lint.prompt_facts import ALONE, LintContext
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import parse


def of_body(body: dict[str, Any], setting: LintContext = ALONE) -> tuple[Finding, ...]:
    """The advice on a request body that another program wrote."""
    return advise(document_of(body), setting, body=body)


def document_of(body: dict[str, Any]) -> Document:
    """The body opened as a prompt."""
    return parse(json.dumps(body)).document


def system(text: str, **parts: Any) -> Document:
    """A prompt of a system text and a question."""
    return Document(messages=(Message("system", text), Message("user", "Hello?")), **parts)


def tools(*definitions: dict[str, Any]) -> tuple[Tool, ...]:
    """Definitions as a document has them."""
    return tuple(Tool.of(definition) for definition in definitions)


def said(document: Document, rule: str, setting: LintContext = ALONE) -> tuple[Finding, ...]:
    """What one rule has to say."""
    return tuple(advice for advice in advise(document, setting) if advice.rule == rule)


PRICED = LintContext(rates=PUBLISHED_RATES)
