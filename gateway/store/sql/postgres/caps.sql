-- name: hold_caps
-- Until the transaction ends, nobody else judges the caps of these subjects. In the order given,
-- which must be sorted.
-- Only PostgreSQL: on SQLite there is one writer.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest(:keys::bigint[]) AS r (key);

-- name: read_caps
-- Places under caps: (subject, cap, message, channel, at_ms, taken).
SELECT u.subject, u.cap, u.message::text, u.channel, u.at_ms, u.taken
FROM unnest(:subject::text[], :cap::text[]) AS r (subject, cap)
JOIN cap_use u ON u.subject = r.subject AND u.cap = r.cap;

-- name: read_last_uses
-- The last use of each: (subject, cap, message, channel, at_ms, taken).
SELECT r.subject, r.cap, u.message::text, u.channel, u.at_ms, u.taken
FROM unnest(:subject::text[], :cap::text[]) AS r (subject, cap)
CROSS JOIN LATERAL (
    SELECT message, channel, at_ms, taken FROM cap_use
    WHERE subject = r.subject AND cap = r.cap ORDER BY at_ms DESC LIMIT 1
) u;

-- name: put_caps
-- Places that are taken, or kept.
INSERT INTO cap_use (subject, cap, message, channel, at_ms, taken, gone_ms)
SELECT * FROM unnest(:subject::text[], :cap::text[], :message::uuid[], :channel::text[],
                     :at_ms::bigint[], :taken::boolean[], :gone_ms::bigint[])
ON CONFLICT (subject, cap, message, channel) DO UPDATE
SET at_ms = excluded.at_ms, taken = excluded.taken, gone_ms = excluded.gone_ms;

-- name: free_caps
-- Places of messages by which nobody can have been reached.
DELETE FROM cap_use u
USING unnest(:message::uuid[], :channel::text[]) AS r (message, channel)
WHERE u.message = r.message AND u.channel = r.channel;

-- name: erase_caps
-- That messages were counted for somebody.
DELETE FROM cap_use WHERE message = ANY (:message::uuid[]);

-- name: purge_caps
-- Places that count no more.
DELETE FROM cap_use WHERE (subject, cap, message, channel) IN (
    SELECT subject, cap, message, channel FROM cap_use WHERE gone_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);
