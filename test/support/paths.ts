import type { Route } from "../../services/gateway/routes.ts";

const anId = "01890000-0000-7000-8000-000000000000";

/** The path of a route with parameters that could name something. */
export const pathOf = ({ path }: Pick<Route, "path">): string =>
  path.replaceAll(/:(\w+)/g, (_, name: string) => {
    if (path.startsWith("/jobs")) return "999999";
    return name === "provider" ? "google" : anId;
  });
