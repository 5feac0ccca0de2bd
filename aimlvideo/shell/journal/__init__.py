"""The journal of a run: one interface, kept in SQLite, PostgreSQL or memory."""
