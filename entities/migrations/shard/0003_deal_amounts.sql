-- breaking: no
-- concurrently: no

-- Amounts have the digits of their currency (ISO 4217): dinars three, units of account four. The scale was two for all, and is
-- each value's own now, so that what is read is what was written. Nothing is rewritten.
ALTER TABLE deals
  ALTER COLUMN amount TYPE numeric,
  -- not looked up in rows that there are: their type was numeric(18, 2)
  ADD CONSTRAINT deals_amount CHECK (scale(amount) <= 4 AND abs(amount) < 10000000000000000) NOT VALID;
