import { lifecycleStages } from "../../entities/contact.ts";
import type { LeadRow } from "../../entities/lead.ts";

type Lifecycle = (typeof lifecycleStages)[number];
/** The later of two lifecycle stages: conversion moves a contact only forward. */
export const furthestStage = (one: Lifecycle, other: Lifecycle): Lifecycle =>
  lifecycleStages.indexOf(one) >= lifecycleStages.indexOf(other) ? one : other;

/** A person who became a deal is an opportunity; without one, a lead that sales accepted. */
export const stageAfterConversion = (hasDeal: boolean): Lifecycle => (hasDeal ? "opportunity" : "sql");

/** What the deal of a converted lead is called: its company, else the person. */
export function dealName(lead: LeadRow): string {
  const person = [lead.first_name, lead.last_name].filter((part) => part !== null).join(" ");
  return lead.company_name ?? (person || (lead.email ?? lead.phone ?? lead.external_id ?? "Deal"));
}
