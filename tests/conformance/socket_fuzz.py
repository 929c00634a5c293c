"""Random responses over real sockets: one write per piece, and again with broken HTTP."""

from __future__ import annotations

from random import Random

from playground.client.connection import Connection, Timeouts
from playground.client.events import HeadersReceived
from playground.client.retry import NO_RETRIES
from tests.client import servers
from tests.client.servers import LAST, Peer, chunk
from tests.conformance.fuzz import HANG_S, SEED, CaseFailed, check
from tests.conformance.random_streams import Response, mutated, response
from tests.conformance.talk import Conversation, new, see_through

MOST_WRITES = 12


def _head(answer: Response) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Reason", "Transfer-Encoding: chunked"]
    if answer.content_type:
        lines.append(f"Content-Type: {answer.content_type}")
    if answer.request_id:
        lines.append(f"X-Request-Id: {answer.request_id}")
    return "\r\n".join([*lines, "", ""]).encode()


def _writes(answer: Response) -> list[bytes]:
    """The response on the wire; pieces beyond the first few go out in one write."""
    kept, rest = answer.pieces[:MOST_WRITES], b"".join(answer.pieces[MOST_WRITES:])
    pieces = [chunk(piece) for piece in (*kept, rest) if piece]
    return [_head(answer), *pieces, *([] if answer.breaks else [LAST])]


async def whole_http(cases: int) -> None:
    """Send intact responses on reused connections. They must give the same results as in memory."""
    answers = [response(Random(f"{SEED}:{number}")) for number in range(cases)]
    async with servers.serve(lambda peer: _answer(peer, waiting.pop(0))) as server:
        connection, waiting = Connection(Timeouts(first_byte=HANG_S, idle=HANG_S)), list(answers)
        for number, answer in enumerate(answers):
            told = await _see_through(connection, server.base_url, f"case {number} over a socket: {answer}")
            check(told.state, answer)
        assert len(server.requests) == cases
        assert server.connections < cases, "no connection was ever used again"
        await connection.aclose()


async def _answer(peer: Peer, answer: Response) -> None:
    for write in _writes(answer):
        await peer.send(write)
    if answer.breaks:
        peer.hang_up()


async def broken_http(cases: int) -> int:
    """Responses whose HTTP is broken, and then the end of the connection. Returns how many were understood at all."""
    understood = 0
    chances = [Random(f"{SEED}:http:{number}") for number in range(cases)]

    async def script(peer: Peer) -> None:
        chance = chances[len(server.requests) - 1]
        await peer.send(mutated(chance, b"".join(_writes(response(chance)))))
        peer.hang_up()

    async with servers.serve(script) as server:
        connection = Connection(Timeouts(first_byte=HANG_S, idle=HANG_S))
        for number in range(cases):
            told = await _see_through(connection, server.base_url, f"broken HTTP {number}")
            headers = [event for event in told.heard if isinstance(event, HeadersReceived)]
            assert told.ids == [headers[0].request_id if headers else None], "the request_id is lost"
            assert told.state.phase in ("done", "failed")
            understood += bool(headers)
        await connection.aclose()
    return understood


async def _see_through(connection: Connection, base_url: str, case: str) -> Conversation:
    try:
        return await see_through(new(connection, base_url, retries=NO_RETRIES))
    except Exception as error:
        raise CaseFailed(f"{case}: {error!r}") from error
