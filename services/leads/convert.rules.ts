import { lifecycleStages } from "../../entities/contact.ts";
import type { Stage } from "../../entities/sales.ts";
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

/** Stages of the pipeline that an organization gets when it has none. */
export const defaultStages: readonly Omit<Stage, "id" | "position">[] = [
  { name: "Qualification", probability: 10, kind: "open" },
  { name: "Proposal", probability: 40, kind: "open" },
  { name: "Negotiation", probability: 70, kind: "open" },
  { name: "Won", probability: 100, kind: "won" },
  { name: "Lost", probability: 0, kind: "lost" },
];

/** The stage a new deal begins in. */
export const firstOpenStage = (stages: readonly Stage[]): Stage | undefined =>
  stages.filter((stage) => stage.kind === "open").sort((a, b) => a.position - b.position)[0];
