-- name: known_references
-- Attempts by their providers' names: (index, message, redrive, step, part, number).
SELECT r.n - 1, x.message::text, x.redrive, x.step, x.part, x.number
FROM unnest(:provider::text[], :reference::text[]) WITH ORDINALITY AS r (provider, reference, n)
JOIN reference x ON x.provider = r.provider AND x.reference = r.reference
WHERE x.message IS NOT NULL;

-- name: contacts
-- The latest messages to addresses: (index, message).
SELECT r.n - 1, c.message::text
FROM unnest(:provider::text[], :hash::text[]) WITH ORDINALITY AS r (provider, hash, n)
JOIN contact c ON c.provider = r.provider AND c.hash = r.hash;

-- name: park
-- Keep receipts until their attempt has a name.
INSERT INTO reference AS x (provider, reference, parked, at_ms)
SELECT provider, reference, array_agg(receipt ORDER BY n), :now_ms::bigint
FROM unnest(:provider::text[], :reference::text[], :receipt::text[]) WITH ORDINALITY
    AS r (provider, reference, receipt, n)
GROUP BY provider, reference
ORDER BY provider, reference
ON CONFLICT (provider, reference) DO UPDATE
SET parked = coalesce(x.parked, '{}') || excluded.parked;

-- name: parked
-- Early receipts of attempts that have a name by now: (provider, reference, message, redrive,
-- step, part, number, [receipt, …]).
SELECT provider, reference, message::text, redrive, step, part, number, parked
FROM reference
WHERE parked IS NOT NULL AND message IS NOT NULL
ORDER BY at_ms LIMIT :limit;

-- name: clear_parked
-- Forget receipts that have been applied. :count of them, lines of :receipts, are the oldest of
-- their attempt; those that came since are kept.
-- Differs: on SQLite none can come between.
UPDATE reference x SET parked = nullif(x.parked[r.count + 1 : cardinality(x.parked)], '{}')
FROM unnest(:provider::text[], :reference::text[], :count::integer[], :receipts::text[])
    AS r (provider, reference, count, receipts)
WHERE x.provider = r.provider AND x.reference = r.reference
  AND array_to_string(x.parked[1 : r.count], E'\n') = r.receipts;

-- name: message_head
-- One message of a tenant: (id, state, category, created_ms, expires_ms, body, started, claimed);
-- started: it is or was ready.
-- Differs: with all that happened, as JSON and null where nothing did: [[step, part, number,
-- provider, outcome, code, detail, started_ms, ended_ms], …], [[step, part, provider, event, code,
-- detail, at_ms], …], [[at_ms, event, channel, provider, detail], …].
SELECT m.id::text, s.state, m.category, m.created_ms, s.expires_ms, m.body, {phase},
       (SELECT json_agg(json_build_array(step, part, number, provider, outcome, code, detail,
                                         started_ms, ended_ms)
                        ORDER BY redrive, step, part, number)::text
        FROM attempt WHERE message = :message::uuid),
       (SELECT json_agg(json_build_array(step, part, provider, event, code, detail, at_ms)
                        ORDER BY redrive, step, part, number, provider, event)::text
        FROM receipt WHERE message = :message::uuid),
       (SELECT json_agg(json_build_array(at_ms, event, channel, provider, detail)
                        ORDER BY at_ms)::text
        FROM event WHERE message = :message::uuid)
FROM message m JOIN status s ON s.message = m.id
WHERE m.id = :message::uuid AND s.message = :message::uuid AND m.tenant = :tenant
  AND NOT m.internal;

-- name: list_messages
-- A page of a tenant's messages with ids from :first on and before :before, newest first: (id,
-- state, category, created_ms, expires_ms, metadata, body, started, claimed), as `FRAGMENTS` has
-- it of metadata and body.
SELECT {listed}
FROM message m JOIN status s ON s.message = m.id
WHERE m.tenant = :tenant AND NOT m.internal
  AND m.id >= :first::uuid AND m.id < :before::uuid
  AND s.message >= :first::uuid AND s.message < :before::uuid
  AND (:category = '' OR m.category = :category)
  AND (:state = '' OR s.state = :state)
ORDER BY m.id DESC
LIMIT :limit;

-- name: list_rare
-- The same for a state that few messages are in.
SELECT {listed}
FROM status s JOIN message m ON m.id = s.message
WHERE s.tenant = :tenant AND s.state = :state
  AND s.state IN ('failed', 'expired', 'unknown', 'suppressed', 'cancelled')
  AND s.message >= :first::uuid AND s.message < :before::uuid
  AND m.id >= :first::uuid AND m.id < :before::uuid
  AND (:category = '' OR m.category = :category)
ORDER BY s.message DESC
LIMIT :limit;

-- name: list_phase
-- The same for what is in the queue and scheduled, queued or being sent.
SELECT {listed}
FROM (SELECT message, bool_or(owner IS NOT NULL) AS claimed, bool_or(rank IS NOT NULL) AS ready
      FROM queue
      WHERE message >= :first::uuid AND message < :before::uuid AND flow = :tenant
      GROUP BY message) q
