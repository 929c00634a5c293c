"""Names of recorded programs."""

from __future__ import annotations

from playground.prompt.document import Json
from playground.recorder.programs import program_names


def body(system: str) -> dict[str, Json]:
    return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": "?"}]}


def test_program_names_are_the_first_sentence_that_varies_in_no_request_and_belongs_to_one_program() -> None:
    first = (
        body("Today is 2026-11-10.\nYou are helpful. Answer about bills."),
        body("Today is 2026-11-12.\nYou are helpful. Answer about bills."),
    )
    second = body("You are helpful. Translate into French."), body("You are helpful. Translate into French.")
    assert program_names([first, second]) == ["Answer about bills.", "Translate into French."]


def test_program_names_of_equal_or_empty_prompts_differ() -> None:
    one = body("You are helpful."), body("You are helpful.")
    assert program_names([one, one, one]) == ["You are helpful.", "You are helpful. (2)", "You are helpful. (3)"]
    assert program_names([({}, {}), ({}, {})]) == ["Without text", "Without text (2)"]
