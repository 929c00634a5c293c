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
