-- name: list_keys
-- API keys, revoked ones too.
-- Gives [[id, tenant, hash, scopes, created_ms, revoked_ms], …]
SELECT coalesce(json_group_array(json_array(id, tenant, hash, scopes, created_ms, revoked_ms)),
                '[]')
FROM tenant_key;

-- name: put_key
-- Keep a new API key.
INSERT INTO tenant_key (id, tenant, hash, scopes, created_ms)
VALUES (:id, :tenant, :hash, :scopes, :created_ms);

-- name: revoke_key
-- End an API key.
UPDATE tenant_key SET revoked_ms = :now_ms WHERE id = :id AND revoked_ms IS NULL;

-- name: list_endpoints
-- All webhook endpoints.
-- Gives [[id, tenant, url, secrets, events, created_ms, failing_ms, disabled_ms, reason,
-- configured], …]
SELECT coalesce(json_group_array(json_array(id, tenant, url, json(secrets), json(events),
                                            created_ms, failing_ms, disabled_ms, reason,
                                            configured)), '[]')
FROM endpoint;

-- name: put_endpoint
-- Keep an endpoint, in place of the one with its id.
INSERT OR REPLACE INTO endpoint (id, tenant, url, secrets, events, created_ms, failing_ms,
                                 disabled_ms, reason, configured)
VALUES (:id, :tenant, :url, :secrets, :events, :created_ms, :failing_ms, :disabled_ms, :reason,
        :configured);

-- name: delete_endpoint
-- Forget an endpoint.
DELETE FROM endpoint WHERE id = :id;

-- name: has_suppressions
-- Whether any address is banned.
SELECT EXISTS (SELECT 1 FROM suppression);

-- name: suppressed
-- Which addresses are banned, for whom, and why.
-- rows: [[channel, hash], …]; gives [[channel, hash, sender, reason], …]
SELECT coalesce(json_group_array(json_array(s.channel, s.hash, s.sender, s.reason)), '[]')
FROM jsonb_each(:rows) r
JOIN suppression s ON s.channel = r.value ->> 0 AND s.hash = r.value ->> 1;

-- name: suppress
-- The first reason stays. rows: [[channel, hash], …]
INSERT OR IGNORE INTO suppression (channel, hash, sender, reason, source, created_ms)
SELECT value ->> 0, value ->> 1, :sender, :reason, :source, :now_ms FROM jsonb_each(:rows);

-- name: unsuppress
-- Lift a ban.
DELETE FROM suppression WHERE channel = :channel AND hash = :hash AND sender = :sender;

-- name: consented
-- rows: [[channel, hash], …]; gives those with a recorded permission
SELECT coalesce(json_group_array(json_array(c.channel, c.hash)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN consent c ON c.tenant = :tenant AND c.category = :category
              AND c.channel = r.value ->> 0 AND c.hash = r.value ->> 1;

-- name: put_consent
-- Record a permission.
INSERT OR REPLACE INTO consent (tenant, category, channel, hash, source, created_ms)
VALUES (:tenant, :category, :channel, :hash, :source, :now_ms);

-- name: withdraw_consent
-- Forget a permission.
DELETE FROM consent
WHERE tenant = :tenant AND category = :category AND channel = :channel AND hash = :hash;

-- name: used_quota
-- How much of a day is used.
SELECT used FROM quota WHERE provider = :provider AND day = :day;

-- name: put_quota
-- Write down how much of a day is used.
INSERT OR REPLACE INTO quota (provider, day, used) VALUES (:provider, :day, :used);

-- name: purge_quota
-- Forget the days before.
DELETE FROM quota WHERE provider = :provider AND day < :day;

-- name: get_meta
-- A value that the store keeps about itself.
SELECT value FROM meta WHERE key = :key;

-- name: put_meta
-- Keep such a value, unless there is one.
INSERT OR IGNORE INTO meta (key, value) VALUES (:key, :value);

-- name: directory_version
-- Grows with every change of keys and endpoints.
SELECT coalesce((SELECT value FROM meta WHERE key = 'directory.version'), '0');

-- name: bump_directory
-- Keys or endpoints have changed.
INSERT INTO meta (key, value) VALUES ('directory.version', '1')
ON CONFLICT (key) DO UPDATE SET value = CAST(value + 1 AS TEXT);
