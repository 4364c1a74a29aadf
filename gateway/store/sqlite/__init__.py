"""SQLite engine: one process, one writing connection."""
