/** What a browser was answered in the end. */
export interface Page {
  url: string;
  status: number;
  body: Record<string, unknown>;
  headers: Headers;
}

/** Follows redirects and keeps cookies, each for the origin that set it, as a browser does. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  /**
   * Opens an address and follows where it leads.
   * @param until stops at, and answers, the first redirect to an address that begins so
   */
  async open(url: string, { until, init = {} }: { until?: string; init?: RequestInit } = {}): Promise<Page> {
    let request = init;
    for (let count = 0; count < 12; count++) {
      const { origin } = new URL(url);
      const jar = this.#cookies.get(origin) ?? new Map<string, string>();
      this.#cookies.set(origin, jar);
      const headers = new Headers(request.headers);
      headers.set("cookie", this.cookieOf(url));
      const response = await fetch(url, { ...request, headers, redirect: "manual" });
      for (const cookie of response.headers.getSetCookie()) {
        const [name = "", value = ""] = (cookie.split(";")[0] ?? "").split("=");
        jar.set(name, value);
      }
      const location = response.headers.get("location");
      if (location !== null && response.status >= 300) {
        await response.body?.cancel();
        const next = new URL(location, url).href;
        if (until !== undefined && next.startsWith(until))
          return { url: next, status: response.status, body: {}, headers: response.headers };
        [url, request] = [next, {}];
        continue;
      }
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.includes("json");
      const body = (isJson && text !== "" ? JSON.parse(text) : { text }) as Record<string, unknown>;
      return { url, status: response.status, body, headers: response.headers };
    }
    throw new Error("Redirected too often");
  }

  /** What it would send to this address as Cookie. */
  cookieOf(url: string): string {
    const jar = this.#cookies.get(new URL(url).origin) ?? [];
    return [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  }
}
