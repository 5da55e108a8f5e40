import { Counter, Gauge } from "prom-client";
import { registry } from "../process/metrics.ts";

const labelNames = ["cache"] as const;
export const cacheHits = new Counter({
  name: "cache_hits_total",
  help: "Reads a cache answered",
  labelNames,
  registers: [registry],
});
export const cacheMisses = new Counter({
  name: "cache_misses_total",
  help: "Reads a cache left to its source",
  labelNames,
  registers: [registry],
});
new Gauge({
  name: "cache_hit_rate",
  help: "Share of reads answered by a cache since the process began",
  labelNames,
  registers: [registry],
  async collect() {
    const missed = new Map(
      (await cacheMisses.get()).values.map(({ labels, value }) => [labels.cache, value]),
    );
    const hit = new Map((await cacheHits.get()).values.map(({ labels, value }) => [labels.cache, value]));
    for (const cache of new Set([...missed.keys(), ...hit.keys()])) {
      const [hits, misses] = [hit.get(cache) ?? 0, missed.get(cache) ?? 0];
      if (hits + misses > 0) this.labels(String(cache)).set(hits / (hits + misses));
    }
  },
});
