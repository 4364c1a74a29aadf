-- Texts that go in segments, each with an id and receipts of its own.

-- segments: receipts of success that it takes, as far as is known
ALTER TABLE attempt ADD COLUMN segments smallint NOT NULL DEFAULT 1;

-- segment: the provider's id of the only one that it is about; '' all of the message
ALTER TABLE receipt ADD COLUMN segment text NOT NULL DEFAULT '';
ALTER TABLE receipt DROP CONSTRAINT receipt_pkey;
ALTER TABLE receipt ADD PRIMARY KEY
    (message, redrive, step, part, number, provider, event, segment);
