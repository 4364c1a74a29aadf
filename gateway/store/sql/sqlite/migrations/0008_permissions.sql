-- Bans by tenant, category and reason, with an end; proof and end of permissions.

-- tenant, category, sender: '' all of them
CREATE TABLE suppression_by_reason (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    category TEXT NOT NULL,
    channel  TEXT NOT NULL,                -- or recipient, recipient:<channel>
    hash     TEXT NOT NULL,
    sender   TEXT NOT NULL,
    reason   TEXT NOT NULL,
    detail   TEXT NOT NULL,                -- the provider's own word
    source   TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    until_ms INTEGER,                      -- null: for good
    UNIQUE (channel, hash, tenant, category, sender, reason)
) STRICT;

-- A refusal of one category had its scope in the channel: `email category:billing/news`.
INSERT INTO suppression_by_reason
    (tenant, category, channel, hash, sender, reason, detail, source, at_ms)
SELECT CASE WHEN scoped THEN substr(scope, 1, instr(scope, '/') - 1) ELSE '' END,
       CASE WHEN scoped THEN substr(scope, instr(scope, '/') + 1) ELSE '' END,
       CASE WHEN scoped THEN substr(channel, 1, instr(channel, ' category:') - 1) ELSE channel END,
       hash, sender,
       CASE WHEN scoped OR sender <> '' OR reason IN ('opted_out', 'unsubscribed') THEN 'opt_out'
            WHEN reason = 'complained' THEN 'complaint'
            ELSE 'hard_bounce' END,
       reason, source, created_ms
FROM (SELECT *, instr(channel, ' category:') > 0 AS scoped,
             substr(channel, instr(channel, ' category:') + length(' category:')) AS scope
      FROM suppression)
ORDER BY created_ms;

DROP TABLE suppression;
ALTER TABLE suppression_by_reason RENAME TO suppression;
CREATE INDEX suppression_list ON suppression (tenant, id);
CREATE INDEX suppression_until ON suppression (until_ms) WHERE until_ms IS NOT NULL;

ALTER TABLE consent RENAME COLUMN created_ms TO at_ms;
ALTER TABLE consent ADD COLUMN proof TEXT NOT NULL DEFAULT '';
ALTER TABLE consent ADD COLUMN until_ms INTEGER;
CREATE INDEX consent_name ON consent (channel, hash);
CREATE INDEX consent_until ON consent (until_ms) WHERE until_ms IS NOT NULL;
