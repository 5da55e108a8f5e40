import { contact } from "../../entities/contact.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { exportable, importable } from "../../mixins/records/capabilities/files.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import {
  comparable,
  crud,
  eventsOf,
  historical,
  mergeable,
  overviewed,
  personalFields,
  restorable,
  upsertable,
} from "../../mixins/records/capabilities.ts";

export const contactsContract = defineContract("contacts", {
  tables: {
    owns: ["contacts", "contact_identities", "contact_companies"],
    reads: ["companies"],
    writes: ["merges"],
  },
  actions: {
    ...crud(contact),
    ...bulk(contact),
    ...bulkChangeable(contact),
    ...upsertable(contact),
    ...restorable(contact),
    ...historical(contact),
    ...overviewed(contact),
    ...commentable(contact),
    ...comparable(contact),
    ...mergeable(contact),
    ...importable(contact),
    ...exportable(contact),
  },
  events: { ...eventsOf(contact) },
  personalData: {
    contacts: personalData({
      summary:
        "Contacts, and what it takes to undo their merges and imports; the contact stays as a deleted one, without what tells who it was",
      tables: ["contacts", "contact_identities", "contact_companies", "merges"],
      fields: personalFields(contact),
    }),
  },
});
