-- Whose habits are not to be counted for a while, as they were erased.
CREATE TABLE forgotten (
    subject  text PRIMARY KEY,             -- who: a keyed hash
    until_ms bigint NOT NULL
);
