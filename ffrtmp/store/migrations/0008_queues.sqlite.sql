-- The queue of every job, on its row: the index of queued jobs answers how many wait in each queue,
-- and since when, without a look at the rows. Those that ended before have none.
ALTER TABLE jobs ADD COLUMN queue TEXT;
UPDATE jobs SET queue = (
    SELECT coalesce(json_extract(spec, '$.queue'), iif(jobs.exclusive, 'live', 'default'))
    FROM specs WHERE specs.job_id = jobs.job_id
) WHERE end_time IS NULL;
DROP INDEX jobs_queued;
CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id, state, queue, eligible_time)
    WHERE state = 'queued';
