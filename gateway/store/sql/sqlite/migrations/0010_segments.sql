-- Texts that go in segments, each with an id and receipts of its own.

-- segments: receipts of success that it takes, as far as is known
ALTER TABLE attempt ADD COLUMN segments INTEGER NOT NULL DEFAULT 1;

-- segment: the provider's id of the only one that it is about; '' all of the message
CREATE TABLE receipt_by_segment (
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
    segment  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (message, redrive, step, part, number, provider, event, segment)
) STRICT, WITHOUT ROWID;

INSERT INTO receipt_by_segment (message, redrive, step, part, number, provider, event, code,
                                detail, at_ms)
SELECT message, redrive, step, part, number, provider, event, code, detail, at_ms FROM receipt;

DROP TABLE receipt;
ALTER TABLE receipt_by_segment RENAME TO receipt;
