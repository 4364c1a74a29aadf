-- Who tenants' people are, by which address each is found, and which messages name them.

CREATE TABLE recipient (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,              -- the tenant's own
    body       TEXT NOT NULL,              -- model.recipient.encode
    addresses  TEXT NOT NULL,              -- its rows of the next table: [[channel, hash], …]
    part       INTEGER NOT NULL,           -- and where they are
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Hashes lie anywhere, and in a large tree each costs a page of its own. So every 20,000 make a
-- part: writing goes to the latest one, looking up goes through all of them. For the same reason
-- there is no second index by recipient.
CREATE TABLE recipient_address (
    part      INTEGER NOT NULL,
    channel   TEXT NOT NULL,
    hash      TEXT NOT NULL,               -- of the address, keyed
    tenant    TEXT NOT NULL,
    recipient TEXT NOT NULL,
    reason    TEXT NOT NULL,               -- why the device is dead; '' it lives, or is none
    PRIMARY KEY (part, hash, channel, tenant, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE message_recipient (
    tenant    TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message   TEXT NOT NULL,
    PRIMARY KEY (tenant, recipient, message)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_recipient_message ON message_recipient (message);
