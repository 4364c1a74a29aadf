-- Lists of a tenant's messages in a state that few reach, and of an endpoint's webhooks, without
-- reading past all the others.

-- '' for messages of ours, which are in nobody's list
ALTER TABLE status ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

UPDATE status
SET tenant = (SELECT m.tenant FROM message m WHERE m.id = status.message AND m.internal = 0)
WHERE EXISTS (SELECT 1 FROM message m WHERE m.id = status.message AND m.internal = 0);

CREATE INDEX status_rare ON status (tenant, state, message)
    WHERE state IN ('failed', 'expired', 'unknown', 'suppressed', 'cancelled');

CREATE INDEX message_endpoint ON message (body ->> '$.chain[0].parts[0].endpoint', id)
    WHERE internal = 1;
