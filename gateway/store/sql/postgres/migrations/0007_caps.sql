-- Who has been written to under a cap, and whose place is kept.

CREATE TABLE cap_use (
    subject text NOT NULL,                 -- who is counted: a keyed hash
    cap     text NOT NULL,
    message uuid NOT NULL,
    channel text NOT NULL,                 -- '': the message counts once, on whatever channel
    at_ms   bigint NOT NULL,
    taken   boolean NOT NULL,              -- false: kept for a message that waits until then
    gone_ms bigint NOT NULL,               -- when it counts no more
    PRIMARY KEY (subject, cap, message, channel)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX cap_use_message ON cap_use (message, channel);
CREATE INDEX cap_use_gone ON cap_use (gone_ms);
