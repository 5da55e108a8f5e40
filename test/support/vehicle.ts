import { defineContract, type Handlers } from "../../mixins/contract/contract.ts";
import { conflict } from "../../mixins/contract/errors.ts";
import { createService } from "../../mixins/contract/service.ts";
import * as can from "../../mixins/records/capabilities.ts";
import { exportable, importable } from "../../mixins/records/capabilities/files.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import * as f from "../../mixins/records/kind/fields.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { defineKind } from "../../mixins/records/kind/kind.ts";
import { personalDataOf, recordPersonalData } from "../../mixins/records/personal-data.ts";
import type { Actions } from "../../services/contracts.ts";
import type { ExtraService } from "../../services/node.ts";
import { recordDesk } from "../../services/record-desk.ts";

/** A kind as a deployment adds one: six fields of its own, beside those that kinds usually have, and one rule. */
export const vehicle = defineKind("vehicle", {
  plural: "vehicles",
  title: ["plate", "maker"],
  fields: {
    externalId: f.text(200),
    plate: f.text(20, { search: "A", isSortable: true, matches: true }),
    maker: f.text(100, { search: "B" }),
    driverEmail: f.email({ personal: "email", matches: true }),
    fuel: f.oneOf(["petrol", "diesel", "electric"], "petrol"),
    mileage: f.count(0, 10_000_000, { isSortable: true }),
    companyId: f.ref("company"),
    assignedTo: f.user({ isOwner: true }),
    tags: f.tags(),
    customFields: f.customFields(),
  },
  example: { plate: "MH 12 AB 1234", maker: "Tata", fuel: "electric", mileage: 1200 },
});

export const vehiclesContract = defineContract("vehicles", {
  tables: { owns: ["vehicles"] },
  actions: {
    ...can.crud(vehicle),
    ...bulk(vehicle),
    ...bulkChangeable(vehicle),
    ...can.upsertable(vehicle),
    ...can.restorable(vehicle),
    ...can.historical(vehicle),
    ...can.comparable(vehicle),
    ...can.mergeable(vehicle),
    ...importable(vehicle),
    ...exportable(vehicle),
  },
  events: { ...can.eventsOf(vehicle) },
  personalData: { vehicles: personalDataOf(vehicle) },
});

/** What `startNode` is given to host it. */
export const vehicles: ExtraService = {
  kind: vehicle,
  contract: vehiclesContract,
  factory(runtime) {
    const handlers: Handlers<typeof vehiclesContract, Actions> = recordHandlers(
      vehicle,
      recordDesk(runtime),
      {
        decide(before, change) {
          if (change.row.mileage < before.mileage)
            throw conflict("MILEAGE_FELL", "A vehicle drives no way back.");
          return change;
        },
      },
    );
    const personalData = { vehicles: recordPersonalData(vehicle, runtime) };
    return createService(vehiclesContract, handlers, runtime, { personalData });
  },
};
