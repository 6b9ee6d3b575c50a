"""Named SQL, in PostgreSQL's words. It finds and locks rows; it knows no transition."""

from datetime import timedelta

from ffrtmp.domain.retry import BACKOFF_LONGEST
from ffrtmp.domain.states import JobState
from ffrtmp.store.codec import JOB_COLUMNS

_COLUMNS = ", ".join(JOB_COLUMNS)
LONGEST_WAIT = BACKOFF_LONGEST // timedelta(microseconds=1)
_JOB = ", ".join(f"jobs.{name}" for name in JOB_COLUMNS)

JOBS_BY_ID = f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ANY($1)"
_STREAM = "worker, epoch, incarnation, address, alive, dial, previous"
# Always sessions first, then jobs, each in order: no two transactions wait for each other.
LOCK_SESSIONS = (
    f"SELECT {_STREAM} FROM sessions WHERE worker = ANY($1) ORDER BY worker FOR NO KEY UPDATE"
)
LOCK_JOBS = f"{JOBS_BY_ID} ORDER BY job_id FOR NO KEY UPDATE"
RELEASE_TARGETS = "DELETE FROM targets WHERE job_id = ANY($1)"

SUBMITTED = "SELECT key, digest, job_id FROM submissions WHERE submitter = $1 AND key = ANY($2)"
TAKEN_TARGETS = (
    "SELECT target, job_id, end_time IS NOT NULL AS ended FROM targets JOIN jobs USING (job_id)"
    " WHERE target = ANY($1)"
)
# The first target in each folder: one is enough to refuse it, however many there are. The character
# behind / is 0, so that a folder is one indexed range, of which one entry is read.
TARGETS_BELOW = (
    "SELECT targets.target, job_id, end_time IS NOT NULL AS ended FROM (SELECT ("
    "SELECT min(target) FROM targets WHERE target > folder || '/' AND target < folder || '0'"
    ") AS target FROM (SELECT unnest($1::text[]) AS folder) AS folders) AS firsts"
    " JOIN targets USING (target) JOIN jobs USING (job_id)"
)
INSERT_CLASS = (
    "INSERT INTO classes (job_class, requirements) VALUES ($1, $2) ON CONFLICT DO NOTHING"
)
FIRST = (-(1 << 63), "")
"""Before every place in a queue."""
# As `domain.job.is_eligible`. It never waits: what another master is about to grant is passed
# over. Materialised, so that no plan can run it twice and lock more than it returns.
CLAIMABLE = (
    f"WITH claimed AS MATERIALIZED (SELECT {_COLUMNS} FROM jobs WHERE state = 'queued'"
    " AND job_class = $1 AND blocked_by IS NULL AND (rank, job_id) >= ($4, $5)"
    f" AND (eligible_time <= $2 OR eligible_time > $2 + {LONGEST_WAIT})"
    " ORDER BY rank, job_id LIMIT $3"
    f" FOR NO KEY UPDATE SKIP LOCKED) SELECT {_COLUMNS} FROM claimed ORDER BY rank, job_id"
)
# One indexed range a class: what stands behind the job is not read.
AHEAD = (
    "SELECT count(*) AS ahead, count(*) FILTER (WHERE jobs.job_class = $1) AS ahead_in_class"
    " FROM classes CROSS JOIN jobs WHERE jobs.job_class = classes.job_class"
    " AND jobs.state = 'queued' AND (jobs.rank, jobs.job_id) < ($2, $3)"
)
SPECS = "SELECT job_id, spec FROM specs WHERE job_id = ANY($1)"

