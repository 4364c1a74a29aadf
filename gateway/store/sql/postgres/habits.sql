-- name: add_habits
-- Count tries and what came of them; each place once, sorted. Nothing of who is forgotten.
INSERT INTO habit AS h (subject, channel, month, tries, reached)
SELECT * FROM unnest(:subject::text[], :channel::text[], :month::integer[],
                     :tries::float8[], :reached::float8[])
     AS r (subject, channel, month, tries, reached)
WHERE NOT EXISTS (SELECT 1 FROM forgotten f WHERE f.subject = r.subject)
ON CONFLICT (subject, channel, month) DO UPDATE
SET tries = h.tries + excluded.tries, reached = h.reached + excluded.reached;

-- name: habits
-- (subject, channel, month, tries, reached) of these subjects.
SELECT subject, channel, month, tries, reached FROM habit WHERE subject = ANY(:subjects::text[]);

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
    SELECT subject, channel, month FROM habit WHERE month < :month LIMIT :limit
    FOR UPDATE SKIP LOCKED);
