import type { ServiceSchema } from "moleculer";
import { contact } from "../../entities/contact.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { contactsContract } from "./contacts.contract.ts";
import { contactsPersonalData } from "./personal-data.ts";

/** Persons whom the organization knows. */
export default function contactsService(runtime: Runtime): ServiceSchema {
  const handlers: HandlersOf<typeof contactsContract> = recordHandlers(contact, recordDesk(runtime));
  return createService(contactsContract, handlers, runtime, {
    personalData: contactsPersonalData(runtime),
  });
}
