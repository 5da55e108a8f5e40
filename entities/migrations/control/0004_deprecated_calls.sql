-- breaking: no
-- concurrently: no
-- Calls of deprecated routes by organization, action and day (UTC); gateways add theirs every few seconds.
CREATE TABLE control.deprecated_calls (
  organization_id uuid NOT NULL,
  day date NOT NULL,
  action text NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (organization_id, day, action)
);
SELECT pg_temp.tenant_table('control.deprecated_calls', platform => true);
