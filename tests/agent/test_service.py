"""Agent service: tool mocks and conversations on disk, and the prompts that they belong to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from playground import asset
from playground.agent.conversation import Conversation
from playground.agent.service import ANSWERS_FILE, CONVERSATION_FILE, AgentService, consent_owner, prompt_key
from playground.agent.tool_mocks import MockReply, ToolMock, ToolMocks
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import parse_bytes
from playground.services import AppServices
from playground.tasks import Tasks

TOOL = Tool.of({"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}})
PROMPT = Document(name="billing", tools=(TOOL,), messages=(Message("user", "a"),), id="p1")
MOCKS = ToolMocks({"get": ToolMock(MockReply("fixed", "42"))})


def _in_services(folder: Path, story: Callable[[AppServices], Awaitable[None]]) -> None:
    async def main() -> None:
        services = AppServices(folder, {}, Tasks(lambda name, error: None))
        try:
            await story(services)
        finally:
            await services.close()

    asyncio.run(main())


def test_prompt_key_same_name_other_prompt_differs() -> None:
    other = replace(PROMPT, id="", messages=(Message("user", "b"),))
    assert prompt_key(PROMPT) == "p1"
    assert len({prompt_key(PROMPT), prompt_key(other), prompt_key(replace(other, messages=()))}) == 3


def test_prompt_key_edited_prompt_keeps_it() -> None:
    assert prompt_key(replace(PROMPT, name="x", messages=(), tools=())) == prompt_key(PROMPT)


def test_consent_owner_changed_tools_differ() -> None:
    assert consent_owner(replace(PROMPT, messages=())) == consent_owner(PROMPT)
    assert consent_owner(replace(PROMPT, tools=())) != consent_owner(PROMPT)


def test_keep_book_is_read_back_for_the_prompt_only(tmp_path: Path) -> None:
    async def story(services: AppServices) -> None:
        service = AgentService(services)
        service.keep_book(PROMPT, MOCKS)
        assert service.book(PROMPT) == MOCKS

    _in_services(tmp_path, story)

    async def again(services: AppServices) -> None:
        service = AgentService(services)
        assert service.book(replace(PROMPT, messages=())) == MOCKS
        assert service.book(replace(PROMPT, id="p2")) == ToolMocks()
        assert service.book(replace(PROMPT, id="")) == ToolMocks()

    _in_services(tmp_path, again)


def test_book_shipped_mocks_belong_to_the_sample_tools_not_to_its_name(tmp_path: Path) -> None:
    sample = parse_bytes(asset("prompts/acme-billing-agent.prompt.json").read_bytes()).document

    async def story(services: AppServices) -> None:
        service = AgentService(services)
        assert service.book(sample).tools
        assert service.book(replace(PROMPT, name=sample.name)) == ToolMocks()

    _in_services(tmp_path, story)


def test_service_damaged_files_are_set_aside_and_named(tmp_path: Path) -> None:
    for name in (ANSWERS_FILE, CONVERSATION_FILE):
        for data in (b"[1]", b'{"a": 3}', b'{"a": "{}"}', b"[" * 5_000, b"\xff"):
            (tmp_path / name).write_bytes(data)

            async def story(services: AppServices) -> None:
                service = AgentService(services)
                assert service.notice
                assert service.conversation is None

            _in_services(tmp_path, story)
            assert not (tmp_path / name).exists()


def test_keep_conversation_folder_deleted_reports_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    errors: list[str] = []

    async def story(services: AppServices) -> None:
        services.on_notice.subscribe(errors.append)
        service = AgentService(services)
        folder.rmdir()
        service.keep_conversation(Conversation(PROMPT))
        service.keep_book(PROMPT, MOCKS)
        await services.writer.flush()

    _in_services(folder, story)
    assert len(errors) == 2


def test_keep_conversation_is_on_disk_after_close(tmp_path: Path) -> None:
    async def story(services: AppServices) -> None:
        service = AgentService(services)
        for number in range(20):
            service.keep_conversation(Conversation(replace(PROMPT, name=str(number))))

    _in_services(tmp_path, story)
    saved = json.loads((tmp_path / CONVERSATION_FILE).read_text())["documents"][0]
    assert json.loads(saved)["name"] == "19"
