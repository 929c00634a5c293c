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
