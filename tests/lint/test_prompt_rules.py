"""What the fixes of the prompt's own rules make of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from playground.lint.language import PHRASES, detect
from playground.lint.message_texts import asks_for_json
from playground.lint.model import Finding
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message
from tests.lint.corpus import tool
from tests.lint.judge import PRICED, said, system, tools
from tests.lint.words import WORDS, Words

LONG = "\n".join(f"{n}. Give one fact at a time, and no more than the caller asked for." for n in range(60))


def fixed(document: Document, rule: str) -> Document:
    """The document after the only advice's fix, which silences its rule."""
    (advice,) = said(document, rule, PRICED)
    assert advice.fix is not None
    assert not said(advice.fix.after, rule)
    return advice.fix.after


def text(document: Document, index: int = 0) -> str:
    return document.messages[index].content or ""


def with_tools(system_text: str) -> Document:
    return system(system_text, tools=tools(tool()))


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.code)
def test_the_filler_is_offered_in_the_language_of_the_prompt(words: Words) -> None:
    document = with_tools(words.agent)
    (advice,) = said(document, "no-filler")
    assert advice.severity == "warning"
    assert text(fixed(document, "no-filler")) == f"{words.agent}\n{PHRASES[words.code].filler}"


def test_the_filler_goes_before_what_changes() -> None:
    document = with_tools("You are a phone agent.\nBe kind.\n\nThe caller is {{name}}.\nUse it once.")
    after = text(fixed(document, "no-filler"))
    assert after == (
        f"You are a phone agent.\nBe kind.\n{PHRASES['en'].filler}\n\nThe caller is {{{{name}}}}.\nUse it once."
    )


def test_the_filler_leaves_the_prefix_as_stable_as_it_was() -> None:
    document = replace(with_tools("You are a phone agent.\nThe caller is {{name}}."), variables={"name": "Asha"})
    after = fixed(document, "no-filler")
    first, second = (view_of_document(after.with_variable("name", name)).view.text for name in ("Asha", "Ravi"))
    assert PHRASES["en"].filler in first[: common_prefix(first, second)]


def test_the_filler_without_a_system_message_and_with_a_variable_in_the_first_line() -> None:
    plain = Document(messages=(Message("user", "Where is my parcel, and when will it be here?"),), tools=tools(tool()))
    after = fixed(plain, "no-filler")
    assert [message.role for message in after.messages] == ["system", "user"]
    head = with_tools("You are {{agent}}, a phone agent of the bank. Be kind.")
    assert text(fixed(head, "no-filler")).startswith("You are {{agent}}")


def test_the_filler_is_known_again_in_a_prompt_of_two_languages() -> None:
    hindi = "शांत रहें। " * 5
    document = with_tools(f"\n{hindi}\nYou are kind to the caller, and short, and this is half of it all.")
    assert [advice.fix for advice in said(document, "no-filler")] == [None]
    for row in PHRASES.values():
        assert not said(with_tools(f"{hindi * 9}\n{row.filler}"), "no-filler")


def test_no_filler_is_offered_in_a_language_that_cannot_be_told() -> None:
    (advice,) = said(with_tools("ABC-12 / XK"), "no-filler")
    assert advice.fix is None
    assert advice.severity == "hint"


@pytest.mark.parametrize("code", PHRASES)
def test_every_filler_and_json_line_silences_its_own_rule(code: str) -> None:
    row = PHRASES[code]
    assert not said(with_tools(f"{row.filler}\n{row.voice[0]}"), "no-filler")
    assert detect(row.filler) == code
    assert asks_for_json(row.json_line)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.code)
def test_json_in_words(words: Words) -> None:
    assert asks_for_json(words.json) == (0, len(words.json))
    assert asks_for_json(words.no_json) is None
    assert asks_for_json(words.file) is None
    document = system(f"{words.clerk}\n{words.json}")
    (advice,) = said(document, "json-not-set")
    start, end = advice.places[0].start, advice.places[0].end
    assert text(document)[start:end] == words.json
    assert fixed(document, "json-not-set").parameters["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.code)
def test_json_mode_without_a_word_of_it(words: Words) -> None:
    document = system(words.clerk, parameters={"response_format": {"type": "json_object"}})
    assert text(fixed(document, "json-not-said")).endswith(PHRASES[words.code].json_line)


def test_a_place_is_right_behind_letters_that_grow_in_lower_case() -> None:
    document = system("İİİİ. Respond with JSON only.")
    (advice,) = said(document, "json-not-set")
    assert text(document)[advice.places[0].start : advice.places[0].end] == "Respond with JSON only."


def test_a_paragraph_that_changes_moves_to_the_end() -> None:
    document = system(f"The caller:\n- name: {{{{name}}}}\n- plan: {{{{plan}}}}\n\n{LONG}")
    assert text(fixed(document, "prefix-order")) == f"{LONG}\nThe caller:\n- name: {{{{name}}}}\n- plan: {{{{plan}}}}"


def test_a_line_then_a_sentence_moves_where_a_paragraph_is_the_whole() -> None:
    lines = system(f"Name: {{{{name}}}}\n{LONG}")
    assert text(fixed(lines, "prefix-order")) == f"{LONG}\nName: {{{{name}}}}"
    flat = LONG.replace("\n", " ")
    sentence = system(f"The caller is {{{{name}}}}. {flat}")
    assert text(fixed(sentence, "prefix-order")) == f"{flat}\nThe caller is {{{{name}}}}."


def test_what_changes_moves_behind_the_last_system_message() -> None:
    messages = (Message("system", "Caller: {{name}}"), Message("system", LONG), Message("user", "Hello"))
    after = fixed(Document(messages=messages), "prefix-order")
    assert [(m.role, m.content) for m in after.messages] == [
        ("system", f"{LONG}\nCaller: {{{{name}}}}"),
        ("user", "Hello"),
    ]


def test_nothing_is_lost_when_text_moves() -> None:
    document = system(f"A {{{{a}}}} b.\n\nC d.\n\n{LONG}\nE {{{{e}}}} f.")
    assert sorted(text(fixed(document, "prefix-order")).split()) == sorted(text(document).split())


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("Current time: 2026-08-14 10:22", "serious"),
        ("Session id: 9db74058-2421-4c0e-8d7a-5d1f0c9e7b11", "serious"),
        ("Today is 14 August 2026.", "hint"),
        ("现在时间：2026-08-14 10:22", "serious"),
        ("Hora actual: 10:22", "serious"),
        ("{{anything}}", "serious"),
    ],
)
def test_what_ends_the_prefix(line: str, severity: str) -> None:
    (advice,) = said(system(f"{line}\n{LONG * 2}"), "prefix-order", PRICED)
    assert advice.severity == severity
    assert advice.tokens > 500


