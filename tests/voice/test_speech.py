"""Speech: sentences and clauses of a text as it arrives, and their output on a real socket."""

from __future__ import annotations

import asyncio
import io
import wave
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from playground.client.endpoint import Endpoint, PlanLimits
from playground.client.events import ApiError
from playground.client.speech import AudioPiece, SpeechError, Voice, stream_speech
from playground.prompt.document import Document, Message
from playground.runs.state import TurnTimes
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from playground.voice.speech import Lightning, Speaker, SpeechSettings, Start, as_wav, cuts, lay_out
from tests.client import servers
from tests.client.servers import Peer
from tests.conftest import PATIENCE_S


def parts(text: str, start: Start = "clause") -> list[str]:
    return [text[cut.start : cut.end].strip() for cut in cuts(text, start)]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Sure, one moment. Done!", ["Sure,", "one moment.", "Done!"]),
        ("It costs 3.5 or 1,200 at 10:30. Yes?", ["It costs 3.5 or 1,200 at 10:30.", "Yes?"]),
        ("Dr. Rao says hi. Bye", ["Dr. Rao says hi.", "Bye"]),
        ("Ask J. Smith; he knows", ["Ask J. Smith;", "he knows"]),
        ("So am I. Good.", ["So am I.", "Good."]),
        ("She said “wait.” Then left", ["She said “wait.”", "Then left"]),
        ("What?! No…maybe", ["What?!", "No…", "maybe"]),
        ("one\ntwo", ["one", "two"]),
        ("—! ok", ["—! ok"]),
        ("एक क्षण, मैं देखता हूँ। ठीक है", ["एक क्षण,", "मैं देखता हूँ।", "ठीक है"]),
        ("少々お待ちください、確認いたします。はい", ["少々お待ちください、", "確認いたします。", "はい"]),
        ("请稍等，我来查一下。", ["请稍等，", "我来查一下。"]),
        ("لحظة، سأتحقق. هل تسمع؟ نعم", ["لحظة،", "سأتحقق.", "هل تسمع؟", "نعم"]),
        ("ایک لمحہ۔ جی", ["ایک لمحہ۔", "جی"]),
        ("รอสักครู่ กำลังตรวจสอบ", ["รอสักครู่", "กำลังตรวจสอบ"]),
        ("አንድ አፍታ፣ እያየሁ ነው። እሺ", ["አንድ አፍታ፣", "እያየሁ ነው።", "እሺ"]),
        ("잠시만요, 확인해 보겠습니다. 네", ["잠시만요,", "확인해 보겠습니다.", "네"]),
        ("", []),
        ("... !", []),
    ],
)
def test_clauses(text: str, clauses: list[str]) -> None:
    assert parts(text) == clauses


def test_sentences_are_not_cut_at_commas() -> None:
    assert parts("Sure, one moment: now. Done!", "sentence") == ["Sure, one moment: now.", "Done!"]
    assert parts("请稍等，我来查一下。好", "sentence") == ["请稍等，我来查一下。", "好"]


def test_the_first_piece_and_then_clauses() -> None:
    text = "Let me see, now. Done"
    assert [text[c.start : c.end] for c in cuts(text, "piece", (3,))] == ["Let", " me see,", " now.", " Done"]
    assert cuts(text, "piece", (3,))[0].known == 3


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Done! Next", 5),  # an exclamation mark ends it by itself
        ("Done. Next", 6),  # a full stop only with the space after it: it might have been 3.5
        ("好。下", 2),
        ("Done.", None),  # nothing came after it: certain once nothing more can come
        ("Done", None),
        ("Wh?! Next", 3),
    ],
)
def test_when_a_cut_is_certain(text: str, known: int | None) -> None:
    assert cuts(text, "clause")[0].known == known