JOIN message m ON m.id = q.message
JOIN status s ON s.message = q.message
WHERE m.tenant = :tenant AND NOT m.internal AND s.state = 'queued'
  AND s.message >= :first::uuid AND s.message < :before::uuid
  AND m.id >= :first::uuid AND m.id < :before::uuid
  AND (:category = '' OR m.category = :category)
  AND :phase = CASE WHEN q.claimed THEN 'sending'
                    WHEN q.ready OR s.version > 0 THEN 'queued' ELSE 'scheduled' END
ORDER BY q.message DESC
LIMIT :limit;

-- name: dead_messages
-- Dead letters, oldest first: (tenant, and the columns of `list_messages`).
SELECT m.tenant, {listed}
FROM status s JOIN message m ON m.id = s.message
WHERE s.state IN ('failed', 'expired', 'unknown')
  AND s.message > :cursor::uuid AND m.id > :cursor::uuid
  AND NOT m.internal AND (:tenant = '' OR m.tenant = :tenant)
ORDER BY s.message
LIMIT :limit;

-- name: webhooks_of
-- Webhook messages for an endpoint, oldest first: (id).
SELECT m.id::text
FROM message m JOIN status s ON s.message = m.id
WHERE m.endpoint = :endpoint AND m.internal
  AND m.id >= :first::uuid AND s.message >= :first::uuid
  AND (NOT :only_failed::boolean OR s.state IN ('failed', 'expired', 'unknown', 'cancelled'))
ORDER BY m.id
LIMIT :limit;

-- name: depths
-- Unclaimed rows of the queue, counted in its indexes, and when the first of each lane's queues
-- became due: (lane, phase, rows, due_ms or null).
SELECT lane, 'ready' AS phase, sum(rows)::bigint, min(head_ms)
FROM (SELECT q.lane, count(*) AS rows,
             (SELECT f.due_ms FROM queue f
              WHERE f.lane = q.lane AND f.pin = q.pin AND f.priority = q.priority
                AND f.rank IS NOT NULL AND f.owner IS NULL
              ORDER BY f.rank LIMIT 1) AS head_ms
      FROM queue q
      WHERE q.rank IS NOT NULL AND q.owner IS NULL
      GROUP BY q.lane, q.pin, q.priority) AS each
GROUP BY lane
UNION ALL
SELECT lane, 'waiting', count(*), min(due_ms)
FROM queue
WHERE rank IS NULL AND owner IS NULL
GROUP BY lane;

-- name: old_messages
-- Strays older than :before that have no work left: (id). Those of a day go with its partition.
-- Differs: holds their statuses, so that nobody gives them work.
SELECT s.message::text FROM status_other s
WHERE s.message < :before::uuid
  AND (SELECT true FROM queue q WHERE q.message = s.message LIMIT 1) IS NULL
ORDER BY s.message LIMIT :limit
FOR UPDATE OF s SKIP LOCKED;

-- name: without_work
-- Those of messages that have no queue row: (id).
-- Only PostgreSQL: work may have come before a status was held.
SELECT r.message::text FROM unnest(:messages::uuid[]) AS r (message)
WHERE (SELECT true FROM queue q WHERE q.message = r.message LIMIT 1) IS NULL;

-- name: purge_message
-- The messages themselves.
DELETE FROM message_other WHERE id = ANY(:message::uuid[]);

-- name: purge_status
-- Statuses of old messages.
DELETE FROM status_other WHERE message = ANY(:message::uuid[]);

-- name: purge_attempt
-- Attempts of old messages.
DELETE FROM attempt_other WHERE message = ANY(:message::uuid[]);

-- name: purge_receipt
-- Receipts of old messages.
DELETE FROM receipt_other WHERE message = ANY(:message::uuid[]);

-- name: purge_event
-- Decisions about old messages.
DELETE FROM event_other WHERE message = ANY(:message::uuid[]);

-- name: purge_reference
-- Providers' names of old messages.
DELETE FROM reference WHERE message = ANY(:message::uuid[]);

-- name: purge_references_of_day
-- Providers' names of messages from :first on and before :before.
-- Only PostgreSQL: a day's other tables are dropped whole.
DELETE FROM reference WHERE (provider, reference) IN (
    SELECT provider, reference FROM reference
    WHERE message >= :first::uuid AND message < :before::uuid LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_parked
-- Receipts whose attempt never got a name.
DELETE FROM reference WHERE (provider, reference) IN (
    SELECT provider, reference FROM reference
    WHERE parked IS NOT NULL AND message IS NULL AND at_ms < :before_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_keys
-- Idempotency keys whose time is over.
DELETE FROM idempotency WHERE (tenant, key) IN (
    SELECT tenant, key FROM idempotency WHERE until_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_dedupe
-- Dedupe entries whose window is over.
DELETE FROM dedupe WHERE (tenant, key) IN (
    SELECT tenant, key FROM dedupe WHERE until_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_latest
-- Words that nobody waits to say any more.
DELETE FROM latest WHERE (tenant, key) IN (
    SELECT tenant, key FROM latest WHERE until_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_contacts
-- Addresses that have not been written to for long.
DELETE FROM contact WHERE (provider, hash) IN (
    SELECT provider, hash FROM contact WHERE at_ms < :before_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);

-- name: purge_inbound
-- What comes no second time any more.
DELETE FROM inbound WHERE (provider, key) IN (
    SELECT provider, key FROM inbound WHERE until_ms <= :now_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED);
