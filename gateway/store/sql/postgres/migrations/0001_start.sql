-- The tables of one gateway. Times are UTC epoch milliseconds, given by the callers; only
-- heartbeats, buckets and pauses go by the database's own clock.
--
-- What is kept about messages is partitioned by day. A message's id begins with its time
-- (UUIDv7), so a day is a range of ids: looking up an id opens one partition, and retention drops
-- whole ones. Partitions are made ahead (store/postgres/days.py); `…_other` catches strays.

CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- What was accepted; written once.
CREATE TABLE message (
    id         uuid PRIMARY KEY,
    tenant     text NOT NULL,
    category   text NOT NULL,
    internal   boolean NOT NULL,           -- a webhook of ours; not shown to tenants
    endpoint   text,                       -- where that webhook goes
    created_ms bigint NOT NULL,
    body       text NOT NULL               -- model.message.to_json; json and jsonb refuse U+0000
) PARTITION BY RANGE (id);

CREATE INDEX message_tenant ON message (tenant, id) WHERE NOT internal;
CREATE INDEX message_endpoint ON message (endpoint, id) WHERE internal;

CREATE TABLE message_other PARTITION OF message DEFAULT;

-- What became of it; small and hot. `version` grows with every change of the message's evidence
-- or queue rows, so that a decision made on an older reading is noticed.
CREATE TABLE status (
    message    uuid PRIMARY KEY,
    tenant     text NOT NULL,              -- '' for messages of ours, which are in nobody's list
    state      text NOT NULL,
    version    integer NOT NULL,
    redrive    integer NOT NULL,
    ending     text,                       -- why it was given up, if it was
    expires_ms bigint NOT NULL
) PARTITION BY RANGE (message);

CREATE INDEX status_dead ON status (message) WHERE state IN ('failed', 'expired', 'unknown');
CREATE INDEX status_rare ON status (tenant, state, message)
    WHERE state IN ('failed', 'expired', 'unknown', 'suppressed', 'cancelled');

CREATE TABLE status_other PARTITION OF status DEFAULT;

