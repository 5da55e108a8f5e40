import { Organization, Session, User } from "./control.ts";
import { LeadImport } from "./imports.ts";
import { AssignmentPool, CustomField, ScoringRules } from "./lead-settings.ts";
import { kinds } from "./kinds.ts";
import { entityOf } from "../mixins/records/kind/entity.ts";

/** Every entity, for MikroORM's metadata. */
export const allEntities = [
  Organization,
  User,
  Session,
  AssignmentPool,
  ScoringRules,
  CustomField,
  LeadImport,
  ...[...kinds.values()].map(entityOf),
];
