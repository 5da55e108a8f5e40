import { can, type Principal } from "../../access/principal.ts";
import { forbidden, invalid, type FieldError } from "../../contract/errors.ts";
import { withRows, type RowsStatement } from "../../database/statement.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { OrganizationCipher } from "../../encryption/organization-cipher.ts";
import type { OrganizationKeys } from "../../encryption/organization-keys.ts";
import type { CustomValue } from "../../values/custom-value.ts";
import type { CountryCode } from "../../values/phone.ts";
import type { ActiveUsers, Caller } from "../writing/active-users.ts";
import { eachField, type Asked, type CustomFields, type Listing } from "../finding/listing.ts";
import { customFieldsChanged } from "./custom.errors.ts";
import { requireKnownFields } from "./known-fields.ts";
import type { Definitions, KindFields } from "./definitions.ts";
import type { CustomKind } from "../kind/kind.ts";
import { readValues, type Given } from "./read-values.ts";
import { custom, ValuesApart, type Apart, type Claims, type TakenOver } from "./values-apart.ts";

type Input = Readonly<Record<string, unknown>>;

/** What a service needs for the custom fields of its records. */
export interface CustomDesk {
  definitions: Definitions;
  keys: OrganizationKeys;
  users: ActiveUsers;
  /** Records that a reference may name, by the name of their kind. */
  kinds: ReadonlyMap<string, CustomKind>;
  /** Of an organization's phones that name none; asked before the transaction. */
  countryOf(organizationId: string): Promise<CountryCode>;
}

const nothing: Apart = new Map();

/**
 * The custom fields of one kind as one call sees them: checks what is given, keeps what is sealed and what is unique apart from the
 * records, and shows each caller what they may see. Sensitive values need the permission `<plural>:sensitive`, to read, to write and
 * to filter by; they are in no event, job or cache.
 */
export class CallFields {
  readonly #kind: CustomKind;
  readonly #desk: CustomDesk;
  readonly #fields: KindFields;
  readonly #principal: Principal;
  readonly #apart: ValuesApart;
  /** Of phones that name none. */
  readonly country: CountryCode;
  /** Keys that this call writes. */
  readonly #written = new Set<string>();
  /** Users whom `prepare` has found. */
  #active: ReadonlySet<string> = new Set();

  private constructor(
    kind: CustomKind,
    desk: CustomDesk,
    fields: KindFields,
    principal: Principal,
    { cipher, country }: { cipher: OrganizationCipher | undefined; country: CountryCode },
  ) {
    this.country = country;
    this.#kind = kind;
    this.#desk = desk;
    this.#fields = fields;
    this.#principal = principal;
    this.#apart = new ValuesApart(kind, fields, cipher);
  }

  /** Ask for it before the call's transaction has begun: definitions and the organization's key may have to be loaded. */
  static async of(
    { locals: { principal } }: Pick<Caller, "locals">,
    desk: CustomDesk,
    kind: CustomKind,
  ): Promise<CallFields> {
    const { organizationId } = principal;
    const fields = await desk.definitions.of(organizationId, kind.name);
    const cipher = fields.sensitive.length === 0 ? undefined : await desk.keys.of(organizationId);
    const country = await desk.countryOf(organizationId);
    return new CallFields(kind, desk, fields, principal, { cipher, country });
  }

  /** As the organization has defined them. */
  get defined(): KindFields {
    return this.#fields;
  }

