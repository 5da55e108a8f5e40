import type { ServiceSchema } from "moleculer";
import { contact } from "../../entities/contact.ts";
import { kinds } from "../../entities/kinds.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { ActiveUsers } from "../../mixins/records/active-users.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { mayStillSee } from "../../mixins/records/may-still-see.ts";
import type { HandlersOf } from "../contracts.ts";
import { contactsContract } from "./contacts.contract.ts";
import { contactsPersonalData } from "./personal-data.ts";

/** Persons whom the organization knows. */
export default function contactsService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  const records = recordHandlers(contact, { database, users: new ActiveUsers(), kinds });
  const handlers: HandlersOf<typeof contactsContract> = {
    ...records.crud,
    ...records.bulk,
    ...records.upsertable,
    ...records.restorable,
    ...records.historical,
    ...records.comparable,
  };
  return createService(contactsContract, handlers, runtime, {
    mayStillSee: mayStillSee(contact),
    personalData: contactsPersonalData,
  });
}
