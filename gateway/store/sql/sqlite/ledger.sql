-- name: known_references
-- Attempts by their providers' names. rows: [[provider, reference], …]; gives [[provider,
-- reference, message, redrive, step, part, number], …]
SELECT coalesce(json_group_array(json_array(x.provider, x.reference, x.message, x.redrive, x.step,
                                            x.part, x.number)), '[]')
FROM jsonb_each(:rows) r
JOIN reference x ON x.provider = r.value ->> 0 AND x.reference = r.value ->> 1
WHERE x.message IS NOT NULL;

-- name: contacts
-- The latest messages to addresses. rows: [[provider, hash], …]; gives [[provider, hash,
-- message], …]
SELECT coalesce(json_group_array(json_array(c.provider, c.hash, c.message)), '[]')
FROM jsonb_each(:rows) r
JOIN contact c ON c.provider = r.value ->> 0 AND c.hash = r.value ->> 1;

-- name: park
-- Keep receipts until their attempt has a name. rows: [[provider, reference, receipt], …]
INSERT INTO reference (provider, reference, parked, at_ms)
SELECT value ->> 0, value ->> 1, json_array(json(value -> 2)), :now_ms
FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (provider, reference) DO UPDATE
SET parked = json_insert(coalesce(parked, '[]'), '$[#]', json(excluded.parked ->> '$[0]'));

-- name: parked
-- Early receipts of attempts that have a name by now. Gives [[provider, reference, message,
-- redrive, step, part, number, [receipt, …]], …]
SELECT coalesce(json_group_array(json_array(provider, reference, message, redrive, step, part,
                                            number, json(parked))), '[]')
FROM (SELECT * FROM reference INDEXED BY reference_parked
      WHERE parked IS NOT NULL AND message IS NOT NULL LIMIT :limit);

-- name: clear_parked
-- rows: [[provider, reference], …]
UPDATE reference SET parked = NULL
WHERE (provider, reference) IN (SELECT value ->> 0, value ->> 1 FROM jsonb_each(:rows));

-- name: message_head
-- One message of a tenant. Gives [id, state, category, created_ms, expires_ms, body, started,
-- claimed]; started: it is or was ready.
SELECT json_array(m.id, s.state, m.category, m.created_ms, s.expires_ms, json(m.body),
    s.version > 0 OR EXISTS (SELECT 1 FROM queue q WHERE q.message = m.id AND q.rank IS NOT NULL),
    EXISTS (SELECT 1 FROM queue q WHERE q.message = m.id AND q.owner IS NOT NULL))
FROM message m JOIN status s ON s.message = m.id
WHERE m.id = :message AND m.tenant = :tenant AND m.internal = 0;

-- name: message_attempts
-- Gives [[step, part, number, provider, outcome, code, detail, started_ms, ended_ms], …]
-- Only SQLite: elsewhere part of `message_head`, for each query is a way there and back.
SELECT coalesce(json_group_array(json_array(step, part, number, provider, outcome, code, detail,
                                            started_ms, ended_ms)), '[]')
FROM attempt WHERE message = :message;

-- name: message_receipts
-- Gives [[step, part, provider, event, code, detail, at_ms], …]
-- Only SQLite: elsewhere part of `message_head`, for each query is a way there and back.
SELECT coalesce(json_group_array(json_array(step, part, provider, event, code, detail, at_ms)),
                '[]')
FROM receipt WHERE message = :message;

-- name: message_events
-- Gives [[at_ms, event, channel, provider, detail], …]
-- Only SQLite: elsewhere part of `message_head`, for each query is a way there and back.
SELECT coalesce(json_group_array(json_array(at_ms, event, channel, provider, detail)), '[]')
FROM event WHERE message = :message;

-- name: list_messages
-- A page of a tenant's messages with ids from :first on and before :before, newest first. Gives
-- [[id, state, category, created_ms, expires_ms, metadata, started, claimed], …]
SELECT {listed}
FROM (
    SELECT m.id, s.state, m.category, m.created_ms, s.expires_ms, m.body, s.version
    FROM message m JOIN status s ON s.message = m.id
    WHERE m.tenant = :tenant AND m.internal = 0
      AND m.id >= :first AND m.id < :before
      AND (:category = '' OR m.category = :category)
      AND (:state = '' OR s.state = :state)
    ORDER BY m.id DESC
    LIMIT :limit
);

-- name: list_rare
-- The same for a state that few messages are in, in the index's own words.
SELECT {listed}
FROM (
    SELECT m.id, s.state, m.category, m.created_ms, s.expires_ms, m.body, s.version
    FROM status s INDEXED BY status_rare JOIN message m ON m.id = s.message
    WHERE s.tenant = :tenant AND s.state = :state
      AND (s.state = 'failed' OR s.state = 'expired' OR s.state = 'unknown'
           OR s.state = 'suppressed' OR s.state = 'cancelled')
      AND s.message >= :first AND s.message < :before
      AND (:category = '' OR m.category = :category)
    ORDER BY s.message DESC
    LIMIT :limit
);

