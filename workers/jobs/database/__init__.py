"""The database under the store: its connection, its tables, and what a row means. SQL lives here and in the store."""
