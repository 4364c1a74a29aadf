-- name: read_caps
-- Places under caps. rows: [[subject, cap], …]; gives [[subject, cap, message, channel, at_ms,
-- taken], …]
SELECT coalesce(json_group_array(json_array(u.subject, u.cap, u.message, u.channel, u.at_ms,
                                            u.taken)), '[]')
FROM jsonb_each(:rows) r
CROSS JOIN cap_use u ON u.subject = r.value ->> 0 AND u.cap = r.value ->> 1;

-- name: read_last_uses
-- The last use of each: max() has the other columns of its row. rows: [[subject, cap], …]; gives
-- [[subject, cap, message, channel, at_ms, taken], …]
SELECT coalesce(json_group_array(json_array(subject, cap, message, channel, at_ms, taken)), '[]')
FROM (
    SELECT u.subject, u.cap, u.message, u.channel, max(u.at_ms) AS at_ms, u.taken
    FROM jsonb_each(:rows) r
    CROSS JOIN cap_use u ON u.subject = r.value ->> 0 AND u.cap = r.value ->> 1
    GROUP BY u.subject, u.cap
);

-- name: put_caps
-- Places that are taken, or kept. rows: [[subject, cap, message, channel, at_ms, taken,
-- gone_ms], …]
INSERT INTO cap_use (subject, cap, message, channel, at_ms, taken, gone_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (subject, cap, message, channel) DO UPDATE
SET at_ms = excluded.at_ms, taken = excluded.taken, gone_ms = excluded.gone_ms;

-- name: free_caps
-- Places of messages by which nobody can have been reached. rows: [[message, channel], …]
DELETE FROM cap_use
WHERE (message, channel) IN (SELECT value ->> 0, value ->> 1 FROM jsonb_each(:rows));

-- name: erase_caps
-- That messages were counted for somebody. rows: [message, …]
DELETE FROM cap_use WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_caps
-- Places that count no more.
DELETE FROM cap_use WHERE (subject, cap, message, channel) IN (
    SELECT subject, cap, message, channel FROM cap_use INDEXED BY cap_use_gone
    WHERE gone_ms <= :now_ms LIMIT :limit);
