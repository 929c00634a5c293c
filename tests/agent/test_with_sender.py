"""Agent loop through the request service and the log: every turn is logged, also after a kill."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.forked_program import start_script
from tests.requestlog.samples import opened

CHILD = """
import asyncio, sys
from pathlib import Path
from playground.agent.tool_mocks import ToolExecutor
from playground.agent.loop import AgentLoop
from playground.agent.conversation import Conversation
from playground.agent.loop import CallStarted, AgentLoopEnded, TurnStarted
from playground.client.events import ContentDelta, HeadersReceived
from playground.requestlog.log import RequestLog
from playground.tasks import Tasks
from playground.services import AppServices
from tests.agent.dialogue import BOOK, HANGS, calls, nobody, prompt, says

NEVER = 600_000
FILLER = [says(1, "One sec!"), calls(2, "get_balance")]
SCRIPTS = {
    "headers": [[says(NEVER, "One sec!")]],
    "filler": [[says(1, "One sec!"), calls(NEVER, "get_balance")]],
    "tools": [FILLER],
    "answer": [FILLER, [says(5, "It is"), says(NEVER, " 412.")]],
    "ended": [FILLER, [says(5, "It is 412.")]],
}
PHASES = {"headers": (HeadersReceived, 1), "filler": (ContentDelta, 1), "answer": (ContentDelta, 2)}

async def work(folder, phase):
    reached, runs = asyncio.Event(), []
    workspace = AppServices(folder, {}, Tasks(print), simulator_options=("--plan", "none"))
    sender = workspace.sender
    log = sender.log = await RequestLog.open(folder)

    def came(event, number):
        if phase in PHASES and isinstance(event, PHASES[phase][0]) and number == PHASES[phase][1]:
            reached.set()

    def told(happening):
        if isinstance(happening, TurnStarted):
            runs.append(happening.run.id)
            happening.run.subscribe(lambda _, event: came(event, happening.number))
        elif isinstance(happening, CallStarted) and phase == "tools":
            reached.set()
        elif isinstance(happening, AgentLoopEnded):
            reached.set()

    async def send(document, began):
        await sender.send(document, workspace.endpoint, lambda dispatch: began(dispatch.run))

    book = HANGS if phase == "tools" else BOOK
    chain = AgentLoop(Conversation(prompt(SCRIPTS[phase])), send, ToolExecutor(book, nobody), listener=told)
    workspace.tasks.start(chain.run(), "chain")
    await reached.wait()
    for run_id in runs:
        await log.get(run_id)  # sees to it that what was noted is written
    print(*runs, flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("phase", "phases", "texts"),
    [
        ("headers", ["interrupted"], [""]),
        ("filler", ["interrupted"], ["One sec!"]),
        ("tools", ["done"], ["One sec!"]),
        ("answer", ["done", "interrupted"], ["One sec!", "It is"]),
        ("ended", ["done", "done"], ["One sec!", "It is 412."]),
    ],
)
def test_killed_in_a_phase_the_log_has_all_turns_up_to_then(
    tmp_path: Path, phase: str, phases: list[str], texts: list[str]
) -> None:
    child = start_script(CHILD, str(tmp_path), phase)
    assert child.stdout is not None
    runs = child.stdout.readline().split()
    child.kill()
    child.communicate()

    async def read() -> tuple[list[str], list[str], list[str | None]]:
        async with opened(tmp_path) as log:
            stored = [await log.get(run_id) for run_id in runs]
        found = [(one.phase, one.state()) for one in stored if one is not None]
        return [how for how, _ in found], [state.text for _, state in found], [state.request_id for _, state in found]

    logged, said, ids = asyncio.run(read())
    assert logged == phases
    assert said == texts
    assert len(set(ids) - {None}) == len(phases)
