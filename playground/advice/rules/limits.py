"""What the server refuses, and what does not fit: the one table of limits, spoken as advice."""

from __future__ import annotations

from collections.abc import Iterator

from playground.advice.facts import Facts
from playground.advice.model import Advice, Evidence, Guideline, Place, Source
from playground.prompt.limits import CONTEXT_TOKENS, check


def _refused(facts: Facts) -> Iterator[Advice]:
    for finding in check(facts.document):
        problem = finding.problem
        if finding.refused:
            yield Advice(
                "serious",
                f"The server refuses {problem.field or 'this'}",
                str(problem),
                places=(Place(problem.path),),
                subject=problem.field,
            )


def _context(facts: Facts) -> Iterator[Advice]:
    room = facts.whole("max_tokens") or 0
    over = facts.prompt_tokens + room - CONTEXT_TOKENS
    if over <= 0:
        return
    text = "".join(tool.json_text for tool in facts.document.tools)
    text += "".join(message.content or "" for message in facts.document.messages)
    sure = facts.least_tokens(text) + room > CONTEXT_TOKENS
    yield Advice(
        "serious" if sure else "hint",
        "Prompt and max_tokens do not fit together" if room else "The prompt does not fit",
        f"Input and output together have at most {CONTEXT_TOKENS:,} tokens. "
        + ("Shorten the prompt or lower max_tokens." if room else "Shorten the prompt.")
        + ("" if sure else " The count is an estimate: it may still fit."),
        evidence=(
            Evidence("prompt", facts.prompt_tokens),
            Evidence("max_tokens", room or None, basis="counted"),
            Evidence("too many", over),
        ),
        places=(Place(("max_tokens",)),) if room else (Place(("messages",)),),
        tokens=over,
    )


REFUSED = Guideline(
    "refused",
    "Send only what the server takes",
    "A request with a field out of its range is answered with HTTP 400, every time: it is never worth a retry.",
    Source("Request fields", "Every field has a range; n above 1 and prompt_logprobs are refused."),
    _refused,
)
CONTEXT = Guideline(
    "context-full",
    "Keep input and output within 32,768 tokens",
    "A prompt that is too long is refused whole, and max_tokens counts as if it were all used.",
    Source("Request fields", "Input and output together have at most 32,768 tokens."),
    _context,
)
