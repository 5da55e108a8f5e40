-- breaking: no
-- concurrently: no
-- When an invitation was mailed, and until when its mail waits because the address has had as many as it may have.
ALTER TABLE control.invites ADD COLUMN mailed_at timestamptz(3), ADD COLUMN mail_delayed_until timestamptz(3);
UPDATE control.invites SET mailed_at = created_at WHERE hash IS NOT NULL;
