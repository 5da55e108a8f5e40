import { nameInMail } from "../../../mixins/mail/names.ts";

/** Subject and text of a mail. What others typed stands in quotation marks, behind an opening that is always ours. */
export interface MailText {
  subject: string;
  text: string;
}

const opening =
  "This mail is from Sangam, a program for sales teams. What stands in quotation marks, others have typed.";
const quoted = (name: string, otherwise: string): string => `"${nameInMail(name, otherwise)}"`;
const ofOrganization = (name: string): string => quoted(name, "an organization");

export const inviteMail = (link: string, organization: string): MailText => ({
  subject: "You are invited to Sangam",
  text: `Hello,

${opening}

You are invited to join ${ofOrganization(organization)}. The link works once, within a week:

${link}

If you do not know them, do nothing.
`,
});

/** @param resets a link for each account, with the name of its organization */
export const passwordMail = (resets: readonly { link: string; organization: string }[]): MailText => ({
  subject: "Choose a new password for Sangam",
  text: `Hello,

${opening}

Somebody, hopefully you, asked to choose a new password. ${resets.length > 1 ? "You have several accounts; each link" : "The link"} works once, within an hour:

${resets.map(({ link, organization }) => (resets.length > 1 ? `${ofOrganization(organization)}\n${link}` : link)).join("\n\n")}

If it was not you, do nothing: your password stays as it is.
`,
});

export const verificationMail = (link: string, organization: string): MailText => ({
  subject: "Is this your address?",
  text: `Hello,

${opening}

There is an account with your address now, in ${ofOrganization(organization)}. If it is yours, sign in to it and say so with this link, within a week:

${link}

If you do not know them, do nothing: nobody can prove that your address is theirs.
`,
});

/** To somebody whose account elsewhere has proved the address. */
export const knownElsewhereMail = (organization: string): MailText => ({
  subject: "Your address was used again",
  text: `Hello,

${opening}

There is an account with your address now, in ${ofOrganization(organization)}. You have proved the address with another account, so it stays that one's: sign in there as before. To work with them too, ask them to invite you at another address.

If you do not know them, do nothing: they cannot sign in to your account.
`,
});
