"""`electron-playground convert`: one prompt from any supported format into another."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from playground.cli import FINISHED
from playground.client.redact import refuse_key_in
from playground.export.prompt_files import WRITERS, left_out
from playground.export.terminal import for_stream, print_error, visible_line
from playground.prompt.document import Document
from playground.prompt.field_errors import writing_to
from playground.prompt.files import FileFormat, dump, missing_in, read_input
from playground.prompt.import_formats import open_any_bytes
from playground.storage.credentials import VARIABLE
from playground.storage.paths import write_shared

_ENDINGS = {".prompt.yml": "github", ".prompty": "prompty", ".prompt.json": "prompt", ".json": "body"}


def convert(options: argparse.Namespace) -> int:
    """Convert a prompt. Raises InputError with the place of what cannot be read."""
    source, output = str(options.file), options.output
    opened = open_any_bytes(read_input(source), "" if source == "-" else Path(source).name)
    kind = options.to or next(
        (kind for end, kind in _ENDINGS.items() if (output or "").lower().endswith(end)), "prompt"
    )
    refuse_key_in(dump(opened.document, FileFormat()).encode(), os.environ.get(VARIABLE, "").strip())
    text, notes = converted(opened.document, kind, opened.model or "electron")
    for note in (*opened.notes, *notes):
        print_error(visible_line(note))
    if output and output != "-":
        with writing_to("--output", output):
            write_shared(Path(output), text.encode())
    else:
        sys.stdout.buffer.write(for_stream(text, sys.stdout).encode())
        sys.stdout.flush()
    return FINISHED


def converted(document: Document, kind: str, model: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a document in a format, and sentences about what the format does not hold."""
    if kind in ("github", "prompty"):
        ending = next(end for end, name in _ENDINGS.items() if name == kind)
        text = WRITERS[ending](document, model)
        return text, left_out(document, text, f"x{ending}")
    file_format = FileFormat("request_body", model, ("model",)) if kind == "body" else FileFormat()
    return dump(document, file_format) + "\n", missing_in(document, file_format)
