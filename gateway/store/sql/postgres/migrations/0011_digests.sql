-- Messages that wait under a cap and may leave as one.

ALTER TABLE cap_use ADD COLUMN digest text NOT NULL DEFAULT '';  -- '': it leaves by itself