RECORD = f"SELECT {_JOB}, specs.spec FROM jobs JOIN specs USING (job_id) WHERE job_id = $1"
FIND = f"SELECT {_JOB}, specs.spec FROM jobs JOIN specs USING (job_id)"
EVENTS = "SELECT event FROM events WHERE job_id = $1 AND number > $2 ORDER BY number"
LOGS = (
    "SELECT job_id, fence, worker, first, lines FROM logs WHERE job_id = $1"
    " AND fence >= $2 ORDER BY fence LIMIT $3"
)
PROGRESS = "SELECT job_id, progress FROM progress WHERE job_id = ANY($1)"
# Of attempts that are over, whichever master had them.
FORGET_PROGRESS = (
    "DELETE FROM progress WHERE NOT EXISTS (SELECT 1 FROM jobs"
    " WHERE jobs.job_id = progress.job_id AND jobs.holder IS NOT NULL)"
)
# Beside the index `jobs_ended`, whose condition they repeat.
ENDED_BEFORE = (
    "SELECT end_time FROM jobs WHERE end_time IS NOT NULL AND blocked_by IS NULL"
    " ORDER BY end_time DESC LIMIT 1 OFFSET $1"
)
FORGETTABLE = (
    "SELECT job_id FROM jobs WHERE end_time IS NOT NULL AND blocked_by IS NULL AND end_time <= $1"
    " ORDER BY end_time LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
)
FORGET = tuple(
    f"DELETE FROM {table} WHERE job_id = ANY($1)"
    for table in ("logs", "events", "targets", "submissions", "specs", "jobs")
)
# The first in the queue of each class, as its index has it. Were any job of the class as good,
# PostgreSQL would read the table for it: to the end, when all jobs of that class have ended.
CLASSES = (
    "SELECT job_class, requirements FROM classes WHERE (SELECT jobs.rank FROM jobs"
    " WHERE jobs.state = 'queued' AND jobs.job_class = classes.job_class"
    " ORDER BY jobs.rank, jobs.job_id LIMIT 1) IS NOT NULL"
    " OR job_class IN (SELECT job_class FROM jobs WHERE state = 'paused')"
    " OR job_class IN (SELECT job_class FROM jobs WHERE state = ANY($1))"
)

HELD_BY = f"SELECT {_COLUMNS} FROM jobs WHERE holder = $1 ORDER BY job_id"
ORPHANS = (
    f"SELECT {_JOB} FROM jobs LEFT JOIN sessions ON sessions.worker = jobs.holder"
    " AND sessions.incarnation = jobs.holder_incarnation AND sessions.alive = 1"
    " WHERE jobs.holder IS NOT NULL AND sessions.worker IS NULL LIMIT $1"
)
HELD_OR_BLOCKED = (
    f"SELECT {_COLUMNS} FROM jobs WHERE job_id IN (SELECT job_id FROM jobs WHERE holder = $1"
    " UNION ALL SELECT job_id FROM jobs WHERE blocked_by = $1"
    " UNION ALL SELECT unnest($2::text[]) AS job_id) ORDER BY job_id"
)
STALE_BLOCKS = (
    f"SELECT {_JOB} FROM jobs LEFT JOIN sessions ON sessions.worker = jobs.blocked_by"
    " AND sessions.incarnation = jobs.blocked_incarnation AND sessions.alive = 1"
    " WHERE jobs.blocked_by IS NOT NULL AND sessions.worker IS NULL LIMIT $1"
)
OFFERED_BEFORE = (
    f"SELECT {_COLUMNS} FROM jobs WHERE holder IS NOT NULL AND state = 'leased'"
    " AND changed_time < $1 LIMIT $2"
)

