import { Organization, Session, User } from "./control.ts";
import { LeadImport } from "./imports.ts";
import { AssignmentPool, CustomField, Lead, ScoringRules } from "./leads.ts";
import { Company, Contact, Deal, Pipeline } from "./sales.ts";

/** Every entity, for MikroORM's metadata. */
export const allEntities = [
  Organization,
  User,
  Session,
  Lead,
  AssignmentPool,
  ScoringRules,
  CustomField,
  Company,
  Contact,
  Pipeline,
  Deal,
  LeadImport,
];
