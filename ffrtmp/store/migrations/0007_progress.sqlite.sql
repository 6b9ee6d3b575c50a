-- For readers at other masters: a file has but one, which knows its workers' progress itself.
CREATE TABLE progress (
    job_id   TEXT PRIMARY KEY,
    fence    INTEGER NOT NULL,
    progress TEXT NOT NULL
) STRICT, WITHOUT ROWID;