# A row that is not there yet cannot be locked: who makes it is the first.
FIRST_SESSION = (
    "INSERT INTO sessions (worker, incarnation, epoch, address, alive, capabilities, dial,"
    " previous) VALUES ($1, $2, 1, $3, 1, $4, $5, $6) ON CONFLICT (worker) DO NOTHING"
    f" RETURNING {_STREAM}"
)
NEXT_SESSION = (
    "UPDATE sessions SET incarnation = $2, epoch = epoch + 1, address = $3, alive = 1,"
    " removed = 0, capabilities = $4, dial = $5, previous = $6"
    f" WHERE worker = $1 RETURNING {_STREAM}"
)
CLOSE_SESSION = (
    "UPDATE sessions SET alive = 0, lost_epoch = 0"
    " WHERE worker = $1 AND epoch = $2 AND alive = 1 RETURNING worker"
)
# By worker/epoch; the workers beside it for the index.
EXPIRE_SESSIONS = (
    "UPDATE sessions SET alive = 0, lost_epoch = epoch WHERE worker = ANY($1) AND alive = 1"
    " AND worker || '/' || epoch = ANY($2) RETURNING worker, epoch"
)
REPORT = "UPDATE sessions SET capabilities = $1 WHERE worker = $2 AND epoch = $3"
LIVE_SESSIONS = "SELECT worker, epoch FROM sessions WHERE alive = 1"
_WORKER = (
    "SELECT worker, incarnation, epoch, address, alive, lost_epoch, capabilities, standing, dial,"
    " previous"
    " FROM sessions WHERE removed = 0"
)
WORKERS = f"{_WORKER} AND worker > $1 ORDER BY worker LIMIT $2"
WORKER = f"{_WORKER} AND worker = $1"
LOST_WORKERS = f"{_WORKER} AND (alive = 0 AND lost_epoch = epoch OR worker = ANY($1))"
# The row stays: streams of a worker are numbered for as long as the store lives.
REMOVE_WORKER = (
    "UPDATE sessions SET removed = 1, standing = '{}' WHERE worker = $1 AND alive = 0"
    " AND NOT EXISTS (SELECT 1 FROM jobs WHERE holder = $1)"
    " AND NOT EXISTS (SELECT 1 FROM jobs WHERE blocked_by = $1) RETURNING worker"
)
STANDING = "SELECT standing FROM sessions WHERE worker = $1 AND removed = 0"
STANDINGS = "SELECT worker, standing FROM sessions WHERE alive = 1 AND standing NOT IN ('{}', $1)"
SET_STANDING = "UPDATE sessions SET standing = $1 WHERE worker = $2"

# The state is in every index that is used here, and the queue in that of queued jobs: however many
# jobs there are, no row is looked at.
# By one state after the other, or PostgreSQL would read the table.
_STATES = ", ".join(f"('{state.value}')" for state in JobState)
COUNT_JOBS = (
    f"WITH named (state) AS (VALUES {_STATES}) SELECT state,"
    " (SELECT count(*) FROM jobs WHERE jobs.state = named.state) AS jobs FROM named"
)
DEPTHS = (
    "SELECT jobs.queue AS queue, count(*) AS jobs, min(jobs.eligible_time) AS eligible_time"
    " FROM classes CROSS JOIN jobs WHERE jobs.job_class = classes.job_class"
    " AND jobs.state = 'queued' GROUP BY jobs.queue"
)
BACKLOG = (
    "SELECT queue, exclusive, job_class, state, eligible_time > $1 AS later, count(*) AS jobs,"
    " min(eligible_time) AS eligible_time FROM jobs WHERE state = ANY($2) GROUP BY 1, 2, 3, 4, 5"
)
# Beside the index `jobs_ended`, which has all of it.
JUDGED = (
    "SELECT queue, purpose, state, sla, count(*) AS jobs FROM jobs WHERE end_time IS NOT NULL"
    " AND blocked_by IS NULL AND end_time >= $1 AND sla IS NOT NULL GROUP BY 1, 2, 3, 4"
)
NOTE_MASTER = (
    "INSERT INTO masters (run, seen_time, report) VALUES ($1, $2, $3)"
    " ON CONFLICT (run) DO UPDATE SET seen_time = excluded.seen_time, report = excluded.report"
)
FORGET_MASTERS = "DELETE FROM masters WHERE run = $1 OR seen_time < $2"
MASTERS = "SELECT run, seen_time, report FROM masters ORDER BY run"

CHECK = "UPDATE checks SET count = count + 1"
