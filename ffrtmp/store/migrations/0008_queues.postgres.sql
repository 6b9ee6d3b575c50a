-- The queue of every job, on its row: the index of queued jobs answers how many wait in each queue,
-- and since when, without a look at the rows. Those that ended before have none.
ALTER TABLE jobs ADD COLUMN queue TEXT;
UPDATE jobs SET queue = coalesce(
    specs.spec::json ->> 'queue', CASE exclusive WHEN 1 THEN 'live' ELSE 'default' END
) FROM specs WHERE specs.job_id = jobs.job_id AND jobs.end_time IS NULL;
DROP INDEX jobs_queued;
CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id) INCLUDE (queue, eligible_time)
    WHERE state = 'queued';
