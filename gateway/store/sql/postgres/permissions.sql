-- name: has_suppressions
-- Whether anybody is banned.
SELECT EXISTS (SELECT 1 FROM suppression);

-- name: suppressed
-- Bans of names.
SELECT s.id, s.tenant, s.category, s.channel, s.hash, s.sender, s.reason, s.detail, s.source,
       s.at_ms, s.until_ms
FROM unnest(:channel::text[], :hash::text[]) AS r (channel, hash)
JOIN suppression s ON s.channel = r.channel AND s.hash = r.hash
WHERE s.until_ms IS NULL OR s.until_ms > :now_ms;

-- name: put_suppressions
-- The later word about the same stays.
INSERT INTO suppression
    (tenant, category, channel, hash, sender, reason, detail, source, at_ms, until_ms)
SELECT *
FROM unnest(:tenant::text[], :category::text[], :channel::text[], :hash::text[], :sender::text[],
            :reason::text[], :detail::text[], :source::text[], :at_ms::bigint[],
            :until_ms::bigint[])
     AS r (tenant, category, channel, hash, sender, reason, detail, source, at_ms, until_ms)
ORDER BY r.channel, r.hash, r.tenant, r.category, r.sender, r.reason
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
-- Bans of names in one scope.
DELETE FROM suppression s
USING unnest(:channel::text[], :hash::text[]) AS r (channel, hash)
WHERE s.channel = r.channel AND s.hash = r.hash AND s.tenant = :tenant
  AND (:category = '' OR s.category = :category) AND (:reason = '' OR s.reason = :reason);

-- name: lift_records
-- The same by records.
DELETE FROM suppression
WHERE id IN (SELECT unnest(:id::bigint[])) AND tenant = :tenant;

-- name: list_suppressions
-- Those of one scope, the last first. cursor: 0 for the first page
SELECT id, tenant, category, channel, hash, sender, reason, detail, source, at_ms, until_ms
FROM suppression
WHERE tenant = :tenant AND (:cursor::bigint = 0 OR id < :cursor)
  AND (:of::text = '' OR channel = :of OR channel = 'recipient:' || :of)
  AND (:category::text = '' OR category = :category)
  AND (:reason::text = '' OR reason = :reason)
  AND (until_ms IS NULL OR until_ms > :now_ms)
ORDER BY id DESC LIMIT :limit;

-- name: purge_suppressions
-- Bans whose time is over.
DELETE FROM suppression WHERE id IN (
    SELECT id FROM suppression WHERE until_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: consented
-- Those with a recorded permission: (channel, hash). Looked up one by one, which OFFSET sees to:
-- a join may read all that a tenant has.
SELECT c.channel, c.hash
FROM unnest(:channel::text[], :hash::text[]) AS r (channel, hash)
CROSS JOIN LATERAL (
    SELECT channel, hash FROM consent
    WHERE tenant = :tenant AND category = :category AND channel = r.channel AND hash = r.hash
      AND (until_ms IS NULL OR until_ms > :now_ms)
    OFFSET 0
) c;

-- name: consents
-- A tenant's permissions by name. Looked up one by one, as for `consented`.
SELECT c.tenant, c.category, c.channel, c.hash, c.source, c.proof, c.at_ms, c.until_ms
FROM unnest(:channel::text[], :hash::text[]) AS r (channel, hash)
CROSS JOIN LATERAL (
    SELECT * FROM consent
    WHERE channel = r.channel AND hash = r.hash AND tenant = :tenant
      AND (until_ms IS NULL OR until_ms > :now_ms)
    OFFSET 0
) c;

-- name: lock_wishes
-- Wishes are taken one transaction after the other. The number is `WISH` in ASCII.
-- Only PostgreSQL: two that are about one key must not both find it as it was before.
SELECT pg_advisory_xact_lock(1465471304);

-- name: standings
-- Times of the permission and of the refusal of each key. Looked up one by one, as for
-- `consented`.
SELECT r.tenant, r.category, r.channel, r.hash, c.at_ms, s.at_ms
FROM unnest(:tenant::text[], :category::text[], :channel::text[], :hash::text[])
     AS r (tenant, category, channel, hash)
LEFT JOIN LATERAL (
    SELECT at_ms FROM consent
    WHERE tenant = r.tenant AND category = r.category AND channel = r.channel AND hash = r.hash
      AND (until_ms IS NULL OR until_ms > :now_ms)
    OFFSET 0
) c ON true
LEFT JOIN LATERAL (
    SELECT at_ms FROM suppression
    WHERE channel = r.channel AND hash = r.hash AND tenant = r.tenant AND category = r.category
      AND sender = '' AND reason = 'opt_out' AND (until_ms IS NULL OR until_ms > :now_ms)
    OFFSET 0
) s ON true;

-- name: drop_consents
-- Forget permissions.
DELETE FROM consent c
USING unnest(:tenant::text[], :category::text[], :channel::text[], :hash::text[])
      AS r (tenant, category, channel, hash)
WHERE c.tenant = r.tenant AND c.category = r.category AND c.channel = r.channel
  AND c.hash = r.hash;

-- name: forget_consents
-- All that a tenant has recorded that somebody agreed to, over or not. Looked up one by one, as for
-- `consented`.
DELETE FROM consent WHERE ctid = ANY (ARRAY(
    SELECT c.ctid FROM unnest(:channel::text[], :hash::text[]) AS r (channel, hash)
    CROSS JOIN LATERAL (
        SELECT ctid FROM consent
        WHERE channel = r.channel AND hash = r.hash AND tenant = :tenant
        FOR UPDATE
    ) c));

-- name: drop_refusals
-- Forget refusals. Looked up one by one, as for `consented`.
DELETE FROM suppression WHERE id = ANY (ARRAY(
    SELECT s.id
    FROM unnest(:tenant::text[], :category::text[], :channel::text[], :hash::text[])
         AS r (tenant, category, channel, hash)
    CROSS JOIN LATERAL (
        SELECT id FROM suppression
        WHERE channel = r.channel AND hash = r.hash AND tenant = r.tenant
          AND category = r.category AND sender = '' AND reason = 'opt_out'
        OFFSET 0
    ) s));

-- name: put_consents
-- Record permissions; what was recorded of their keys is gone.
INSERT INTO consent (tenant, category, channel, hash, source, proof, at_ms, until_ms)
SELECT *
FROM unnest(:tenant::text[], :category::text[], :channel::text[], :hash::text[], :source::text[],
            :proof::text[], :at_ms::bigint[], :until_ms::bigint[]);

-- name: purge_consents
-- Permissions that ended so long ago that nobody asks for their proof any more.
DELETE FROM consent WHERE (tenant, category, channel, hash) IN (
    SELECT tenant, category, channel, hash FROM consent WHERE until_ms <= :before_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);
