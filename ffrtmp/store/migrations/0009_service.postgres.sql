-- What a job is for; how the platform served it so far, as JSON; and once it has ended whether that
-- kept the promise: `met`, `withdrawn`, or in what it was missed. Nothing of jobs from before.
ALTER TABLE jobs ADD COLUMN purpose TEXT;
ALTER TABLE jobs ADD COLUMN evidence TEXT;
ALTER TABLE jobs ADD COLUMN sla TEXT;
-- With all that is counted in it, no row is looked at.
DROP INDEX jobs_ended;
CREATE INDEX jobs_ended ON jobs (end_time) INCLUDE (queue, purpose, state, sla)
    WHERE end_time IS NOT NULL AND blocked_by IS NULL;
