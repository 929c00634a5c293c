"""Packed parts, and parts that are deleted when nothing uses them."""

from __future__ import annotations

import zlib
from contextlib import closing
from pathlib import Path

import pytest

from playground.requestlog import blob_store
from playground.requestlog.blob_store import Joiner, Keeper, forget, pack, unpack
from playground.requestlog.sent_body import SentBody
from playground.requestlog.store import open_files, transaction


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"You are a helpful assistant. " * 3,
        bytes(range(256)) * 40,
        "नमस्ते ".encode() * 200,
        b"x" * 100_000,
    ],
    ids=["empty", "short", "prose", "binary", "hindi", "long"],
)
def test_pack_then_unpack_returns_the_data(data: bytes) -> None:
    packed = pack(data)
    assert unpack(packed) == data
    assert len(packed) <= len(data) + 1


def test_unpack_data_of_an_earlier_version_returns_it() -> None:
    assert unpack(b"\x00plain") == b"plain"
    assert unpack(b"\x01" + zlib.compress(b"deflated")) == b"deflated"


def test_unpack_truncated_data_raises() -> None:
    packed = pack(b"Could you please tell me how this works? " * 4)
    with pytest.raises(zlib.error):
        unpack(packed[:-2])


@pytest.mark.parametrize(
    "literal",
    [
        '"When are you open on Sunday?"',
        '"Où est mon rendez-vous de demain ?"',
        '"O\\u00f9 est mon rendez-vous de demain ?"',
        '"short"',
        '"A question with \\"quotes\\" and\\nlines"',
        '"A question with an \\u0065scape that is not needed"',
    ],
)
@pytest.mark.parametrize("document", ["", "[]", '{\n "messages": [%s, %s, "of its own"]\n}', "\0%s%s"])
def test_keep_body_and_document_then_join_return_the_bytes(tmp_path: Path, literal: str, document: str) -> None:
    message = f'{{"role":"user","content":{literal}}}'.encode()
    system = b'"You answer calls for a clinic, briefly and kindly."'
    body = b'{"messages":[{"role":"system","content":%b},%b],"stream":true}' % (system, message)
    text = (document.replace("%s", system.decode(), 1).replace("%s", literal)).encode()
    store = open_files(tmp_path)
    assert store.writer is not None
    with closing(store.reader), closing(store.writer) as connection:
        keeper = Keeper(connection)
        with transaction(connection, durable=False):
            keeper.begin()
            manifests = keeper.keep_body(SentBody(body)), keeper.keep_document(text, SentBody(body))
            keeper.end()
        joiner = Joiner(connection)
        assert joiner.join_body(manifests[0], SentBody(body).question) == body
        assert joiner.join_document(manifests[1], body) == text
        stored = b"".join(unpack(row[0]) for row in connection.execute("SELECT data FROM part_data"))
        assert stored.count(system[1:-1]) == (2 if document[:1] == "\0" else 1)
        with transaction(connection, durable=False):
            forget(connection, manifests)
        assert connection.execute("SELECT count(*) FROM part_data").fetchone()[0] == 0


def test_join_document_that_does_not_fit_the_body_raises(tmp_path: Path) -> None:
    store = open_files(tmp_path)
    assert store.writer is not None
    literal = b'"You answer calls for a clinic, briefly and kindly."'
    with closing(store.reader), closing(store.writer) as connection:
        keeper = Keeper(connection)
        with transaction(connection, durable=False):
            keeper.begin()
            manifest = keeper.keep_document(b"[%b]" % literal, SentBody(b"[%b]" % literal))
            keeper.end()
        with pytest.raises(LookupError):
            Joiner(connection).join_document(manifest, b"[]")


def test_forget_deletes_parts_without_uses_and_keeps_shared_ones(tmp_path: Path) -> None:
    store = open_files(tmp_path)
    assert store.writer is not None
    with closing(store.reader), closing(store.writer) as connection:
        keeper = Keeper(connection)
        bodies = [b'{"messages":[{"content":"shared"},{"content":"%d"}]}' % number for number in range(1_500)]
        with transaction(connection, durable=False):
            keeper.begin()
            manifests = [keeper.keep(body) for body in bodies]
            keeper.end()
        with transaction(connection, durable=False):
            forget(connection, manifests[:-1])
        assert Joiner(connection).join(manifests[-1]) == bodies[-1]
        counts = [
            connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("part_uses", "part_digests", "part_data")
        ]
        assert counts == [3, 3, 3]


def test_keeper_of_different_bodies_bounds_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_store, "_CACHED_BYTES", 20_000)
    store = open_files(tmp_path)
    assert store.writer is not None
    with closing(store.reader), closing(store.writer) as connection:
        keeper = Keeper(connection)
        sizes = []
        for number in range(40):
            body = SentBody(b'{"messages":[{"role":"user","content":"%b %d"}]}' % (b"A long question" * 100, number))
            with transaction(connection, durable=False):
                keeper.begin()
                keeper.keep_body(body)
                keeper.keep_document(body.data, body)
                keeper.end()
            cached = (piece for pieces in (keeper._pieces, keeper._quoted) for piece in pieces)
            sizes.append(sum(len(half) for piece in cached for half in piece))
        assert 0 < max(sizes) < 25_000


def test_keeper_size_of_its_cache_counts_each_piece_once(tmp_path: Path) -> None:
    store = open_files(tmp_path)
    assert store.writer is not None
    body = SentBody(b'{"messages":[{"role":"system","content":"%b"}]}' % (b"You answer calls. " * 10_000))
    with closing(store.reader), closing(store.writer) as connection:
        keeper = Keeper(connection)
        for _ in range(3):
            with transaction(connection, durable=False):
                keeper.begin()
                keeper.keep_body(body)
                keeper.end()
            for cache in (keeper._pieces, keeper._quoted):
                assert cache.size == sum(len(half) for piece in cache for half in piece)
        assert keeper._pieces.size > 150_000


def test_keeper_forgets_questions_that_were_sent_once_and_keeps_what_is_sent_again(tmp_path: Path) -> None:
    store = open_files(tmp_path)
    assert store.writer is not None
    system = b"You answer calls for a clinic. " * 4_000  # its piece alone is longer than a generation
    with closing(store.reader), closing(store.writer) as connection:
        keeper = Keeper(connection)
        manifests, bodies = [], []
        for number in range(600):
            question = b"A question that is longer by a digit. %d" % number * 10
            messages = b'{"role":"system","content":"%b"},{"role":"user","content":"%b"}' % (system, question)
            body = SentBody(b'{"messages":[%b]}' % messages)
            with transaction(connection, durable=False):
                keeper.begin()
                manifests.append(keeper.keep_body(body))
                keeper.keep_document(b'{"document":[%b,{"note":"%b"}]}' % (messages, question), body)
                keeper.end()
            bodies.append((body.question, body.data))
        sent_again = [piece for cache in (keeper._pieces, keeper._quoted) for piece in cache.used_again]
        assert sum(system in half for piece in sent_again for half in piece) >= 2
        assert len(sent_again) < 10
        # The rest are the newest ones, in two generations.
        assert sum(1 for cache in (keeper._pieces, keeper._quoted) for _ in cache) < 900
        assert keeper._pieces.size + keeper._quoted.size < 1_000_000
        joiner = Joiner(connection)
        for manifest, (asked, sent) in zip(manifests[::100], bodies[::100], strict=True):
            assert joiner.join_body(manifest, asked) == sent
