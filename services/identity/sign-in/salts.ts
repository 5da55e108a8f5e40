import { createHmac } from "node:crypto";
import type { Database } from "../../../mixins/database/database.ts";
import { hashPassword, saltIn } from "./passwords.ts";

/**
 * As `hashPassword`, for an account with this address. All accounts of an address have one salt, so that a sign-in compares its
 * password with all of them by one computation, and takes as long however many there are: see `whosePassword`.
 */
export async function hashPasswordFor(database: Database, email: string, password: string): Promise<string> {
  return hashPassword(password, await saltOf(database, email));
}

async function saltOf(database: Database, email: string): Promise<Buffer> {
  const [row] = await database.transaction({ platform: database.control }, (tx) =>
    tx.query<{ known: string | null; key: Buffer }>({
      name: "salt_of_address",
      text: `SELECT password_salt_key AS key, (SELECT password_hash FROM control.users
          WHERE email = $1 AND password_hash <> '' ORDER BY created_at LIMIT 1) AS known
        FROM control.installation`,
      values: [email],
    }),
  );
  if (!row) throw new Error("control.installation is empty: its row was made by a migration");
  // release 0.1.0 had a random salt for each account
  if (row.known !== null) return saltIn(row.known);
  return createHmac("sha256", row.key).update(email).digest().subarray(0, 16);
}
