"""The schema, one step a version, in order. A step that was shipped is never changed; a new one is added below."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from playground.requestlog import schema2

APPLICATION_ID = 0x45504C47
"""Marks the file as ours (`EPLG`)."""

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

Step = tuple[str, Callable[[sqlite3.Connection], None]]


def _nothing(_connection: sqlite3.Connection) -> None:
    """A step that needs no more than its statements."""


MIGRATIONS: tuple[Step, ...] = ((_V1, _nothing), (schema2.TABLES, schema2.fill))
CURRENT = len(MIGRATIONS)
"""The schema version that this program writes."""


def version(connection: sqlite3.Connection) -> int:
    """The schema version of a file; 0 is an empty one."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to CURRENT, each step whole or not at all. Two processes may try at the same time."""
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
    # Not executescript: it commits first, and the step would no longer be one transaction.
    statements, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            statements.append(text)
            text = ""
    return statements
