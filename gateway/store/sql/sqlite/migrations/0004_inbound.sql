-- What recipients write back: bans for one sender, who was last written to, and what is known.

-- sender: the provider account that must not write to it; '' nobody may
CREATE TABLE suppression_by_sender (
    channel    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    sender     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    source     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, hash, sender)
) STRICT, WITHOUT ROWID;

INSERT INTO suppression_by_sender (channel, hash, sender, reason, source, created_ms)
SELECT channel, hash, '', reason, source, created_ms FROM suppression;

DROP TABLE suppression;
ALTER TABLE suppression_by_sender RENAME TO suppression;

-- The latest message that an account sent to an address. Only of accounts that can be answered.
CREATE TABLE contact (
    provider TEXT NOT NULL,
    hash     TEXT NOT NULL,                -- of the address, keyed
    message  TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (provider, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX contact_age ON contact (at_ms);

-- What recipients wrote and has been seen to, to know a second copy by.
CREATE TABLE inbound (
    provider TEXT NOT NULL,
    key      TEXT NOT NULL,                -- a hash of the provider's id of it
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (provider, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX inbound_until ON inbound (until_ms);
