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
