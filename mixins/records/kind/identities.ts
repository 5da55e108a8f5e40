import * as f from "./fields.ts";
import {
  identityChannels,
  identityKinds,
  kindsOfIdentity,
  readIdentities,
  sameIdentities,
  type Identity,
} from "../../values/identity.ts";

/**
 * By what a person is known, wherever they write; the fields `email` and `phone` are the first of theirs. The channel follows from the kind.
 * @param table where they are found
 */
export const identities = (table: string) =>
  f.parts(
    {
      channel: f.oneOf(identityChannels, "phone"),
      kind: f.oneOf(identityKinds, "phone"),
      value: f.text(254),
      /** When it was seen that the person has it; see `guarded`. */
      verifiedAt: f.time(),
    },
    {
      ...{ table, key: ["kind", "value"], most: 50 },
      primaries: [
        { field: "email", value: "value", where: { channel: "email", kind: "email" } },
        { field: "phone", value: "value", where: { channel: "phone", kind: "phone" } },
      ],
      complete(part, country) {
        const { kind, value } = part as unknown as Identity;
        const of = kindsOfIdentity[kind];
        const { channel } = of;
        if (part.channel !== undefined && part.channel !== channel)
          return {
            at: "channel",
            code: "invalid_value",
            message: `must be ${channel}, where a ${kind} is one`,
          };
        const reading = of.read(value, country);
        if ("doubt" in reading) return { at: "value", code: `invalid_${kind}`, message: reading.doubt };
        return { part: { ...part, channel, value: reading.value } };
      },
      isExclusive: (part) => kindsOfIdentity[(part as unknown as Identity).kind].isExclusive,
      guarded: { field: "verifiedAt", verb: "verify" },
      alike: (part) => sameIdentities(part as unknown as Identity).map((one) => ({ ...one })),
      filters: {
        value: (text) => [
          ...new Set(
            readIdentities(text)
              .flatMap(sameIdentities)
              .map(({ value }) => value),
          ),
        ],
      },
    },
    { personal: true },
  );
