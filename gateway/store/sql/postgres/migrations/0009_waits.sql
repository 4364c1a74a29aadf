-- Who gives way to messages of other categories, to be found when one of these reaches nobody.

CREATE TABLE cap_wait (
    subject  text NOT NULL,                -- as in cap_use, and of the same name
    cap      text NOT NULL,
    message  uuid NOT NULL,                -- that waits
    use_ms   bigint NOT NULL,              -- the last use that it waits for
    until_ms bigint NOT NULL,              -- when it is due
    PRIMARY KEY (subject, cap, message)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX cap_wait_message ON cap_wait (message);
CREATE INDEX cap_wait_until ON cap_wait (until_ms);
