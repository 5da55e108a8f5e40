/** What files call the fields that persons have, besides the names of the fields. */
export const headings = {
  firstName: ["given name", "forename", "fname", "full name", "name"],
  lastName: ["surname", "family name", "lname"],
  email: ["email address", "email id", "work email", "mail"],
  phone: [
    ...["phone number", "mobile", "mobile number", "mobile phone", "telephone", "contact number"],
    "whatsapp",
  ],
  title: ["job title", "designation"],
} as const;
