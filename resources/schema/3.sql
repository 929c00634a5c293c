-- Who made a request. Rows from before this version: unknown, except imported ones.
ALTER TABLE runs ADD COLUMN source TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE runs ADD COLUMN conversation TEXT;             -- id shared by the requests of one conversation
ALTER TABLE texts ADD COLUMN explanation TEXT;             -- JSON: why the prompt cache was or was not used
UPDATE runs SET source = 'import' WHERE imported;
CREATE INDEX runs_source ON runs (source, number) WHERE source <> 'window';
CREATE INDEX runs_conversation ON runs (conversation) WHERE conversation IS NOT NULL;
