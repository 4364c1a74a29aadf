-- name: add_habits
-- Count tries and what came of them. rows: [[subject, channel, month, tries, reached], …], each
-- place once. Nothing of who is forgotten
INSERT INTO habit AS h (subject, channel, month, tries, reached)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(:rows)
WHERE value ->> 0 NOT IN (SELECT subject FROM forgotten)
ON CONFLICT (subject, channel, month) DO UPDATE
SET tries = h.tries + excluded.tries, reached = h.reached + excluded.reached;

-- name: habits
-- rows: [subject, …]; gives [[subject, channel, month, tries, reached], …]
SELECT coalesce(json_group_array(json_array(h.subject, h.channel, h.month, h.tries, h.reached)),
                '[]')
FROM jsonb_each(:rows) r
JOIN habit h ON h.subject = r.value;

-- name: forget_habits
-- Forget somebody.
DELETE FROM habit WHERE subject = :subject;

-- name: note_forgotten
-- Somebody is forgotten for a while: other nodes may have counted what they have not written yet.
INSERT INTO forgotten (subject, until_ms) VALUES (:subject, :until_ms)
ON CONFLICT (subject) DO UPDATE SET until_ms = excluded.until_ms;

-- name: purge_forgotten_habits
-- What was being written about somebody while they were forgotten.
DELETE FROM habit WHERE subject IN (
    SELECT subject FROM forgotten WHERE until_ms <= :now_ms ORDER BY subject LIMIT :limit);

-- name: purge_forgotten
-- By now other nodes have written all that they had counted.
DELETE FROM forgotten WHERE subject IN (
    SELECT subject FROM forgotten WHERE until_ms <= :now_ms ORDER BY subject LIMIT :limit);

-- name: purge_habits
-- Months that count for nothing any more.
DELETE FROM habit WHERE (subject, channel, month) IN (
    SELECT subject, channel, month FROM habit WHERE month < :month LIMIT :limit);
