-- With the state in it, the index alone answers how many jobs stand before one: SQLite reads the
-- column though the index's condition says it.
DROP INDEX jobs_queued;
CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id, state) WHERE state = 'queued';
