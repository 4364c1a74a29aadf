-- Which message is the latest word on something, so that earlier ones need not be sent.
CREATE TABLE latest (
    tenant   TEXT NOT NULL,
    key      TEXT NOT NULL,
    message  TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX latest_until ON latest (until_ms);
