import { p } from "@mikro-orm/postgresql";
import { v7 as uuidv7 } from "uuid";

/** Columns of every tenant table: a time-ordered id made by the app, the owner, optimistic version, timestamps. */
export const tenantColumns = {
  id: p
    .uuid()
    .primary()
    .onCreate(() => uuidv7()),
  organizationId: p.uuid(),
  version: p.integer().version().default(1),
  createdAt: p.datetime(3).onCreate(() => new Date()),
  updatedAt: p
    .datetime(3)
    .onCreate(() => new Date())
    .onUpdate(() => new Date()),
};
