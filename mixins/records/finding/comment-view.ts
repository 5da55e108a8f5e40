import type { QueryResultRow } from "pg";
import type { CommentView } from "../capabilities/comments.ts";

export interface CommentRow extends QueryResultRow {
  id: string;
  record_kind: string;
  record_id: string;
  author_id: string;
  body: string;
  mentions: string[];
  created_at: string;
  updated_at: string;
  version: number;
}
export const commentColumns =
  "id, record_kind, record_id, author_id, body, mentions, created_at, updated_at, version";

export const commentView = (row: CommentRow): CommentView => ({
  ...{ id: row.id, kind: row.record_kind, recordId: row.record_id, authorId: row.author_id },
  ...{ body: row.body, mentions: row.mentions },
  ...{ createdAt: row.created_at, updatedAt: row.updated_at, version: row.version },
});
