-- name: accept_messages
-- Store new messages.
INSERT INTO message (id, tenant, category, internal, endpoint, created_ms, body)
SELECT * FROM unnest(:id::uuid[], :tenant::text[], :category::text[], :internal::boolean[],
                     :endpoint::text[], :created_ms::bigint[], :body::text[]);

-- name: accept_statuses
-- Their first status; the tenant is '' for messages of ours.
INSERT INTO status (message, state, version, redrive, ending, expires_ms, tenant)
SELECT message, state, 0, 0, ending, expires_ms, tenant
FROM unnest(:message::uuid[], :state::text[], :ending::text[], :expires_ms::bigint[],
            :tenant::text[]) AS r (message, state, ending, expires_ms, tenant);

-- name: put_queue
-- Queue rows, new or in place of unclaimed ones.
INSERT INTO queue (message, step, part, lane, pin, priority, rank, flow, weight, due_ms,
                   expires_ms, attempts, units, once, epoch)
SELECT * FROM unnest(:message::uuid[], :step::smallint[], :part::smallint[], :lane::text[],
                     :pin::text[], :priority::smallint[], :rank::float8[], :flow::text[],
                     :weight::float8[], :due_ms::bigint[], :expires_ms::bigint[],
                     :attempts::integer[], :units::integer[], :once::boolean[],
                     :epoch::integer[])
ON CONFLICT (message, step, part) DO UPDATE
SET lane = excluded.lane, pin = excluded.pin, rank = excluded.rank, due_ms = excluded.due_ms,
    expires_ms = excluded.expires_ms, attempts = excluded.attempts, owner = NULL;

-- name: reserve_ranks
-- Take room for rows of flows, one over its weight for each; gives what lies before it:
-- (lane, priority, flow, start). In the order given, which must be sorted.
-- Differs: all flows at once, and not waiting for the disk: what a crash undoes is only order.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
)
INSERT INTO flow AS f (lane, priority, flow, last, taken)
SELECT r.lane, r.priority, r.flow, r.room + coalesce(
           (SELECT c.last FROM flow c
            WHERE c.lane = r.lane AND c.priority = r.priority AND c.flow = ''), 0), r.room
FROM relaxed, unnest(:lane::text[], :priority::smallint[], :flow::text[], :room::float8[])
    AS r (lane, priority, flow, room)
ON CONFLICT (lane, priority, flow) DO UPDATE
SET last = greatest(f.last + excluded.taken, excluded.last), taken = excluded.taken
RETURNING f.lane, f.priority, f.flow, f.last - f.taken;

-- name: advance_clock
-- The clock of a lane and priority is the rank of the latest claim. In the order given, which must
-- be sorted; the disk is not waited for.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
)
INSERT INTO flow AS f (lane, priority, flow, last, taken)
SELECT r.lane, r.priority, '', r.rank, 0
FROM relaxed, unnest(:lane::text[], :priority::smallint[], :rank::float8[])
    AS r (lane, priority, rank)
ON CONFLICT (lane, priority, flow) DO UPDATE SET last = excluded.last
WHERE f.last < excluded.last;

-- name: clock
-- The virtual time of lanes and priorities: (lane, priority, last).
-- Differs: of many at once; those without one are left out.
SELECT f.lane, f.priority, f.last
FROM unnest(:lane::text[], :priority::smallint[]) AS r (lane, priority)
JOIN flow f ON f.lane = r.lane AND f.priority = r.priority AND f.flow = '';

-- name: take_keys
-- Keep idempotency keys for new messages where they are free; gives whom each stands for now:
-- (tenant, key, fingerprint, message). In the order given, which must be sorted: a key that
-- another transaction is about to keep is waited for.
-- Only PostgreSQL: with others at work, looking first and writing after would race.
INSERT INTO idempotency AS i (tenant, key, fingerprint, message, until_ms)
SELECT * FROM unnest(:tenant::text[], :key::text[], :fingerprint::text[], :message::uuid[],
                     :until_ms::bigint[])
ON CONFLICT (tenant, key) DO UPDATE
SET (fingerprint, message, until_ms) = (
    SELECT excluded.fingerprint, excluded.message, excluded.until_ms WHERE i.until_ms <= :now_ms
    UNION ALL
    SELECT i.fingerprint, i.message, i.until_ms WHERE i.until_ms > :now_ms)
