"""Named SQL for SQLite. It finds rows; it knows no transition."""

from ffrtmp.store.codec import JOB_COLUMNS

_COLUMNS = ", ".join(JOB_COLUMNS)
_JOB = ", ".join(f"jobs.{name}" for name in JOB_COLUMNS)

JOBS_BY_ID = f"SELECT {_COLUMNS} FROM jobs WHERE job_id IN (SELECT value FROM json_each(?))"
INSERT_JOB = f"INSERT INTO jobs ({_COLUMNS}) VALUES ({', '.join('?' * len(JOB_COLUMNS))})"
UPDATE_JOB = (
    f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in JOB_COLUMNS[1:])} WHERE job_id = ?"
)
INSERT_EVENT = "INSERT INTO events (job_id, number, event) VALUES (?, ?, ?)"
INSERT_SPEC = "INSERT INTO specs (job_id, spec) VALUES (?, ?)"
INSERT_SUBMISSION = "INSERT INTO submissions (submitter, key, digest, job_id) VALUES (?, ?, ?, ?)"
INSERT_TARGET = "INSERT INTO targets (target, job_id) VALUES (?, ?)"
INSERT_CLASS = "INSERT OR IGNORE INTO classes (job_class, requirements) VALUES (?, ?)"
RELEASE_TARGETS = "DELETE FROM targets WHERE job_id IN (SELECT value FROM json_each(?))"

SUBMITTED = (
    "SELECT key, digest, job_id FROM submissions"
    " WHERE submitter = ? AND key IN (SELECT value FROM json_each(?))"
)
TAKEN_TARGETS = (
    "SELECT target, job_id, end_time IS NOT NULL AS ended FROM targets JOIN jobs USING (job_id)"
    " WHERE target IN (SELECT value FROM json_each(?))"
)
CLAIMABLE = (
    f"SELECT {_COLUMNS} FROM jobs WHERE state = 'queued' AND job_class = ?"
    " AND blocked_by IS NULL AND eligible_time <= ? ORDER BY rank, job_id LIMIT ?"
)
SPECS = "SELECT job_id, spec FROM specs WHERE job_id IN (SELECT value FROM json_each(?))"

RECORD = f"SELECT {_JOB}, specs.spec FROM jobs JOIN specs USING (job_id) WHERE job_id = ?"
FIND = f"SELECT {_JOB}, specs.spec FROM jobs JOIN specs USING (job_id)"
NEWEST_FIRST = " ORDER BY jobs.submit_time DESC, jobs.job_id DESC LIMIT ?"
EVENTS = "SELECT event FROM events WHERE job_id = ? AND number > ? ORDER BY number"
CLASSES = (
    "SELECT job_class, requirements FROM classes WHERE job_class IN"
    " (SELECT DISTINCT job_class FROM jobs WHERE state IN"
    " ('queued', 'leased', 'running', 'publishing'))"
)

HELD_BY = f"SELECT {_COLUMNS} FROM jobs WHERE holder = ? ORDER BY job_id"
ORPHANS = (
    f"SELECT {_JOB} FROM jobs LEFT JOIN sessions ON sessions.worker = jobs.holder"
    " AND sessions.incarnation = jobs.holder_incarnation AND sessions.alive = 1"
    " WHERE jobs.holder IS NOT NULL AND sessions.worker IS NULL LIMIT ?"
)
BLOCKED_BY = f"SELECT {_COLUMNS} FROM jobs WHERE blocked_by = ? ORDER BY job_id"
STALE_BLOCKS = (
    f"SELECT {_JOB} FROM jobs LEFT JOIN sessions ON sessions.worker = jobs.blocked_by"
    " AND sessions.incarnation = jobs.blocked_incarnation AND sessions.alive = 1"
    " WHERE jobs.blocked_by IS NOT NULL AND sessions.worker IS NULL LIMIT ?"
)
OFFERED_BEFORE = (
    f"SELECT {_COLUMNS} FROM jobs WHERE holder IS NOT NULL AND state = 'leased'"
    " AND changed_time < ? LIMIT ?"
)

SESSIONS = "SELECT worker, epoch, alive FROM sessions"
OPEN_SESSION = (
    "INSERT INTO sessions (worker, incarnation, epoch, address, alive, capabilities)"
    " VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (worker) DO UPDATE SET"
    " incarnation = excluded.incarnation, epoch = excluded.epoch, address = excluded.address,"
    " alive = 1, capabilities = excluded.capabilities"
)
CLOSE_SESSION = "UPDATE sessions SET alive = 0 WHERE worker = ? AND epoch = ?"
REPORT = "UPDATE sessions SET capabilities = ? WHERE worker = ? AND epoch = ?"
_WORKER = "SELECT worker, incarnation, epoch, address, alive, capabilities, standing FROM sessions"
WORKERS = f"{_WORKER} WHERE worker > ? ORDER BY worker LIMIT ?"
WORKER = f"{_WORKER} WHERE worker = ?"
STANDING = "SELECT standing FROM sessions WHERE worker = ?"
SET_STANDING = "UPDATE sessions SET standing = ? WHERE worker = ?"

CHECK = "UPDATE checks SET count = count + 1"
