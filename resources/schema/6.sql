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
