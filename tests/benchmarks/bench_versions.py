"""Version history of a long prompt: size on disk of 1,000 versions, and the time until the history is listed.

Run: python -m tests.benchmarks.bench_versions
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document, Message
from playground.versions.comparison import compare
from playground.versions.history import version_text
from playground.versions.service import VersionStore

VERSIONS, TOKENS = 1_000, 30_000
MAX_OPEN_MS = 100.0
WORDS = "the caller asks for balance roaming plan invoice date account refund number call later please and of a".split()  # noqa: SIM905


def main() -> None:
    """Print the figures."""
    random.seed(3)
    lines = [" ".join(random.choices(WORDS, k=18)) for _ in range(TOKENS // 20)]
    edits = 0
    with tempfile.TemporaryDirectory() as name:
        store = VersionStore(Path(name))
        began = time.perf_counter()
        for step in range(VERSIONS):
            at = random.randrange(len(lines))
            lines[at] = f"{step}. " + " ".join(random.choices(WORDS, k=18))
            edits += len(lines[at])
            document = Document(messages=(Message("system", "\n".join(lines)), Message("user", "{{question}}")))
            store.record("id:bench", document, "sent", run_ids=(f"01K{step:023d}",))
        stored_ms = (time.perf_counter() - began) * 1_000 / VERSIONS
        size = store.path("id:bench").stat().st_size
        opened = []
        for _ in range(7):
            began = time.perf_counter()
            versions = VersionStore(Path(name)).load("id:bench").versions()
            opened.append((time.perf_counter() - began) * 1_000)
        history = VersionStore(Path(name)).load("id:bench")
        began = time.perf_counter()
        old, new = (history.document(version.id) for version in versions[-2:])
        read_ms = (time.perf_counter() - began) * 1_000
        assert old is not None
        assert new is not None
        began = time.perf_counter()
        compare(old, new, lambda document: CacheForecaster().look(document, "", "electron"))
        compared_ms = (time.perf_counter() - began) * 1_000
    one = len(version_text(document).encode())
    tokens = TokenEstimator().estimate("\n".join(lines))
    open_ms = sorted(opened)[len(opened) // 2]
    print(f"prompt ≈ {tokens:,.0f} tokens, {one:,} bytes; {len(versions):,} versions; edits {edits:,} bytes")
    print(f"on disk {size:,} bytes: {(size - edits) / one:.2f} × one version plus the edits (goal ≤ 2)")
    print(f"list opened {open_ms:.1f} ms (goal ≤ {MAX_OPEN_MS:.0f}); last two versions read {read_ms:.1f} ms")
    print(f"compared {compared_ms:.1f} ms; stored {stored_ms:.1f} ms per version, fsync included")


if __name__ == "__main__":
    main()
