-- breaking: no
-- concurrently: no
-- The records of the kind activity.

CREATE TABLE activities (
  external_id text,
  type text NOT NULL DEFAULT 'task' CHECK (type IN ('task', 'email', 'call', 'meeting', 'note')),
  subject text,
  body text,
  related_to uuid,
  related_to_kind text,
  related_to_owner uuid,
  CHECK ((related_to IS NULL) = (related_to_kind IS NULL)),
  due_at timestamptz(3),
  completed_at timestamptz(3),
  assigned_to uuid,
  reminders jsonb NOT NULL DEFAULT '[]',
  next_remind_at timestamptz(3),
  recurrence text,
  series_start timestamptz(3),
  has_next boolean NOT NULL DEFAULT false,
  tags text[] NOT NULL DEFAULT '{}',
  custom_fields jsonb NOT NULL DEFAULT '{}'
);
SELECT pg_temp.record_table('activities',
  texts => '{subject,body}',
  terms => '{external_id,type,subject}',
  likes => '{external_id,type,subject}',
  sorts => '{subject,due_at,completed_at}',
  owner => 'assigned_to',
  kind => 'activity');
-- what is still to be done: of everybody, and of each
CREATE INDEX activities_due ON activities (organization_id, due_at, id) WHERE completed_at IS NULL AND deleted_at IS NULL;
CREATE INDEX activities_due_of ON activities (organization_id, assigned_to, due_at, id) WHERE completed_at IS NULL AND deleted_at IS NULL;
-- what was done with a record, as its timeline shows it; those that are deleted too, which follow merges
CREATE INDEX activities_related ON activities (organization_id, related_to, (coalesce(completed_at, created_at)), id) WHERE related_to IS NOT NULL;
CREATE INDEX activities_of_owner ON activities (organization_id, related_to_owner, created_at, id)
  WHERE related_to_owner IS NOT NULL AND deleted_at IS NULL;
-- pollers see which organizations have reminders to give, and no more
CREATE INDEX activities_reminders ON activities (next_remind_at) WHERE next_remind_at IS NOT NULL AND deleted_at IS NULL;
CREATE POLICY due_reminders ON activities FOR SELECT TO sangam_platform USING (next_remind_at IS NOT NULL);
GRANT SELECT (organization_id, next_remind_at, deleted_at) ON activities TO sangam_platform;
