"""Filter texts parsed into terms; errors with their offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from playground.prompt.field_errors import InputError
from playground.requestlog.filter import IdTerm, IsTerm, NumberTerm, SinceTerm, Term, TextTerm, WordTerm, parse

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
UUIDS = ["9db74058-1111-4222-8333-444455556666", "ABAB0000-1111-4222-8333-444455556666"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("  hello world ", (TextTerm("hello"), TextTerm("world"))),
        ('"two words" -three', (TextTerm("two words"), TextTerm("three", True))),
        ('-"two words"', (TextTerm("two words", True),)),
        ('"say \\"hi\\" now" x', (TextTerm('say "hi" now'), TextTerm("x"))),
        ('"C:\\"', (TextTerm("C:\\"),)),
        ("well-known", (TextTerm("well-known"),)),
        ("-", (TextTerm("-"),)),
        ('""', ()),
        ("https://example.test 10:30", (TextTerm("https://example.test"), TextTerm("10:30"))),
        ("status:200", (NumberTerm("status", 200, 200),)),
        ("STATUS:4XX", (NumberTerm("status", 400, 499),)),
        ("status:none", (NumberTerm("status", None, None, True),)),
        ("status:429,5xx", (NumberTerm("status", 429, 429), NumberTerm("status", 500, 599))),
        ("-status:>=400", (NumberTerm("status", 400, None, False, True),)),
        ("cached:0", (NumberTerm("cached", 0, 0),)),
        ("cached:>100", (NumberTerm("cached", 101, None),)),
        ("cached:<=100", (NumberTerm("cached", None, 100),)),
        ("cached:unknown", (NumberTerm("cached", None, None, True),)),
        ("tokens:>1000 in:5..10 out:<3", (
            NumberTerm("tokens", 1001, None), NumberTerm("in", 5, 10), NumberTerm("out", None, 2))),
        ("finish:stop", (WordTerm("finish", "stop"),)),
        ('endpoint:"My server" model:small', (WordTerm("endpoint", "My server"), WordTerm("model", "small"))),
        ("id:9db7", (IdTerm("9db7"),)),
        (f"{UUIDS[0]}\n{UUIDS[1]},", (IdTerm(UUIDS[0]), IdTerm(UUIDS[1]))),
        (f'"{UUIDS[0]}"', (TextTerm(UUIDS[0]),)),
        (f"{UUIDS[0]},{UUIDS[1]};chatcmpl-9db74058", (
            IdTerm(UUIDS[0]), IdTerm(UUIDS[1]), IdTerm("chatcmpl-9db74058"))),
        (f"['{UUIDS[0]}']", (IdTerm(UUIDS[0]),)),
        ("since:30m", (SinceTerm(NOW - timedelta(minutes=30)),)),
        ("since:2d", (SinceTerm(NOW - timedelta(days=2)),)),
        ("since:2026-11-20", (SinceTerm(datetime(2026, 11, 20, tzinfo=NOW.tzinfo)),)),
        ("since:2026-11-20T08:30", (SinceTerm(datetime(2026, 11, 20, 8, 30, tzinfo=NOW.tzinfo)),)),
        ("is:failed -is:simulated", (IsTerm("failed"), IsTerm("simulated", True))),
    ],
)  # fmt: skip
def test_terms(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text, NOW).terms == terms


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("hello stats:200", 6, "stats:"),
        ("status:", 0, "no value"),
        ("status:abc", 0, "abc"),
        ("cached:>x", 0, ">x"),
        ("tokens:>1..2", 0, ">1..2"),
        ('ok "not closed', 3, "not closed"),
        ("since:yesterday", 0, "yesterday"),
        ("since:999999w", 0, "999999w"),
        ("a is:blue", 2, "blue"),
    ],
)
def test_bad_input_says_where_and_what_to_do(text: str, offset: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, NOW)
    problem = caught.value.problems[0]
    assert problem.path == ("filter",)
    assert problem.offset == offset
    assert words in problem.message
    assert problem.hint


def test_a_state_as_a_status_is_answered_with_the_term_that_finds_it() -> None:
    with pytest.raises(InputError) as caught:
        parse("status:Stopped", NOW)
    assert "is:stopped" in caught.value.problems[0].hint


ID_1, ID_2 = "9db74058-1111-4222-8333-444455556666", "ffff0000-1111-4222-8333-444455556666"


@pytest.mark.parametrize(
    ("pasted", "malformed"),
    [
        (f"{ID_1}\n{ID_2}", ()),
        (f'"{ID_1}","{ID_2}"', ()),
        (f"['{ID_1}', '{ID_2}']", ()),
        (f"{ID_1}\\n{ID_2}\\n", ()),
        (f'\\"{ID_1}\\", \\"{ID_2}\\"', ()),
        (f"{ID_1}; {ID_2[:-3]}; {ID_2}", (ID_2[:-3],)),
        (f"{ID_1},9db7-zz1,{ID_2}", ("9db7-zz1",)),
    ],
)
def test_parse_pasted_ids_selects_the_good_ones_and_names_the_others(pasted: str, malformed: tuple[str, ...]) -> None:
    found = parse(pasted, NOW)
    assert found.terms == (IdTerm(ID_1), IdTerm(ID_2))
    assert found.malformed == malformed


def test_parse_ids_with_a_word_is_not_a_list_of_ids() -> None:
    assert parse(f"{ID_1} {ID_2} hello", NOW).malformed == ()


def test_parse_lone_surrogate_becomes_a_replacement_character() -> None:
    assert parse("a\ud800b", NOW).terms == (TextTerm("a\ufffdb"),)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the system's zone cannot be set")
@pytest.mark.parametrize(("day", "hour"), [("2026-07-01", 22), ("2026-12-01", 23)])
def test_parse_date_in_the_systems_zone_follows_daylight_saving_time(
    monkeypatch: pytest.MonkeyPatch, day: str, hour: int
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for moment in (datetime(2026, 7, 10, tzinfo=UTC), datetime(2026, 12, 10, tzinfo=UTC)):
            (term,) = parse(f"since:{day}", moment.astimezone()).terms
            assert isinstance(term, SinceTerm)
            assert term.moment.astimezone(UTC).hour == hour
    finally:
        monkeypatch.undo()
        time.tzset()