@pytest.mark.parametrize("tail", ["", "\nUse it once.", " and {{more}} of {{it}}."])
def test_a_variable_at_the_end_is_where_it_belongs(tail: str) -> None:
    assert not said(system(f"{LONG}\nThe caller is {{{{name}}}}{tail}"), "prefix-order")


def test_trimming_keeps_whole_turns() -> None:
    turn = (
        Message("user", "Where is my parcel? " * 60),
        Message("assistant", "It is on its way to you. " * 60),
    )
    document = Document(messages=(Message("system", "Be kind."), *turn * 40))
    (advice,) = said(document, "history-grows", PRICED)
    after = fixed(document, "history-grows")
    assert after.messages[0] == document.messages[0]
    assert after.messages[1].role == "user"
    assert after.messages[-1] == document.messages[-1]
    labels = {item.label: item.value for item in advice.evidence}
    assert (labels["still cached right after trimming"] or 0) < 10


@pytest.mark.parametrize(
    ("message", "product"),
    [
        ("Please transcribe this voicemail.", "Pulse"),
        ("Transcris cet enregistrement.", "Pulse"),
        ("Generate an mp3 of this poem.", "Lightning"),
        ("请生成音频。", "Lightning"),
        ("Place an outbound call to the clinic.", "Atoms"),
    ],
)
def test_another_product_is_named_and_nothing_else(message: str, product: str) -> None:
    (advice,) = said(Document(messages=(Message("user", message),)), "other-product")
    assert advice.subject == product
    assert product in advice.detail
    assert sum(name in advice.detail for name in ("Pulse", "Lightning", "Atoms")) == 1
    assert not said(Document(messages=(Message("user", message),), tools=tools(tool())), "other-product")


@pytest.mark.parametrize(
    "message",
    [
        "Never transcribe this voicemail.",
        "You cannot transcribe a voicemail.",
        "Don't generate an mp3 of this poem.",
        "Place no outbound call to the clinic.",
        "If the caller agrees, place an outbound call to the clinic.",
        "How do I generate an mp3 of this poem?",
        "不要生成音频。",
    ],
)
def test_another_product_is_not_named_where_it_is_forbidden_conditional_or_asked_about(message: str) -> None:
    assert not said(Document(messages=(Message("user", message),)), "other-product")
    # The words before are in another sentence.
    wish = "Please transcribe this voicemail."
    both = Document(messages=(Message("user", f"{message} {wish}"),))
    assert [finding.subject for finding in said(both, "other-product")] == ["Pulse"]


def test_audio_in_a_message() -> None:
    document = Document(messages=(Message("user", "Hear this: data:audio/wav;base64,UklGR" + "A" * 400),))
    (advice,) = said(document, "other-product", PRICED)
    assert advice.severity == "warning"
    assert advice.dollars is not None


def advice_on(question: str, answer: str, rules: str = "Be kind.") -> tuple[Finding, ...]:
    messages = (Message("system", rules), Message("user", question), Message("assistant", answer))
    return said(Document(messages=messages), "language-kept")


@pytest.mark.parametrize("words", WORDS[1:], ids=lambda words: words.code)
def test_a_language_that_switches(words: Words) -> None:
    assert advice_on(words.question, WORDS[0].answer)
    assert not advice_on(words.question, words.answer)
    assert not advice_on(words.question, WORDS[0].answer, "Always answer in English.")
    assert not advice_on(words.question, WORDS[0].answer, "You are an interpreter.")


def test_a_place_name_is_no_language() -> None:
    assert not advice_on("Pune?", "Yes.")
    assert not advice_on("A-1204", "Your parcel is in Pune and will be with you on Tuesday.")
