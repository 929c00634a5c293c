"""Findings: the rule, its places in the request, the figures behind it, and a fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Document
from playground.prompt.field_errors import Path
from playground.runs.metrics import APPROXIMATELY, UNKNOWN, dollars, percent, seconds

if TYPE_CHECKING:
    from playground.lint.prompt_facts import PromptFacts

Severity = Literal["serious", "warning", "hint"]
SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "hint")
"""Worst first. serious: it will be refused, or costs most of what the cache could save · warning: it costs money,
time or the answer · hint: worth a look, may be meant."""

Unit = Literal["tokens", "dollars", "seconds", "share", "count"]
Basis = Literal["counted", "reported", "estimated", "assumed"]
"""counted: exact, from the prompt or the settings · reported: by the server, from the log · estimated: ≈ ·
assumed: chosen by this program because none is published."""


class GuideSource(Struct, frozen=True):
    """The section of the guide and its rule, in this program's words."""

    section: str
    sentence: str


class Evidence(Struct, frozen=True):
    """One figure behind a finding. `value` None is *unknown*, never 0.

    Dollars are for 1,000 requests; a share is from 0 to 1.
    """

    label: str
    value: float | None
    unit: Unit = "tokens"
    basis: Basis = "estimated"

    @property
    def text(self) -> str:
        """≈ 1,152, $0.34, 12 s, 95.7 % or —; estimates are marked."""
        if self.value is None:
            return UNKNOWN
        words = {
            "dollars": dollars,
            "seconds": seconds,
            "share": percent,
        }.get(self.unit, _plain)(self.value)
        return words if self.basis in ("counted", "reported") else f"{APPROXIMATELY} {words}"


def _plain(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    # A temperature or a few turns say more with their fraction.
    return f"{value:.2g}" if abs(value) < 10 and value != round(value) else f"{round(value):,}"


class FindingPlace(Struct, frozen=True):
    """A field of the request, by the path used in the server's errors, e.g. ("messages", 0, "content").

    `start` and `end` are code points in that field's text: in a message's *template* content, or in
    a parsed string of a tool. Both None: the whole field. An empty path is the request as a whole.
    """

    path: Path
    start: int | None = None
    end: int | None = None
    tool: str = ""
    """The tool's name, where the place is in one."""

    @property
    def message(self) -> int | None:
        """The message's index, where the place is in one."""
        return self._index("messages")

    @property
    def tool_index(self) -> int | None:
        """The tool's index, where the place is in one."""
        return self._index("tools")

    def _index(self, name: str) -> int | None:
        if len(self.path) > 1 and self.path[0] == name and isinstance(self.path[1], int):
            return self.path[1]
        return None


class Fix(Struct, frozen=True):
    """One undoable step. `after` is the whole document as it would be; its rule is silent on it."""

    title: str
    after: Document


class Finding(Struct, frozen=True):
    """A finding of one rule about this prompt.

    `title` is one line without figures that change at every keystroke; `detail` describes the situation and the remedy.
    `tokens` are the estimated affected tokens per request, `dollars` their price for 1,000 requests (None:
    unknown); the list is ordered by them. `subject` tells apart what one rule says of several things (a tool's name).
    """

    severity: Severity
    title: str
    detail: str
    evidence: tuple[Evidence, ...] = ()
    places: tuple[FindingPlace, ...] = ()
    fix: Fix | None = None
    tokens: float = 0.0
    dollars: float | None = None
    subject: str = ""
    rule: str = ""

    @property
    def key(self) -> str:
        """Key of a dismissal: the rule and its subject."""
        return f"{self.rule}:{self.subject}" if self.subject else self.rule


class Rule(Protocol):
    """One sentence of the guide that can be judged. A rule that does not apply yields nothing."""

    @property
    def name(self) -> str:
        """Stable, kebab-case: dismissals and reports hold it."""

    @property
    def title(self) -> str:
        """The practice, as an imperative."""

    @property
    def reason(self) -> str:
        """Why it matters, in a sentence or two."""

    @property
    def source(self) -> GuideSource:
        """Where the guide says so."""

    def judge(self, facts: PromptFacts) -> Iterable[Finding]:
        """Return the findings of this rule about a prompt; pure."""


class LintRule(Struct, frozen=True):
    """A Rule around a function."""

    name: str
    title: str
    reason: str
    source: GuideSource
    speak: Callable[[PromptFacts], Iterable[Finding]]

    def judge(self, facts: PromptFacts) -> Iterator[Finding]:
        """Yield the findings of the function, signed with the rule's name."""
        for finding in self.speak(facts):
            yield replace(finding, rule=self.name)
