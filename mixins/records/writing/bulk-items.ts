import { errorType, type appError, type FieldError } from "../../contract/errors.ts";

const mostErrorsOfItem = 10;

/** Why an item of a batch was not taken, as the API says it. */
export interface Refusal {
  status: number;
  error: { code: string; detail: string; errors?: FieldError[] };
}
export const isRefusal = (item: object): item is Refusal => "error" in item && "status" in item;

export function refusal({ code, type, message, data }: ReturnType<typeof appError>): Refusal {
  // a batch of a thousand bad items must not be answered with megabytes
  const errors = (data as { errors?: FieldError[] } | undefined)?.errors?.slice(0, mostErrorsOfItem);
  return { status: code, error: { code: type, detail: message, ...(errors && { errors }) } };
}

/** What `judge` makes of an item, or why it refuses it. @throws what is no error of the API */
export function judged<T>(judge: () => T): T | Refusal {
  try {
    return judge();
  } catch (error) {
    if (errorType(error) === undefined) throw error;
    return refusal(error as ReturnType<typeof appError>);
  }
}
