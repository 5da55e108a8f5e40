import { email } from "../contract/schemas.ts";
import { phoneForms, readPhone, type CountryCode } from "./phone.ts";

/** By what a person is known on a channel. */
export const identityKinds = ["phone", "email", "wa_id", "bsuid", "username", "visitor"] as const;
export type IdentityKind = (typeof identityKinds)[number];
export const identityChannels = ["phone", "email", "whatsapp", "webchat"] as const;
export type IdentityChannel = (typeof identityChannels)[number];
export interface Identity {
  kind: IdentityKind;
  value: string;
}

/** A value in the form that is stored, or what it must be: words that follow the value's name. */
export type IdentityReading = { value: string } | { doubt: string };

interface KindOfIdentity {
  /** Where it is one. */
  channel: IdentityChannel;
  /** Whether it belongs to one contact. Emails and phones may be shared: by a family, an office. */
  isExclusive: boolean;
  /** @param country of a number without its country code */
  read(text: string, country?: CountryCode): IdentityReading;
}

const matching = (pattern: RegExp, doubt: string) => (value: string) =>
  pattern.test(value) ? { value } : { doubt };

/**
 * `wa_id` and `bsuid` are those of WhatsApp ("Business-scoped user IDs", Meta's documentation): the digits of a number, and country,
 * point and up to 128 letters and digits, with `ENT.` between them for linked portfolios. `visitor` is an id that we give.
 */
export const kindsOfIdentity: Readonly<Record<IdentityKind, KindOfIdentity>> = {
  phone: {
    ...{ channel: "phone", isExclusive: false },
    read(text, country) {
      const reading = readPhone(text, country);
      return "phone" in reading ? { value: reading.phone } : reading;
    },
  },
  email: {
    ...{ channel: "email", isExclusive: false },
    read(text) {
      const { data } = email.safeParse(text);
      return data === undefined
        ? { doubt: "must be an email address, such as asha@example.com" }
        : { value: data };
    },
  },
  wa_id: {
    ...{ channel: "whatsapp", isExclusive: true },
    read: (text) =>
      matching(
        /^[1-9]\d{6,14}$/,
        "must be the 7 to 15 digits of a number with its country code, such as 919876543210",
      )(text.replaceAll(/[\s()+.-]/g, "")),
  },
  bsuid: {
    ...{ channel: "whatsapp", isExclusive: true },
    read: matching(
      /^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}$/,
      "must be a country, a point and up to 128 letters and digits, such as US.13491208655302741918",
    ),
  },
  username: {
    ...{ channel: "whatsapp", isExclusive: true },
    read: (text) =>
      matching(
        /^[\p{L}\p{N}._-]{1,64}$/u,
        "must be up to 64 letters, digits and . _ -, such as asha.rao",
      )(text.replace(/^@/, "").toLowerCase()),
  },
  visitor: {
    ...{ channel: "webchat", isExclusive: true },
    read: matching(/^[\w.:-]{1,128}$/, "must be up to 128 letters, digits and . _ : -"),
  },
};

/** An identity in the form that is stored; undefined where its value is none of its kind. */
export function identityOf({ kind, value }: Identity): Identity | undefined {
  const reading = kindsOfIdentity[kind].read(value);
  return "value" in reading ? { kind, value: reading.value } : undefined;
}

/**
 * Identities, each of whom would be the same person: a number in all forms that ring at one phone, and as WhatsApp writes it.
 * @param identity as it is stored
 */
export function sameIdentities({ kind, value }: Identity): Identity[] {
  if (kind !== "phone" && kind !== "wa_id") return [{ kind, value }];
  const phones = phoneForms(kind === "phone" ? value : `+${value}`);
  return [
    ...phones.map((phone): Identity => ({ kind: "phone", value: phone })),
    // an extension is no WhatsApp number
    ...phones.flatMap((phone): Identity[] =>
      phone.includes(";") ? [] : [{ kind: "wa_id", value: phone.slice(1) }],
    ),
  ];
}

/** What a text may mean that says no kind, in the forms that are stored. */
export const readIdentities = (text: string): Identity[] =>
  identityKinds.flatMap((kind) => identityOf({ kind, value: text }) ?? []);
