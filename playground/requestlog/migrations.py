"""Database schema, one step per version, in order. A released step must not change; add a new one below."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from playground.requestlog.codec import decode_events
from playground.requestlog.summary import hidden_text, traits_of
from playground.runs.state import fold
from playground.runs.summary import further_choices

TABLES = """
ALTER TABLE runs ADD COLUMN traits INTEGER NOT NULL DEFAULT 0;     -- summary.TRAITS, a bit each
ALTER TABLE runs ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;   -- came out of a file, not from here
ALTER TABLE texts ADD COLUMN error TEXT NOT NULL DEFAULT '';       -- what the server said of it, in its words
ALTER TABLE texts ADD COLUMN comment TEXT NOT NULL DEFAULT '';

DROP TRIGGER texts_added;
DROP TRIGGER texts_deleted;
DROP TRIGGER texts_changed;
DROP TABLE texts_search;
-- Holds no text: only in which runs three characters occur. What it finds is compared with the text itself.
CREATE VIRTUAL TABLE texts_search USING fts5 (
    text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1'
);

-- By run: an id is found by its parts in texts_search.
ALTER TABLE ids RENAME TO ids_before;
DROP INDEX ids_number;
CREATE TABLE ids (number INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (number, id)) WITHOUT ROWID;
INSERT INTO ids (number, id) SELECT number, id FROM ids_before;
DROP TABLE ids_before;

CREATE TABLE tags (
    tag TEXT NOT NULL COLLATE NOCASE, number INTEGER NOT NULL, PRIMARY KEY (tag, number)
) WITHOUT ROWID;
CREATE INDEX tags_number ON tags (number);

-- What most requests are (200, stop, done) is found by looking through; only the others are worth an index.
CREATE INDEX runs_status ON runs (status) WHERE status IS NOT 200;
CREATE INDEX runs_finish ON runs (finish_reason COLLATE NOCASE) WHERE finish_reason IS NOT 'stop';
CREATE INDEX runs_phase ON runs (phase) WHERE phase <> 'done';
CREATE INDEX runs_tools ON runs (number) WHERE traits & 1;
CREATE INDEX runs_error ON runs (number) WHERE traits & 2;
CREATE INDEX runs_json ON runs (number) WHERE traits & 4;
CREATE INDEX runs_retries ON runs (number) WHERE traits & 32;
CREATE INDEX runs_logprobs ON runs (number) WHERE traits & 64;
CREATE INDEX runs_imported ON runs (number) WHERE imported;
CREATE INDEX runs_prompt ON runs (prompt_tokens);
CREATE INDEX runs_cached ON runs (cached_tokens);
CREATE INDEX runs_completion ON runs (completion_tokens);
CREATE INDEX runs_tokens ON runs (coalesce(total_tokens, prompt_tokens + completion_tokens));

-- 1 while what was deleted may still be in the index's old pages.
INSERT INTO meta VALUES ('purge', 0);
"""


def fill(connection: sqlite3.Connection) -> None:
    """Fill the columns of version 2 for earlier requests."""
    numbers = [row[0] for row in connection.execute("SELECT number FROM runs ORDER BY number")]
    for number in numbers:
        _fill(connection, number)
    connection.execute("UPDATE meta SET value = 1 WHERE name = 'purge'")


def _fill(connection: sqlite3.Connection, number: int) -> None:
    blobs = connection.execute("SELECT data FROM events WHERE number = ? ORDER BY id", (number,))
    state = fold(decode_events(row[0] for row in blobs))
    connection.execute("UPDATE runs SET traits = ? WHERE number = ?", (traits_of(state), number))
    hidden = hidden_text(state, further_choices(state))
    connection.execute("UPDATE texts SET error = ? WHERE number = ?", (hidden, number))


APPLICATION_ID = 0x45504C47
"""SQLite application id of the file (`EPLG`)."""

_V1 = """
-- Where requests went, as it was when they went: few rows, shared by many runs.
CREATE TABLE targets (
    id INTEGER PRIMARY KEY,
    endpoint_id TEXT NOT NULL, endpoint_name TEXT NOT NULL, endpoint_kind TEXT NOT NULL,
    base_url TEXT NOT NULL, model TEXT NOT NULL, rates TEXT NOT NULL,
    UNIQUE (endpoint_id, endpoint_name, endpoint_kind, base_url, model, rates)
);

-- Figures only, so that a scan over a million rows stays short; what is long is in `texts`.
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL UNIQUE,
    target INTEGER NOT NULL REFERENCES targets (id),
    started_us INTEGER NOT NULL,            -- microseconds since 1970, UTC
    owner TEXT,                             -- the process that writes it; NULL once ended
    phase TEXT NOT NULL,
    status INTEGER, finish_reason TEXT, request_id TEXT, body_id TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,
    prompt_tokens_estimated REAL, forecast_cached REAL,
    ttft_s REAL, duration_s REAL,
    marked INTEGER NOT NULL DEFAULT 0,
    dropped_raw INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX runs_target ON runs (target, started_us);
CREATE INDEX runs_started ON runs (started_us);
CREATE INDEX runs_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_marked ON runs (number) WHERE marked;

CREATE TABLE texts (
    number INTEGER PRIMARY KEY,
    question TEXT NOT NULL DEFAULT '',      -- the last user message
    answer TEXT NOT NULL DEFAULT '',
    called TEXT NOT NULL DEFAULT '',        -- names of the tools called
    trouble TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL, document BLOB NOT NULL,   -- part ids in order, msgpack
    forecast TEXT
);

