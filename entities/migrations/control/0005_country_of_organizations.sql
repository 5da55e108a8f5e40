-- breaking: no
-- concurrently: no
-- The country of phones that are written without one; ISO 3166-1. Null: the installation's.
ALTER TABLE control.organizations ADD COLUMN country text;