-- name: list_phase
-- The same for what is in the queue and scheduled, queued or being sent.
SELECT {listed}
FROM (
    SELECT m.id, s.state, m.category, m.created_ms, s.expires_ms, m.body, s.version
    FROM (SELECT message, max(owner IS NOT NULL) AS claimed, max(rank IS NOT NULL) AS ready
          FROM queue
          WHERE message >= :first AND message < :before AND flow = :tenant
          GROUP BY message) q
    JOIN message m ON m.id = q.message
    JOIN status s ON s.message = q.message
    WHERE m.tenant = :tenant AND m.internal = 0 AND s.state = 'queued'
      AND (:category = '' OR m.category = :category)
      AND :phase = CASE WHEN q.claimed THEN 'sending'
                        WHEN q.ready OR s.version > 0 THEN 'queued' ELSE 'scheduled' END
    ORDER BY q.message DESC
    LIMIT :limit
);

-- name: dead_messages
-- Dead letters, oldest first, in the index's own words. Gives [[tenant, id, state, category,
-- created_ms, expires_ms, metadata], …]
SELECT coalesce(json_group_array(json_array(tenant, id, state, category, created_ms, expires_ms,
                                            json(metadata))), '[]')
FROM (
    SELECT m.tenant, m.id, s.state, m.category, m.created_ms, s.expires_ms,
           coalesce(m.body -> '$.metadata', '{}') AS metadata
    FROM status s INDEXED BY status_dead JOIN message m ON m.id = s.message
    WHERE (s.state = 'failed' OR s.state = 'expired' OR s.state = 'unknown')
      AND s.message > :cursor
      AND m.internal = 0 AND (:tenant = '' OR m.tenant = :tenant)
    ORDER BY s.message
    LIMIT :limit
);

-- name: webhooks_of
-- Webhook messages for an endpoint, oldest first. Gives [id, …]
SELECT coalesce(json_group_array(id), '[]')
FROM (
    SELECT m.id
    FROM message m JOIN status s ON s.message = m.id
    WHERE m.id >= :first AND m.internal = 1
      AND m.body ->> '$.chain[0].parts[0].endpoint' = :endpoint
      AND (:only_failed = 0 OR s.state IN ('failed', 'expired', 'unknown', 'cancelled'))
    ORDER BY m.id
    LIMIT :limit
);

-- name: depths
-- Unclaimed rows of the queue, counted in its indexes, and when the first of each lane's queues
-- became due. Gives [[lane, phase, rows, due_ms or null], …]
SELECT coalesce(json_group_array(json_array(lane, phase, rows, due_ms)), '[]')
FROM (
    SELECT lane, 'ready' AS phase, sum(rows) AS rows, min(head_ms) AS due_ms
    FROM (SELECT lane, count(*) AS rows,
                 (SELECT due_ms FROM queue f INDEXED BY queue_ready
                  WHERE f.lane = q.lane AND f.pin = q.pin AND f.priority = q.priority
                    AND f.rank IS NOT NULL AND f.owner IS NULL
                  ORDER BY f.rank LIMIT 1) AS head_ms
          FROM queue q INDEXED BY queue_ready
          WHERE rank IS NOT NULL AND owner IS NULL
          GROUP BY lane, pin, priority)
    GROUP BY lane
    UNION ALL
    SELECT lane, 'waiting', count(*), min(due_ms)
    FROM queue INDEXED BY queue_waiting
    WHERE rank IS NULL AND owner IS NULL
    GROUP BY lane
);

-- name: old_messages
-- Messages older than :before that have no work left. Gives [id, …]
SELECT coalesce(json_group_array(id), '[]')
FROM (
    SELECT id FROM message m
    WHERE m.id < :before AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.message = m.id)
    ORDER BY id LIMIT :limit
);

-- name: purge_message
-- The messages themselves. rows: [message, …]
DELETE FROM message WHERE id IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_status
-- Statuses of old messages. rows: [message, …]
DELETE FROM status WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_attempt
-- Attempts of old messages. rows: [message, …]
DELETE FROM attempt WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_receipt
-- Receipts of old messages. rows: [message, …]
DELETE FROM receipt WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_event
-- Decisions about old messages. rows: [message, …]
DELETE FROM event WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_reference
-- Providers' names of old messages. rows: [message, …]
DELETE FROM reference WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: purge_parked
-- Receipts whose attempt never got a name.
DELETE FROM reference WHERE (provider, reference) IN (
    SELECT provider, reference FROM reference INDEXED BY reference_parked
    WHERE parked IS NOT NULL AND message IS NULL AND at_ms < :before_ms LIMIT :limit);

-- name: purge_keys
-- Idempotency keys whose time is over.
DELETE FROM idempotency WHERE (tenant, key) IN (
    SELECT tenant, key FROM idempotency WHERE until_ms <= :now_ms LIMIT :limit);

-- name: purge_dedupe
-- Dedupe entries whose window is over.
DELETE FROM dedupe WHERE (tenant, key) IN (
    SELECT tenant, key FROM dedupe WHERE until_ms <= :now_ms LIMIT :limit);

-- name: purge_latest
-- Words that nobody waits to say any more.
DELETE FROM latest WHERE (tenant, key) IN (
    SELECT tenant, key FROM latest WHERE until_ms <= :now_ms LIMIT :limit);

-- name: purge_contacts
-- Addresses that have not been written to for long.
DELETE FROM contact WHERE (provider, hash) IN (
    SELECT provider, hash FROM contact INDEXED BY contact_age
    WHERE at_ms < :before_ms LIMIT :limit);

-- name: purge_inbound
-- What comes no second time any more.
DELETE FROM inbound WHERE (provider, key) IN (
    SELECT provider, key FROM inbound WHERE until_ms <= :now_ms LIMIT :limit);
