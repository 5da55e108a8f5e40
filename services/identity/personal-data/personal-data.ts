import type { Database } from "../../../mixins/database/database.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import {
  emailMark,
  exportPage,
  nobody,
  subjectIds,
  type Person,
} from "../../../mixins/privacy/personal-data.ts";
import type { PersonalDataHandlersOf } from "../../contracts.ts";
import type { identityContract } from "../identity.contract.ts";

const atOnce = 500;
/** Domain of the emails of erased users: unique, and nobody's (RFC 2606). */
const erasedDomain = "erased.invalid";

/** Finds, exports and erases what identity holds of persons. */
export const identityPersonalDataHandlers = (
  database: Database,
): PersonalDataHandlersOf<typeof identityContract> => ({
  users: {
    async find({ locals: { tx }, params: { person } }) {
      const users = await tx.query<{ id: string; name: string; email: string }>({
        text: `SELECT id, name, email FROM control.users
          WHERE (id = ANY ($1) OR email = ANY ($2)) AND email NOT LIKE '%@${erasedDomain}'`,
        values: [subjectIds(person, "user"), emailsOf(person)],
      });
      return {
        ...nobody,
        subjects: users.map(({ id }) => ({ kind: "user", id })),
        emails: users.map(({ email }) => email),
        names: users.map(({ name }) => name),
        marks: users.map(({ email }) => emailMark(email)),
      };
    },
    async export({ locals: { tx }, params: { person, after } }) {
      const users = await tx.query<{ id: string }>({
        text: `SELECT id, name, email, email_verified_at, role, is_active, last_login_at, created_at, updated_at,
            ARRAY(SELECT json_build_object('id', s.id, 'user_agent', s.user_agent, 'ip', s.ip,
              'created_at', s.created_at, 'last_used_at', s.last_used_at)
              FROM control.sessions s WHERE s.user_id = u.id ORDER BY s.created_at LIMIT 100) AS sessions,
            ARRAY(SELECT json_build_object('id', k.id, 'name', k.name, 'created_at', k.created_at)
              FROM control.api_keys k WHERE k.user_id = u.id ORDER BY k.created_at LIMIT 100) AS api_keys,
            ARRAY(SELECT json_build_object('provider', i.provider, 'subject', i.subject, 'email', i.email,
              'created_at', i.created_at)
              FROM control.identities i WHERE i.user_id = u.id ORDER BY i.created_at LIMIT 100) AS identities
          FROM control.users u WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2)
          ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, "user"), after],
      });
      return exportPage(users, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const users = await lockUsers(tx, person);
      const leaving = users.filter(({ is_active: isActive }) => !isActive).map(({ id }) => id);
      const tables = [
        ...[
          "sessions",
          "api_keys",
          "totp_factors",
          "recovery_codes",
          "password_resets",
          "email_verifications",
        ],
        ...["identities", "sign_in_codes"],
      ];
      for (const table of tables)
        tx.defer({ text: `DELETE FROM control.${table} WHERE user_id = ANY ($1)`, values: [leaving] });
      tx.defer({
        text: `UPDATE control.users SET name = 'Erased user', email = id || '@${erasedDomain}', email_verified_at = NULL, password_hash = '',
            last_login_at = NULL, version = version + 1, updated_at = $2
          WHERE id = ANY ($1)`,
        values: [leaving, tx.now],
      });
      return { count: leaving.length, kept: users.length - leaving.length, next: null };
    },
  },
  invites: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const invites = await tx.query<{ id: string }>({
        text: `SELECT id, name, email, role, expires_at, created_at FROM control.invites
          WHERE ($1::text[] IS NULL OR email = ANY ($1)) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT ${atOnce}`,
        values: [person && emailsOf(person), after],
      });
      return exportPage(invites, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const emails = emailsOf(person);
      const [invites, mails] = await Promise.all([
        tx.execute({ text: "DELETE FROM control.invites WHERE email = ANY ($1)", values: [emails] }),
        tx.execute({
          text: "DELETE FROM control.kept_mails WHERE lower(recipient) = ANY ($1)",
          values: [emails],
        }),
      ]);
      return { count: invites + mails, kept: 0, next: null };
    },
  },
  "audit-log": {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const entries = await tx.query<{ id: string }>({
        text: `SELECT id, type, actor_id, subject_id, ip, user_agent, details, created_at FROM control.audit_log
          WHERE ($1::uuid[] IS NULL OR actor_id = ANY ($1) OR subject_id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2)
          ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, "user"), after],
      });
      return exportPage(entries, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const { organizationId } = tx;
      // the app's role may only add to the log
      const count = await database.transaction({ platform: database.control }, (platform) =>
        platform.execute({
          text: `UPDATE control.audit_log l SET ip = NULL, user_agent = NULL
            WHERE l.organization_id = $1 AND (l.actor_id = ANY ($2) OR l.subject_id = ANY ($2))
              AND (l.ip IS NOT NULL OR l.user_agent IS NOT NULL) AND EXISTS (SELECT FROM control.users u
                WHERE u.id IN (l.actor_id, l.subject_id) AND u.id = ANY ($2) AND NOT u.is_active)`,
          values: [organizationId, subjectIds(person, "user")],
        }),
      );
      return { count, kept: 0, next: null };
    },
    async expire({ locals: { tx }, params: { before } }) {
      const { organizationId } = tx;
      const count = await database.transaction({ platform: database.control }, (platform) =>
        platform.execute({
          text: `DELETE FROM control.audit_log WHERE organization_id = $1 AND id IN (SELECT id FROM control.audit_log
            WHERE organization_id = $1 AND created_at < $2 ORDER BY created_at LIMIT ${atOnce})`,
          values: [organizationId, before],
        }),
      );
      return { count, next: count === atOnce ? "more" : null };
    },
  },
});

const emailsOf = ({ marks }: Person): string[] =>
  marks.filter((mark) => mark.startsWith(emailMark(""))).map((mark) => mark.slice(emailMark("").length));

const lockUsers = (tx: UnitOfWork, person: Person) =>
  tx.query<{ id: string; is_active: boolean }>({
    text: `SELECT id, is_active FROM control.users
      WHERE id = ANY ($1) AND email NOT LIKE '%@${erasedDomain}' ORDER BY id FOR NO KEY UPDATE`,
    values: [subjectIds(person, "user")],
  });