RETURNING i.tenant, i.key, i.fingerprint, i.message::text;

-- name: put_keys
-- Remember idempotency keys.
INSERT INTO idempotency (tenant, key, fingerprint, message, until_ms)
SELECT * FROM unnest(:tenant::text[], :key::text[], :fingerprint::text[], :message::uuid[],
                     :until_ms::bigint[])
ON CONFLICT (tenant, key) DO UPDATE
SET fingerprint = excluded.fingerprint, message = excluded.message, until_ms = excluded.until_ms;

-- name: take_dedupe
-- Keep dedupe entries for new messages where there is none alive; gives whom each stands for now:
-- (tenant, key, message). In the order given, which must be sorted.
-- Only PostgreSQL: as `take_keys`.
INSERT INTO dedupe AS d (tenant, key, message, until_ms)
SELECT * FROM unnest(:tenant::text[], :key::text[], :message::uuid[], :until_ms::bigint[])
ON CONFLICT (tenant, key) DO UPDATE
SET (message, until_ms) = (
    SELECT excluded.message, excluded.until_ms WHERE d.until_ms <= :now_ms
    UNION ALL
    SELECT d.message, d.until_ms WHERE d.until_ms > :now_ms)
RETURNING d.tenant, d.key, d.message::text;

-- name: put_dedupe
-- Remember dedupe entries.
INSERT INTO dedupe (tenant, key, message, until_ms)
SELECT * FROM unnest(:tenant::text[], :key::text[], :message::uuid[], :until_ms::bigint[])
ON CONFLICT (tenant, key) DO UPDATE
SET message = excluded.message, until_ms = excluded.until_ms;

-- name: transaction_end
-- What became of a transaction: 'committed', 'aborted' or 'in progress'; 'unknown' when the server
-- has crashed since or is another, for then its number may be that of another transaction.
-- Only PostgreSQL: as `undo_claims`.
SELECT CASE WHEN :life::text = {life} THEN pg_xact_status(:transaction::text::xid8)
            ELSE 'unknown' END;

-- name: states
-- (message, state) of those that exist. :first and :last as for `cases`.
-- Only PostgreSQL: what `take_keys` gives cannot be joined.
SELECT message::text, state FROM status
WHERE message BETWEEN :first::uuid AND :last::uuid AND message = ANY(:messages::uuid[]);

-- name: put_latest
-- Messages that are the latest word on something; each key once, sorted. Who commits last has it,
-- whatever the clocks say: a word must not be older than the one that it has retired.
INSERT INTO latest (tenant, key, message, at_ms, until_ms)
SELECT * FROM unnest(:tenant::text[], :key::text[], :message::uuid[], :at_ms::bigint[],
                     :until_ms::bigint[])
ON CONFLICT (tenant, key) DO UPDATE
SET message = excluded.message, at_ms = excluded.at_ms, until_ms = excluded.until_ms;

-- name: latest
-- (tenant, key, message) of those that are known.
SELECT l.tenant, l.key, l.message::text
FROM unnest(:tenant::text[], :key::text[]) r (tenant, key)
JOIN latest l USING (tenant, key);

-- name: free_dedupe
-- Forget the entries of messages that ended without success.
DELETE FROM dedupe WHERE message = ANY(:message::uuid[]);

