"""The request log: SQLite schema, migrations, writer, queries, filter. The only package that imports sqlite3."""
