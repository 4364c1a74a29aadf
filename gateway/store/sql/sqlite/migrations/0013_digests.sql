-- Messages that wait under a cap and may leave as one.

ALTER TABLE cap_use ADD COLUMN digest TEXT NOT NULL DEFAULT '';  -- '': it leaves by itself
