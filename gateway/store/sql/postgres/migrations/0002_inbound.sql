-- What recipients write back: bans for one sender, who was last written to, and what is known.

-- sender: the provider account that must not write to it; '' nobody may
ALTER TABLE suppression ADD COLUMN sender text NOT NULL DEFAULT '';
ALTER TABLE suppression DROP CONSTRAINT suppression_pkey;
ALTER TABLE suppression ADD PRIMARY KEY (channel, hash, sender);

-- The latest message that an account sent to an address. Only of accounts that can be answered.
CREATE TABLE contact (
    provider text NOT NULL,
    hash     text NOT NULL,                -- of the address, keyed
    message  uuid NOT NULL,
    at_ms    bigint NOT NULL,
    PRIMARY KEY (provider, hash)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX contact_age ON contact (at_ms);

-- What recipients wrote and has been seen to, to know a second copy by.
CREATE TABLE inbound (
    provider text NOT NULL,
    key      text NOT NULL,                -- a hash of the provider's id of it
    until_ms bigint NOT NULL,
    PRIMARY KEY (provider, key)
);

CREATE INDEX inbound_until ON inbound (until_ms);
