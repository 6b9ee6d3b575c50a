-- The hot row of every job, alone: what is large or written once lies in tables of its own. Times
-- are microseconds since 1970, UTC. Room is left in each page, so that a new version of a row
-- stays beside the old one. No foreign keys: every row is written by one function, in one
-- transaction with its job, and the checks would cost a third of each write.
CREATE TABLE jobs (
    job_id             TEXT COLLATE "C" PRIMARY KEY,
    state              TEXT NOT NULL,
    job_class          TEXT COLLATE "C" NOT NULL,
    rank               BIGINT NOT NULL,
    submit_time        BIGINT NOT NULL,
    eligible_time      BIGINT NOT NULL,
    version            BIGINT NOT NULL,
    cause              TEXT NOT NULL,
    actor              TEXT NOT NULL,
    changed_time       BIGINT NOT NULL,
    fence              BIGINT NOT NULL,
    attempts           BIGINT NOT NULL,
    charged            BIGINT NOT NULL,
    resource_failures  BIGINT NOT NULL,
    refundable         BIGINT NOT NULL,
    holder             TEXT,
    holder_incarnation TEXT,
    last_holder        TEXT,
    last_incarnation   TEXT,
    avoid              TEXT NOT NULL,
    start_time         BIGINT,
    end_time           BIGINT,
    manifest           TEXT,
    failure            TEXT,
    detail             TEXT NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);

-- One indexed probe a class: an impossible job never blocks the others.
CREATE INDEX jobs_queued ON jobs (job_class, rank, job_id) WHERE state = 'queued';
CREATE INDEX jobs_held ON jobs (holder, state) WHERE holder IS NOT NULL;
CREATE INDEX jobs_newest ON jobs (submit_time DESC, job_id DESC);
CREATE INDEX jobs_by_state ON jobs (state, submit_time DESC, job_id DESC);
CREATE INDEX jobs_by_worker ON jobs (last_holder, submit_time DESC, job_id DESC);

CREATE TABLE specs (
    job_id TEXT COLLATE "C" PRIMARY KEY,
    spec   TEXT NOT NULL
);

CREATE TABLE submissions (
    submitter TEXT COLLATE "C" NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    digest    TEXT NOT NULL,
    job_id    TEXT NOT NULL,
    PRIMARY KEY (submitter, key)
);

-- One live job a target; the row goes when the job ends.
CREATE TABLE targets (
    target TEXT COLLATE "C" PRIMARY KEY,
    job_id TEXT COLLATE "C" NOT NULL
);
CREATE INDEX targets_of_job ON targets (job_id);

CREATE TABLE classes (
    job_class    TEXT COLLATE "C" PRIMARY KEY,
    requirements TEXT NOT NULL
);

-- Append-only. Replayed, it gives the job table.
CREATE TABLE events (
    job_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    event  TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
);

-- Renewed every few seconds, so no index but the key: a renewal never touches one.
CREATE TABLE sessions (
    worker       TEXT COLLATE "C" PRIMARY KEY,
    incarnation  TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    address      TEXT NOT NULL,
    alive        BIGINT NOT NULL,
    renewal      BIGINT NOT NULL DEFAULT 0,
    capabilities TEXT NOT NULL
) WITH (fillfactor = 50);

-- One row, written by the readiness check.
CREATE TABLE checks (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    count BIGINT NOT NULL
);
INSERT INTO checks VALUES (1, 0);