  get #permission(): string {
    return `${this.#kind.plural}:sensitive`;
  }

  /** The first sensitive field an input names. */
  sensitiveNamedBy(input: Input): string | undefined {
    return Object.keys(givenIn(input) ?? {}).find((key) => this.#fields.all.get(key)?.isSensitive);
  }

  /** Whether an input or a condition says a sensitive value. */
  saysSensitive(input: Input, where: Asked["where"]): boolean {
    let says = this.sensitiveNamedBy(input) !== undefined;
    eachField({ where }, (path) => {
      says ||=
        path.startsWith(custom) && this.#fields.all.get(path.slice(custom.length))?.isSensitive === true;
    });
    return says;
  }

  /** Whether values may name users, whom `prepare` has to look for. */
  get mayNameUsers(): boolean {
    return [...this.#fields.all.values()].some(({ type }) => type === "user");
  }

  /** Looks for the users whom inputs name. Before the transaction, and before `accept`. */
  async prepare(ctx: Caller, inputs: readonly Input[]): Promise<void> {
    const named = new Set<string>();
    for (const { key, type } of this.#fields.all.values())
      if (type === "user")
        for (const input of inputs) {
          const value = givenIn(input)?.[key];
          // whatever is no id is refused by accept
          if (typeof value === "string" && value.length === 36) named.add(value.toLowerCase());
        }
    this.#active = named.size === 0 ? new Set() : await this.#desk.users.among(ctx, named);
  }

  /**
   * An input whose custom fields are as they are stored, without the sealed ones, and what is kept apart. Of a new record what is
   * required must be there, and what has a default gets it.
   * @throws 403 for a sensitive field without the permission; 422 that names each value that does not fit
   */
  accept<T extends Input>(input: T, { isNew }: { isNew: boolean }): { input: T; apart: Apart } {
    const named = { customFields: this.#withoutShown(givenIn(input)) };
    if (this.sensitiveNamedBy(named) !== undefined && !this.#maySee) throw forbidden(this.#permission);
    const { problems, ...accepted } = this.#read(input, isNew);
    if (problems.length > 0) throw invalid(problems);
    return accepted;
  }

  /** As `accept` of what a file says: what does not fit is left out and told of, and what is required is not asked for. */
  acceptFitting<T extends Input>(input: T): { input: T; apart: Apart; problems: FieldError[] } {
    return this.#read(input, false);
  }

  /** Who may not see sensitive values is shown null: what they send back of it says nothing. */
  #withoutShown(given: Given | undefined): Given | undefined {
    if (given === undefined || this.#maySee) return given;
    const said = Object.entries(given).filter(
      ([key, value]) => value !== null || !this.#fields.all.get(key)?.isSensitive,
    );
    return Object.fromEntries(said);
  }

  #read<T extends Input>(input: T, isNew: boolean): { input: T; apart: Apart; problems: FieldError[] } {
    const given = this.#withoutShown(givenIn(input));
    if (given === undefined && !(isNew && this.#fields.hasNews))
      return { input, apart: nothing, problems: [] };
    const { kept, apart, problems } = readValues(given, {
      country: this.country,
      fields: this.#fields,
      isNew,
      maySeeSensitive: this.#maySee,
      isActive: (user) => user === this.#principal.userId || this.#active.has(user),
    });
    for (const key of [...Object.keys(kept), ...apart.keys()]) this.#written.add(key);
    return { input: { ...input, customFields: kept }, apart, problems };
  }

  /** The records that inputs refer to by their fields of type reference, by the key: kind, and ids. */
  referencesOf(inputs: readonly Input[]): { key: string; target: CustomKind; ids: string[] }[] {
    return [...this.#fields.all.values()].flatMap(({ key, type, references, isSensitive }) => {
      if (type !== "reference" || isSensitive) return [];
      const target = this.#desk.kinds.get(references ?? "");
      const ids = inputs.flatMap((input) => {
        const value = givenIn(input)?.[key];
        return typeof value === "string" ? [value] : [];
      });
      return target && ids.length > 0 ? [{ key, target, ids: [...new Set(ids)] }] : [];
    });
  }

  /** Keys of the fields by which records of this kind refer to those of another. */
  referringTo({ name }: Pick<CustomKind, "name">): string[] {
    return [...this.#fields.all.values()].flatMap(({ key, type, references }) =>
      type === "reference" && references === name ? [key] : [],
    );
  }

  /** Keys of sealed values that a change writes: the record, which does not hold them, gets a version and an event. */
  sealedIn(apart: Apart): string[] {
    return [...apart.keys()].filter((key) => this.#fields.all.get(key)?.isSensitive);
  }

  /** Keys of unique values that a change gives. */
  uniqueIn(apart: Apart): string[] {
    return [...apart].flatMap(([key, value]) =>
      value !== null && this.#fields.all.get(key)?.isUnique ? [key] : [],
    );
  }

  /**
   * Writes at commit what is kept apart, whether or not the record itself is written yet. From then on the fields that the call
   * writes stay as it knows them; where one has changed, nothing is written and the call is run again.
   * @param taken what a clash means; default 409 VALUE_TAKEN
   */
  store(tx: UnitOfWork, records: readonly { id: string; apart: Apart }[], taken?: () => Error): void {
    if (records.length > 0 && this.#written.size > 0)
      tx.deferRows(
        this.#hold(tx, Object.fromEntries([...this.#written].map((key) => [key, this.#fields.stateOf(key)]))),
      );
    this.#apart.store(tx, records, taken);
  }

  /** Nobody changes the definitions of this kind until the end of the transaction. @param fields what they must be, by key */
  #hold(tx: UnitOfWork, fields: Readonly<Record<string, string | null>>): RowsStatement {
    tx.onViolation("custom_fields_changed", () => {
      this.#desk.definitions.forget(tx.organizationId);
      return customFieldsChanged();
    });
    return {
      name: "hold_custom_fields",
      text: "SELECT hold_custom_fields($1)",
      rows: [JSON.stringify({ kind: this.#kind.name, fields })],
    };
  }

  /** What of a row is kept apart besides: marks of its unique values; null where it has none. */
  marksOf(row: Readonly<Record<string, unknown>>): Apart {
    const values = row.custom_fields as Readonly<Record<string, CustomValue>>;
    for (const key of Object.keys(values)) this.#written.add(key);
    return new Map(
      this.#fields.unique.flatMap(({ key, isSensitive }) =>
        isSensitive ? [] : [[key, values[key] ?? null]],
      ),
    );
  }

  /** Which of these records would clash with another's unique value, as things stand; of two of them the first has it. */
  async clashing(
    tx: Pick<UnitOfWork, "query">,
    records: readonly { id: string; apart: Apart }[],
  ): Promise<ReadonlySet<string>> {
    const claims = await this.claims(
      tx,
      records.map(({ apart }) => apart),
    );
    return new Set(records.flatMap(({ id, apart }) => (claims.take(id, apart) === undefined ? [] : [id])));
  }

  /** Whose the unique values among these are, as things stand; `store` decides. */
  claims(tx: Pick<UnitOfWork, "query">, given: readonly Apart[]): Promise<Claims> {
    return this.#apart.claims(tx, given);
  }

  /** Deleted records give up what nobody else could have. */
  release(tx: UnitOfWork, ids: readonly string[]): void {
    if (ids.length > 0) tx.deferRows(this.#hold(tx, {}));
    this.#apart.release(tx, ids);
  }

  /**
   * Restored records take it again.
   * @param from who has it until this call is committed, and gives it back
   * @throws 409 VALUE_TAKEN that names who has it now
   */
  async claim(tx: UnitOfWork, ids: readonly string[], from?: string): Promise<void> {
    if (ids.length === 0) return;
    await tx.execute(withRows(this.#hold(tx, {})));
    return this.#apart.claim(tx, ids, from);
  }

  /** The winner of a merge gets sealed values that it lacks. Answers which, and of whom. */
  takeOver(tx: UnitOfWork, winner: string, losers: readonly string[]): Promise<TakenOver[]> {
    return this.#apart.takeOver(tx, winner, losers);
  }

  /** The opposite of `takeOver`, of what was not changed since. */
  giveBack(tx: UnitOfWork, winner: string, taken: readonly { key: string; from: string }[]): Promise<void> {
    return this.#apart.giveBack(tx, winner, taken);
  }

  /** A view without the values of deleted fields. */
  hide<T>(view: T): T {
    const { hidden } = this.#fields;
    const values = (view as { customFields?: Given }).customFields;
    if (hidden.size === 0 || values === undefined) return view;
    return {
      ...view,
      customFields: Object.fromEntries(Object.entries(values).filter(([key]) => !hidden.has(key))),
    };
  }

  /**
   * Adds to records, as this caller is shown them, their sensitive fields: opened or null, and named in `sensitive`.
   * @param written by id, what this call is about to write
   */
  async show<T extends { id: string }>(
    tx: UnitOfWork,
    views: readonly T[],
    written: ReadonlyMap<string, Apart> = new Map(),
  ): Promise<T[]> {
    const shown = this.#fields.hidden.size === 0 ? views : views.map((view) => this.hide(view));
    if (this.#fields.sensitive.length === 0) return [...shown];
    const holders = shown.filter((view) => "customFields" in view && view.customFields !== undefined);
    if (holders.length === 0) return [...shown];
    const sealed = await this.#apart.read(
      tx,
      holders.map(({ id }) => id),
      this.#maySee,
    );
    return shown.map((view) => this.#with(view, sealed.get(view.id), written.get(view.id)));
  }

  /** As `show` of one. */
  async showOne<T>(tx: UnitOfWork, view: T, apart?: Apart): Promise<T> {
    const of = view as T & { id: string };
    const [shown] = await this.show(tx, [of], apart && new Map([[of.id, apart]]));
    return shown ?? view;
  }

  /** As `show`, of a record that this call makes: nothing has to be read. */
  showNew<T>(view: T, apart: Apart): T {
    return this.#with(this.hide(view), undefined, apart);
  }

  #with<T>(view: T, sealed: ReadonlyMap<string, unknown> | undefined, written: Apart | undefined): T {
    const values = new Map(sealed);
    for (const key of written ? this.sealedIn(written) : []) {
      const value = written?.get(key) ?? null;
      if (value === null) values.delete(key);
      else values.set(key, this.#maySee ? value : null);
    }
    if (values.size === 0) return view;
    const { customFields } = view as { customFields?: Given };
    return {
      ...view,
      customFields: { ...customFields, ...Object.fromEntries(values) },
      sensitive: [...values.keys()].sort(),
    };
  }

  get #maySee(): boolean {
    return can(this.#principal, this.#permission);
  }

  /**
   * What records may be listed by: by what is defined, and sealed values by equality.
   * @throws 403 when those are asked for without the permission
   */
  listing(of: Listing, asked: Pick<Asked, "filter" | "where">): Listing {
    const listing = this.#fields.listing(of);
    if (this.#fields.sensitive.length === 0) return listing;
    const sealed = new Set<string>();
    eachField(asked, (path) => {
      const key = path.slice(custom.length);
      if (path.startsWith(custom) && this.#fields.all.get(key)?.isSensitive) sealed.add(key);
    });
    if (sealed.size === 0) return listing;
    if (!this.#maySee) throw forbidden(this.#permission);
    const tests = [...sealed].map((key) => [key, this.#apart.sealedField(key)] as const);
    return { ...listing, customFields: new Map([...(listing.customFields as CustomFields), ...tests]) };
  }

  /** @throws 400 for a filter by a field that is not there */
  requireKnown(tx: Pick<UnitOfWork, "query">, asked: Pick<Asked, "filter" | "where">): Promise<void> {
    return requireKnownFields(tx, this.#kind.plural, this.#fields, asked);
  }
}

const givenIn = ({ customFields }: Input): Given | undefined => customFields as Given | undefined;
