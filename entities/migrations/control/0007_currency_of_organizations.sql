-- breaking: no
-- concurrently: no
-- In which sums over deals are told, and of amounts that come without one; ISO 4217. Null: the installation's.
ALTER TABLE control.organizations ADD COLUMN currency text;
