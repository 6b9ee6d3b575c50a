-- What each master says of itself and of the workers that it serves, as JSON, every few seconds.
CREATE TABLE masters (
    run       TEXT COLLATE "C" PRIMARY KEY,
    seen_time BIGINT NOT NULL,
    report    TEXT NOT NULL
);