-- name: heads
-- Claim the first rows of a lane for one provider, of priorities :lowest to :highest, in their
-- order. :limit counts all, :unpinned how many of them may be rows that anyone could take, and
-- these only if the first of them was due by :head_due_by_ms. Rows to be sent once beyond the first
-- :startable end it.
-- Differs: claims, too. The rows are locked in the order of the index, passing over those that
-- others are claiming; a CTE that is not materialised might be run more often than its LIMIT says.
WITH free AS MATERIALIZED (
    SELECT message, step, part, priority, rank, once
    FROM queue
    WHERE lane = :lane AND pin = '' AND rank IS NOT NULL AND owner IS NULL
      AND priority BETWEEN :lowest::smallint AND :highest::smallint
      AND (:head_due_by_ms::bigint IS NULL OR :head_due_by_ms::bigint >= (
            SELECT due_ms FROM queue
            WHERE lane = :lane AND pin = '' AND rank IS NOT NULL AND owner IS NULL
            ORDER BY priority, rank LIMIT 1))
    ORDER BY priority, rank LIMIT :unpinned
    FOR UPDATE SKIP LOCKED
), kept AS MATERIALIZED (
    SELECT message, step, part, priority, rank, once
    FROM queue
    WHERE lane = :lane AND pin = :provider AND rank IS NOT NULL AND owner IS NULL
      AND priority BETWEEN :lowest::smallint AND :highest::smallint
    ORDER BY priority, rank LIMIT :limit
    FOR UPDATE SKIP LOCKED
), head AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY priority, rank) AS place
    FROM (SELECT * FROM free UNION ALL SELECT * FROM kept) AS heads
), taken AS (
    UPDATE queue q
    SET owner = :owner, taker = :provider, ticket = :ticket, epoch = epoch + 1,
        attempts = attempts + 1
    FROM head h
    WHERE q.message = h.message AND q.step = h.step AND q.part = h.part
      AND h.place <= least(:limit::bigint, (SELECT min(place) - 1 FROM head
                                            WHERE once AND place > :startable::bigint))
    RETURNING h.place, {claimed}
)
SELECT * FROM taken ORDER BY place;

-- name: heads_of_pins
-- Claim the first rows of each pin of a lane, as many as wanted.
-- Differs: claims, too.
WITH head AS MATERIALIZED (
    SELECT h.* FROM unnest(:pins::text[], :wanted::integer[]) AS p (pin, wanted)
    CROSS JOIN LATERAL (
        SELECT message, step, part FROM queue
        WHERE lane = :lane AND pin = p.pin AND rank IS NOT NULL AND owner IS NULL
        ORDER BY priority, rank LIMIT p.wanted
        FOR UPDATE SKIP LOCKED) AS h
), taken AS (
    UPDATE queue q
    SET owner = :owner, taker = :taker, ticket = :ticket, epoch = epoch + 1,
        attempts = attempts + 1
    FROM head h
    WHERE q.message = h.message AND q.step = h.step AND q.part = h.part
    RETURNING q.rank AS place, {claimed}
)
SELECT * FROM taken ORDER BY place;

-- name: ready_pins
-- Pins of a lane that have ready rows, found by skipping through the index: (pin).
WITH RECURSIVE found (pin) AS (
    (SELECT pin FROM queue
     WHERE lane = :lane AND pin > '' AND rank IS NOT NULL AND owner IS NULL
     ORDER BY pin LIMIT 1)
    UNION ALL
    SELECT (SELECT q.pin FROM queue q
            WHERE q.lane = :lane AND q.pin > found.pin AND q.rank IS NOT NULL AND q.owner IS NULL
            ORDER BY q.pin LIMIT 1)
    FROM found WHERE found.pin IS NOT NULL
)
SELECT pin FROM found WHERE pin IS NOT NULL;

