-- name: add_habits
-- Count tries and what came of them; each place once, sorted.
INSERT INTO habit AS h (subject, channel, month, tries, reached)
SELECT * FROM unnest(:subject::text[], :channel::text[], :month::integer[],
                     :tries::float8[], :reached::float8[])
ON CONFLICT (subject, channel, month) DO UPDATE
SET tries = h.tries + excluded.tries, reached = h.reached + excluded.reached;

-- name: habits
-- (subject, channel, month, tries, reached) of these subjects.
SELECT subject, channel, month, tries, reached FROM habit WHERE subject = ANY(:subjects::text[]);

-- name: forget_habits
-- Forget somebody.
DELETE FROM habit WHERE subject = :subject;

-- name: purge_habits
-- Months that count for nothing any more.
DELETE FROM habit WHERE (subject, channel, month) IN (
    SELECT subject, channel, month FROM habit WHERE month < :month LIMIT :limit
    FOR UPDATE SKIP LOCKED);
