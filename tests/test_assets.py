"""Shipped files are found, and their absence is one sentence."""

from __future__ import annotations

import sys

import pytest

from playground import asset, install_advice


@pytest.mark.parametrize("name", ["themes/palette.json", "prompts", "app/icons/16.png"])
def test_asset_that_is_shipped_is_found(name: str) -> None:
    assert asset(name).exists()


@pytest.mark.parametrize("name", ["themes/no-such.json", "no-such-folder/a.json"])
def test_asset_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        asset(name)


def test_install_advice_names_the_extra_or_the_whole_program(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "electron-playground[otel]" in install_advice("otel")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "pip" not in install_advice("otel")
