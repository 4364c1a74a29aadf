-- name: list_keys
-- API keys, revoked ones too: (id, tenant, hash, scopes, created_ms, revoked_ms).
SELECT id, tenant, hash, scopes, created_ms, revoked_ms FROM tenant_key;

-- name: put_key
-- Keep a new API key.
INSERT INTO tenant_key (id, tenant, hash, scopes, created_ms)
VALUES (:id, :tenant, :hash, :scopes, :created_ms);

-- name: revoke_key
-- End an API key.
UPDATE tenant_key SET revoked_ms = :now_ms WHERE id = :id AND revoked_ms IS NULL;

-- name: list_endpoints
-- All webhook endpoints: (id, tenant, url, secrets, events, created_ms, failing_ms, disabled_ms,
-- reason, configured).
SELECT id, tenant, url, secrets, events, created_ms, failing_ms, disabled_ms, reason, configured
FROM endpoint;

-- name: put_endpoint
-- Keep an endpoint, in place of the one with its id.
INSERT INTO endpoint (id, tenant, url, secrets, events, created_ms, failing_ms, disabled_ms,
                      reason, configured)
VALUES (:id, :tenant, :url, :secrets, :events, :created_ms, :failing_ms, :disabled_ms, :reason,
        :configured)
ON CONFLICT (id) DO UPDATE
SET tenant = excluded.tenant, url = excluded.url, secrets = excluded.secrets,
    events = excluded.events, created_ms = excluded.created_ms, failing_ms = excluded.failing_ms,
    disabled_ms = excluded.disabled_ms, reason = excluded.reason,
    configured = excluded.configured;

-- name: delete_endpoint
-- Forget an endpoint.
DELETE FROM endpoint WHERE id = :id;

-- name: used_quota
-- How much of a day is used; nobody else changes it before we commit.
-- Differs: makes the row, for there must be one to hold.
INSERT INTO quota AS q (provider, day, used) VALUES (:provider, :day, 0)
ON CONFLICT (provider, day) DO UPDATE SET used = q.used
RETURNING used;

-- name: put_quota
-- Write down how much of a day is used.
UPDATE quota SET used = :used WHERE provider = :provider AND day = :day;

-- name: purge_quota
-- Forget the days before.
DELETE FROM quota WHERE provider = :provider AND day < :day;

-- name: get_meta
-- A value that the store keeps about itself.
SELECT value FROM meta WHERE key = :key;

-- name: put_meta
-- Keep such a value, unless there is one.
INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT DO NOTHING;

-- name: directory_version
-- Grows with every change of keys and endpoints.
SELECT coalesce((SELECT value FROM meta WHERE key = 'directory.version'), '0');

-- name: bump_directory
-- Keys or endpoints have changed.
INSERT INTO meta AS m (key, value) VALUES ('directory.version', '1')
ON CONFLICT (key) DO UPDATE SET value = (m.value::bigint + 1)::text;

-- name: writable
-- Fails where nothing can be written, as on a standby; a transaction without a change comes to the
-- log all the same.
-- Only PostgreSQL: of SQLite, an empty transaction tells.
WITH nothing AS (UPDATE meta SET value = value WHERE false)
SELECT pg_current_xact_id()::text;
