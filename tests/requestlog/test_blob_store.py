"""Packed parts, and parts that are deleted when nothing uses them."""

from __future__ import annotations

import zlib
from contextlib import closing
from pathlib import Path

import pytest

from playground.requestlog.blob_store import Joiner, Keeper, forget, pack, unpack
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
        counts = [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("parts", "part_data")]
        assert counts == [3, 3]
