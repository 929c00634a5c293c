"""Compile the volatile patterns once, so that no Hypothesis example is measured with it."""

from __future__ import annotations

import pytest

from playground.prefix_cache.volatile_scan import prepare


@pytest.fixture(scope="session", autouse=True)
def _volatile_patterns() -> None:
    prepare()
