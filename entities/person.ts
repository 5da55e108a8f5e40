import * as f from "../mixins/records/kind/fields.ts";

/** By what people are known, whether they are leads or contacts, with what files call that besides. */
export const ofPersons = {
  firstName: f.text(200, {
    ...{ search: "A", personal: "name" },
    aliases: ["given name", "forename", "fname", "full name", "name"],
  }),
  lastName: f.text(200, {
    ...{ search: "A", personal: "name", isSortable: true },
    aliases: ["surname", "family name", "lname"],
  }),
  email: f.email({
    ...{ search: "B", personal: "email", matches: 0.9 },
    aliases: ["email address", "email id", "work email", "mail"],
  }),
  phone: f.phone({
    ...{ search: "B", personal: "phone", matches: 0.7, importKey: "asked" },
    aliases: [
      ...["phone number", "mobile", "mobile number", "mobile phone", "telephone", "contact number"],
      "whatsapp",
    ],
  }),
};
/** What files call what somebody does. */
export const titleHeadings = ["job title", "designation"];
