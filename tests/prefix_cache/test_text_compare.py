"""What two texts have in common, against the slow and plain way to find it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prefix_cache.text_compare import BLOCK, common_prefix, common_suffix
from tests.prefix_cache.prompts import slow_prefix

FEW = st.text(alphabet="ab\n😀", max_size=30)


@given(FEW, FEW, FEW)
def test_prefix_and_suffix(shared: str, left: str, right: str) -> None:
    assert common_prefix(shared + left, shared + right) == slow_prefix(shared + left, shared + right)
    expected = slow_prefix((left + shared)[::-1], (right + shared)[::-1])
    assert common_suffix(left + shared, right + shared) == expected


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 7])
def test_long_texts(length: int) -> None:
    shared = "यह 😀"[:4] * (length // 4) + "x" * (length % 4)
    assert common_prefix(shared + "1", shared + "2") == length
    assert common_prefix(shared, shared + "2") == length
    assert common_suffix("1" + shared, "2" + shared) == length
    assert common_suffix(shared, shared) == length
    assert common_suffix(shared, shared, limit=length // 2) == length // 2
