-- How far running attempts are, written every few seconds for those who ask another master. It is
-- of no use after a crash, so it costs no log.
CREATE UNLOGGED TABLE progress (
    job_id   TEXT COLLATE "C" PRIMARY KEY,
    fence    BIGINT NOT NULL,
    progress TEXT NOT NULL
) WITH (fillfactor = 50);
