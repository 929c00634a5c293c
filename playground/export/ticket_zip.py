"""Support tickets as a zip: the Markdown, and each request's body and events, redacted as chosen."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence

import msgspec

from playground.client.events import AnyEvent, AttemptFailed, RawEvent, TokenProbabilities
from playground.client.redact import redact
from playground.export.masking import masked_run
from playground.export.redaction import Outline
from playground.export.ticket import DEFAULT, TicketContents, outlined_body, tickets
from playground.prompt.document import Json
from playground.requestlog.records import StoredRun


def bundle(runs: Sequence[StoredRun], choice: TicketContents = DEFAULT) -> bytes:
    """Return the zip: ticket.md, and one folder per request with request.json and events.jsonl."""
    runs = [masked_run(stored) for stored in runs]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ticket.md", tickets(runs, choice))
        for number, stored in enumerate(runs, 1):
            folder = f"{number:02}-{_name(stored)}"
            archive.writestr(
                f"{folder}/request.json", redact(outlined_body(stored.record, Outline(choice.contents)), None)
            )
            archive.writestr(f"{folder}/events.jsonl", redact(_events(stored, choice), None))
    return held.getvalue()


def _name(stored: StoredRun) -> str:
    """Return a safe folder name from the request_id, which is untrusted."""
    found = stored.state().request_id or stored.record.run_id
    return "".join(
        character for character in found if character.isascii() and (character.isalnum() or character == "-")
    )[:64]


def _events(stored: StoredRun, choice: TicketContents) -> str:
    """Return one line per event, with its time. Raw events and token texts are contents, and are removed with them."""
    outline = Outline(choice.contents)
    outline.of(json.loads(stored.record.body))
    kept = [event for event in stored.events if choice.contents == "included" or not _is_content(event)]
    return "\n".join(json.dumps(_event(event, outline)) for event in kept) + "\n"


def _event(event: AnyEvent, outline: Outline) -> Json:
    fields = msgspec.to_builtins(event)
    trouble = fields.pop("trouble", None)
    shown = outline.of(fields)
    if trouble is not None and isinstance(event, AttemptFailed) and isinstance(shown, dict):
        shown["trouble"] = outline.trouble(event.trouble)
    return shown


def _is_content(event: AnyEvent) -> bool:
    """Return whether an event has only contents. For a piece of text, time and length remain."""
    return isinstance(event, RawEvent | TokenProbabilities)
