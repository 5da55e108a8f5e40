import type { Principal } from "../access/principal.ts";
import type { JobOrigin } from "../jobs/job-spec.ts";
import type { ActorAddress } from "./actor-contract.ts";

/** A message as it stands in a mailbox. */
export interface Message {
  messageId: string;
  message: string;
  params: unknown;
  sender: Principal;
  /** What of the sender's call goes with the jobs the turn adds. */
  origin: JobOrigin;
  /** Milliseconds since 1970 by the database's clock; not applied after that. */
  expiresAt: number;
  /** The reminder this message is from. */
  reminderId?: string;
}

/**
 * What a host answers: the handler's result, or that the message was not applied here (as far as one can know) and
 * should be sent again under its id.
 */
export type Answer =
  | { result: unknown }
  | {
      retry: {
        /** Who owns the actor, if the host knows. */
        owner?: string;
        /** The host stops, or has lost its lease; ask another. */
        isUnable?: boolean;
      };
    };

/** What a process asks of the actors of one of its own services. */
export interface LocalHost {
  start(): void;
  /** Refuses messages from now on, and resolves when those it has are answered, or after 20 s. */
  drain(): Promise<void>;
  /** @throws what the handler throws */
  deliver(address: ActorAddress, message: Message): Promise<Answer>;
}
