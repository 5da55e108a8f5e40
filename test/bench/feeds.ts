import { Client } from "../support/client.ts";

/** The newest seq of the client's organization. */
export async function headOf(client: Client): Promise<number> {
  return ((await client.get("/events?limit=1")).body as { head: number }).head;
}

/** The seqs after `since`, as the user of this token may see them. */
export async function feedOf(
  { origin, token }: { origin: string; token: string },
  since: number,
): Promise<number[]> {
  const client = new Client(origin, {
    accessToken: token,
    refreshToken: "",
    user: { id: "" },
    organization: { id: "" },
  });
  const seqs: number[] = [];
  for (let next = since; ;) {
    const { body } = await client.get(`/events?since=${next}&limit=200`);
    const { data, next: after } = body as { data: { seq: number }[]; next: number };
    if (data.length === 0) return seqs;
    seqs.push(...data.map(({ seq }) => seq));
    next = after;
  }
}
