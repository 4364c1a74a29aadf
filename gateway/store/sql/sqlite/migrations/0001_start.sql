-- The tables of one gateway. Times are UTC epoch milliseconds.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What was accepted; written once.
CREATE TABLE message (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    category   TEXT NOT NULL,
    internal   INTEGER NOT NULL,           -- 1: a webhook of ours; not shown to tenants
    created_ms INTEGER NOT NULL,
    body       TEXT NOT NULL               -- model.message.to_json
) STRICT, WITHOUT ROWID;

CREATE INDEX message_tenant ON message (tenant, id) WHERE internal = 0;

-- What became of it; small and hot. `version` grows with every change of the message's evidence
-- or queue rows, so that a decision made on an older reading is noticed.
CREATE TABLE status (
    message    TEXT PRIMARY KEY,
    state      TEXT NOT NULL,
    version    INTEGER NOT NULL,
    redrive    INTEGER NOT NULL,
    ending     TEXT,                       -- why it was given up, if it was
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX status_dead ON status (message) WHERE state IN ('failed', 'expired', 'unknown');

-- Work: one row for each part of a step that is waiting or being sent.
-- rank NULL: waits for due_ms; owner NULL: not claimed.
CREATE TABLE queue (
    message    TEXT NOT NULL,
    step       INTEGER NOT NULL,
    part       INTEGER NOT NULL,
    lane       TEXT NOT NULL,
    pin        TEXT NOT NULL,              -- '' or the only provider that may take it
    priority   INTEGER NOT NULL,
    rank       REAL,
    flow       TEXT NOT NULL,
    weight     REAL NOT NULL,
    due_ms     INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,           -- tries that count against the step's limit
    units      INTEGER NOT NULL,
    once       INTEGER NOT NULL,           -- 1: at most once; claimed only when it can start
    owner      TEXT,
    taker      TEXT,                       -- the provider account that the owner claimed it for
    epoch      INTEGER NOT NULL,           -- claims so far: the number of the latest attempt
    PRIMARY KEY (message, step, part)
) STRICT, WITHOUT ROWID;

-- The last columns are always NULL here: they let rows be counted without reading them.
CREATE INDEX queue_ready ON queue (lane, pin, priority, rank, owner)
    WHERE rank IS NOT NULL AND owner IS NULL;
CREATE INDEX queue_waiting ON queue (lane, priority, due_ms, rank, owner)
    WHERE rank IS NULL AND owner IS NULL;
CREATE INDEX queue_expiry ON queue (expires_ms);

-- Virtual time of start-time fair queueing; flow '' is the clock of its lane and priority.
CREATE TABLE flow (
    lane     TEXT NOT NULL,
    priority INTEGER NOT NULL,
    flow     TEXT NOT NULL,
    last     REAL NOT NULL,
    PRIMARY KEY (lane, priority, flow)
) STRICT, WITHOUT ROWID;

-- Evidence, append-only: attempts with their results, receipts, and decisions.
CREATE TABLE attempt (
    message     TEXT NOT NULL,
    redrive     INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    part        INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    provider    TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    code        TEXT NOT NULL,
    detail      TEXT NOT NULL,
    started_ms  INTEGER NOT NULL,
    ended_ms    INTEGER NOT NULL,
    PRIMARY KEY (message, redrive, step, part, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
    message  TEXT NOT NULL,
    redrive  INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    number   INTEGER NOT NULL,             -- -1: it named our reference, not one attempt
    provider TEXT NOT NULL,
    event    TEXT NOT NULL,
    code     TEXT NOT NULL,
    detail   TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (message, redrive, step, part, number, provider, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    message  TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    event    TEXT NOT NULL,
    channel  TEXT NOT NULL,
    provider TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;

CREATE INDEX event_message ON event (message);

-- Providers' names for our attempts. `parked`: receipts that came before the name was known.
CREATE TABLE reference (
    provider  TEXT NOT NULL,
    reference TEXT NOT NULL,
    message   TEXT,
    redrive   INTEGER,
    step      INTEGER,
    part      INTEGER,
    number    INTEGER,
    parked    TEXT,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (provider, reference)
) STRICT, WITHOUT ROWID;

CREATE INDEX reference_message ON reference (message) WHERE message IS NOT NULL;
CREATE INDEX reference_parked ON reference (at_ms) WHERE parked IS NOT NULL;

CREATE TABLE idempotency (
    tenant      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    message     TEXT NOT NULL,
    until_ms    INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_until ON idempotency (until_ms);

CREATE TABLE dedupe (
    tenant   TEXT NOT NULL,
    key      TEXT NOT NULL,
    message  TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dedupe_until ON dedupe (until_ms);
CREATE INDEX dedupe_message ON dedupe (message);

-- Tenants' own settings, keys and recorded bans and permissions.
CREATE TABLE tenant_key (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,              -- comma-separated
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    url         TEXT NOT NULL,
    secrets     TEXT NOT NULL,             -- JSON list
    events      TEXT NOT NULL,             -- JSON list; empty: all
    created_ms  INTEGER NOT NULL,
    failing_ms  INTEGER,                   -- first failure since the last success
    disabled_ms INTEGER,
    reason      TEXT NOT NULL,
    configured  INTEGER NOT NULL           -- 1: from the configuration file
) STRICT, WITHOUT ROWID;

CREATE TABLE suppression (
    channel    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    reason     TEXT NOT NULL,
    source     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE consent (
    tenant     TEXT NOT NULL,
    category   TEXT NOT NULL,
    channel    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    source     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, category, channel, hash)
) STRICT, WITHOUT ROWID;

-- What a provider account has used of its daily quota.
CREATE TABLE quota (
    provider TEXT NOT NULL,
    day      TEXT NOT NULL,
    used     INTEGER NOT NULL,
    PRIMARY KEY (provider, day)
) STRICT, WITHOUT ROWID;