@pytest.mark.parametrize(
    ("pieces", "completed_by"),
    [
        (["One moment, ", "please.", " It leaves at nine."], [0, 1, 2]),  # the space is with the mark, or
        (["One", " moment", ",", " please", ".", " It leaves at nine."], [2, 4, 5]),  # with the word after it
        (["Pay", " 3", ".", "5", " now", ".", " Ok"], [5, None]),  # a number goes on, and
        (["Pay", " 3", ".", " Thanks", ","], [3, 4]),  # one that ends is known by the next piece
        (["It", " has", " 1", ",", "200", " of", " them", ";"], [7]),
        (["Dr", ".", " Rao", " or", " J", ".", " Smith", "."], [7]),
        (["See", " e", ".", "g", ".", " www", ".", "x", ".", "com", "?"], [5, 10]),
        (["He said", " “wait", ".”", " Then"], [2, None]),
        (["So", "..", ".", " no"], [1, None]),
    ],
)
def test_mark_that_ends_a_piece_ends_its_clause_unless_a_number_or_abbreviation_may_go_on(
    pieces: list[str], completed_by: list[int | None]
) -> None:
    ends = list(accumulate(map(len, pieces)))
    found = cuts("".join(pieces), "clause", ends)
    assert [None if cut.known is None else bisect_left(ends, cut.known) for cut in found] == completed_by
    times = TurnTimes(
        text="".join(pieces), piece_times=tuple(map(float, range(len(pieces)))), piece_ends=tuple(ends), ended_at=99.0
    )
    assert [part.text_at for part in lay_out(times, SpeechSettings())] == [
        99.0 if place is None else place for place in completed_by
    ]


@given(
    st.text(alphabet="aB1 .,!?。、—\n”(é", max_size=40),
    st.sets(st.integers(1, 40)),
)
def test_together_the_parts_have_every_word_and_a_certain_cut_stays_where_it_is(text: str, ends: set[int]) -> None:
    pieces = sorted({end for end in ends if end < len(text)} | {len(text)})
    found = cuts(text, "clause", pieces)
    spoken = "".join(text[cut.start : cut.end] for cut in found)
    assert [c for c in spoken if c.isalnum()] == [c for c in text if c.isalnum()]
    for cut in found:
        if cut.known is not None:
            # The text received by then has the same beginning of this part, for any continuation.
            early = cuts(text[: cut.known], "clause", [end for end in pieces if end <= cut.known])
            assert [part.start for part in early if part.start <= cut.start][-1] == cut.start
            assert all(c.isalnum() is False for c in text[cut.known : cut.end])


SCRIPT = [[{"at_ms": 1, "content": "One moment, please. "}, {"at_ms": 400, "content": "It is ₹412."}]]
PROMPT = Document(messages=(Message("user", "How much?"),), parameters={"scenario": SCRIPT})  # type: ignore[dict-item]
QUICK = Voice(sample_rate=8000)


def play(folder: Path, base_url: str, story: Callable[[AppServices, Endpoint], Awaitable[Any]], key: str = "") -> Any:
    async def main() -> Any:
        workspace = AppServices(folder, {"SMALLEST_API_KEY": key} if key else {}, Tasks(lambda *_: None))
        endpoint = Endpoint("test", "Test", base_url, needs_key=False)
        try:
            return await asyncio.wait_for(story(workspace, endpoint), PATIENCE_S)
        finally:
            await workspace.close()

    return asyncio.run(main())


async def spoken(workspace: AppServices, endpoint: Endpoint, **more: Any) -> Speaker:
    """Send a request and speak its completion."""
    speaker = Speaker(Lightning(workspace.sender.connection, workspace.keys, endpoint, QUICK), **more)
    sending = asyncio.ensure_future(
        workspace.sender.send(PROMPT, endpoint, lambda dispatch: speaker.follow(dispatch.run))
    )
    try:
        await speaker.speak()
    finally:
        await sending
    return speaker


