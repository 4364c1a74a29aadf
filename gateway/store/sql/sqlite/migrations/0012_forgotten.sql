-- Whose habits are not to be counted for a while, as they were erased.
CREATE TABLE forgotten (
    subject  TEXT PRIMARY KEY,             -- who: a keyed hash
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
