-- name: hint
-- Tell those that listen that lanes have work; outside of every transaction that makes some.
-- Only PostgreSQL: as everything in this file.
SELECT pg_notify('gateway_hint', :words::text);

-- name: beat
-- Tell that we are alive.
-- Only PostgreSQL: SQLite serves one process.
INSERT INTO node (id, beat) VALUES (:owner, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET beat = clock_timestamp();

-- name: leave
-- We are not any more.
-- Only PostgreSQL: as `beat`.
DELETE FROM node WHERE id = :owner;

-- name: purge_nodes
-- Nodes that died long ago.
-- Only PostgreSQL: as `beat`.
DELETE FROM node WHERE beat < clock_timestamp() - interval '1 day';

-- name: take_tokens
-- Take from an account's bucket, as model.tokens says: (tokens, delay, wait). A new bucket is empty.
-- A taker who began before the one that was served before it adds nothing; a clock that was set
-- back by more than a statement can wait starts anew.
-- Only PostgreSQL: as `beat`.
INSERT INTO bucket AS b (account, level, given, delay, wait, at)
VALUES (:account, 0, 0, 0, 0, statement_timestamp())
ON CONFLICT (account) DO UPDATE
SET (level, given, delay, wait, at) = (
    SELECT level - given,
           given,
           CASE WHEN given > 0 THEN delay ELSE 0 END,
           CASE WHEN given > 0
                THEN greatest(0, (1 + :floor::float8 - (level - given)) / :rate::float8
                                 - :ahead::float8)
                ELSE delay - :ahead::float8 END,
           CASE WHEN excluded.at < b.at - interval '20 seconds' THEN excluded.at
                ELSE greatest(b.at, excluded.at) END
    FROM (SELECT least(:capacity::float8,
                       b.level + :rate::float8 * greatest(
                           0, extract(epoch FROM excluded.at - b.at)::float8)) AS level) AS full_to
    CROSS JOIN LATERAL (
        SELECT greatest(0, (least(:least::float8, :capacity::float8 - :floor::float8)
                            + :floor::float8 - level) / :rate::float8) AS delay) AS due
    CROSS JOIN LATERAL (
        SELECT CASE WHEN delay > :ahead::float8 + 1e-9 THEN 0
                    ELSE greatest(:least::float8, floor(
                        least(:most::float8, level - :floor::float8) + 1e-9)) END AS given) AS grant_
)
RETURNING given::integer, delay, wait;

-- name: give_tokens_back
-- Tokens that were not used are there for others.
-- Only PostgreSQL: as everything in this file.
UPDATE bucket
SET level = least(:capacity::float8, level + :tokens::integer)
WHERE account = :account;

-- name: pause_account
-- Not to be asked for some seconds; a pause is never shortened.
-- Only PostgreSQL: as `beat`.
INSERT INTO pause AS p (account, until, reason)
VALUES (:account, clock_timestamp() + make_interval(secs => :seconds::float8), :reason)
ON CONFLICT (account) DO UPDATE SET until = excluded.until, reason = excluded.reason
WHERE p.until < excluded.until;

-- name: paused_accounts
-- (account, seconds left, reason)
-- Only PostgreSQL: as `beat`.
SELECT account, extract(epoch FROM until - clock_timestamp())::float8, reason
FROM pause WHERE until > clock_timestamp();

-- name: read_access_token
-- The token that the nodes share: (sealed, seconds left, seconds when it was new).
-- Only PostgreSQL: as everything in this file.
SELECT value::jsonb ->> 'sealed',
       (value::jsonb ->> 'until')::float8 - extract(epoch FROM clock_timestamp())::float8,
       (value::jsonb ->> 'life')::float8
FROM meta WHERE key = 'access_token.' || :account::text;

-- name: put_access_token
-- Another one for all.
-- Only PostgreSQL: as everything in this file.
INSERT INTO meta (key, value)
VALUES ('access_token.' || :account::text,
        jsonb_build_object('sealed', :sealed::text, 'life', :life::float8, 'until',
                           extract(epoch FROM clock_timestamp())::float8 + :life::float8)::text)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: begin_refresh
-- One of us asks for another token, until it ends or its time is over: no row when another one does.
-- Only PostgreSQL: as everything in this file.
INSERT INTO meta AS m (key, value)
VALUES ('refresh.' || :account::text,
        extract(epoch FROM clock_timestamp())::float8 + :seconds::float8 || ' ' || :owner::text)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
WHERE split_part(m.value, ' ', 1)::float8 < extract(epoch FROM clock_timestamp())::float8;

-- name: end_refresh
-- It is done, or gave up.
-- Only PostgreSQL: as everything in this file.
DELETE FROM meta
WHERE key = 'refresh.' || :account::text
  AND substr(value, strpos(value, ' ') + 1) = :owner::text;
