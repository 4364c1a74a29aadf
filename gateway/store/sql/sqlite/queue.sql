-- name: accept_messages
-- Store new messages. rows: [[id, tenant, category, internal, created_ms, body], …]
INSERT INTO message (id, tenant, category, internal, created_ms, body)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM jsonb_each(:rows);

-- name: accept_statuses
-- Their first status. rows: [[message, state, ending, expires_ms, tenant or ''], …]
INSERT INTO status (message, state, version, redrive, ending, expires_ms, tenant)
SELECT value ->> 0, value ->> 1, 0, 0, value ->> 2, value ->> 3, value ->> 4
FROM jsonb_each(:rows);

-- name: put_queue
-- Queue rows, new or in place of unclaimed ones. rows: [[message, step, part, lane, pin, priority,
-- rank, flow, weight, due_ms, expires_ms, attempts, units, once, epoch], …]
INSERT INTO queue (message, step, part, lane, pin, priority, rank, flow, weight, due_ms,
                   expires_ms, attempts, units, once, owner, epoch)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12,
       value ->> 13, NULL, value ->> 14
FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (message, step, part) DO UPDATE
SET lane = excluded.lane, pin = excluded.pin, rank = excluded.rank, due_ms = excluded.due_ms,
    expires_ms = excluded.expires_ms, attempts = excluded.attempts, owner = NULL;

-- name: reserve_ranks
-- Take :count ranks for a flow; gives the first of them less one step.
INSERT INTO flow (lane, priority, flow, last)
VALUES (:lane, :priority, :flow, :count / :weight + coalesce(
    (SELECT last FROM flow WHERE lane = :lane AND priority = :priority AND flow = ''), 0.0))
ON CONFLICT (lane, priority, flow) DO UPDATE
SET last = :count / :weight + max(last, coalesce(
    (SELECT last FROM flow WHERE lane = :lane AND priority = :priority AND flow = ''), 0.0))
RETURNING last - :count / :weight;

-- name: advance_clock
-- The clock of a lane and priority is the rank of the latest claim.
INSERT INTO flow (lane, priority, flow, last) VALUES (:lane, :priority, '', :rank)
ON CONFLICT (lane, priority, flow) DO UPDATE SET last = max(last, excluded.last);

-- name: seen_keys
-- Idempotency keys that exist. rows: [[tenant, key], …]; gives [[tenant, key, fingerprint,
-- message, state], …]
-- Only SQLite: where others store at the same time, keys are taken, not looked up.
SELECT coalesce(json_group_array(json_array(i.tenant, i.key, i.fingerprint, i.message, s.state)),
                '[]')
FROM jsonb_each(:rows) r
JOIN idempotency i ON i.tenant = r.value ->> 0 AND i.key = r.value ->> 1
JOIN status s ON s.message = i.message
WHERE i.until_ms > :now_ms;

