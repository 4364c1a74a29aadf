-- Bans by tenant, category and reason, with an end; proof and end of permissions.

ALTER TABLE suppression RENAME COLUMN created_ms TO at_ms;
ALTER TABLE suppression RENAME COLUMN reason TO detail;    -- the provider's own word
ALTER TABLE suppression
    ADD COLUMN id       bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN tenant   text NOT NULL DEFAULT '',           -- '' all of them, as with category
    ADD COLUMN category text NOT NULL DEFAULT '',
    ADD COLUMN reason   text NOT NULL DEFAULT 'hard_bounce',
    ADD COLUMN until_ms bigint;                             -- null: for good
ALTER TABLE suppression ALTER COLUMN reason DROP DEFAULT;
ALTER TABLE suppression DROP CONSTRAINT suppression_pkey;
ALTER TABLE suppression ADD PRIMARY KEY (id);

UPDATE suppression SET reason = 'complaint' WHERE detail = 'complained';
UPDATE suppression SET reason = 'opt_out'
WHERE sender <> '' OR detail IN ('opted_out', 'unsubscribed');
-- A refusal of one category had its scope in the channel: `email category:billing/news`.
UPDATE suppression
SET reason = 'opt_out',
    tenant = split_part(split_part(channel, ' category:', 2), '/', 1),
    category = split_part(split_part(channel, ' category:', 2), '/', 2),
    channel = split_part(channel, ' category:', 1)
WHERE channel LIKE '% category:%';

ALTER TABLE suppression ADD UNIQUE (channel, hash, tenant, category, sender, reason);
CREATE INDEX suppression_list ON suppression (tenant, id);
CREATE INDEX suppression_until ON suppression (until_ms) WHERE until_ms IS NOT NULL;

ALTER TABLE consent RENAME COLUMN created_ms TO at_ms;
ALTER TABLE consent ADD COLUMN proof text NOT NULL DEFAULT '';
ALTER TABLE consent ADD COLUMN until_ms bigint;
CREATE INDEX consent_name ON consent (channel, hash);
CREATE INDEX consent_until ON consent (until_ms) WHERE until_ms IS NOT NULL;
