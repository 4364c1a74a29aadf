-- Which message is the latest word on something, so that earlier ones need not be sent.
CREATE TABLE latest (
    tenant   text NOT NULL,
    key      text NOT NULL,
    message  uuid NOT NULL,
    at_ms    bigint NOT NULL,
    until_ms bigint NOT NULL,
    PRIMARY KEY (tenant, key)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX latest_until ON latest (until_ms);
