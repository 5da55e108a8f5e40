-- breaking: no
-- concurrently: no
-- Queues of people who are to be called, and the calls.

CREATE TABLE call_queues (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  deleted_at timestamptz(3),
  merged_into uuid,
  name text,
  members jsonb NOT NULL DEFAULT '[]',
  window_ jsonb,
  retry jsonb NOT NULL DEFAULT '{"most": 3, "pausesSeconds": [900, 7200, 86400]}',
  claim_seconds integer NOT NULL DEFAULT 900,
  expires_after_days integer,
  PRIMARY KEY (organization_id, id)
);
SELECT pg_temp.tenant_table('call_queues');
CREATE INDEX call_queues_by_creation ON call_queues (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX call_queues_by_change ON call_queues (organization_id, updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE calls (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  queue_id uuid NOT NULL,
  -- whom it is about; null: a number alone
  kind text,
  record_id uuid,
  -- of a record as it was when looked at last, unless it was given
  phone text NOT NULL,
  is_phone_given boolean NOT NULL,
  -- an IANA name; or a country, all of whose clocks must show a good time
  zone text COLLATE "C" NOT NULL,
  zone_from text NOT NULL CHECK (zone_from IN ('given', 'phone', 'organization')),
  priority integer NOT NULL,
  not_before timestamptz(3) NOT NULL,
  not_after timestamptz(3),
  -- held: its record is deleted
  status text NOT NULL CHECK (status IN ('waiting', 'claimed', 'held', 'completed', 'closed')),
  attempts integer NOT NULL DEFAULT 0,
  claimed_by uuid,
  claimed_at timestamptz(3),
  claim_ends_at timestamptz(3),
  outcome text,
  notes text,
  closed_reason text CHECK (closed_reason IN ('no_tries_left', 'expired', 'no_phone')),
  closed_at timestamptz(3),
  provider_call_id text,
  created_by uuid,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, queue_id) REFERENCES call_queues (organization_id, id),
  CHECK ((kind IS NULL) = (record_id IS NULL)),
  CHECK ((status = 'claimed') = (claim_ends_at IS NOT NULL))
);
SELECT pg_temp.tenant_table('calls', platform => true);
-- who is next: the first of each zone and priority, in the order of their times
CREATE INDEX calls_next ON calls (organization_id, queue_id, zone, priority, not_before, id) WHERE status = 'waiting';
-- a member has one open claim
CREATE UNIQUE INDEX calls_open_claim ON calls (organization_id, claimed_by) WHERE status = 'claimed';
CREATE INDEX calls_by_claim_end ON calls (organization_id, claim_ends_at) WHERE status = 'claimed';
CREATE INDEX calls_by_expiry ON calls (organization_id, not_after) WHERE status IN ('waiting', 'held') AND not_after IS NOT NULL;
CREATE INDEX calls_held ON calls (organization_id, id) WHERE status = 'held';
CREATE INDEX calls_by_creation ON calls (organization_id, created_at, id);
CREATE INDEX calls_by_change ON calls (organization_id, updated_at, id);
CREATE INDEX calls_by_time ON calls (organization_id, not_before, id);
CREATE INDEX calls_by_priority ON calls (organization_id, priority, id);
CREATE INDEX calls_by_queue ON calls (organization_id, queue_id, created_at, id);
CREATE INDEX calls_by_record ON calls (organization_id, record_id) WHERE record_id IS NOT NULL;
CREATE INDEX calls_by_phone ON calls (organization_id, phone);
CREATE INDEX calls_by_claimer ON calls (organization_id, claimed_by) WHERE claimed_by IS NOT NULL;
