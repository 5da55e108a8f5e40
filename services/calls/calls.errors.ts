import { appError } from "../../mixins/contract/errors.ts";

export const callNotFound = () => appError(404, "CALL_NOT_FOUND", "There is no such call.");
export const queueNotFound = () => appError(404, "CALL_QUEUE_NOT_FOUND", "There is no such call_queue.");
export const notAMember = () =>
  appError(403, "NOT_A_MEMBER", "Only members of the queue claim its calls, and whoever may change it.");
export const notYourCall = () =>
  appError(
    403,
    "NOT_YOUR_CALL",
    "Somebody else has claimed this call; whoever may change the queue may end it.",
  );
export const notClaimed = (status: string) =>
  appError(
    409,
    "CALL_NOT_CLAIMED",
    `The call is ${status}: claim it first, or again where its claim is over.`,
    {
      status,
    },
  );
/** @param callId undefined where another claim came in between */
export const callOpen = (callId?: string) =>
  appError(
    409,
    "CALL_OPEN",
    `You have a call in hand${callId === undefined ? "" : ` (${callId})`}; complete, release or retry it first.`,
    callId === undefined ? undefined : { callId },
  );
