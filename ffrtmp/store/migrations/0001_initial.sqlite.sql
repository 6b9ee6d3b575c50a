-- The hot row of every job. Times are microseconds since 1970, UTC.
CREATE TABLE jobs (
    job_id             TEXT PRIMARY KEY,
    state              TEXT NOT NULL,
    job_class          TEXT NOT NULL,
    rank               INTEGER NOT NULL,
    submit_time        INTEGER NOT NULL,
    eligible_time      INTEGER NOT NULL,
    version            INTEGER NOT NULL,
    cause              TEXT NOT NULL,
    actor              TEXT NOT NULL,
    changed_time       INTEGER NOT NULL,
    fence              INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    charged            INTEGER NOT NULL,
    resource_failures  INTEGER NOT NULL,
    refundable         INTEGER NOT NULL,
    holder             TEXT,
    holder_incarnation TEXT,
    last_holder        TEXT,
    last_incarnation   TEXT,
    avoid              TEXT NOT NULL,
    start_time         INTEGER,
    end_time           INTEGER,
    manifest           TEXT,
    failure            TEXT,
    detail             TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One indexed probe a class: an impossible job never blocks the others.
CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id) WHERE state = 'queued';
CREATE INDEX jobs_held ON jobs (holder, state) WHERE holder IS NOT NULL;
CREATE INDEX jobs_newest ON jobs (submit_time DESC, job_id DESC);
CREATE INDEX jobs_by_state ON jobs (state, submit_time DESC, job_id DESC);
CREATE INDEX jobs_by_worker ON jobs (last_holder, submit_time DESC, job_id DESC);

CREATE TABLE specs (
    job_id TEXT PRIMARY KEY REFERENCES jobs (job_id),
    spec   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE submissions (
    submitter TEXT NOT NULL,
    key       TEXT NOT NULL,
    digest    TEXT NOT NULL,
    job_id    TEXT NOT NULL REFERENCES jobs (job_id),
    PRIMARY KEY (submitter, key)
) STRICT, WITHOUT ROWID;

-- One live job a target; the row goes when the job ends.
CREATE TABLE targets (
    target TEXT PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX targets_of_job ON targets (job_id);

CREATE TABLE classes (
    job_class    TEXT PRIMARY KEY,
    requirements TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Append-only. Replayed, it gives the job table.
CREATE TABLE events (
    job_id TEXT NOT NULL REFERENCES jobs (job_id),
    number INTEGER NOT NULL,
    event  TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    worker       TEXT PRIMARY KEY,
    incarnation  TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    address      TEXT NOT NULL,
    alive        INTEGER NOT NULL,
    capabilities TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, written by the readiness check.
CREATE TABLE checks (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    count INTEGER NOT NULL
) STRICT;
INSERT INTO checks VALUES (1, 0);
