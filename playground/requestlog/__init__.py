"""The request log: SQLite schema, migrations, writer, queries, filter. The only room that imports sqlite3."""
