-- How often people were reached on each channel, by month: older months count less, and go.
CREATE TABLE habit (
    subject text NOT NULL,                 -- who: a keyed hash
    channel text NOT NULL,
    month   integer NOT NULL,              -- twelve for each year
    tries   double precision NOT NULL,
    reached double precision NOT NULL,
    PRIMARY KEY (subject, channel, month)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX habit_month ON habit (month);
