-- breaking: no
-- concurrently: no

-- What adds jobs plans its statements each time, for the jobs table as it is. A plan that a connection kept from when the table was
-- empty looks for jobs of the same key by reading all of it, dead rows too, for every batch ever after.
ALTER FUNCTION enqueue_jobs(json) SET plan_cache_mode = force_custom_plan;
