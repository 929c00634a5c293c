"""Batches of the window on disk: one folder for each, so that a batch continues after a crash or a restart."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from playground.dataclass import dataclass
from playground.experiments.batch_plan import Order
from playground.experiments.batch_rows import BatchRow
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load
from playground.storage.paths import write_private

KEEP = 20
"""Number of batches on disk; starting a new one deletes the oldest."""
_ABOUT, _ROWS, _RESULTS = "batch.json", "rows.jsonl", "results.jsonl"


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """Everything that a batch needs to continue. `source` names its data; `columns` maps variables to columns."""

    document: Document
    rows: tuple[BatchRow, ...]
    columns: Mapping[str, str]
    checks: tuple[str, ...]
    order: Order
    source: str
    endpoint_id: str
    concurrency: int
    started_utc: datetime


@dataclass(frozen=True, slots=True)
class SavedBatch:
    """A batch in its folder. `finished` is the number of results in its file."""

    folder: Path
    spec: BatchSpec
    finished: int = 0

    @property
    def results(self) -> Path:
        """Return the path of the result file."""
        return self.folder / _RESULTS


class BatchStore:
    """The batches below a folder. Every method reads or writes files: call them in a worker."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, spec: BatchSpec) -> SavedBatch:
        """Write a new batch and delete the oldest ones. Raises OSError."""
        folder = self._root / f"{spec.started_utc:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True, mode=0o700)
        lines = (json.dumps({"row": row.number, "values": dict(row.values)}) + "\n" for row in spec.rows)
        write_private(folder / _ROWS, "".join(lines).encode())
        about = {
            "version": 1,
            "prompt": dump(spec.document),
            "columns": dict(spec.columns),
            "checks": list(spec.checks),
            "order": spec.order,
            "source": spec.source,
            "endpoint_id": spec.endpoint_id,
            "concurrency": spec.concurrency,
            "started_unix": spec.started_utc.timestamp(),
        }
        # Written last: a folder without it was not completed and is ignored.
        write_private(folder / _ABOUT, json.dumps(about).encode())
        for old in self._folders()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
        return SavedBatch(folder, spec)

    def unfinished(self) -> SavedBatch | None:
        """Return the newest batch if it has unfinished rows and no other process runs it. Damaged ones are ignored."""
        for folder in reversed(self._folders()[-1:]):
            note = folder / f"{_RESULTS}.batch"
            if note.exists() and not _running(folder / f"{_RESULTS}.lock"):
                with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
                    finished = (folder / _RESULTS).read_bytes().count(b"\n") if (folder / _RESULTS).exists() else 0
                    return SavedBatch(folder, _read(folder), finished)
        return None

    def close(self, batch: SavedBatch) -> None:
        """Do not offer a batch for continuation any more; its files stay."""
        (batch.folder / f"{_RESULTS}.batch").unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self._root.glob(f"*/{_ABOUT}"))


def _running(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _read(folder: Path) -> BatchSpec:
    about = json.loads((folder / _ABOUT).read_bytes())
    if about["version"] != 1:
        raise ValueError
    rows = [json.loads(line) for line in (folder / _ROWS).read_bytes().splitlines()]
    order: Order = "file" if about["order"] == "file" else "warm"
    return BatchSpec(
        document=load(about["prompt"]),
        rows=tuple(BatchRow(int(row["row"]), dict(row["values"])) for row in rows),
        columns=dict(about["columns"]),
        checks=tuple(map(str, about["checks"])),
        order=order,
        source=str(about["source"]),
        endpoint_id=str(about["endpoint_id"]),
        concurrency=int(about["concurrency"]),
        started_utc=datetime.fromtimestamp(about["started_unix"], UTC),
    )