-- Every id by which a run may be asked for: X-Request-Id of each attempt, ids of bodies.
CREATE TABLE ids (id TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID;
CREATE INDEX ids_number ON ids (number);

CREATE TABLE events (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX events_number ON events (number);

-- Pieces of bodies, each kept once. The counts stand apart from the data: they change often.
CREATE TABLE parts (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, uses INTEGER NOT NULL);
CREATE TABLE part_data (id INTEGER PRIMARY KEY, data BLOB NOT NULL);

-- `deletions` tells a cached list of row numbers that it is stale, in every process.
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('deletions', 0);
CREATE TRIGGER runs_deleted AFTER DELETE ON runs BEGIN
    UPDATE meta SET value = value + 1 WHERE name = 'deletions';
END;

-- The default categories end a word at a Devanagari vowel sign (Mn, Mc).
CREATE VIRTUAL TABLE texts_search USING fts5 (
    question, answer, trouble, content='texts', content_rowid='number',
    tokenize="unicode61 categories 'L* N* Co Mn Mc'"
);
CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN
    INSERT INTO texts_search (rowid, question, answer, trouble)
    VALUES (new.number, new.question, new.answer, new.trouble);
END;
CREATE TRIGGER texts_deleted AFTER DELETE ON texts BEGIN
    INSERT INTO texts_search (texts_search, rowid, question, answer, trouble)
    VALUES ('delete', old.number, old.question, old.answer, old.trouble);
END;
CREATE TRIGGER texts_changed AFTER UPDATE OF question, answer, trouble ON texts BEGIN
    INSERT INTO texts_search (texts_search, rowid, question, answer, trouble)
    VALUES ('delete', old.number, old.question, old.answer, old.trouble);
    INSERT INTO texts_search (rowid, question, answer, trouble)
    VALUES (new.number, new.question, new.answer, new.trouble);
END;
"""

_V3 = """
-- Who made a request. Rows from before this version: unknown, except imported ones.
ALTER TABLE runs ADD COLUMN source TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE runs ADD COLUMN conversation TEXT;             -- id shared by the requests of one conversation
ALTER TABLE texts ADD COLUMN explanation TEXT;             -- JSON: why the prompt cache was or was not used
UPDATE runs SET source = 'import' WHERE imported;
CREATE INDEX runs_source ON runs (source, number) WHERE source <> 'window';
CREATE INDEX runs_conversation ON runs (conversation) WHERE conversation IS NOT NULL;
"""

_V4 = """
-- Messages and tool lists, each once: text search over prompts. `elements_search` holds no text.
CREATE TABLE elements (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE);
CREATE TABLE run_elements (
    number INTEGER NOT NULL, element INTEGER NOT NULL, PRIMARY KEY (number, element)
) WITHOUT ROWID;
CREATE INDEX run_elements_element ON run_elements (element, number);
CREATE VIRTUAL TABLE elements_search USING fts5 (
    text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1'
);
-- Requests up to this number are not indexed yet; done in the background after opening.
INSERT INTO meta SELECT 'prompts_unindexed', coalesce(max(number), 0) FROM runs;
"""

_V5 = """
-- Parts are deflated with a preset dictionary, which earlier versions of the program cannot read.
"""

_V6 = """
-- Events of ended runs, each run's in one row; the texts of the answer are in `texts` only.
CREATE TABLE streams (number INTEGER PRIMARY KEY, data BLOB NOT NULL);

-- Parts from id `parts_from` on: the digest is stored once. Older ones stay in `parts`.
CREATE TABLE part_digests (digest BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE part_uses (id INTEGER PRIMARY KEY, uses INTEGER NOT NULL);
INSERT INTO meta SELECT 'parts_from', coalesce(max(id), 0) + 1 FROM parts;

-- Text search by blocks of runs (index.py, prompt_index.py), in place of the FTS tables, which are emptied in the
-- background. Blocks in `open_blocks` are not indexed.
CREATE TABLE search_blocks (block INTEGER PRIMARY KEY, bits BLOB NOT NULL);
CREATE TABLE open_blocks (block INTEGER PRIMARY KEY);
INSERT INTO open_blocks SELECT DISTINCT number >> 5 FROM runs;
CREATE TABLE prompt_blocks (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, bits BLOB NOT NULL);
CREATE TABLE prompt_elements (digest BLOB PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE element_runs (
    element INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (element, number)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('elements', 0);
-- From here on `ids` has only the ids that are not in `runs`.
"""

OLD_SEARCH = ("texts_search", "elements_search", "run_elements", "elements")
"""Tables of the text search before version 6."""


def drop_empty_search(connection: sqlite3.Connection) -> None:
    """Drop the tables of the earlier text search in a new file, in which they are empty."""
    if connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None:
        for table in OLD_SEARCH:
            connection.execute(f"DROP TABLE {table}")


Step = tuple[str, Callable[[sqlite3.Connection], None]]


def _nothing(_connection: sqlite3.Connection) -> None:
    """Do nothing, for a step that consists of its statements."""


MIGRATIONS: tuple[Step, ...] = (
    (_V1, _nothing),
    (TABLES, fill),
    (_V3, _nothing),
    (_V4, _nothing),
    (_V5, _nothing),
    (_V6, drop_empty_search),
)
CURRENT = len(MIGRATIONS)
"""The schema version that this program writes."""


def version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 for an empty one."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def migrate(connection: sqlite3.Connection) -> None:
    """Upgrade a file to CURRENT, one transaction per step. Safe if two processes try at the same time."""
    while version(connection) < CURRENT:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _step(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _step(connection: sqlite3.Connection) -> None:
    at = version(connection)
    if at >= CURRENT:
        return
    script, more = MIGRATIONS[at]
    for statement in _statements(script):
        connection.execute(statement)
    more(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {at + 1}")


def _statements(script: str) -> list[str]:
    # Not executescript: it commits first, which would split the step's transaction.
    statements, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            statements.append(text)
            text = ""
    return statements
