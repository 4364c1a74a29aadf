-- Who gives way to messages of other categories, to be found when one of these reaches nobody.

CREATE TABLE cap_wait (
    subject  TEXT NOT NULL,                -- as in cap_use, and of the same name
    cap      TEXT NOT NULL,
    message  TEXT NOT NULL,                -- that waits
    use_ms   INTEGER NOT NULL,             -- the last use that it waits for
    until_ms INTEGER NOT NULL,             -- when it is due
    PRIMARY KEY (subject, cap, message)
) STRICT, WITHOUT ROWID;

CREATE INDEX cap_wait_message ON cap_wait (message);
CREATE INDEX cap_wait_until ON cap_wait (until_ms);
