"""What a real log knows of a prompt: which requests are its own, and the whole answer where a row has a part."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path

import pytest

from playground.lint import service
from playground.lint.prompt_facts import PromptHistory
from playground.lint.service import PromptHistoryReader, past
from playground.prompt.document import Document, Message
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun, StoredRun
from tests.lint.corpus import tool
from tests.lint.judge import tools
from tests.requestlog.samples import answered, body_of, called, keep, opened, record, refused

PROMPT = Document(
    messages=(Message("system", "You take calls for a clinic."), Message("user", "{{question}}")),
    tools=tools(tool()),
)


async def _history(folder: Path) -> PromptHistory:
    async with opened(folder) as log:
        await keep(log, record("When are you open?", minute=1), answered("word " * 90 + "<END>"))
        await keep(log, record("Where are you?", minute=2), answered(usage=None))
        await keep(log, record("And now?", minute=3), refused())
        await keep(log, record("Book Monday", minute=4, model="other"), called())
        other = body_of("Sort this letter", "You sort the letters of a parcel service by what they want.")
        await keep(log, record(body=other, minute=5), answered("late"))
        return await past(log, PROMPT)


@pytest.fixture
def history(tmp_path: Path) -> PromptHistory:
    return asyncio.run(_history(tmp_path))


def test_only_versions_of_the_prompt_oldest_first(history: PromptHistory) -> None:
    assert [request.question for request in history.requests] == [
        *("When are you open?", "Where are you?", "And now?", "Book Monday"),
    ]
    assert [request.at for request in history.requests] == sorted(request.at for request in history.requests)


def test_figures_are_the_servers_and_unknown_where_it_gave_none(history: PromptHistory) -> None:
    first, second, third, _ = history.requests
    assert (first.prompt_tokens, first.cached_tokens, first.completion_tokens) == (1204, 1152, 86)
    assert (second.prompt_tokens, second.cached_tokens, second.completion_tokens) == (None, None, None)
    assert (third.status, third.finish_reason) == (429, None)
    assert first.connect_s is None


def test_an_answer_longer_than_a_row_is_whole(history: PromptHistory) -> None:
    assert history.requests[0].answer.endswith("<END>")


def test_tools_that_were_called(history: PromptHistory) -> None:
    assert history.tools_called == {"book_visit"}
    assert history.tools_offered_in == 3


async def test_an_empty_log(tmp_path: Path) -> None:
    async def empty() -> PromptHistory:
        async with opened(tmp_path) as log:
            return await past(log, PROMPT)

    assert (await empty()).requests == ()


async def test_read_again_reads_only_the_bodies_of_new_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as log:
        whole: list[int] = []
        read_stored = log.stored

        async def stored(numbers: Sequence[int]) -> list[StoredRun]:
            whole.extend(numbers)
            return await read_stored(numbers)

        monkeypatch.setattr(log, "stored", stored)
        reader = PromptHistoryReader()
        await keep(log, record("When are you open?", minute=1), answered("word " * 90 + "<END>"))
        first = await reader.read(log, PROMPT)
        await keep(log, record("Where are you?", minute=2), answered())
        second = await reader.read(log, PROMPT)
        assert [request.question for request in second.requests] == ["When are you open?", "Where are you?"]
        assert second.requests[0] == first.requests[0]
        assert len(whole) == len(set(whole)) == 2
        assert second == await past(log, PROMPT)


async def test_read_texts_are_bounded_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> PromptHistory:
        async with opened(tmp_path) as log:
            for minute in range(1, 4):
                await keep(log, record(f"Question {minute}", minute=minute), answered())
            return await past(log, PROMPT)

    monkeypatch.setattr(service, "MAX_TEXT_CHARS", 120)
    texts = [request.text for request in (await story()).requests]
    assert texts[0] is None
    assert texts[-1] is not None


async def test_few_whole_answers_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of thousands of events: all 40 at once would leave the program larger."""
    stored, most = RequestLog.stored, [0]
    runs = [record(f"Question {number}", minute=number) for number in range(45)]
    mine = {each.run_id for each in runs}  # other tests leave objects of theirs to the garbage collector

    async def counted(log: RequestLog, numbers: Sequence[int]) -> list[StoredRun]:
        found = await stored(log, numbers)
        alive = [each for each in gc.get_objects() if isinstance(each, StoredRun) and each.record.run_id in mine]
        most[0] = max(most[0], len(alive))
        return found

    async def read() -> PromptHistory:
        async with opened(tmp_path) as log:
            await log.add([EndedRun(each, tuple(answered(f"{each.run_id} " * 60))) for each in runs])
            monkeypatch.setattr(RequestLog, "stored", counted)
            return await past(log, PROMPT)

    history = await read()
    assert 0 < most[0] <= 10  # far below the 40 that are read
    assert len(history.requests) == 45
    # A row has only the beginning of an answer: those of the newest 40 were read whole.
    assert [len(request.answer) for request in history.requests] == [0] * 5 + [60 * 33] * 40