-- Work: one row for each part of a step that is waiting or being sent.
-- rank NULL: waits for due_ms; owner NULL: not claimed.
-- Rows come and go by the thousand, so pages keep room for the next version of a row, and vacuum
-- goes by the count of dead rows, whatever the size of the backlog.
CREATE TABLE queue (
    message    uuid NOT NULL,
    step       smallint NOT NULL,
    part       smallint NOT NULL,
    lane       text NOT NULL,
    pin        text NOT NULL,              -- '' or the only provider that may take it
    priority   smallint NOT NULL,
    rank       double precision,
    flow       text NOT NULL,
    weight     double precision NOT NULL,
    due_ms     bigint NOT NULL,
    expires_ms bigint NOT NULL,
    attempts   integer NOT NULL,           -- tries that count against the step's limit
    units      integer NOT NULL,
    once       boolean NOT NULL,           -- at most once; claimed only when it can start
    owner      text,
    taker      text,                       -- the provider account that the owner claimed it for
    ticket     bigint,                     -- the owner's number of the claim, to undo a lost one
    epoch      integer NOT NULL,           -- claims so far: the number of the latest attempt
    PRIMARY KEY (message, step, part)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX queue_ready ON queue (lane, pin, priority, rank)
    WHERE rank IS NOT NULL AND owner IS NULL;
CREATE INDEX queue_waiting ON queue (lane, priority, due_ms)
    WHERE rank IS NULL AND owner IS NULL;
CREATE INDEX queue_expiry ON queue (expires_ms) WHERE owner IS NULL;
CREATE INDEX queue_owned ON queue (owner) WHERE owner IS NOT NULL;

-- Virtual time of start-time fair queueing; flow '' is the clock of its lane and priority.
CREATE TABLE flow (
    lane     text NOT NULL,
    priority smallint NOT NULL,
    flow     text NOT NULL,
    last     double precision NOT NULL,
    taken    double precision NOT NULL,    -- what the latest reservation took
    PRIMARY KEY (lane, priority, flow)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Evidence, append-only: attempts with their results, receipts, and decisions.
CREATE TABLE attempt (
    message    uuid NOT NULL,
    redrive    integer NOT NULL,
    step       smallint NOT NULL,
    part       smallint NOT NULL,
    number     integer NOT NULL,
    provider   text NOT NULL,
    outcome    text NOT NULL,
    code       text NOT NULL,
    detail     text NOT NULL,
    started_ms bigint NOT NULL,
    ended_ms   bigint NOT NULL,
    PRIMARY KEY (message, redrive, step, part, number)
) PARTITION BY RANGE (message);

CREATE TABLE attempt_other PARTITION OF attempt DEFAULT;

CREATE TABLE receipt (
    message  uuid NOT NULL,
    redrive  integer NOT NULL,
    step     smallint NOT NULL,
    part     smallint NOT NULL,
    number   integer NOT NULL,             -- -1: it named our reference, not one attempt
    provider text NOT NULL,
    event    text NOT NULL,
    code     text NOT NULL,
    detail   text NOT NULL,
    at_ms    bigint NOT NULL,
    PRIMARY KEY (message, redrive, step, part, number, provider, event)
) PARTITION BY RANGE (message);

CREATE TABLE receipt_other PARTITION OF receipt DEFAULT;

CREATE TABLE event (
    message  uuid NOT NULL,
    at_ms    bigint NOT NULL,
    event    text NOT NULL,
    channel  text NOT NULL,
    provider text NOT NULL,
    detail   text NOT NULL
) PARTITION BY RANGE (message);

CREATE INDEX event_message ON event (message);

CREATE TABLE event_other PARTITION OF event DEFAULT;

-- Providers' names for our attempts. `parked`: receipts that came before the name was known, each
-- a JSON object.
CREATE TABLE reference (
    provider  text NOT NULL,
    reference text NOT NULL,
    message   uuid,
    redrive   integer,
    step      smallint,
    part      smallint,
    number    integer,
    parked    text[],
    at_ms     bigint NOT NULL,
    PRIMARY KEY (provider, reference)
);

CREATE INDEX reference_message ON reference (message) WHERE message IS NOT NULL;
CREATE INDEX reference_parked ON reference (at_ms) WHERE parked IS NOT NULL;

CREATE TABLE idempotency (
    tenant      text NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    message     uuid NOT NULL,
    until_ms    bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX idempotency_until ON idempotency (until_ms);

CREATE TABLE dedupe (
    tenant   text NOT NULL,
    key      text NOT NULL,
    message  uuid NOT NULL,
    until_ms bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE INDEX dedupe_until ON dedupe (until_ms);
CREATE INDEX dedupe_message ON dedupe (message);

-- Tenants' own settings, keys and recorded bans and permissions.
CREATE TABLE tenant_key (
    id         text PRIMARY KEY,
    tenant     text NOT NULL,
    hash       text NOT NULL UNIQUE,
    scopes     text[] NOT NULL,
    created_ms bigint NOT NULL,
    revoked_ms bigint
);

CREATE TABLE endpoint (
    id          text PRIMARY KEY,
    tenant      text NOT NULL,
    url         text NOT NULL,
    secrets     text[] NOT NULL,
    events      text[] NOT NULL,           -- empty: all
    created_ms  bigint NOT NULL,
    failing_ms  bigint,                    -- first failure since the last success
    disabled_ms bigint,
    reason      text NOT NULL,
    configured  boolean NOT NULL           -- from the configuration file
);

CREATE TABLE suppression (
    channel    text NOT NULL,
    hash       text NOT NULL,
    reason     text NOT NULL,
    source     text NOT NULL,
    created_ms bigint NOT NULL,
    PRIMARY KEY (channel, hash)
);

CREATE TABLE consent (
    tenant     text NOT NULL,
    category   text NOT NULL,
    channel    text NOT NULL,
    hash       text NOT NULL,
    source     text NOT NULL,
    created_ms bigint NOT NULL,
    PRIMARY KEY (tenant, category, channel, hash)
);

-- What a provider account has used of its daily quota.
CREATE TABLE quota (
    provider text NOT NULL,
    day      text NOT NULL,
    used     bigint NOT NULL,
    PRIMARY KEY (provider, day)
);

-- Who is alive.
CREATE TABLE node (
    id   text PRIMARY KEY,
    beat timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Tokens of provider accounts, shared by all nodes.
CREATE TABLE bucket (
    account text PRIMARY KEY,
    level   double precision NOT NULL,
    given   double precision NOT NULL,     -- what the latest taker got: a model.tokens.Grant
    delay   double precision NOT NULL,
    wait    double precision NOT NULL,
    at      timestamptz NOT NULL
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- Provider accounts that must not be asked for a while.
CREATE TABLE pause (
    account text PRIMARY KEY,
    until   timestamptz NOT NULL,
    reason  text NOT NULL
);
