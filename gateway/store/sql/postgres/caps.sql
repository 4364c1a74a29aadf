-- name: hold_caps
-- Until the transaction ends, nobody else judges the caps of these subjects. In the order given,
-- which must be sorted.
-- Only PostgreSQL: on SQLite there is one writer.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest(:keys::bigint[]) AS r (key);

-- name: read_caps
-- Places under caps: (subject, cap, message, channel, at_ms, taken, digest).
SELECT u.subject, u.cap, u.message::text, u.channel, u.at_ms, u.taken, u.digest
FROM unnest(:subject::text[], :cap::text[]) AS r (subject, cap)
JOIN cap_use u ON u.subject = r.subject AND u.cap = r.cap;

-- name: read_last_uses
-- The last use of each: (subject, cap, message, channel, at_ms, taken, digest).
SELECT r.subject, r.cap, u.message::text, u.channel, u.at_ms, u.taken, u.digest
FROM unnest(:subject::text[], :cap::text[]) AS r (subject, cap)
CROSS JOIN LATERAL (
    SELECT message, channel, at_ms, taken, digest FROM cap_use
    WHERE subject = r.subject AND cap = r.cap ORDER BY at_ms DESC LIMIT 1
) u;

-- name: put_caps
-- Places that are taken, or kept.
INSERT INTO cap_use (subject, cap, message, channel, at_ms, taken, gone_ms, digest)
SELECT * FROM unnest(:subject::text[], :cap::text[], :message::uuid[], :channel::text[],
                     :at_ms::bigint[], :taken::boolean[], :gone_ms::bigint[], :digest::text[])
ON CONFLICT (subject, cap, message, channel) DO UPDATE
SET at_ms = excluded.at_ms, taken = excluded.taken, gone_ms = excluded.gone_ms,
    digest = excluded.digest;

-- name: pass_caps
-- Places that messages wait for pass to others, which leave by themselves.
UPDATE cap_use u
SET message = (SELECT r.heir FROM unnest(:message::uuid[], :heir::uuid[]) AS r (message, heir)
               WHERE r.message = u.message),
    digest = ''
WHERE u.message = ANY (:message::uuid[]) AND NOT u.taken;

-- name: put_waits
-- Who gives way, and how long.
INSERT INTO cap_wait (subject, cap, message, use_ms, until_ms)
SELECT * FROM unnest(:subject::text[], :cap::text[], :message::uuid[], :use_ms::bigint[],
                     :until_ms::bigint[])
ON CONFLICT (subject, cap, message) DO UPDATE
SET use_ms = excluded.use_ms, until_ms = excluded.until_ms;

-- name: free_caps
-- Places of messages by which nobody can have been reached: (subject, cap).
DELETE FROM cap_use u
USING unnest(:message::uuid[], :channel::text[]) AS r (message, channel)
WHERE u.message = r.message AND u.channel = r.channel
RETURNING u.subject, u.cap;

-- name: waiters
-- Who gives way to what is counted here: (message).
SELECT w.message::text
FROM unnest(:subject::text[], :cap::text[]) AS r (subject, cap)
CROSS JOIN LATERAL (
    SELECT message FROM cap_wait WHERE subject = r.subject AND cap = r.cap LIMIT :limit
) w LIMIT :limit;

-- name: hold_waited
-- Until the transaction ends, nobody gives back what these messages wait for.
-- Only PostgreSQL: on SQLite there is one writer.
SELECT count(*) FROM unnest(:message::uuid[]) AS r (message)
CROSS JOIN LATERAL (
    SELECT subject, cap, use_ms FROM cap_wait WHERE message = r.message OFFSET 0
) w
CROSS JOIN LATERAL (
    SELECT 1 FROM cap_use u
    WHERE u.subject = w.subject AND u.cap = w.cap AND u.at_ms >= w.use_ms
    FOR KEY SHARE
) held;

-- name: end_waits
-- Waits of messages whose cause is gone, and which have begun: nobody is at work on the message.
-- Gives (message, until_ms).
-- Not by EXISTS, which the planner might answer by reading all of a table.
DELETE FROM cap_wait w
WHERE w.message = ANY (:message::uuid[])
  AND (SELECT true FROM cap_use u
       WHERE u.subject = w.subject AND u.cap = w.cap AND u.at_ms >= w.use_ms LIMIT 1) IS NULL
  AND (SELECT true FROM queue q
       WHERE q.message = w.message AND q.rank IS NULL AND q.owner IS NULL
         AND q.due_ms = w.until_ms LIMIT 1)
RETURNING w.message::text, w.until_ms;

-- name: wake
-- Make due what waits until then, and the steps that follow as much earlier, unless another node
-- is just at it.
WITH due AS MATERIALIZED (
    SELECT r.message, h.step, h.part,
           greatest(:now_ms::bigint, h.due_ms - r.until_ms + :now_ms::bigint) AS due_ms
    FROM unnest(:message::uuid[], :until_ms::bigint[]) AS r (message, until_ms)
    CROSS JOIN LATERAL (
        SELECT step, part, due_ms FROM queue q
        WHERE q.message = r.message AND q.rank IS NULL AND q.owner IS NULL
          AND q.due_ms >= r.until_ms
        FOR UPDATE SKIP LOCKED) AS h
)
UPDATE queue q SET due_ms = least(q.due_ms, d.due_ms)
FROM due d
WHERE q.message = d.message AND q.step = d.step AND q.part = d.part;

-- name: erase_caps
-- That messages were counted for somebody.
DELETE FROM cap_use WHERE message = ANY (:message::uuid[]);

-- name: erase_waits
-- That messages waited for somebody.
DELETE FROM cap_wait WHERE message = ANY (:message::uuid[]);

-- name: purge_waits
-- Waits that are over.
DELETE FROM cap_wait WHERE (subject, cap, message) IN (
    SELECT subject, cap, message FROM cap_wait WHERE until_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_caps
-- Places that count no more.
DELETE FROM cap_use WHERE (subject, cap, message, channel) IN (
    SELECT subject, cap, message, channel FROM cap_use WHERE gone_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);
