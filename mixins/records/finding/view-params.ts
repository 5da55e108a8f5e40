import { id } from "../../contract/schemas.ts";
import { listParams, type Listing } from "./listing.ts";

/** A view that a list is asked by, see GET /views; what is given beside it must hold too, or takes the place of its own. */
export const viewParams = (listing: Listing) => ({
  view: id.optional(),
  sort: listParams(listing).shape.sort.removeDefault().optional(),
});
