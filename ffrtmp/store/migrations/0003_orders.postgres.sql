-- A person's order about a waiting job: the priority it has now, where that is not its spec's; and
-- what had moved it before the order.
ALTER TABLE jobs ADD COLUMN priority TEXT;
ALTER TABLE jobs ADD COLUMN cause_before TEXT;
CREATE INDEX jobs_paused ON jobs (job_class) WHERE state = 'paused';

-- The last lines of each attempt's FFmpeg, as JSON; `first` is the number of the first of them.
CREATE TABLE logs (
    job_id TEXT COLLATE "C" NOT NULL,
    fence  BIGINT NOT NULL,
    worker TEXT NOT NULL,
    first  BIGINT NOT NULL,
    lines  TEXT NOT NULL,
    PRIMARY KEY (job_id, fence)
);

-- Retention: the oldest that may go, and their keys.
CREATE INDEX jobs_ended ON jobs (end_time) WHERE end_time IS NOT NULL AND blocked_by IS NULL;
CREATE INDEX submissions_of_job ON submissions (job_id);

-- An operator forgot the worker. The row stays for the number of its last stream.
ALTER TABLE sessions ADD COLUMN removed BIGINT NOT NULL DEFAULT 0;
