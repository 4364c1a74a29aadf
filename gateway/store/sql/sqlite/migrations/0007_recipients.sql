-- Who tenants' people are, by which address each is found, and which messages name them.

CREATE TABLE recipient (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,              -- the tenant's own
    body       TEXT NOT NULL,              -- model.recipient.encode
    addresses  TEXT NOT NULL,              -- its rows of the next table: [[channel, hash], …]
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Rows lie anywhere, and each costs a page: so there is no second index of them by recipient.
CREATE TABLE recipient_address (
    channel   TEXT NOT NULL,
    hash      TEXT NOT NULL,               -- of the address, keyed
    tenant    TEXT NOT NULL,
    recipient TEXT NOT NULL,
    reason    TEXT NOT NULL,               -- why the device is dead; '' it lives, or is none
    PRIMARY KEY (hash, channel, tenant, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE message_recipient (
    tenant    TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message   TEXT NOT NULL,
    PRIMARY KEY (tenant, recipient, message)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_recipient_message ON message_recipient (message);