-- name: put_keys
-- Remember idempotency keys. rows: [[tenant, key, fingerprint, message, until_ms], …]
INSERT OR REPLACE INTO idempotency (tenant, key, fingerprint, message, until_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
FROM jsonb_each(:rows);

-- name: seen_dedupe
-- Live dedupe entries. rows: [[tenant, key], …]; gives [[tenant, key, message, state], …]
-- Only SQLite: where others store at the same time, keys are taken, not looked up.
SELECT coalesce(json_group_array(json_array(d.tenant, d.key, d.message, s.state)), '[]')
FROM jsonb_each(:rows) r
JOIN dedupe d ON d.tenant = r.value ->> 0 AND d.key = r.value ->> 1
JOIN status s ON s.message = d.message
WHERE d.until_ms > :now_ms;

-- name: put_dedupe
-- Remember dedupe entries. rows: [[tenant, key, message, until_ms], …]
INSERT OR REPLACE INTO dedupe (tenant, key, message, until_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3
FROM jsonb_each(:rows);

-- name: put_latest
-- Messages that are the latest word on something. Who commits last has it, whatever the clocks
-- say: a word must not be older than the one that it has retired. rows: [[tenant, key, message,
-- at_ms, until_ms], …], a key once
INSERT INTO latest (tenant, key, message, at_ms, until_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (tenant, key) DO UPDATE
SET message = excluded.message, at_ms = excluded.at_ms, until_ms = excluded.until_ms;

-- name: latest
-- rows: [[tenant, key], …]; gives [[tenant, key, message], …]
SELECT coalesce(json_group_array(json_array(l.tenant, l.key, l.message)), '[]')
FROM jsonb_each(:rows) r
JOIN latest l ON l.tenant = r.value ->> 0 AND l.key = r.value ->> 1;

-- name: free_dedupe
-- Forget the entries of messages that ended without success. rows: [message, …]
DELETE FROM dedupe WHERE message IN (SELECT value FROM jsonb_each(:rows));

-- name: head_due
-- When the head of a lane that anyone may take became due; NULL when there is none.
-- Only SQLite: elsewhere claiming is one statement.
SELECT due_ms FROM queue
WHERE lane = :lane AND pin = '' AND rank IS NOT NULL AND owner IS NULL
ORDER BY priority, rank LIMIT 1;

-- name: any_ready
-- 1 when a row is ready that :provider may take, NULL else: a fiftieth of what `heads` costs to find
-- nothing, which is what most claims of a quiet gateway find.
-- Only SQLite: as `head_due`.
SELECT 1 FROM queue
WHERE lane = :lane AND pin IN ('', :provider) AND rank IS NOT NULL AND owner IS NULL
  AND priority BETWEEN :lowest AND :highest
LIMIT 1;

-- name: heads
-- The first rows of a lane for one provider, with their cases, of priorities :lowest to :highest.
-- :limit counts all, :unpinned how many of them may be rows that anyone could take.
WITH head AS (
    SELECT * FROM (
        SELECT message, step, part, lane, pin, priority, rank, flow, weight, due_ms, expires_ms,
               attempts, units, once, epoch, taker
        FROM queue
        WHERE lane = :lane AND pin = '' AND rank IS NOT NULL AND owner IS NULL
          AND priority BETWEEN :lowest AND :highest
        ORDER BY priority, rank LIMIT :unpinned)
    UNION ALL
    SELECT * FROM (
        SELECT message, step, part, lane, pin, priority, rank, flow, weight, due_ms, expires_ms,
               attempts, units, once, epoch, taker
        FROM queue
        WHERE lane = :lane AND pin = :provider AND rank IS NOT NULL AND owner IS NULL
          AND priority BETWEEN :lowest AND :highest
        ORDER BY priority, rank LIMIT :limit)
    ORDER BY priority, rank LIMIT :limit
)
SELECT '[' || coalesce(group_concat(
    '[' || json_array(h.step, h.part, h.lane, h.pin, h.priority, h.rank, h.flow, h.weight,
                      h.due_ms, h.expires_ms, h.attempts, h.units, h.once, h.epoch, h.taker)
    || ',' || {case} || ']'
    ORDER BY h.priority, h.rank), '') || ']'
FROM head h
JOIN message m ON m.id = h.message
JOIN status s ON s.message = h.message;

-- name: heads_of_pins
-- The first :most rows of each pin of a lane, whose messages have a single part, with their cases.
-- pins: [pin, …].
WITH head AS (
    SELECT q.* FROM json_each(:pins) p CROSS JOIN queue q ON q.message IN (
        SELECT message FROM queue
        WHERE lane = :lane AND pin = p.value AND rank IS NOT NULL AND owner IS NULL
        ORDER BY priority, rank LIMIT :most)
)
SELECT '[' || coalesce(group_concat(
    '[' || json_array(h.step, h.part, h.lane, h.pin, h.priority, h.rank, h.flow, h.weight,
                      h.due_ms, h.expires_ms, h.attempts, h.units, h.once, h.epoch, h.taker)
    || ',' || {case} || ']' ORDER BY h.rank), '') || ']'
FROM head h
JOIN message m ON m.id = h.message
JOIN status s ON s.message = h.message;

-- name: ready_pins
-- Pins of a lane that have ready rows, found by skipping through the index. Gives [pin, …]
WITH RECURSIVE found (pin) AS (
    SELECT min(pin) FROM queue
    WHERE lane = :lane AND pin > '' AND rank IS NOT NULL AND owner IS NULL
    UNION ALL
    SELECT (SELECT min(pin) FROM queue
            WHERE lane = :lane AND pin > found.pin AND rank IS NOT NULL AND owner IS NULL)
    FROM found WHERE found.pin IS NOT NULL
)
SELECT coalesce(json_group_array(pin), '[]') FROM found WHERE pin IS NOT NULL;

-- name: take
-- Claim rows for :owner, to be sent by :taker. rows: [[message, step, part], …]
-- Only SQLite: as `head_due`.
UPDATE queue SET owner = :owner, taker = :taker, epoch = epoch + 1, attempts = attempts + 1
FROM jsonb_each(:rows) r
WHERE queue.message = r.value ->> 0 AND queue.step = r.value ->> 1 AND queue.part = r.value ->> 2;

-- name: give_back
-- Return claimed rows untried. rows: [[message, step, part, epoch, due_ms or null], …]; with a
-- due_ms they wait until then.
UPDATE queue
SET owner = NULL, attempts = attempts - 1,
    rank = CASE WHEN r.value ->> 4 IS NULL THEN rank ELSE NULL END,
    due_ms = coalesce(r.value ->> 4, due_ms)
FROM jsonb_each(:rows) r
WHERE queue.message = r.value ->> 0 AND queue.step = r.value ->> 1 AND queue.part = r.value ->> 2
  AND queue.epoch = r.value ->> 3 AND queue.owner = :owner;

-- name: expired
-- Unclaimed rows past their time, with their cases.
WITH head AS (
    SELECT * FROM queue INDEXED BY queue_expiry
    WHERE expires_ms <= :now_ms AND owner IS NULL
    ORDER BY expires_ms LIMIT :limit
)
SELECT '[' || coalesce(group_concat(
    '[' || json_array(h.step, h.part, h.lane, h.pin, h.priority, h.rank, h.flow, h.weight,
                      h.due_ms, h.expires_ms, h.attempts, h.units, h.once, h.epoch, h.taker)
    || ',' || {case} || ']'), '') || ']'
FROM head h
JOIN message m ON m.id = h.message
JOIN status s ON s.message = h.message;

-- name: orphans
-- Rows that are claimed by anybody but :owner, with their cases.
WITH head AS (
    SELECT * FROM queue WHERE owner IS NOT NULL AND owner <> :owner LIMIT :limit
)
SELECT '[' || coalesce(group_concat(
    '[' || json_array(h.step, h.part, h.lane, h.pin, h.priority, h.rank, h.flow, h.weight,
                      h.due_ms, h.expires_ms, h.attempts, h.units, h.once, h.epoch, h.taker)
    || ',' || {case} || ']'), '') || ']'
FROM head h
JOIN message m ON m.id = h.message
JOIN status s ON s.message = h.message;

-- name: adopt
-- Make orphaned rows our own, under the epoch that they have. rows: [[message, step, part], …]
-- Only SQLite: as `head_due`.
UPDATE queue SET owner = :owner
FROM jsonb_each(:rows) r
WHERE queue.message = r.value ->> 0 AND queue.step = r.value ->> 1 AND queue.part = r.value ->> 2;

-- name: cases
-- Messages with everything that a decision about them needs. rows: [message, …]
SELECT '[' || coalesce(group_concat('[' || {case} || ']'), '') || ']'
FROM jsonb_each(:rows) r
JOIN message m ON m.id = r.value
JOIN status s ON s.message = r.value;

-- name: stale
-- Which transitions were decided on an older reading. rows: [[message, version, step, part,
-- epoch], …], step null where none is guarded; gives [[index, 'version' or 'epoch'], …]
SELECT coalesce(json_group_array(json_array(r.key, CASE
        WHEN r.value ->> 2 IS NOT NULL AND (q.epoch IS NULL OR q.epoch <> r.value ->> 4
             OR q.owner IS NOT :owner)
        THEN 'epoch' ELSE 'version' END)), '[]')
FROM jsonb_each(:rows) r
LEFT JOIN status s ON s.message = r.value ->> 0
LEFT JOIN queue q ON q.message = r.value ->> 0 AND q.step = r.value ->> 2 AND q.part = r.value ->> 3
WHERE s.version IS NOT r.value ->> 1
   OR (r.value ->> 2 IS NOT NULL AND (q.epoch IS NULL OR q.epoch <> r.value ->> 4
       OR q.owner IS NOT :owner));

-- name: being_sent
-- Rows that somebody holds. rows: [[message, step, part, index], …]; gives [index, …]
SELECT coalesce(json_group_array(r.value ->> 3), '[]')
FROM jsonb_each(:rows) r
JOIN queue q ON q.message = r.value ->> 0 AND q.step = r.value ->> 1 AND q.part = r.value ->> 2
WHERE q.owner IS NOT NULL;

-- name: put_attempts
-- Evidence of attempts. rows: [[message, redrive, step, part, number, provider, outcome, code,
-- detail, started_ms, ended_ms, segments], …]
INSERT OR IGNORE INTO attempt (message, redrive, step, part, number, provider, outcome, code,
                               detail, started_ms, ended_ms, segments)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
FROM jsonb_each(:rows);

-- name: put_receipts
-- Evidence of receipts; a repeated one changes nothing. rows: [[message, redrive, step, part,
-- number, provider, event, code, detail, at_ms, segment], …]
INSERT OR IGNORE INTO receipt (message, redrive, step, part, number, provider, event, code,
                               detail, at_ms, segment)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7, value ->> 8, value ->> 9, value ->> 10
FROM jsonb_each(:rows);

-- name: put_events
-- Decisions and their reasons. rows: [[message, at_ms, event, channel, provider, detail], …]
INSERT INTO event (message, at_ms, event, channel, provider, detail)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM jsonb_each(:rows);

-- name: set_statuses
-- The new status of messages. rows: [[message, state, redrive, ending, expires_ms], …]
UPDATE status
SET state = r.value ->> 1, redrive = r.value ->> 2, ending = r.value ->> 3,
    expires_ms = r.value ->> 4, version = version + 1
FROM jsonb_each(:rows) r
WHERE status.message = r.value ->> 0;

-- name: drop_queue
-- Queue rows that are done with. rows: [[message, step, part], …]
DELETE FROM queue
WHERE (message, step, part) IN (SELECT value ->> 0, value ->> 1, value ->> 2
                                FROM jsonb_each(:rows));

-- name: put_references
-- Providers' ids for our attempts. rows: [[provider, reference, message, redrive, step, part,
-- number, at_ms], …]
INSERT INTO reference (provider, reference, message, redrive, step, part, number, at_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> 7
FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (provider, reference) DO UPDATE
SET message = excluded.message, redrive = excluded.redrive, step = excluded.step,
    part = excluded.part, number = excluded.number;

-- name: put_contacts
-- The latest message to an address. rows: [[provider, hash, message, at_ms], …]
INSERT INTO contact (provider, hash, message, at_ms)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(:rows)
WHERE true
ON CONFLICT (provider, hash) DO UPDATE
SET message = excluded.message, at_ms = excluded.at_ms
WHERE excluded.at_ms >= at_ms;

-- name: take_inbound
-- Note that something has been seen to. Changes nothing if it was before.
INSERT OR IGNORE INTO inbound (provider, key, until_ms) VALUES (:provider, :key, :until_ms);

-- name: lane_overview
-- By lane and priority, when the earliest waiting row is due and how many are ready, counted up to
-- :most. lanes: [lane, …]; gives [[lane, priority, due_ms or null, ready], …]
SELECT json_group_array(json_array(
    l.value, p.value,
    (SELECT min(due_ms) FROM queue
     WHERE lane = l.value AND priority = p.value AND rank IS NULL AND owner IS NULL),
    (SELECT count(*) FROM (
        SELECT 1 FROM queue
        WHERE lane = l.value AND pin = '' AND priority = p.value
          AND rank IS NOT NULL AND owner IS NULL
        LIMIT :most))))
FROM json_each(:lanes) l, json_each('[0, 1, 2, 3]') p;

-- name: due_rows
-- Work of a lane and priority whose time has come, oldest first. Gives [[message, step, part,
-- flow, weight, attempts], …]
SELECT coalesce(json_group_array(json_array(message, step, part, flow, weight, attempts)), '[]')
FROM (SELECT message, step, part, flow, weight, attempts FROM queue
      WHERE lane = :lane AND priority = :priority AND rank IS NULL AND owner IS NULL
        AND due_ms <= :now_ms
      ORDER BY due_ms LIMIT :limit);

-- name: promote
-- Make rows ready. rows: [[message, step, part, rank], …]
UPDATE queue SET rank = r.value ->> 3
FROM jsonb_each(:rows) r
WHERE queue.message = r.value ->> 0 AND queue.step = r.value ->> 1 AND queue.part = r.value ->> 2
  AND queue.owner IS NULL;

-- name: clock
-- The virtual time of a lane and priority.
SELECT coalesce((SELECT last FROM flow WHERE lane = :lane AND priority = :priority AND flow = ''),
                0.0);

-- name: unpin
-- Let anyone take the rows that only :provider might.
UPDATE queue SET pin = ''
WHERE (message, step, part) IN (
    SELECT message, step, part FROM queue
    WHERE lane = :lane AND pin = :provider AND rank IS NOT NULL AND owner IS NULL
    LIMIT :limit);

-- name: unpin_strangers
-- Let anyone take the rows that only a provider which no longer exists might.
UPDATE queue SET pin = ''
WHERE pin <> '' AND lane <> 'webhook' AND pin NOT IN (SELECT value FROM json_each(:providers));
