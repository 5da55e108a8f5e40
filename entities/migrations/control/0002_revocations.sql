-- breaking: no
-- concurrently: no

-- Sessions that ended before their time, and API keys that every gateway must look at anew. Written with what ends them;
-- read by gateways at their start and every two seconds, so that no access token outlives its session where a
-- broadcast or a process was lost. Kept for longer than an access token lives.
CREATE TABLE control.revocations (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  user_id uuid NOT NULL,
  -- or the API key's id
  session_id uuid NOT NULL,
  revoked_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX revocations_by_time ON control.revocations (revoked_at);
SELECT pg_temp.tenant_table('control.revocations', platform => true);

-- Those of the release before live on in the sessions alone.
INSERT INTO control.revocations (id, organization_id, user_id, session_id, revoked_at)
SELECT gen_random_uuid(), organization_id, user_id, id, revoked_at
FROM control.sessions WHERE revoked_at > now() - interval '15 minutes';
