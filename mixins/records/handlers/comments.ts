import type { Context } from "moleculer";
import { can, systemMeta, type Principal } from "../../access/principal.ts";
import { isVisible } from "../../access/visibility.ts";
import { appError, invalid } from "../../contract/errors.ts";
import { newId } from "../../database/new-id.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { requireRoomFor } from "../../organizations/limits.ts";
import { commentListing } from "../capabilities/comments.ts";
import { commentColumns, commentView, type CommentRow } from "../finding/comment-view.ts";
import type { ListParams, Values } from "../finding/listing.ts";
import { readPage } from "../finding/page.ts";
import type { AnyRow } from "../kind/kind.ts";
import { ownersOf, type Counter, type RecordContext } from "../writing/desk.ts";
import { requireVersion } from "../writing/input.ts";
import { audienceOf } from "../writing/ownership.ts";

const commentNotFound = () => appError(404, "COMMENT_NOT_FOUND", "There is no such comment.");
const notYourComment = () =>
  appError(
    403,
    "NOT_YOUR_COMMENT",
    "Only whoever wrote a comment changes or deletes it; write one of your own.",
  );

interface Addressed {
  id: string;
  commentId: string;
  expectedVersion?: number | undefined;
}
type Verb = "created" | "updated" | "deleted" | "mentioned";

/** What users say of a record. Whoever may not see the record is told of none. */
export function commentHandlers<R extends AnyRow, P>({
  kind,
  store,
  desk,
}: Pick<Counter<R, P>, "kind" | "store" | "desk">) {
  const find = async (tx: UnitOfWork, { id, commentId }: Addressed, lock = ""): Promise<CommentRow> => {
    const [row] = await tx.query<CommentRow>({
      text: `SELECT ${commentColumns} FROM comments WHERE id = $1 AND record_id = $2 AND record_kind = $3${lock}`,
      values: [commentId, id, kind.name],
    });
    if (!row) throw commentNotFound();
    return row;
  };
  const tell = (tx: UnitOfWork, record: R, verb: Verb, row: CommentRow, audience: string[] | null) =>
    tx.record({
      type: `comment.${verb}`,
      // an event of the record: who sees that one sees it
      entity: { kind: kind.name, id: record.id, version: record.version },
      actorId: row.author_id,
      audience,
      data: { comment: commentView(row) },
    });
  const told = (
    tx: UnitOfWork,
    record: R,
    verb: Verb,
    row: CommentRow,
    mentioned: readonly string[] = [],
  ) => {
    tell(tx, record, verb, row, kind.owners.length === 0 ? null : audienceOf(...ownersOf(kind, record)));
    if (mentioned.length > 0) tell(tx, record, "mentioned", row, [...mentioned]);
  };

  /** Before the transaction: who the users are is asked elsewhere. @throws 422 naming each who is nobody, or cannot see the record */
  async function requireMaySee(ctx: RecordContext, id: string, mentions: readonly string[]): Promise<void> {
    if (mentions.length === 0) return;
    const { principal, tx } = ctx.locals;
    const { organizationId } = tx;
    const record = await store.get(desk.database.reader(organizationId), principal, id);
    const users = await (ctx as RecordContext & Pick<Context, "call">).call<
      { data: { id: string; role: string; isActive: boolean }[] },
      object
    >(
      "identity.listUsers",
      { filter: { id: { in: [...mentions] } }, limit: 200, fields: ["id", "role", "isActive"] },
      { meta: systemMeta(organizationId) },
    );
    const readers = new Set<string>();
    for (const user of users.data) {
      if (!user.isActive) continue;
      const reader: Principal = await desk.access.principalOf({
        organizationId,
        userId: user.id,
        role: user.role,
      });
      if (can(reader, `${kind.plural}:read`) && isVisible(reader, kind.owners, record)) readers.add(user.id);
    }
    const problems = mentions.flatMap((user, index) =>
      readers.has(user)
        ? []
        : [
            {
              path: `mentions.${index}`,
              code: "not_found",
              message: `is no active user who sees the ${kind.name}`,
            },
          ],
    );
    if (problems.length > 0) throw invalid(problems);
  }

  return {
    async listComments(ctx: RecordContext<ListParams & { id: string }>) {
      const { principal, tx } = ctx.locals;
      const { id, filter, where } = ctx.params;
      await store.get(tx, principal, id);
      const ofRecord = (values: Values) => [
        `record_id = ${values.add(id)}`,
        `record_kind = ${values.add(kind.name)}`,
      ];
      const asked = [kind.name, id, filter, where];
      return readPage(tx, commentListing, { ...ctx.params, asked }, commentView, ofRecord);
    },
    async getComment(ctx: RecordContext<Addressed>) {
      const { principal, tx } = ctx.locals;
      await store.get(tx, principal, ctx.params.id);
      return commentView(await find(tx, ctx.params));
    },
    async createComment(ctx: RecordContext<{ id: string; body: string; mentions: string[] }>) {
      const { principal, tx } = ctx.locals;
      const { id, body, mentions } = ctx.params;
      await requireMaySee(ctx, id, mentions);
      // locked: a merge takes along all that there are
      const record = await store.lock(tx, principal, id);
      await requireRoomFor(tx, "commentsOfRecord", { of: id });
      const now = tx.now.toISOString();
      const row: CommentRow = {
        ...{ id: newId(), record_kind: kind.name, record_id: id, author_id: principal.userId as string },
        ...{ body, mentions, created_at: now, updated_at: now, version: 1 },
      };
      tx.defer({
        name: "insert_comment",
        text: `INSERT INTO comments (organization_id, id, record_kind, record_id, author_id, body, mentions, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`,
        values: [tx.organizationId, row.id, kind.name, id, row.author_id, body, mentions, now],
      });
      told(tx, record, "created", row, mentions);
      return commentView(row);
    },
    /** What changes nothing makes no version and no event. */
    async updateComment(ctx: RecordContext<Addressed & { body?: string; mentions?: string[] }>) {
      const { principal, tx } = ctx.locals;
      const { id, expectedVersion, ...given } = ctx.params;
      await requireMaySee(ctx, id, given.mentions ?? []);
      const record = await store.get(tx, principal, id);
      const before = await find(tx, ctx.params, " FOR NO KEY UPDATE");
      if (before.author_id !== principal.userId) throw notYourComment();
      requireVersion(before, expectedVersion);
      const { body = before.body, mentions = before.mentions } = given;
      const added = mentions.filter((user) => !before.mentions.includes(user));
      if (body === before.body && added.length === 0 && mentions.length === before.mentions.length)
        return commentView(before);
      const now = tx.now.toISOString();
      const row = { ...before, body, mentions, updated_at: now, version: before.version + 1 };
      tx.defer({
        name: "update_comment",
        text: "UPDATE comments SET body = $2, mentions = $3, updated_at = $4, version = version + 1 WHERE id = $1",
        values: [row.id, body, mentions, now],
      });
      told(tx, record, "updated", row, added);
      return commentView(row);
    },
    async removeComment(ctx: RecordContext<Addressed>) {
      const { principal, tx } = ctx.locals;
      const record = await store.get(tx, principal, ctx.params.id);
      const row = await find(tx, ctx.params, " FOR NO KEY UPDATE");
      if (row.author_id !== principal.userId) throw notYourComment();
      requireVersion(row, ctx.params.expectedVersion);
      tx.defer({ name: "delete_comment", text: "DELETE FROM comments WHERE id = $1", values: [row.id] });
      told(tx, record, "deleted", row);
      return null;
    },
  };
}
