"""The table of known servers agrees with the client that uses it."""

from __future__ import annotations

import pytest

from playground.client.endpoint import ELECTRON_BASE_URL, ELECTRON_ID, check_base_url, exposes_key
from playground.client.models import PRESETS, EndpointPreset, preset_for
from playground.client.response_decoder import HEADERS
from playground.client.tolerant_json import CACHED_FIELDS, DETAILS_FIELDS
from playground.prompt.limits import CONTEXT_TOKENS


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_preset_is_usable(preset: EndpointPreset) -> None:
    assert check_base_url(preset.base_url) == preset.base_url
    assert preset_for(preset.base_url) is preset
    assert not (preset.needs_key and exposes_key(preset.base_url))
    assert preset.request_id_header in ("", *HEADERS)
    place, _, field = preset.cached_tokens_field.rpartition(".")
    assert place in ("", "timings", *DETAILS_FIELDS)
    assert field in ("", "cache_n", *CACHED_FIELDS)


def test_presets_have_distinct_ids_and_addresses() -> None:
    assert len({preset.id for preset in PRESETS}) == len({preset.base_url for preset in PRESETS}) == len(PRESETS) == 12


def test_preset_of_electron_is_the_built_in_endpoint() -> None:
    preset = preset_for(ELECTRON_BASE_URL)
    assert preset is not None
    assert (preset.id, preset.context_length) == (ELECTRON_ID, CONTEXT_TOKENS)


def test_preset_for_unknown_address_is_none() -> None:
    assert preset_for("https://model.example/v1") is None
