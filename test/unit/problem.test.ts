import { describe, expect, test } from "@jest/globals";
import { Errors } from "moleculer";
import ApiGateway from "moleculer-web";
import { problemOf } from "../../services/gateway/problem.ts";

/** What the libraries throw when a part is away, which a client should hear as "try again". */
const away: [string, Error][] = [
  ["no node has offered the service yet", new ApiGateway.Errors.ServiceUnavailableError("", undefined)],
  ["no node offers the action", new Errors.ServiceNotFoundError({ action: "identity.register" })],
  ["the nodes that offer it are away", new Errors.ServiceNotAvailableError({ action: "leads.list" })],
  ["its node was lost", new Errors.RequestRejectedError({ action: "leads.list", nodeID: "core" })],
  ["its node took too long", new Errors.RequestTimeoutError({ action: "leads.list", nodeID: "core" })],
  ["NATS is away", new Errors.BrokerDisconnectedError("Broker is disconnected!")],
  ["its node is stopping", new Errors.GracefulStopTimeoutError({})],
  [
    "its node has too much to do",
    new Errors.QueueIsFullError({ action: "a", nodeID: "b", size: 1, limit: 1 }),
  ],
];

describe("a request whose service is away is told to try again", () => {
  test.each(away)("when %s", (_when, error) => {
    expect(problemOf(error, "/api/v1/leads", "r-1")).toMatchObject({
      status: 503,
      code: "SERVICE_UNAVAILABLE",
      title: "Service unavailable",
    });
  });
});

test("an error that is not meant for clients tells them nothing", () => {
  expect(problemOf(new Error("column secret does not exist"), "/", "r-1")).toMatchObject({
    status: 500,
    code: "INTERNAL_ERROR",
    detail: "Something went wrong here; it has been logged.",
  });
});
