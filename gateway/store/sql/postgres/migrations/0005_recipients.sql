-- Who tenants' people are, by which address each is found, and which messages name them.

CREATE TABLE recipient (
    tenant     text NOT NULL,
    id         text COLLATE "C" NOT NULL,  -- the tenant's own
    body       text NOT NULL,              -- model.recipient.encode
    updated_ms bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE recipient_address (
    channel   text NOT NULL,
    hash      text NOT NULL,               -- of the address, keyed
    tenant    text NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    reason    text NOT NULL,               -- why the device is dead; '' it lives, or is none
    PRIMARY KEY (hash, channel, tenant, recipient)
);

CREATE INDEX recipient_address_of ON recipient_address (tenant, recipient);

CREATE TABLE message_recipient (
    tenant    text NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    message   uuid NOT NULL,
    PRIMARY KEY (tenant, recipient, message)
);

CREATE INDEX message_recipient_message ON message_recipient (message);
