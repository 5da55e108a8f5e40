-- breaking: no
-- concurrently: no
-- What forecasts add up: open deals of a pipeline, and those that were won in a time.

CREATE INDEX deals_open ON deals (organization_id, pipeline_id, expected_close_at)
  INCLUDE (stage_id, owner_id, amount, amount_currency, closed_at) WHERE deleted_at IS NULL AND status = 'open';
CREATE INDEX deals_won ON deals (organization_id, pipeline_id, closed_at)
  INCLUDE (stage_id, owner_id, amount, amount_currency) WHERE deleted_at IS NULL AND status = 'won';
-- a board adds up by rates, of what is closed by those of then: still of the index alone
DROP INDEX deals_by_place;
CREATE INDEX deals_by_place ON deals (organization_id, stage_id, position, id) INCLUDE (amount, amount_currency, owner_id, closed_at)
  WHERE deleted_at IS NULL;
