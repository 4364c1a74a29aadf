-- Who has been written to under a cap, and whose place is kept.

CREATE TABLE cap_use (
    subject TEXT NOT NULL,                 -- who is counted: a keyed hash
    cap     TEXT NOT NULL,
    message TEXT NOT NULL,
    channel TEXT NOT NULL,                 -- '': the message counts once, on whatever channel
    at_ms   INTEGER NOT NULL,
    taken   INTEGER NOT NULL,              -- 0: kept for a message that waits until then
    gone_ms INTEGER NOT NULL,              -- when it counts no more
    PRIMARY KEY (subject, cap, message, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX cap_use_message ON cap_use (message, channel);
CREATE INDEX cap_use_gone ON cap_use (gone_ms);
