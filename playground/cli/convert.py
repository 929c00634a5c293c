"""`electron-playground convert`: one prompt from any supported format into another."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from playground.cli import FINISHED
from playground.client.redact import refuse_key_in
from playground.export.snippets import WRITERS, left_out
from playground.export.terminal import for_stream, print_error, visible_line
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError, writing_to
from playground.prompt.files import PROMPT_FORMAT, FileFormat, dump, missing_in, read_input
from playground.prompt.import_formats import open_any_bytes
from playground.storage.credentials import VARIABLE
from playground.storage.paths import write_shared

_ENDINGS = {".prompt.yml": "github", ".prompty": "prompty", ".prompt.json": "prompt", ".json": "body"}


def convert(options: argparse.Namespace) -> int:
    """Convert a prompt. Raises InputError with the place of what cannot be read."""
    source, output = str(options.file), options.output
    opened = open_any_bytes(read_input(source), "" if source == "-" else Path(source).name)
    kind = options.to or _kind_of(output or "")
    refuse_key_in(dump(opened.document, FileFormat()).encode(), os.environ.get(VARIABLE, "").strip())
    text, notes = converted(opened.document, kind, opened.model or "electron", opened.format)
    for note in (*opened.notes, *notes):
        print_error(visible_line(note))
    if output and output != "-":
        with writing_to("--output", output):
            write_shared(Path(output), text.encode())
    else:
        sys.stdout.buffer.write(for_stream(text, sys.stdout).encode())
        sys.stdout.flush()
    return FINISHED


def _kind_of(output: str) -> str:
    """Return the format for the name of an output; "prompt" without an ending. Raises InputError for an unknown one."""
    kind = next((kind for end, kind in _ENDINGS.items() if output.lower().endswith(end)), None)
    if kind is None and Path(output).suffix:
        endings = ", ".join(_ENDINGS)
        raise InputError.of(("--output",), f"{output} ends in none of {endings}.", "End it so, or give --to.")
    return kind or "prompt"


def converted(
    document: Document, kind: str, model: str, source: FileFormat = PROMPT_FORMAT
) -> tuple[str, tuple[str, ...]]:
    """Return the text of a document in a format, and sentences about what the format does not hold.

    `source`: how it was written; a body keeps its `stream` and `stream_options`.
    """
    if kind in ("github", "prompty"):
        ending = next(end for end, name in _ENDINGS.items() if name == kind)
        text = WRITERS[ending](document, model)
        return text, left_out(document, text, f"x{ending}")
    file_format = PROMPT_FORMAT
    if kind == "body":
        kept = (key for key in source.keys if key in ("stream", "stream_options"))
        file_format = FileFormat("request_body", model, ("model", *kept), source.stream_options)
    return dump(document, file_format) + "\n", missing_in(document, file_format)
