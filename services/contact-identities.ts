import { contact, type ContactRow } from "../entities/contact.ts";
import type { Principal } from "../mixins/access/principal.ts";
import { visibleRows } from "../mixins/access/visibility.ts";
import type { UnitOfWork } from "../mixins/database/unit-of-work.ts";
import { changeRecord, composeRecord } from "../mixins/records/writing/changes.ts";
import type { CallFields } from "../mixins/records/custom/of-call.ts";
import { about } from "../mixins/records/writing/desk.ts";
import { newOwn } from "../mixins/records/writing/input.ts";
import type { AnyRow } from "../mixins/records/kind/kind.ts";
import { alikeSelects } from "../mixins/records/merging/likeness.ts";
import { Values } from "../mixins/records/finding/listing.ts";
import { storeOf } from "../mixins/records/writing/store.ts";
import { identityOf, kindsOfIdentity, sameIdentities, type Identity } from "../mixins/values/identity.ts";

type Contact = ContactRow & AnyRow;
const contacts = storeOf<Contact>(contact);

/** A contact that is known by one of the identities that were asked for, and by which. */
export interface Known {
  row: Contact;
  by: Identity[];
  /** Whether nobody else can have one of those by which it is known. */
  isAlone: boolean;
}

/**
 * Contacts that are not deleted and are known by one of these identities: a number in every form that rings at the same phone, as
 * WhatsApp writes it too. Those come first that alone have one, then the oldest. What is none of its kind, nobody has.
 * @param options.principal who is asking; default all are found
 * @param options.lock whether nobody else changes them until the end of the transaction
 */
export async function contactsByIdentity(
  tx: UnitOfWork,
  wanted: readonly Identity[],
  { principal, lock = false }: { principal?: Principal; lock?: boolean } = {},
): Promise<Known[]> {
  const asked = wanted.flatMap((one) => identityOf(one) ?? []);
  if (asked.length === 0) return [];
  const values = new Values();
  const selects = alikeSelects(contact, rowWith(asked), values);
  const conditions = [
    `id IN (${selects.join(" UNION ")})`,
    "deleted_at IS NULL",
    ...(principal ? visibleRows(principal, values) : []),
  ];
  const rows = await tx.query<Contact>({
    text: `SELECT ${contact.columns.join(", ")} FROM contacts WHERE ${conditions.join(" AND ")}
      ORDER BY created_at, id${lock ? " FOR NO KEY UPDATE" : ""}`,
    values: values.list,
  });
  const known = rows.map((row) => {
    const by = asked.filter((one) => has(row, one));
    const isAlone = by
      .flatMap(sameIdentities)
      .some((one) => kindsOfIdentity[one.kind].isExclusive && hasJust(row, one));
    return { row, by, isAlone };
  });
  return [...known.filter(({ isAlone }) => isAlone), ...known.filter(({ isAlone }) => !isAlone)];
}

/** A contact of nothing else. */
const rowWith = (identities: readonly Identity[]): AnyRow =>
  composeRecord(contact, { identities: asParts(identities) }, { id: "", organizationId: "", now: "" });

const asParts = (identities: readonly Identity[]) =>
  identities.map(({ kind, value }) => ({ channel: kindsOfIdentity[kind].channel, kind, value }));
const identitiesOf = (row: Contact): Identity[] =>
  (contact.show(row) as { identities: Identity[] }).identities;
const hasJust = (row: Contact, { kind, value }: Identity): boolean =>
  identitiesOf(row).some((one) => one.kind === kind && one.value === value);
const has = (row: Contact, identity: Identity): boolean =>
  sameIdentities(identity).some((same) => hasJust(row, same));

/** What a channel tells of whoever writes. */
export interface Sender {
  identities: readonly Identity[];
  firstName?: string | null;
  lastName?: string | null;
}

/**
 * The contact who is known by a sender's identities, and from then on by all of them; where there is none, and `makes` says so, a new
 * one. Of an email or a phone that several share, nobody is taken for the sender. Of two senders at once with one identity the
 * second waits.
 */
export async function contactOfSender(
  tx: UnitOfWork,
  { identities, ...names }: Sender,
  { makes, actorId, fields }: { makes: boolean; actorId: string | null; fields?: CallFields },
): Promise<Contact | undefined> {
  const given = identities.flatMap((one) => identityOf(one) ?? []);
  await lockIdentities(tx, given);
  const known = await contactsByIdentity(tx, given, { lock: true });
  const [first, second] = known;
  // who alone has one of the identities stands first
  const isSure = first && (!second || (first.isAlone && !second.isAlone));
  if (isSure) return learn(tx, first.row, given, { actorId, ...(fields && { fields }) });
  if (!makes || given.length === 0) return undefined;
  const row: Contact = composeRecord(contact, { ...names, identities: asParts(given) }, newOwn(tx));
  contacts.insert(tx, row);
  about(tx, { kind: contact, verb: "created", row, actorId, ...(fields && { fields }) });
  return row;
}

async function lockIdentities(tx: UnitOfWork, identities: readonly Identity[]): Promise<void> {
  const names = identities.flatMap(sameIdentities).map(({ kind, value }) => `${kind} ${value}`);
  for (const name of [...new Set(names)].sort())
    await tx.execute({
      text: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
      values: [`${tx.organizationId} identity ${name}`],
    });
}

/** Adds identities that the contact lacks. */
function learn(
  tx: UnitOfWork,
  row: Contact,
  given: readonly Identity[],
  { actorId, fields }: { actorId: string | null; fields?: CallFields },
): Contact {
  const lacking = given.filter((one) => !hasJust(row, one));
  return write(tx, row, [...identitiesOf(row), ...asParts(lacking)], { actorId, ...(fields && { fields }) });
}

function write(
  tx: UnitOfWork,
  row: Contact,
  identities: readonly Identity[],
  { actorId, fields }: { actorId: string | null; fields?: CallFields },
): Contact {
  const change = changeRecord(contact, row, { identities }, tx.now.toISOString());
  if (!change) return row;
  contacts.update(tx, [change.row]);
  about(tx, { kind: contact, verb: "updated", ...change, actorId, ...(fields && { fields }) });
  return change.row;
}

/**
 * Has a contact be known by another value, as when WhatsApp gives somebody a new bsuid (`user_id_update`).
 * @returns the contact; of two, each of which has one of the values, both, and nothing is changed: they are one person, to be merged
 */
export async function moveIdentity(
  tx: UnitOfWork,
  { from, to }: { from: Identity; to: Identity },
  { actorId, fields }: { actorId: string | null; fields?: CallFields },
): Promise<Contact[]> {
  const [was, is] = [identityOf(from), identityOf(to)];
  if (!was || !is) return [];
  await lockIdentities(tx, [was, is]);
  const known = (await contactsByIdentity(tx, [was, is], { lock: true })).map(({ row }) => row);
  const [holder, other] = known.filter((row) => hasJust(row, was) || hasJust(row, is));
  if (!holder) return [];
  if (other) return [holder, other];
  if (!hasJust(holder, was)) return [holder];
  const identities = identitiesOf(holder).map((one) =>
    one.kind === was.kind && one.value === was.value ? { ...one, ...is, verifiedAt: null } : one,
  );
  return [write(tx, holder, identities, { actorId, ...(fields && { fields }) })];
}
