-- breaking: no
-- concurrently: no

-- How an import's file is written and read: separator, encoding, keys it is matched by, country of its phones, meanings of its
-- words. Imports of before have none, and what they were read with is found again.
ALTER TABLE imports ADD COLUMN options jsonb NOT NULL DEFAULT '{}';
