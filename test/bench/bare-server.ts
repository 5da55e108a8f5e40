import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import pg from "pg";
import { v7 as uuidv7 } from "uuid";
import { lead } from "../../entities/lead.ts";
import { columnOf } from "../../mixins/records/finding/listing.ts";

// The yardstick: the least a Node server does for the same row and the same page. No authentication, no
// validation, no row-level security, no event, no transaction of its own.
const { BARE_PORT, BARE_DATABASE_URL, BARE_ORGANIZATION_ID } = process.env;

const types = new pg.TypeOverrides();
types.setTypeParser(1184, (text) => text); // timestamptz stays text
const pool = new pg.Pool({ connectionString: BARE_DATABASE_URL, max: 8, types });

const columns = Object.keys(lead.listing.fields)
  .map((field) => `${columnOf(field)} AS "${field}"`)
  .join(", ");
const page = {
  name: "page",
  text: `SELECT ${columns} FROM leads WHERE organization_id = $1 AND deleted_at IS NULL
    ORDER BY created_at DESC, id DESC LIMIT 50`,
};
const written = [
  ...["id", "organization_id", "created_at", "updated_at", "first_name", "last_name", "email", "phone"],
  ...["company_name", "title", "source", "status", "score", "score_reasons", "scoring_version"],
  ...["tags", "custom_fields", "consent"],
];
const insert = {
  name: "insert",
  text: `INSERT INTO leads (${written.join(", ")})
    VALUES (${written.map((_, index) => `$${index + 1}`).join(", ")}) RETURNING ${columns}`,
};

async function list(): Promise<unknown> {
  const { rows } = await pool.query({ ...page, values: [BARE_ORGANIZATION_ID] });
  return { data: rows };
}

async function create(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const lead = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
  const now = new Date();
  const values = [
    ...[uuidv7(), BARE_ORGANIZATION_ID, now, now, lead.firstName, lead.lastName, lead.email, lead.phone],
    ...[lead.companyName, lead.title, lead.source, "new", 0, "[]", 0],
    ...[lead.tags, lead.customFields, lead.consent],
  ];
  const { rows } = await pool.query<object>({ ...insert, values });
  return rows[0];
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isPost = request.method === "POST";
  const body = JSON.stringify(await (isPost ? create(request) : list()));
  response.writeHead(isPost ? 201 : 200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

createServer((request, response) => {
  answer(request, response).catch((error: Error) => response.writeHead(500).end(error.message));
}).listen(Number(BARE_PORT), "127.0.0.1");