-- name: give_back
-- Return claimed rows untried; with a due_ms they wait until then. In the order given, which must
-- be sorted. (A LIMIT keeps conditions on a row apart from finding it: with stale statistics, the
-- index of the owner's rows may look shorter than a look-up of the key.)
WITH held AS MATERIALIZED (
    SELECT r.message, r.step, r.part, r.due_ms
    FROM unnest(:message::uuid[], :step::smallint[], :part::smallint[], :epoch::integer[],
                :due_ms::bigint[]) AS r (message, step, part, epoch, due_ms)
    CROSS JOIN LATERAL (
        SELECT epoch, owner FROM queue q
        WHERE q.message = r.message AND q.step = r.step AND q.part = r.part
        LIMIT 1 FOR UPDATE) AS h
    WHERE h.epoch = r.epoch AND h.owner = :owner
)
UPDATE queue q
SET owner = NULL, attempts = attempts - 1,
    rank = CASE WHEN h.due_ms IS NULL THEN q.rank END,
    due_ms = coalesce(h.due_ms, q.due_ms)
FROM held h
WHERE q.message = h.message AND q.step = h.step AND q.part = h.part;

-- name: undo_claims
-- Return the rows of claims of which we never heard. Those that had been taken over from a dead
-- node, under a ticket below 0, get an owner that is dead as well.
-- Only PostgreSQL: between a claim and us lies a network.
UPDATE queue
SET owner = CASE WHEN ticket < 0 THEN '' END,
    attempts = attempts - CASE WHEN ticket < 0 THEN 0 ELSE 1 END
WHERE owner = :owner AND ticket = ANY(:tickets::bigint[]);

-- name: expired
-- Claim unclaimed rows past their time, to end them.
-- Differs: claims, too.
WITH head AS MATERIALIZED (
    SELECT message, step, part, expires_ms FROM queue
    WHERE expires_ms <= :now_ms AND owner IS NULL
    ORDER BY expires_ms LIMIT :limit
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE queue q
    SET owner = :owner, taker = '', ticket = :ticket, epoch = epoch + 1, attempts = attempts + 1
    FROM head h
    WHERE q.message = h.message AND q.step = h.step AND q.part = h.part
    RETURNING h.expires_ms AS place, {claimed}
)
SELECT * FROM taken ORDER BY place;

-- name: orphans
-- Make rows our own whose owner is not among the living, under the epoch that they have.
-- Differs: claims, too; an owner is dead that has not beaten for :dead_after seconds.
WITH RECURSIVE owners (owner) AS (
    (SELECT owner FROM queue WHERE owner >= '' ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (SELECT q.owner FROM queue q WHERE q.owner > owners.owner ORDER BY q.owner LIMIT 1)
    FROM owners WHERE owners.owner IS NOT NULL
), dead AS MATERIALIZED (
    SELECT owner FROM owners
    WHERE owner IS NOT NULL AND owner <> :owner AND NOT EXISTS (
        SELECT 1 FROM node n
        WHERE n.id = owners.owner
          AND n.beat > clock_timestamp() - make_interval(secs => :dead_after::float8))
), head AS MATERIALIZED (
    SELECT h.* FROM dead CROSS JOIN LATERAL (
        SELECT message, step, part FROM queue WHERE owner = dead.owner LIMIT :limit
        FOR UPDATE SKIP LOCKED) AS h
    LIMIT :limit
), taken AS (
    UPDATE queue q SET owner = :owner, ticket = :ticket
    FROM head h
    WHERE q.message = h.message AND q.step = h.step AND q.part = h.part
    RETURNING q.rank AS place, {claimed}
)
SELECT * FROM taken ORDER BY place;

-- name: cases
-- Messages with everything that a decision about them needs: (id, tenant, internal, created_ms,
-- state, version, redrive, ending, expires_ms, body, [[step, part, claimed, due_ms, epoch], …],
-- [[redrive, step, part, number, provider, outcome], …], [[redrive, step, part, number, provider,
-- event], …]), lists as JSON and null when empty.
-- :first and :last are the ends of the list: they tell which partitions to open, before anything is
-- looked up.
SELECT m.id::text, m.tenant, m.internal, m.created_ms, s.state, s.version, s.redrive, s.ending,
       s.expires_ms, m.body,
       (SELECT json_agg(json_build_array(l.step, l.part, l.owner IS NOT NULL, l.due_ms, l.epoch)
                        ORDER BY l.step, l.part)::text
        FROM queue l WHERE l.message = m.id),
       CASE WHEN s.version > 0 THEN
         (SELECT json_agg(json_build_array(a.redrive, a.step, a.part, a.number, a.provider,
                                           a.outcome, a.segments)
                          ORDER BY a.redrive, a.step, a.part, a.number)::text
          FROM attempt a
          WHERE a.message = m.id AND a.message BETWEEN :first::uuid AND :last::uuid) END,
       CASE WHEN s.version > 0 THEN
         (SELECT json_agg(json_build_array(c.redrive, c.step, c.part, nullif(c.number, -1),
                                           c.provider, c.event, c.segment)
                          ORDER BY c.redrive, c.step, c.part, c.number, c.provider, c.event,
                                   c.segment)::text
          FROM receipt c
          WHERE c.message = m.id AND c.message BETWEEN :first::uuid AND :last::uuid) END
FROM message m
JOIN status s ON s.message = m.id AND s.message BETWEEN :first::uuid AND :last::uuid
WHERE m.id BETWEEN :first::uuid AND :last::uuid
  AND m.id = ANY(:messages::uuid[]);

-- name: stale
-- Which transitions were decided on an older reading; step null where none is guarded:
-- (index, 'version' or 'epoch'). :first and :last as for `cases`.
-- Differs: locks the statuses and then the queue rows of the messages, both in the order of their
-- ids, so that nobody else changes them before we commit, and no two wait for each other.
WITH asked AS MATERIALIZED (
    SELECT r.*, n - 1 AS place
    FROM unnest(:message::uuid[], :version::integer[], :step::smallint[], :part::smallint[],
                :epoch::integer[]) WITH ORDINALITY AS r (message, version, step, part, epoch, n)
), present AS MATERIALIZED (
    SELECT message, version FROM status
    WHERE message BETWEEN :first::uuid AND :last::uuid
      AND message = ANY(:message::uuid[])
    ORDER BY message
    FOR UPDATE
), live AS MATERIALIZED (
    SELECT message, step, part, epoch, owner FROM queue
    WHERE message = ANY(ARRAY(SELECT message FROM present))
    ORDER BY message, step, part
    FOR UPDATE
)
SELECT * FROM (
    SELECT a.place,
           CASE WHEN a.step IS NOT NULL AND (q.epoch IS DISTINCT FROM a.epoch
                                             OR q.owner IS DISTINCT FROM :owner) THEN 'epoch'
                WHEN p.version IS DISTINCT FROM a.version THEN 'version' END AS why
    FROM asked a
    LEFT JOIN present p ON p.message = a.message
    LEFT JOIN live q ON q.message = a.message AND q.step = a.step AND q.part = a.part
) AS verdict
WHERE why IS NOT NULL;

-- name: being_sent
-- Rows that somebody holds: (index).
SELECT r.place
FROM unnest(:message::uuid[], :step::smallint[], :part::smallint[], :place::integer[])
    AS r (message, step, part, place)
WHERE (SELECT q.owner FROM queue q
       WHERE q.message = r.message AND q.step = r.step AND q.part = r.part) IS NOT NULL;

-- name: put_attempts
-- Evidence of attempts.
INSERT INTO attempt (message, redrive, step, part, number, provider, outcome, code, detail,
                     started_ms, ended_ms, segments)
SELECT * FROM unnest(:message::uuid[], :redrive::integer[], :step::smallint[], :part::smallint[],
                     :number::integer[], :provider::text[], :outcome::text[], :code::text[],
                     :detail::text[], :started_ms::bigint[], :ended_ms::bigint[],
                     :segments::smallint[])
ON CONFLICT DO NOTHING;

-- name: put_receipts
-- Evidence of receipts; a repeated one changes nothing.
INSERT INTO receipt (message, redrive, step, part, number, provider, event, code, detail, at_ms,
                     segment)
SELECT * FROM unnest(:message::uuid[], :redrive::integer[], :step::smallint[], :part::smallint[],
                     :number::integer[], :provider::text[], :event::text[], :code::text[],
                     :detail::text[], :at_ms::bigint[], :segment::text[])
ON CONFLICT DO NOTHING;

-- name: put_events
-- Decisions and their reasons.
INSERT INTO event (message, at_ms, event, channel, provider, detail)
SELECT * FROM unnest(:message::uuid[], :at_ms::bigint[], :event::text[], :channel::text[],
                     :provider::text[], :detail::text[]);

-- name: set_statuses
-- The new status of messages. :first and :last as for `cases`.
UPDATE status s
SET state = r.state, redrive = r.redrive, ending = r.ending, expires_ms = r.expires_ms,
    version = s.version + 1
FROM unnest(:message::uuid[], :state::text[], :redrive::integer[], :ending::text[],
            :expires_ms::bigint[]) AS r (message, state, redrive, ending, expires_ms)
WHERE s.message = r.message AND s.message BETWEEN :first::uuid AND :last::uuid;

-- name: drop_queue
-- Queue rows that are done with.
DELETE FROM queue q
USING unnest(:message::uuid[], :step::smallint[], :part::smallint[]) AS r (message, step, part)
WHERE q.message = r.message AND q.step = r.step AND q.part = r.part;

-- name: put_references
-- Providers' ids for our attempts. In the order given, which must be sorted.
INSERT INTO reference (provider, reference, message, redrive, step, part, number, at_ms)
SELECT * FROM unnest(:provider::text[], :reference::text[], :message::uuid[],
                     :redrive::integer[], :step::smallint[], :part::smallint[],
                     :number::integer[], :at_ms::bigint[])
ON CONFLICT (provider, reference) DO UPDATE
SET message = excluded.message, redrive = excluded.redrive, step = excluded.step,
    part = excluded.part, number = excluded.number;

-- name: put_contacts
-- The latest message to an address. In the order given, which must be sorted.
INSERT INTO contact AS c (provider, hash, message, at_ms)
SELECT * FROM unnest(:provider::text[], :hash::text[], :message::uuid[], :at_ms::bigint[])
ON CONFLICT (provider, hash) DO UPDATE
SET message = excluded.message, at_ms = excluded.at_ms
WHERE excluded.at_ms >= c.at_ms;

-- name: take_inbound
-- Note that something has been seen to. Changes nothing if it was before.
INSERT INTO inbound (provider, key, until_ms) VALUES (:provider, :key, :until_ms)
ON CONFLICT DO NOTHING;

-- name: lane_overview
-- By lane and priority, when the earliest waiting row is due and how many are ready, counted up to
-- :most: (lane, priority, due_ms or null, ready).
SELECT l.lane, p.priority,
       (SELECT due_ms FROM queue
        WHERE lane = l.lane AND priority = p.priority AND rank IS NULL AND owner IS NULL
        ORDER BY due_ms LIMIT 1),
       (SELECT count(*) FROM (
            SELECT 1 FROM queue
            WHERE lane = l.lane AND pin = '' AND priority = p.priority
              AND rank IS NOT NULL AND owner IS NULL
            ORDER BY rank LIMIT :most) AS head)
FROM unnest(:lanes::text[]) AS l (lane)
CROSS JOIN unnest(ARRAY[0, 1, 2, 3]::smallint[]) AS p (priority);

-- name: due_rows
-- Work of a lane and priority whose time has come, oldest first: (message, step, part, flow,
-- weight, attempts).
SELECT message::text, step, part, flow, weight, attempts FROM queue
WHERE lane = :lane AND priority = :priority::smallint AND rank IS NULL AND owner IS NULL
  AND due_ms <= :now_ms
ORDER BY due_ms LIMIT :limit;

-- name: promote
-- Make rows ready, unless another node just does. (As to the LIMIT, see `give_back`.)
WITH due AS MATERIALIZED (
    SELECT r.message, r.step, r.part, r.rank
    FROM unnest(:message::uuid[], :step::smallint[], :part::smallint[], :rank::float8[])
        AS r (message, step, part, rank)
    CROSS JOIN LATERAL (
        SELECT rank, owner FROM queue q
        WHERE q.message = r.message AND q.step = r.step AND q.part = r.part
        LIMIT 1 FOR UPDATE SKIP LOCKED) AS h
    WHERE h.rank IS NULL AND h.owner IS NULL
)
UPDATE queue q SET rank = d.rank
FROM due d
WHERE q.message = d.message AND q.step = d.step AND q.part = d.part;

-- name: unpin
-- Let anyone take the rows that only :provider might.
WITH kept AS MATERIALIZED (
    SELECT message, step, part FROM queue
    WHERE lane = :lane AND pin = :provider AND rank IS NOT NULL AND owner IS NULL
    ORDER BY priority, rank LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE queue q SET pin = ''
FROM kept k
WHERE q.message = k.message AND q.step = k.step AND q.part = k.part;

-- name: unpin_strangers
-- Let anyone take the rows that only a provider which no longer exists might.
WITH kept AS MATERIALIZED (
    SELECT message, step, part FROM queue
    WHERE pin <> '' AND lane <> 'webhook' AND pin <> ALL(:providers::text[])
    FOR UPDATE SKIP LOCKED
)
UPDATE queue q SET pin = ''
FROM kept k
WHERE q.message = k.message AND q.step = k.step AND q.part = k.part;
