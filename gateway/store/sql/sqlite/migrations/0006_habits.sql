-- How often people were reached on each channel, by month: older months count less, and go.
CREATE TABLE habit (
    subject TEXT NOT NULL,                 -- who: a keyed hash
    channel TEXT NOT NULL,
    month   INTEGER NOT NULL,              -- twelve for each year
    tries   REAL NOT NULL,
    reached REAL NOT NULL,
    PRIMARY KEY (subject, channel, month)
) STRICT, WITHOUT ROWID;

CREATE INDEX habit_month ON habit (month);
