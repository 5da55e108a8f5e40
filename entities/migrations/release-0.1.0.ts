/**
 * The migrations of release 0.1.0, which kept their names in tables of their own, and which `0001_baseline.sql` equals.
 * A database with all of them is taken over; one with a part of them has to finish with that release first.
 */
export const migrationsOfRelease010 = {
  control: {
    table: "control_migrations",
    names: [
      ...["001_create_control", "002_create_cron", "003_create_api_keys", "004_create_sign_in_failures"],
      ...["005_create_second_factors", "030_create_organization_keys", "006_create_mailed_links"],
      ...["007_create_audit_log", "040_create_roles", "040_create_organization_shards"],
      ...["060_create_key_rotation", "062_create_organization_life", "008_create_federation"],
    ],
  },
  shard: {
    table: "shard_migrations",
    names: [
      ...["001_create_events", "002_create_leads", "003_create_imports", "010_create_jobs"],
      ...["011_create_listeners", "012_create_upkeep", "013_drop_rescored_version", "014_drop_import_leases"],
      ...[
        "020_commit_in_groups",
        "020_create_actors",
        "021_create_lead_reminders",
        "030_create_received_ids",
      ],
      ...["041_create_teams", "040_create_moves", "040_create_privacy", "061_create_sensitive_fields"],
      ...["063_create_jobs_of_organization", "070_create_analytics"],
    ],
  },
} as const;
