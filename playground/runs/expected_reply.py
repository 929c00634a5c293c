"""The expectations of a request against which its answer is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from playground.prompt.document import Json
from playground.tools.schema import schemas_by_name


@dataclass(frozen=True, slots=True)
class Asked:
    """`json`: the answer is to be JSON (response_format). `schemas`: each tool's parameters by its name.

    `usage`: usage is to be reported; a streamed answer has it only if `stream_options.include_usage` is set.
    """

    json: bool = False
    schemas: Mapping[str, Json] = field(default_factory=dict)
    usage: bool = True


def asked_in(body: bytes) -> Asked:
    """Parse a sent request body. Returns no expectations if the body is not a JSON object."""
    try:
        fields = json.loads(body)
    except ValueError:
        return Asked()
    if not isinstance(fields, dict):
        return Asked()
    form = fields.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    return Asked(kind in ("json_object", "json_schema"), schemas_by_name(fields.get("tools")), _usage(fields))


def _usage(fields: dict[str, Json]) -> bool:
    options = fields.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    return asked or fields.get("stream") is not True
