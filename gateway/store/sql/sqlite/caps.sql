-- name: read_caps
-- Places under caps. rows: [[subject, cap], …]; gives [[subject, cap, message, channel, at_ms,
-- taken, digest], …]
SELECT coalesce(json_group_array(json_array(u.subject, u.cap, u.message, u.channel, u.at_ms,
                                            u.taken, u.digest)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN cap_use u ON u.subject = r.value ->> 0 AND u.cap = r.value ->> 1;

-- name: read_last_uses
-- The last use of each: max() has the other columns of its row. rows: [[subject, cap], …]; gives
-- [[subject, cap, message, channel, at_ms, taken, digest], …]
SELECT coalesce(json_group_array(json_array(subject, cap, message, channel, at_ms, taken, digest)),
                '[]')
FROM (
    SELECT u.subject, u.cap, u.message, u.channel, max(u.at_ms) AS at_ms, u.taken, u.digest
    FROM jsonb_each(:rows) r
    CROSS JOIN cap_use u ON u.subject = r.value ->> 0 AND u.cap = r.value ->> 1
    GROUP BY u.subject, u.cap
);

-- name: put_caps
-- Places that are taken, or kept. rows: [[subject, cap, message, channel, at_ms, taken, gone_ms,
-- digest], …]
INSERT INTO cap_use (subject, cap, message, channel, at_ms, taken, gone_ms, digest)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7
FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (subject, cap, message, channel) DO UPDATE
SET at_ms = excluded.at_ms, taken = excluded.taken, gone_ms = excluded.gone_ms,
    digest = excluded.digest;

-- name: pass_caps
-- Places that messages wait for pass to others, which leave by themselves. rows: [[message, to], …]
UPDATE cap_use SET message = r.value ->> 1, digest = ''
FROM jsonb_each(:rows) r
WHERE cap_use.message = r.value ->> 0 AND NOT cap_use.taken;

-- name: put_waits
-- Who gives way, and how long. rows: [[subject, cap, message, use_ms, until_ms], …]
INSERT INTO cap_wait (subject, cap, message, use_ms, until_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (subject, cap, message) DO UPDATE
SET use_ms = excluded.use_ms, until_ms = excluded.until_ms;

-- name: free_caps
-- Places of messages by which nobody can have been reached. rows: [[message, channel], …]; gives
-- rows of subject and cap
DELETE FROM cap_use
WHERE (message, channel) IN (SELECT value ->> 0, value ->> 1 FROM jsonb_each(:rows))
RETURNING subject, cap;

-- name: waiters
-- Who gives way to what is counted here. rows: [[subject, cap], …]; gives rows of message
SELECT w.message FROM jsonb_each(:rows) r
CROSS JOIN cap_wait w ON w.subject = r.value ->> 0 AND w.cap = r.value ->> 1
LIMIT :limit;

-- name: end_waits
-- Waits of messages whose cause is gone, and which have begun: nobody is at work on the message.
-- rows: [message, …]; gives rows of message and until_ms
DELETE FROM cap_wait
WHERE message IN (SELECT value FROM jsonb_each(:rows))
  AND NOT EXISTS (SELECT 1 FROM cap_use u
                  WHERE u.subject = cap_wait.subject AND u.cap = cap_wait.cap
                    AND u.at_ms >= cap_wait.use_ms)
  AND EXISTS (SELECT 1 FROM queue q
              WHERE q.message = cap_wait.message AND q.rank IS NULL AND q.owner IS NULL
                AND q.due_ms = cap_wait.until_ms)
RETURNING message, until_ms;

-- name: wake
-- Make due what waits until then, and the steps that follow as much earlier.
-- rows: [[message, until_ms], …]
UPDATE queue SET due_ms = min(due_ms, max(:now_ms, due_ms - (r.value ->> 1) + :now_ms))
FROM jsonb_each(:rows) r
WHERE queue.message = r.value ->> 0 AND queue.rank IS NULL AND queue.owner IS NULL
  AND queue.due_ms >= r.value ->> 1;

-- name: erase_caps
-- That messages were counted for somebody. rows: [message, …]
DELETE FROM cap_use WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: erase_waits
-- That messages waited for somebody. rows: [message, …]
DELETE FROM cap_wait WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_waits
-- Waits that are over.
DELETE FROM cap_wait WHERE (subject, cap, message) IN (
    SELECT subject, cap, message FROM cap_wait INDEXED BY cap_wait_until
    WHERE until_ms <= :now_ms LIMIT :limit);

-- name: purge_caps
-- Places that count no more.
DELETE FROM cap_use WHERE (subject, cap, message, channel) IN (
    SELECT subject, cap, message, channel FROM cap_use INDEXED BY cap_use_gone
    WHERE gone_ms <= :now_ms LIMIT :limit);
