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