def test_speech_waits_for_a_slot_of_the_plan(simulator: SimulatorProcess, tmp_path: Path) -> None:
    async def story(workspace: AppServices, endpoint: Endpoint) -> None:
        endpoint = replace(endpoint, plan=PlanLimits("One", None, 1))
        limiter = workspace.rate_limiter
        ticket = await limiter.acquire(endpoint, lambda _status: None)
        engine = Lightning(workspace.sender.connection, workspace.keys, endpoint, QUICK, limiter)
        heard: list[bytes] = []
        saying = asyncio.ensure_future(engine.say("One moment.", heard.append))
        ended, _ = await asyncio.wait({saying}, timeout=0.3)
        assert (ended, heard) == (set(), [])
        limiter.release(endpoint, ticket)
        part = await saying
        assert b"".join(heard) == part.pcm != b""
        assert limiter.load(endpoint.id).in_flight == 0

    play(tmp_path, simulator.base_url, story)


def test_parts_are_spoken_while_the_rest_still_comes_and_are_measured(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    async def story(workspace: AppServices, endpoint: Endpoint) -> None:
        heard: list[int] = []
        speaker = await spoken(workspace, endpoint, on_audio=lambda pcm: heard.append(len(pcm)))
        assert [part.text for part in speaker.parts] == ["One moment,", "please.", "It is ₹412."]
        for part in speaker.parts:
            assert part.engine_s >= 0.2
            assert part.length_s == pytest.approx(len(part.text) / 15, abs=0.02)
            assert part.request_id
        assert sum(heard) == sum(len(part.pcm) for part in speaker.parts)
        with wave.open(io.BytesIO(as_wav(speaker.parts, 8000))) as file:
            assert file.getnframes() == sum(heard) // 2

    play(tmp_path, simulator.base_url, story)


def test_a_stop_says_nothing_more(simulator: SimulatorProcess, tmp_path: Path) -> None:
    async def story(workspace: AppServices, endpoint: Endpoint) -> None:
        made: list[Speaker] = []

        def first(_part: object) -> None:
            made[0].stop()

        speaker = Speaker(Lightning(workspace.sender.connection, workspace.keys, endpoint, QUICK), on_part=first)
        made.append(speaker)
        sending = asyncio.ensure_future(
            workspace.sender.send(PROMPT, endpoint, lambda dispatch: speaker.follow(dispatch.run))
        )
        await speaker.speak()
        await sending
        assert len(speaker.parts) == 1

    play(tmp_path, simulator.base_url, story)


async def heard(pieces: AsyncIterator[AudioPiece]) -> bytes:
    """Return all audio."""
    return b"".join([piece.pcm async for piece in pieces])


AUDIO = b'event: audio\ndata: {"audio": "AAAAAA==", "done": false, "status": "206"}\n\n'


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b'HTTP/1.1 401 No\r\nContent-Length: 39\r\n\r\n{"error": "auth", "message": "bad key"} ', "401: bad key"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + AUDIO, "broke off before its end"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: <html>\n\n", "no frame of audio"),
        (b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: {"audio": "?", "done": false}\n\n', "cannot be read"),
        (b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: {"error": "x", "message": "busy"}\n\n', "failed: busy"),
        (b"", "could not be reached"),
    ],
)
def test_what_goes_wrong_is_a_sentence(tmp_path: Path, answer: bytes, sentence: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(answer)
        peer.writer.close()

    async def story(workspace: AppServices, _endpoint: Endpoint) -> None:
        async with servers.serve(script) as server:
            base_url = server.base_url
            client = await workspace.sender.connection.client_for(base_url)
            endpoint = Endpoint("test", "Test", base_url, needs_key=False)
            assert not isinstance(client, ApiError)
            with pytest.raises(SpeechError, match=sentence):
                await heard(stream_speech(client, endpoint, None, "Hello.", QUICK))

    play(tmp_path, "http://127.0.0.1:9/v1", story)


def test_the_key_goes_nowhere_in_the_clear(tmp_path: Path) -> None:
    async def story(workspace: AppServices, _endpoint: Endpoint) -> None:
        client = await workspace.sender.connection.client_for("http://192.0.2.1/v1")
        assert not isinstance(client, ApiError)
        endpoint = Endpoint("electron", "E", "http://192.0.2.1/v1", "electron")
        with pytest.raises(SpeechError, match="the key was not sent"):
            await heard(stream_speech(client, endpoint, "sk_secret_0123456789", "Hello."))

    play(tmp_path, "http://127.0.0.1:9/v1", story)
