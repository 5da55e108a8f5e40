import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** Virtual actors: who owns each, its state, the messages it has answered, its reminders; and the nodes' leases. */
export class CreateActors extends Migration {
  override name = "020_create_actors";
  override up() {
    this.addSql(`
-- A node may own actors of this shard until lease_until. By this database's clock alone.
CREATE TABLE node_leases (
  node_id text PRIMARY KEY,
  lease_until timestamptz NOT NULL
);
GRANT SELECT ON node_leases TO sangam_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON node_leases TO sangam_platform;

CREATE TABLE actors (
  organization_id uuid NOT NULL,
  kind text NOT NULL,
  id text NOT NULL,
  -- the node that runs its turns; null: whoever is asked first
  owner text,
  -- rises with each claim: a turn of an older one is fenced
  epoch integer NOT NULL DEFAULT 1,
  version integer NOT NULL DEFAULT 0,
  -- null until a turn has changed it
  state jsonb,
  claimed_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, kind, id)
) WITH (fillfactor = 70);
CREATE INDEX actors_by_owner ON actors (owner) WHERE owner IS NOT NULL;
${tenantTable("actors", { platform: true })}

CREATE TABLE actor_inbox (
  organization_id uuid NOT NULL,
  kind text NOT NULL,
  actor_id text NOT NULL,
  message_id text NOT NULL,
  result jsonb,
  answered_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, kind, actor_id, message_id)
);
CREATE INDEX actor_inbox_by_age ON actor_inbox (answered_at);
${tenantTable("actor_inbox", { platform: true })}

CREATE TABLE actor_reminders (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  kind text NOT NULL,
  actor_id text NOT NULL,
  name text NOT NULL,
  message text NOT NULL,
  params jsonb NOT NULL,
  due_at timestamptz(3) NOT NULL,
  -- when a poller looks at it again: later than due_at while one delivers it, or after it failed
  next_try_at timestamptz(3) NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, kind, actor_id, name)
);
CREATE INDEX actor_reminders_due ON actor_reminders (next_try_at);
${tenantTable("actor_reminders", { platform: true })}

-- In: the actor, the node that wants it, the nodes that host its kind as that node sees them. Makes the node the
-- owner under a new epoch, unless another is that hosts the kind and whose lease runs. Out: the owner; its epoch and state
-- only if it is now the asking node.
CREATE FUNCTION claim_actor(p_organization uuid, p_kind text, p_id text, p_node text, p_hosts text[])
RETURNS TABLE (owner text, epoch integer, state jsonb) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY
  INSERT INTO actors AS a (organization_id, kind, id, owner) VALUES (p_organization, p_kind, p_id, p_node)
  ON CONFLICT ON CONSTRAINT actors_pkey DO UPDATE SET owner = p_node, epoch = a.epoch + 1, claimed_at = now()
    WHERE a.owner IS NULL OR a.owner = p_node OR NOT a.owner = ANY (p_hosts)
      OR NOT EXISTS (SELECT FROM node_leases l WHERE l.node_id = a.owner AND l.lease_until > clock_timestamp())
  RETURNING a.owner, a.epoch, a.state;
  IF NOT FOUND THEN
    RETURN QUERY SELECT a.owner, NULL::integer, NULL::jsonb FROM actors a
    WHERE a.organization_id = p_organization AND a.kind = p_kind AND a.id = p_id;
  END IF;
END $$;

-- Begins a turn that reads: holds the actor to the end of the transaction, or until its node has been silent for 5 s.
-- Raises SGA01 when the epoch is over, SGA02 when the message was answered before.
CREATE FUNCTION begin_turn(p_organization uuid, p_kind text, p_id text, p_epoch integer, p_message text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- a node that froze in the middle of a turn must not keep the next owner waiting
  PERFORM set_config('idle_in_transaction_session_timeout', '5000', true);
  PERFORM 1 FROM actors
  WHERE organization_id = p_organization AND kind = p_kind AND id = p_id AND epoch = p_epoch FOR NO KEY UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'fenced' USING ERRCODE = 'SGA01'; END IF;
  PERFORM 1 FROM actor_inbox
  WHERE organization_id = p_organization AND kind = p_kind AND actor_id = p_id AND message_id = p_message;
  IF FOUND THEN RAISE EXCEPTION 'answered before' USING ERRCODE = 'SGA02'; END IF;
END $$;

-- Ends a turn, or is all of one that only writes: stores its answer and its state (null: unchanged).
-- Raises as begin_turn does.
CREATE FUNCTION end_turn(p_organization uuid, p_kind text, p_id text, p_epoch integer, p_message text, p_state jsonb, p_result jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF p_state IS NULL THEN
    PERFORM 1 FROM actors
    WHERE organization_id = p_organization AND kind = p_kind AND id = p_id AND epoch = p_epoch FOR NO KEY UPDATE;
  ELSE
    UPDATE actors SET state = p_state, version = version + 1
    WHERE organization_id = p_organization AND kind = p_kind AND id = p_id AND epoch = p_epoch;
  END IF;
  IF NOT FOUND THEN RAISE EXCEPTION 'fenced' USING ERRCODE = 'SGA01'; END IF;
  INSERT INTO actor_inbox (organization_id, kind, actor_id, message_id, result)
  VALUES (p_organization, p_kind, p_id, p_message, p_result) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RAISE EXCEPTION 'answered before' USING ERRCODE = 'SGA02'; END IF;
END $$;
`);
  }
}
