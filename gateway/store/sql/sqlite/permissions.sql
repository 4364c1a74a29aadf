-- name: has_suppressions
-- Whether anybody is banned.
SELECT EXISTS (SELECT 1 FROM suppression);

-- name: suppressed
-- Bans of names. rows: [[channel, hash], …]
SELECT coalesce(json_group_array(json_array(s.id, s.tenant, s.category, s.channel, s.hash, s.sender,
                                            s.reason, s.detail, s.source, s.at_ms, s.until_ms)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN suppression s ON s.channel = r.value ->> 0 AND s.hash = r.value ->> 1
WHERE s.until_ms IS NULL OR s.until_ms > :now_ms;

-- name: put_suppressions
-- The later word about the same stays. rows: [[tenant, category, channel, hash, sender, reason,
-- detail, source, at_ms, until_ms], …]
INSERT INTO suppression
    (tenant, category, channel, hash, sender, reason, detail, source, at_ms, until_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7, value ->> 8, value ->> 9
FROM jsonb_each(:rows) WHERE true
ON CONFLICT (channel, hash, tenant, category, sender, reason) DO UPDATE
SET detail = excluded.detail, source = excluded.source, at_ms = excluded.at_ms,
    until_ms = excluded.until_ms
WHERE excluded.at_ms >= suppression.at_ms;

-- name: lift_sender
-- Somebody writes that an account may write to them again.
DELETE FROM suppression
WHERE channel = :channel AND hash = :hash AND tenant = '' AND sender = :sender
  AND reason = 'opt_out';

-- name: lift
-- Bans of names in one scope. rows: [[channel, hash], …]
DELETE FROM suppression
WHERE (channel, hash) IN (SELECT value ->> 0, value ->> 1 FROM jsonb_each(:rows))
  AND tenant = :tenant AND (:category = '' OR category = :category)
  AND (:reason = '' OR reason = :reason);

-- name: lift_records
-- The same by records. rows: [id, …]
DELETE FROM suppression
WHERE id IN (SELECT value FROM jsonb_each(:rows)) AND tenant = :tenant;

-- name: list_suppressions
-- Those of one scope, the last first. cursor: 0 for the first page
SELECT coalesce(json_group_array(json_array(id, tenant, category, channel, hash, sender, reason,
                                            detail, source, at_ms, until_ms)), '[]')
FROM (SELECT * FROM suppression
      WHERE tenant = :tenant AND (:cursor = 0 OR id < :cursor)
        AND (:of = '' OR channel = :of OR channel = 'recipient:' || :of)
        AND (:category = '' OR category = :category)
        AND (:reason = '' OR reason = :reason)
        AND (until_ms IS NULL OR until_ms > :now_ms)
      ORDER BY id DESC LIMIT :limit);

-- name: purge_suppressions
-- Bans whose time is over.
DELETE FROM suppression WHERE id IN (
    SELECT id FROM suppression WHERE until_ms <= :now_ms LIMIT :limit);

-- name: consented
-- rows: [[channel, hash], …]; gives those with a recorded permission
SELECT coalesce(json_group_array(json_array(c.channel, c.hash)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN consent c ON c.tenant = :tenant AND c.category = :category
              AND c.channel = r.value ->> 0 AND c.hash = r.value ->> 1
WHERE c.until_ms IS NULL OR c.until_ms > :now_ms;

-- name: consents
-- A tenant's permissions by name. rows: [[channel, hash], …]
SELECT coalesce(json_group_array(json_array(c.tenant, c.category, c.channel, c.hash, c.source,
                                            c.proof, c.at_ms, c.until_ms)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN consent c ON c.channel = r.value ->> 0 AND c.hash = r.value ->> 1
WHERE c.tenant = :tenant AND (c.until_ms IS NULL OR c.until_ms > :now_ms);

-- name: standings
-- Times of the permission and of the refusal of each key. rows: [[tenant, category, channel, hash],
-- …]; gives [[tenant, category, channel, hash, agreed_ms, refused_ms], …]
SELECT coalesce(json_group_array(json_array(r.value ->> 0, r.value ->> 1, r.value ->> 2,
                                            r.value ->> 3, c.at_ms, s.at_ms)), '[]')
FROM jsonb_each(:rows) r
LEFT JOIN consent c ON c.tenant = r.value ->> 0 AND c.category = r.value ->> 1
                   AND c.channel = r.value ->> 2 AND c.hash = r.value ->> 3
                   AND (c.until_ms IS NULL OR c.until_ms > :now_ms)
LEFT JOIN suppression s ON s.tenant = r.value ->> 0 AND s.category = r.value ->> 1
                       AND s.channel = r.value ->> 2 AND s.hash = r.value ->> 3
                       AND s.sender = '' AND s.reason = 'opt_out'
                       AND (s.until_ms IS NULL OR s.until_ms > :now_ms);

-- name: drop_consents
-- rows: [[tenant, category, channel, hash], …]
DELETE FROM consent WHERE (tenant, category, channel, hash) IN
    (SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(:rows));

-- name: forget_consents
-- All that a tenant has recorded that somebody agreed to, over or not. rows: [[channel, hash], …]
DELETE FROM consent
WHERE (channel, hash) IN (SELECT value ->> 0, value ->> 1 FROM jsonb_each(:rows))
  AND tenant = :tenant;

-- name: drop_refusals
-- rows: [[tenant, category, channel, hash], …]
DELETE FROM suppression WHERE (channel, hash, tenant, category, sender, reason) IN
    (SELECT value ->> 2, value ->> 3, value ->> 0, value ->> 1, '', 'opt_out'
     FROM jsonb_each(:rows));

-- name: put_consents
-- Record permissions; what was recorded of their keys is gone. rows: [[tenant, category, channel,
-- hash, source, proof, at_ms, until_ms], …]
INSERT INTO consent (tenant, category, channel, hash, source, proof, at_ms, until_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7
FROM jsonb_each(:rows);

-- name: purge_consents
-- Permissions that ended so long ago that nobody asks for their proof any more.
DELETE FROM consent WHERE (tenant, category, channel, hash) IN (
    SELECT tenant, category, channel, hash FROM consent WHERE until_ms <= :before_ms LIMIT :limit);
