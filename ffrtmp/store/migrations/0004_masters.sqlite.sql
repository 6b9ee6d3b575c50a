-- What each master says of itself and of the workers that it serves, as JSON, every few seconds.
CREATE TABLE masters (
    run       TEXT PRIMARY KEY,
    seen_time INTEGER NOT NULL,
    report    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
