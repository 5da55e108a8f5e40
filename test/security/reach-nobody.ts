import { kinds } from "../../entities/kinds.ts";
import { kindsThat } from "../support/records.ts";

const own = "of the caller alone";
const reads = "reads what its permission is for: names, roles and settings";
const settings = "settings of records, which give nobody a right";

/** Permissions of records, which are shown to and changed by who sees them: test/service/visibility.test.ts. */
export const ofRecords = new RegExp(
  `^(${[...kinds.values()].map(({ plural }) => plural).join("|")}|imports|reports|events):`,
);

/** Actions that change nothing of a person or a right beyond the caller's reach, and why. */
export const reachNobody: Record<string, string> = {
  ...Object.fromEntries(
    [
      ...["logout", "me", "listSessions", "revokeSession", "changePassword", "linkOauth"],
      ...[
        "resendVerification",
        "verifyEmail",
        "enrollTotp",
        "verifyTotp",
        "disableTotp",
        "listIdentities",
        "unlinkIdentity",
      ],
    ].map((name) => [`identity.${name}`, own]),
  ),
  ...Object.fromEntries(
    [
      ...[
        "listUsers",
        "getUser",
        "listInvites",
        "getInvite",
        "listRoles",
        "getRole",
        "getOrganization",
        "getUsage",
      ],
      ...["getFederation", "getDeletion", "listAuditLog", "activeUserIds"],
    ].map((name) => [`identity.${name}`, reads]),
  ),
  "identity.updateOrganization": "name, domain and time zone: nobody's right",
  "identity.verifyDomain": "the domain's name servers decide",
  "identity.requireMayChange": "does what privacy.createErasure asks it for",
  "identity.listApiKeys": "the caller's own; the built-in admin's, who covers everybody, all",
  "identity.getApiKey": "as the list",
  "identity.revokeApiKey": "as the list",
  "teams.list": reads,
  "teams.get": reads,
  "privacy.listRequests": "what was asked for, not what is held",
  "privacy.getRequest": "as the list",
  "privacy.getRetention": reads,
  "records.listOperations": "one's own, or everybody's for who sees all records",
  "records.getOperation": "as the list",
  ...Object.fromEntries(
    kindsThat("applyOperation").map(([plural]) => [
      `${plural}.applyOperation`,
      "asks for the right that the operation needs, and for each record",
    ]),
  ),
  "records.undoMerge": "asks for the right to delete records of the merge's kind, and for each record",
  "records.getUsage": reads,
  ...Object.fromEntries(
    ["list", "get", "create", "update", "remove"].map((name) => [
      `views.${name}`,
      "one's own; a shared one shows each only the records that they see anyway, and is changed by its owner or an admin",
    ]),
  ),
  ...Object.fromEntries(
    ["schedule", "list", "get", "claim", "complete", "release", "retry"].map((name) => [
      `calls.${name}`,
      "of one's queues, and of records that one sees: test/service/call-queues.test.ts",
    ]),
  ),
  ...Object.fromEntries(
    [
      ...["list", "get", "create", "update", "remove", "listEntries", "getEntry", "addEntry"],
      ...["updateEntry", "removeEntry", "addMany", "applyOperation"],
    ].map((name) => [
      `lists.${name}`,
      "one's own, or shared ones; each shows only entries of records that one sees: test/service/lists.test.ts",
    ]),
  ),
  "search.search":
    "records of kinds that one may read, which one sees: test/service/search-all-kinds.test.ts",
  "imports.getUsage": reads,
  ...Object.fromEntries(
    [...["listPools", "getPool", "score", "getScoringRules", "getScoringModel", "setScoringRules"]].map(
      (name) => [`leads.${name}`, settings],
    ),
  ),
  ...Object.fromEntries(
    ["list", "get", "create", "update", "remove", "restore"].map((name) => [
      `custom-fields.${name}`,
      settings,
    ]),
  ),
};
