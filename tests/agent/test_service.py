"""Agent service: tool mocks and conversations on disk, and the prompts that they belong to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from playground import asset
from playground.agent.conversation import Conversation, Result, Turn
from playground.agent.loop import Happening, TurnStarted, measured
from playground.agent.service import ANSWERS_FILE, CONVERSATION_FILE, AgentService, consent_owner, prompt_key
from playground.agent.tool_mocks import MockReply, ToolMock, ToolMocks
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import parse_bytes
from playground.runs.state import TurnTimes
from playground.services import AppServices
from playground.tasks import Tasks
from playground.voice.timeline import MeasuredTool

if TYPE_CHECKING:
    from playground.runs.run import Run

TOOL = Tool.of({"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}})
PROMPT = Document(name="billing", tools=(TOOL,), messages=(Message("user", "a"),), id="p1")
MOCKS = ToolMocks({"get": ToolMock(MockReply("fixed", "42"))})


@asynccontextmanager
async def _services_of(folder: Path) -> AsyncIterator[AppServices]:
    services = AppServices(folder, {}, Tasks(lambda name, error: None))
    try:
        yield services
    finally:
        await services.close()


def test_prompt_key_same_name_other_prompt_differs() -> None:
    other = replace(PROMPT, id="", messages=(Message("user", "b"),))
    assert prompt_key(PROMPT) == "p1"
    assert len({prompt_key(PROMPT), prompt_key(other), prompt_key(replace(other, messages=()))}) == 3


def test_prompt_key_edited_prompt_keeps_it() -> None:
    assert prompt_key(replace(PROMPT, name="x", messages=(), tools=())) == prompt_key(PROMPT)


def test_consent_owner_changed_tools_differ() -> None:
    assert consent_owner(replace(PROMPT, messages=())) == consent_owner(PROMPT)
    assert consent_owner(replace(PROMPT, tools=())) != consent_owner(PROMPT)


async def test_keep_book_is_read_back_for_the_prompt_only(tmp_path: Path) -> None:
    async with _services_of(tmp_path) as services:
        service = AgentService(services)
        service.keep_book(PROMPT, MOCKS)
        assert service.book(PROMPT) == MOCKS

    async with _services_of(tmp_path) as services:
        service = AgentService(services)
        assert service.book(replace(PROMPT, messages=())) == MOCKS
        assert service.book(replace(PROMPT, id="p2")) == ToolMocks()
        assert service.book(replace(PROMPT, id="")) == ToolMocks()


async def test_book_shipped_mocks_belong_to_the_sample_tools_not_to_its_name(tmp_path: Path) -> None:
    sample = parse_bytes(asset("prompts/acme-billing-agent.prompt.json").read_bytes()).document

    async with _services_of(tmp_path) as services:
        service = AgentService(services)
        assert service.book(sample).tools
        assert service.book(replace(PROMPT, name=sample.name)) == ToolMocks()


async def test_service_damaged_files_are_set_aside_and_named(tmp_path: Path) -> None:
    for name in (ANSWERS_FILE, CONVERSATION_FILE):
        for data in (b"[1]", b'{"a": 3}', b'{"a": "{}"}', b"[" * 5_000, b"\xff"):
            (tmp_path / name).write_bytes(data)

            async with _services_of(tmp_path) as services:
                service = AgentService(services)
                assert service.notice
                assert service.conversation is None
            assert not (tmp_path / name).exists()


async def test_keep_conversation_folder_deleted_reports_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    errors: list[str] = []

    async with _services_of(folder) as services:
        services.on_notice.subscribe(errors.append)
        service = AgentService(services)
        folder.rmdir()
        service.keep_conversation(Conversation(PROMPT))
        service.keep_book(PROMPT, MOCKS)
        await services.writer.flush()
    assert len(errors) == 2


async def test_keep_conversation_is_on_disk_after_close(tmp_path: Path) -> None:
    async with _services_of(tmp_path) as services:
        service = AgentService(services)
        for number in range(20):
            service.keep_conversation(Conversation(replace(PROMPT, name=str(number))))
    saved = json.loads((tmp_path / CONVERSATION_FILE).read_text())["documents"][0]
    assert json.loads(saved)["name"] == "19"


async def test_prompt_sent_is_reported_for_the_root_only_and_every_run_has_the_conversation(tmp_path: Path) -> None:
    async with _services_of(tmp_path) as services:
        service = AgentService(services)
        told: list[tuple[Document, str]] = []
        passed: list[Happening] = []
        service.on_prompt_sent.subscribe(lambda document, run_id: told.append((document, run_id)))
        conversation = Conversation(PROMPT)
        tied = service._tied(conversation, passed.append)
        later = replace(PROMPT, messages=(*PROMPT.messages, Message("assistant", "b")))
        for number, document in enumerate((PROMPT, later), 1):
            run = SimpleNamespace(id=f"run {number}", conversation="")
            tied(TurnStarted("turn", number, 8, document, cast("Run", run)))
            assert run.conversation == conversation.id
        assert told == [(PROMPT, "run 1")]
        assert len(passed) == 2


def test_measured_turns_are_those_of_one_run_of_the_loop_with_the_tools_that_ran_in_it() -> None:
    ran = Result("c1", "get", "42", started_at=11.0, ended_at=12.5, go="b")
    typed = Result("c2", "get", "43", go="b")
    earlier = Result("c3", "get", "44", started_at=2.0, ended_at=3.0, go="a")
    running = Result("c4", "get", "", "stopped", started_at=12.0, go="b")
    before = Turn("t1", None, PROMPT, go="a", began_at=1.0, times=TurnTimes())
    first = Turn("t2", "t1", PROMPT, go="b", began_at=10.0, times=TurnTimes(), results=(ran, typed, earlier, running))
    second = Turn("t3", "t2", PROMPT, go="b", began_at=14.0, times=TurnTimes())
    edited = Turn("t4", "t3", PROMPT, edited=True)
    conversation = Conversation(PROMPT)
    for turn in (before, first, second, edited):
        conversation = conversation.with_turn(turn)
    one, other = measured(conversation, "t3")
    assert [turn.began_at for turn in (one, other)] == [0.0, 4.0]
    assert one.tools == (MeasuredTool("get", 1.0, 2.5, False), MeasuredTool("get", 2.0, None, True))
    assert other.tools == ()
    assert [len(measured(conversation, id)) for id in ("t1", "t2", "t4")] == [1, 1, 0]
