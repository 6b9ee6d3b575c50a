-- A live push: one writer a target. Blocked while the old attempt's FFmpeg may still write.
ALTER TABLE jobs ADD COLUMN exclusive BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN restarts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN blocked_by TEXT;
ALTER TABLE jobs ADD COLUMN blocked_incarnation TEXT;
-- The worker of each charge, separated by commas.
ALTER TABLE jobs ADD COLUMN charged_on TEXT NOT NULL DEFAULT '';
-- Offers in a row that no worker took, and since when.
ALTER TABLE jobs ADD COLUMN rejects BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN rejected_since BIGINT;
CREATE INDEX jobs_blocked ON jobs (blocked_by) WHERE blocked_by IS NOT NULL;

-- What an operator asked of the worker and what it did wrong, as JSON; across its sessions.
ALTER TABLE sessions ADD COLUMN standing TEXT NOT NULL DEFAULT '{}';
